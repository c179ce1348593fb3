//! Freeing what has had its time: one process does it for all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hearth_store::clean_up::TRIMMED;
use hearth_store::lease::Epoch;
use hearth_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::{Lease, LogSettings};

/// How often.
const INTERVAL: Duration = Duration::from_mins(1);

/// The lease lasts over several rounds, so that a short stop does not move it.
const LEASE: Duration = Duration::from_mins(5);

/// Log rows kept for replicas that were cut off for a while; each is some hundred bytes.
const KEPT_ROWS: i64 = 100_000;

pub(super) async fn run(store: Store, incarnation: i64, settings: LogSettings, stop: CancellationToken) {
    let mut lease = Lease::new(store.clone(), "clean-up", incarnation, LEASE);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = round(&store, &mut lease, settings).await {
            tracing::warn!(%error, "clean-up failed; trying again later");
        }
    }
    // It expires by itself where the database is gone already.
    let _ = lease.release().await;
}

async fn round(store: &Store, lease: &mut Lease, settings: LogSettings) -> Result<(), StoreError> {
    let Some(epoch) = lease.claim().await? else { return Ok(()) };
    let old = before(settings.transaction_lifetime);
    while lease.held().is_some() && store.delete_transaction_ids_before(old).await? > 0 {}
    store.delete_uia_sessions_before(before(settings.uia_lifetime)).await?;
    store.delete_login_tokens_before(before(Duration::ZERO)).await?;
    store.delete_openid_tokens_before(before(Duration::ZERO)).await?;
    store.delete_stream_tickets_before(before(Duration::ZERO)).await?;
    store.delete_sliding_connections_before(before(settings.sliding_lifetime)).await?;
    store.delete_sightings_of_gone_devices().await?;
    while lease.held().is_some() && store.delete_forgotten_failed_logins().await? > 0 {}
    trim(store, lease, epoch).await
}

/// Says how far the log will be trimmed before it is, so that whoever is behind that learns of it.
async fn trim(store: &Store, lease: &Lease, epoch: Epoch) -> Result<(), StoreError> {
    let pos = store.trimmable(KEPT_ROWS).await?;
    if pos <= store.trimmed().await? || !store.move_cursor(TRIMMED, pos, epoch).await? {
        return Ok(());
    }
    while lease.held().is_some() && store.trim_log(pos).await? > 0 {}
    Ok(())
}

fn before(age: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX)
}
