//! How a stream ends, and what its reader is told of it.

use serde_json::{Value, json};

use super::frame;
use crate::error::Error;

/// Why a stream ends.
#[derive(Debug)]
pub(super) enum End {
    /// The other end is gone, or takes nothing more: there is nobody to tell.
    Gone,
    /// The server stops.
    Stopping,
    /// What a request over HTTP would be refused for, or fail with.
    Refused(Error),
    /// The client was not heard of for two heartbeats.
    Silent,
    /// The client sends more than is borne.
    Flooding,
    /// The client sent what is no message, with the code that says so.
    Malformed(u16, &'static str),
}

/// What a reader is told: the WebSocket's code, and an error as of a request.
pub(super) struct Goodbye {
    pub(super) code: u16,
    pub(super) error: Value,
}

impl Goodbye {
    /// The reason in a word.
    pub(super) fn errcode(&self) -> &str {
        self.error.get("errcode").and_then(Value::as_str).unwrap_or_default()
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl End {
    /// What the reader is told; nothing where nobody would hear it.
    pub(super) async fn goodbye(self) -> Option<Goodbye> {
        let told = |code, errcode: &str, error: &str| Goodbye {
            code,
            error: json!({ "errcode": errcode, "error": error }),
        };
        Some(match self {
            Self::Gone => return None,
            Self::Stopping => told(1001, "M_UNKNOWN", "The server stops: connect again, to another."),
            Self::Silent => told(4408, "M_UNKNOWN", "Nothing was heard of you for two heartbeats."),
            Self::Flooding => told(4429, "M_LIMIT_EXCEEDED", "Far too many messages."),
            Self::Malformed(code, error) => told(code, "M_UNKNOWN", error),
            Self::Refused(error) => {
                let (status, body) = frame::read(error.into_response()).await;
                let code = match status.as_u16() {
                    400..=428 => 1008,
                    429 | 503 => 1013,
                    _ => 1011,
                };
                Goodbye { code, error: serde_json::from_str(body.get()).unwrap_or_default() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_is_told_by_code_and_errcode() {
        let told = async |end: End| end.goodbye().await.map(|told| (told.code, told.errcode().to_owned()));
        let errcode = |errcode: &str| errcode.to_owned();
        assert_eq!(told(End::Gone).await, None);
        assert_eq!(told(Error::unknown_token().into()).await, Some((1008, errcode("M_UNKNOWN_TOKEN"))));
        assert_eq!(told(Error::overloaded().into()).await, Some((1013, errcode("M_LIMIT_EXCEEDED"))));
        assert_eq!(told(Error::out_of_touch().into()).await, Some((1013, errcode("M_UNKNOWN"))));
    }
}
