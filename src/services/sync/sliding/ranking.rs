//! Every reader's rooms in their order, carried on from one look at them to the next.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_core::membership::Membership;

use super::traits::Seen;
use crate::rooms::viewer::Viewer;
use crate::sync::SyncError;
use crate::sync::engine::Engine;
use crate::sync::memory::{Concerned, Joined, Member, Survey};

/// Readers whose rankings are kept, some dozen bytes a room.
pub(super) const READERS: usize = 5_000;

/// A reader's rooms, newest first, but for those they forgot.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    /// When a membership of theirs last changed.
    moved: Position,
    /// Everything up to here is in it.
    upto: Position,
    pub(super) places: Vec<Place>,
}

/// A room in its place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where its newest event stands, or what its reader last was to it.
    newest: Position,
    pub(super) room: RoomNid,
    pub(super) member: Member,
    /// What filters look at, once it was asked for.
    pub(super) seen: Option<Arc<Seen>>,
}

impl Place {
    fn rank(&self) -> Reverse<(Position, RoomNid)> {
        Reverse((self.newest, self.room))
    }
}

impl Engine {
    /// A reader's rooms in their order; with what filters look at, where they look at states.
    pub(super) async fn ranking(
        &self,
        viewer: &Viewer,
        survey: &Survey,
        with_state: bool,
    ) -> Result<Arc<Ranking>, SyncError> {
        let kept = self.sliding.rankings.get(&viewer.user).filter(|kept| kept.moved == survey.moved);
        let upto = survey.sample.upto;
        let changed = kept.as_ref().and_then(|kept| self.changed_since(viewer, kept.upto, upto));
        let mut ranking = match (kept, changed) {
            (Some(kept), Some(changed)) if changed.is_empty() => kept,
            (Some(kept), Some(changed)) => Arc::new(self.carry_on(&kept, &changed, upto).await?),
            _ => Arc::new(self.rank(survey).await?),
        };
        if with_state {
            let unseen: Vec<RoomNid> =
                ranking.places.iter().filter(|place| place.seen.is_none()).map(|place| place.room).collect();
            if !unseen.is_empty() {
                let traits = self.traits(&unseen, upto).await?;
                for place in &mut Arc::make_mut(&mut ranking).places {
                    place.seen = place.seen.take().or_else(|| traits.get(&place.room).cloned());
                }
            }
        }
        self.sliding.rankings.insert(viewer.user, Arc::clone(&ranking));
        Ok(ranking)
    }

    /// The rooms in which something happened; nothing where memory does not reach back so far.
    fn changed_since(&self, viewer: &Viewer, since: Position, upto: Position) -> Option<Vec<RoomNid>> {
        match self.memory.sample(viewer.user, Some(since), upto, false)?.rooms {
            Concerned::Since { joined: Joined::Changed(rooms), .. } => Some(rooms),
            _ => None,
        }
    }

    /// Puts the rooms in which something happened where they belong now.
    async fn carry_on(
        &self,
        kept: &Ranking,
        changed: &[RoomNid],
        upto: Position,
    ) -> Result<Ranking, SyncError> {
        let newest = self.sliding.order.newest(changed).await?;
        let changed: HashSet<RoomNid> = changed.iter().copied().collect();
        let mut ranking = Ranking { upto: kept.upto.max(upto), ..kept.clone() };
        let moved: Vec<Place> =
            ranking.places.extract_if(.., |place| changed.contains(&place.room)).collect();
        for place in moved {
            let newest = newest.get(&place.room).copied().unwrap_or(place.newest);
            let place = Place { newest, seen: None, ..place };
            let at = ranking.places.partition_point(|other| other.rank() < place.rank());
            ranking.places.insert(at, place);
        }
        Ok(ranking)
    }

    async fn rank(&self, survey: &Survey) -> Result<Ranking, SyncError> {
        let rooms = survey.rooms.iter().filter(|(_, member)| !member.forgotten);
        let joined = rooms.clone().filter(|(_, member)| member.membership == Membership::Join);
        let joined: Vec<RoomNid> = joined.map(|(room, _)| *room).collect();
        let newest = self.sliding.order.newest(&joined).await?;
        let mut places: Vec<Place> = rooms
            .map(|(room, member)| Place {
                newest: newest.get(room).copied().unwrap_or(member.pos),
                room: *room,
                member: *member,
                seen: None,
            })
            .collect();
        places.sort_unstable_by_key(Place::rank);
        Ok(Ranking { moved: survey.moved, upto: survey.sample.upto, places })
    }
}
