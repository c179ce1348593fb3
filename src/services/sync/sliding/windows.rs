//! Which rooms a request looks at: the windows of its lists, and the rooms it subscribed to.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_core::membership::Membership;
use hearth_core::sliding_sync::{Extension, Filters, List, Request, RoomTraits, RoomView};

use super::account::Marks;
use super::known::{ACCOUNT_DATA, Known, RECEIPTS, TYPING};
use super::traits::Seen;
use crate::rooms::viewer::Viewer;
use crate::sync::SyncError;
use crate::sync::engine::Engine;
use crate::sync::memory::{Member, Survey};

/// What a request looks at.
#[derive(Debug, Default)]
pub(super) struct Windows {
    pub(super) lists: Vec<Window>,
    pub(super) wishes: HashMap<RoomNid, Wish>,
    /// The rooms wished for: those subscribed to, and then as they stand in the lists.
    pub(super) order: Vec<RoomNid>,
}

/// A list, and what of it is looked at.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) name: String,
    /// How many rooms the list has.
    pub(super) count: usize,
    /// Places, and the rooms at them.
    pub(super) ranges: Vec<((usize, usize), Vec<RoomNid>)>,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) view: RoomView,
    /// The lists that show it.
    pub(super) lists: Vec<String>,
    /// What is wanted beside its events.
    pub(super) beside: u8,
}

/// The rooms that lists are made of.
struct Candidates {
    /// Newest first.
    rooms: Vec<(RoomNid, Membership)>,
    marks: Arc<Marks>,
    traits: HashMap<RoomNid, Arc<Seen>>,
}

impl Engine {
    /// What a request looks at.
    pub(super) async fn windows(
        &self,
        viewer: &Viewer,
        (request, known): (&Request, &Known),
        survey: &Survey,
        marks: Arc<Marks>,
    ) -> Result<Windows, SyncError> {
        let upto = survey.sample.upto;
        let rooms = self.candidates(viewer, known, survey).await?;
        let mut candidates = Candidates { rooms, marks, traits: HashMap::new() };
        if request.lists.values().any(|list| list.filters.need_state()) {
            let rooms: Vec<RoomNid> = candidates.rooms.iter().map(|(room, _)| *room).collect();
            candidates.traits = self.traits(&rooms, upto).await?;
        }
        let mut windows = Windows::default();
        for room in request.subscriptions.keys() {
            if let Some(nid) = self.reader.interned.known_room(room).await?
                && candidates.rooms.iter().any(|(candidate, _)| *candidate == nid)
                && let Some(view) = request.subscriptions.get(room)
            {
                let beside = beside(request, |extension| extension.covers_room(room.as_str()));
                windows.wish(nid, view, None, beside);
            }
        }
        for (name, list) in &request.lists {
            let inside = self.inside(&candidates, &list.filters, upto).await?;
            let in_list: Vec<RoomNid> = candidates.in_list(&list.filters, &inside);
            windows.look(name, list, &in_list, beside(request, |extension| extension.covers_list(name)));
        }
        Ok(windows)
    }

    /// The rooms that a reader's lists are made of, newest first: those they are in, invited to or knocked at, those
    /// that another put them out of, and those of which the client was told.
    async fn candidates(
        &self,
        viewer: &Viewer,
        known: &Known,
        survey: &Survey,
    ) -> Result<Vec<(RoomNid, Membership)>, SyncError> {
        let is_out = |member: &Member| matches!(member.membership, Membership::Leave | Membership::Ban);
        let mut removed = Arc::default();
        let untold = |(room, member): &(RoomNid, Member)| {
            is_out(member) && !member.forgotten && known.room(*room).is_none()
        };
        if survey.rooms.iter().any(untold) {
            removed = self.sliding.accounts.removed(viewer.user, survey.moved).await?;
        }
        let is_candidate = |(room, member): &&(RoomNid, Member)| {
            !member.forgotten && (!is_out(member) || known.room(*room).is_some() || removed.contains(room))
        };
        let rooms: Vec<(RoomNid, Member)> = survey.rooms.iter().filter(is_candidate).copied().collect();
        let joined =
            |(room, member): &(RoomNid, Member)| (member.membership == Membership::Join).then_some(*room);
        let joined: Vec<RoomNid> = rooms.iter().filter_map(joined).collect();
        let newest = self.sliding.order.newest(&joined).await?;
        let place = |(room, member): &(RoomNid, Member)| {
            Reverse((newest.get(room).copied().unwrap_or(member.pos), *room))
        };
        let mut rooms = rooms;
        rooms.sort_by_cached_key(place);
        Ok(rooms.into_iter().map(|(room, member)| (room, member.membership)).collect())
    }

    /// The rooms inside the spaces that a filter names, as far as the reader is in these.
    async fn inside(
        &self,
        candidates: &Candidates,
        filters: &Filters,
        upto: Position,
    ) -> Result<HashSet<RoomNid>, SyncError> {
        let Some(spaces) = &filters.spaces else { return Ok(HashSet::new()) };
        let joined: HashSet<RoomNid> = candidates
            .rooms
            .iter()
            .filter(|(_, membership)| *membership == Membership::Join)
            .map(|(room, _)| *room)
            .collect();
        let mut spaces = self.known_rooms(spaces).await?;
        spaces.retain(|space| joined.contains(space));
        Ok(self.children_of(&spaces, upto).await?)
    }
}

impl Window {
    /// The rooms at its places.
    pub(super) fn rooms(&self) -> impl Iterator<Item = RoomNid> + '_ {
        self.ranges.iter().flat_map(|(_, rooms)| rooms.iter().copied())
    }
}

impl Candidates {
    fn in_list(&self, filters: &Filters, inside: &HashSet<RoomNid>) -> Vec<RoomNid> {
        let is_in = |(room, membership): &&(RoomNid, Membership)| {
            let seen = self.traits.get(room);
            filters.let_through(&RoomTraits {
                is_dm: self.marks.is_direct(*room),
                is_invited: *membership == Membership::Invite,
                is_encrypted: seen.map(|seen| seen.encrypted),
                room_type: seen.map(|seen| seen.room_type.as_deref()),
                tags: self.marks.tags(*room),
                in_space: inside.contains(room),
            })
        };
        self.rooms.iter().filter(is_in).map(|(room, _)| *room).collect()
    }
}

impl Windows {
    /// Looks at the ranges of a list.
    fn look(&mut self, name: &str, list: &List, rooms: &[RoomNid], beside: u8) {
        let mut seen = HashSet::new();
        let mut ranges = Vec::with_capacity(list.ranges.len());
        for &(from, to) in &list.ranges {
            let end = to.saturating_add(1).min(rooms.len());
            let shown = rooms.get(from.min(end)..end).unwrap_or_default();
            for room in shown.iter().filter(|room| seen.insert(**room)) {
                self.wish(*room, &list.view, Some(name), beside);
            }
            ranges.push(((from, to), shown.to_vec()));
        }
        self.lists.push(Window { name: name.to_owned(), count: rooms.len(), ranges });
    }

    fn wish(&mut self, room: RoomNid, view: &RoomView, list: Option<&str>, beside: u8) {
        let wish = self.wishes.entry(room).or_insert_with(|| {
            self.order.push(room);
            Wish::default()
        });
        wish.view.join(view);
        wish.lists.extend(list.map(str::to_owned));
        wish.beside |= beside;
    }
}

/// What is wanted beside events where `covers` says so.
fn beside(request: &Request, covers: impl Fn(&Extension) -> bool) -> u8 {
    let extensions = &request.extensions;
    let wanted = [
        (&extensions.account_data, ACCOUNT_DATA),
        (&extensions.receipts, RECEIPTS),
        (&extensions.typing, TYPING),
    ];
    let covered = wanted.iter().filter(|(extension, _)| extension.as_ref().is_some_and(&covers));
    covered.fold(0, |beside, (_, bit)| beside | bit)
}
