//! Server-sent events that tell what changes: docs/websocket.md.

use serde_json::{Value, json};

use crate::harness::hearth::http;
use crate::harness::stream::{Events, Refused, STREAM};
use crate::harness::sync::Sync;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        an_event_stream_tells_what_changes,
        the_last_event_id_takes_a_stream_up,
        the_ticket_of_an_event_stream_takes_it_up_and_no_other,
        an_event_stream_says_who_cannot_have_one,
        a_logout_ends_an_event_stream_with_a_reason,
    ]
}

/// Reads events until one tells of a message; returns its id and its update.
async fn until_told(events: &mut Events, room: &str, body: &str) -> (String, Value) {
    loop {
        let event = events.find("sync").await.expect("an update");
        let sync = Sync { body: event.data };
        if sync.timeline(room).iter().any(|event| event["content"]["body"] == body) {
            return (event.id.expect("an id"), sync.body);
        }
    }
}

/// Opens a stream with a ticket, behind an event where one is named.
async fn with_ticket(hearth: &Hearth, ticket: &str, last: Option<&str>) -> Result<Events, Refused> {
    // As a browser comes back: to the same address, with the token that it began with.
    let mut request = http().get(format!("{}{STREAM}?ticket={ticket}", hearth.base()));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    Events::open(request).await.expect("a server")
}

async fn an_event_stream_tells_what_changes(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut events = bob.events("").await;
    let hello = events.next().await.unwrap();
    assert_eq!((&*hello.name, &hello.data["user_id"]), ("hello", &json!(bob.id)));
    let first = events.find("sync").await.unwrap();
    assert_eq!(first.id.as_deref(), first.data["next_batch"].as_str());
    assert!(first.data["rooms"]["join"].get(&room).is_some());
    // White space that a client wrote must not break the lines.
    let path = format!("/user/{}/account_data/org.example.lines", bob.id);
    bob.call("PUT", &path).bytes("{\n\"a\":\r\n 1}").await.ok();
    let event = events.find("sync").await.unwrap();
    assert_eq!(event.data["account_data"]["events"][0]["content"], json!({"a": 1}));
    alice.say(&room, "line one\nline two").await;
    until_told(&mut events, &room, "line one\nline two").await;
}

async fn the_last_event_id_takes_a_stream_up(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut events = bob.events("").await;
    alice.say(&room, "one").await;
    let (id, _) = until_told(&mut events, &room, "one").await;
    drop(events);
    alice.say(&room, "two").await;
    let request = http().get(format!("{}{STREAM}?since=s0", bob.base())).bearer_auth(&bob.token);
    let mut events = Events::open(request.header("last-event-id", &id)).await.unwrap().unwrap();
    let (_, update) = until_told(&mut events, &room, "two").await;
    assert_eq!(Sync { body: update }.timeline(&room).len(), 1);
    let request = http().get(format!("{}{STREAM}", bob.base())).bearer_auth(&bob.token);
    let refused = Events::open(request.header("last-event-id", "nonsense")).await.unwrap().unwrap_err();
    assert_eq!((refused.status, &refused.body["errcode"]), (400, &json!("M_INVALID_PARAM")));
}

async fn the_ticket_of_an_event_stream_takes_it_up_and_no_other(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let (ticket, other) = (bob.ticket().await, bob.ticket().await);
    let unknown = |refused: Refused| {
        assert_eq!((refused.status, &refused.body["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
    };
    // What opened nothing cannot be taken up.
    unknown(with_ticket(&hearth, &ticket, Some("s1")).await.unwrap_err());
    let mut events = with_ticket(&hearth, &ticket, None).await.unwrap();
    alice.say(&room, "one").await;
    let (id, update) = until_told(&mut events, &room, "one").await;
    drop(events);
    unknown(with_ticket(&hearth, &ticket, None).await.unwrap_err());
    let token = update["next_batch"].as_str().unwrap();
    for wrong in [token, "s1", &format!("{id}x"), &id.replacen('s', "s1", 1)] {
        unknown(with_ticket(&hearth, &ticket, Some(wrong)).await.unwrap_err());
    }
    unknown(with_ticket(&hearth, &other, Some(&id)).await.unwrap_err());
    alice.say(&room, "two").await;
    for body in ["two", "three"] {
        let mut events = with_ticket(&hearth, &ticket, Some(&id)).await.unwrap();
        if body == "three" {
            alice.say(&room, body).await;
        }
        until_told(&mut events, &room, body).await;
    }
    bob.post("/logout", &json!({})).await.ok();
    unknown(with_ticket(&hearth, &ticket, Some(&id)).await.unwrap_err());
}

async fn an_event_stream_says_who_cannot_have_one(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (token, query, status, errcode) in [
        (None, "", 401, "M_MISSING_TOKEN"),
        (Some("nonsense"), "", 401, "M_UNKNOWN_TOKEN"),
        (None, "ticket=nonsense", 401, "M_UNKNOWN_TOKEN"),
        (Some(&*alice.token), "since=nonsense", 400, "M_INVALID_PARAM"),
        (Some(&*alice.token), "filter=nonsense", 404, "M_NOT_FOUND"),
    ] {
        let mut request = http().get(format!("{}{STREAM}?{query}", hearth.base()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let refused = Events::open(request).await.unwrap().unwrap_err();
        assert_eq!((refused.status, &refused.body["errcode"]), (status, &json!(errcode)), "{query}");
    }
}

async fn a_logout_ends_an_event_stream_with_a_reason(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut events = alice.events("").await;
    let first = events.find("sync").await.unwrap();
    alice.post("/logout/all", &json!({})).await.ok();
    let bye = events.find("bye").await.unwrap();
    assert_eq!(bye.data["reason"]["errcode"], "M_UNKNOWN_TOKEN");
    assert!(bye.data["next_batch"].as_str() >= first.id.as_deref());
    assert_eq!(events.next().await, None);
}
