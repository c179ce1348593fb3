//! Sliding sync (MSC4186), both forms: what is told beside rooms.

use serde_json::{Value, json};

use crate::harness::sliding::{FORMS, Window};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        account_data_comes_whole_at_first_and_then_as_it_changes,
        an_extension_that_is_enabled_later_brings_everything,
        receipts_at_first_are_those_of_the_timeline_and_ones_own,
        who_types_is_told_and_who_ceased_to,
        extensions_can_be_for_some_lists_or_rooms,
        what_is_not_enabled_or_not_known_brings_nothing,
        what_changed_outside_of_the_window_comes_with_the_room,
        ignored_users_are_not_told_of,
    ]
}

fn enabled(window: &mut Window, name: &str) {
    window.body["extensions"][name] = json!({"enabled": true});
}

fn types(pieces: &Value) -> Vec<&str> {
    list(pieces).iter().map(|piece| piece["type"].as_str().unwrap()).collect()
}

async fn put_data(user: &User, room: Option<&str>, kind: &str, content: &Value) {
    let room = room.map(|room| format!("/rooms/{}", enc(room))).unwrap_or_default();
    user.put(&format!("/user/{}{room}/account_data/{kind}", enc(&user.id)), content).await.ok();
}

async fn account_data_comes_whole_at_first_and_then_as_it_changes(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let room = alice.create_room(json!({})).await;
        put_data(&alice, None, "a.b", &json!({"x": 1})).await;
        put_data(&alice, Some(&room), "c.d", &json!({"y": 1})).await;
        let mut window = Window::on_all(&alice, form, 1, &[]);
        enabled(&mut window, "account_data");
        let told = window.next().await["extensions"]["account_data"].clone();
        let global = types(&told["global"]);
        assert!(global.contains(&"a.b") && global.contains(&"m.push_rules"), "{told}");
        assert_eq!(types(&told["rooms"][&room]), ["c.d"]);
        assert!(window.next().await["extensions"].get("account_data").is_none());
        put_data(&alice, Some(&room), "c.d", &json!({"y": 2})).await;
        let told = window.until(|reply| reply["extensions"].get("account_data").is_some()).await;
        assert_eq!(
            told["extensions"]["account_data"],
            json!({"rooms": { &room: [{"type": "c.d", "content": {"y": 2}}] }})
        );
        assert!(told["rooms"].get(&room).is_none(), "nothing else happened in it");
        put_data(&alice, None, "a.b", &json!({"x": 2})).await;
        let told = window.until(|reply| reply["extensions"].get("account_data").is_some()).await;
        assert_eq!(
            told["extensions"]["account_data"],
            json!({"global": [{"type": "a.b", "content": {"x": 2}}]})
        );
    }
}

async fn an_extension_that_is_enabled_later_brings_everything(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let room = alice.create_room(json!({})).await;
        put_data(&alice, None, "a.b", &json!({"x": 1})).await;
        put_data(&alice, Some(&room), "c.d", &json!({"y": 1})).await;
        let event = alice.say(&room, "hello").await;
        alice.read(&room, "m.read", &event).await;
        let mut window = Window::on_all(&alice, form, 1, &[]);
        window.next().await;
        enabled(&mut window, "account_data");
        enabled(&mut window, "receipts");
        let reply = window.next().await;
        let told = &reply["extensions"];
        assert!(types(&told["account_data"]["global"]).contains(&"a.b"), "{told}");
        assert_eq!(types(&told["account_data"]["rooms"][&room]), ["c.d"]);
        assert!(told["receipts"]["rooms"][&room]["content"][&event]["m.read"][&alice.id].is_object());
        assert!(reply["rooms"].get(&room).is_none(), "the room itself is known");
    }
}

async fn receipts_at_first_are_those_of_the_timeline_and_ones_own(hearth: Hearth) {
    for form in FORMS {
        let (alice, bob, carol) =
            (hearth.user("alice").await, hearth.user("bob").await, hearth.user("carol").await);
        let room = alice.room_with(&[&bob, &carol]).await;
        let old = alice.say(&room, "old").await;
        let new = alice.say(&room, "new").await;
        bob.read(&room, "m.read", &old).await;
        carol.read(&room, "m.read", &new).await;
        alice.read(&room, "m.read.private", &old).await;
        let mut window = Window::on_all(&alice, form, 1, &[]);
        enabled(&mut window, "receipts");
        let told = window.next().await["extensions"]["receipts"]["rooms"][&room].clone();
        assert_eq!(told["type"], "m.receipt");
        assert!(told["content"][&new]["m.read"][&carol.id].is_object(), "{told}");
        assert!(told["content"][&old]["m.read.private"][&alice.id].is_object(), "{told}");
        assert!(
            told["content"][&old]["m.read"].is_null(),
            "whoever stopped reading earlier is not told: {told}"
        );
        bob.read(&room, "m.read", &new).await;
        let reply = window.until(|reply| reply["extensions"].get("receipts").is_some()).await;
        let told = &reply["extensions"]["receipts"]["rooms"][&room]["content"];
        assert!(
            told[&new]["m.read"][&bob.id].is_object() && told[&new]["m.read"][&carol.id].is_null(),
            "{told}"
        );
    }
}

async fn who_types_is_told_and_who_ceased_to(hearth: Hearth) {
    for form in FORMS {
        let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
        let room = alice.room_with(&[&bob]).await;
        let mut window = Window::on_all(&alice, form, 1, &[]);
        enabled(&mut window, "typing");
        assert!(window.next().await["extensions"].get("typing").is_none(), "nobody need not be told");
        let typing = format!("/rooms/{}/typing/{}", enc(&room), enc(&bob.id));
        let typists =
            |reply: &Value| reply["extensions"]["typing"]["rooms"][&room]["content"]["user_ids"].clone();
        bob.put(&typing, &json!({"typing": true, "timeout": 20_000})).await.ok();
        window.until(|reply| typists(reply) == json!([bob.id])).await;
        bob.put(&typing, &json!({"typing": false})).await.ok();
        window.until(|reply| typists(reply) == json!([])).await;
    }
}

async fn extensions_can_be_for_some_lists_or_rooms(hearth: Hearth) {
    for form in FORMS {
        let alice = hearth.user("alice").await;
        let (old, new) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
        for room in [&old, &new] {
            put_data(&alice, Some(room), "c.d", &json!({"y": 1})).await;
        }
        let view = form.view(1, &[]);
        let body = json!({
            "lists": {"top": form.list((0, 0), &view), "none": form.list((5, 6), &view)},
            "room_subscriptions": { &old: view },
        });
        let covers = |lists: Value, rooms: Value| {
            let mut body = body.clone();
            body["extensions"] = json!({"account_data": {"enabled": true, "lists": lists, "rooms": rooms}});
            Window::new(&alice, form, body)
        };
        let told = |reply: Value| {
            let rooms = reply["extensions"]["account_data"]["rooms"].as_object().cloned().unwrap_or_default();
            (rooms.contains_key(&old), rooms.contains_key(&new))
        };
        assert_eq!(told(covers(json!(["top"]), json!([])).next().await), (false, true));
        assert_eq!(told(covers(json!(["none"]), json!([&old])).next().await), (true, false));
        assert_eq!(told(covers(json!(["*"]), json!(["*"])).next().await), (true, true));
        assert_eq!(told(covers(Value::Null, Value::Null).next().await), (true, true));
        assert_eq!(told(covers(json!([]), json!([])).next().await), (false, false));
    }
}

async fn what_is_not_enabled_or_not_known_brings_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        window.body["extensions"] = json!({
            "account_data": {"enabled": false}, "receipts": {}, "to_device": {"enabled": true},
            "e2ee": {"enabled": true}, "org.example.unheard": {"enabled": true},
        });
        let reply = window.next().await;
        let told = reply["extensions"].as_object().cloned().unwrap_or_default();
        assert!(told.is_empty(), "{reply}");
    }
}

async fn what_changed_outside_of_the_window_comes_with_the_room(hearth: Hearth) {
    for form in FORMS {
        let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
        let (first, second) = (alice.room_with(&[&bob]).await, alice.room_with(&[&bob]).await);
        let event = alice.say(&first, "first").await;
        let mut window =
            Window::new(&alice, form, json!({"lists": {"top": form.list((0, 0), &form.view(1, &[]))}}));
        enabled(&mut window, "account_data");
        enabled(&mut window, "receipts");
        window.next().await;
        alice.say(&second, "second").await;
        window.next().await;
        bob.read(&first, "m.read", &event).await;
        put_data(&alice, Some(&first), "c.d", &json!({"missed": true})).await;
        let between = window.next().await;
        assert!(between["extensions"]["receipts"]["rooms"].get(&first).is_none(), "{between}");
        alice.say(&first, "back").await;
        let told = window.next().await["extensions"].clone();
        assert!(
            told["receipts"]["rooms"][&first]["content"][&event]["m.read"][&bob.id].is_object(),
            "{told}"
        );
        assert_eq!(types(&told["account_data"]["rooms"][&first]), ["c.d"]);
    }
}

async fn ignored_users_are_not_told_of(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let event = alice.say(&room, "hello").await;
    alice.ignore(&[&bob]).await;
    bob.read(&room, "m.read", &event).await;
    bob.say(&room, "unheard").await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        enabled(&mut window, "receipts");
        let reply = window.next().await;
        assert_eq!(reply["rooms"][&room]["timeline"][0]["event_id"], json!(event));
        let told = &reply["extensions"]["receipts"]["rooms"][&room]["content"][&event]["m.read"];
        assert!(told.get(&bob.id).is_none(), "{told}");
    }
}
