//! Sliding sync (MSC4186), both forms: which rooms are told.

use serde_json::{Value, json};

use crate::harness::sliding::{FORMS, Form, Window};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_window_shows_the_newest_rooms_and_moves_with_them,
        what_happened_outside_of_the_window_comes_when_the_room_is_in_it_again,
        ranges_may_overlap_and_reach_beyond_the_end,
        filters_choose_rooms,
        rooms_of_a_space_are_those_directly_in_it,
        filters_that_contradict_let_nothing_through,
        a_subscription_is_told_wherever_the_room_stands,
        a_room_in_several_lists_is_told_what_any_of_them_wants,
        a_subscription_to_a_room_one_is_not_in_brings_nothing,
        a_window_of_a_million_brings_what_there_is,
    ]
}

async fn rooms_of(user: &User, count: usize) -> Vec<String> {
    let mut rooms = Vec::new();
    for number in 0..count {
        rooms.push(user.create_room(json!({"name": format!("Room {number}")})).await);
    }
    rooms
}

/// The rooms that a reply tells of, in no particular order.
fn told(reply: &Value) -> Vec<String> {
    let mut rooms: Vec<String> =
        reply["rooms"].as_object().map(|rooms| rooms.keys().cloned().collect()).unwrap_or_default();
    rooms.sort_unstable();
    rooms
}

fn sorted(rooms: &[&String]) -> Vec<String> {
    let mut rooms: Vec<String> = rooms.iter().copied().cloned().collect();
    rooms.sort_unstable();
    rooms
}

async fn a_window_shows_the_newest_rooms_and_moves_with_them(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let rooms = rooms_of(&alice, 4).await;
        let body = json!({"lists": {"top": form.list((0, 1), &form.view(1, &[]))}});
        let mut window = Window::new(&alice, form, body);
        let reply = window.next().await;
        assert_eq!(told(&reply), sorted(&[&rooms[3], &rooms[2]]));
        assert_eq!(reply["lists"]["top"]["count"], 4);
        alice.say(&rooms[0], "up").await;
        let reply = window.next().await;
        assert_eq!(
            (told(&reply), &reply["rooms"][&rooms[0]]["initial"]),
            (sorted(&[&rooms[0]]), &json!(true))
        );
        if form == Form::Unstable {
            assert_eq!(reply["lists"]["top"]["ops"][0]["room_ids"], json!([rooms[0], rooms[3]]));
        }
        window.body["lists"]["top"] = form.list((0, 3), &form.view(1, &[]));
        assert_eq!(told(&window.next().await), sorted(&[&rooms[1]]), "the others are known");
    }
}

async fn what_happened_outside_of_the_window_comes_when_the_room_is_in_it_again(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let rooms = rooms_of(&alice, 2).await;
        let top = form.list((0, 0), &form.view(10, &[("m.room.topic", "")]));
        let mut window = Window::new(&alice, form, json!({"lists": {"top": top}}));
        assert_eq!(told(&window.next().await), sorted(&[&rooms[1]]));
        alice.say(&rooms[0], "up").await;
        window.next().await;
        // The window shows one room, and two speak.
        let missed = alice.say(&rooms[1], "missed").await;
        alice.set(&rooms[1], "m.room.topic", "", &json!({"topic": "missed too"})).await.ok();
        alice.say(&rooms[0], "on top").await;
        assert_eq!(told(&window.next().await), sorted(&[&rooms[0]]));
        assert!(told(&window.next().await).is_empty());
        let last = alice.say(&rooms[1], "back").await;
        let room = window.next().await["rooms"][&rooms[1]].clone();
        assert_eq!((&room["initial"], &room["limited"]), (&json!(false), &json!(false)));
        let events: Vec<&Value> = list(&room["timeline"]).iter().map(|event| &event["event_id"]).collect();
        assert_eq!(
            (events.len(), events[0], events[2]),
            (3, &json!(missed), &json!(last)),
            "all since it was told"
        );
        assert_eq!((&room["num_live"], list(&room["required_state"]).len()), (&json!(1), 1));
    }
}

async fn ranges_may_overlap_and_reach_beyond_the_end(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let rooms = rooms_of(&alice, 3).await;
    let mut list = Form::Unstable.view(1, &[]);
    list["ranges"] = json!([[0, 1], [1, 2], [1, 90], [40, 50]]);
    let reply = Window::new(&alice, Form::Unstable, json!({"lists": {"x": list}})).next().await;
    assert_eq!(told(&reply), sorted(&[&rooms[0], &rooms[1], &rooms[2]]));
    let ops = &reply["lists"]["x"]["ops"];
    assert_eq!(ops[1]["room_ids"], json!([rooms[1], rooms[0]]));
    assert_eq!(ops[3]["room_ids"], json!([]));
    let nothing = json!({"lists": {"x": Form::Unstable.view(1, &[])}});
    let reply = Window::new(&alice, Form::Unstable, nothing).next().await;
    assert_eq!((told(&reply).len(), &reply["lists"]["x"]["count"]), (0, &json!(3)), "no range, no rooms");
}

async fn filters_choose_rooms(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let plain = alice.create_room(json!({})).await;
    let space = alice.create_room(json!({"creation_content": {"type": "m.space"}})).await;
    let secret = alice.create_room(json!({})).await;
    let algorithm = json!({"algorithm": "m.megolm.v1.aes-sha2"});
    let invited = bob.create_room(json!({"invite": [alice.id]})).await;
    let data = format!("/user/{}/account_data/m.direct", enc(&alice.id));
    for form in FORMS {
        let mut list = form.list((0, 99), &form.view(0, &[]));
        list["filters"] = json!({"is_encrypted": true});
        let mut follows = Window::new(&alice, form, json!({"lists": {"x": list}}));
        let before = told(&follows.next().await).len();
        alice.set(&secret, "m.room.encryption", "", &algorithm).await.ok();
        alice.put(&data, &json!({ &bob.id: [plain] })).await.ok();
        let tag = format!("/user/{}/rooms/{}/tags/m.favourite", enc(&alice.id), enc(&plain));
        alice.put(&tag, &json!({})).await.ok();
        if form == Form::Stable {
            assert_eq!(
                (before, told(&follows.next().await)),
                (0, sorted(&[&secret])),
                "it came to be encrypted"
            );
        }
        let cases = [
            (json!({}), sorted(&[&plain, &space, &secret, &invited])),
            (json!({"is_dm": true}), sorted(&[&plain])),
            (json!({"is_dm": false}), sorted(&[&space, &secret, &invited])),
            (json!({"is_encrypted": true}), sorted(&[&secret])),
            (json!({"is_encrypted": false}), sorted(&[&plain, &space, &invited])),
            (json!({"is_invited": true}), sorted(&[&invited])),
            (json!({"is_invite": false}), sorted(&[&plain, &space, &secret])),
            (json!({"room_types": ["m.space"]}), sorted(&[&space])),
            (json!({"room_types": [null]}), sorted(&[&plain, &secret, &invited])),
            (json!({"not_room_types": ["m.space"]}), sorted(&[&plain, &secret, &invited])),
            (json!({"tags": ["m.favourite", "u.other"]}), sorted(&[&plain])),
            (json!({"not_tags": ["m.favourite"], "is_invited": false}), sorted(&[&space, &secret])),
        ];
        for (filters, wanted) in cases {
            let mut list = form.list((0, 99), &form.view(0, &[]));
            list["filters"] = filters.clone();
            let reply = Window::new(&alice, form, json!({"lists": {"x": list}})).next().await;
            assert_eq!(
                (told(&reply), &reply["lists"]["x"]["count"]),
                (wanted.clone(), &json!(wanted.len())),
                "{filters}"
            );
        }
    }
}

async fn rooms_of_a_space_are_those_directly_in_it(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let space = alice.create_room(json!({"creation_content": {"type": "m.space"}})).await;
    let inner = alice.create_room(json!({"creation_content": {"type": "m.space"}})).await;
    let rooms = rooms_of(&alice, 3).await;
    let via = json!({"via": [alice.server()]});
    alice.set(&space, "m.space.child", &rooms[0], &via).await.ok();
    alice.set(&space, "m.space.child", &inner, &via).await.ok();
    alice.set(&inner, "m.space.child", &rooms[1], &via).await.ok();
    alice.set(&space, "m.space.child", &rooms[2], &json!({})).await.ok();
    for form in FORMS {
        let mut list = form.list((0, 99), &form.view(0, &[]));
        list["filters"] = json!({"spaces": [space, "!unknown:nowhere.example"]});
        let reply = Window::new(&alice, form, json!({"lists": {"x": list}})).next().await;
        assert_eq!(told(&reply), sorted(&[&inner, &rooms[0]]), "what was taken out of it is not in it");
    }
    let bob = hearth.user("bob").await;
    let mut list = Form::Stable.list((0, 99), &Form::Stable.view(0, &[]));
    list["filters"] = json!({"spaces": [space]});
    let reply = Window::new(&bob, Form::Stable, json!({"lists": {"x": list}})).next().await;
    assert_eq!(reply["lists"]["x"]["count"], 0, "he is not in the space");
}

async fn filters_that_contradict_let_nothing_through(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    rooms_of(&alice, 2).await;
    for form in FORMS {
        let contradictions = [
            json!({"room_types": [null], "not_room_types": [null]}),
            json!({"tags": ["a"], "not_tags": ["a"]}),
            json!({"is_dm": true, "is_invited": true}),
            json!({"room_types": []}),
        ];
        for filters in contradictions {
            let mut list = form.list((0, 99), &form.view(0, &[]));
            list["filters"] = filters;
            let reply = Window::new(&alice, form, json!({"lists": {"x": list}})).next().await;
            assert_eq!((told(&reply).len(), &reply["lists"]["x"]["count"]), (0, &json!(0)));
        }
    }
}

async fn a_subscription_is_told_wherever_the_room_stands(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let rooms = rooms_of(&alice, 3).await;
        let body = json!({
            "lists": {"top": form.list((0, 0), &form.view(1, &[]))},
            "room_subscriptions": { &rooms[0]: form.view(5, &[("m.room.name", "")]) },
        });
        let mut window = Window::new(&alice, form, body);
        let reply = window.next().await;
        assert_eq!(told(&reply), sorted(&[&rooms[0], &rooms[2]]));
        assert_eq!(list(&reply["rooms"][&rooms[0]]["timeline"]).len(), 5);
        if form == Form::Stable {
            assert_eq!(reply["rooms"][&rooms[0]]["lists"], json!([]));
        }
        // Another speaks, so that it is not in the list either.
        alice.say(&rooms[0], "here").await;
        alice.say(&rooms[2], "there").await;
        assert_eq!(told(&window.next().await), sorted(&[&rooms[0], &rooms[2]]));
    }
}

async fn a_room_in_several_lists_is_told_what_any_of_them_wants(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let room = alice.create_room(json!({"name": "Den", "topic": "Quiet"})).await;
        let body = json!({"lists": {
            "a": form.list((0, 9), &form.view(1, &[("m.room.name", ""), ("m.room.member", "$LAZY")])),
            "b": form.list((0, 9), &form.view(3, &[("m.room.topic", "")])),
        }});
        let told = Window::new(&alice, form, body).next().await["rooms"][&room].clone();
        assert_eq!(list(&told["timeline"]).len(), 3);
        let state: Vec<&str> =
            list(&told["required_state"]).iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!((state.len(), state.contains(&"m.room.member")), (3, true), "{state:?}");
        if form == Form::Stable {
            assert_eq!(told["lists"], json!(["a", "b"]));
        }
    }
}

async fn a_subscription_to_a_room_one_is_not_in_brings_nothing(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({"preset": "public_chat"})).await;
    for form in FORMS {
        let view = form.view(5, &[("*", "*")]);
        let body = json!({"room_subscriptions": { &room: view, "!nothing:nowhere.example": view }});
        let reply = Window::new(&bob, form, body).next().await;
        assert!(told(&reply).is_empty(), "{reply}");
    }
}

async fn a_window_of_a_million_brings_what_there_is(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let rooms = rooms_of(&alice, 2).await;
    for form in FORMS {
        let body = json!({"lists": {"x": form.list((0, 1_000_000), &form.view(1_000_000, &[]))}});
        let reply = Window::new(&alice, form, body).next().await;
        assert_eq!(told(&reply), sorted(&[&rooms[0], &rooms[1]]));
        let far = json!({"lists": {"x": form.list((999_999, 1_000_000), &form.view(1, &[]))}});
        assert!(told(&Window::new(&alice, form, far).next().await).is_empty());
    }
}
