//! Receipts and fully-read markers.

use hearth_services::ephemeral::receipts::ReceiptKind;
use ruma::api::client::read_marker::set_read_marker;
use ruma::api::client::receipt::create_receipt;
use ruma::api::client::receipt::create_receipt::v3::ReceiptType;
use ruma::api::error::ErrorKind;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::{CallerExt, Ruma};
use crate::rate_limit::Family;
use crate::route::{Route, route};

/// A few event ids.
const MAX_BODY: usize = 16 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(create).body_limit(MAX_BODY).limited(Family::Receipts).shows_activity(),
        route(set_markers).body_limit(MAX_BODY).limited(Family::Receipts).shows_activity(),
    ]
}

/// `POST /_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}`
async fn create(
    app: App,
    Ruma { request, caller }: Ruma<create_receipt::v3::Request>,
) -> Result<create_receipt::v3::Response> {
    let viewer = caller.viewer();
    let (room, thread) = (&request.room_id, request.thread.as_str());
    let kind = match request.receipt_type {
        ReceiptType::Read => ReceiptKind::Public,
        ReceiptType::ReadPrivate => ReceiptKind::Private,
        ReceiptType::FullyRead if thread.is_some() => {
            let message = "A fully-read marker is for all threads.";
            return Err(Error::bad_request(ErrorKind::InvalidParam, message));
        }
        ReceiptType::FullyRead => {
            app.receipts.mark_fully_read(&viewer, room, &request.event_id).await?;
            return Ok(create_receipt::v3::Response {});
        }
        _ => return Err(Error::bad_request(ErrorKind::InvalidParam, "There is no such kind of receipt.")),
    };
    app.receipts.read(&viewer, room, kind, (&request.event_id, thread)).await?;
    Ok(create_receipt::v3::Response {})
}

/// `POST /_matrix/client/v3/rooms/{roomId}/read_markers`
async fn set_markers(
    app: App,
    Ruma { request, caller }: Ruma<set_read_marker::v3::Request>,
) -> Result<set_read_marker::v3::Response> {
    let (viewer, room) = (caller.viewer(), &request.room_id);
    if let Some(event) = &request.fully_read {
        app.receipts.mark_fully_read(&viewer, room, event).await?;
    }
    let receipts =
        [(ReceiptKind::Public, request.read_receipt), (ReceiptKind::Private, request.private_read_receipt)];
    for (kind, event) in receipts {
        if let Some(event) = event {
            app.receipts.read(&viewer, room, kind, (&event, None)).await?;
        }
    }
    Ok(set_read_marker::v3::Response {})
}
