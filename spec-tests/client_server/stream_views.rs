//! Sliding sync over a stream: views.

use serde_json::{Value, json};

use crate::harness::rooms::ids;
use crate::harness::sliding::{Form, Window};
use crate::harness::stream::Socket;
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_view_is_pushed_what_sliding_sync_would_have_answered,
        a_view_can_be_changed_taken_up_elsewhere_and_ended,
        a_view_is_refused_as_the_endpoint_would_and_there_are_four_at_most,
    ]
}

/// A view of everything.
fn all(conn_id: &str) -> Value {
    json!({"conn_id": conn_id, "lists": {"all": Form::Stable.list((0, 9), &Form::Stable.view(5, &[]))}})
}

async fn open(socket: &mut Socket, view: &Value) -> Value {
    let answer = socket.ask("view", view).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
    socket.notice("view").await
}

async fn a_view_is_pushed_what_sliding_sync_would_have_answered(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut socket = bob.stream("").await;
    let told = open(&mut socket, &all("main")).await;
    let polled = Window::new(&bob, Form::Stable, all("other")).next().await;
    assert_eq!(told["conn_id"], "main");
    assert_eq!(
        (&told["lists"], &told["rooms"][&room]["required_state"]),
        (&polled["lists"], &polled["rooms"][&room]["required_state"])
    );
    let of = |reply: &Value| ids(list(&reply["rooms"][&room]["timeline"]));
    assert_eq!(of(&told), of(&polled));
    let event = alice.say(&room, "pushed").await;
    let told = socket.notice("view").await;
    assert_eq!((of(&told), &told["rooms"][&room]["num_live"]), (vec![event], &json!(1)));
}

async fn a_view_can_be_changed_taken_up_elsewhere_and_ended(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut socket = bob.stream("").await;
    let mut view = all("main");
    open(&mut socket, &view).await;
    view["lists"]["all"]["required_state"] = json!({"include": [{"type": "m.room.create"}]});
    let told = open(&mut socket, &view).await;
    let state = list(&told["rooms"][&room]["required_state"]);
    assert_eq!((state.len(), &told["rooms"][&room]["initial"]), (1, &json!(false)), "{told}");
    assert_eq!(socket.ask("end_view", &json!({"conn_id": "main"})).await["result"], json!({}));
    assert_eq!(
        socket.ask("end_view", &json!({"conn_id": "main"})).await["error"]["errcode"],
        "M_INVALID_PARAM"
    );
    let event = alice.say(&room, "between").await;
    let mut polls = Window::new(&bob, Form::Stable, view.clone());
    polls.pos = told["pos"].as_str().map(str::to_owned);
    let polled = polls.next().await;
    assert_eq!(ids(list(&polled["rooms"][&room]["timeline"])), [event], "HTTP goes on where the view was");
    let event = alice.say(&room, "and back").await;
    view["pos"] = polled["pos"].clone();
    let mut told = open(&mut socket, &view).await;
    while told["rooms"].get(&room).is_none() {
        // The replica that the stream is on may hear of it a moment later.
        told = socket.notice("view").await;
    }
    assert_eq!(ids(list(&told["rooms"][&room]["timeline"])), [event]);
}

async fn a_view_is_refused_as_the_endpoint_would_and_there_are_four_at_most(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut socket = alice.stream("").await;
    let refused = [
        (json!({"pos": "s1~0000000000000000"}), "M_UNKNOWN_POS"),
        (json!({"lists": []}), "M_BAD_JSON"),
        (json!({"conn_id": "x".repeat(300)}), "M_INVALID_PARAM"),
    ];
    for (view, errcode) in refused {
        assert_eq!(socket.ask("view", &view).await["error"]["errcode"], errcode, "{view}");
    }
    for number in 0..4 {
        open(&mut socket, &all(&format!("view {number}"))).await;
    }
    assert_eq!(socket.ask("view", &all("one more")).await["error"]["errcode"], "M_INVALID_PARAM");
    assert_eq!(socket.ask("ping", &json!({})).await["result"], json!({}), "the stream goes on");
}
