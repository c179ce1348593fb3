//! How a reader hears of what happens: by every kind of sync, each as the body that a poll would have had.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::door::{Door, PAUSE};
use crate::harness::hearth::http;
use crate::harness::stream::{Events, Refused, STREAM, Socket, is_update};

/// How long one waits for something to happen before one looks at what else there is to do.
const WAIT: Duration = Duration::from_secs(2);

/// A reader's way of hearing.
pub enum Feed {
    /// Long polls.
    Polls,
    /// A WebSocket, while one is open.
    Socket(Option<Box<Socket>>),
    /// An event stream, while one is open.
    Events(Option<Events>),
}

impl Feed {
    /// One of each kind in turn.
    pub fn of(number: usize) -> Self {
        match number % 3 {
            0 => Self::Polls,
            1 => Self::Socket(None),
            _ => Self::Events(None),
        }
    }

    /// What comes next after the token in a query; nothing where nothing came in time, or the server went away.
    pub async fn next(&mut self, door: &mut Door<'_>, query: &str) -> Option<Value> {
        match self {
            Self::Polls => Some(door.get(&format!("/sync?timeout={}&{query}", WAIT.as_millis())).await),
            Self::Socket(open) => {
                if open.is_none() {
                    let opened = door.user.opening(query).open().await;
                    *open = opened
                        .ok()
                        .and_then(|opened| opened.map(Box::new).map_err(|refused| bear(&refused)).ok());
                }
                let Some(socket) = open else { return away(door).await };
                match timeout(WAIT, update(socket)).await {
                    Ok(None) => *open = None,
                    Ok(update) => return update,
                    Err(_) => return None,
                }
                away(door).await
            }
            Self::Events(open) => {
                if open.is_none() {
                    let request = http().get(format!("{}{STREAM}?{query}", door.user.base()));
                    let opened = Events::open(request.bearer_auth(&door.user.token)).await;
                    *open = opened.ok().and_then(|opened| opened.map_err(|refused| bear(&refused)).ok());
                }
                let Some(events) = open else { return away(door).await };
                match timeout(WAIT, event(events)).await {
                    Ok(None) => *open = None,
                    Ok(update) => return update,
                    Err(_) => return None,
                }
                away(door).await
            }
        }
    }
}

/// Servers that come or go refuse for a while; nothing else is refused.
fn bear(refused: &Refused) {
    assert!(refused.status >= 500, "{refused:?}");
}

async fn update(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = socket.next().await?;
        if is_update(&message) {
            return Some(message);
        }
    }
}

async fn event(events: &mut Events) -> Option<Value> {
    loop {
        let event = events.next().await?;
        if event.name == "sync" {
            return Some(event.data);
        }
    }
}

/// The server went away: the next one may be there.
async fn away(door: &mut Door<'_>) -> Option<Value> {
    door.turn();
    sleep(PAUSE).await;
    None
}
