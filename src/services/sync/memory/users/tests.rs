use super::*;

const USER: UserNid = UserNid::new(1);
const ROOM: RoomNid = RoomNid::new(7);
const OTHER: RoomNid = RoomNid::new(8);

fn pos(pos: i64) -> Position {
    Position::new(pos)
}

fn member(at: i64, membership: Membership) -> Member {
    Member { pos: pos(at), membership, forgotten: false }
}

fn row(room: RoomNid, at: i64, membership: Membership) -> MembershipAt {
    MembershipAt {
        user: USER,
        room,
        pos: pos(at),
        membership,
        forgotten: false,
        event: None,
        stripped_state: None,
    }
}

/// A connected user who is in one room since 5.
fn users() -> (Users, watch::Receiver<u64>) {
    let mut users = Users::default();
    let woken = users.enter(USER);
    users.fill(USER, &[row(ROOM, 5, Membership::Join)], pos(3));
    (users, woken)
}

#[test]
fn what_the_log_said_while_the_past_was_read_is_newer_and_stays() {
    let mut users = Users::default();
    let _woken = users.enter(USER);
    assert!(users.loaded(USER).is_none());
    users.set(USER, ROOM, member(9, Membership::Leave));
    users.fill(USER, &[row(ROOM, 5, Membership::Join), row(OTHER, 6, Membership::Join)], pos(3));
    let known = users.loaded(USER).unwrap();
    assert_eq!(known.rooms().get(&ROOM), Some(&member(9, Membership::Leave)));
    assert_eq!(known.moved_after(pos(5)).collect::<Vec<_>>(), [OTHER, ROOM]);
    assert_eq!(known.moved_after(pos(6)).collect::<Vec<_>>(), [ROOM]);
    assert!(!users.joined.contains_key(&ROOM) && users.joined.contains_key(&OTHER));
}

#[test]
fn a_room_wakes_those_in_it_and_nobody_else() {
    let (mut users, mut woken) = users();
    let outside = users.enter(UserNid::new(2));
    woken.borrow_and_update();
    users.wake_room(OTHER);
    assert!(!woken.has_changed().unwrap());
    users.wake_room(ROOM);
    assert!(woken.has_changed().unwrap() && !outside.has_changed().unwrap());
    woken.borrow_and_update();
    users.set(USER, ROOM, member(12, Membership::Ban));
    users.wake_room(ROOM);
    assert!(!woken.has_changed().unwrap());
}

#[test]
fn account_data_and_sessions_wake_their_user() {
    let (mut users, mut woken) = users();
    users.account_data_changed(USER, pos(20));
    assert!(woken.has_changed().unwrap());
    woken.borrow_and_update();
    users.session_closed(USER, pos(21));
    assert!(woken.has_changed().unwrap());
    let known = users.loaded(USER).unwrap();
    assert_eq!((known.account_data(), known.sessions_closed()), (pos(20), pos(21)));
}

#[test]
fn a_user_between_two_polls_is_still_kept_true() {
    let (mut users, _woken) = users();
    users.leave(USER);
    users.set(USER, OTHER, member(9, Membership::Invite));
    users.enter(USER);
    assert_eq!(users.loaded(USER).unwrap().rooms().len(), 2);
}

#[test]
fn whoever_was_never_read_is_not_kept() {
    let mut users = Users::default();
    let _woken = users.enter(USER);
    users.leave(USER);
    assert!(users.known.is_empty());
}

#[test]
fn the_longest_idle_are_forgotten_when_too_much_is_kept() {
    let (mut users, _woken) = users();
    let late = UserNid::new(2);
    let _late = users.enter(late);
    users.fill(late, &[row(ROOM, 6, Membership::Join)], pos(0));
    users.leave(USER);
    users.idle_memberships += MAX_IDLE_MEMBERSHIPS - 1;
    users.leave(late);
    assert!(users.loaded(USER).is_none() && users.loaded(late).is_some());
    assert_eq!(users.joined.get(&ROOM).map(HashSet::len), Some(1));
}

#[test]
fn memberships_of_the_connected_do_not_push_out_the_idle() {
    let (mut users, _woken) = users();
    let late = UserNid::new(2);
    let _late = users.enter(late);
    users.fill(late, &[row(ROOM, 6, Membership::Join), row(OTHER, 7, Membership::Join)], pos(0));
    assert_eq!(users.idle_memberships, 0);
    users.leave(late);
    users.set(late, RoomNid::new(9), member(9, Membership::Join));
    assert_eq!(users.idle_memberships, 3);
    users.enter(late);
    assert_eq!(users.idle_memberships, 0);
}

#[test]
fn the_rooms_a_user_is_joined_to_are_ascending_whatever_the_order_of_their_joins() {
    let (mut users, _woken) = users();
    for (at, room, membership) in [
        (6, 9, Membership::Join),
        (7, 3, Membership::Join),
        (8, 7, Membership::Leave),
        (9, 9, Membership::Join),
    ] {
        users.set(USER, RoomNid::new(room), member(at, membership));
    }
    assert_eq!(users.loaded(USER).unwrap().joined(), [3, 9].map(RoomNid::new));
}

#[test]
fn the_list_of_the_idle_stays_short() {
    let (mut users, _woken) = users();
    for _ in 0..100 {
        users.leave(USER);
        users.enter(USER);
    }
    assert!(users.idle.len() <= 4, "{}", users.idle.len());
}

#[test]
fn after_entries_were_missed_everyone_is_read_again() {
    let (mut users, mut woken) = users();
    woken.borrow_and_update();
    users.forget_all();
    assert!(woken.has_changed().unwrap());
    assert!(users.loaded(USER).is_none() && users.joined.is_empty());
    users.fill(USER, &[row(OTHER, 8, Membership::Join)], pos(3));
    assert_eq!(users.loaded(USER).unwrap().rooms().len(), 1);
}
