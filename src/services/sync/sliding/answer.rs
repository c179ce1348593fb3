//! What a connection's client is told next.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid, StateKeyNid};
use hearth_core::membership::Membership;
use hearth_core::sliding_sync::{Form, RoomView};
use hearth_core::sync_filter::{EventFilter, RoomFilter};
use hearth_store::StoreError;
use hearth_store::account_data::AccountData;
use hearth_store::event::StoredEvent;
use hearth_store::membership::MembershipAt;
use hearth_store::room::Room;

use super::Request;
use super::account::Marks;
use super::extensions::Beside;
use super::known::{Known, KnownRoom};
use super::state::StateTold;
use super::windows::{Window, Windows, Wish};
use crate::rooms::client_view;
use crate::rooms::viewer::Viewer;
use crate::sync::SyncError;
use crate::sync::engine::{Engine, RoomChanges, View};
use crate::sync::memory::{Concerned, Connection, Member, Survey};
use crate::sync::plan::{Plan, Section, Span, Stay, plan};

/// Rooms told in one response. What is beyond comes with the next, which is not waited for.
const MAX_ROOMS: usize = 500;

/// A response.
pub(super) struct Answer {
    /// As of here.
    pub(super) upto: Position,
    pub(super) lists: Vec<Window>,
    pub(super) rooms: Vec<RoomTold>,
    /// What never changes about the rooms in the windows, where the form names them.
    pub(super) names: HashMap<RoomNid, Arc<Room>>,
    /// The account data of the whole account.
    pub(super) account_data: Vec<AccountData>,
    /// What the client then knows; nothing, if that is what it knew.
    pub(super) known: Option<Known>,
    /// What is told beside events.
    pub(super) beside: client_view::Beside,
    pub(super) beside_state: client_view::Beside,
    /// When a session of the user was last closed.
    pub(super) sessions_closed: Position,
}

/// What is told of a room.
pub(super) struct RoomTold {
    pub(super) changes: RoomChanges,
    pub(super) membership: Membership,
    pub(super) lists: Vec<String>,
    pub(super) state: StateTold,
    pub(super) beside: Beside,
    pub(super) bump: Position,
    pub(super) is_dm: bool,
    pub(super) told_as: ToldAs,
    /// How many of the timeline's events are new since the last response.
    pub(super) num_live: usize,
    /// The reader's counts changed because they read.
    was_read: bool,
}

/// What a room is told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToldAs {
    /// The client knew nothing of it.
    Initial,
    /// Its timeline goes further back than the client asked before.
    Expanded,
    /// What is new.
    Update,
}

/// Why a room is looked at.
pub(super) struct Look<'a> {
    pub(super) member: Member,
    pub(super) wish: &'a Wish,
    pub(super) known: Option<&'a KnownRoom>,
    pub(super) known_view: Option<&'a RoomView>,
    /// Up to where the client was told.
    pub(super) since: Option<Position>,
    /// It wants a longer timeline than before.
    pub(super) expanded: bool,
}

/// The rooms that are looked at.
pub(super) type Looks<'a> = HashMap<RoomNid, Look<'a>>;

/// What a client asks for, what it knows, and up to where it was told.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) viewer: &'a Viewer,
    pub(super) request: &'a Request,
    pub(super) known: &'a Known,
    pub(super) since: Option<Position>,
}

impl Look<'_> {
    /// Whether other state is required than before.
    pub(super) fn wants_new_state(&self) -> bool {
        self.known_view.is_none_or(|view| view.wanted != self.wish.view.wanted)
    }

    /// What beside events the client was told before.
    pub(super) fn was_told(&self, beside: u8) -> bool {
        self.known.is_some_and(|known| known.told & beside != 0)
    }
}

impl RoomTold {
    /// Whether there is anything to tell but what stands in extensions.
    pub(super) fn is_told(&self, form: Form) -> bool {
        self.told_as != ToldAs::Update
            || self.changes.plan.section != Section::Join
            || !self.changes.timeline.is_empty()
            || !self.state.required.is_empty()
            || !self.state.gone.is_empty()
            || !self.state.face.is_unchanged()
            || (self.was_read && form == Form::Unstable)
    }
}

impl Answer {
    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self, form: Form) -> bool {
        self.account_data.is_empty()
            && self.rooms.iter().all(|room| !room.is_told(form) && room.beside.is_empty())
    }
}

impl Engine {
    /// What a connection's client is told next. The connection is looked at first: what happens from then on wakes it.
    pub(super) async fn answer(
        &self,
        connection: &mut Connection,
        asked: Asked<'_>,
    ) -> Result<Answer, SyncError> {
        let Asked { viewer, request, known, since } = asked;
        let survey = self.survey(connection, viewer, since.unwrap_or(Position::ZERO)).await?;
        let upto = survey.sample.upto;
        let marks = self.sliding.accounts.marks(viewer.user, survey.account_data).await?;
        let windows = self.windows(viewer, (&request.asked, known), &survey, marks.clone()).await?;
        let fresh = self.fresh_account_data(asked, &survey).await?;
        let changed = self.changed_rooms(asked, &survey, &fresh).await?;
        let looks = looks(asked, &windows, &changed);
        let mut rooms = self.planned(viewer, &looks, upto).await?;
        self.fill_stripped(viewer, &mut rooms).await?;
        self.fill_timelines_of(viewer, &mut rooms, &looks).await?;
        if request.form == Form::Unstable {
            self.fill_unread(viewer, &mut rooms, upto).await?;
        }
        let states = self.states_told(viewer, &rooms, &looks).await?;
        let beside = self.beside_rooms(viewer, &rooms, &looks, &fresh).await?;
        let rooms = self.rooms_told(asked, rooms, &looks, (states, beside, &marks)).await?;
        let global = request.asked.extensions.account_data.is_some();
        let account_data = if global { self.global_account_data(asked, &fresh).await? } else { Vec::new() };
        let known = next_known(asked, &survey, (&looks, &changed), &rooms, global);
        let told: Vec<&RoomChanges> = rooms.iter().map(|room| &room.changes).collect();
        let events: Vec<_> =
            told.iter().flat_map(|room| &room.timeline.events).map(|one| &one.seen).collect();
        let state: Vec<&StoredEvent> =
            rooms.iter().flat_map(|room| &room.state.required).map(AsRef::as_ref).collect();
        let in_windows: Vec<RoomNid> = match request.form {
            Form::Stable => Vec::new(),
            Form::Unstable => windows.lists.iter().flat_map(Window::rooms).collect(),
        };
        Ok(Answer {
            upto,
            names: self.rooms_of(&in_windows).await?,
            lists: windows.lists,
            account_data,
            known,
            beside: self.reader.beside(&events).await?,
            beside_state: self.reader.beside_state(&state).await?,
            rooms,
            sessions_closed: survey.sample.sessions_closed,
        })
    }

    /// The rooms in which something happened since the position.
    async fn changed_rooms(
        &self,
        asked: Asked<'_>,
        survey: &Survey,
        fresh: &[AccountData],
    ) -> Result<HashSet<RoomNid>, StoreError> {
        let (Some(since), Concerned::Since { moved, joined }) = (asked.since, &survey.sample.rooms) else {
            return Ok(HashSet::new());
        };
        let span = Span { since: Some(since), upto: survey.sample.upto };
        let mut changed: HashSet<RoomNid> = self.changed(joined, span, false).await?.into_iter().collect();
        changed.extend(moved);
        changed.extend(fresh.iter().map(|piece| piece.room));
        Ok(changed)
    }

    /// The rooms that are looked at, with what of them is to be told; what has nothing to tell is left out.
    async fn planned(
        &self,
        viewer: &Viewer,
        looks: &Looks<'_>,
        upto: Position,
    ) -> Result<Vec<RoomChanges>, SyncError> {
        let (mut plans, mut asked) = (Vec::with_capacity(looks.len()), Vec::new());
        for (&room, look) in looks {
            match (look.member.membership, look.since) {
                (Membership::Join, None) => plans.push(Plan::entered(room, look.member.pos, upto)),
                (Membership::Join, Some(since)) if look.member.pos <= since => {
                    plans.push(Plan::stayed(room, since, upto));
                }
                _ => asked.push(room),
            }
        }
        if !asked.is_empty() {
            let rows = self.reader.store.memberships_in(viewer.user, &asked, upto).await?;
            for rows in rows.chunk_by(|a: &MembershipAt, b: &MembershipAt| a.room == b.room) {
                let look = rows.first().and_then(|row| looks.get(&row.room));
                plans.extend(look.and_then(|look| plan(rows, Span { since: look.since, upto }, true)));
            }
        }
        for plan in &mut plans {
            let look = looks.get(&plan.room);
            if let Some(look) = look.filter(|look| look.expanded && plan.section == Section::Join) {
                plan.after = Position::ZERO;
                plan.stays = vec![Stay { from: look.member.pos, to: None }];
            }
        }
        let limit = |plan: &Plan| looks.get(&plan.room).map_or(0, |look| look.wish.view.timeline_limit);
        plans.sort_by_key(|plan| (limit(plan), plan.room));
        Ok(self.wanted(plans, view(&RoomFilter::default(), &EventFilter::default(), 0)).await?)
    }

    /// Reads timelines, for all rooms together whose timelines are as long.
    async fn fill_timelines_of(
        &self,
        viewer: &Viewer,
        rooms: &mut [RoomChanges],
        looks: &Looks<'_>,
    ) -> Result<(), StoreError> {
        let (of_rooms, of_account) = (RoomFilter::default(), EventFilter::default());
        let limit =
            |room: &RoomChanges| looks.get(&room.plan.room).map_or(0, |look| look.wish.view.timeline_limit);
        for rooms in rooms.chunk_by_mut(|a, b| limit(a) == limit(b)) {
            let limit = rooms.first().map_or(0, limit);
            self.fill_timelines(viewer, rooms, view(&of_rooms, &of_account, limit)).await?;
        }
        Ok(())
    }

    async fn rooms_told(
        &self,
        asked: Asked<'_>,
        rooms: Vec<RoomChanges>,
        looks: &Looks<'_>,
        (mut states, mut beside, marks): (HashMap<RoomNid, StateTold>, HashMap<RoomNid, Beside>, &Marks),
    ) -> Result<Vec<RoomTold>, StoreError> {
        let in_or_out = |room: &&RoomChanges| matches!(room.plan.section, Section::Join | Section::Leave);
        let nids: Vec<RoomNid> = rooms.iter().filter(in_or_out).map(|room| room.plan.room).collect();
        let bumped = self.sliding.order.bumped(&nids).await?;
        let mut told = Vec::with_capacity(rooms.len());
        for changes in rooms {
            let room = changes.plan.room;
            let Some(look) = looks.get(&room) else { continue };
            let joined = changes.plan.section == Section::Join;
            let of_room = bumped.get(&room).copied().filter(|_| joined);
            let is_new = |pos: Position| asked.since.is_some_and(|since| pos > since);
            let places = changes.timeline.events.iter().filter_map(|one| one.seen.event.place);
            told.push(RoomTold {
                membership: look.member.membership,
                lists: look.wish.lists.clone(),
                state: states.remove(&room).unwrap_or_default(),
                beside: beside.remove(&room).unwrap_or_default(),
                bump: of_room.unwrap_or(look.member.pos),
                is_dm: marks.is_direct(room),
                told_as: match changes.plan.since {
                    None => ToldAs::Initial,
                    Some(_) if look.expanded && joined => ToldAs::Expanded,
                    Some(_) => ToldAs::Update,
                },
                num_live: places.filter(|place| place.sub == 0 && is_new(place.anchor)).count(),
                was_read: changes.was_read(),
                changes,
            });
        }
        Ok(told)
    }
}

/// The rooms of the windows of which there may be something to tell.
fn looks<'a>(asked: Asked<'a>, windows: &'a Windows, changed: &HashSet<RoomNid>) -> Looks<'a> {
    let position = asked.since.unwrap_or(Position::ZERO);
    let mut looks = Looks::new();
    for room in &windows.order {
        let Some(wish) = windows.wishes.get(room) else { continue };
        let known = asked.known.room(*room);
        let known_view = known.and_then(|known| asked.known.view(known));
        let is_as_known = known.is_some_and(|known| {
            !known.is_behind() && known.told == wish.beside && known_view == Some(&wish.view)
        });
        if is_as_known && !changed.contains(room) {
            continue;
        }
        if looks.len() == MAX_ROOMS {
            break;
        }
        let is_longer = |view: &RoomView| view.timeline_limit < wish.view.timeline_limit;
        looks.insert(
            *room,
            Look {
                member: wish.member,
                wish,
                known,
                known_view,
                since: known.map(|known| known.since(position)),
                expanded: known.is_some() && known_view.is_none_or(is_longer),
            },
        );
    }
    looks
}

/// What the client knows after the response; nothing, if that is what it knew before.
fn next_known(
    asked: Asked<'_>,
    survey: &Survey,
    (looks, changed): (&Looks<'_>, &HashSet<RoomNid>),
    rooms: &[RoomTold],
    account_data: bool,
) -> Option<Known> {
    let before = asked.known;
    let mut known = None;
    if before.account_data != account_data {
        known.get_or_insert_with(|| before.clone()).account_data = account_data;
    }
    let told: HashMap<RoomNid, &StateTold> =
        rooms.iter().map(|room| (room.changes.plan.room, &room.state)).collect();
    for (room, look) in looks {
        let state = told.get(room);
        let members: BTreeSet<StateKeyNid> = match (state, look.known) {
            (Some(state), _) if state.is_known => state.members.clone(),
            (_, Some(known)) => known.members().collect(),
            (_, None) => BTreeSet::new(),
        };
        let newest = state.map(|state| state.newest.clone()).unwrap_or_default();
        let as_told = (&look.wish.view, look.wish.beside);
        if !before.is_told(*room, as_told, &members) {
            known.get_or_insert_with(|| before.clone()).tell(*room, as_told, members, &newest);
        }
    }
    let since = asked.since.unwrap_or(Position::ZERO);
    for room in changed.iter().filter(|room| !looks.contains_key(room)) {
        if before.room(*room).is_some_and(|known| !known.is_behind()) {
            known.get_or_insert_with(|| before.clone()).hold_back(*room, since);
        }
    }
    let forgotten: HashSet<RoomNid> =
        survey.rooms.iter().filter(|(_, member)| member.forgotten).map(|(room, _)| *room).collect();
    for room in before.rooms().filter(|room| forgotten.contains(room)) {
        known.get_or_insert_with(|| before.clone()).forget(room);
    }
    known
}

/// All events, of timelines of some length.
const fn view<'a>(rooms: &'a RoomFilter, other: &'a EventFilter, limit: usize) -> View<'a> {
    View { rooms, account_data: other, presence: other, limit, full_state: false, state_at_end: true }
}
