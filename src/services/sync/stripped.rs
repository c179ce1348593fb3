//! What those who are invited, or knocked, are told of a room they are not in.

use std::sync::Arc;

use hearth_core::client_event::ClientEvent;
use hearth_core::id::EventNid;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::membership::MembershipAt;
use serde_json::value::RawValue;

use super::engine::{Engine, RoomChanges};
use super::plan::Section;
use crate::rooms::client_view::redacted;
use crate::rooms::viewer::Viewer;

/// > The server MUST include `m.room.create` … and SHOULD include the join rules, canonical alias, avatar,
/// > name, encryption and topic.
const TOLD: [&str; 7] = [
    "m.room.create",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.avatar",
    "m.room.name",
    "m.room.encryption",
    "m.room.topic",
];

const MEMBER: &str = "m.room.member";

impl Engine {
    /// Works out what invited and knocking readers are told; invites by ignored users are left out.
    pub(super) async fn fill_stripped(
        &self,
        viewer: &Viewer,
        rooms: &mut Vec<RoomChanges>,
    ) -> Result<(), StoreError> {
        let ignored = self.reader.ignored.of(viewer.user).await?;
        let mut unwanted = Vec::new();
        for room in &mut *rooms {
            if room.plan.section == Section::Invite
                && !ignored.is_empty()
                && let Some(nid) = room.plan.own.as_ref().and_then(|own| own.event)
                && ignored.contains(self.reader.events.get(nid).await?.pdu.sender())
            {
                unwanted.push(room.plan.room);
                continue;
            }
            if matches!(room.plan.section, Section::Invite | Section::Knock)
                && let Some(own) = &room.plan.own
            {
                room.stripped = self.stripped(viewer, room, own).await?;
            }
        }
        rooms.retain(|room| !unwanted.contains(&room.plan.room));
        Ok(())
    }

    async fn stripped(
        &self,
        viewer: &Viewer,
        room: &RoomChanges,
        own: &MembershipAt,
    ) -> Result<Vec<String>, StoreError> {
        let own_event = match own.event {
            Some(nid) => Some(self.reader.events.get(nid).await?),
            None => None,
        };
        if let Some(told) = &own.stripped_state {
            return told_by_others(viewer, told, own_event.as_deref(), room);
        }
        let states = self.states_at(&[(own.room, own.pos)]).await?;
        let Some(state) = states.get(&(own.room, own.pos)) else { return Ok(Vec::new()) };
        let mut nids: Vec<EventNid> = Vec::new();
        for event_type in TOLD {
            nids.extend(self.at(state.root, event_type, "").await?);
        }
        if let Some(inviter) = own_event.as_deref().map(|event| event.pdu.sender())
            && inviter != &*viewer.id
        {
            nids.extend(self.at(state.root, MEMBER, inviter.as_str()).await?);
        }
        let events: Vec<Arc<StoredEvent>> = self.reader.events.get_many(&nids).await?;
        events.iter().map(Arc::as_ref).chain(own_event.as_deref()).map(|event| strip(event, room)).collect()
    }
}

/// What another server told of the room, and the reader's own member event, which it may have left out.
fn told_by_others(
    viewer: &Viewer,
    told: &str,
    own: Option<&StoredEvent>,
    room: &RoomChanges,
) -> Result<Vec<String>, StoreError> {
    let corrupt = |_| StoreError::corrupt("membership", format!("{} in {}", viewer.user, room.plan.room));
    let told: Vec<Box<RawValue>> = serde_json::from_str(told).map_err(corrupt)?;
    let mut events: Vec<String> = told
        .into_iter()
        .map(|event| event.get().to_owned())
        .filter(|event| own.is_none() || !is_member_event_of(event, viewer))
        .collect();
    if let Some(own) = own {
        events.push(strip(own, room)?);
    }
    Ok(events)
}

fn is_member_event_of(event: &str, viewer: &Viewer) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        event_type: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        state_key: std::borrow::Cow<'a, str>,
    }
    // What is no state event is nobody's member event.
    serde_json::from_str::<Kind<'_>>(event)
        .is_ok_and(|event| event.event_type == MEMBER && event.state_key == viewer.id.as_str())
}

fn strip(event: &StoredEvent, room: &RoomChanges) -> Result<String, StoreError> {
    if event.redacted_by.is_none() {
        return Ok(ClientEvent::stripped(&event.pdu).as_str().to_owned());
    }
    let redacted = redacted(event, room.room.version)?;
    Ok(ClientEvent::stripped(&redacted).as_str().to_owned())
}
