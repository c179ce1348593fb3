//! Replies that ruma has no type for.

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use ruma::api::error::IntoHttpError;
use ruma::api::{BytesBody, OutgoingResponse};
use serde::Serialize;
use serde_json::value::RawValue;

/// Pages hold one inline style and script, and send nothing elsewhere.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           form-action 'self'; base-uri 'none'";

/// A JSON document.
#[derive(Debug)]
pub(crate) struct Json {
    status: StatusCode,
    body: Result<Vec<u8>, serde_json::Error>,
}

impl Json {
    /// A document with this value.
    pub(crate) fn new(value: &impl Serialize) -> Self {
        Self { status: StatusCode::OK, body: serde_json::to_vec(value) }
    }

    /// A document that is stored as it is sent.
    pub(crate) fn stored(json: &str) -> Self {
        Self { status: StatusCode::OK, body: Ok(json.as_bytes().to_vec()) }
    }

    /// A document that was written already.
    pub(crate) fn written(json: String) -> Self {
        Self { status: StatusCode::OK, body: Ok(json.into_bytes()) }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self::stored(raw.get())
    }
}

impl OutgoingResponse for Json {
    type Body = BytesBody;

    fn try_into_http_response_inner(self) -> Result<Response<BytesBody>, IntoHttpError> {
        Ok(Response::builder()
            .status(self.status)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(BytesBody(self.body?))?)
    }
}

/// A page for a browser.
#[derive(Debug)]
pub(crate) struct Page(pub(crate) String);

impl OutgoingResponse for Page {
    type Body = BytesBody;

    fn try_into_http_response_inner(self) -> Result<Response<BytesBody>, IntoHttpError> {
        Ok(Response::builder()
            .header(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
            .header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY))
            .body(BytesBody(self.0.into_bytes()))?)
    }
}
