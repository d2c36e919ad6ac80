//! The wish to end, shared between whoever has it and the operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Asks an operation to end in good order. Clones share it; it cannot be taken back.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Not requested yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// Waits until it is.
    pub async fn requested(&self) {
        // From here on it is woken, before it looks: the request may come from another thread between
        // the two.
        let notified = self.0.notify.notified();
        if !self.is_requested() {
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_from_another_thread_reaches_everyone() {
        for _ in 0..200 {
            let stop = Stop::new();
            let other = stop.clone();
            let thread = std::thread::spawn(move || other.request());
            tokio::join!(stop.requested(), stop.requested());
            stop.requested().await;
            thread.join().unwrap();
        }
    }
}
