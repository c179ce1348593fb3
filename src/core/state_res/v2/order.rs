//! The two orders in which events are checked.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedUserId,
    events::{StateEventType, room::power_levels::UserPowerLevel},
    state_res::events::RoomCreateEvent,
};

use super::{Partial, Room};
use crate::{
    id::EventNid,
    power::{Level, PowerLevels},
};

/// The level of a room's creator while it has no power levels.
const CREATOR_WITHOUT_LEVELS: i32 = 100;

/// Reverse topological power ordering: of the events whose auth events among them have all been taken, the
/// next is
///
/// > x < y if x's sender has greater power level than y's sender, when looking at their respective
/// > `auth_events`; or if they have the same and x's `origin_server_ts` is less; or if these too are the
/// > same and x's `event_id` is less.
pub(super) fn by_power(room: &Room<'_>, events: &BTreeSet<EventNid>) -> Vec<EventNid> {
    let mut senders = Senders::new(room);
    let mut waits: HashMap<EventNid, usize> = HashMap::new();
    let mut above: HashMap<EventNid, Vec<EventNid>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for &event in events {
        let below: BTreeSet<EventNid> =
            room.auth_events(event).iter().copied().filter(|below| events.contains(below)).collect();
        for below in &below {
            above.entry(*below).or_default().push(event);
        }
        if below.is_empty() {
            ready.extend(senders.rank(event).map(Reverse));
        }
        waits.insert(event, below.len());
    }
    let mut sorted = Vec::with_capacity(events.len());
    while let Some(Reverse(Rank { event, .. })) = ready.pop() {
        sorted.push(event);
        for above in above.get(&event).into_iter().flatten() {
            if let Some(left) = waits.get_mut(above) {
                *left -= 1;
                if *left == 0 {
                    ready.extend(senders.rank(*above).map(Reverse));
                }
            }
        }
    }
    sorted
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    power: Reverse<UserPowerLevel>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    event_id: &'a EventId,
    event: EventNid,
}

/// The levels of senders, as each event's own auth events have them.
struct Senders<'a> {
    room: &'a Room<'a>,
    creators: HashSet<OwnedUserId>,
    /// Each power levels event met, read once.
    levels: BTreeMap<EventNid, Option<PowerLevels>>,
}

impl<'a> Senders<'a> {
    fn new(room: &'a Room<'a>) -> Self {
        let rules = &room.conflict.version.rules.authorization;
        let create = room.pdu(room.conflict.create);
        // An accepted create event names its creators; one that does not has none.
        let creators = create.and_then(|create| RoomCreateEvent::new(create).creators(rules).ok());
        Self { room, creators: creators.unwrap_or_default(), levels: BTreeMap::new() }
    }

    fn rank(&mut self, event: EventNid) -> Option<Rank<'a>> {
        let pdu = self.room.pdu(event)?;
        Some(Rank {
            power: Reverse(self.level(event)?),
            origin_server_ts: pdu.origin_server_ts(),
            event_id: pdu.event_id(),
            event,
        })
    }

    fn level(&mut self, event: EventNid) -> Option<UserPowerLevel> {
        let version = self.room.conflict.version;
        let sender = self.room.pdu(event)?.sender();
        let is_creator = self.creators.contains(sender);
        if is_creator && version.creators_are_privileged() {
            return Some(UserPowerLevel::Infinite);
        }
        let unnamed = Level::UsersDefault.default_value();
        let Some(powers) = self.room.power_levels_of(event) else {
            let level = if is_creator { CREATOR_WITHOUT_LEVELS.into() } else { unnamed };
            return Some(UserPowerLevel::Int(level));
        };
        let levels = self.levels.entry(powers).or_insert_with(|| {
            self.room.pdu(powers).and_then(|powers| PowerLevels::parse(powers.content(), version).ok())
        });
        // Levels that nobody can read were not accepted by anybody; they give nobody power.
        let level = levels.as_ref().and_then(|levels| levels.user(sender).ok());
        Some(UserPowerLevel::Int(level.unwrap_or(unnamed)))
    }
}

/// Mainline ordering:
///
/// > x < y if the mainline position of x is greater than the mainline position of y; or if these are the
/// > same and x's `origin_server_ts` is less; or if these too are the same and x's `event_id` is less.
///
/// Events that no power levels of the mainline lead to have the greatest position and come first.
pub(super) fn by_mainline(room: &Room<'_>, events: &[EventNid], partial: &Partial) -> Vec<EventNid> {
    let top = partial.get(&(StateEventType::RoomPowerLevels, String::new())).copied();
    let mut mainline = HashMap::new();
    let mut next = top;
    while let Some(powers) = next {
        let position = mainline.len();
        // Power levels that lead back to themselves, which no hash allows, would never end.
        if mainline.insert(powers, position).is_some() {
            break;
        }
        next = room.power_levels_of(powers);
    }
    let mut sorted = events.to_vec();
    sorted.sort_by_cached_key(|event| {
        let pdu = room.pdu(*event);
        let place = pdu.map(|pdu| (pdu.origin_server_ts(), pdu.event_id()));
        (Reverse(position(room, *event, &mainline)), place)
    });
    sorted
}

/// > Find the smallest index j ≥ 1 for which e_j belongs to the mainline of P.
///
/// An event of the mainline itself counts as its own `e_1`, as it does for other servers.
fn position(room: &Room<'_>, event: EventNid, mainline: &HashMap<EventNid, usize>) -> usize {
    let mut next = Some(event);
    let mut seen = HashSet::new();
    while let Some(event) = next {
        if let Some(position) = mainline.get(&event) {
            return *position;
        }
        if !seen.insert(event) {
            break;
        }
        next = room.power_levels_of(event);
    }
    usize::MAX
}
