//! The rooms that this server lists publicly.

use std::fmt;
use std::str::FromStr;

use hearth_core::id::{Position, RoomNid};
use hearth_core::membership::Membership;
use hearth_store::alias::{ListPlace, Listed};
use hearth_store::log::{Change, Proposal};
use ruma::{OwnedRoomId, RoomId};
use serde::Serialize;

use super::sight::NOW;
use super::summary::{Summaries, Summary};
use super::viewer::Viewer;
use super::{RoomError, Rooms};
use crate::log::Log;

/// Rooms of one page.
const MAX_PAGE: usize = 500;

/// Rooms read at a time.
const BATCH: i64 = 200;

/// Rooms looked at for one page of a search; the next page goes on from there.
const MAX_SCANNED: usize = 4_000;

/// The public directory. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    rooms: Rooms,
    log: Log,
    summaries: Summaries,
}

/// Which of the listed rooms a client wants.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// How many at most.
    pub limit: usize,
    /// Where to go on.
    pub since: Option<String>,
    /// In their name, topic or alias.
    pub term: Option<String>,
    /// Only rooms of one of these types; none among them stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
}

/// A page of the list.
#[derive(Debug, Serialize)]
pub struct RoomList {
    chunk: Vec<ListedRoom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    total_room_count_estimate: i64,
}

/// A room as one outside of it reads about it.
#[derive(Clone, Debug, Serialize)]
pub struct ListedRoom {
    room_id: OwnedRoomId,
    num_joined_members: i64,
    #[serde(flatten)]
    summary: Summary,
}

/// A single room as one outside of it reads about it.
#[derive(Debug, Serialize)]
pub struct RoomSummary {
    #[serde(flatten)]
    room: ListedRoom,
    room_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_room_ids: Vec<OwnedRoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'static str>,
}

/// A token of the list: which way, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ListToken {
    backward: bool,
    place: ListPlace,
}

impl Directory {
    /// The directory of a server's rooms.
    #[must_use]
    pub fn new(rooms: Rooms, log: Log) -> Self {
        let summaries = Summaries::new();
        log.register(std::sync::Arc::new(summaries.clone()));
        Self { rooms, log, summaries }
    }

    /// Whether a room is listed.
    pub async fn is_listed(&self, room: &RoomId) -> Result<bool, RoomError> {
        let room = self.rooms.known(room).await?;
        Ok(self.rooms.reader.store.is_published(room.nid).await?)
    }

    /// Lists a room, or takes it off the list. Whoever may name the room may, and administrators.
    pub async fn list(
        &self,
        viewer: &Viewer,
        is_admin: bool,
        room: &RoomId,
        listed: bool,
    ) -> Result<(), RoomError> {
        let room = self.rooms.known(room).await?;
        if !is_admin {
            self.rooms.check_may_name(viewer, &room).await?;
        }
        let change = Change::PublishRoom { room: room.nid, published: listed };
        self.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// A page of the list, the rooms with most members first.
    pub async fn page(&self, request: &ListRequest) -> Result<RoomList, RoomError> {
        let from = match &request.since {
            None => ListToken::beginning(self.log.applied()),
            Some(token) => token.parse().map_err(|()| {
                RoomError::InvalidParameter("This is not a token that this server gave out.")
            })?,
        };
        let limit = request.limit.clamp(1, MAX_PAGE);
        let (mut found, reached) = self.scan(from, request, limit).await?;
        if from.backward {
            found.reverse();
        }
        let token = |backward, place| Some(ListToken { backward, place }.to_string());
        let (first, last) = (found.first().map(|(place, _)| *place), found.last().map(|(place, _)| *place));
        let (prev_batch, next_batch) = if from.backward {
            let beginning = ListToken::beginning(from.place.as_of).place;
            (reached.and_then(|place| token(true, place)), token(false, last.unwrap_or(beginning)))
        } else {
            let before = first.filter(|_| request.since.is_some());
            (before.and_then(|place| token(true, place)), reached.and_then(|place| token(false, place)))
        };
        Ok(RoomList {
            next_batch,
            prev_batch,
            chunk: found.into_iter().map(|(_, room)| room).collect(),
            total_room_count_estimate: self.rooms.reader.store.published_count().await?,
        })
    }

    /// What is told of one room, for those to whom it is told.
    pub async fn summary(&self, viewer: Option<&Viewer>, room: &RoomId) -> Result<RoomSummary, RoomError> {
        let reader = &self.rooms.reader;
        let room = self.rooms.known(room).await?;
        let state = reader.store.room_state_at(room.nid, NOW).await?.ok_or(RoomError::UnknownRoom)?;
        let mut summaries = self.summaries.of(reader, &[(room.nid, state.root, room.version)]).await?;
        let summary = summaries.pop().ok_or(RoomError::UnknownRoom)?;
        let membership = match viewer {
            None => None,
            Some(viewer) => {
                let now = reader.past(viewer.user, &room).await?.now();
                Some(now.unwrap_or(Membership::Leave))
            }
        };
        let inside = matches!(membership, Some(Membership::Join | Membership::Invite | Membership::Knock));
        if !inside && !summary.is_open() && !self.may_join_through(viewer, &summary).await? {
            return Err(RoomError::UnknownRoom);
        }
        Ok(RoomSummary {
            room_version: room.version.id.as_str(),
            encryption: summary.encryption.clone(),
            allowed_room_ids: summary.allowed_rooms.clone(),
            membership: membership.map(Membership::name),
            room: ListedRoom { room_id: room.id.clone(), num_joined_members: state.joined, summary },
        })
    }

    /// Whether the viewer is in a room whose members may join.
    async fn may_join_through(&self, viewer: Option<&Viewer>, summary: &Summary) -> Result<bool, RoomError> {
        let restricted = matches!(summary.join_rule.as_str(), "restricted" | "knock_restricted");
        let Some(viewer) = viewer.filter(|_| restricted) else { return Ok(false) };
        let joined = self.rooms.joined_rooms(viewer).await?;
        Ok(summary.allowed_rooms.iter().any(|allowed| joined.contains(allowed)))
    }

    /// Rooms on the way from a token, and from where to go on if there may be more.
    async fn scan(
        &self,
        from: ListToken,
        request: &ListRequest,
        limit: usize,
    ) -> Result<(Vec<(ListPlace, ListedRoom)>, Option<ListPlace>), RoomError> {
        let term = request.term.as_deref().map(str::to_lowercase).filter(|term| !term.is_empty());
        let (mut found, mut at, mut scanned) = (Vec::new(), from.place, 0);
        loop {
            let store = &self.rooms.reader.store;
            let batch = if from.backward {
                store.published_before(at, BATCH).await?
            } else {
                store.published_after(at, BATCH).await?
            };
            let last = i64::try_from(batch.len()).is_ok_and(|rooms| rooms < BATCH);
            scanned += batch.len();
            let told: Vec<_> = batch.iter().map(|room| (room.room, room.state.root, room.version)).collect();
            let summaries = self.summaries.of(&self.rooms.reader, &told).await?;
            for (room, summary) in batch.into_iter().zip(summaries) {
                let wanted = summary.is_listable(&room) && request.wants(&summary, term.as_deref());
                if wanted && found.len() == limit {
                    // There is one more: the page ends before it.
                    return Ok((found, Some(at)));
                }
                at = ListPlace { joined: room.state.joined, room: room.room, ..at };
                if wanted {
                    let num_joined_members = room.state.joined;
                    found.push((at, ListedRoom { room_id: room.id, num_joined_members, summary }));
                }
            }
            if last {
                return Ok((found, None));
            }
            if scanned >= MAX_SCANNED {
                return Ok((found, Some(at)));
            }
        }
    }
}

impl ListRequest {
    fn wants(&self, summary: &Summary, term: Option<&str>) -> bool {
        let of_type = self.room_types.as_ref().is_none_or(|types| types.contains(&summary.room_type));
        let texts = [&summary.name, &summary.topic, &summary.canonical_alias];
        let mentions = |term| texts.into_iter().flatten().any(|text| text.to_lowercase().contains(term));
        of_type && term.is_none_or(mentions)
    }
}

impl Summary {
    /// Anyone may find out about the room: they may join it, ask to, or read it.
    fn is_open(&self) -> bool {
        self.world_readable || matches!(self.join_rule.as_str(), "public" | "knock" | "knock_restricted")
    }

    /// A room that was left by all, or closed after it was listed, is not shown.
    fn is_listable(&self, room: &Listed) -> bool {
        room.state.joined > 0 && (self.is_open() || self.join_rule == "restricted")
    }
}

impl ListToken {
    fn beginning(as_of: Position) -> Self {
        let place = ListPlace { as_of, joined: i64::MAX, room: RoomNid::new(i64::MAX) };
        Self { backward: false, place }
    }
}

impl fmt::Display for ListToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListPlace { as_of, joined, room } = self.place;
        let way = if self.backward { 'b' } else { 'f' };
        write!(f, "{way}{as_of}_{joined}_{room}")
    }
}

impl FromStr for ListToken {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (backward, rest) = match text.split_at_checked(1).ok_or(())? {
            ("f", rest) => (false, rest),
            ("b", rest) => (true, rest),
            _ => return Err(()),
        };
        let mut numbers = rest.split('_').map(|digits| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse::<i64>().map_err(|_| ()) } else { Err(()) }
        });
        let mut next = || numbers.next().ok_or(())?;
        let (as_of, joined, room) = (Position::new(next()?), next()?, RoomNid::new(next()?));
        if numbers.next().is_some() {
            return Err(());
        }
        Ok(Self { backward, place: ListPlace { as_of, joined, room } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went_out_and_noise_is_refused() {
        let place = ListPlace { as_of: Position::new(7), joined: 3, room: RoomNid::new(9) };
        for backward in [false, true] {
            let token = ListToken { backward, place };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        assert_eq!(
            ListToken::beginning(Position::new(1)).to_string().parse(),
            Ok(ListToken::beginning(Position::new(1)))
        );
        for noise in ["", "f", "f1", "f1_2", "f1_2_3_4", "x1_2_3", "f-1_2_3", "f1_+2_3", "é1_2_3"] {
            assert_eq!(noise.parse::<ListToken>(), Err(()), "{noise}");
        }
    }
}
