//! Showing a changed profile in the rooms its user is in, in the background.
//!
//! The change leaves a row with the log, and the row goes when all rooms show the change: whoever begins anew
//! after a crash finds it, and a room that shows the profile already is left alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{TryStreamExt, stream};
use hearth_core::id::UserNid;
use hearth_core::membership::Membership;
use hearth_core::pdu::Content;
use hearth_store::log::Change;
use hearth_store::profile::Unspread;
use hearth_store::room::Room;
use ruma::OwnedUserId;
use ruma::events::{StateEventType, TimelineEventType};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::membership::AUTHORISED_BY;
use super::{Addition, Author, Draft, RoomError, Rooms};
use crate::log::{Apply, Lease, Logged, What};
use crate::profiles::{AVATAR_URL, DISPLAY_NAME};

/// Rooms told at the same time: as many as one commit easily takes.
const AT_ONCE: usize = 32;

/// Users whose rooms are told at the same time, so that one who is in very many rooms keeps nobody waiting.
const USERS_AT_ONCE: usize = 16;

/// How often changes are looked for that nobody was told of.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long another process waits before it goes on in the place of one that is gone.
const LEASE: Duration = Duration::from_secs(15);

/// Tells that a profile changed.
#[derive(Default)]
struct Changed(Notify);

impl Apply for Changed {
    fn apply(&self, entry: &Logged) {
        if matches!(entry.what, What::Change(Change::SetProfileField { spread: true, .. })) {
            self.0.notify_one();
        }
    }

    fn reset(&self) {
        self.0.notify_one();
    }
}

impl Rooms {
    /// Lets rooms show changed profiles, until `stop` is cancelled. One process does it for all.
    pub async fn spread_profiles(self, stop: CancellationToken) {
        let changed = Arc::new(Changed::default());
        self.log.register(Arc::clone(&changed) as Arc<dyn Apply>);
        let mut lease = self.log.lease("profiles", LEASE);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed.0.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                spread = self.spread_changed(&mut lease) => if let Err(error) = spread {
                    tracing::warn!(%error, "changed profiles were not shown in rooms; trying again");
                },
            }
        }
        // It expires by itself where the database is gone already.
        let _ = lease.release().await;
    }

    async fn spread_changed(&self, lease: &mut Lease) -> Result<(), RoomError> {
        let limit = i64::try_from(USERS_AT_ONCE).unwrap_or(i64::MAX);
        loop {
            let changed = self.reader.store.unspread_profiles(limit).await?;
            if changed.is_empty() || lease.claim().await?.is_none() {
                return Ok(());
            }
            let users: Vec<UserNid> = changed.iter().map(|changed| changed.user).collect();
            let ids = self.reader.interned.user_ids(&users).await?;
            let spreading = changed.into_iter().zip(ids).map(Ok);
            stream::iter(spreading)
                .try_for_each_concurrent(USERS_AT_ONCE, |(changed, id)| self.spread_profile(changed, id))
                .await?;
        }
    }

    async fn spread_profile(&self, changed: Unspread, id: OwnedUserId) -> Result<(), RoomError> {
        // What this process knows of the profile must be as of the change.
        self.log.wait_applied(changed.pos).await;
        self.show_profile_everywhere(&Author { nid: changed.user, id }).await?;
        Ok(self.reader.store.profile_is_spread(changed).await?)
    }

    /// Sends a member event to every room the user is in whose member event shows another name or avatar than
    /// their profile now. Returns when all are committed.
    async fn show_profile_everywhere(&self, author: &Author) -> Result<(), RoomError> {
        let memberships = self.reader.store.memberships_of(author.nid).await?;
        let joined: Vec<_> = memberships
            .into_iter()
            .filter(|at| at.membership == Membership::Join)
            .map(|at| at.room)
            .collect();
        let rooms = self.reader.store.rooms(&joined).await?;
        stream::iter(rooms.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |room| async move { self.show_profile(author, &room).await })
            .await
    }

    async fn show_profile(&self, author: &Author, room: &Room) -> Result<(), RoomError> {
        let shown = self.current_state(room, &StateEventType::RoomMember, author.id.as_str()).await?;
        let Some(shown) = shown else { return Ok(()) };
        // A stored content reads as JSON.
        let before: Value = serde_json::from_str(shown.pdu.content().get()).unwrap_or_default();
        let mut after = before.clone();
        let profile = self.profiles.of(author.nid).await?;
        let Some(fields) = after.as_object_mut() else { return Ok(()) };
        for field in [DISPLAY_NAME, AVATAR_URL] {
            match profile.as_ref().and_then(|profile| profile.get(field)) {
                Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
                None => drop(fields.remove(field)),
            }
        }
        if after == before {
            return Ok(());
        }
        if let Some(fields) = after.as_object_mut() {
            // It allowed the join, not what comes after, and would be checked anew.
            fields.remove(AUTHORISED_BY);
            fields.remove("reason");
        }
        let content = Content::from_serialize(&after)?;
        let draft = Draft::state(TimelineEventType::RoomMember, author.id.as_str(), content);
        let addition = Addition { unless_same: true, ..Addition::of(author, draft) };
        match self.handle(room).add(self, &addition).await {
            // Left meanwhile, or kept from changing it by the room's levels: the others go on.
            Ok(_) | Err(RoomError::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
