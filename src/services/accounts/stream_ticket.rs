//! Tickets: what opens a stream where no access token can be sent.
//!
//! A browser cannot set headers for a WebSocket or an event stream, and an access token does not belong in an
//! address, which is written to logs. A ticket is good for one stream. A browser takes an event stream up again by
//! itself, with the same address and the id of the last event it had: such an id is sealed, so that only that
//! stream can be taken up, and only by who had it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hearth_store::stream_ticket::StreamTicket;
use sha2::{Digest, Sha256};

use super::refresh::end;
use super::{AccountError, Accounts, Caller, TokenHash, secret};
use crate::clock;

/// How long a ticket is good for that opened nothing.
const LIFETIME: Duration = Duration::from_mins(1);

/// How long an event stream can be taken up after its end.
const LINGER: Duration = Duration::from_mins(10);

/// How often an open event stream says that it is open. The longest that it lingers too long.
pub const KEPT_EVERY: Duration = Duration::from_mins(2);

/// An event stream that was opened with a ticket.
#[derive(Clone, Debug)]
pub struct EventStream {
    hash: TokenHash,
    seal: Vec<u8>,
}

impl Accounts {
    /// A ticket for one stream of a caller's, and for how long it is good.
    pub async fn new_stream_ticket(&self, caller: &Caller) -> Result<(String, Duration), AccountError> {
        let ticket = secret::random();
        let kept = StreamTicket { token_hash: caller.token_hash, seal: rand::random::<[u8; 32]>().into() };
        let good_until = end(clock::now_ms(), LIFETIME);
        self.0.store.add_stream_ticket(&secret::hash(&ticket), &kept, good_until).await?;
        Ok((ticket, LIFETIME))
    }

    /// Whose ticket this is, if it is good; from now on it is not.
    pub async fn take_stream_ticket(&self, ticket: &str) -> Result<Option<Caller>, AccountError> {
        let kept = self.0.store.take_stream_ticket(&secret::hash(ticket), clock::now_ms()).await?;
        match kept {
            Some(kept) => self.caller_of(&kept.token_hash).await,
            None => Ok(None),
        }
    }

    /// Opens an event stream with a ticket, or takes one up behind the event of this id.
    pub async fn open_event_stream(
        &self,
        ticket: &str,
        last_event: Option<&str>,
    ) -> Result<Option<(Caller, EventStream)>, AccountError> {
        let (hash, now) = (secret::hash(ticket), clock::now_ms());
        let kept = match last_event {
            None => self.0.store.open_stream_ticket(&hash, now, good_until(now)).await?,
            Some(_) => self.0.store.opened_stream_ticket(&hash, now).await?,
        };
        let Some(StreamTicket { token_hash, seal }) = kept else { return Ok(None) };
        let stream = EventStream { hash, seal };
        if last_event.is_some_and(|id| !stream.gave(id)) {
            return Ok(None);
        }
        Ok(self.caller_of(&token_hash).await?.map(|caller| (caller, stream)))
    }

    /// An event stream is still open. To be said every [`KEPT_EVERY`].
    pub async fn keep_event_stream(&self, stream: &EventStream) -> Result<(), AccountError> {
        let until = good_until(clock::now_ms());
        Ok(self.0.store.put_off_stream_ticket(&stream.hash, until).await?)
    }
}

fn good_until(now: i64) -> i64 {
    end(now, LINGER + KEPT_EVERY)
}

impl EventStream {
    /// The id of the event that ends with this token.
    #[must_use]
    pub fn event_id(&self, token: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(&self.seal);
        digest.update(token.as_bytes());
        format!("{token}.{}", URL_SAFE_NO_PAD.encode(digest.finalize()))
    }

    /// The token that an event's id stands for, whoever gave it.
    #[must_use]
    pub fn token(event_id: &str) -> &str {
        event_id.split_once('.').map_or(event_id, |(token, _)| token)
    }

    fn gave(&self, event_id: &str) -> bool {
        secret::equal(event_id, &self.event_id(Self::token(event_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_knows_its_own_ids_and_no_others() {
        let stream = |seal: u8| EventStream { hash: [0; 32], seal: vec![seal; 32] };
        let id = stream(1).event_id("s17");
        assert_eq!(EventStream::token(&id), "s17");
        assert!(stream(1).gave(&id));
        for other in ["s17", "s18", "", ".", &id.replace("s17", "s18"), &stream(2).event_id("s17")] {
            assert!(!stream(1).gave(other), "{other}");
        }
    }
}
