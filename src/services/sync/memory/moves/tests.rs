use super::*;

const READER: UserNid = UserNid::new(0);
const UPTO: Position = Position::new(2_000);

fn rooms(numbers: &[i64]) -> Vec<RoomNid> {
    numbers.iter().copied().map(RoomNid::new).collect()
}

/// Users 1 to 3, who changed at 11 to 13; 1 and 2 are in room 1, 2 and 3 in room 2.
fn moves() -> Moves {
    let mut moves = Moves::default();
    moves.begin(Position::new(10));
    for (user, joined) in [(1, &[1][..]), (2, &[1, 2]), (3, &[2])] {
        moves.hear(Position::new(10 + user), UserNid::new(user), Some(&rooms(joined)));
    }
    moves
}

/// Whom a reader in some rooms is told of, by both ways of looking: more rooms than changes, and fewer.
fn told(moves: &Moves, joined: &[i64], since: i64) -> Vec<i64> {
    let ask = |joined: &[i64]| match moves.since(READER, &rooms(joined), (Position::new(since), UPTO)) {
        Ok(Some(users)) => users.into_iter().map(UserNid::get).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let told = ask(joined);
    let empty: Vec<i64> = (100..200).collect();
    assert_eq!(told, ask(&[joined, &empty].concat()));
    told
}

#[test]
fn a_reader_hears_of_those_in_their_rooms_once_and_since_when_they_ask() {
    let moves = moves();
    assert_eq!(told(&moves, &[1], 10), [1, 2]);
    assert_eq!(told(&moves, &[1, 2], 10), [1, 2, 3]);
    assert_eq!(told(&moves, &[1, 2], 12), [3]);
    assert_eq!(told(&moves, &[3], 10), [0; 0]);
    assert_eq!(told(&moves, &[2], 13), [0; 0]);
    assert_eq!(moves.since(READER, &rooms(&[1]), (Position::new(9), UPTO)), Ok(None));
    assert_eq!(Moves::default().since(READER, &[], (Position::new(9), UPTO)), Ok(None));
}

#[test]
fn a_reader_hears_of_themselves_wherever_they_are() {
    let mut moves = moves();
    moves.hear(Position::new(14), READER, Some(&[]));
    assert_eq!(told(&moves, &[], 10), [0]);
    assert_eq!(told(&moves, &[2], 12), [0, 3]);
}

#[test]
fn what_comes_after_the_token_is_left_to_the_next() {
    let mut moves = moves();
    // Nobody waits for the rooms of somebody who changed after it.
    moves.hear(Position::new(14), UserNid::new(4), None);
    moves.hear(Position::new(15), UserNid::new(1), Some(&rooms(&[1])));
    for joined in [vec![1], (1..100).collect()] {
        for (upto, expected) in [(11, &[][..]), (12, &[2]), (10, &[]), (9, &[])] {
            let told = moves.since(READER, &rooms(&joined), (Position::new(10), Position::new(upto)));
            assert_eq!(told, Ok(Some(expected.iter().copied().map(UserNid::new).collect())), "{upto}");
        }
    }
}

#[test]
fn a_later_change_takes_the_place_of_the_earlier() {
    let mut moves = moves();
    moves.hear(Position::new(20), UserNid::new(1), Some(&rooms(&[2])));
    assert_eq!((told(&moves, &[1], 10), told(&moves, &[2], 13)), (vec![2], vec![1]));
    assert_eq!(moves.places, 2 + 3 + 2);
}

#[test]
fn who_comes_and_who_goes_is_told_of_by_where_they_are_now() {
    let mut moves = moves();
    moves.set(UserNid::new(3), RoomNid::new(1), true);
    moves.set(UserNid::new(2), RoomNid::new(1), false);
    moves.set(UserNid::new(2), RoomNid::new(1), false);
    moves.set(UserNid::new(9), RoomNid::new(1), true);
    assert_eq!((told(&moves, &[1], 10), told(&moves, &[2], 10)), (vec![1, 3], vec![2, 3]));
}

#[test]
fn nothing_is_said_of_users_whose_rooms_are_not_known() {
    let mut moves = moves();
    let user = UserNid::new(4);
    moves.hear(Position::new(14), user, None);
    moves.unplace(UserNid::new(1));
    let unknown = vec![UserNid::new(1), user];
    assert_eq!(moves.since(READER, &rooms(&[1]), (Position::new(10), UPTO)), Err(NotLoaded(unknown)));
    // A join of somebody whose other rooms are not known says too little.
    moves.set(user, RoomNid::new(1), true);
    moves.place(user, &rooms(&[1, 3]));
    moves.place(UserNid::new(1), &rooms(&[3]));
    assert_eq!((told(&moves, &[1], 10), told(&moves, &[3], 10)), (vec![2, 4], vec![1, 4]));
}

#[test]
fn what_is_kept_is_bounded_and_what_is_forgotten_is_known_to_be() {
    let mut moves = Moves::default();
    moves.begin(Position::ZERO);
    let many: Vec<i64> = (0..1000).collect();
    for user in 1..=1100 {
        moves.hear(Position::new(user), UserNid::new(user), Some(&rooms(&many)));
    }
    assert!(moves.places <= MAX_PLACES && moves.moved.len() == MAX_PLACES / 1001);
    let floor = moves.floor.unwrap();
    assert_eq!(floor, Position::new(1100 - 999));
    assert_eq!(moves.since(READER, &rooms(&[1]), (floor.previous(), UPTO)), Ok(None));
    assert_eq!(told(&moves, &[1], floor.get()).len(), 999);
}
