//! How much of a room its reader has not read.

use hearth_core::id::{Position, RoomNid};
use hearth_store::StoreError;
use hearth_store::unread;
use ruma::OwnedUserId;

use super::engine::{Engine, RoomChanges};
use super::memory::Reader;
use super::plan::Section;
use crate::rooms::viewer::Viewer;

impl Engine {
    /// Counts what is unread in the rooms that a reader is in: from memory where it was counted before, and in one
    /// statement for all others.
    pub(super) async fn fill_unread(
        &self,
        viewer: &Viewer,
        rooms: &mut [RoomChanges],
        upto: Position,
    ) -> Result<(), StoreError> {
        let joined = rooms.iter().filter(|room| room.plan.section == Section::Join);
        let asked: Vec<RoomNid> = joined.map(|room| room.plan.room).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let user = viewer.user;
        let ignored = self.reader.ignored.of(user).await?;
        let mut found = self.memory.unread(Reader { user, upto, ignored: &ignored }, &asked);
        let missing: Vec<RoomNid> = asked.into_iter().filter(|room| !found.contains_key(room)).collect();
        if !missing.is_empty() {
            let ignored: Vec<OwnedUserId> = ignored.iter().cloned().collect();
            let reader = unread::Reader { user, upto, ignored: &ignored };
            let counted = self.reader.store.unread(reader, &missing).await?;
            self.memory.keep_unread(user, &counted, upto);
            found.extend(counted);
        }
        for room in rooms {
            room.unread = found.remove(&room.plan.room);
        }
        Ok(())
    }
}
