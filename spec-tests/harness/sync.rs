//! Sync, and looking into what it brings.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::enc;
use super::user::User;

/// How long a thing that must come may take to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a single poll waits, in milliseconds.
const POLL: u64 = 5_000;

impl User {
    /// A first sync.
    pub async fn sync(&self) -> Sync {
        self.sync_with("timeout=0").await
    }

    /// What is new since a token, at once.
    pub async fn sync_since(&self, since: &str) -> Sync {
        self.sync_with(&format!("timeout=0&since={}", enc(since))).await
    }

    /// A sync with any query.
    pub async fn sync_with(&self, query: &str) -> Sync {
        let call = self.get(&format!("/sync?{query}")).patient(Duration::from_secs(40));
        Sync { body: call.await.ok() }
    }

    /// A sync with a filter, given inline.
    pub async fn sync_filtered(&self, filter: &Value, query: &str) -> Sync {
        self.sync_with(&format!("filter={}&{query}", enc(&filter.to_string()))).await
    }

    /// Syncs on until a reply satisfies `wanted`.
    pub async fn sync_until(&self, since: &str, wanted: impl Fn(&Sync) -> bool) -> Sync {
        let deadline = Instant::now() + PATIENCE;
        let mut since = since.to_owned();
        while Instant::now() < deadline {
            let sync = self.sync_with(&format!("timeout={POLL}&since={}", enc(&since))).await;
            if wanted(&sync) {
                return sync;
            }
            sync.next_batch().clone_into(&mut since);
        }
        panic!("{} waited for something that never came by sync", self.id);
    }
}

/// The reply to a sync.
#[derive(Clone, Debug)]
pub struct Sync {
    pub body: Value,
}

impl Sync {
    pub fn next_batch(&self) -> &str {
        self.body["next_batch"].as_str().expect("next_batch")
    }

    /// A joined room's part; null if it is not there.
    pub fn joined(&self, room: &str) -> &Value {
        &self.body["rooms"]["join"][room]
    }

    pub fn left(&self, room: &str) -> &Value {
        &self.body["rooms"]["leave"][room]
    }

    pub fn invited(&self, room: &str) -> &Value {
        &self.body["rooms"]["invite"][room]
    }

    pub fn knocked(&self, room: &str) -> &Value {
        &self.body["rooms"]["knock"][room]
    }

    /// The timeline of a joined room, oldest first; empty if there is none.
    pub fn timeline(&self, room: &str) -> &[Value] {
        list(&self.joined(room)["timeline"]["events"])
    }

    /// The state before the timeline of a joined room.
    pub fn state(&self, room: &str) -> &[Value] {
        list(&self.joined(room)["state"]["events"])
    }

    /// The content of global account data of a type; null if it did not come.
    pub fn account_data(&self, kind: &str) -> &Value {
        content(list(&self.body["account_data"]["events"]), kind)
    }

    /// The content of a room's account data of a type; null if it did not come.
    pub fn room_account_data(&self, room: &str, kind: &str) -> &Value {
        content(list(&self.joined(room)["account_data"]["events"]), kind)
    }
}

/// A list, empty where there is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn content<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["type"] == kind).map_or(&Value::Null, |event| &event["content"])
}
