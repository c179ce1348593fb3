//! A room whose events are made here, as its owner wishes: no rule is asked.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid, Root, UserNid};
use hearth_core::membership::Membership;
use hearth_core::pdu::{Content, Depth, PduBuilder, Reference};
use hearth_core::room_version::{self, RoomVersion};
use hearth_core::unread::Countability;
use hearth_services::rooms::viewer::Viewer;
use hearth_store::log::{
    Append, Entry, MemberChange, NewEvent, NewNode, Proposal, Redacts, SentBy, StateChange,
};
use hearth_store::unread::Weight;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, uint};
use serde_json::{Value, json};

use super::{SERVER, World};

pub struct Room {
    pub nid: RoomNid,
    pub id: OwnedRoomId,
    version: &'static RoomVersion,
    state: StateChange,
    members: HashMap<UserNid, Membership>,
    head: Option<(Reference, EventNid)>,
    pos: Position,
}

/// An event that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub id: OwnedEventId,
    pub nid: EventNid,
}

impl Room {
    /// A room with its creator in it, and a history visibility.
    pub async fn new(world: &World, creator: &Viewer, visibility: &str) -> Self {
        let version = room_version::rules(&RoomVersionId::V11).unwrap();
        let id = RoomId::new_v1(SERVER.try_into().unwrap());
        let nid = world.store.intern_room(&id, version).await.unwrap();
        let state = StateChange { root: Root::EMPTY, joined: 0, invited: 0 };
        let (members, head, pos) = (HashMap::new(), None, Position::ZERO);
        let mut room = Self { nid, id, version, state, members, head, pos };
        room.set(world, creator, ("m.room.create", ""), json!({"room_version": "11"})).await;
        room.member(world, creator, creator, "join").await;
        let content = json!({ "history_visibility": visibility });
        room.set(world, creator, ("m.room.history_visibility", ""), content).await;
        room
    }

    /// A message.
    pub async fn say(&mut self, world: &World, by: &Viewer, body: &str) -> Sent {
        let content = json!({"msgtype": "m.text", "body": body});
        self.send(world, by, ("m.room.message", None), (content, None)).await
    }

    /// A state event.
    pub async fn set(&mut self, world: &World, by: &Viewer, at: (&str, &str), content: Value) -> Sent {
        self.send(world, by, (at.0, Some(at.1)), (content, None)).await
    }

    /// A member event.
    pub async fn member(&mut self, world: &World, by: &Viewer, of: &Viewer, membership: &str) -> Sent {
        let content = json!({ "membership": membership });
        self.set(world, by, ("m.room.member", of.id.as_str()), content).await
    }

    /// A redaction that takes effect.
    pub async fn redact(&mut self, world: &World, by: &Viewer, target: &Sent) -> Sent {
        let content = json!({ "redacts": target.id });
        self.send(world, by, ("m.room.redaction", None), (content, Some(target))).await
    }

    async fn send(
        &mut self,
        world: &World,
        by: &Viewer,
        (kind, key): (&str, Option<&str>),
        (content, target): (Value, Option<&Sent>),
    ) -> Sent {
        let builder = PduBuilder {
            room_id: Some(self.id.clone()),
            sender: by.id.clone(),
            event_type: kind.into(),
            state_key: key.map(ToOwned::to_owned),
            content: Content::from_client(content.to_string(), self.version).unwrap(),
            prev_events: self.head.iter().map(|(reference, _)| reference.clone()).collect(),
            auth_events: Vec::new(),
            depth: Depth::FIRST,
            origin_server_ts: MilliSecondsSinceUnixEpoch(uint!(1000)),
            redacts: None,
            event_id: None,
        };
        let pdu = builder.build(self.version, &world.key).unwrap();
        let sent = Sent { id: pdu.event_id().clone(), nid: world.interned.next_event_nid().await.unwrap() };
        let weight = Weight { counts: Countability::of(&pdu, false).counts, ..Weight::default() };
        self.head = Some((Reference::to(&pdu, self.version).unwrap(), sent.nid));
        let mut event = NewEvent {
            nid: sent.nid,
            room: self.nid,
            sender: by.user,
            state_key: None,
            pdu: Arc::new(pdu),
            root_before: self.state.root,
            auth_events: Vec::new(),
            auth_order: 1,
            sent_by: Some(SentBy {
                device_id: by.device.clone().unwrap_or_default(),
                txn_id: "txn".to_owned(),
            }),
            heads: None,
            state: None,
            members: Vec::new(),
            redacts: target
                .map(|target| Redacts { target: target.id.to_string(), applies_to: Some(target.nid) }),
            weight,
        };
        let nodes = self.change_state(world, &mut event, &content).await;
        let proposal = Proposal {
            append: Some(Append { room: self.nid, base: self.pos }),
            entries: vec![Entry::Event(Arc::new(event))],
            nodes,
            ..Proposal::default()
        };
        self.pos = world.log.commit(proposal).await.unwrap().pos;
        sent
    }

    async fn change_state(&mut self, world: &World, event: &mut NewEvent, content: &Value) -> Vec<NewNode> {
        let Some(key) = event.pdu.state_key() else { return Vec::new() };
        let kind = event.pdu.event_type().to_string();
        let nid = world.interned.state_key(&kind, key).await.unwrap();
        event.state_key = Some(nid);
        if kind == "m.room.member" {
            let user = world.interned.user(key.try_into().unwrap()).await.unwrap();
            let membership = Membership::from_name(content["membership"].as_str().unwrap()).unwrap();
            let before = self.members.insert(user, membership);
            let count = |which| i64::from(membership == which) - i64::from(before == Some(which));
            self.state.joined += count(Membership::Join);
            self.state.invited += count(Membership::Invite);
            event.members.push(MemberChange {
                user,
                membership,
                forgotten: false,
                event: Some(event.nid),
                stripped_state: None,
            });
        }
        let updated = world.states.update(self.state.root, &[(nid, Some(event.nid))]).await.unwrap();
        self.state.root = updated.root;
        event.state = Some(self.state);
        updated.nodes.into_iter().map(|node| NewNode { id: node.id, data: node.data }).collect()
    }
}
