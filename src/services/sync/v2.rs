//! Sync v2: `GET /_matrix/client/v3/sync`.

mod ephemeral;
mod presence;
mod rooms;

use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::Position;
use hearth_core::sync_filter::FilterDefinition;
use hearth_core::token::SyncToken;
use hearth_store::account_data::AccountData;

use self::rooms::Encoder;
use super::engine::{Changes, View};
use super::json::Json;
use super::{Sync, SyncError, pieces};
use crate::clock;
use crate::rooms::viewer::Viewer;

/// The most events of one timeline, whatever the client asks for.
const MAX_TIMELINE: u32 = 100;

/// The events of one timeline where the client does not say.
const DEFAULT_TIMELINE: u32 = 10;

/// About what a changed room adds to a response.
const ROOM_BYTES: usize = 2048;

/// Where a room's state goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateSection {
    /// Into `state`, as of the start of the timeline.
    #[default]
    Before,
    /// Into `state_after`, as of its end.
    After,
    /// The same under the name it had before it became stable.
    UnstableAfter,
}

/// A sync request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The token of the last response; none at the first.
    pub since: Option<SyncToken>,
    /// What is wanted.
    pub filter: Arc<FilterDefinition>,
    /// All state of all joined rooms.
    pub full_state: bool,
    /// Which state.
    pub state: StateSection,
    /// How long to wait for news.
    pub timeout: Duration,
}

/// The filter of who named none.
#[must_use]
pub fn no_filter() -> Arc<FilterDefinition> {
    Arc::default()
}

impl Sync {
    /// Answers a request, at once or when there is something to tell: the response's JSON.
    pub async fn v2(&self, viewer: &Viewer, request: &Request) -> Result<String, SyncError> {
        let changes = self.wait(viewer, request.position(), request.view(), request.timeout).await?;
        encode(&changes, viewer, request)
    }
}

impl Request {
    pub(super) fn position(&self) -> Option<Position> {
        self.since.map(|SyncToken(pos)| pos)
    }

    pub(super) fn view(&self) -> View<'_> {
        let filter = &self.filter;
        let asked = filter.room.timeline.limit.unwrap_or(DEFAULT_TIMELINE).min(MAX_TIMELINE);
        View {
            rooms: &filter.room,
            account_data: &filter.account_data,
            presence: &filter.presence,
            limit: usize::try_from(asked).unwrap_or_default(),
            full_state: self.full_state,
            state_at_end: self.state != StateSection::Before,
        }
    }
}

/// Writes the response that tells of changes.
pub(super) fn encode(changes: &Changes, viewer: &Viewer, request: &Request) -> Result<String, SyncError> {
    let mut json = Json::with_capacity(256 + changes.rooms.len() * ROOM_BYTES);
    let encoder = Encoder { viewer, request, changes, now_ms: clock::now_ms() };
    json.object(|json| {
        json.key("next_batch").string(&next_batch(changes.upto));
        if !changes.account_data.is_empty() {
            json.key("account_data");
            account_data(json, &changes.account_data)?;
        }
        if !changes.presence.is_empty() {
            json.key("presence");
            presence::presence(json, &changes.presence, encoder.now_ms)?;
        }
        if !changes.rooms.is_empty() {
            json.key("rooms");
            encoder.rooms(json)?;
        }
        Ok(())
    })?;
    Ok(json.into_text())
}

fn next_batch(upto: Position) -> String {
    SyncToken(upto).to_string()
}

/// Writes a section of account data.
fn account_data(json: &mut Json, pieces: &[AccountData]) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("events");
        pieces::account_data(json, pieces)
    })
}
