//! Building an event on a view of its room.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::auth;
use hearth_core::auth::context::Member;
use hearth_core::id::StateKeyNid;
use hearth_core::membership::Membership;
use hearth_core::pdu::{Depth, Pdu, PduBuilder, Reference};
use hearth_core::room_version::RoomVersion;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::interned::StateKeyName;
use hearth_store::log::{MemberChange, NewEvent, NewNode, Redacts, StateChange};
use ruma::events::{StateEventType, TimelineEventType};
use ruma::{EventId, MilliSecondsSinceUnixEpoch, OwnedRoomId, UInt};
use serde::Deserialize;

use super::view::{Built, View};
use super::{Author, Draft, RoomError, Rooms};
use crate::clock;

/// Where a state event stands.
type AuthKey = (StateEventType, String);

/// State events by type and state key: those that the rules ask for.
type AuthState = HashMap<AuthKey, Arc<StoredEvent>>;

/// The room that an event is built for: its id is unknown while its create event is built, where the id is
/// that event's hash.
pub(super) struct Place<'a> {
    pub(super) room: hearth_core::id::RoomNid,
    pub(super) id: Option<&'a OwnedRoomId>,
    pub(super) version: &'static RoomVersion,
}

impl Rooms {
    /// Builds the event that `draft` becomes on top of `view`, if the rules allow it.
    ///
    /// # Errors
    ///
    /// [`RoomError::NewStateKey`] where the rules allow it and its state key has no integer. To get one takes a commit of
    /// its own, for which nobody else shall wait: the caller sees to it, and builds the event again.
    pub(super) async fn build(
        &self,
        place: &Place<'_>,
        view: &mut View,
        author: &Author,
        draft: &Draft,
    ) -> Result<Built, RoomError> {
        let keys = auth_types(place.version, author, draft)?;
        let state = self.auth_state(view, &keys).await?;
        let auth: Vec<_> = keys.iter().filter_map(|key| state.get(key).cloned()).collect();
        if draft.event_type != TimelineEventType::RoomCreate {
            let rules = view.rules(&self.reader, place.version).await?;
            if !rules.needs_full_check(&draft.event_type) {
                rules.may_send(member(author, &state), &draft.event_type, draft.state_key.as_deref())?;
                let pdu = self.assemble(place, view, author, draft, &auth)?;
                return self.surround(place, view, author, pdu, &auth).await;
            }
        }
        let pdu = self.assemble(place, view, author, draft, &auth)?;
        authorise(place.version, &pdu, &state)?;
        self.surround(place, view, author, pdu, &auth).await
    }

    /// The state events that bear on whether a draft is allowed: those at the keys it is checked against, and the
    /// create event.
    async fn auth_state(&self, view: &mut View, keys: &[AuthKey]) -> Result<AuthState, RoomError> {
        let create = (StateEventType::RoomCreate, String::new());
        let mut state = AuthState::with_capacity(keys.len() + 1);
        for key in keys.iter().chain([&create]) {
            if let Some(event) = view.state_event(&self.reader, &key.0, &key.1).await? {
                state.insert(key.clone(), event);
            }
        }
        Ok(state)
    }

    /// Hashes and signs.
    fn assemble(
        &self,
        place: &Place<'_>,
        view: &View,
        author: &Author,
        draft: &Draft,
        auth: &[Arc<StoredEvent>],
    ) -> Result<Pdu, RoomError> {
        let tied = view.tie();
        let depth = tied.iter().map(|head| head.depth).max().map_or(Depth::FIRST, |d| d.next(place.version));
        let auth_events = auth
            .iter()
            .map(|event| Reference::to(&event.pdu, place.version))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| StoreError::corrupt("event", "an auth event"))?;
        let event_id = place.version.event_ids_are_chosen().then(|| EventId::new_v1(self.key.server_name()));
        let builder = PduBuilder {
            room_id: place.id.cloned(),
            sender: author.id.clone(),
            event_type: draft.event_type.clone(),
            state_key: draft.state_key.clone(),
            content: draft.content.clone(),
            prev_events: tied.into_iter().map(|head| head.reference.clone()).collect(),
            auth_events,
            depth,
            origin_server_ts: now(),
            redacts: draft.redacts.clone(),
            event_id,
        };
        Ok(builder.build(place.version, &self.key)?)
    }

    /// Works out what the event changes.
    async fn surround(
        &self,
        place: &Place<'_>,
        view: &mut View,
        author: &Author,
        pdu: Pdu,
        auth: &[Arc<StoredEvent>],
    ) -> Result<Built, RoomError> {
        let nid = self.reader.interned.next_event_nid().await?;
        let weight = self.weight(place, view, author, &pdu).await?;
        let mut event = NewEvent {
            nid,
            room: place.room,
            sender: author.nid,
            state_key: None,
            pdu: Arc::new(pdu),
            root_before: view.state.root,
            auth_events: auth.iter().map(|event| event.nid).collect(),
            auth_order: auth.iter().map(|event| event.auth_order).max().unwrap_or(0).saturating_add(1),
            sent_by: None,
            heads: view.heads_beside(nid),
            state: None,
            members: Vec::new(),
            redacts: None,
            weight,
        };
        let mut nodes = Vec::new();
        if view.is_trial() {
            return Ok(Built { event, nodes: Vec::new() });
        }
        if let Some(state_key) = event.pdu.state_key() {
            let event_type = event.pdu.event_type().to_string();
            let known = self.reader.interned.known_state_key(&event_type, state_key).await?;
            let key =
                known.ok_or_else(|| RoomError::NewStateKey(StateKeyName::new(event_type, state_key)))?;
            event.state_key = Some(key);
            nodes = self.change_state(view, &mut event, key).await?;
        }
        if event.pdu.redacts().is_some() {
            event.redacts = self.redaction(place, view, author, &event.pdu).await?;
        }
        Ok(Built { event, nodes })
    }

    /// The state after a state event, and the memberships that change with it.
    async fn change_state(
        &self,
        view: &mut View,
        event: &mut NewEvent,
        key: StateKeyNid,
    ) -> Result<Vec<NewNode>, RoomError> {
        let mut state = view.state;
        if let Some(user) = member_of(&event.pdu) {
            let before = view
                .state_event(&self.reader, &StateEventType::RoomMember, user.as_str())
                .await?
                .and_then(|event| membership(&event.pdu));
            let after = membership(&event.pdu).unwrap_or(Membership::Leave);
            if before != Some(after) {
                state = count(state, before, after);
                event.members.push(MemberChange {
                    user: self.reader.interned.user(user).await?,
                    membership: after,
                    forgotten: false,
                    event: Some(event.nid),
                    stripped_state: None,
                });
            }
        }
        let updated = self.reader.states.update(view.state.root, &[(key, Some(event.nid))]).await?;
        event.state = Some(StateChange { root: updated.root, ..state });
        Ok(updated.nodes.into_iter().map(|node| NewNode { id: node.id, data: node.data }).collect())
    }

    /// What a redaction comes to. It applies where its target is known, in the same room, and its sender may
    /// redact or is of the target's server.
    async fn redaction(
        &self,
        place: &Place<'_>,
        view: &mut View,
        author: &Author,
        pdu: &Pdu,
    ) -> Result<Option<Redacts>, RoomError> {
        let Some(id) = pdu.redacts() else { return Ok(None) };
        let target = self.reader.events.by_id(id).await?.filter(|target| target.room == place.room);
        let applies_to = match target {
            None => None,
            Some(target) => {
                let rules = view.rules(&self.reader, place.version).await?;
                rules.redaction_applies(&author.id, target.pdu.sender()).is_ok().then_some(target.nid)
            }
        };
        Ok(Some(Redacts { target: id.to_string(), applies_to }))
    }
}

/// The keys of the events to be named as allowing the draft.
fn auth_types(version: &RoomVersion, author: &Author, draft: &Draft) -> Result<Vec<AuthKey>, RoomError> {
    let state_key = draft.state_key.as_deref();
    Ok(auth::auth_types(version, &draft.event_type, &author.id, state_key, draft.content.raw())?)
}

/// The author, as the state knows them.
fn member<'a>(author: &'a Author, state: &AuthState) -> Member<'a> {
    let event = state.get(&(StateEventType::RoomMember, author.id.to_string()));
    Member { user: &author.id, membership: event.and_then(|event| membership(&event.pdu)) }
}

/// Checks the event against the room's rules, all of them.
fn authorise(version: &RoomVersion, pdu: &Pdu, state: &AuthState) -> Result<(), RoomError> {
    let by_id = |id: &EventId| {
        state.values().find(|event| event.pdu.event_id() == id).map(|event| event.pdu.as_ref())
    };
    let by_key = |event_type: &StateEventType, key: &str| {
        state.get(&(event_type.clone(), key.to_owned())).map(|event| event.pdu.as_ref())
    };
    Ok(auth::check(version, pdu, by_id, by_key)?)
}

#[derive(Deserialize)]
struct MembershipField<'a> {
    #[serde(borrow)]
    membership: Option<std::borrow::Cow<'a, str>>,
}

/// What a member event makes of its user.
pub(super) fn membership(pdu: &Pdu) -> Option<Membership> {
    let field: MembershipField<'_> = serde_json::from_str(pdu.content().get()).ok()?;
    Membership::from_name(&field.membership?)
}

/// The user whom a member event is about.
fn member_of(pdu: &Pdu) -> Option<&ruma::UserId> {
    let state_key = pdu.state_key()?;
    if *pdu.event_type() != TimelineEventType::RoomMember {
        return None;
    }
    <&ruma::UserId>::try_from(state_key).ok()
}

fn count(state: StateChange, before: Option<Membership>, after: Membership) -> StateChange {
    let change = |which: Membership| i64::from(after == which) - i64::from(before == Some(which));
    StateChange {
        root: state.root,
        joined: state.joined + change(Membership::Join),
        invited: state.invited + change(Membership::Invite),
    }
}

fn now() -> MilliSecondsSinceUnixEpoch {
    let now = u64::try_from(clock::now_ms()).unwrap_or_default();
    MilliSecondsSinceUnixEpoch(UInt::new_saturating(now))
}
