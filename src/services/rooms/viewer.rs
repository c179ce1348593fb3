//! Who looks at a room, and what they were to it.

use hearth_core::id::{Position, UserNid};
use hearth_core::membership::Membership;
use hearth_core::token::Place;
use hearth_store::StoreError;
use hearth_store::membership::MembershipAt;
use hearth_store::room::Room;
use ruma::OwnedUserId;

use super::RoomReader;

/// A user who looks, from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Their integer.
    pub user: UserNid,
    /// Their id.
    pub id: OwnedUserId,
    /// The device that asks; it alone is told the transaction ids of what it sent.
    pub device: Option<String>,
}

/// What a user was to a room over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past(Vec<MembershipAt>);

/// From where a user looks at a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the room.
    Joined,
    /// Was in the room, up to this position.
    Left(Position),
    /// Was never in the room, or forgot that they were.
    Outside,
}

impl Past {
    /// From the rows of one user and room, oldest first.
    #[must_use]
    pub const fn new(rows: Vec<MembershipAt>) -> Self {
        Self(rows)
    }

    /// From where the user looks at the room now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut left = None;
        for row in self.0.iter().rev() {
            match row.membership {
                _ if row.forgotten => return Standing::Outside,
                Membership::Join => return left.map_or(Standing::Joined, Standing::Left),
                _ => left = Some(row.pos),
            }
        }
        Standing::Outside
    }

    /// What the user is to the room now; none where they never had to do with it.
    #[must_use]
    pub fn now(&self) -> Option<Membership> {
        self.0.last().map(|row| row.membership)
    }

    /// Whether the user was in the room at any time after the event at `place`.
    #[must_use]
    pub fn joined_since(&self, place: Place) -> bool {
        let before = |row: &MembershipAt| {
            // What was fetched into a gap stands before the event that it is anchored at.
            if place.sub < 0 { row.pos < place.anchor } else { row.pos <= place.anchor }
        };
        let (earlier, later) = self.0.split_at(self.0.partition_point(before));
        earlier.last().is_some_and(is_join) || later.iter().any(is_join)
    }
}

fn is_join(row: &MembershipAt) -> bool {
    row.membership == Membership::Join
}

impl RoomReader {
    /// What a user was to a room: one statement.
    pub async fn past(&self, user: UserNid, room: &Room) -> Result<Past, StoreError> {
        self.store.membership_history(user, room.nid).await.map(Past)
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::id::RoomNid;

    use super::*;

    fn past(rows: &[(i64, Membership)]) -> Past {
        Past(rows.iter().map(|&(pos, membership)| row(pos, membership)).collect())
    }

    fn row(pos: i64, membership: Membership) -> MembershipAt {
        MembershipAt {
            user: UserNid::new(1),
            room: RoomNid::new(1),
            pos: Position::new(pos),
            membership,
            forgotten: false,
            event: None,
            stripped_state: None,
        }
    }

    fn place(anchor: i64, sub: i64) -> Place {
        Place { anchor: Position::new(anchor), sub }
    }

    #[test]
    fn who_left_stands_where_they_left_whatever_became_of_them_since() {
        use Membership::{Ban, Invite, Join, Leave};
        assert_eq!(past(&[]).standing(), Standing::Outside);
        assert_eq!(past(&[(3, Invite)]).standing(), Standing::Outside);
        assert_eq!(past(&[(3, Invite), (4, Leave)]).standing(), Standing::Outside);
        assert_eq!(past(&[(3, Invite), (4, Join)]).standing(), Standing::Joined);
        let left = Standing::Left(Position::new(5));
        assert_eq!(past(&[(4, Join), (5, Leave)]).standing(), left);
        assert_eq!(past(&[(4, Join), (5, Leave), (6, Ban), (7, Leave), (8, Invite)]).standing(), left);
        assert_eq!(past(&[(4, Join), (5, Leave), (6, Join)]).standing(), Standing::Joined);
    }

    #[test]
    fn who_forgot_a_room_is_outside_until_they_join_again() {
        let forgotten = MembershipAt { forgotten: true, ..row(6, Membership::Leave) };
        let mut rows = vec![row(4, Membership::Join), row(5, Membership::Leave), forgotten];
        assert_eq!(Past(rows.clone()).standing(), Standing::Outside);
        rows.push(row(7, Membership::Invite));
        assert_eq!(Past(rows.clone()).standing(), Standing::Outside);
        rows.push(row(8, Membership::Join));
        assert_eq!(Past(rows).standing(), Standing::Joined);
    }

    #[test]
    fn joined_since_an_event_counts_those_who_were_there_and_those_who_came_later() {
        use Membership::{Join, Leave};
        let visit = past(&[(4, Join), (8, Leave)]);
        assert!(visit.joined_since(place(2, 0)));
        assert!(visit.joined_since(place(4, -1)));
        assert!(visit.joined_since(place(4, 0)));
        assert!(visit.joined_since(place(7, 0)));
        assert!(visit.joined_since(place(8, -3)));
        assert!(!visit.joined_since(place(8, 0)));
        assert!(!visit.joined_since(place(9, 0)));
        assert!(past(&[(4, Join), (8, Leave), (20, Join)]).joined_since(place(9, 0)));
        assert!(!past(&[(4, Leave)]).joined_since(place(2, 0)));
    }
}
