//! The one place that starts tasks: every one is known, and none outlives the server.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks and waits for them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor {
    vital: TaskTracker,
    connections: TaskTracker,
    failed: CancellationToken,
}

impl Supervisor {
    /// Starts a task that lives as long as the server: one that ends before `stop` is cancelled, or panics,
    /// ends the server.
    pub(crate) fn run(
        &self,
        name: &'static str,
        stop: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let failed = self.failed.clone();
        let running = self.vital.spawn(task);
        self.vital.spawn(async move {
            match running.await {
                Ok(()) if stop.is_cancelled() => {}
                Ok(()) => {
                    tracing::error!("the task {name} ended by itself; the server stops");
                    failed.cancel();
                }
                Err(error) => {
                    tracing::error!("the task {name} failed: {error}; the server stops");
                    failed.cancel();
                }
            }
        });
    }

    /// Starts a task that serves one connection.
    pub(crate) fn serve_connection(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.connections.spawn(task);
    }

    /// What tracks the connections: whoever keeps one beyond its task holds a token of it.
    pub(crate) fn connections(&self) -> TaskTracker {
        self.connections.clone()
    }

    /// Waits until a task without which the server cannot go on has failed.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits for all connections to end; says how many had not after `limit`.
    pub(crate) async fn wait_for_connections(&self, limit: Duration) -> usize {
        wait(&self.connections, limit).await
    }

    /// Waits for the other tasks to end; says how many had not after `limit`.
    pub(crate) async fn wait_for_tasks(&self, limit: Duration) -> usize {
        wait(&self.vital, limit).await
    }
}

async fn wait(tasks: &TaskTracker, limit: Duration) -> usize {
    tasks.close();
    match tokio::time::timeout(limit, tasks.wait()).await {
        Ok(()) => 0,
        Err(_) => tasks.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_panics_is_told() {
        let supervisor = Supervisor::default();
        supervisor.run("test", CancellationToken::new(), async { panic!("on purpose") });
        tokio::time::timeout(Duration::from_secs(10), supervisor.failed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_ends_when_it_should_is_no_failure() {
        let (supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        supervisor.run("test", stop.clone(), stop.clone().cancelled_owned());
        stop.cancel();
        assert_eq!(supervisor.wait_for_tasks(Duration::from_secs(10)).await, 0);
        assert!(!supervisor.failed.is_cancelled());
    }
}
