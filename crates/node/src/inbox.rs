//! Where results of work that the driver handed out come back.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// A queue into the driver, for threads and tasks. Clones share it.
///
/// It has no maximum of its own: every entry answers a job that the driver gave out (a write, a read, a
/// dial, an announce), and those are bounded where they are given out. So a thread that reports never
/// waits for the driver, and the two cannot wait for each other. One wake-up serves all entries that
/// arrived before it.
pub struct Inbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    entries: Mutex<Vec<T>>,
    notify: Notify,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Inbox<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self(Arc::new(Shared { entries: Mutex::new(Vec::new()), notify: Notify::new() }))
    }

    /// Puts one entry in.
    pub fn put(&self, entry: T) {
        self.put_all(std::iter::once(entry));
    }

    /// Puts entries in, in order.
    pub fn put_all(&self, entries: impl IntoIterator<Item = T>) {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
        self.0.notify.notify_one();
    }

    /// Moves all entries to the end of `into`.
    pub fn take(&self, into: &mut Vec<T>) {
        into.append(&mut self.0.entries.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until something was put in since the last wait.
    pub async fn wait(&self) {
        self.0.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_put_before_the_wait_is_not_missed() {
        let inbox = Inbox::new();
        let sender = inbox.clone();
        std::thread::spawn(move || (0..1000).for_each(|n| sender.put(n))).join().unwrap();
        let mut all = Vec::new();
        inbox.wait().await;
        inbox.take(&mut all);
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }
}
