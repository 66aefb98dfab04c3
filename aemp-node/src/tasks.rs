//! Futures in the context of a port. A failed future ends its port, and a port that ends drops its futures.

use std::future::poll_fn;
use std::rc::{Rc, Weak};

use aemp_proto::actor::{Context, Outcome, Reasons};
use aemp_proto::names::PortId;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::driver::Driver;
use crate::supervisor::panic_text;

/// Adds methods to [`Context`] for code on a node's thread.
pub trait ContextExt {
    /// Runs a future on the node's thread in the context of the own port. If the future fails or panics, the port ends
    /// with `die`. If the port ends, the node drops the future. Without an own port, a failure is only logged. If the
    /// own port has already ended, the future does not run.
    ///
    /// The future shares the thread with the whole node, so it must not block between its awaits.
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
    /// Panics outside of a node's thread, for example if another driver than that of this crate runs the node of
    /// `aemp-proto`.
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
                // Without a port, nothing drops `ended`, and the guard disables this branch.
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

/// A handle for a future on the node's thread, to run code in the context of its port.
#[derive(Clone)]
pub struct LocalPort {
    /// Weak, because the node owns its ports, and a port may own this handle.
    driver: Weak<Driver>,
    port: Option<PortId>,
}

/// The reason why a [`LocalPort`] could not run code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The port or its node has ended.
    #[error("the port has ended")]
    Ended,
    /// The caller already runs inside the node, and must use its own [`Context`].
    #[error("code that runs in the node has a context of its own")]
    InUse,
}

impl From<LocalError> for aemp_proto::actor::Failure {
    fn from(error: LocalError) -> Self {
        error.to_string().into()
    }
}

impl LocalPort {
    /// Returns the port of the future, or `None` if the future has no port.
    pub fn id(&self) -> Option<&PortId> {
        self.port.as_ref()
    }

    /// Runs `code` now, in the context of the port, and returns its result.
    ///
    /// # Errors
    ///
    /// Returns [`LocalError::Ended`] if the port or its node has ended. Returns [`LocalError::InUse`] if the caller
    /// already runs inside the node and has a [`Context`].
    pub fn with<R>(&self, code: impl FnOnce(&mut Context<'_>) -> R) -> Result<R, LocalError> {
        let driver = self.driver.upgrade().ok_or(LocalError::Ended)?;
        let result = match &self.port {
            Some(port) => driver.try_with_node(|node, now| node.within(now, port, code)),
            None => driver.try_with_node(|node, now| Some(node.with(now, code))),
        };
        result.ok_or(LocalError::InUse)?.ok_or(LocalError::Ended)
    }
}
