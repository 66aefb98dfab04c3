//! The database, from async tasks.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aemp_proto::actor::{self, DbEntry, Reasons};
use aemp_proto::framing::{EncodeError, Framing, Limits};
use aemp_proto::global::{Changes, DbError, Family, FamilyWatch};
use aemp_proto::names::PortId;
use aemp_proto::value::Value;
use futures_core::Stream;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::driver;
use crate::handle::{Node, Stopped};
use crate::waiting::{Giver, Taker, waiting};

/// Why the database did not do what it should.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// It is not allowed, or too much.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The node has had no master for 10 seconds; and why, as a text for people.
    #[error("the node has not joined its network: {0}")]
    NotJoined(String),
    /// The own node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// An entry of the database that this node has set. When this is dropped, the entry is removed.
#[derive(Debug)]
#[must_use = "the entry is removed when this is dropped"]
pub struct Entry {
    node: Node,
    entry: DbEntry,
    kept: bool,
}

impl Entry {
    /// Leaves the entry in the database for as long as the node runs, or its port, or until it is deleted.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// The family that it is in.
    pub fn family(&self) -> &str {
        self.entry.family()
    }

    /// Its key.
    pub fn key(&self) -> &str {
        self.entry.key()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.kept {
            let entry = self.entry.clone();
            self.node.command(move |driver| {
                driver.with_context(|context| context.db_remove(&entry));
            });
        }
    }
}

/// What changes in a family of the database: first its present contents, also if there are none, then each difference.
/// Applied one after the other they always give the family as it is, also when the master changes.
///
/// Whoever does not look for a while gets what has changed meanwhile as one step, so this holds no more than the family
/// itself. A key that has gone and come back in that time counts as changed, also if it has the value that it had. When it
/// is dropped, the watch is given up.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use aemp_node::{Config, Node};
/// # let mut config = Config::local();
/// # config.node.global = true;
/// # let node = Node::start(config).await.unwrap();
/// let mut workers = node.db_watch("workers").await.unwrap();
/// assert!(workers.next().await.unwrap().is_empty(), "nobody works yet");
///
/// let worker = node.port(|_, _| Ok(())).await.unwrap();
/// node.db_reg(&worker, "workers", &"ready").await.unwrap().keep();
/// assert_eq!(workers.next().await.unwrap().added[&worker.to_string()], "ready".into());
///
/// node.end(&worker, Default::default());
/// assert_eq!(workers.next().await.unwrap().deleted, [worker.to_string()]);
/// # });
/// ```
pub struct FamilyChanges {
    node: Node,
    watch: FamilyWatch,
    changes: Taker<Option<Changes>>,
}

impl FamilyChanges {
    /// Whether the family is not followed at the moment, because the node has no master: then other nodes may have changed
    /// it meanwhile. It goes on from where it is when there is a master again. A network with one global node alone has such
    /// times whenever that node is gone: run two.
    pub fn is_stale(&self) -> bool {
        self.node.is_unfollowed()
    }

    /// Waits for the next changes; `None` when the node has ended. Nothing is lost when this is cancelled.
    pub async fn next(&mut self) -> Option<Changes> {
        self.changes.next(Option::take).await
    }
}

impl Stream for FamilyChanges {
    type Item = Changes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Changes>> {
        self.changes.poll(context, Option::take)
    }
}

impl Drop for FamilyChanges {
    fn drop(&mut self) {
        let watch = self.watch;
        self.node.command(move |driver| driver.with_context(|context| context.db_unwatch(watch)));
    }
}

/// A value, which can go to another thread whatever it is made from.
fn value<T: Serialize + ?Sized>(value: &T) -> Result<Value, DbError> {
    let mut octets = Vec::new();
    let unlimited = Limits { octets: usize::MAX, ..Limits::default() };
    Framing::Cbor.encode_elements(&(value,), &unlimited, &mut octets)?;
    let (value,) = driver::packet(&octets)?.decode::<(Value,)>().map_err(EncodeError::from)?;
    Ok(value)
}

impl Node {
    /// Sets an entry of the database, which every node of the network can see, until it is removed or this node ends. If
    /// several nodes set the same key, one of the values counts, everywhere the same.
    ///
    /// # Errors
    ///
    /// When the name of the family is not allowed, the key is empty, or it is too much; and when the node has ended.
    pub async fn db_set<T: Serialize + ?Sized>(&self, family: &str, key: &str, new: &T) -> Result<Entry, DatabaseError> {
        let (family, key, value) = (family.to_owned(), key.to_owned(), value(new)?);
        let entry = self.with(move |context| context.db_set(&family, &key, &value)).await??;
        Ok(Entry { node: self.clone(), entry, kept: false })
    }

    /// Sets an entry under the ID of a port: it goes when the port ends, or when the entry is dropped.
    ///
    /// # Errors
    ///
    /// As for [`db_set`](Self::db_set).
    pub async fn db_reg<T: Serialize + ?Sized>(&self, port: &PortId, family: &str, new: &T) -> Result<Entry, DatabaseError> {
        let (family, port, value) = (family.to_owned(), port.clone(), value(new)?);
        let entry = self.with(move |context| context.db_reg(&port, &family, &value)).await??;
        Ok(Entry { node: self.clone(), entry, kept: false })
    }

    /// Deletes entries that this node has set.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn db_del<K: Into<String>>(&self, family: &str, keys: impl IntoIterator<Item = K>) -> Result<(), Stopped> {
        let (family, keys) = (family.to_owned(), keys.into_iter().map(Into::into).collect::<Vec<String>>());
        self.with(move |context| context.db_del(&family, keys.iter().map(String::as_str))).await
    }

    /// All of a family. The answer comes once there is a master.
    ///
    /// # Errors
    ///
    /// When the answer is too large for a packet, too many questions wait already, or the node has ended. When the node has
    /// had no master for 10 seconds: then with the reason, such as a wrong secret.
    pub async fn db_family(&self, family: &str) -> Result<Family, DatabaseError> {
        self.ask_database(family, |context, family, answer| context.db_family(family, |_, got| answer.give(got))).await
    }

    /// The keys of a family, in order.
    ///
    /// # Errors
    ///
    /// As for [`db_family`](Self::db_family).
    pub async fn db_keys(&self, family: &str) -> Result<Vec<String>, DatabaseError> {
        self.ask_database(family, |context, family, answer| context.db_keys(family, |_, got| answer.give(got))).await
    }

    /// The values of a family, in the order of their keys.
    ///
    /// # Errors
    ///
    /// As for [`db_family`](Self::db_family).
    pub async fn db_values(&self, family: &str) -> Result<Vec<Value>, DatabaseError> {
        self.ask_database(family, |context, family, answer| context.db_values(family, |_, got| answer.give(got))).await
    }

    async fn ask_database<T: Send + 'static>(
        &self,
        family: &str,
        ask: impl FnOnce(&mut actor::Context<'_>, &str, Asker<T>) + Send + 'static,
    ) -> Result<T, DatabaseError> {
        /// How long a question waits for a master.
        const PATIENCE: Duration = Duration::from_secs(10);
        let (answer, answered) = oneshot::channel();
        let family = family.to_owned();
        // The question goes with a port of its own, and that with whoever waits.
        let make = move |context: &mut actor::Context<'_>| {
            let port = context.port_without_code();
            context.run_in(&port, move |context| ask(context, &family, Asker(answer)));
            port
        };
        let port = self.ask_or_undo(make, |context, port| context.end(&port, Reasons::normal())).await?;
        let _ends_with_this = Asking { node: self, port };
        tokio::select! {
            biased;
            answer = answered => Ok(answer.map_err(|_| Stopped)??),
            why = self.unfollowed(PATIENCE) => Err(DatabaseError::NotJoined(why)),
        }
    }

    /// Watches a family of the database.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn db_watch(&self, family: &str) -> Result<FamilyChanges, Stopped> {
        let ((giver, changes), family) = (waiting(None), family.to_owned());
        let watch = self.with(move |context| context.db_watch(&family, move |_, changes| add(&giver, changes))).await?;
        Ok(FamilyChanges { node: self.clone(), watch, changes })
    }
}

/// Adds changes to those that wait.
fn add(giver: &Giver<Option<Changes>>, later: Changes) {
    giver.give(|waiting: &mut Option<Changes>| match waiting {
        Some(changes) => changes.merge(later),
        None => *waiting = Some(later),
    });
}

/// A question that is waited for; when that is dropped, the question is given up.
struct Asking<'n> {
    node: &'n Node,
    port: PortId,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.node.end(&self.port, Reasons::normal());
    }
}

/// Whoever has asked the database.
struct Asker<T>(oneshot::Sender<Result<T, DbError>>);

impl<T> Asker<T> {
    fn give(self, answer: Result<T, DbError>) {
        let _nobody_waits = self.0.send(answer);
    }
}
