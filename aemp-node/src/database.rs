//! The database of the network, for async tasks.

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

/// The reason why a database operation failed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The operation is not allowed, or it exceeds a limit.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The node has had no master for 10 seconds. The text says why, for people.
    #[error("the node has not joined its network: {0}")]
    NotJoined(String),
    /// This node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A database entry that this node has set. Dropping it removes the entry.
#[derive(Debug)]
#[must_use = "the entry is removed when this is dropped"]
pub struct Entry {
    node: Node,
    entry: DbEntry,
    kept: bool,
}

impl Entry {
    /// Keeps the entry in the database. It stays until it is deleted, its port ends ([`Node::db_reg`]), or this node
    /// stops.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Returns the family of the entry.
    pub fn family(&self) -> &str {
        self.entry.family()
    }

    /// Returns the key of the entry.
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

/// The changes of a database family. The first item is the present contents, even if they are empty. Each later item is
/// a difference. Applied in order, the items always give the current contents, even after a change of the master.
///
/// Changes that the task has not read are merged into one item, so the memory is bounded by the size of the family. A
/// key that was deleted and set again in between counts as changed, even if its value is the same. Dropping this value
/// ends the subscription.
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
    /// Returns whether the contents may be out of date, because the node has no master now. The subscription continues
    /// when the node has a master again. A network with one global node is stale whenever that node is down: run at
    /// least two.
    pub fn is_stale(&self) -> bool {
        self.node.is_unfollowed()
    }

    /// Waits for the next changes. Returns `None` when the node has stopped. This function is cancel-safe: if the
    /// future is dropped, no change is lost.
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

/// Converts a value to a [`Value`], which can be sent to another thread whatever its source type is.
fn value<T: Serialize + ?Sized>(value: &T) -> Result<Value, DbError> {
    let mut octets = Vec::new();
    let unlimited = Limits { octets: usize::MAX, ..Limits::default() };
    Framing::Cbor.encode_elements(&(value,), &unlimited, &mut octets)?;
    let (value,) = driver::packet(&octets)?.decode::<(Value,)>().map_err(EncodeError::from)?;
    Ok(value)
}

impl Node {
    /// Sets a database entry, which every node of the network can read. The entry stays until it is removed or this
    /// node stops. If several nodes set the same key, all nodes of the network choose the same one of the values.
    ///
    /// # Errors
    ///
    /// Returns [`DatabaseError::Database`] if the family name is not allowed, the key is empty, or the entry exceeds a
    /// limit. Returns [`DatabaseError::Stopped`] if the node has stopped.
    pub async fn db_set<T: Serialize + ?Sized>(&self, family: &str, key: &str, new: &T) -> Result<Entry, DatabaseError> {
        let (family, key, value) = (family.to_owned(), key.to_owned(), value(new)?);
        let entry = self.with(move |context| context.db_set(&family, &key, &value)).await??;
        Ok(Entry { node: self.clone(), entry, kept: false })
    }

    /// Sets a database entry with the port ID as its key. The entry is removed when the port ends or when the [`Entry`]
    /// is dropped.
    ///
    /// # Errors
    ///
    /// As for [`db_set`](Self::db_set).
    pub async fn db_reg<T: Serialize + ?Sized>(&self, port: &PortId, family: &str, new: &T) -> Result<Entry, DatabaseError> {
        let (family, port, value) = (family.to_owned(), port.clone(), value(new)?);
        let entry = self.with(move |context| context.db_reg(&port, &family, &value)).await??;
        Ok(Entry { node: self.clone(), entry, kept: false })
    }

    /// Deletes entries that this node has set. Entries of other nodes stay.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn db_del<K: Into<String>>(&self, family: &str, keys: impl IntoIterator<Item = K>) -> Result<(), Stopped> {
        let (family, keys) = (family.to_owned(), keys.into_iter().map(Into::into).collect::<Vec<String>>());
        self.with(move |context| context.db_del(&family, keys.iter().map(String::as_str))).await
    }

    /// Returns all entries of a family. Waits up to 10 seconds for a master. Dropping the future cancels the query.
    ///
    /// # Errors
    ///
    /// Returns [`DatabaseError::Database`] if the answer is too large for a packet or too many queries are pending,
    /// [`DatabaseError::NotJoined`] if the node has had no master for 10 seconds (the text names the cause, such as a
    /// wrong secret), and [`DatabaseError::Stopped`] if the node has stopped.
    pub async fn db_family(&self, family: &str) -> Result<Family, DatabaseError> {
        self.ask_database(family, |context, family, answer| context.db_family(family, |_, got| answer.give(got))).await
    }

    /// Returns the keys of a family, in order.
    ///
    /// # Errors
    ///
    /// As for [`db_family`](Self::db_family).
    pub async fn db_keys(&self, family: &str) -> Result<Vec<String>, DatabaseError> {
        self.ask_database(family, |context, family, answer| context.db_keys(family, |_, got| answer.give(got))).await
    }

    /// Returns the values of a family, in the order of their keys.
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
        /// The time that a query waits for a master.
        const PATIENCE: Duration = Duration::from_secs(10);
        let (answer, answered) = oneshot::channel();
        let family = family.to_owned();
        // The query belongs to its own port, which ends when the caller drops the future.
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

    /// Subscribes to the changes of a database family.
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

/// Merges changes into those that the task has not read yet.
fn add(giver: &Giver<Option<Changes>>, later: Changes) {
    giver.give(|waiting: &mut Option<Changes>| match waiting {
        Some(changes) => changes.merge(later),
        None => *waiting = Some(later),
    });
}

/// A pending query. Dropping it cancels the query.
struct Asking<'n> {
    node: &'n Node,
    port: PortId,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.node.end(&self.port, Reasons::normal());
    }
}

/// The channel to the task that has sent the query.
struct Asker<T>(oneshot::Sender<Result<T, DbError>>);

impl<T> Asker<T> {
    fn give(self, answer: Result<T, DbError>) {
        let _nobody_waits = self.0.send(answer);
    }
}
