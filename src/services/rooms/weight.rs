//! What an event adds to the unread counts of those in its room, found out once, when it is made.

use hearth_core::id::RoomNid;
use hearth_core::pdu::Pdu;
use hearth_core::relation::Relation;
use hearth_core::unread::{Countability, mentions_room};
use hearth_store::StoreError;
use hearth_store::unread::Weight;
use ruma::events::TimelineEventType;
use ruma::{OwnedEventId, UserId};

use super::build::Place;
use super::view::View;
use super::{Author, RoomError, RoomReader, Rooms};

/// How far a relation is followed to find out which thread an event is in.
///
/// > servers … may limit how far they recurse, at least three levels.
const RELATIONS_FOLLOWED: usize = 5;

impl Rooms {
    /// What an event of `author` weighs that is built on `view`. No statement, unless it mentions users or relates to
    /// an event other than by a thread.
    pub(super) async fn weight(
        &self,
        place: &Place<'_>,
        view: &mut View,
        author: &Author,
        pdu: &Pdu,
    ) -> Result<Weight, RoomError> {
        // Before a room is created nobody has power in it.
        let for_all = mentions_room(pdu)
            && *pdu.event_type() != TimelineEventType::RoomCreate
            && view.rules(&self.reader, place.version).await?.may_notify_room(&author.id);
        let Countability { counts, highlights, mentioned } = Countability::of(pdu, for_all);
        // Nobody asks for the counts of users of other servers.
        let local: Vec<&UserId> = mentioned
            .iter()
            .filter(|user| user.server_name() == self.key.server_name())
            .map(AsRef::as_ref)
            .collect();
        let thread = self.reader.thread_of(place.room, pdu).await?;
        Ok(Weight {
            thread: thread.map(|root| root.to_string()),
            counts,
            highlights,
            mentioned: self.reader.interned.known_users(&local).await?,
        })
    }
}

impl RoomReader {
    /// The event that the thread begins with which an event of a room is in; none where it is in no thread.
    ///
    /// > an event that relates to one in a thread, other than by `m.thread`, is in that thread, and the event that a
    /// > thread begins with is in `main`.
    pub(crate) async fn thread_of(
        &self,
        room: RoomNid,
        event: &Pdu,
    ) -> Result<Option<OwnedEventId>, StoreError> {
        if event.state_key().is_some() {
            return Ok(None);
        }
        let mut relation = Relation::of(event.content());
        for _ in 0..RELATIONS_FOLLOWED {
            let Some(follow) = relation else { return Ok(None) };
            if let Some(root) = follow.thread_root() {
                return Ok(Some(root.to_owned()));
            }
            let parent = self.events.by_id(&follow.event_id).await?.filter(|parent| parent.room == room);
            relation = parent.and_then(|parent| Relation::of(parent.pdu.content()));
        }
        Ok(None)
    }
}
