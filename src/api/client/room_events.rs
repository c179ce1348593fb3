//! Getting events of a room: pages of its history, single events and what is around them.

use hearth_core::sync_filter::EventFilter;
use hearth_services::rooms::{Around, Direction, PageRequest};
use ruma::UInt;
use ruma::api::Direction as Way;
use ruma::api::client::context::get_context;
use ruma::api::client::filter::RoomEventFilter;
use ruma::api::client::message::get_message_events;
use ruma::api::client::room::{get_event_by_timestamp, get_room_event};
use ruma::api::error::ErrorKind;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::reply::Json;
use crate::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(messages).limited(Family::History),
        route(context).limited(Family::History),
        route(event),
        route(event_at).limited(Family::History),
    ]
}

/// `GET /_matrix/client/v3/rooms/{roomId}/messages`
async fn messages(app: App, Ruma { request, caller }: Ruma<get_message_events::v3::Request>) -> Result<Json> {
    let page = PageRequest {
        direction: direction(request.dir),
        from: request.from,
        to: request.to,
        limit: count(request.limit),
        filter: filter(&request.filter)?,
    };
    let messages = app.rooms.messages(&caller.viewer(), &request.room_id, page).await?;
    Ok(Json::new(&messages))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`
async fn context(app: App, Ruma { request, caller }: Ruma<get_context::v3::Request>) -> Result<Json> {
    let around = Around { limit: count(request.limit), filter: filter(&request.filter)? };
    let context = app.rooms.context(&caller.viewer(), &request.room_id, &request.event_id, &around).await?;
    Ok(Json::new(&context))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`
async fn event(app: App, Ruma { request, caller }: Ruma<get_room_event::v3::Request>) -> Result<Json> {
    let event = app.rooms.event(&caller.viewer(), &request.room_id, &request.event_id).await?;
    Ok(Json::from(&*event))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
async fn event_at(
    app: App,
    Ruma { request, caller }: Ruma<get_event_by_timestamp::v1::Request>,
) -> Result<get_event_by_timestamp::v1::Response> {
    let direction = direction(request.dir);
    let (event_id, origin_server_ts) =
        app.rooms.event_at(&caller.viewer(), &request.room_id, request.ts, direction).await?;
    Ok(get_event_by_timestamp::v1::Response { event_id, origin_server_ts })
}

fn direction(way: Way) -> Direction {
    match way {
        Way::Forward => Direction::Forward,
        Way::Backward => Direction::Backward,
    }
}

/// More than memory holds is as good as any other number that is too large.
fn count(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)
}

/// The filter as the core reads it.
fn filter(filter: &RoomEventFilter) -> Result<EventFilter> {
    let json = serde_json::to_vec(filter).map_err(Error::internal)?;
    EventFilter::parse(json).map_err(|error| {
        Error::bad_request(ErrorKind::InvalidParam, format!("This is not a filter: {error}."))
    })
}
