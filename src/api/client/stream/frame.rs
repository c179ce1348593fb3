//! What goes over a WebSocket: requests with ids, their answers, updates and notices.

use axum::body::to_bytes;
use axum::response::Response;
use hearth_core::canonical_json;
use http::StatusCode;
use ruma::api::error::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The longest answer of a request that can be made over a stream: they are all short.
const MAX_ANSWER: usize = 1024 * 1024;

/// A request.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// What the client calls it; also its transaction id.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// What is to be done.
    pub(super) method: String,
    /// With what.
    #[serde(default, alias = "param")]
    pub(super) params: Map<String, Value>,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: Option<&'a str>,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome<'a> {
    Result(&'a RawValue),
    Error(&'a RawValue),
}

impl Asked {
    /// Reads a request. What is none has no id to answer to.
    pub(super) fn parse(text: &str) -> Result<Self> {
        canonical_json::check_object(text).map_err(|error| {
            let kind = if error.is_syntax() { ErrorKind::NotJson } else { ErrorKind::BadJson };
            Error::bad_request(kind, format!("A message must be a JSON object: {error}."))
        })?;
        serde_json::from_str(text).map_err(|error| {
            Error::bad_request(ErrorKind::BadJson, format!("This is not a request: {error}."))
        })
    }

    /// A parameter that must be a string.
    pub(super) fn text(&self, name: &str) -> Result<&str> {
        match self.params.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Error::bad_request(ErrorKind::BadJson, format!("“{name}” must be a string."))),
            None => Err(Error::bad_request(ErrorKind::MissingParam, format!("“{name}” is missing."))),
        }
    }
}

/// The answer to a request.
pub(super) async fn answer(id: Option<&str>, response: Response) -> String {
    let (status, body) = read(response).await;
    let outcome = if status.is_success() { Outcome::Result(&body) } else { Outcome::Error(&body) };
    written(&Answer { id, outcome })
}

/// A notice: what is neither an update nor an answer.
pub(super) fn notice(method: &str, params: &Value) -> String {
    written(&json!({ "method": method, "params": params }))
}

/// The status and the JSON body of a response.
pub(super) async fn read(response: Response) -> (StatusCode, Box<RawValue>) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), MAX_ANSWER).await.unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(body) => (status, body),
        // Every endpoint answers with JSON.
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, to_raw_value(&json!({})).unwrap_or_default()),
    }
}

fn written(value: &impl Serialize) -> String {
    // What was JSON before is JSON still.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_method_and_what_is_none_is_refused() {
        let asked = Asked::parse(r#"{"id": "1", "method": "ping"}"#).unwrap();
        assert_eq!((asked.id.as_deref(), &*asked.method, asked.params.len()), (Some("1"), "ping", 0));
        let draft = Asked::parse(r#"{"method": "send", "param": {"room_id": "!a"}}"#).unwrap();
        assert_eq!((draft.id.as_deref(), draft.text("room_id").unwrap()), (None, "!a"));
        assert!(draft.text("content").is_err());
        for wrong in
            ["", "[]", "1", "{}", r#"{"id": 1, "method": "ping"}"#, r#"{"method": "a", "params": []}"#]
        {
            assert!(Asked::parse(wrong).is_err(), "{wrong}");
        }
    }
}
