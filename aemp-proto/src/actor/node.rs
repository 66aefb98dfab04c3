//! A node: the engine and its actors in one.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Deref;
use core::time::Duration;

use super::state::{Actors, Context};
use super::supervisor::Supervisor;
use crate::auth::{Exporter, Secret};
use crate::engine::{Action, ConnectionId, DataConnection, DialId, Engine, NodeConfig, NodeEvent, Output};
use crate::error::Error;
use crate::link::{Role, Tls};
use crate::names::{NodeId, PortId};
use crate::permissions::Permissions;

/// A node whose ports are closures: an [`Engine`] and the host that runs them.
///
/// It is driven as the [engine](crate::engine) is; what only looks at the engine is reached by dereferencing. A node lives
/// on one thread, since closures may hold anything. They must not panic, unless the owner [supervises](Node::supervise) the
/// node.
pub struct Node {
    engine: Engine,
    actors: Actors,
}

/// What only looks at the node.
impl Deref for Node {
    type Target = Engine;

    #[inline]
    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Node {
    /// Creates a node without ports and connections. `random` must be new at each start of the program; `now` is any
    /// monotonic time, `unix` the time since 1970.
    pub fn new(config: NodeConfig, random: u128, now: Duration, unix: Duration) -> Self {
        Node { engine: Engine::new(config, random, now, unix), actors: Actors::default() }
    }

    /// Calls the engine with the actors as its host, and drops what is not needed any more.
    #[inline]
    fn drive<R>(&mut self, call: impl FnOnce(&mut Engine, &mut Actors) -> R) -> R {
        let result = call(&mut self.engine, &mut self.actors);
        self.actors.release(self.engine.core_mut());
        result
    }

    /// Runs code in the node, for no port.
    pub fn with<R>(&mut self, now: Duration, code: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.drive(|engine, actors| {
            engine.with(actors, now, |core, actors| code(&mut Context { core, actors, port: None, source: None }))
        })
    }

    /// Runs code for a port of this node. Returns `None` if that has ended.
    pub fn within<R>(&mut self, now: Duration, port: &PortId, code: impl FnOnce(&mut Context<'_>) -> R) -> Option<R> {
        self.drive(|engine, actors| {
            engine.with(actors, now, |core, actors| {
                let port = core.find_port(port)?;
                Some(code(&mut Context { core, actors, port: Some(port), source: None }))
            })
        })
    }

    /// Has the code of ports run by a supervisor, from now on.
    pub fn supervise(&mut self, supervisor: Rc<dyn Supervisor>) {
        self.actors.supervisor = Some(supervisor);
    }

    /// Stops handling what a node sends, as [`Context::pause_peer`] does.
    pub fn pause_peer(&mut self, node: &NodeId) {
        self.engine.pause_peer(node);
    }

    /// Takes back one [pause](Self::pause_peer) of a node, as [`Context::resume_peer`] does.
    pub fn resume_peer(&mut self, now: Duration, node: &NodeId) {
        self.drive(|engine, actors| engine.resume_peer(actors, now, node));
    }

    /// Adds an address that is dialled, and dialled again, until a node is reached there.
    pub fn add_seed(&mut self, now: Duration, address: &str) {
        self.engine.add_seed(now, address);
    }

    /// Sets what other nodes may do, as [`Engine::set_permissions`] does.
    pub fn set_permissions(&mut self, permissions: Permissions) {
        self.engine.set_permissions(permissions);
    }

    /// Sets how connections are made from now on, as [`Engine::set_credentials`] does.
    pub fn set_credentials(&mut self, tls: Tls, secret: Option<Secret>, further_secrets: Vec<Secret>) {
        self.engine.set_credentials(tls, secret, further_secrets);
    }

    /// Sets the addresses under which others can reach the node, as [`Engine::set_addresses`] does.
    pub fn set_addresses(&mut self, now: Duration, addresses: Vec<String>) {
        self.drive(|engine, actors| engine.set_addresses(actors, now, addresses));
    }

    /// Makes the node global until it stops.
    pub fn become_global(&mut self, now: Duration) {
        self.drive(|engine, actors| engine.become_global(actors, now));
    }

    /// Sets the time of day, as [`Engine::set_unix_time`] does.
    pub fn set_unix_time(&mut self, now: Duration, unix: Duration) {
        self.engine.set_unix_time(now, unix);
    }

    /// Takes the next thing to do or to know, until that is a [time-out](Output::Timeout).
    pub fn poll_output(&mut self) -> Output {
        self.engine.poll_output()
    }

    /// Takes the next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.engine.poll_action()
    }

    /// Takes the next thing that happened.
    pub fn poll_event(&mut self) -> Option<NodeEvent> {
        self.engine.poll_event()
    }

    /// Takes a connection that has output.
    pub fn poll_writable(&mut self) -> Option<ConnectionId> {
        self.engine.poll_writable()
    }

    /// Does what is due, as [`Engine::run`] does.
    pub fn run(&mut self, now: Duration) {
        self.drive(|engine, actors| engine.run(actors, now));
    }

    /// Adds a transport connection, as [`Engine::open`] does.
    ///
    /// # Errors
    ///
    /// As for [`Engine::open`].
    pub fn open(
        &mut self,
        now: Duration,
        role: Role,
        random: [u8; 32],
        peer_address: Option<&str>,
        dial: Option<DialId>,
    ) -> Result<ConnectionId, Error> {
        self.engine.open(now, role, random, peer_address, dial)
    }

    /// Handles that an address could not be reached.
    pub fn dial_failed(&mut self, now: Duration, dial: DialId, error: &str) {
        self.drive(|engine, actors| engine.dial_failed(actors, now, dial, error));
    }

    /// Handles bytes that have arrived, as [`Engine::receive`] does.
    #[inline]
    pub fn receive(&mut self, now: Duration, id: ConnectionId, bytes: &[u8]) {
        self.drive(|engine, actors| engine.receive(actors, now, id, bytes));
    }

    /// Handles that TLS stands on a connection, as [`Engine::tls_established`] does.
    pub fn tls_established(&mut self, now: Duration, id: ConnectionId, exporter: Option<&Exporter>) {
        self.drive(|engine, actors| engine.tls_established(actors, now, id, exporter));
    }

    /// Handles the end of a transport connection, as [`Engine::closed`] does.
    pub fn closed(&mut self, now: Duration, id: ConnectionId, error: Option<&str>) {
        self.drive(|engine, actors| engine.closed(actors, now, id, error));
    }

    /// Takes bytes that were written off the [`output`](Engine::output).
    ///
    /// # Panics
    ///
    /// When there are not as many.
    #[inline]
    pub fn advance_output(&mut self, id: ConnectionId, bytes: usize) {
        self.engine.advance_output(id, bytes);
    }

    /// Takes a data connection, as [`Engine::hand_over`] does.
    pub fn hand_over(&mut self, now: Duration, id: ConnectionId) -> Option<DataConnection> {
        self.drive(|engine, actors| engine.hand_over(actors, now, id))
    }
}
