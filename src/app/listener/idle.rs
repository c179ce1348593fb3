//! When a connection last had a request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How many requests a connection is busy with.
#[derive(Clone)]
pub(super) struct Idle(Arc<watch::Sender<usize>>);

/// A request under way.
pub(super) struct Busy(Idle);

impl Idle {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Busy {
        self.0.send_modify(|count| *count += 1);
        Busy(self.clone())
    }

    /// Waits until there has been no request for so long.
    pub(super) async fn lasts(&self, time: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is this one's own.
            if count.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            if tokio::time::timeout(time, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
