//! Whether a reader may see an event of a room's past.

use hearth_core::id::{EventNid, Root, StateKeyNid};
use hearth_core::membership::Membership;
use hearth_core::visibility::{HistoryVisibility, View, may_see, may_see_change};
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use ruma::events::TimelineEventType;
use serde::Deserialize;

use super::engine::{Engine, Reader};
use super::plan::Plan;
use super::shown::Shown;

/// The part of a member event's content that says what its user is.
#[derive(Deserialize)]
struct MemberContent<'a> {
    #[serde(borrow)]
    membership: std::borrow::Cow<'a, str>,
}

impl Engine {
    /// What the reader was to the room at an event, the event included, if they may see it.
    ///
    /// Whoever was in at that time, by the log, sees it; all else is judged by the state at the event.
    pub(super) async fn judge(
        &self,
        reader: &Reader,
        plan: &Plan,
        shown: &Shown,
    ) -> Result<Option<Membership>, StoreError> {
        let event = &shown.event;
        let own = own_membership(reader, event);
        if plan.outsider {
            return Ok(own);
        }
        let live = event.place.is_some_and(|place| place.sub == 0);
        if live && plan.is_in(shown.pos()) {
            return Ok(Some(own.unwrap_or(Membership::Join)));
        }
        // The state at the event was never worked out: nobody can tell who may see it.
        let Some(root) = event.root_before else { return Ok(None) };
        let before = self.view_at(reader, root).await?;
        let mut after = before;
        if own.is_some() {
            after.membership = own;
        }
        if *event.pdu.event_type() == TimelineEventType::RoomHistoryVisibility
            && event.pdu.state_key() == Some("")
        {
            after.visibility = HistoryVisibility::from_content(event.pdu.content());
        }
        let joined_later = plan.is_in_later(shown.pos());
        let visible = if after == before {
            may_see(before, joined_later)
        } else {
            may_see_change(before, after, joined_later)
        };
        Ok(visible.then(|| after.membership.unwrap_or(Membership::Leave)))
    }

    /// What decides about a reader in a state of the room.
    async fn view_at(&self, reader: &Reader, root: Root) -> Result<View, StoreError> {
        let visibility = self.at(root, "m.room.history_visibility", "").await?;
        let member = self.at(root, "m.room.member", reader.id.as_str()).await?;
        let visibility = match visibility {
            Some(nid) => HistoryVisibility::from_content(self.events.get(nid).await?.pdu.content()),
            None => HistoryVisibility::default(),
        };
        let membership = match member {
            Some(nid) => membership(&*self.events.get(nid).await?),
            None => None,
        };
        Ok(View { visibility, membership })
    }

    /// What stands at a type and state key in a state.
    pub(super) async fn at(
        &self,
        root: Root,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<EventNid>, StoreError> {
        match self.key(event_type, state_key).await? {
            Some(key) => self.states.get(root, key).await,
            None => Ok(None),
        }
    }

    /// The integer of a type and state key, if anything was ever sent under them.
    pub(super) async fn key(
        &self,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<StateKeyNid>, StoreError> {
        self.interned.known_state_key(event_type, state_key).await
    }
}

/// What an event makes of its reader, if it is about them.
fn own_membership(reader: &Reader, event: &StoredEvent) -> Option<Membership> {
    let is_own = *event.pdu.event_type() == TimelineEventType::RoomMember
        && event.pdu.state_key() == Some(reader.id.as_str());
    is_own.then(|| membership(event)).flatten()
}

/// What a member event makes of its user.
fn membership(event: &StoredEvent) -> Option<Membership> {
    let content: MemberContent<'_> = serde_json::from_str(event.pdu.content().get()).ok()?;
    Membership::from_name(&content.membership)
}
