//! What counts as unread. Written by the log; this reads it.

use std::collections::{BTreeMap, HashMap};

use hearth_core::id::{Position, RoomNid, UserNid};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::{Result, Store};

/// The user that stands for every member of a room.
const EVERYONE: UserNid = UserNid::new(0);

/// What an event adds to the unread counts of a room's members, its sender aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weight {
    /// The id of the event that its thread begins with; none outside threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// It notifies every member.
    pub counts: bool,
    /// It is highlighted for every member.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub highlights: bool,
    /// For whom it is highlighted where it is not for everybody. It notifies them even if it counts for nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentioned: Vec<UserNid>,
}

impl Weight {
    /// Whether it notifies nobody.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        !self.counts && !self.highlights && self.mentioned.is_empty()
    }

    /// Whether it is highlighted for a member who is not its sender.
    #[must_use]
    pub fn is_highlighted_for(&self, user: UserNid) -> bool {
        self.highlights || self.mentioned.contains(&user)
    }

    /// For whom it has rows.
    pub(crate) fn highlighted(&self) -> Vec<UserNid> {
        if self.highlights { vec![EVERYONE] } else { self.mentioned.clone() }
    }

    /// What the log tells of it; nothing where it weighs nothing.
    pub(crate) fn told(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).ok()).flatten()
    }

    /// From what the log tells; none where that is damaged.
    pub(crate) fn read(told: Option<&str>) -> Option<Self> {
        told.map_or(Some(Self::default()), |told| serde_json::from_str(told).ok())
    }
}

/// Unread notifications, and those of them that are highlighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub notifications: i64,
    /// The highlighted ones.
    pub highlights: i64,
}

impl Count {
    /// Whether there are none.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.notifications == 0 && self.highlights == 0
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.notifications += other.notifications;
        self.highlights += other.highlights;
    }
}

/// What one reader has not read of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// What is in no thread.
    pub main: Count,
    /// What is in threads, by the id of the event that each begins with; those that have any.
    pub threads: BTreeMap<String, Count>,
    /// When a receipt of the reader in the room last moved.
    pub read: Position,
}

impl Unread {
    /// Everything, in threads or not.
    #[must_use]
    pub fn all(&self) -> Count {
        self.threads.values().fold(self.main, |mut all, thread| {
            all += *thread;
            all
        })
    }

    /// Adds what an event of somebody else weighs.
    pub fn add(&mut self, weight: &Weight, reader: UserNid) {
        let highlights = weight.is_highlighted_for(reader);
        let count =
            Count { notifications: (weight.counts || highlights).into(), highlights: highlights.into() };
        match &weight.thread {
            None => self.main += count,
            Some(_) if count.is_zero() => {}
            Some(thread) => *self.threads.entry(thread.clone()).or_default() += count,
        }
    }

    /// The reader sent something: they have read what was there.
    pub fn sent(&mut self, thread: Option<&str>) {
        match thread {
            None => self.main = Count::default(),
            Some(thread) => drop(self.threads.remove(thread)),
        }
    }
}

/// For whom, as of when, and without whom unread notifications are counted.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The reader.
    pub user: UserNid,
    /// Events after this do not count.
    pub upto: Position,
    /// Nor do those of these senders.
    pub ignored: &'a [OwnedUserId],
}

#[derive(sqlx::FromRow)]
struct UnreadRow {
    room: i64,
    thread: String,
    notifications: i64,
    highlights: i64,
    read: i64,
}

impl Store {
    /// What a reader has not read of rooms that they are in, in one statement. Its cost grows with the rooms and
    /// their threads, not with their history.
    ///
    /// Served by the primary keys of `timeline`, `receipt`, `membership`, `highlight` and `withdrawn`, and by
    /// `timeline_sender` and `timeline_thread`.
    pub async fn unread(&self, reader: Reader<'_>, rooms: &[RoomNid]) -> Result<HashMap<RoomNid, Unread>> {
        let rooms: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let ignored: Vec<&str> = reader.ignored.iter().map(|user| user.as_str()).collect();
        let rows: Vec<UnreadRow> = sqlx::query_as(UNREAD)
            .bind(reader.user.get())
            .bind(rooms)
            .bind(reader.upto.get())
            .bind(ignored)
            .fetch_all(self.db())
            .await?;
        let mut unread: HashMap<RoomNid, Unread> = HashMap::new();
        for row in rows {
            let of_room = unread.entry(RoomNid::new(row.room)).or_default();
            let count = Count { notifications: row.notifications, highlights: row.highlights };
            of_room.read = Position::new(row.read);
            if row.thread.is_empty() {
                of_room.main = count;
            } else {
                of_room.threads.insert(row.thread, count);
            }
        }
        Ok(unread)
    }
}

/// How many count in a thread, or outside threads (where it is empty), is the difference of two totals, less what
/// was withdrawn and what ignored users sent, and with what notifies the reader alone.
///
/// It is counted from the latest of the reader's join, receipts and own events. A receipt for an event fetched later,
/// which sorts before its anchor, is as good as one just before that. Threads are found one after the other in the
/// index, without looking at their events.
const UNREAD: &str = r#"
WITH RECURSIVE ignored AS MATERIALIZED (
    SELECT u.nid FROM interned_user u WHERE u.id = ANY ($4)
), receipts AS MATERIALIZED (
    SELECT r.room_nid AS room, r.thread, max(r.anchor - (r.sub < 0)::integer) AS bound, max(r.pos) AS pos
    FROM receipt r
    WHERE r.user_nid = $1 AND r.room_nid = ANY ($2)
    GROUP BY r.room_nid, r.thread
), entered AS MATERIALIZED (
    SELECT a.room, greatest(joined.pos, every.bound) AS bound,
           coalesce((SELECT max(r.pos) FROM receipts r WHERE r.room = a.room), 0) AS read
    FROM unnest($2::bigint[]) AS a (room)
    CROSS JOIN LATERAL (
        SELECT m.pos FROM membership m
        WHERE m.user_nid = $1 AND m.room_nid = a.room AND m.pos <= $3
        ORDER BY m.pos DESC LIMIT 1
    ) joined
    LEFT JOIN receipts every ON every.room = a.room AND every.thread = ''
), thread AS (
    SELECT e.room, '' COLLATE "C" AS thread FROM entered e
    UNION ALL
    SELECT t.room, next.thread
    FROM thread t
    CROSS JOIN LATERAL (
        SELECT l.thread FROM timeline l
        WHERE l.room_nid = t.room AND l.thread > t.thread AND l.thread > ''
        ORDER BY l.thread LIMIT 1
    ) next
), newest AS MATERIALIZED (
    SELECT e.room, t.thread, e.read, greatest(e.bound, r.bound) AS bound, newest.total
    FROM thread t
    JOIN entered e ON e.room = t.room
    LEFT JOIN receipts r ON r.room = t.room AND r.thread = CASE t.thread WHEN '' THEN 'main' ELSE t.thread END
    LEFT JOIN LATERAL (
        (SELECT l.anchor, l.total FROM timeline l
         WHERE t.thread = '' AND l.room_nid = t.room AND l.anchor <= $3
         ORDER BY l.anchor DESC, l.sub DESC LIMIT 1)
        UNION ALL
        (SELECT l.anchor, l.thread_total FROM timeline l
         WHERE t.thread > '' AND l.room_nid = t.room AND l.thread = t.thread AND l.thread > '' AND l.anchor <= $3
         ORDER BY l.anchor DESC LIMIT 1)
    ) newest ON true
    WHERE t.thread = '' OR newest.anchor > greatest(e.bound, r.bound)
), begun AS MATERIALIZED (
    SELECT n.room, n.thread, n.read, n.total, greatest(n.bound, own.anchor) AS bound
    FROM newest n
    LEFT JOIN LATERAL (
        SELECT l.anchor FROM timeline l
        WHERE l.room_nid = n.room AND l.sender_nid = $1 AND l.thread = n.thread AND l.anchor <= $3
        ORDER BY l.anchor DESC LIMIT 1
    ) own ON true
), counted AS MATERIALIZED (
    SELECT b.room, b.thread, b.read, marked.n AS highlights,
           greatest(0, coalesce(b.total, 0) - coalesce(since.total, 0) - gone.n - unheard.n + marked.beyond)
               AS notifications
    FROM begun b
    LEFT JOIN LATERAL (
        (SELECT l.total FROM timeline l
         WHERE b.thread = '' AND l.room_nid = b.room AND l.anchor <= b.bound
         ORDER BY l.anchor DESC, l.sub DESC LIMIT 1)
        UNION ALL
        (SELECT l.thread_total FROM timeline l
         WHERE b.thread > '' AND l.room_nid = b.room AND l.thread = b.thread AND l.thread > '' AND l.anchor <= b.bound
         ORDER BY l.anchor DESC LIMIT 1)
    ) since ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM withdrawn w
        WHERE w.room_nid = b.room AND w.thread = b.thread AND w.anchor > b.bound AND w.anchor <= $3
    ) gone
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(sent.n), 0)::bigint AS n
        FROM ignored i
        CROSS JOIN LATERAL (
            SELECT count(*) AS n FROM timeline l
            WHERE l.room_nid = b.room AND l.sender_nid = i.nid AND l.thread = b.thread AND l.anchor > b.bound
              AND l.anchor <= $3 AND l.counts
              AND NOT EXISTS (SELECT FROM withdrawn w
                              WHERE w.room_nid = b.room AND w.thread = b.thread AND w.anchor = l.anchor)
        ) sent
    ) unheard
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, count(*) FILTER (WHERE h.beyond) AS beyond
        FROM highlight h
        WHERE h.room_nid = b.room AND h.user_nid IN (0, $1) AND h.thread = b.thread AND h.pos > b.bound
          AND h.pos <= $3 AND NOT EXISTS (SELECT FROM ignored i WHERE i.nid = h.sender_nid)
    ) marked
)
SELECT room, thread, notifications, highlights, read FROM counted
WHERE thread = '' OR notifications > 0 OR highlights > 0"#;
