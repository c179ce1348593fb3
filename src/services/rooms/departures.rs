//! Seeing those out whose account ended: they leave their rooms, and what only they could read is deleted.
//!
//! One process does it for all, and whatever is left undone when it ends another takes up: leaving is asked for
//! again until nothing is left to leave.

use std::sync::Arc;
use std::time::Duration;

use hearth_core::membership::Membership;
use hearth_store::StoreError;
use hearth_store::departure::Departure;
use hearth_store::log::Change;
use hearth_store::membership::MembershipAt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Author, RoomError, Rooms};
use crate::clock;
use crate::log::{Apply, Lease, Log, Logged, What};

/// How often somebody is looked for whom another process was seeing out. There is hardly ever anybody.
const INTERVAL: Duration = Duration::from_secs(3);

/// How long the others wait for a process that died over it. Claimed again and again while it is worked on.
const LEASE: Duration = Duration::from_secs(8);

/// When somebody is looked after once more: later than any request can end that was under way when the account
/// ended, and that may have joined one more room.
const LINGER_MS: i64 = 5 * 60 * 1000;

/// Users seen out in one round.
const AT_A_TIME: i64 = 100;

/// The work, and who hears that there is some.
#[derive(Clone)]
pub struct Departures {
    rooms: Rooms,
    log: Log,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell(Notify);

/// How far one has come with a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There was nothing left to leave.
    Out,
    /// Something was left, or could not be; it is to be looked at again.
    Leaving,
}

impl Departures {
    /// Over rooms. Hears by the log when there is something to do.
    #[must_use]
    pub fn new(rooms: Rooms, log: Log) -> Self {
        let bell = Arc::new(Bell::default());
        log.register(Arc::clone(&bell) as Arc<dyn Apply>);
        Self { rooms, log, bell }
    }

    /// Sees users out until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut lease = self.log.lease("departures", LEASE);
        while !stop.is_cancelled() {
            tokio::select! {
                result = self.round(&mut lease) => if let Err(error) = result {
                    tracing::warn!(%error, "users whose account ended were not all seen out; trying again");
                },
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = self.bell.0.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => {}
            }
        }
        // It expires by itself where the database is gone already.
        let _ = lease.release().await;
    }

    async fn round(&self, lease: &mut Lease) -> Result<(), StoreError> {
        let departures = self.rooms.reader.store.departures(clock::now_ms(), AT_A_TIME).await?;
        for departure in departures {
            if !owns(lease).await? {
                return Ok(());
            }
            if self.see_out(departure, lease).await? == Progress::Leaving {
                continue;
            }
            let (store, last_look) = (&self.rooms.reader.store, departure.ts.saturating_add(LINGER_MS));
            if clock::now_ms() < last_look {
                store.postpone_departure(departure.user, last_look).await?;
            } else {
                store.end_departure(departure.user).await?;
            }
        }
        Ok(())
    }

    async fn see_out(&self, departure: Departure, lease: &mut Lease) -> Result<Progress, StoreError> {
        let reader = &self.rooms.reader;
        reader.store.delete_private_data(departure.user).await?;
        let id = reader.interned.user_id(departure.user).await?;
        let author = Author { nid: departure.user, id };
        let mut progress = Progress::Out;
        for member in reader.store.memberships_of(departure.user).await?.iter().filter(|member| is_in(member))
        {
            if !owns(lease).await? {
                return Ok(Progress::Leaving);
            }
            if self.leave(&author, member).await? {
                progress = Progress::Leaving;
            }
        }
        Ok(progress)
    }

    /// Leaves a room, declines an invite or withdraws a knock. Says whether it is worth another look.
    async fn leave(&self, author: &Author, member: &MembershipAt) -> Result<bool, StoreError> {
        let Some(room) = self.rooms.reader.store.rooms(&[member.room]).await?.pop() else { return Ok(false) };
        match self.rooms.leave(author, &room.id, None).await {
            Ok(()) => Ok(true),
            Err(RoomError::Store(error)) => Err(error),
            Err(error @ (RoomError::Commit(_) | RoomError::Contended)) => {
                tracing::debug!(user.id = %author.id, room.id = %room.id, %error, "not left yet");
                Ok(true)
            }
            // The room's rules hold them, and will go on to.
            Err(error) => {
                tracing::debug!(user.id = %author.id, room.id = %room.id, %error, "cannot be left");
                Ok(false)
            }
        }
    }
}

/// Whether this process may do the work now.
async fn owns(lease: &mut Lease) -> Result<bool, StoreError> {
    Ok(lease.held().is_some() || lease.claim().await?.is_some())
}

const fn is_in(member: &MembershipAt) -> bool {
    matches!(member.membership, Membership::Join | Membership::Invite | Membership::Knock)
}

impl Apply for Bell {
    fn apply(&self, entry: &Logged) {
        if let What::Change(Change::DeactivateAccount { .. }) = &entry.what {
            self.0.notify_one();
        }
    }

    /// The next round is soon enough.
    fn reset(&self) {}
}
