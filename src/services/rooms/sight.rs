//! Whether a user may look at a room at all, and up to when.

use std::sync::Arc;

use hearth_core::id::{Position, Root};
use hearth_core::token::Point;
use hearth_store::room::Room;
use ruma::RoomId;

use super::viewer::{Past, Standing, Viewer};
use super::{RoomError, RoomReader};

/// A room that a viewer may look at.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The room.
    pub room: Arc<Room>,
    /// What the viewer was to it.
    pub past: Past,
    /// For one who left: nothing later is shown.
    pub until: Option<Position>,
    /// They are in the room now.
    pub joined: bool,
}

impl RoomReader {
    /// The room, for one who is or was in it, and for anyone where all may read it. Whether it exists is told to
    /// nobody else.
    pub async fn sight(&self, viewer: &Viewer, id: &RoomId) -> Result<Sight, RoomError> {
        let Some(room) = self.room(id).await? else { return Err(unseen()) };
        let past = self.past(viewer.user, &room).await?;
        let (until, joined) = match past.standing() {
            Standing::Joined => (None, true),
            Standing::Left(pos) => (Some(pos), false),
            Standing::Outside => {
                let state = self.store.room_state_at(room.nid, NOW).await?.ok_or_else(unseen)?;
                if !self.is_world_readable(state.root).await? {
                    return Err(unseen());
                }
                (None, false)
            }
        };
        Ok(Sight { room, past, until, joined })
    }

    /// As [`RoomReader::sight`], for what only members may ask.
    pub async fn member_sight(&self, viewer: &Viewer, id: &RoomId) -> Result<Sight, RoomError> {
        self.sight(viewer, id).await.and_then(|sight| if sight.joined { Ok(sight) } else { Err(unseen()) })
    }

    /// The state that the viewer sees as the room's: the current one, or the one they left.
    pub async fn state_in_sight(&self, sight: &Sight) -> Result<Root, RoomError> {
        let state = self.store.room_state_at(sight.room.nid, sight.until.unwrap_or(NOW)).await?;
        state.map(|state| state.root).ok_or_else(unseen)
    }
}

impl Sight {
    /// The end of what is shown; none for one who sees what comes.
    #[must_use]
    pub fn end(&self) -> Option<Point> {
        self.until.map(Point::as_of)
    }
}

/// After every position that was given out.
pub(super) const NOW: Position = Position::new(i64::MAX);

fn unseen() -> RoomError {
    RoomError::Denied("You are not in this room, and it is not open to all.".to_owned())
}
