//! Futures in a port's context: their failure ends the port, and its end drops them.

use std::future::poll_fn;
use std::rc::{Rc, Weak};

use aemp_proto::actor::{Context, Outcome, Reasons};
use aemp_proto::names::PortId;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::driver::Driver;
use crate::supervisor::panic_text;

/// What code that runs on a node's thread can do beside the verbs of [`Context`].
pub trait ContextExt {
    /// Runs a future on the node's thread, in the name of the own port: if it fails or panics, the port ends with `die`; if
    /// the port ends, the future is dropped. In the name of nobody it simply runs.
    ///
    /// It shares the thread with everything else of the node, so it must not block between its waits. In the name of a port
    /// that has ended it does not run.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use aemp_node::{Config, ContextExt as _, Node, proto::names::PortId};
    /// let node = Node::start(Config::local()).await.unwrap();
    /// let slow_adder = node.with(|context| {
    ///     context.port(|context, elements| {
    ///         let (a, b, reply): (u64, u64, PortId) = elements.rest()?;
    ///         context.run_future(async move |port| {
    ///             tokio::time::sleep(Duration::from_millis(10)).await;
    ///             port.with(|context| context.send(&reply, &(a + b)))??;
    ///             Ok(())
    ///         });
    ///         Ok(())
    ///     })
    /// }).await.unwrap();
    /// let sum: u64 = node.call(&slow_adder, &(1, 2), None).await.unwrap().decode().unwrap();
    /// assert_eq!(sum, 3);
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When it is not a node's thread on which this runs: a node of `aemp-proto` without this crate's driver.
    fn run_future<F>(&mut self, future: impl FnOnce(LocalPort) -> F)
    where
        F: Future<Output = Outcome> + 'static;
}

impl ContextExt for Context<'_> {
    fn run_future<F>(&mut self, future: impl FnOnce(LocalPort) -> F)
    where
        F: Future<Output = Outcome> + 'static,
    {
        let driver = Driver::current().expect("this runs on a node's thread");
        if self.has_ended() {
            return;
        }
        let own = self.own_port();
        let (ended, end) = oneshot::channel::<()>();
        let watch = own.as_ref().map(|own| self.watch(own, move |_, _| drop(ended)));
        let local = LocalPort { driver: Rc::downgrade(&driver), port: own.clone() };
        let mut future = Box::pin(future(local));
        let watching = driver.clone();
        let mut task = spawn_local(poll_fn(move |context| watching.watched(|_| future.as_mut().poll(context))));
        spawn_local(async move {
            let result = tokio::select! {
                result = &mut task => result,
                // Without a port nobody drops the other half, and this branch is never taken.
                _ = end, if watch.is_some() => return task.abort(),
            };
            let failure = match result {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure.0),
                Err(error) if error.is_panic() => Some(panic_text(&*error.into_panic()).into()),
                Err(_) => None,
            };
            driver.with_context(|context| {
                if let Some(watch) = &watch {
                    context.unwatch(watch);
                }
                match (own, failure) {
                    (Some(own), Some(failure)) => context.end(&own, Reasons::die(failure)),
                    (None, Some(failure)) => tracing::warn!(?failure, "a future in the name of nobody failed"),
                    (_, None) => {}
                }
            });
        });
    }
}

/// A way back into the node, for a future that runs on its thread in the name of a port.
#[derive(Clone)]
pub struct LocalPort {
    /// The node holds its ports, and they may hold this.
    driver: Weak<Driver>,
    port: Option<PortId>,
}

/// The port in whose name a future ran cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// It has ended, or its node has.
    #[error("the port has ended")]
    Ended,
    /// Code is running in the node at this moment, and has called this.
    #[error("code that runs in the node has a context of its own")]
    InUse,
}

impl From<LocalError> for aemp_proto::actor::Failure {
    fn from(error: LocalError) -> Self {
        error.to_string().into()
    }
}

impl LocalPort {
    /// The port in whose name the future runs; `None` if in the name of nobody.
    pub fn id(&self) -> Option<&PortId> {
        self.port.as_ref()
    }

    /// Runs code in the node, now, in the name of the port.
    ///
    /// # Errors
    ///
    /// When the port has ended; or when this is called from code that runs in the node already, which has a [`Context`] of
    /// its own.
    pub fn with<R>(&self, code: impl FnOnce(&mut Context<'_>) -> R) -> Result<R, LocalError> {
        let driver = self.driver.upgrade().ok_or(LocalError::Ended)?;
        let result = match &self.port {
            Some(port) => driver.try_with_node(|node, now| node.within(now, port, code)),
            None => driver.try_with_node(|node, now| Some(node.with(now, code))),
        };
        result.ok_or(LocalError::InUse)?.ok_or(LocalError::Ended)
    }
}
