//! Requests and replies, as raw as a test needs them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Method};
use serde_json::Value;

use super::record::Record;
use super::schema;

/// Longer than any reply may take that does not wait for something to happen.
const DEADLINE: Duration = Duration::from_secs(20);
/// A body whose length is not announced is sent in pieces of so many bytes.
const PIECE: usize = 64 * 1024;
/// How much of a body a failed test may show.
const SHOWN: usize = 2000;

/// A path segment or a query value, percent-encoded.
pub fn enc(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Speaks to one server on behalf of one test.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    record: Arc<Record>,
}

impl Client {
    /// A client of the server at `base`.
    pub fn new(base: &str, http: reqwest::Client, record: Arc<Record>) -> Self {
        Self { base: base.to_owned(), http, record }
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request; a path that does not begin with `/_` or `/.` is one of the client API's `/v3`.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let path = if path.starts_with("/_") || path.starts_with("/.") || path.starts_with("//") {
            path.to_owned()
        } else {
            format!("/_matrix/client/v3{path}")
        };
        let headers = HeaderMap::new();
        Call {
            client: self.clone(),
            method,
            path,
            headers,
            body: Vec::new(),
            announced: true,
            deadline: DEADLINE,
            checked: true,
        }
    }
}

/// A request that is sent when awaited.
#[derive(Debug)]
#[must_use]
pub struct Call {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
    announced: bool,
    deadline: Duration,
    checked: bool,
}

impl Call {
    /// With an access token.
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string().into_bytes()).header("content-type", "application/json")
    }

    /// With any body.
    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Nothing says how long the body is before it ends.
    pub fn without_length(mut self) -> Self {
        self.announced = false;
        self
    }

    /// Waits for the reply longer than usual.
    pub fn patient(mut self, extra: Duration) -> Self {
        self.deadline += extra;
        self
    }

    /// The reply is not held to the endpoint's schema: the request was not one of the endpoint's.
    pub fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    /// Sends it; an error is one of the connection.
    pub async fn send(self) -> Result<Reply, reqwest::Error> {
        let Self { client, method, path, headers, body, announced, deadline, checked } = self;
        let sent = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
        let body = if announced { body.into() } else { in_pieces(&body) };
        let request = client.http.request(method.clone(), format!("{}{path}", client.base));
        let response = request.headers(headers).body(body).timeout(deadline).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let about = format!("{method} {path}");
        client.record.exchange(&about, &sent, status, &text);
        let reply = Reply {
            about,
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text,
            bytes,
        };
        if checked && let Err(violation) = schema::check(&method, &path, &reply) {
            client.record.violation(violation);
        }
        Ok(reply)
    }
}

fn in_pieces(body: &[u8]) -> Body {
    let pieces: Vec<_> = body.chunks(PIECE).map(|piece| Ok::<_, Infallible>(piece.to_vec())).collect();
    Body::wrap_stream(stream::iter(pieces))
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let about = format!("{} {}", self.method, self.path);
            match self.send().await {
                Ok(reply) => reply,
                Err(error) => panic!("{about}: no reply: {error:?}"),
            }
        })
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The request's method and path.
    pub about: String,
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as JSON; null where it is none.
    pub body: Value,
    pub text: String,
    pub bytes: Vec<u8>,
}

impl Reply {
    /// The body of a reply that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}: {}", self.about, self.text);
        self.body
    }

    /// The bytes of a reply that must be a success.
    #[track_caller]
    pub fn content(self) -> Vec<u8> {
        assert_eq!(self.status, 200, "{}: {}", self.about, self.text);
        self.bytes
    }

    /// The body of a reply that must be this error.
    #[track_caller]
    pub fn fails(self, status: u16, errcode: &str) -> Value {
        let found = (self.status, self.body["errcode"].as_str().unwrap_or("no errcode"));
        assert_eq!(found, (status, errcode), "{}: {}", self.about, self.text);
        let sentence = self.body["error"].as_str().unwrap_or_default();
        assert!(!sentence.is_empty(), "{}: an error has a sentence: {}", self.about, self.text);
        self.body
    }

    /// The body of a reply that must be one of these errors.
    #[track_caller]
    pub fn fails_with_one_of(self, allowed: &[(u16, &str)]) -> Value {
        let found = (self.status, self.body["errcode"].as_str().unwrap_or("no errcode"));
        assert!(allowed.contains(&found), "{}: {found:?} is none of {allowed:?}: {}", self.about, self.text);
        self.body
    }

    /// A header's value, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or_default())
    }

    /// The error code, empty where there is none.
    pub fn errcode(&self) -> &str {
        self.body["errcode"].as_str().unwrap_or_default()
    }
}
