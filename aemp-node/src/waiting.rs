//! What the node's thread puts in and an async task takes out, when it looks.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What waits, in a store that bounds it.
struct Waiting<S> {
    store: S,
    waker: Option<Waker>,
    ended: bool,
}

/// The half of whoever puts in: with it goes the hope of more.
pub(crate) struct Giver<S>(Arc<Mutex<Waiting<S>>>);

/// The half of whoever takes out.
pub(crate) struct Taker<S>(Arc<Mutex<Waiting<S>>>);

/// The two halves of a store.
pub(crate) fn waiting<S>(store: S) -> (Giver<S>, Taker<S>) {
    let shared = Arc::new(Mutex::new(Waiting { store, waker: None, ended: false }));
    (Giver(shared.clone()), Taker(shared))
}

impl<S> Giver<S> {
    /// Puts something in, and wakes whoever waits for it.
    pub(crate) fn give(&self, put: impl FnOnce(&mut S)) {
        self.change(|waiting| put(&mut waiting.store));
    }

    fn change(&self, change: impl FnOnce(&mut Waiting<S>)) {
        let waker = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut waiting);
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<S> Drop for Giver<S> {
    fn drop(&mut self) {
        self.change(|waiting| waiting.ended = true);
    }
}

impl<S> Taker<S> {
    /// Waits until there is something to take; `None` when all was taken and no more can come.
    pub(crate) async fn next<T>(&self, take: impl Fn(&mut S) -> Option<T>) -> Option<T> {
        poll_fn(|context| self.poll(context, &take)).await
    }

    pub(crate) fn poll<T>(&self, context: &mut Context<'_>, take: impl Fn(&mut S) -> Option<T>) -> Poll<Option<T>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = take(&mut waiting.store);
        if taken.is_some() || waiting.ended {
            return Poll::Ready(taken);
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
