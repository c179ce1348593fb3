//! The bus: a hint that the log has grown. Missing one costs a poll interval, never an entry.

use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::Position;
use hearth_store::PgConnectOptions;
use hearth_store::bus::PostgresBus;
use tokio_util::sync::CancellationToken;

use super::apply::Applier;
use super::head::Replicas;

/// What a hint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// A process committed, and this is the head.
    Head { incarnation: i64, head: Position },
    /// A process begins or ceases to serve.
    Replicas,
}

impl Hint {
    fn parse(text: &str) -> Option<Self> {
        let (incarnation, what) = text.split_once(':')?;
        if what == "replica" {
            return Some(Self::Replicas);
        }
        Some(Self::Head { incarnation: incarnation.parse().ok()?, head: Position::new(what.parse().ok()?) })
    }
}

/// Listens, and reads the log's gap when told, on every reconnect, and once in a poll interval.
pub(super) async fn run(
    connect: PgConnectOptions,
    applier: Arc<Applier>,
    replicas: Arc<Replicas>,
    poll: Duration,
    stop: CancellationToken,
) {
    let mut bus = PostgresBus::new(connect);
    let mut ticks = tokio::time::interval(poll);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let hint = tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => Some(Hint::Replicas),
            told = bus.next() => told.map_or(Some(Hint::Replicas), |text| Hint::parse(&text)),
        };
        let outcome = match hint {
            Some(Hint::Head { incarnation, .. }) if incarnation == replicas.incarnation() => Ok(()),
            Some(Hint::Head { head, .. }) => applier.catch_up_to(head).await,
            Some(Hint::Replicas) => match replicas.beat().await {
                Ok(head) => applier.catch_up_to(head).await,
                Err(error) => Err(error),
            },
            None => Ok(()),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the log cannot be read; trying again");
            tokio::time::sleep(poll.min(Duration::from_secs(1))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_and_noise_is_not() {
        assert_eq!(Hint::parse("7:42"), Some(Hint::Head { incarnation: 7, head: Position::new(42) }));
        assert_eq!(Hint::parse("7:replica"), Some(Hint::Replicas));
        assert_eq!(Hint::parse("42"), None);
        assert_eq!(Hint::parse("7:next"), None);
    }
}
