//! Who was what in which room from when on.

use hearth_core::id::{EventNid, Position, RoomNid, UserNid};
use hearth_core::membership::Membership;
use sqlx::FromRow;

use crate::{Result, Store, StoreError};

/// A user's membership in a room from a position on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipAt {
    /// The user.
    pub user: UserNid,
    /// The room.
    pub room: RoomNid,
    /// From here on.
    pub pos: Position,
    /// What they are.
    pub membership: Membership,
    /// They forgot the room.
    pub forgotten: bool,
    /// Their member event.
    pub event: Option<EventNid>,
    /// What another server told of the room: a JSON array.
    pub stripped_state: Option<String>,
}

#[derive(FromRow)]
struct MembershipRow {
    user_nid: i64,
    room_nid: i64,
    pos: i64,
    membership: i16,
    forgotten: bool,
    event_nid: Option<i64>,
    stripped_state: Option<String>,
}

impl TryFrom<MembershipRow> for MembershipAt {
    type Error = StoreError;

    fn try_from(row: MembershipRow) -> Result<Self> {
        let membership = Membership::from_number(row.membership)
            .ok_or_else(|| StoreError::corrupt("membership", format!("{} at {}", row.user_nid, row.pos)))?;
        Ok(Self {
            user: UserNid::new(row.user_nid),
            room: RoomNid::new(row.room_nid),
            pos: Position::new(row.pos),
            membership,
            forgotten: row.forgotten,
            event: row.event_nid.map(EventNid::new),
            stripped_state: row.stripped_state,
        })
    }
}

impl Store {
    /// What a user is to every room they ever had to do with: the newest row of each, and the position that
    /// this is as of.
    ///
    /// Served by the primary key of `membership`.
    pub async fn memberships_of(&self, user: UserNid) -> Result<Vec<MembershipAt>> {
        self.memberships_of_all(&[user]).await
    }

    /// The same of several users.
    pub async fn memberships_of_all(&self, users: &[UserNid]) -> Result<Vec<MembershipAt>> {
        let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
        let rows: Vec<MembershipRow> = sqlx::query_as(
            "SELECT m.* FROM unnest($1::bigint[]) AS asked (user_nid)
             CROSS JOIN LATERAL (
                SELECT DISTINCT ON (room_nid)
                       user_nid, room_nid, pos, membership, forgotten, event_nid, stripped_state
                FROM membership WHERE user_nid = asked.user_nid ORDER BY room_nid, pos DESC) m",
        )
        .bind(users)
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(MembershipAt::try_from).collect()
    }

    /// All that a user was to a room, oldest first. Served by the primary key of `membership`.
    pub async fn membership_history(&self, user: UserNid, room: RoomNid) -> Result<Vec<MembershipAt>> {
        let rows: Vec<MembershipRow> = sqlx::query_as(
            "SELECT user_nid, room_nid, pos, membership, forgotten, event_nid, stripped_state
             FROM membership WHERE user_nid = $1 AND room_nid = $2 ORDER BY pos",
        )
        .bind(user.get())
        .bind(room.get())
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(MembershipAt::try_from).collect()
    }

    /// All that a user was to some rooms up to `upto`, by room, oldest first.
    ///
    /// Served by the primary key of `membership`.
    pub async fn memberships_in(
        &self,
        user: UserNid,
        rooms: &[RoomNid],
        upto: Position,
    ) -> Result<Vec<MembershipAt>> {
        let rooms: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let rows: Vec<MembershipRow> = sqlx::query_as(
            "SELECT user_nid, room_nid, pos, membership, forgotten, event_nid, stripped_state
             FROM membership WHERE user_nid = $1 AND room_nid = ANY ($2) AND pos <= $3
             ORDER BY room_nid, pos",
        )
        .bind(user.get())
        .bind(rooms)
        .bind(upto.get())
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(MembershipAt::try_from).collect()
    }

    /// What a user is to a room now. Served by the primary key of `membership`.
    pub async fn membership(&self, user: UserNid, room: RoomNid) -> Result<Option<MembershipAt>> {
        let row: Option<MembershipRow> = sqlx::query_as(
            "SELECT user_nid, room_nid, pos, membership, forgotten, event_nid, stripped_state
             FROM membership WHERE user_nid = $1 AND room_nid = $2 ORDER BY pos DESC LIMIT 1",
        )
        .bind(user.get())
        .bind(room.get())
        .fetch_optional(self.db())
        .await?;
        row.map(MembershipAt::try_from).transpose()
    }

    /// How a user's memberships changed in `(after, up_to]`, oldest first. Served by `membership_user`.
    pub async fn membership_changes(
        &self,
        user: UserNid,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<MembershipAt>> {
        let rows: Vec<MembershipRow> = sqlx::query_as(
            "SELECT user_nid, room_nid, pos, membership, forgotten, event_nid, stripped_state
             FROM membership WHERE user_nid = $1 AND pos > $2 AND pos <= $3 ORDER BY pos",
        )
        .bind(user.get())
        .bind(after.get())
        .bind(up_to.get())
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(MembershipAt::try_from).collect()
    }

    /// The first `limit` users, by when they came, who are joined or invited now, without `but`: a room's
    /// heroes. Served by `membership_room` and the primary key.
    pub async fn heroes(&self, room: RoomNid, but: UserNid, limit: i64) -> Result<Vec<UserNid>> {
        self.first_members(room, but, &[Membership::Join, Membership::Invite], limit).await
    }

    /// The first `limit` users, by when they came, whose membership is one of `among` now, without `but`.
    pub async fn first_members(
        &self,
        room: RoomNid,
        but: UserNid,
        among: &[Membership],
        limit: i64,
    ) -> Result<Vec<UserNid>> {
        let among: Vec<i16> = among.iter().map(|membership| membership.number()).collect();
        let users: Vec<i64> = sqlx::query_scalar(
            "SELECT m.user_nid FROM membership m
             WHERE m.room_nid = $1 AND m.user_nid <> $2 AND m.membership = ANY ($3)
               AND NOT EXISTS (SELECT FROM membership later
                               WHERE later.user_nid = m.user_nid AND later.room_nid = m.room_nid
                                 AND later.pos > m.pos)
             ORDER BY m.pos LIMIT $4",
        )
        .bind(room.get())
        .bind(but.get())
        .bind(among)
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        Ok(users.into_iter().map(UserNid::new).collect())
    }

    /// As [`Store::heroes`] for several rooms at once, without leaving anybody out: rooms and users, those of a room
    /// together and in their order.
    pub async fn heroes_of(&self, rooms: &[RoomNid], limit: i64) -> Result<Vec<(RoomNid, UserNid)>> {
        let rooms: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let among = [Membership::Join.number(), Membership::Invite.number()];
        let heroes: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT r.room, h.user_nid
             FROM unnest($1::bigint[]) AS r (room)
             CROSS JOIN LATERAL (
                 SELECT m.user_nid, m.pos FROM membership m
                 WHERE m.room_nid = r.room AND m.membership = ANY ($2)
                   AND NOT EXISTS (SELECT FROM membership later
                                   WHERE later.user_nid = m.user_nid AND later.room_nid = m.room_nid
                                     AND later.pos > m.pos)
                 ORDER BY m.pos LIMIT $3) h
             ORDER BY r.room, h.pos",
        )
        .bind(rooms)
        .bind(&among[..])
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        Ok(heroes.into_iter().map(|(room, user)| (RoomNid::new(room), UserNid::new(user))).collect())
    }
}
