//! Which events of a room a user may see: history visibility, judged at every event.
//!
//! An event is judged by the state before it, at its own root, whatever the room's settings are now; where the
//! event itself changes what it is judged by, by whichever of before and after allows more. An event whose
//! state was never computed is hidden: the current state says nothing of it.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, Root, StateKeyNid};
use hearth_core::membership::Membership;
use hearth_core::pdu::Pdu;
use hearth_core::token::Place;
use hearth_core::visibility::{HistoryVisibility, View, may_see, may_see_change};
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use ruma::events::TimelineEventType;
use serde::Deserialize;

use super::RoomReader;
use super::client_view::redacted;
use super::viewer::{Past, Viewer};

/// An event that its viewer may see.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The event.
    pub event: Arc<StoredEvent>,
    /// What the viewer was to the room at the event, what the event changed about it included.
    pub membership: Membership,
    /// They may see the state before the event too.
    pub shows_previous: bool,
}

impl Seen {
    /// An event that is seen because its viewer was in the room before it.
    #[must_use]
    pub fn by_member(viewer: &Viewer, event: Arc<StoredEvent>) -> Self {
        let membership = own_membership(viewer, &event.pdu).unwrap_or(Membership::Join);
        Self { event, membership, shows_previous: true }
    }
}

impl RoomReader {
    /// Those of a room's events that a viewer may see, in their order; what ignored users said is not among them.
    ///
    /// Makes as many statements as the deepest state tree has levels, and one for the state events in them; none
    /// where they are in memory.
    pub async fn seen(
        &self,
        viewer: &Viewer,
        past: &Past,
        events: Vec<Arc<StoredEvent>>,
    ) -> Result<Vec<Seen>, StoreError> {
        let events = self.without_ignored(viewer, events).await?;
        let roots: Vec<Root> =
            events.iter().filter_map(|event| placed(event)).map(|(root, _)| root).collect();
        let views = self.views(viewer, roots).await?;
        let erased = self.erased.all().await?;
        let mut judged = Vec::with_capacity(events.len());
        for event in events {
            let Some((root, place)) = placed(&event) else { continue };
            let Some(before) = views.get(&root) else { continue };
            let was_there = before.membership == Some(Membership::Join);
            let Some(seen) = judge(viewer, past.joined_since(place), *before, event) else { continue };
            let is_erased = !was_there && erased.contains(&seen.event.sender);
            judged.push(if is_erased { self.erased(seen).await? } else { seen });
        }
        Ok(judged)
    }

    /// What is left of an event whose sender was erased, for one who was not there.
    async fn erased(&self, seen: Seen) -> Result<Seen, StoreError> {
        let version = self.version_of(&seen.event).await?;
        let pdu = Arc::new(redacted(&seen.event, version)?);
        let event = Arc::new(StoredEvent { pdu, ..StoredEvent::clone(&seen.event) });
        Ok(Seen { event, shows_previous: false, ..seen })
    }

    /// Events without what users said whom the viewer ignores. What they did to the room's state stays.
    pub async fn without_ignored(
        &self,
        viewer: &Viewer,
        mut events: Vec<Arc<StoredEvent>>,
    ) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        let ignored = self.ignored.of(viewer.user).await?;
        if !ignored.is_empty() {
            events.retain(|event| event.state_key.is_some() || !ignored.contains(event.pdu.sender()));
        }
        Ok(events)
    }

    /// Whether a viewer may see the state `root` that was before the event at `place`, or that is current, as if
    /// it were an event.
    pub async fn sees_state(
        &self,
        viewer: &Viewer,
        past: &Past,
        (root, place): (Root, Place),
    ) -> Result<bool, StoreError> {
        let views = self.views(viewer, vec![root]).await?;
        let since = past.joined_since(place);
        Ok(views.get(&root).is_some_and(|view| may_see(*view, since)))
    }

    /// Whether anyone may read the room as it is in the state `root`.
    pub async fn is_world_readable(&self, root: Root) -> Result<bool, StoreError> {
        let key = self.interned.known_state_key(HISTORY_VISIBILITY, "").await?;
        let Some(key) = key else { return Ok(false) };
        let Some(nid) = self.states.get(root, key).await? else { return Ok(false) };
        let event = self.events.get(nid).await?;
        Ok(HistoryVisibility::from_content(event.pdu.content()) == HistoryVisibility::WorldReadable)
    }

    /// What the viewer's sight depends on, in each of some states.
    async fn views(&self, viewer: &Viewer, mut roots: Vec<Root>) -> Result<HashMap<Root, View>, StoreError> {
        roots.sort_unstable();
        roots.dedup();
        let keys = [
            self.interned.known_state_key(HISTORY_VISIBILITY, "").await?,
            self.interned.known_state_key(MEMBER, viewer.id.as_str()).await?,
        ];
        let pairs: Vec<(Root, StateKeyNid)> =
            roots.iter().flat_map(|root| keys.into_iter().flatten().map(|key| (*root, key))).collect();
        let stands = self.states.get_pairs(&pairs).await?;
        let nids: Vec<EventNid> = stands.iter().flatten().copied().collect();
        let events = self.events.get_many(&nids).await?;
        // What holds before anything was said.
        let unsaid = View { visibility: HistoryVisibility::default(), membership: None };
        let mut views: HashMap<Root, View> = roots.into_iter().map(|root| (root, unsaid)).collect();
        let found = pairs.iter().zip(&stands).filter(|(_, nid)| nid.is_some()).zip(events);
        for (((root, key), _), event) in found {
            let Some(view) = views.get_mut(root) else { continue };
            if Some(*key) == keys[0] {
                view.visibility = HistoryVisibility::from_content(event.pdu.content());
            } else {
                view.membership = membership(&event.pdu);
            }
        }
        Ok(views)
    }
}

const HISTORY_VISIBILITY: &str = "m.room.history_visibility";
const MEMBER: &str = "m.room.member";

/// The state before an event and its place, where it stands in the history and its state is known.
fn placed(event: &StoredEvent) -> Option<(Root, Place)> {
    if event.rejected || event.soft_failed {
        return None;
    }
    event.root_before.zip(event.place)
}

/// The event, if the viewer may see it.
fn judge(viewer: &Viewer, since: bool, before: View, event: Arc<StoredEvent>) -> Option<Seen> {
    let own = own_membership(viewer, &event.pdu);
    let after = View {
        visibility: set_visibility(&event.pdu).unwrap_or(before.visibility),
        membership: own.or(before.membership),
    };
    may_see_change(before, after, since).then(|| Seen {
        event,
        membership: after.membership.unwrap_or(Membership::Leave),
        shows_previous: own.is_some() || may_see(before, since),
    })
}

/// The visibility that an event sets, if it is one that sets it.
fn set_visibility(pdu: &Pdu) -> Option<HistoryVisibility> {
    let sets = *pdu.event_type() == TimelineEventType::RoomHistoryVisibility && pdu.state_key() == Some("");
    sets.then(|| HistoryVisibility::from_content(pdu.content()))
}

/// What a member event makes of the viewer, if it is about them.
fn own_membership(viewer: &Viewer, pdu: &Pdu) -> Option<Membership> {
    let own =
        *pdu.event_type() == TimelineEventType::RoomMember && pdu.state_key() == Some(viewer.id.as_str());
    own.then(|| membership(pdu)).flatten()
}

/// The membership in a member event's content.
pub(super) fn membership(pdu: &Pdu) -> Option<Membership> {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        membership: std::borrow::Cow<'a, str>,
    }
    let content: Content<'_> = serde_json::from_str(pdu.content().get()).ok()?;
    Membership::from_name(&content.membership)
}
