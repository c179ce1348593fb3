//! What users do in rooms, each in a line.

use serde_json::{Value, json};

use super::client::{Call, enc};
use super::hearth::fresh;
use super::user::User;

impl User {
    /// A new room.
    pub async fn create_room(&self, options: Value) -> String {
        let created = self.post("/createRoom", &options).await.ok();
        created["room_id"].as_str().expect("a room id").to_owned()
    }

    /// A new room that anyone may join, with this user and `others` in it.
    pub async fn room_with(&self, others: &[&Self]) -> String {
        let room = self.create_room(json!({"preset": "public_chat"})).await;
        for other in others {
            other.join(&room).await.ok();
        }
        room
    }

    /// Joins by room id or alias.
    pub fn join(&self, room: &str) -> Call {
        self.post(&format!("/join/{}", enc(room)), &json!({}))
    }

    pub fn knock(&self, room: &str) -> Call {
        self.post(&format!("/knock/{}", enc(room)), &json!({}))
    }

    pub fn leave(&self, room: &str) -> Call {
        self.post(&format!("/rooms/{room}/leave"), &json!({}))
    }

    pub fn forget(&self, room: &str) -> Call {
        self.post(&format!("/rooms/{room}/forget"), &json!({}))
    }

    pub fn invite(&self, room: &str, other: &Self) -> Call {
        self.post(&format!("/rooms/{room}/invite"), &json!({"user_id": other.id}))
    }

    pub fn kick(&self, room: &str, other: &Self) -> Call {
        self.post(&format!("/rooms/{room}/kick"), &json!({"user_id": other.id}))
    }

    pub fn ban(&self, room: &str, other: &Self) -> Call {
        self.post(&format!("/rooms/{room}/ban"), &json!({"user_id": other.id}))
    }

    pub fn unban(&self, room: &str, other: &Self) -> Call {
        self.post(&format!("/rooms/{room}/unban"), &json!({"user_id": other.id}))
    }

    /// Sends an event under a transaction id of its own.
    pub fn send(&self, room: &str, kind: &str, content: &Value) -> Call {
        self.put(&format!("/rooms/{room}/send/{kind}/{}", fresh("txn")), content)
    }

    /// Says something; returns the event's id.
    pub async fn say(&self, room: &str, text: &str) -> String {
        event_id(&self.send(room, "m.room.message", &self::text(text)).await.ok())
    }

    /// Says `count` things, numbered; returns the events' ids.
    pub async fn chatter(&self, room: &str, stem: &str, count: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(count);
        for number in 0..count {
            ids.push(self.say(room, &format!("{stem} {number}")).await);
        }
        ids
    }

    /// Says something in a thread; returns the event's id.
    pub async fn reply(&self, room: &str, thread: &str, body: &str) -> String {
        let mut content = text(body);
        content["m.relates_to"] = json!({"rel_type": "m.thread", "event_id": thread});
        event_id(&self.send(room, "m.room.message", &content).await.ok())
    }

    /// Says that everything up to an event was read, with a receipt of a kind.
    pub async fn read(&self, room: &str, kind: &str, event: &str) {
        self.post(&receipt(room, kind, event), &json!({})).await.ok();
    }

    /// Ignores these users and no others.
    pub async fn ignore(&self, users: &[&Self]) {
        let list: serde_json::Map<String, Value> =
            users.iter().map(|user| (user.id.clone(), json!({}))).collect();
        let path = format!("/user/{}/account_data/m.ignored_user_list", self.id);
        self.put(&path, &json!({ "ignored_users": list })).await.ok();
    }

    /// Sets state.
    pub fn set(&self, room: &str, kind: &str, key: &str, content: &Value) -> Call {
        self.put(&format!("/rooms/{room}/state/{kind}/{}", enc(key)), content)
    }

    /// Reads the content of a state event.
    pub fn state(&self, room: &str, kind: &str, key: &str) -> Call {
        self.get(&format!("/rooms/{room}/state/{kind}/{}", enc(key)))
    }

    /// All current state.
    pub async fn full_state(&self, room: &str) -> Vec<Value> {
        self.get(&format!("/rooms/{room}/state")).await.ok().as_array().expect("a list").clone()
    }

    pub fn redact(&self, room: &str, event: &str) -> Call {
        self.put(&format!("/rooms/{room}/redact/{}/{}", enc(event), fresh("txn")), &json!({}))
    }

    pub fn event(&self, room: &str, event: &str) -> Call {
        self.get(&format!("/rooms/{room}/event/{}", enc(event)))
    }

    /// One page of history; `query` begins with `dir=`.
    pub fn messages(&self, room: &str, query: &str) -> Call {
        self.get(&format!("/rooms/{room}/messages?{query}"))
    }

    /// All history backwards, page by page, oldest first.
    pub async fn history(&self, room: &str, from: Option<&str>, page: usize) -> Vec<Value> {
        let mut events = Vec::new();
        let mut from = from.map(str::to_owned);
        loop {
            let token = from.map(|token| format!("&from={}", enc(&token))).unwrap_or_default();
            let reply = self.messages(room, &format!("dir=b&limit={page}{token}")).await.ok();
            events.extend(reply["chunk"].as_array().expect("a chunk").iter().cloned());
            match reply["end"].as_str() {
                Some(end) => from = Some(end.to_owned()),
                None => break,
            }
        }
        events.reverse();
        events
    }
}

/// Where a receipt is sent.
pub fn receipt(room: &str, kind: &str, event: &str) -> String {
    format!("/rooms/{room}/receipt/{kind}/{}", enc(event))
}

/// The content of a message.
pub fn text(body: &str) -> Value {
    json!({"msgtype": "m.text", "body": body})
}

/// The id in the reply to a send.
pub fn event_id(reply: &Value) -> String {
    reply["event_id"].as_str().expect("an event id").to_owned()
}

/// The ids of events.
pub fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(event_id).collect()
}

/// The message texts among events, in their order.
pub fn bodies(events: &[Value]) -> Vec<&str> {
    let messages = events.iter().filter(|event| event["type"] == "m.room.message");
    messages.filter_map(|event| event["content"]["body"].as_str()).collect()
}

/// The one event of a type and state key, if there is one.
pub fn find<'a>(events: &'a [Value], kind: &str, key: &str) -> Option<&'a Value> {
    events.iter().find(|event| event["type"] == kind && event["state_key"] == key)
}
