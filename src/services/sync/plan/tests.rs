use hearth_core::id::UserNid;
use hearth_core::membership::Membership::{Ban, Invite, Join, Knock, Leave};

use super::*;

const ROOM: RoomNid = RoomNid::new(7);
const NOW: Position = Position::new(100);

fn rows(memberships: &[(i64, Membership)]) -> Vec<MembershipAt> {
    memberships.iter().map(|(pos, membership)| row(*pos, *membership)).collect()
}

fn row(pos: i64, membership: Membership) -> MembershipAt {
    MembershipAt {
        user: UserNid::new(1),
        room: ROOM,
        pos: Position::new(pos),
        membership,
        forgotten: false,
        event: None,
        stripped_state: None,
    }
}

fn since(pos: i64) -> Span {
    Span { since: Some(Position::new(pos)), upto: NOW }
}

const FIRST: Span = Span { since: None, upto: NOW };

fn stay(from: i64, to: Option<i64>) -> Stay {
    Stay { from: Position::new(from), to: to.map(Position::new) }
}

/// The plan of an ordinary room, to be varied.
fn base(section: Section, own: Option<MembershipAt>) -> Plan {
    Plan {
        room: ROOM,
        section,
        since: None,
        after: Position::ZERO,
        upto: NOW,
        stays: Vec::new(),
        outsider: false,
        own,
    }
}

#[test]
fn a_room_one_stayed_in_is_told_from_the_token_on() {
    let expected = Plan {
        since: Some(Position::new(20)),
        after: Position::new(20),
        stays: vec![stay(10, None)],
        ..base(Section::Join, None)
    };
    assert_eq!(plan(&rows(&[(10, Join)]), since(20), false), Some(expected));
}

#[test]
fn a_first_sync_tells_of_rooms_one_is_in_or_asked_to_and_of_left_ones_only_on_demand() {
    let joined = Plan { stays: vec![stay(10, None)], ..base(Section::Join, Some(row(10, Join))) };
    assert_eq!(plan(&rows(&[(10, Join)]), FIRST, false), Some(joined));
    let invited = base(Section::Invite, Some(row(10, Invite)));
    assert_eq!(plan(&rows(&[(10, Invite)]), FIRST, false), Some(invited));
    let history = rows(&[(10, Join), (30, Leave)]);
    assert_eq!(plan(&history, FIRST, false), None);
    let left = Plan {
        upto: Position::new(30),
        stays: vec![stay(10, Some(30))],
        ..base(Section::Leave, Some(row(30, Leave)))
    };
    assert_eq!(plan(&history, FIRST, true), Some(left));
}

#[test]
fn a_room_newly_joined_is_told_whole() {
    for before in [vec![], vec![(5, Invite)], vec![(25, Invite)], vec![(5, Knock)]] {
        let mut history = before;
        history.push((30, Join));
        let expected = Plan { stays: vec![stay(30, None)], ..base(Section::Join, Some(row(30, Join))) };
        assert_eq!(plan(&rows(&history), since(20), false), Some(expected), "{history:?}");
    }
}

#[test]
fn a_room_joined_again_is_told_whole_but_for_what_was_heard_before() {
    let expected = Plan {
        after: Position::new(12),
        stays: vec![stay(10, Some(12)), stay(30, None)],
        ..base(Section::Join, Some(row(30, Join)))
    };
    assert_eq!(plan(&rows(&[(10, Join), (12, Leave), (30, Join)]), since(20), false), Some(expected));
    let in_one_window = Plan {
        after: Position::new(25),
        stays: vec![stay(10, Some(25)), stay(30, None)],
        ..base(Section::Join, Some(row(30, Join)))
    };
    assert_eq!(plan(&rows(&[(10, Join), (25, Leave), (30, Join)]), since(20), false), Some(in_one_window));
}

#[test]
fn a_room_left_is_told_once_up_to_the_leaving() {
    for (last, membership) in [(30, Leave), (30, Ban)] {
        let history = rows(&[(10, Join), (last, membership)]);
        let expected = Plan {
            since: Some(Position::new(20)),
            after: Position::new(20),
            upto: Position::new(30),
            stays: vec![stay(10, Some(30))],
            ..base(Section::Leave, Some(row(last, membership)))
        };
        assert_eq!(plan(&history, since(20), false), Some(expected));
        assert_eq!(plan(&history, since(30), true), None);
    }
}

#[test]
fn a_room_joined_and_left_in_one_window_is_told_whole_up_to_the_leaving() {
    let expected = Plan {
        after: Position::new(20),
        upto: Position::new(40),
        stays: vec![stay(30, Some(40))],
        ..base(Section::Leave, Some(row(40, Leave)))
    };
    assert_eq!(plan(&rows(&[(30, Join), (40, Leave)]), since(20), false), Some(expected));
}

#[test]
fn an_invite_declined_tells_only_of_that() {
    let expected = Plan {
        after: Position::new(20),
        upto: Position::new(30),
        outsider: true,
        ..base(Section::Leave, Some(row(30, Leave)))
    };
    assert_eq!(plan(&rows(&[(10, Invite), (30, Leave)]), since(20), false), Some(expected.clone()));
    assert_eq!(plan(&rows(&[(10, Knock), (30, Leave)]), since(20), false), Some(expected));
}

#[test]
fn invites_and_knocks_are_told_once() {
    for membership in [Invite, Knock] {
        let history = rows(&[(30, membership)]);
        assert!(plan(&history, since(20), false).is_some());
        assert_eq!(plan(&history, since(30), false), None);
    }
}

#[test]
fn forgetting_is_not_news_but_a_leaving_forgotten_at_once_is() {
    let forgotten = MembershipAt { forgotten: true, ..row(40, Leave) };
    let history = [row(10, Join), row(15, Leave), forgotten.clone()];
    assert_eq!(plan(&history, since(20), false), None);
    assert_eq!(plan(&history, FIRST, true), None);
    let at_once = plan(&history, since(12), false).unwrap();
    assert_eq!((at_once.section, at_once.upto), (Section::Leave, Position::new(15)));
}
