//! What systemd hears of this process, where it was started by it with `Type=notify`; elsewhere nothing happens.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::supervisor::Supervisor;

/// Everything that is needed to serve is there.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] ends that.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // What `Type=notify-reload` asks for; without a clock the rest is still true.
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Gives signs of life for as long as the process can, where `WatchdogSec=` asks for them.
pub(super) fn begin_watchdog(supervisor: &Supervisor, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let end = stop.clone();
    let signs = async move {
        // Twice as often as they are asked for, as its manual recommends.
        let mut ticks = tokio::time::interval(limit / 2);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    };
    supervisor.run("watchdog", end, signs);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd cannot be told how this process is: {error}");
    }
}
