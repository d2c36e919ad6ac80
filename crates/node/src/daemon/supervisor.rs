//! Words to the service manager (sd_notify(3)): that the daemon serves, is alive, ends. Without `NOTIFY_SOCKET` in
//! the environment there is nobody to tell, and nothing is done.

use sd_notify::NotifyState;

/// The daemon serves.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// Its thread turns. Told every second: a watchdog of less than two seconds is too short.
pub(super) fn alive() {
    tell(NotifyState::Watchdog);
}

/// It ends, on somebody's word.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
