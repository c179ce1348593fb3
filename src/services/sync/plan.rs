//! Which part of a room a reader is to hear of, from nothing but what they were to it and when.

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::membership::Membership;
use hearth_store::membership::MembershipAt;

use super::memory::Member;

/// What a room is to its reader at the end of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// They are in it.
    Join,
    /// They are asked in.
    Invite,
    /// They asked to be let in.
    Knock,
    /// They are out.
    Leave,
}

/// The part of a room that a reader is to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The room.
    pub(super) room: RoomNid,
    /// What it is to the reader.
    pub(super) section: Section,
    /// What the reader knows of the room's state is as of here; nothing, if none.
    pub(super) since: Option<Position>,
    /// The timeline begins after this.
    pub(super) after: Position,
    /// And ends with this.
    pub(super) upto: Position,
    /// When the reader was in the room, as far as it matters.
    pub(super) stays: Vec<Stay>,
    /// The reader was never in: all they may see is what was done to them.
    pub(super) outsider: bool,
    /// Their membership, where it changed in the window or says more than that they are in.
    pub(super) own: Option<MembershipAt>,
}

/// A time in a room, from joining to leaving, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    /// The position of the join.
    pub(super) from: Position,
    /// The position of what ended it, if anything did.
    pub(super) to: Option<Position>,
}

/// What a request wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// What the reader knows already; nothing, at a first sync.
    pub(super) since: Option<Position>,
    /// What the answer is as of.
    pub(super) upto: Position,
}

impl Plan {
    /// For a reader who is in the room since before `since`.
    #[must_use]
    pub(super) fn stayed(room: RoomNid, since: Position, upto: Position) -> Self {
        Self {
            room,
            section: Section::Join,
            since: Some(since),
            after: since,
            upto,
            stays: vec![Stay { from: since, to: None }],
            outsider: false,
            own: None,
        }
    }

    /// For a reader who is in the room, at their first sync.
    #[must_use]
    pub(super) fn entered(room: RoomNid, from: Position, upto: Position) -> Self {
        Self {
            room,
            section: Section::Join,
            since: None,
            after: Position::ZERO,
            upto,
            stays: vec![Stay { from, to: None }],
            outsider: false,
            own: None,
        }
    }

    /// Whether the reader was in at a position, as far as the log tells.
    #[must_use]
    pub(super) fn is_in(&self, pos: Position) -> bool {
        self.stays.iter().any(|stay| stay.from <= pos && stay.to.is_none_or(|to| pos <= to))
    }

    /// The stays as rows of memberships.
    pub(super) fn past(&self, user: UserNid) -> Vec<MembershipAt> {
        let row = |pos, membership| MembershipAt {
            user,
            room: self.room,
            pos,
            membership,
            forgotten: false,
            event: None,
            stripped_state: None,
        };
        let rows = |stay: &Stay| {
            let end = stay.to.map(|to| row(to, Membership::Leave));
            [Some(row(stay.from, Membership::Join)), end]
        };
        self.stays.iter().flat_map(rows).flatten().collect()
    }
}

/// Whether a room that the reader has to do with belongs into a first sync.
#[must_use]
pub(super) fn is_wanted_first(member: &Member, include_leave: bool) -> bool {
    match member.membership {
        _ if member.forgotten => false,
        Membership::Join | Membership::Invite | Membership::Knock => true,
        Membership::Leave | Membership::Ban => include_leave,
    }
}

/// The plan for a room, from all that the reader was to it up to the end of the span, oldest first; none where
/// there is nothing to tell.
#[must_use]
pub(super) fn plan(rows: &[MembershipAt], span: Span, include_leave: bool) -> Option<Plan> {
    let last = rows.last()?;
    let since = span.since;
    let known = since.and_then(|since| rows.iter().rfind(|row| row.pos <= since));
    let fresh: Vec<&MembershipAt> = rows.iter().filter(|row| since.is_none_or(|s| row.pos > s)).collect();
    let was_in = known.is_some_and(|row| row.membership == Membership::Join);
    let base = Plan {
        room: last.room,
        section: section(last.membership),
        since: None,
        after: Position::ZERO,
        upto: span.upto,
        stays: stays(rows),
        outsider: false,
        own: (!fresh.is_empty() || last.membership != Membership::Join).then(|| last.clone()),
    };
    match base.section {
        Section::Join if was_in && fresh.iter().all(|row| row.membership == Membership::Join) => {
            since.map(|since| Plan { since: Some(since), after: since, ..base })
        }
        // What came before the end of an earlier stay was heard of at that time.
        Section::Join => Some(Plan { after: end_of_earlier_stay(&base.stays), ..base }),
        Section::Invite | Section::Knock => (!fresh.is_empty() && !last.forgotten).then_some(base),
        Section::Leave if since.is_none() => {
            let wanted = include_leave && !last.forgotten;
            wanted.then(|| Plan { outsider: base.stays.is_empty(), upto: left_at(rows, last), ..base })
        }
        Section::Leave => left(base, rows, &fresh, known, since?),
    }
}

/// The plan for a room that the reader is out of, where they knew something of it.
fn left(
    base: Plan,
    rows: &[MembershipAt],
    fresh: &[&MembershipAt],
    known: Option<&MembershipAt>,
    since: Position,
) -> Option<Plan> {
    let was_out = known.is_none_or(|row| matches!(section(row.membership), Section::Leave));
    let only_forgot = fresh.iter().all(|row| row.forgotten);
    if fresh.is_empty() || (was_out && only_forgot) {
        return None;
    }
    let upto = left_at(rows, rows.last()?);
    let was_in = known.is_some_and(|row| row.membership == Membership::Join);
    let came_in = fresh.iter().any(|row| row.membership == Membership::Join);
    let known_state = (was_in && !came_in).then_some(since);
    Some(Plan { since: known_state, after: since, upto, outsider: !was_in && !came_in, ..base })
}

/// Where what the reader may hear of a room ends: at the newest change of their membership that is more than
/// forgetting.
fn left_at(rows: &[MembershipAt], last: &MembershipAt) -> Position {
    rows.iter().rfind(|row| !row.forgotten).unwrap_or(last).pos
}

const fn section(membership: Membership) -> Section {
    match membership {
        Membership::Join => Section::Join,
        Membership::Invite => Section::Invite,
        Membership::Knock => Section::Knock,
        Membership::Leave | Membership::Ban => Section::Leave,
    }
}

fn stays(rows: &[MembershipAt]) -> Vec<Stay> {
    let mut stays: Vec<Stay> = Vec::new();
    for row in rows {
        let open = stays.last_mut().filter(|stay| stay.to.is_none());
        match (open, row.membership) {
            (None, Membership::Join) => stays.push(Stay { from: row.pos, to: None }),
            (Some(stay), membership) if membership != Membership::Join => stay.to = Some(row.pos),
            _ => {}
        }
    }
    stays
}

fn end_of_earlier_stay(stays: &[Stay]) -> Position {
    stays.iter().rev().find_map(|stay| stay.to).unwrap_or(Position::ZERO)
}

#[cfg(test)]
mod tests;
