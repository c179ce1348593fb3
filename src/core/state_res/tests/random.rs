//! Rooms that random users fight over, with random forks.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    auth,
    id::{NodeId, Root},
    state_tree::{self, Overlay},
};

const USERS: [&str; 5] = ["@ada:a.test", "@ben:a.test", "@cat:b.test", "@dan:b.test", "@eve:c.test"];

/// What somebody tries to do, on top of which of the events so far.
#[derive(Clone, Debug)]
struct Deed {
    who: usize,
    whom: usize,
    what: What,
    level: i64,
    on: Vec<prop::sample::Index>,
    late: u64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Join,
    Invite,
    Leave,
    Ban,
    Power,
    Rules,
    Topic,
}

fn deed() -> impl Strategy<Value = Deed> {
    let what = prop_oneof![
        4 => Just(What::Join),
        2 => Just(What::Invite),
        2 => Just(What::Leave),
        1 => Just(What::Ban),
        3 => Just(What::Power),
        2 => Just(What::Rules),
        2 => Just(What::Topic),
    ];
    let level = prop_oneof![Just(0), Just(25), Just(50), Just(100)];
    let on = proptest::collection::vec(any::<prop::sample::Index>(), 1..3);
    (0..USERS.len(), 0..USERS.len(), what, level, on, 0..4_u64)
        .prop_map(|(who, whom, what, level, on, late)| Deed { who, whom, what, level, on, late })
}

fn version() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("1"), Just("2"), Just("6"), Just("10"), Just("11"), Just("12")]
}

/// A state event somebody would like to send.
struct Wish<'a> {
    kind: &'a str,
    key: &'a str,
    content: Value,
    who: usize,
    late: u64,
}

impl<'a> Wish<'a> {
    fn of_creator(kind: &'a str, key: &'a str, content: Value) -> Self {
        Self { kind, key, content, who: 0, late: 0 }
    }
}

/// A room while it happens.
struct Story {
    world: World,
    /// Each event with the state after it, oldest first.
    past: Vec<(EventNid, State)>,
}

impl Story {
    fn new(version: &str) -> Self {
        let mut story = Self::without_join_rules(version);
        story.tell(Wish::of_creator("m.room.join_rules", "", json!({ "join_rule": "public" })), &[2]);
        story
    }

    fn without_join_rules(version: &str) -> Self {
        let mut story = Self { world: World::new(version), past: Vec::new() };
        let creator = json!({ "creator": USERS[0], "room_version": version });
        story.tell(Wish::of_creator("m.room.create", "", creator), &[]);
        story.tell(Wish::of_creator("m.room.member", USERS[0], json!({ "membership": "join" })), &[0]);
        let users = if version == "12" { json!({}) } else { json!({ USERS[0]: 100 }) };
        story.tell(Wish::of_creator("m.room.power_levels", "", json!({ "users": users })), &[1]);
        story
    }

    fn attempt(&mut self, deed: &Deed) {
        let on: Vec<usize> = deed.on.iter().map(|index| self.recent(*index, 6)).collect();
        let (who, whom) = (USERS[deed.who], USERS[deed.whom]);
        let (kind, key, content) = match deed.what {
            What::Join => {
                ("m.room.member", who, json!({ "membership": "join", "displayname": deed.level.to_string() }))
            }
            What::Invite => ("m.room.member", whom, json!({ "membership": "invite" })),
            What::Leave => ("m.room.member", whom, json!({ "membership": "leave" })),
            What::Ban => ("m.room.member", whom, json!({ "membership": "ban" })),
            What::Power => ("m.room.power_levels", "", self.powers(&on, whom, deed.level)),
            What::Rules => {
                let rule = if deed.level < 50 { "invite" } else { "public" };
                ("m.room.join_rules", "", json!({ "join_rule": rule }))
            }
            What::Topic => ("m.room.topic", "", json!({ "topic": deed.level.to_string() })),
        };
        self.tell(Wish { kind, key, content, who: deed.who, late: deed.late }, &on);
    }

    /// One of the last events, none from before the room had join rules: by our judgement such a room can be
    /// joined, but not by ruma's, with whose resolution ours is compared here.
    fn recent(&self, index: prop::sample::Index, of: usize) -> usize {
        self.past.len() - 1 - index.index((self.past.len() - 3).min(of))
    }

    /// The present levels with one user's changed.
    fn powers(&self, on: &[usize], whom: &str, level: i64) -> Value {
        let (_, state) = &self.past[on[0]];
        let key = self.world.keys[&(StateEventType::RoomPowerLevels, String::new())];
        let mut content: Value = state
            .get(&key)
            .map_or(json!({}), |event| serde_json::from_str(self.world.pdu(*event).content().get()).unwrap());
        content["users"][whom] = level.into();
        content
    }

    /// Makes an event if the rules allow it in the state before it.
    fn tell(&mut self, wish: Wish<'_>, on: &[usize]) {
        let Wish { kind, key, content, who, late } = wish;
        let prev: BTreeSet<usize> = on.iter().copied().collect();
        let states: Vec<State> = prev.iter().map(|place| self.past[*place].1.clone()).collect();
        let before = if states.is_empty() { State::new() } else { self.world.resolve(&states) };
        let number = self.world.nids.len();
        let chosen = self.world.version.event_ids_are_chosen();
        let id = if chosen { format!("${number}:a.test") } else { format!("$event{number}") };
        let ids = |places: &BTreeSet<usize>| -> Vec<_> {
            places.iter().map(|place| self.world.pdu(self.past[*place].0).event_id().to_string()).collect()
        };
        let mut json = json!({
            "type": kind, "state_key": key, "content": content, "sender": USERS[who],
            "prev_events": ids(&prev), "auth_events": [],
            // Clocks differ, and many events share a time.
            "origin_server_ts": 1_000 + number as u64 / 3 + late, "depth": number / 2 + 1,
        });
        let named_by_create = self.world.version.room_id_is_create_hash();
        if !(named_by_create && kind == "m.room.create") {
            json["room_id"] = if named_by_create { "!event0".into() } else { "!r:a.test".into() };
        }
        let draft =
            Pdu::from_stored(json.to_string().into(), id.as_str().try_into().unwrap(), self.world.version)
                .unwrap();
        let found = |(kind, key): &StateKey| {
            let key = self.world.keys.get(&(kind.clone(), key.clone()))?;
            before.get(key).map(|event| self.world.pdu(*event))
        };
        let by_state = |kind: &StateEventType, key: &str| found(&(kind.clone(), key.to_owned()));
        if auth::check_by_state(self.world.version, &draft, by_state).is_err() {
            return;
        }
        let auth = auth_keys(&draft, self.world.version);
        json["auth_events"] = auth.iter().filter_map(found).map(|pdu| pdu.event_id().to_string()).collect();
        let nid = self.world.add(&id, &json, false);
        let mut after = before;
        after.insert(self.world.event(nid).key, nid);
        self.past.push((nid, after));
    }
}

/// A room with a past, and some different states of it.
fn stories() -> impl Strategy<Value = (Story, Vec<State>)> {
    let deeds = proptest::collection::vec(deed(), 10..50);
    let which = proptest::collection::vec(any::<prop::sample::Index>(), 2..5);
    (version(), deeds, which).prop_map(|(version, deeds, which)| {
        let mut story = Story::new(version);
        for deed in &deeds {
            story.attempt(deed);
        }
        let mut states: Vec<State> =
            which.iter().map(|index| story.past[story.recent(*index, 20)].1.clone()).collect();
        states.dedup();
        (story, states)
    })
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.past.iter().map(|(event, _)| self.world.pdu(*event).json())).finish()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_not_passed_in_does_not_matter((story, states) in stories()) {
        prop_assert_eq!(story.world.resolve(&states), story.world.resolve_whole(&states));
    }

    #[test]
    fn neither_the_order_of_states_nor_what_is_at_hand_matters((story, mut states) in stories(), extra in 0..5_usize) {
        let expected = story.world.resolve(&states);
        for _ in 0..states.len() {
            states.rotate_left(1);
            prop_assert_eq!(&story.world.resolve_counting(&states, extra).0, &expected);
        }
        states.reverse();
        prop_assert_eq!(&story.world.resolve(&states), &expected);
    }

    #[test]
    fn the_numbers_of_events_do_not_matter((story, states) in stories()) {
        let expected = story.world.names(&story.world.resolve(&states));
        // The same room, taken up in another order: numbers go by order of arrival.
        let mut again = World::new(story.world.version.id.as_str());
        let mut events: Vec<EventNid> = story.past.iter().map(|(event, _)| *event).collect();
        let create = events.remove(0);
        events.sort_unstable();
        let order = dag::parents_first(&story.world.facts.links, &events).unwrap();
        for event in [create].into_iter().chain(order) {
            let pdu = story.world.pdu(event);
            again.add(pdu.event_id().as_str(), &serde_json::from_str(pdu.json()).unwrap(), false);
        }
        let states: Vec<State> = states
            .iter()
            .map(|state| again.state(state.values().map(|event| again.nids[story.world.pdu(*event).event_id()])))
            .collect();
        prop_assert_eq!(again.names(&again.resolve(&states)), expected);
    }
}

/// A room of many members who joined and changed their names before a fork on its topic.
fn big_room(version: &str, members: usize) -> (World, Vec<State>) {
    let mut story = Story::new(version);
    let mut place = story.past.len() - 1;
    for member in 0..members {
        // Everyone is somebody else; the story's own users are the first five.
        let user = format!("@user{member}:a.test");
        let content = json!({ "membership": "join" });
        let (_, before) = story.past[place].clone();
        let key = (StateEventType::RoomMember, user.clone());
        let id = format!("$join{member}:a.test");
        let auth: Vec<_> = ["m.room.create", "m.room.power_levels", "m.room.join_rules"]
            .into_iter()
            .filter(|kind| !(story.world.version.room_id_is_create_hash() && *kind == "m.room.create"))
            .map(|kind| before[&story.world.keys[&(kind.into(), String::new())]])
            .map(|event| story.world.pdu(event).event_id().to_string())
            .collect();
        let room_id = story.world.pdu(story.past[1].0).room_id().to_string();
        let prev = story.world.pdu(story.past[place].0).event_id().to_string();
        let json = json!({
            "type": "m.room.member", "state_key": user, "content": content, "sender": user, "room_id": room_id,
            "prev_events": [prev], "auth_events": auth, "origin_server_ts": 2_000 + member, "depth": member + 9,
        });
        let nid = story.world.add(&id, &json, false);
        let mut after = before;
        after.insert(story.world.keys[&key], nid);
        story.past.push((nid, after));
        place = story.past.len() - 1;
    }
    for level in [0, 25] {
        story.tell(Wish::of_creator("m.room.topic", "", json!({ "topic": level })), &[place]);
    }
    let states = story.past.iter().rev().take(2).map(|(_, state)| state.clone()).collect();
    (story.world, states)
}

#[test]
fn the_cost_grows_with_the_conflict_and_not_with_the_room() {
    for version in ["1", "11", "12"] {
        let cost = |members| {
            let (world, states) = big_room(version, members);
            let (resolved, asked) = world.resolve_counting(&states, 0);
            assert_eq!(resolved.len(), members + 5);
            [asked.rounds, asked.events, asked.links, asked.agreed, asked.below_agreed]
        };
        let (small, big) = (cost(10), cost(500));
        assert_eq!(small, big, "version {version}");
        let [rounds, events, links, _, below_agreed] = big;
        assert!(rounds <= 6 && events <= 8 && links <= 8, "version {version}: {big:?}");
        assert_eq!(below_agreed, 0, "version {version}");
    }
}

#[test]
fn a_join_after_an_invitation_survives_in_a_room_without_join_rules() {
    for version in ["1", "11", "12"] {
        let mut story = Story::without_join_rules(version);
        let ben = USERS[1];
        story.tell(Wish::of_creator("m.room.member", ben, json!({ "membership": "invite" })), &[2]);
        let join = Wish { who: 1, ..Wish::of_creator("m.room.member", ben, json!({ "membership": "join" })) };
        story.tell(join, &[3]);
        let states = [story.past[3].1.clone(), story.past[4].1.clone()];
        assert_eq!(story.world.resolve(&states), states[1], "version {version}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    /// The way of the rooms service: roots in, root out.
    #[test]
    fn trees_that_differ_become_one((story, states) in stories()) {
        let mut nodes = HashMap::new();
        let mut last = 0;
        let mut ids = || { last += 1; NodeId::new(last) };
        let mut roots = Vec::new();
        for state in &states {
            let all: Vec<_> = state.iter().map(|(key, event)| (*key, Some(*event))).collect();
            let updated = state_tree::update(&nodes, Root::EMPTY, &all, &mut ids).unwrap();
            nodes.extend(updated.nodes.into_iter().map(|new| (new.id, new.node)));
            roots.push(updated.root);
        }
        let sides = state_tree::disagreement(&nodes, &roots).unwrap();
        let conflict = Conflict { version: story.world.version, create: CREATE, sides: &sides };
        let conflicted: BTreeSet<_> = sides.iter().flatten().map(|entry| entry.key).collect();
        let agreed: State =
            states[0].iter().filter(|(key, _)| !conflicted.contains(key)).map(|(key, event)| (*key, *event)).collect();
        let mut facts = Facts::default();
        let changes = loop {
            match resolve(&conflict, &facts) {
                Ok(changes) => break changes,
                Err(Unresolved::Need(needs)) => story.world.load(&mut facts, &mut Asked::default(), &needs, &agreed),
                Err(failed) => panic!("{failed}"),
            }
        };
        let expected = story.world.resolve(&states);
        for root in roots {
            let updated = state_tree::update(&nodes, root, &changes, &mut ids).unwrap();
            let mut overlay = Overlay::new(&nodes);
            for new in updated.nodes {
                overlay.insert(new.id, new.node);
            }
            let all = state_tree::entries(&overlay, updated.root).unwrap();
            let map: State = all.into_iter().map(|entry| (entry.key, entry.event)).collect();
            prop_assert_eq!(&map, &expected);
        }
    }
}
