use hearth_core::id::{Root, UserNid};
use hearth_core::pdu::Pdu;
use hearth_core::room_version;
use hearth_core::token::Place;
use ruma::{EventId, RoomVersionId};

use super::*;

const ROOM: RoomNid = RoomNid::new(1);
const OTHER: RoomNid = RoomNid::new(2);

fn pos(pos: i64) -> Position {
    Position::new(pos)
}

/// An event whose integer is a thousand more than its position.
fn event(room: RoomNid, at: i64) -> StoredEvent {
    let json = r#"{"auth_events":[],"content":{},"depth":1,"origin_server_ts":1,"prev_events":[],
                   "room_id":"!r:d","sender":"@u:d","type":"m.x"}"#;
    let version = room_version::rules(&RoomVersionId::V11).unwrap();
    let id = EventId::parse(format!("$event{at}")).unwrap();
    StoredEvent {
        nid: EventNid::new(1000 + at),
        room,
        sender: UserNid::new(1),
        state_key: None,
        pdu: Arc::new(Pdu::from_stored(json.into(), id, version).unwrap()),
        auth_order: 1,
        root_before: None,
        place: Some(Place::live(pos(at))),
        sent_by: None,
        redacted_by: None,
        rejected: false,
        soft_failed: false,
    }
}

fn state(root: i64) -> StateChange {
    StateChange { root: Root::new(root), joined: 1, invited: 0 }
}

/// Begun at 10, with events of a room at 11 and 13 and of another at 12; the state changed at 11.
fn recent() -> Recent {
    let mut recent = Recent::new();
    recent.begin(pos(10));
    recent.push(ROOM, event(ROOM, 11), Some(state(1)), Weight::default());
    recent.push(OTHER, event(OTHER, 12), None, Weight::default());
    recent.push(ROOM, event(ROOM, 13), None, Weight::default());
    recent
}

/// The positions of what is remembered, and where memory ends.
fn history(recent: &Recent, (after, upto): (i64, i64), limit: usize) -> (Vec<i64>, Option<i64>) {
    let found = recent.history(ROOM, pos(after), pos(upto), limit);
    let positions = found.events.iter().map(|shown| shown.pos().get()).collect();
    (positions, found.ends_at.map(Position::get))
}

#[test]
fn what_happened_since_a_position_is_known_from_the_beginning_on() {
    let recent = recent();
    assert!(recent.covers(pos(10)) && !recent.covers(pos(9)));
    assert_eq!(recent.rooms_after(pos(11)).collect::<Vec<_>>(), [ROOM, OTHER]);
    assert_eq!(recent.count_after(pos(10)), 3);
    assert!(recent.changed(OTHER, pos(11)) && !recent.changed(OTHER, pos(12)));
    assert!(!recent.changed(RoomNid::new(9), pos(10)));
}

#[test]
fn a_history_is_whole_down_to_where_memory_ends() {
    let recent = recent();
    assert_eq!(history(&recent, (10, 20), 9), (vec![13, 11], None));
    assert_eq!(history(&recent, (11, 20), 9), (vec![13], None));
    assert_eq!(history(&recent, (10, 12), 9), (vec![11], None));
    assert_eq!(history(&recent, (3, 20), 9), (vec![13, 11], Some(10)));
    assert_eq!(history(&recent, (10, 20), 1), (vec![13], Some(12)));
    assert_eq!(history(&recent, (3, 7), 9), (vec![], Some(7)));
}

#[test]
fn before_anything_is_heard_nothing_is_known() {
    let mut recent = Recent::new();
    assert!(!recent.covers(pos(1_000_000)));
    recent.push(ROOM, event(ROOM, 50), None, Weight::default());
    assert!(recent.covers(pos(49)) && !recent.covers(pos(48)));
}

#[test]
fn a_state_is_known_after_it_changed_and_before_when_somebody_read_it() {
    let mut recent = recent();
    assert_eq!(recent.state_at(ROOM, pos(12)), Some(state(1)));
    assert_eq!(recent.state_at(ROOM, pos(10)), None);
    recent.learn_state(ROOM, pos(9), state(7));
    assert_eq!(recent.state_at(ROOM, pos(10)), None, "too old to say anything about the floor");
    recent.learn_state(ROOM, pos(12), state(1));
    assert_eq!(recent.state_at(ROOM, pos(10)), None, "it changed in between");
    recent.learn_state(ROOM, pos(10), state(8));
    assert_eq!(recent.state_at(ROOM, pos(10)), Some(state(8)));
}

#[test]
fn that_a_state_did_not_change_is_known_without_the_state() {
    let recent = recent();
    assert!(recent.is_state_unchanged(ROOM, pos(11), pos(20)));
    assert!(!recent.is_state_unchanged(ROOM, pos(10), pos(20)), "it changed");
    assert!(recent.is_state_unchanged(OTHER, pos(10), pos(20)));
    assert!(!recent.is_state_unchanged(OTHER, pos(9), pos(20)), "that is before memory begins");
    assert!(recent.is_state_unchanged(RoomNid::new(9), pos(10), pos(20)));
}

#[test]
fn a_busy_room_forgets_its_own_oldest_events_and_no_others() {
    let mut recent = recent();
    for at in 0..i64::try_from(MAX_OF_ROOM).unwrap() {
        recent.push(ROOM, event(ROOM, 20 + at), None, Weight::default());
    }
    let (positions, ends_at) = history(&recent, (10, 9999), 9999);
    assert_eq!((positions.len(), ends_at), (MAX_OF_ROOM, Some(13)));
    assert!(recent.covers(pos(10)));
    assert_eq!(recent.history(OTHER, pos(10), pos(99), 9).events.len(), 1);
    assert_eq!(
        recent.state_at(ROOM, pos(15)),
        Some(state(1)),
        "the forgotten change is the state at the floor"
    );
}

#[test]
fn the_oldest_entry_goes_first_whatever_its_room() {
    let mut recent = recent();
    recent.forget_oldest();
    assert!(recent.covers(pos(11)) && !recent.covers(pos(10)));
    assert_eq!(history(&recent, (10, 20), 9), (vec![13], Some(11)));
    recent.forget_oldest();
    recent.forget_oldest();
    assert!(recent.rooms.is_empty() && recent.order.is_empty());
    assert_eq!(recent.bytes, 0);
}

#[test]
fn a_redaction_changes_what_everyone_is_shown_and_a_second_one_nothing() {
    let mut recent = recent();
    recent.redact(ROOM, EventNid::new(1011), EventNid::new(5));
    recent.redact(ROOM, EventNid::new(1011), EventNid::new(6));
    let found = recent.history(ROOM, pos(10), pos(20), 9);
    let by: Vec<Option<EventNid>> = found.events.iter().map(|shown| shown.event.redacted_by).collect();
    assert_eq!(by, [None, Some(EventNid::new(5))]);
}

#[test]
fn what_is_not_understood_makes_a_room_unknown_up_to_there() {
    let mut recent = recent();
    recent.forget(ROOM, pos(14));
    assert!(recent.changed(ROOM, pos(13)));
    assert_eq!(history(&recent, (10, 20), 9), (vec![], Some(14)));
    assert_eq!(recent.state_at(ROOM, pos(14)), None);
    recent.push(ROOM, event(ROOM, 15), None, Weight::default());
    assert_eq!(history(&recent, (14, 20), 9), (vec![15], None));
}
