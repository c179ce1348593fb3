//! The state of rooms beside their timelines, and what sums a room up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid, Root, StateKeyNid};
use hearth_core::state_tree;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::log::StateChange;
use ruma::OwnedUserId;

use super::engine::{Engine, RoomChanges, View};
use super::plan::{Plan, Section};
use crate::rooms;
use crate::rooms::viewer::Viewer;

/// What sums up a room for those in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Whose names stand for the room, where it has no name.
    pub(super) heroes: Option<Vec<OwnedUserId>>,
    /// How many are joined.
    pub(super) joined: i64,
    /// How many are invited.
    pub(super) invited: i64,
}

/// The state at both ends of a window.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// What the reader knows; nothing, if none.
    known: Option<StateChange>,
    end: StateChange,
}

/// The states of rooms at positions.
type StatesAt = HashMap<(RoomNid, Position), StateChange>;

/// What stands where.
type Entries = HashMap<StateKeyNid, EventNid>;

/// The state keys of members among some.
struct Members(HashSet<StateKeyNid>);

pub(super) const MEMBER: &str = "m.room.member";

/// What a room is called by: types, and the fields of their contents.
const NAMES: [(&str, &str); 2] = [("m.room.name", "name"), ("m.room.canonical_alias", "alias")];

impl Engine {
    /// Works out state and summary of rooms whose timelines are there.
    pub(super) async fn fill_states(
        &self,
        viewer: &Viewer,
        rooms: &mut [RoomChanges],
        view: View<'_>,
    ) -> Result<(), StoreError> {
        let ends = self.ends(rooms, view).await?;
        let mut whole = self.whole_states(rooms, &ends, view).await?;
        let mut wanted: Vec<Vec<EventNid>> = Vec::with_capacity(rooms.len());
        for room in rooms.iter_mut() {
            let Some(ends) = ends.get(&room.plan.room) else {
                wanted.push(Vec::new());
                continue;
            };
            let summary = self.summary(viewer, room, *ends).await?;
            let whole = whole.remove(&room.plan.room);
            let entries = self.entries(viewer, room, (*ends, whole), (view, summary.as_ref())).await?;
            room.summary = summary.filter(|_| room.plan.section == Section::Join);
            wanted.push(entries.into_values().collect());
        }
        let nids: Vec<EventNid> = wanted.iter().flatten().copied().collect();
        let mut events = self.reader.events.get_many(&nids).await?.into_iter();
        for (room, wanted) in rooms.iter_mut().zip(wanted) {
            let state: Vec<Arc<StoredEvent>> = events.by_ref().take(wanted.len()).collect();
            room.state = state_in_order(state, view);
        }
        Ok(())
    }

    /// The states at the ends of the windows: from memory where it has them, all others in one statement.
    async fn ends(
        &self,
        rooms: &[RoomChanges],
        view: View<'_>,
    ) -> Result<HashMap<RoomNid, Ends>, StoreError> {
        let mut ends = HashMap::with_capacity(rooms.len());
        let mut changed: Vec<&Plan> = Vec::new();
        for room in rooms.iter().filter(|room| has_state(&room.plan)) {
            if view.full_state || !self.is_unchanged(&room.plan) {
                changed.push(&room.plan);
            } else if let Some(root) = first_root(room) {
                // Which state it is that did not change matters to nobody; the counts are not looked at.
                let state = StateChange { root, joined: 0, invited: 0 };
                ends.insert(room.plan.room, Ends { known: Some(state), end: state });
            }
        }
        let places: Vec<(RoomNid, Position)> = changed
            .iter()
            .flat_map(|plan| plan.since.into_iter().chain([plan.upto]).map(|at| (plan.room, at)))
            .collect();
        let states = self.states_at(&places).await?;
        for plan in changed {
            let known = plan.since.and_then(|since| states.get(&(plan.room, since)).copied());
            // A room without state is one whose history was deleted: there is nothing to tell of it.
            if let Some(end) = states.get(&(plan.room, plan.upto)) {
                ends.insert(plan.room, Ends { known, end: *end });
            }
        }
        Ok(ends)
    }

    /// Whether memory knows that the state of a room did not change in the window.
    pub(super) fn is_unchanged(&self, plan: &Plan) -> bool {
        plan.since.is_some_and(|since| self.memory.is_state_unchanged(plan.room, (since, plan.upto)))
    }

    /// The states that were current in rooms at positions.
    pub(super) async fn states_at(&self, places: &[(RoomNid, Position)]) -> Result<StatesAt, StoreError> {
        let (mut states, mut missing) = self.remembered_states(places);
        let _turn = match missing.first() {
            Some((room, _)) if missing.iter().all(|(other, _)| other == room) => {
                let turn = self.turns.of(*room).await;
                (states, missing) = self.remembered_states(places);
                turn
            }
            _ => None,
        };
        if !missing.is_empty() {
            for read in self.reader.store.room_states_at(&missing).await? {
                self.memory.learn_state(read.room, read.at, read.state);
                states.insert((read.room, read.at), read.state);
            }
        }
        Ok(states)
    }

    /// The states that are in memory, and where they are not.
    fn remembered_states(&self, places: &[(RoomNid, Position)]) -> (StatesAt, Vec<(RoomNid, Position)>) {
        let (mut states, mut missing) = (StatesAt::with_capacity(places.len()), Vec::new());
        for (room, pos) in places {
            match self.memory.state_at(*room, *pos) {
                Some(state) => drop(states.insert((*room, *pos), state)),
                None => missing.push((*room, *pos)),
            }
        }
        (states, missing)
    }

    /// What of a room's state its reader must be told.
    async fn entries(
        &self,
        viewer: &Viewer,
        room: &RoomChanges,
        (ends, whole): (Ends, Option<Entries>),
        (view, summary): (View<'_>, Option<&Summary>),
    ) -> Result<Entries, StoreError> {
        let end = ends.end.root;
        let start = start(room, ends, view);
        let is_whole = whole.is_some();
        let mut entries = match (whole, ends.known) {
            (Some(whole), _) => whole,
            (None, Some(known)) => self.difference(known.root, start).await?,
            (None, None) => Entries::new(),
        };
        let lazy = view.rooms.state.lazy_load_members;
        if lazy {
            let needed = self.needed_members(viewer, room, summary, is_whole).await?;
            if is_whole {
                let members = self.members_among(entries.keys().copied().collect()).await?;
                entries.retain(|key, _| needed.contains(key) || !members.0.contains(key));
            } else {
                self.add(&mut entries, start, &needed).await?;
            }
        }
        // What the timeline does not lead to: a resolution changed it, or the filter hides what did.
        let told: HashSet<EventNid> = room.timeline.events.iter().map(|told| told.seen.event.nid).collect();
        let rest = self.difference(start, end).await?;
        entries.extend(rest.into_iter().filter(|(_, event)| !told.contains(event)));
        Ok(entries)
    }

    /// The states of those rooms whose reader must be told all of it. What their summaries take is read with them,
    /// for all rooms together.
    async fn whole_states(
        &self,
        rooms: &[RoomChanges],
        ends: &HashMap<RoomNid, Ends>,
        view: View<'_>,
    ) -> Result<HashMap<RoomNid, Entries>, StoreError> {
        let mut whole: Vec<(RoomNid, Root)> = Vec::new();
        for room in rooms {
            if let Some(ends) = ends.get(&room.plan.room)
                && (ends.known.is_none() || (view.full_state && room.plan.section == Section::Join))
            {
                whole.push((room.plan.room, start(room, *ends, view)));
            }
        }
        if whole.is_empty() {
            return Ok(HashMap::new());
        }
        let starts: Vec<Root> = whole.iter().map(|(_, start)| *start).collect();
        let states = self.reader.states.entries_of(&starts).await?;
        let current: Vec<(RoomNid, Root)> =
            whole.iter().filter_map(|(room, _)| Some((*room, ends.get(room)?.end.root))).collect();
        self.prepare_summaries(&current).await?;
        let entries = |state: Vec<state_tree::Entry>| state.into_iter().map(|e| (e.key, e.event)).collect();
        Ok(whole.into_iter().zip(states).map(|((room, _), state)| (room, entries(state))).collect())
    }

    /// Reads names, aliases and heroes of rooms, for all of them together: what is asked for each of them
    /// afterwards is in memory.
    async fn prepare_summaries(&self, rooms: &[(RoomNid, Root)]) -> Result<(), StoreError> {
        let mut pairs = Vec::with_capacity(2 * rooms.len());
        for (event_type, _) in NAMES {
            let key = self.reader.interned.state_key(event_type, "").await?;
            pairs.extend(rooms.iter().map(|(_, root)| (*root, key)));
        }
        let names = self.reader.states.get_pairs(&pairs).await?;
        let nids: Vec<EventNid> = names.iter().copied().flatten().collect();
        self.reader.events.get_many(&nids).await?;
        let called: HashSet<Root> =
            pairs.iter().zip(&names).filter(|(_, name)| name.is_some()).map(|((root, _), _)| *root).collect();
        let nameless: Vec<RoomNid> =
            rooms.iter().filter(|(_, root)| !called.contains(root)).map(|(room, _)| *room).collect();
        let heroes = self.heroes.prepare(&nameless).await?;
        self.reader.interned.user_ids(&heroes).await?;
        Ok(())
    }

    /// What changed from one state to another, but for what is gone.
    async fn difference(&self, from: Root, to: Root) -> Result<Entries, StoreError> {
        if from == to {
            return Ok(Entries::new());
        }
        let changes = self.reader.states.diff(from, to).await?;
        Ok(changes.into_iter().filter_map(|change| Some((change.key, change.after?))).collect())
    }

    /// The members that a client which loads them lazily must be told of all the same: those who sent what is
    /// in the timeline; with the whole state also the reader and those who give the room its name.
    async fn needed_members(
        &self,
        viewer: &Viewer,
        room: &RoomChanges,
        summary: Option<&Summary>,
        whole: bool,
    ) -> Result<HashSet<StateKeyNid>, StoreError> {
        let mut users: HashSet<&str> =
            room.timeline.events.iter().map(|told| told.seen.event.pdu.sender().as_str()).collect();
        if whole {
            users.insert(viewer.id.as_str());
        }
        let heroes = summary.and_then(|summary| summary.heroes.as_ref());
        users.extend(heroes.into_iter().flatten().map(|hero| hero.as_str()));
        let mut keys = HashSet::with_capacity(users.len());
        for user in users {
            keys.extend(self.reader.interned.known_state_key(MEMBER, user).await?);
        }
        Ok(keys)
    }

    /// Adds what stands at some keys, unless there is something newer.
    async fn add(
        &self,
        entries: &mut Entries,
        root: Root,
        keys: &HashSet<StateKeyNid>,
    ) -> Result<(), StoreError> {
        let keys: Vec<StateKeyNid> = keys.iter().copied().filter(|key| !entries.contains_key(key)).collect();
        let found = self.reader.states.get_many(root, &keys).await?;
        entries.extend(keys.into_iter().zip(found).filter_map(|(key, event)| Some((key, event?))));
        Ok(())
    }

    async fn members_among(&self, keys: Vec<StateKeyNid>) -> Result<Members, StoreError> {
        let names = self.reader.interned.state_key_names(&keys).await?;
        let members = keys.into_iter().zip(names).filter(|(_, name)| name.event_type == MEMBER);
        Ok(Members(members.map(|(key, _)| key).collect()))
    }

    /// The summary of a room, where it is new or its members changed.
    async fn summary(
        &self,
        viewer: &Viewer,
        room: &RoomChanges,
        ends: Ends,
    ) -> Result<Option<Summary>, StoreError> {
        if let Some(known) = ends.known {
            let changed: Vec<StateKeyNid> =
                self.difference(known.root, ends.end.root).await?.into_keys().collect();
            if changed.is_empty() || self.members_among(changed).await?.0.is_empty() {
                return Ok(None);
            }
        }
        let mut heroes = None;
        if !self.is_named(ends.end.root).await? {
            let users = self.heroes.of(room.plan.room, viewer.user).await?;
            heroes = Some(self.reader.interned.user_ids(&users).await?);
        }
        Ok(Some(Summary { heroes, joined: ends.end.joined, invited: ends.end.invited }))
    }

    /// Whether a room has a name or an alias to be called by.
    async fn is_named(&self, root: Root) -> Result<bool, StoreError> {
        for (event_type, field) in NAMES {
            if let Some(nid) = self.at(root, event_type, "").await? {
                let event = self.reader.events.get(nid).await?;
                if text_of(&event, field).is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The state events that are wanted, in the order in which they came.
fn state_in_order(mut events: Vec<Arc<StoredEvent>>, view: View<'_>) -> Vec<Arc<StoredEvent>> {
    events.retain(|event| rooms::wants(&view.rooms.state, event));
    events.sort_unstable_by_key(|event| (event.place, event.nid));
    events
}

/// The state that is told as it stood: before the timeline, or after it.
fn start(room: &RoomChanges, ends: Ends, view: View<'_>) -> Root {
    first_root(room).filter(|_| !view.state_at_end).unwrap_or(ends.end.root)
}

/// The state before the timeline.
pub(super) fn first_root(room: &RoomChanges) -> Option<Root> {
    room.timeline.events.first()?.seen.event.root_before
}

/// Whether the reader may be told of a room's state.
pub(super) fn has_state(plan: &Plan) -> bool {
    matches!(plan.section, Section::Join | Section::Leave) && !plan.outsider
}

/// What a field of an event's content says: a text, if it is one that says something and was not redacted.
pub(super) fn text_of(event: &StoredEvent, field: &str) -> Option<String> {
    if event.redacted_by.is_some() {
        return None;
    }
    let content: serde_json::Value = serde_json::from_str(event.pdu.content().get()).unwrap_or_default();
    content.get(field)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
