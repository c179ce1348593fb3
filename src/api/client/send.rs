//! Sending events to a room, and redactions.

use hearth_services::accounts::Caller;
use hearth_services::rooms::{NewMessage, NewState, Transaction};
use ruma::OwnedRoomId;
use ruma::api::client::message::send_message_event;
use ruma::api::client::redact::redact_event;
use ruma::api::client::state::send_state_event;
use ruma::api::error::ErrorKind;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::create_room::author;
use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{At, Ruma};
use crate::rate_limit::{Family, Key};
use crate::route::{Route, route};

/// An event of the largest size, with the white space and escapes of a wasteful client.
const MAX_BODY: usize = 256 * 1024;

/// Asks for the event to be sent later. A server that ignored it would send the event at once.
const DELAY: &str = "org.matrix.msc4140.delay";

/// The type of the events by which somebody can also be invited.
const MEMBER: &str = "m.room.member";

type Send = At<send_message_event::v3::Request, (OwnedRoomId, String, String), Box<RawValue>>;
type SetState = At<send_state_event::v3::Request, StatePath, Box<RawValue>>;

/// The last argument is not there where the state key is empty.
#[derive(Deserialize)]
struct StatePath(OwnedRoomId, String, #[serde(default)] String);

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(send).unless_suspended().body_limit(MAX_BODY).limited(Family::Message).shows_activity(),
        route(set_state)
            .unless_suspended()
            .last_argument_optional()
            .body_limit(MAX_BODY)
            .limited(Family::Message)
            .shows_activity(),
        route(redact).shows_activity(),
    ]
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
async fn send(app: App, Ruma { request, caller }: Ruma<Send>) -> Result<send_message_event::v3::Response> {
    refuse_delay(&request.query)?;
    let (room_id, event_type, txn_id) = request.path;
    let message = NewMessage {
        transaction: transaction(&caller, format!("send {room_id} {event_type}"), txn_id),
        event_type: event_type.into(),
        content: request.body.get(),
    };
    let event_id = app.rooms.send(&author(&caller), &room_id, message).await?;
    Ok(send_message_event::v3::Response { event_id })
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
async fn set_state(
    app: App,
    Ruma { request, caller }: Ruma<SetState>,
) -> Result<send_state_event::v3::Response> {
    refuse_delay(&request.query)?;
    let StatePath(room_id, event_type, state_key) = request.path;
    if event_type == MEMBER && is_invite(request.body.get()) {
        app.limits.take(Family::InvitesPerIssuer, Key::User(caller.user))?;
    }
    let state =
        NewState { event_type: event_type.into(), state_key: &state_key, content: request.body.get() };
    let event_id = app.rooms.set_state(&author(&caller), &room_id, state).await?;
    Ok(send_state_event::v3::Response { event_id })
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
async fn redact(
    app: App,
    Ruma { request, caller }: Ruma<redact_event::v3::Request>,
) -> Result<redact_event::v3::Response> {
    let family = if caller.admin { Family::AdminRedaction } else { Family::Message };
    app.limits.take(family, Key::User(caller.user))?;
    let author = author(&caller);
    // Taking back what they said themselves is left to them.
    if caller.restrictions.suspended && !app.rooms.is_author_of(&author, &request.event_id).await? {
        return Err(Error::suspended());
    }
    let scope = format!("redact {} {}", request.room_id, request.event_id);
    let transaction = transaction(&caller, scope, request.txn_id.to_string());
    let reason = request.reason.as_deref();
    let redaction = (request.event_id.as_ref(), reason);
    let event_id = app.rooms.redact(&author, &request.room_id, redaction, transaction).await?;
    Ok(redact_event::v3::Response { event_id })
}

fn transaction(caller: &Caller, scope: String, txn_id: String) -> Transaction {
    Transaction { device_id: caller.device_id.to_string(), scope, txn_id }
}

/// Whether a membership is an invite; what is none of a membership the rooms refuse.
fn is_invite(content: &str) -> bool {
    #[derive(Deserialize)]
    struct Membership {
        membership: String,
    }
    serde_json::from_str::<Membership>(content).is_ok_and(|content| content.membership == "invite")
}

fn refuse_delay(query: &str) -> Result<()> {
    if query.contains(DELAY) {
        return Err(Error::bad_request(ErrorKind::Unrecognized, "This server cannot send events later."));
    }
    Ok(())
}
