//! A body that is taken as it comes.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;

use super::arrival::DRAINED;
use super::pace::Pace;
use crate::admission::Turn;
use crate::app::App;
use crate::error::Result;

/// A body that is still to come, and the headers that came before it. Once its client was waited for, the request has
/// no turn any more, and takes none: what came for long is not refused for a moment's sake.
pub(crate) struct Content {
    /// The headers.
    pub(crate) headers: HeaderMap,
    body: Body,
    pace: Pace,
    received: usize,
}

impl Content {
    pub(super) fn new(app: &App, parts: &Parts, body: Body) -> Self {
        let pace = Pace::new(app.settings.stall_timeout, parts.extensions.get::<Turn>().cloned());
        Self { headers: HeaderMap::new(), body, pace, received: 0 }
    }

    /// How many bytes the client says will come, where it says so.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The next bytes; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = self.pace.next(&mut self.body, self.received).await?;
        self.received += next.as_ref().map_or(0, Bytes::len);
        Ok(next)
    }

    /// Takes what is left and throws it away, up to a bound, so that the client hears why it was refused.
    pub(crate) async fn drain(mut self) {
        let mut left = DRAINED;
        while let Ok(Some(data)) = self.next().await {
            left = left.saturating_sub(data.len());
            if left == 0 {
                break;
            }
        }
    }
}
