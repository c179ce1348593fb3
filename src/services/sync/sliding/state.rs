//! The state that rooms' readers require, and what rooms are called by.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid, Root, StateKeyNid};
use hearth_core::state_tree::Change;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::interned::StateKeyName;
use hearth_store::log::StateChange;

use super::answer::{Look, Looks};
use super::face::{Face, Named};
use crate::rooms::viewer::Viewer;
use crate::sync::engine::{Engine, RoomChanges};
use crate::sync::state::{MEMBER, first_root, has_state};

/// What is told of a room's state.
#[derive(Debug, Default)]
pub(super) struct StateTold {
    /// It was looked at.
    pub(super) is_known: bool,
    /// Oldest first.
    pub(super) required: Vec<Arc<StoredEvent>>,
    /// What was required and is no more.
    pub(super) gone: Vec<Arc<StateKeyName>>,
    pub(super) face: Face,
    /// The members that the client then knows, and those of them that this timeline speaks of.
    pub(super) members: BTreeSet<StateKeyNid>,
    pub(super) newest: BTreeSet<StateKeyNid>,
}

/// What is to be found out about a room's state.
struct Work<'a> {
    room: &'a RoomChanges,
    look: &'a Look<'a>,
    end: StateChange,
    /// The client knows nothing of it.
    whole: bool,
    /// What changed since what the client knows.
    diff: Vec<Change>,
    /// What is required for the first time.
    select: Select,
    /// The members that the timeline speaks of.
    speaks_of: Vec<StateKeyName>,
}

/// What of a state is looked at.
enum Select {
    Pairs(Vec<StateKeyName>),
    All,
}

/// What was read for all rooms together.
struct Read {
    keys: HashMap<StateKeyName, StateKeyNid>,
    names: HashMap<StateKeyNid, Arc<StateKeyName>>,
    at: HashMap<(Root, StateKeyNid), EventNid>,
    whole: HashMap<Root, Vec<(StateKeyNid, EventNid)>>,
}

pub(super) const NAME: &str = "m.room.name";
pub(super) const AVATAR: &str = "m.room.avatar";

impl Engine {
    /// What is told of the states of rooms whose timelines are there.
    pub(super) async fn states_told(
        &self,
        viewer: &Viewer,
        rooms: &[RoomChanges],
        looks: &Looks<'_>,
    ) -> Result<HashMap<RoomNid, StateTold>, StoreError> {
        let works = self.works(rooms, looks).await?;
        let read = self.read_for(&works).await?;
        let mut told: Vec<(StateTold, Vec<EventNid>, Named)> =
            works.iter().map(|work| work.assemble(&read)).collect();
        let named = |named: &Named| [named.name, named.avatar].into_iter().flatten();
        let nids = told.iter().flat_map(|(_, nids, of)| nids.iter().copied().chain(named(of)));
        let events = self.events_of(nids).await?;
        let named: Vec<Named> = told.iter().map(|(_, _, named)| *named).collect();
        let faces = self.faces(viewer, &named, &events).await?;
        let mut by_room = HashMap::with_capacity(works.len());
        for ((work, (told, nids, _)), face) in works.iter().zip(&mut told).zip(faces) {
            told.required = nids.iter().filter_map(|nid| events.get(nid).cloned()).collect();
            told.required.sort_unstable_by_key(|event| (event.place, event.nid));
            told.face = face;
            by_room.insert(work.room.plan.room, std::mem::take(told));
        }
        Ok(by_room)
    }

    /// What is to be found out: nothing of rooms of whose state there is nothing to tell.
    async fn works<'a>(
        &self,
        rooms: &'a [RoomChanges],
        looks: &'a Looks<'_>,
    ) -> Result<Vec<Work<'a>>, StoreError> {
        let mut places: Vec<(RoomNid, Position)> = Vec::new();
        let mut asked: Vec<(&RoomChanges, &Look<'_>)> = Vec::new();
        let mut works = Vec::with_capacity(rooms.len());
        for room in rooms.iter().filter(|room| has_state(&room.plan)) {
            let Some(look) = looks.get(&room.plan.room) else { continue };
            if look.wants_new_state() || look.expanded || !self.is_unchanged(&room.plan) {
                let ends = room.plan.since.into_iter().chain([room.plan.upto]);
                places.extend(ends.map(|at| (room.plan.room, at)));
                asked.push((room, look));
            } else if let Some(root) = first_root(room) {
                // Which state it is that did not change matters to nobody; the counts are not looked at.
                works.push(Work::new((room, look), StateChange { root, joined: 0, invited: 0 }, false));
            }
        }
        let states = self.states_at(&places).await?;
        for (room, look) in asked {
            let known = room.plan.since.and_then(|since| states.get(&(room.plan.room, since)));
            // A room without state is one whose history was deleted: there is nothing to tell of it.
            let Some(end) = states.get(&(room.plan.room, room.plan.upto)) else { continue };
            let mut work = Work::new((room, look), *end, known.is_none());
            if let Some(known) = known.filter(|known| known.root != end.root) {
                work.diff = self.reader.states.diff(known.root, end.root).await?;
            }
            works.push(work);
        }
        Ok(works)
    }

    async fn read_for(&self, works: &[Work<'_>]) -> Result<Read, StoreError> {
        let names: Vec<StateKeyName> = works.iter().flat_map(Work::asks_for).collect();
        let keys = self.reader.interned.known_state_keys(&names).await?;
        let mut pairs: HashSet<(Root, StateKeyNid)> = HashSet::new();
        for work in works {
            let asked = work.asks_for();
            pairs.extend(asked.iter().filter_map(|name| Some((work.end.root, *keys.get(name)?))));
        }
        let pairs: Vec<(Root, StateKeyNid)> = pairs.into_iter().collect();
        let at = self.reader.states.get_pairs(&pairs).await?;
        let at = pairs.into_iter().zip(at).filter_map(|(pair, event)| Some((pair, event?))).collect();
        let roots: Vec<Root> = works
            .iter()
            .filter(|work| matches!(work.select, Select::All))
            .map(|work| work.end.root)
            .collect();
        let entries = self.reader.states.entries_of(&roots).await?;
        let pair = |entry: hearth_core::state_tree::Entry| (entry.key, entry.event);
        let whole: HashMap<Root, Vec<(StateKeyNid, EventNid)>> = roots
            .into_iter()
            .zip(entries.into_iter().map(|all| all.into_iter().map(pair).collect()))
            .collect();
        let mut nids: Vec<StateKeyNid> = whole.values().flatten().map(|(key, _)| *key).collect();
        nids.extend(works.iter().flat_map(|work| &work.diff).map(|change| change.key));
        nids.extend(keys.values());
        nids.sort_unstable();
        nids.dedup();
        let names = self.reader.interned.state_key_names(&nids).await?;
        Ok(Read { keys, names: nids.into_iter().zip(names).collect(), at, whole })
    }
}

impl<'a> Work<'a> {
    fn new((room, look): (&'a RoomChanges, &'a Look<'a>), end: StateChange, whole: bool) -> Self {
        let wanted = &look.wish.view.wanted;
        let select = match (look.wants_new_state() || whole, wanted.pairs()) {
            (false, _) => Select::Pairs(Vec::new()),
            (true, None) => Select::All,
            (true, Some(pairs)) => Select::Pairs(
                pairs.into_iter().map(|(of_type, key)| StateKeyName::new(of_type, key)).collect(),
            ),
        };
        let speaks_of = if wanted.lazy_members() { speaks_of(room) } else { Vec::new() };
        Self { room, look, end, whole, diff: Vec::new(), select, speaks_of }
    }

    /// What is looked up at the end.
    fn asks_for(&self) -> Vec<StateKeyName> {
        let mut asked = self.speaks_of.clone();
        if let Select::Pairs(pairs) = &self.select {
            asked.extend(pairs.iter().cloned());
        }
        if self.whole || !self.diff.is_empty() {
            asked.extend([StateKeyName::new(NAME, ""), StateKeyName::new(AVATAR, "")]);
        }
        asked
    }

    /// Puts together what is told, but for the events themselves.
    fn assemble(&self, read: &Read) -> (StateTold, Vec<EventNid>, Named) {
        let mut told = StateTold { is_known: true, ..StateTold::default() };
        let mut entries: HashMap<StateKeyNid, EventNid> = self.selected(read);
        told.newest = self.speaks_of.iter().filter_map(|name| read.keys.get(name)).copied().collect();
        if let Some(known) = self.look.known.filter(|_| !self.whole) {
            told.members = known.members().collect();
        }
        self.add_changes(read, &mut entries, &mut told);
        if self.look.wish.view.wanted.lazy_members() {
            for key in told.newest.clone() {
                let is_told = self.look.known.is_some_and(|known| known.knows_member(key)) && !self.whole;
                let event = read.at.get(&(self.end.root, key));
                if let Some(event) = event.filter(|_| !is_told || entries.contains_key(&key)) {
                    entries.insert(key, *event);
                    told.members.insert(key);
                }
            }
        } else {
            told.members.clear();
        }
        (told, entries.into_values().collect(), self.named(read))
    }

    /// What is required for the first time.
    fn selected(&self, read: &Read) -> HashMap<StateKeyNid, EventNid> {
        let wanted = &self.look.wish.view.wanted;
        let is_new = |name: &StateKeyName| {
            let knows = self
                .look
                .known_view
                .is_some_and(|view| view.wanted.matches(&name.event_type, &name.state_key));
            wanted.matches(&name.event_type, &name.state_key) && (self.whole || !knows)
        };
        let root = self.end.root;
        match &self.select {
            Select::Pairs(pairs) => {
                let keys = pairs.iter().filter(|name| is_new(name)).filter_map(|name| read.keys.get(name));
                keys.filter_map(|key| Some((*key, *read.at.get(&(root, *key))?))).collect()
            }
            Select::All => {
                let is_wanted = |(key, _): &&(StateKeyNid, EventNid)| {
                    read.names.get(key).is_some_and(|name| is_new(name))
                };
                read.whole.get(&root).into_iter().flatten().filter(is_wanted).copied().collect()
            }
        }
    }

    /// Adds what changed of what is required.
    fn add_changes(&self, read: &Read, entries: &mut HashMap<StateKeyNid, EventNid>, told: &mut StateTold) {
        let wanted = &self.look.wish.view.wanted;
        for change in &self.diff {
            let Some(name) = read.names.get(&change.key) else { continue };
            let is_lazy = name.event_type == MEMBER && wanted.lazy_members();
            if wanted.matches(&name.event_type, &name.state_key)
                || (is_lazy && (!self.room.timeline.limited || told.newest.contains(&change.key)))
            {
                match change.after {
                    Some(event) => drop(entries.insert(change.key, event)),
                    None => told.gone.push(Arc::clone(name)),
                }
                if is_lazy {
                    told.members.insert(change.key);
                }
            } else if is_lazy {
                // What the client knows of them is out of date; it is told when they are spoken of.
                told.members.remove(&change.key);
            }
        }
    }

    /// What the room is called by, where that may be new.
    fn named(&self, read: &Read) -> Named {
        let changed = |event_type: &str| {
            let is_of_type = |change: &Change| {
                read.names.get(&change.key).is_some_and(|name| name.event_type == event_type)
            };
            self.whole || self.diff.iter().any(is_of_type)
        };
        let at = |event_type: &str| {
            let key = read.keys.get(&StateKeyName::new(event_type, ""))?;
            read.at.get(&(self.end.root, *key)).copied()
        };
        Named {
            room: self.room.plan.room,
            root: self.end.root,
            name: at(NAME),
            avatar: at(AVATAR),
            name_changed: changed(NAME),
            avatar_changed: changed(AVATAR),
            counts: changed(MEMBER).then_some((self.end.joined, self.end.invited)),
        }
    }
}

/// The members that a timeline speaks of: who sent its events, and whom its member events are about.
fn speaks_of(room: &RoomChanges) -> Vec<StateKeyName> {
    let mut users: BTreeSet<&str> = BTreeSet::new();
    for event in room.timeline.events.iter().map(|told| &told.seen.event) {
        users.insert(event.pdu.sender().as_str());
        if event.pdu.event_type().to_string() == MEMBER {
            users.extend(event.pdu.state_key());
        }
    }
    users.into_iter().map(|user| StateKeyName::new(MEMBER, user)).collect()
}
