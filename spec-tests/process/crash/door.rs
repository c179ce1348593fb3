//! A user's way to the servers, and what they find behind it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::harness::sync::list;
use crate::harness::{Hearth, Reply, User, enc};

/// How long to wait before asking again what was not answered.
pub const PAUSE: Duration = Duration::from_millis(50);
/// Longer than a server that comes back needs, and the readers to catch up.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// One user's way to the servers.
pub struct Door<'a> {
    doors: &'a [Hearth],
    number: usize,
    pub user: User,
}

impl<'a> Door<'a> {
    pub fn new(doors: &'a [Hearth], user: &User, number: usize) -> Self {
        let user = user.at(&doors[number % doors.len()]);
        Self { doors, number, user }
    }

    /// The body of a success; none where the server is away, and from now on the next one is asked.
    pub fn answer(&mut self, reply: Result<Reply, reqwest::Error>) -> Option<Value> {
        match reply {
            Ok(reply) if reply.status == 200 => return Some(reply.body),
            Ok(reply) if reply.status < 500 => panic!("{}: {}", reply.about, reply.text),
            _ => {}
        }
        self.turn();
        None
    }

    /// From now on the next server is asked.
    pub fn turn(&mut self) {
        self.number += 1;
        self.user = self.user.at(&self.doors[self.number % self.doors.len()]);
    }

    /// Asks until there is an answer.
    pub async fn get(&mut self, path: &str) -> Value {
        let since = Instant::now();
        loop {
            let reply = self.user.get(path).unchecked().send().await;
            if let Some(body) = self.answer(reply) {
                return body;
            }
            assert!(since.elapsed() < PATIENCE, "{path} is never answered");
            sleep(PAUSE).await;
        }
    }
}

/// What lies between a token and the timeline that follows a gap; without tokens all history. Oldest first.
pub async fn gap(door: &mut Door<'_>, room: &str, from: &str, to: Option<&str>) -> Vec<Value> {
    let mut events = Vec::new();
    let mut from = from.to_owned();
    let to = to.map(|to| format!("&to={}", enc(to))).unwrap_or_default();
    loop {
        let start = if from.is_empty() { String::new() } else { format!("&from={}", enc(&from)) };
        let page = door.get(&format!("/rooms/{room}/messages?dir=b&limit=100{start}{to}")).await;
        events.extend(list(&page["chunk"]).iter().cloned());
        match page["end"].as_str() {
            Some(end) => end.clone_into(&mut from),
            None => break,
        }
    }
    events.reverse();
    events
}
