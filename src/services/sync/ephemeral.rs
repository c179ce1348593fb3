//! What passes in a room: who read how far, who types.

use std::collections::HashSet;
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_core::sync_filter::{Candidate, EventFilter};
use hearth_store::StoreError;
use ruma::{OwnedUserId, RoomId};

use super::engine::{Engine, RoomChanges, View};
use super::plan::Section;
use crate::ephemeral::presence::Presences;
use crate::ephemeral::receipts::{Receipt, Receipts};
use crate::ephemeral::typing::Typing;
use crate::rooms::viewer::Viewer;

/// Where what passes is known.
pub struct Passing {
    /// Who read how far.
    pub receipts: Receipts,
    /// Who types.
    pub typing: Typing,
    /// Who is online.
    pub presences: Presences,
}

/// What passed in a room.
#[derive(Debug, Default)]
pub(super) struct Ephemeral {
    /// Everybody who types, where that changed.
    pub(super) typing: Option<Vec<OwnedUserId>>,
    /// Receipts that moved, oldest first.
    pub(super) receipts: Vec<Arc<Receipt>>,
}

impl Ephemeral {
    pub(super) const fn is_empty(&self) -> bool {
        self.typing.is_none() && self.receipts.is_empty()
    }
}

impl Engine {
    /// Adds what passed in the rooms that a reader is in, but for what ignored users did.
    pub(super) async fn fill_ephemeral(
        &self,
        viewer: &Viewer,
        rooms: &mut [RoomChanges],
        view: View<'_>,
    ) -> Result<(), StoreError> {
        let filter = &view.rooms.ephemeral;
        if filter.wants_nothing() {
            return Ok(());
        }
        let ignored = self.reader.ignored.of(viewer.user).await?;
        let asked: Vec<(RoomNid, Position)> = rooms
            .iter()
            .filter(|room| is_wanted(filter, "m.receipt", room))
            .map(|room| (room.plan.room, room.plan.since.unwrap_or(Position::ZERO)))
            .collect();
        let mut receipts = self.passing.receipts.since(viewer.user, &asked).await?;
        for room in rooms {
            let mut moved = receipts.remove(&room.plan.room).unwrap_or_default();
            moved.retain(|receipt| !ignored.contains(&receipt.user_id));
            let typing = is_wanted(filter, "m.typing", room).then(|| self.typing(room, &ignored)).flatten();
            room.ephemeral = Ephemeral { typing, receipts: moved };
        }
        Ok(())
    }

    fn typing(&self, room: &RoomChanges, ignored: &HashSet<OwnedUserId>) -> Option<Vec<OwnedUserId>> {
        let typists = self.passing.typing.since(room.plan.room, room.plan.since)?;
        Some(typists.into_iter().map(|(_, id)| id).filter(|id| !ignored.contains(id)).collect())
    }

    /// Of the rooms that a reader was in all the while, those in which somebody began or ceased to type.
    pub(super) fn rooms_with_typing(&self, joined: &[RoomNid], since: Position) -> Vec<RoomNid> {
        let changed: HashSet<RoomNid> = self.passing.typing.changed_rooms(since).into_iter().collect();
        joined.iter().copied().filter(|room| changed.contains(room)).collect()
    }
}

fn is_wanted(filter: &EventFilter, event_type: &str, room: &RoomChanges) -> bool {
    let room_id: &RoomId = &room.room.id;
    let candidate = Candidate { event_type, sender: None, room_id: Some(room_id), content: None };
    room.plan.section == Section::Join && filter.matches(candidate)
}
