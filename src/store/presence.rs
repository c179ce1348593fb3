//! Who is online. Written by the log; this reads it.

use hearth_core::id::{Position, RoomNid, UserNid};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Result, Store, StoreError};

/// How much of a user others can expect, least first. Stored as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i16", into = "i16")]
pub enum PresenceState {
    /// Not connected.
    Offline = 1,
    /// Connected, but not at the keyboard.
    Unavailable = 2,
    /// There.
    Online = 3,
    /// There, and not to be disturbed (MSC3026).
    Busy = 4,
}

/// A number that stands for no presence.
#[derive(Debug, thiserror::Error)]
#[error("no presence has the number {0}")]
pub struct UnknownPresence(i16);

impl PresenceState {
    /// The number it is stored as.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unavailable => "unavailable",
            Self::Online => "online",
            Self::Busy => "org.matrix.msc3026.busy",
        }
    }
}

impl From<PresenceState> for i16 {
    fn from(state: PresenceState) -> Self {
        state.number()
    }
}

impl TryFrom<i16> for PresenceState {
    type Error = UnknownPresence;

    fn try_from(number: i16) -> Result<Self, UnknownPresence> {
        match number {
            1 => Ok(Self::Offline),
            2 => Ok(Self::Unavailable),
            3 => Ok(Self::Online),
            4 => Ok(Self::Busy),
            other => Err(UnknownPresence(other)),
        }
    }
}

/// What others are told of a user's presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The user.
    pub user: UserNid,
    /// Their id.
    pub user_id: OwnedUserId,
    /// How much of them to expect.
    pub state: PresenceState,
    /// What they say of it themselves.
    pub status_msg: Option<String>,
    /// When they last did something, milliseconds since the epoch, as of the last transition.
    pub last_active_ts: i64,
    /// They do something right now.
    pub currently_active: bool,
    /// When it last changed.
    pub pos: Position,
}

impl Presence {
    /// How long ago they did something, in milliseconds; none where they never did.
    #[must_use]
    pub fn last_active_ago(&self, now_ms: i64) -> Option<i64> {
        (self.last_active_ts > 0).then(|| (now_ms - self.last_active_ts).max(0))
    }

    /// Whether they do something right now, where that is said: of those who are online.
    #[must_use]
    pub fn says_currently_active(&self) -> Option<bool> {
        (self.state == PresenceState::Online).then_some(self.currently_active)
    }
}

/// What one process sees of a user's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceSession {
    /// The process.
    pub incarnation: i64,
    /// The process lives.
    pub lives: bool,
    /// What its devices make of the user.
    pub state: PresenceState,
    /// When they last did something, milliseconds since the epoch.
    pub last_active_ts: i64,
}

#[derive(sqlx::FromRow)]
struct PresenceRow {
    user_nid: i64,
    user_id: String,
    presence: i16,
    status_msg: Option<String>,
    last_active_ts: i64,
    currently_active: bool,
    pos: i64,
}

impl TryFrom<PresenceRow> for Presence {
    type Error = StoreError;

    fn try_from(row: PresenceRow) -> Result<Self> {
        let corrupt = || StoreError::corrupt("presence", row.user_nid);
        Ok(Self {
            user: UserNid::new(row.user_nid),
            user_id: UserId::parse(&*row.user_id).map_err(|_| corrupt())?,
            state: row.presence.try_into().map_err(|_| corrupt())?,
            status_msg: row.status_msg,
            last_active_ts: row.last_active_ts,
            currently_active: row.currently_active,
            pos: Position::new(row.pos),
        })
    }
}

/// A process that was not seen for so many seconds is gone, and so are the devices it saw.
const GONE_AFTER_SECONDS: f64 = 15.0;

impl Store {
    /// The presence of a user; none where they never had one. Served by the primary key of `presence`.
    pub async fn presence(&self, user: UserNid) -> Result<Option<Presence>> {
        let row: Option<PresenceRow> = sqlx::query_as(
            "SELECT p.user_nid, u.id AS user_id, p.presence, p.status_msg, p.last_active_ts, p.currently_active, p.pos
             FROM presence p JOIN interned_user u ON u.nid = p.user_nid WHERE p.user_nid = $1",
        )
        .bind(user.get())
        .fetch_optional(self.db())
        .await?;
        row.map(Presence::try_from).transpose()
    }

    /// The presence of everybody who is not offline. Served by `presence_seen`.
    pub async fn presences(&self) -> Result<Vec<Presence>> {
        let rows: Vec<PresenceRow> = sqlx::query_as(
            "SELECT p.user_nid, u.id AS user_id, p.presence, p.status_msg, p.last_active_ts, p.currently_active, p.pos
             FROM presence p JOIN interned_user u ON u.nid = p.user_nid WHERE p.presence <> 1",
        )
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(Presence::try_from).collect()
    }

    /// The presence of those whose presence changed after `after`, also of those who went offline.
    ///
    /// Served by `presence_pos`.
    pub async fn presence_changes(&self, after: Position) -> Result<Vec<Presence>> {
        let rows: Vec<PresenceRow> = sqlx::query_as(
            "SELECT p.user_nid, u.id AS user_id, p.presence, p.status_msg, p.last_active_ts, p.currently_active, p.pos
             FROM presence p JOIN interned_user u ON u.nid = p.user_nid WHERE p.pos > $1",
        )
        .bind(after.get())
        .fetch_all(self.db())
        .await?;
        rows.into_iter().map(Presence::try_from).collect()
    }

    /// What the processes see of a user. Served by the primary key of `presence_session`.
    pub async fn presence_sessions(&self, user: UserNid) -> Result<Vec<PresenceSession>> {
        let rows: Vec<(i64, i16, i64, bool)> = sqlx::query_as(
            "SELECT s.incarnation, s.presence, s.last_active_ts,
                    coalesce(r.seen_at > now() - make_interval(secs => $2), false)
             FROM presence_session s LEFT JOIN replica r USING (incarnation)
             WHERE s.user_nid = $1",
        )
        .bind(user.get())
        .bind(GONE_AFTER_SECONDS)
        .fetch_all(self.db())
        .await?;
        rows.into_iter()
            .map(|(incarnation, state, last_active_ts, lives)| {
                let state = state.try_into().map_err(|_| StoreError::corrupt("presence_session", user))?;
                Ok(PresenceSession { incarnation, lives, state, last_active_ts })
            })
            .collect()
    }

    /// At most `limit` users who were seen by processes that are gone. Served by `presence_session_incarnation`.
    pub async fn abandoned_presences(&self, limit: i64) -> Result<Vec<UserNid>> {
        let users: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT s.user_nid FROM presence_session s LEFT JOIN replica r USING (incarnation)
             WHERE coalesce(r.seen_at < now() - make_interval(secs => $1), true) LIMIT $2",
        )
        .bind(GONE_AFTER_SECONDS)
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        Ok(users.into_iter().map(UserNid::new).collect())
    }

    /// Of some users, those who are joined to one of some rooms. Served by the primary key of `membership`.
    pub async fn members_of_any(&self, users: &[UserNid], rooms: &[RoomNid]) -> Result<Vec<UserNid>> {
        let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
        let rooms: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let members: Vec<i64> = sqlx::query_scalar(
            "SELECT DISTINCT m.user_nid
             FROM (SELECT DISTINCT ON (user_nid, room_nid) user_nid, membership
                   FROM membership WHERE user_nid = ANY ($1) AND room_nid = ANY ($2)
                   ORDER BY user_nid, room_nid, pos DESC) m
             WHERE m.membership = 1",
        )
        .bind(users)
        .bind(rooms)
        .fetch_all(self.db())
        .await?;
        Ok(members.into_iter().map(UserNid::new).collect())
    }

    /// Whether two users are in a room together. Served by the primary key of `membership`.
    pub async fn share_a_room(&self, one: UserNid, other: UserNid) -> Result<bool> {
        let shared: bool = sqlx::query_scalar(
            "SELECT EXISTS (
                SELECT FROM (SELECT DISTINCT ON (room_nid) room_nid, membership
                             FROM membership WHERE user_nid = $1 ORDER BY room_nid, pos DESC) a
                JOIN (SELECT DISTINCT ON (room_nid) room_nid, membership
                      FROM membership WHERE user_nid = $2 ORDER BY room_nid, pos DESC) b USING (room_nid)
                WHERE a.membership = 1 AND b.membership = 1)",
        )
        .bind(one.get())
        .bind(other.get())
        .fetch_one(self.db())
        .await?;
        Ok(shared)
    }
}
