//! The requests that can be made over a WebSocket, each by the endpoint that it stands for, so that it is checked,
//! limited and done exactly as over HTTP.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::UserId;
use ruma::api::error::ErrorKind;
use serde_json::{Map, Value};

use super::frame::Asked;
use crate::error::{Error, Result};

/// A request and its endpoint.
struct Verb {
    name: &'static str,
    method: Method,
    /// Below `/_matrix/client/v3`, with parameters in braces. `{id}` is the request's id, `{user_id}` who makes it.
    path: &'static str,
    body: Body,
}

/// What becomes the body.
enum Body {
    /// The parameter `content`.
    Content,
    /// These parameters, as far as they are there.
    Of(&'static [&'static str]),
    /// The same, one at least.
    SomeOf(&'static [&'static str]),
}

const VERBS: [Verb; 9] = [
    Verb {
        name: "send",
        method: Method::PUT,
        path: "rooms/{room_id}/send/{event_type}/{id}",
        body: Body::Content,
    },
    Verb {
        name: "state",
        method: Method::PUT,
        path: "rooms/{room_id}/state/{event_type}/{state_key}",
        body: Body::Content,
    },
    Verb {
        name: "redact",
        method: Method::PUT,
        path: "rooms/{room_id}/redact/{event_id}/{id}",
        body: Body::Of(&["reason"]),
    },
    Verb {
        name: "typing",
        method: Method::PUT,
        path: "rooms/{room_id}/typing/{user_id}",
        body: Body::Of(&["typing", "timeout"]),
    },
    Verb {
        name: "receipt",
        method: Method::POST,
        path: "rooms/{room_id}/receipt/{receipt_type}/{event_id}",
        body: Body::Of(&["thread_id"]),
    },
    Verb {
        name: "read_markers",
        method: Method::POST,
        path: "rooms/{room_id}/read_markers",
        body: Body::SomeOf(&["m.fully_read", "m.read", "m.read.private"]),
    },
    Verb {
        name: "presence",
        method: Method::PUT,
        path: "presence/{user_id}/status",
        body: Body::Of(&["presence", "status_msg"]),
    },
    Verb {
        name: "account_data",
        method: Method::PUT,
        path: "user/{user_id}/account_data/{type}",
        body: Body::Content,
    },
    Verb {
        name: "room_account_data",
        method: Method::PUT,
        path: "user/{user_id}/rooms/{room_id}/account_data/{type}",
        body: Body::Content,
    },
];

/// The HTTP request that a request of `user` stands for; none where there is no such request.
pub(super) fn request(asked: &Asked, user: &UserId) -> Option<Result<Request<axum::body::Body>>> {
    let verb = VERBS.iter().find(|verb| verb.name == asked.method)?;
    Some(verb.request(asked, user))
}

impl Verb {
    fn request(&self, asked: &Asked, user: &UserId) -> Result<Request<axum::body::Body>> {
        let body = match &self.body {
            Body::Content => content(&asked.params)?,
            Body::Of(names) => picked(&asked.params, names),
            Body::SomeOf(names) => {
                let body = picked(&asked.params, names);
                if body.is_empty() {
                    return Err(missing(&names.join("” or “")));
                }
                body
            }
        };
        let mut request = Request::new(axum::body::Body::from(Value::Object(body).to_string()));
        let path = format!("/_matrix/client/v3/{}", self.path(asked, user)?);
        *request.method_mut() = self.method.clone();
        let too_long = |_| Error::bad_request(ErrorKind::InvalidParam, "The parameters are too long.");
        *request.uri_mut() = path.try_into().map_err(too_long)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    fn path(&self, asked: &Asked, user: &UserId) -> Result<String> {
        let mut path = String::with_capacity(256);
        for (index, segment) in self.path.split('/').enumerate() {
            if index > 0 {
                path.push('/');
            }
            let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
                path.push_str(segment);
                continue;
            };
            let value = match name {
                "id" => asked.id.as_deref().ok_or_else(|| missing("id"))?,
                "user_id" => user.as_str(),
                // > the state key may be left out where it is empty
                "state_key" if !asked.params.contains_key(name) => "",
                name => asked.text(name)?,
            };
            if value.is_empty() && name != "state_key" {
                return Err(missing(name));
            }
            path.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        Ok(path)
    }
}

fn content(params: &Map<String, Value>) -> Result<Map<String, Value>> {
    match params.get("content") {
        Some(Value::Object(content)) => Ok(content.clone()),
        Some(_) => Err(Error::bad_request(ErrorKind::BadJson, "“content” must be an object.")),
        None => Err(missing("content")),
    }
}

fn picked(params: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let of = |name: &&str| Some(((*name).to_owned(), params.get(*name)?.clone()));
    names.iter().filter_map(of).collect()
}

fn missing(name: &str) -> Error {
    Error::bad_request(ErrorKind::MissingParam, format!("“{name}” is missing."))
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;

    fn path_of(asked: &Value) -> Option<String> {
        let asked = Asked::parse(&asked.to_string()).unwrap();
        let request = request(&asked, user_id!("@me:d"))?;
        Some(request.map_or_else(
            |_| "refused".to_owned(),
            |request| format!("{} {}", request.method(), request.uri()),
        ))
    }

    #[test]
    fn a_request_stands_for_an_endpoint() {
        let path = |asked: Value| path_of(&asked).unwrap();
        let v3 = |rest: &str| rest.replace(' ', " /_matrix/client/v3/");
        let mut send = json!({"id": "a/b", "method": "send", "params": {
            "room_id": "!r:d", "event_type": "m.room.message", "content": {}}});
        assert_eq!(path(send.clone()), v3("PUT rooms/%21r%3Ad/send/m%2Eroom%2Emessage/a%2Fb"));
        send["method"] = "state".into();
        assert_eq!(path(send.clone()), v3("PUT rooms/%21r%3Ad/state/m%2Eroom%2Emessage/"));
        send["method"] = "typing".into();
        assert_eq!(path(send), v3("PUT rooms/%21r%3Ad/typing/%40me%3Ad"));
        let presence = json!({"method": "presence", "params": {"presence": "online", "user_id": "@you:d"}});
        assert_eq!(path(presence), v3("PUT presence/%40me%3Ad/status"));
    }

    #[test]
    fn what_is_missing_is_refused_and_what_is_unknown_is_none() {
        let complete = json!({"room_id": "!r:d", "event_type": "a", "content": {}});
        assert_eq!(path_of(&json!({"method": "send", "params": complete})).unwrap(), "refused");
        for name in ["room_id", "event_type", "content"] {
            let mut params = complete.clone();
            params[name] = json!(1);
            let with = json!({"id": "1", "method": "send", "params": params});
            assert_eq!(path_of(&with).unwrap(), "refused", "{name}");
            params.as_object_mut().unwrap().remove(name);
            let without = json!({"id": "1", "method": "send", "params": params});
            assert_eq!(path_of(&without).unwrap(), "refused", "{name}");
        }
        assert_eq!(
            path_of(&json!({"method": "read_markers", "params": {"room_id": "!r:d"}})).unwrap(),
            "refused"
        );
        assert!(path_of(&json!({"method": "login"})).is_none());
    }
}
