//! The first events of a room, whose create event may have to be built before the room has a name.

use std::sync::Arc;

use hearth_core::id::RoomNid;
use hearth_core::room_version::RoomVersion;
use hearth_store::room::Room;
use ruma::OwnedRoomId;

use super::build::Place;
use super::handle::Handle;
use super::view::{Built, View};
use super::{Added, Addition, RoomError, Rooms};

/// The room's integer until it has one.
const UNNUMBERED: RoomNid = RoomNid::new(0);

/// A room whose events are built, and of which nothing is committed.
pub(super) struct Begun {
    pub(super) room: Room,
    view: View,
    built: Vec<Built>,
}

/// The first events of a room that has no integer yet.
struct Foundation {
    id: OwnedRoomId,
    view: View,
    built: Vec<Built>,
}

impl Rooms {
    /// Builds the first events of a room. Without an id the room is named by its create event.
    pub(super) async fn begin(
        &self,
        version: &'static RoomVersion,
        id: Option<OwnedRoomId>,
        addition: &Addition,
    ) -> Result<Begun, RoomError> {
        // What is refused leaves no trace, not even names that got integers.
        self.build_first(version, id.clone(), addition, View::trial()).await?;
        let Foundation { id, view, mut built } =
            self.build_first(version, id, addition, View::empty()).await?;
        let nid = self.reader.store.intern_room(&id, version).await?;
        for next in &mut built {
            next.event.room = nid;
        }
        Ok(Begun { room: Room { nid, id, version }, view, built })
    }

    /// Builds the first events on a view of nothing.
    async fn build_first(
        &self,
        version: &'static RoomVersion,
        mut id: Option<OwnedRoomId>,
        addition: &Addition,
        mut view: View,
    ) -> Result<Foundation, RoomError> {
        let mut built: Vec<Built> = Vec::with_capacity(addition.drafts.len());
        for draft in &addition.drafts {
            let place = Place { room: UNNUMBERED, id: id.as_ref(), version };
            let next = loop {
                match self.build(&place, &mut view, &addition.author, draft).await {
                    Err(RoomError::NewStateKey(name)) => self.number(&name).await?,
                    built => break built?,
                }
            };
            id.get_or_insert_with(|| next.event.pdu.room_id().to_owned());
            view.push(&next.event, version)?;
            built.push(next);
        }
        let id = id.ok_or(RoomError::UnknownRoom)?;
        Ok(Foundation { id, view, built })
    }
}

impl Begun {
    /// Commits everything, or nothing.
    pub(super) async fn finish(self, rooms: &Rooms, addition: &Addition) -> Result<Vec<Added>, RoomError> {
        let handle = Arc::new(Handle::new(self.room));
        rooms.keep_handle(&handle);
        let submitted = handle.submit_built(rooms, addition, &self.view.chain, self.built)?;
        submitted.commit().await
    }
}
