//! How a reader hears of what happens: by every kind of sync, each as the body that a poll would have had.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::door::{Door, PAUSE};
use crate::harness::hearth::http;
use crate::harness::sliding::{Form, Window};
use crate::harness::stream::{Events, Refused, STREAM, Socket, is_update};
use crate::harness::{User, enc};

/// How long one waits for something to happen before one looks at what else there is to do.
const WAIT: Duration = Duration::from_secs(2);

/// How many kinds there are.
pub const KINDS: usize = 6;

/// Views that are waited for are opened on a stream without updates.
const NO_UPDATES: &str =
    r#"{"room":{"rooms":[]},"presence":{"not_types":["*"]},"account_data":{"not_types":["*"]}}"#;

/// A reader's way of hearing.
pub enum Feed {
    /// Long polls.
    Polls,
    /// A WebSocket, while one is open.
    Socket(Option<Box<Socket>>),
    /// An event stream, while one is open.
    Events(Option<Events>),
    /// Sliding sync, with a window on everything.
    Sliding(Box<Window>),
    /// The same as a view of a WebSocket, while one is open.
    View(Box<Window>, Option<Box<Socket>>),
}

impl Feed {
    /// One of each kind in turn.
    pub fn of(number: usize, user: &User) -> Self {
        let window = |form| Box::new(Window::on_all(user, form, 1 + number, &[("m.room.member", "$LAZY")]));
        match number % KINDS {
            0 => Self::Polls,
            1 => Self::Socket(None),
            2 => Self::Events(None),
            3 => Self::Sliding(window(Form::Stable)),
            4 => Self::Sliding(window(Form::Unstable)),
            _ => Self::View(window(Form::Stable), None),
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
            Self::Sliding(window) => {
                window.user = door.user.clone();
                let wait = u64::try_from(WAIT.as_millis()).expect("milliseconds");
                let reply = window.call(wait).unchecked().send().await;
                match door.answer(reply) {
                    Some(reply) => Some(as_sync(window, &reply)),
                    None => away(door).await,
                }
            }
            Self::View(window, open) => {
                if open.is_none() {
                    *open = view(door, window).await;
                }
                let Some(socket) = open else { return away(door).await };
                match timeout(WAIT, view_notice(socket)).await {
                    Ok(None) => *open = None,
                    Ok(Some(told)) => return Some(as_sync(window, &told)),
                    Err(_) => return None,
                }
                away(door).await
            }
        }
    }
}

/// What a sync would have brought, of what sliding sync does.
fn as_sync(window: &mut Window, reply: &Value) -> Value {
    let pos = reply["pos"].as_str().expect("a position");
    let (next_batch, _) = pos.split_once('~').expect("a token and a hash");
    let mut joined = json!({});
    for (room, told) in reply["rooms"].as_object().into_iter().flatten() {
        joined[room] = json!({"timeline": {
            "events": told["timeline"], "limited": told["limited"], "prev_batch": told["prev_batch"],
        }});
    }
    let sync = json!({"next_batch": next_batch, "rooms": {"join": joined}});
    window.pos = Some(pos.to_owned());
    sync
}

/// Opens a view from where a window is.
async fn view(door: &Door<'_>, window: &Window) -> Option<Box<Socket>> {
    let query = format!("filter={}", enc(NO_UPDATES));
    let opened = door.user.opening(&query).open().await.ok()?;
    let mut socket = opened.map(Box::new).map_err(|refused| bear(&refused)).ok()?;
    let mut params = window.body.clone();
    if let Some(pos) = &window.pos {
        params["pos"] = pos.as_str().into();
    }
    let message = json!({"id": "view", "method": "view", "params": params});
    socket.say(&message.to_string()).await;
    Some(socket)
}

async fn view_notice(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = socket.next().await?;
        if let Some(error) = message.get("error") {
            // A server that comes or goes refuses for a while; positions are never unknown.
            assert!(error["errcode"] != "M_UNKNOWN_POS", "{message}");
            return None;
        }
        if message["method"] == "view" {
            return Some(message["params"].clone());
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
