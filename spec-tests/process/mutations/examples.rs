//! Good requests, for mutation: each endpoint with parameters that exist and a body that it takes.

use serde_json::{Value, json};

use crate::harness::endpoints::Endpoint;
use crate::harness::hearth::fresh;
use crate::harness::raw::RawRequest;
use crate::harness::{Hearth, User, enc};

/// People, a room and what is in it.
pub struct Scene {
    alice: User,
    bob: User,
    /// Whose sessions and account may be lost.
    mallory: User,
    room: String,
    event: String,
    alias: String,
    filter: String,
}

impl Scene {
    /// Sets it.
    pub async fn set(hearth: &Hearth) -> Self {
        let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
        let room = alice.room_with(&[&bob]).await;
        let event = bob.say(&room, "hello").await;
        let alias = format!("#{}:{}", fresh("alias"), alice.server());
        alice.put(&format!("/directory/room/{}", enc(&alias)), &json!({"room_id": room})).await.ok();
        let filter = alice.post(&format!("/user/{}/filter", alice.id), &json!({})).await.ok();
        let filter = filter["filter_id"].as_str().expect("a filter's id").to_owned();
        Self { alice, bob, mallory: hearth.user("mallory").await, room, event, alias, filter }
    }

    /// Brings back what a request that was taken may have taken away.
    pub async fn repair(&mut self, hearth: &Hearth) {
        if self.mallory.get("/account/whoami").await.status != 200 {
            self.mallory = hearth.user("mallory").await;
        }
        if self.alice.get("/account/whoami").await.status != 200 {
            self.alice = hearth.login(&self.alice).await;
        }
        if self.alice.state(&self.room, "m.room.create", "").await.status != 200 {
            self.room = self.alice.room_with(&[&self.bob]).await;
            self.event = self.bob.say(&self.room, "hello").await;
        }
    }

    /// A good request to an endpoint.
    pub fn request(&self, endpoint: &Endpoint) -> RawRequest {
        let path = &endpoint.path;
        let own = ["logout", "deactivate", "delete_devices", "devices", "password"];
        let user = if own.iter().any(|word| path.contains(word)) { &self.mallory } else { &self.alice };
        let mut target: Vec<String> = path.split('/').map(|segment| self.fill(segment, user)).collect();
        if path.contains("/kick") || path.contains("/typing/") {
            target.retain(|segment| !segment.is_empty());
            target.insert(0, String::new());
        }
        let body = match endpoint.method.as_str() {
            "GET" => Vec::new(),
            _ => self.body(path).to_string().into_bytes(),
        };
        RawRequest {
            method: endpoint.method.clone(),
            target: format!("{}{}", target.join("/"), query(path)).into_bytes(),
            token: Some(user.token.clone()),
            body,
            ..RawRequest::default()
        }
    }

    fn fill(&self, segment: &str, user: &User) -> String {
        match segment {
            "{roomId}" | "{roomIdOrAlias}" => enc(&self.room),
            "{roomAlias}" => enc(&self.alias),
            "{eventId}" => enc(&self.event),
            "{userId}" => enc(&user.id),
            "{filterId}" => self.filter.clone(),
            "{deviceId}" => enc(&user.device),
            "{txnId}" => fresh("txn"),
            "{eventType}" => "m.room.message".to_owned(),
            "{type}" => "org.example.data".to_owned(),
            "{stateKey}" => "key".to_owned(),
            "{tag}" => "u.tag".to_owned(),
            "{keyName}" => "displayname".to_owned(),
            "{receiptType}" => "m.read".to_owned(),
            "{kind}" => "override".to_owned(),
            "{ruleId}" => ".m.rule.master".to_owned(),
            "{serverName}" => "hearth.test".to_owned(),
            parameter if parameter.starts_with('{') => "unknown".to_owned(),
            literal => literal.to_owned(),
        }
    }

    /// A body that the endpoint takes.
    fn body(&self, path: &str) -> Value {
        let last = path.rsplit('/').find(|segment| !segment.starts_with('{')).unwrap_or_default();
        let login = json!({"type": "m.id.user", "user": self.bob.id});
        let member = json!({"user_id": self.bob.id, "reason": "because"});
        match last {
            "register" => json!({
                "username": fresh("new"), "password": "secret", "device_id": "DEVICE", "inhibit_login": false,
                "initial_device_display_name": "Phone", "auth": {"type": "m.login.dummy"},
            }),
            "login" => json!({
                "type": "m.login.password", "identifier": login, "password": self.bob.password,
                "device_id": "DEVICE", "refresh_token": false, "initial_device_display_name": "Phone",
            }),
            "createRoom" => json!({
                "preset": "private_chat", "name": "Name", "topic": "Topic", "room_version": "11",
                "room_alias_name": fresh("alias"), "invite": [self.bob.id], "is_direct": true,
                "initial_state": [{"type": "org.example.s", "state_key": "k", "content": {"a": [1, null]}}],
                "creation_content": {"m.federate": true}, "visibility": "private",
                "power_level_content_override": {"users": {&self.alice.id: 100}, "events_default": 0},
            }),
            "invite" | "kick" | "ban" | "unban" => member,
            "join" | "leave" | "forget" | "knock" | "redact" => json!({"reason": "because"}),
            "send" => json!({"msgtype": "m.text", "body": "text", "m.mentions": {"user_ids": [self.bob.id]}}),
            "filter" => json!({
                "room": {"timeline": {"limit": 5, "types": ["m.*"], "senders": [self.bob.id]},
                         "rooms": [self.room], "include_leave": true, "state": {"lazy_load_members": true}},
                "event_format": "client", "event_fields": ["content.body"],
            }),
            "tags" => json!({"order": 0.5}),
            "profile" => json!({"displayname": "Name"}),
            "room" => json!({"room_id": self.room, "visibility": "public"}),
            "publicRooms" => {
                json!({"limit": 2, "filter": {"generic_search_term": "a", "room_types": [null]}})
            }
            "password" => json!({"new_password": "secret", "logout_devices": false}),
            _ => json!({"key": "value", "list": [1, {"deep": null}], "number": 5}),
        }
    }
}

/// A query that the endpoint takes; nothing waits.
fn query(path: &str) -> &'static str {
    match path.rsplit('/').next().unwrap_or_default() {
        "sync" => "?timeout=0&full_state=false&set_presence=offline&use_state_after=true",
        "events" => "?timeout=0",
        "messages" => "?dir=b&limit=3",
        "members" => "?membership=join",
        "timestamp_to_event" => "?dir=f&ts=1",
        "publicRooms" => "?limit=3",
        "available" => "?username=someone",
        "validity" => "?token=sometoken",
        _ => "",
    }
}
