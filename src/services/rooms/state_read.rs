//! A room's state and members, as a viewer sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, Root};
use hearth_core::membership::Membership;
use hearth_core::token::{Place, Point};
use hearth_store::event::{Direction, Page, StoredEvent};
use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client_view::Form;
use super::sight::{NOW, Sight};
use super::viewer::Viewer;
use super::{RoomError, RoomReader, Rooms};
use crate::clock;

const MEMBER: &str = "m.room.member";

/// Which members a client asks for.
#[derive(Clone, Debug, Default)]
pub struct MembersRequest {
    /// As of this token; none for now.
    pub at: Option<String>,
    /// Only those of this membership, or of any but the other.
    pub membership: Option<String>,
    /// Those of any membership but this, or of the other.
    pub not_membership: Option<String>,
}

/// How a joined member shows.
#[derive(Debug, Default, Serialize)]
pub struct JoinedMember {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
}

impl Rooms {
    /// The whole state of a room.
    pub async fn state(&self, viewer: &Viewer, id: &RoomId) -> Result<Vec<Box<RawValue>>, RoomError> {
        let sight = self.reader.sight(viewer, id).await?;
        let root = self.reader.state_in_sight(&sight).await?;
        let nids: Vec<EventNid> =
            self.reader.states.entries(root).await?.into_iter().map(|entry| entry.event).collect();
        let events = self.reader.events.get_many(&nids).await?;
        Ok(self.reader.encode_state(viewer, &events, (Form::Full, clock::now_ms())).await?)
    }

    /// One state event.
    pub async fn state_event(
        &self,
        viewer: &Viewer,
        id: &RoomId,
        (event_type, state_key): (&str, &str),
    ) -> Result<Box<RawValue>, RoomError> {
        let event = self.state_event_in_sight(viewer, id, (event_type, state_key)).await?;
        let shape = (Form::Full, clock::now_ms());
        self.reader.encode_state(viewer, &[event], shape).await?.pop().ok_or(RoomError::UnknownEvent)
    }

    /// The content of one state event.
    pub async fn state_content(
        &self,
        viewer: &Viewer,
        id: &RoomId,
        (event_type, state_key): (&str, &str),
    ) -> Result<Box<RawValue>, RoomError> {
        let event = self.state_event_in_sight(viewer, id, (event_type, state_key)).await?;
        Ok(self.reader.content(&event).await?)
    }

    /// Member events of a room.
    pub async fn members(
        &self,
        viewer: &Viewer,
        id: &RoomId,
        request: &MembersRequest,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let sight = self.reader.sight(viewer, id).await?;
        let root = match &request.at {
            None => self.reader.state_in_sight(&sight).await?,
            Some(token) => {
                let point = self.point(token).await?;
                self.reader.state_at(viewer, &sight, point).await?
            }
        };
        let mut events = self.reader.member_events(root).await?;
        events.retain(|event| request.wants(membership_of(event).map(Membership::name)));
        Ok(self.reader.encode_state(viewer, &events, (Form::Full, clock::now_ms())).await?)
    }

    /// Who is in a room, by user id.
    pub async fn joined_members(
        &self,
        viewer: &Viewer,
        id: &RoomId,
    ) -> Result<BTreeMap<String, JoinedMember>, RoomError> {
        let sight = self.reader.member_sight(viewer, id).await?;
        let root = self.reader.state_in_sight(&sight).await?;
        let mut joined = BTreeMap::new();
        for event in self.reader.member_events(root).await? {
            if membership_of(&event) != Some(Membership::Join) {
                continue;
            }
            let content = self.reader.content(&event).await?;
            if let Some(user) = event.pdu.state_key() {
                joined.insert(user.to_owned(), JoinedMember::of(&content));
            }
        }
        Ok(joined)
    }

    /// The rooms that a viewer is in.
    pub async fn joined_rooms(&self, viewer: &Viewer) -> Result<Vec<OwnedRoomId>, RoomError> {
        let memberships = self.reader.store.memberships_of(viewer.user).await?;
        let joined: Vec<_> = memberships
            .into_iter()
            .filter(|row| row.membership == Membership::Join)
            .map(|row| row.room)
            .collect();
        let mut rooms = self.reader.store.rooms(&joined).await?;
        rooms.sort_unstable_by_key(|room| room.nid);
        Ok(rooms.into_iter().map(|room| room.id).collect())
    }

    async fn state_event_in_sight(
        &self,
        viewer: &Viewer,
        id: &RoomId,
        (event_type, state_key): (&str, &str),
    ) -> Result<Arc<StoredEvent>, RoomError> {
        let sight = self.reader.sight(viewer, id).await?;
        let root = self.reader.state_in_sight(&sight).await?;
        let absent = || RoomError::UnknownEvent;
        let key = self.reader.interned.known_state_key(event_type, state_key).await?.ok_or_else(absent)?;
        let nid = self.reader.states.get(root, key).await?.ok_or_else(absent)?;
        Ok(self.reader.events.get(nid).await?)
    }
}

impl RoomReader {
    /// The member events of a state, in the order of their state keys' integers.
    async fn member_events(&self, root: Root) -> Result<Vec<Arc<StoredEvent>>, RoomError> {
        let entries = self.states.entries(root).await?;
        let keys: Vec<_> = entries.iter().map(|entry| entry.key).collect();
        let names = self.interned.state_key_names(&keys).await?;
        let members: Vec<EventNid> = entries
            .iter()
            .zip(names)
            .filter(|(_, name)| name.event_type == MEMBER)
            .map(|(entry, _)| entry.event)
            .collect();
        Ok(self.events.get_many(&members).await?)
    }

    /// The state at a point of a room's history, for one who may see it.
    async fn state_at(&self, viewer: &Viewer, sight: &Sight, point: Point) -> Result<Root, RoomError> {
        let point = sight.end().map_or(point, |end| point.min(end));
        let unseen = || RoomError::Denied("You may not see the room as it was then.".to_owned());
        let place = point.place();
        let root = if place.sub < 0 {
            // Among what was fetched into a gap: the state before the event that follows.
            let page = Page { direction: Direction::Forward, to: None, limit: 1 };
            let next = self.store.history(sight.room.nid, point, page).await?.pop();
            next.and_then(|event| event.root_before)
        } else {
            let pos = if place.sub > 0 { place.anchor } else { Position::new(place.anchor.get() - 1) };
            self.store.room_state_at(sight.room.nid, pos.min(NOW)).await?.map(|state| state.root)
        };
        let root = root.ok_or_else(unseen)?;
        let at = (root, Place { anchor: place.anchor, sub: place.sub - 1 });
        if self.sees_state(viewer, &sight.past, at).await? { Ok(root) } else { Err(unseen()) }
    }
}

impl MembersRequest {
    /// > If both `membership` and `not_membership` are given, members that match either are returned.
    fn wants(&self, membership: Option<&str>) -> bool {
        let is = |wanted: &String| membership == Some(wanted.as_str());
        match (&self.membership, &self.not_membership) {
            (None, None) => true,
            (Some(only), None) => is(only),
            (None, Some(not)) => !is(not),
            (Some(only), Some(not)) => is(only) || !is(not),
        }
    }
}

impl JoinedMember {
    /// From a member event's content, in which anyone may have written anything.
    fn of(content: &RawValue) -> Self {
        #[derive(Default, Deserialize)]
        struct Content {
            displayname: Option<serde_json::Value>,
            avatar_url: Option<serde_json::Value>,
        }
        let content: Content = serde_json::from_str(content.get()).unwrap_or_default();
        let string = |value: Option<serde_json::Value>| value?.as_str().map(str::to_owned);
        Self { display_name: string(content.displayname), avatar_url: string(content.avatar_url) }
    }
}

fn membership_of(event: &StoredEvent) -> Option<Membership> {
    super::visible::membership(&event.pdu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_wanted_by_either_of_two_conditions() {
        let request = |membership: Option<&str>, not: Option<&str>| MembersRequest {
            at: None,
            membership: membership.map(str::to_owned),
            not_membership: not.map(str::to_owned),
        };
        let wanted = |request: &MembersRequest| {
            ["join", "invite", "leave"].map(|membership| request.wants(Some(membership)))
        };
        assert_eq!(wanted(&request(None, None)), [true, true, true]);
        assert_eq!(wanted(&request(Some("join"), None)), [true, false, false]);
        assert_eq!(wanted(&request(None, Some("leave"))), [true, true, false]);
        assert_eq!(wanted(&request(Some("leave"), Some("join"))), [false, true, true]);
    }

    #[test]
    fn a_members_name_is_left_out_where_it_is_no_string() {
        let of = |json: &str| {
            let content = RawValue::from_string(json.to_owned()).unwrap();
            serde_json::to_value(JoinedMember::of(&content)).unwrap()
        };
        let whole = r#"{"membership":"join","displayname":"Ann","avatar_url":"mxc://x/y"}"#;
        assert_eq!(of(whole), serde_json::json!({ "display_name": "Ann", "avatar_url": "mxc://x/y" }));
        assert_eq!(of(r#"{"displayname":5,"avatar_url":null}"#), serde_json::json!({}));
        assert_eq!(of("[]"), serde_json::json!({}));
    }
}
