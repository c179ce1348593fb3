//! Showing a changed profile in the rooms its user is in.

use futures_util::{TryStreamExt, stream};
use hearth_core::membership::Membership;
use hearth_core::pdu::Content;
use hearth_store::room::Room;
use ruma::events::{StateEventType, TimelineEventType};
use serde_json::Value;

use super::{Addition, Author, Draft, RoomError, Rooms};
use crate::profiles::{AVATAR_URL, DISPLAY_NAME};

/// Rooms told at the same time: as many as one commit easily takes.
const AT_ONCE: usize = 32;

impl Rooms {
    /// Sends a member event to every room the user is in whose member event shows another name or avatar than
    /// their profile now. Returns when all are committed.
    pub async fn propagate_profile(&self, author: &Author) -> Result<(), RoomError> {
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
            fields.remove("join_authorised_via_users_server");
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
