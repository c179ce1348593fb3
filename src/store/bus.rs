//! PostgreSQL's notifications.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

/// How long to wait before the listener is connected again.
const RECONNECT: Duration = Duration::from_millis(250);

/// Hears what the commit function notifies.
#[derive(Debug)]
pub struct PostgresBus {
    options: PgConnectOptions,
    listener: Option<PgListener>,
}

impl PostgresBus {
    /// A bus that connects when it is first asked.
    #[must_use]
    pub const fn new(options: PgConnectOptions) -> Self {
        Self { options, listener: None }
    }

    /// The next notification; none where the connection was made anew and some may have been missed.
    /// Safe to drop while it waits.
    pub async fn next(&mut self) -> Option<String> {
        let Some(listener) = &mut self.listener else {
            match self.connect().await {
                Ok(listener) => self.listener = Some(listener),
                Err(error) => {
                    tracing::debug!(%error, "the notification listener cannot connect");
                    tokio::time::sleep(RECONNECT).await;
                }
            }
            return None;
        };
        match listener.try_recv().await {
            Ok(Some(notification)) => Some(notification.payload().to_owned()),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(%error, "the notification listener was cut off");
                self.listener = None;
                None
            }
        }
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        // A listener holds its connection for good: one of its own, so that the pool keeps all of its.
        let pool = PgPoolOptions::new().max_connections(1).connect_with(self.options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("hearth").await?;
        Ok(listener)
    }
}
