//! Which rooms a request looks at: the windows of its lists, and the rooms it subscribed to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_core::membership::Membership;
use hearth_core::sliding_sync::{Extension, Filters, List, Request, RoomTraits, RoomView};

use super::account::Marks;
use super::known::{ACCOUNT_DATA, Known, RECEIPTS, TYPING};
use super::ranking::{Place, Ranking};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// What the reader is to it.
    pub(super) member: Member,
    pub(super) view: RoomView,
    /// The lists that show it.
    pub(super) lists: Vec<String>,
    /// What is wanted beside its events.
    pub(super) beside: u8,
}

/// The rooms that lists are made of, newest first.
struct Candidates<'a> {
    places: Vec<&'a Place>,
    marks: Arc<Marks>,
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
        let with_state = request.lists.values().any(|list| list.filters.need_state());
        let ranking = self.ranking(viewer, survey, with_state).await?;
        let places = self.candidates(viewer, known, survey, &ranking).await?;
        let candidates = Candidates { places, marks };
        let mut windows = Windows::default();
        let subscribed = request.subscriptions.keys().map(|room| room.as_str());
        let subscribed = self.reader.interned.known_rooms(subscribed).await?;
        for (room, view) in &request.subscriptions {
            let nid = subscribed.get(room);
            if let Some(place) = candidates.places.iter().find(|place| Some(&place.room) == nid) {
                let beside = beside(request, |extension| extension.covers_room(room.as_str()));
                windows.wish(place, view, None, beside);
            }
        }
        for (name, list) in &request.lists {
            let inside = self.inside(&candidates, &list.filters, upto).await?;
            let in_list: Vec<&Place> = candidates.in_list(&list.filters, &inside);
            windows.look(name, list, &in_list, beside(request, |extension| extension.covers_list(name)));
        }
        Ok(windows)
    }

    /// The rooms that a reader's lists are made of: those they are in, invited to or knocked at, those that another put
    /// them out of, and those of which the client was told.
    async fn candidates<'a>(
        &self,
        viewer: &Viewer,
        known: &Known,
        survey: &Survey,
        ranking: &'a Ranking,
    ) -> Result<Vec<&'a Place>, SyncError> {
        let is_out = |place: &Place| matches!(place.member.membership, Membership::Leave | Membership::Ban);
        let is_untold = |place: &Place| is_out(place) && known.room(place.room).is_none();
        let mut removed = Arc::default();
        if ranking.places.iter().any(is_untold) {
            removed = self.sliding.accounts.removed(viewer.user, survey.moved).await?;
        }
        let is_candidate = |place: &&Place| !is_untold(place) || removed.contains(&place.room);
        Ok(ranking.places.iter().filter(is_candidate).collect())
    }

    /// The rooms inside the spaces that a filter names, as far as the reader is in these.
    async fn inside(
        &self,
        candidates: &Candidates<'_>,
        filters: &Filters,
        upto: Position,
    ) -> Result<HashSet<RoomNid>, SyncError> {
        let Some(spaces) = &filters.spaces else { return Ok(HashSet::new()) };
        let joined = candidates.places.iter().filter(|place| place.member.membership == Membership::Join);
        let joined: HashSet<RoomNid> = joined.map(|place| place.room).collect();
        let known = self.reader.interned.known_rooms(spaces.iter().map(|space| space.as_str())).await?;
        let spaces: Vec<RoomNid> = known.into_values().filter(|space| joined.contains(space)).collect();
        Ok(self.children_of(&spaces, upto).await?)
    }
}

impl Window {
    /// The rooms at its places.
    pub(super) fn rooms(&self) -> impl Iterator<Item = RoomNid> + '_ {
        self.ranges.iter().flat_map(|(_, rooms)| rooms.iter().copied())
    }
}

impl<'a> Candidates<'a> {
    fn in_list(&self, filters: &Filters, inside: &HashSet<RoomNid>) -> Vec<&'a Place> {
        let is_in = |place: &&&Place| {
            let seen = place.seen.as_deref();
            filters.let_through(&RoomTraits {
                is_dm: self.marks.is_direct(place.room),
                is_invited: place.member.membership == Membership::Invite,
                is_encrypted: seen.map(|seen| seen.encrypted),
                room_type: seen.map(|seen| seen.room_type.as_deref()),
                tags: self.marks.tags(place.room),
                in_space: inside.contains(&place.room),
            })
        };
        self.places.iter().filter(is_in).copied().collect()
    }
}

impl Windows {
    /// Looks at the ranges of a list.
    fn look(&mut self, name: &str, list: &List, places: &[&Place], beside: u8) {
        let mut seen = HashSet::new();
        let mut ranges = Vec::with_capacity(list.ranges.len());
        for &(from, to) in &list.ranges {
            let end = to.saturating_add(1).min(places.len());
            let shown = places.get(from.min(end)..end).unwrap_or_default();
            for place in shown.iter().filter(|place| seen.insert(place.room)) {
                self.wish(place, &list.view, Some(name), beside);
            }
            ranges.push(((from, to), shown.iter().map(|place| place.room).collect()));
        }
        self.lists.push(Window { name: name.to_owned(), count: places.len(), ranges });
    }

    fn wish(&mut self, place: &Place, view: &RoomView, list: Option<&str>, beside: u8) {
        let wish = self.wishes.entry(place.room).or_insert_with(|| {
            self.order.push(place.room);
            Wish { member: place.member, view: RoomView::default(), lists: Vec::new(), beside: 0 }
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
