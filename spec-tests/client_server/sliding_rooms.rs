//! Sliding sync (MSC4186), both forms: what is told of a room.

use serde_json::{Value, json};

use crate::harness::rooms::{bodies, find, ids, text};
use crate::harness::sliding::{FORMS, Form, Window};
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_room_comes_whole_at_first_and_then_only_with_what_is_new,
        a_room_without_a_name_has_heroes,
        bump_stamps_move_with_messages_and_not_with_reactions,
        a_longer_timeline_comes_at_once,
        more_required_state_comes_at_once_and_changes_of_it_later,
        required_state_may_be_all_of_a_type_or_all_there_is,
        lazy_members_are_those_the_timeline_speaks_of_each_once,
        a_gap_is_limited_and_its_start_can_be_paged_from,
        an_invitation_comes_with_what_one_may_know,
        a_declined_invitation_is_told_and_then_no_more,
        who_leaves_or_is_removed_is_told,
        who_comes_back_is_told_the_room_anew,
        unread_counts_come_in_the_form_that_has_them,
        a_redaction_is_told_as_what_is_left,
        the_transaction_id_is_told_to_the_sending_device_only,
    ]
}

fn timeline(room: &Value) -> &[Value] {
    list(&room["timeline"])
}

async fn a_room_comes_whole_at_first_and_then_only_with_what_is_new(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "Den", "topic": "Quiet"})).await;
    alice.say(&room, "one").await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[("m.room.topic", "")]);
        let reply = window.next().await;
        let told = &reply["rooms"][&room];
        assert_eq!(reply["lists"]["all"]["count"], 1);
        assert_eq!(
            (&told["initial"], &told["name"], &told["avatar"]),
            (&json!(true), &json!("Den"), &Value::Null)
        );
        assert_eq!((&told["joined_count"], &told["invited_count"]), (&json!(1), &json!(0)));
        assert_eq!(
            (&told["limited"], &told["num_live"], &told["is_dm"]),
            (&json!(true), &json!(0), &json!(false))
        );
        assert_eq!(told["heroes"], Value::Null, "it has a name");
        assert_eq!(list(&told["required_state"]).len(), 1);
        assert!(find(list(&told["required_state"]), "m.room.topic", "").is_some());
        match form {
            Form::Stable => {
                assert_eq!((&told["membership"], &told["lists"]), (&json!("join"), &json!(["all"])));
                assert_eq!(reply["lists"]["all"]["ops"], Value::Null);
            }
            Form::Unstable => {
                assert_eq!((&told["membership"], &told["lists"]), (&Value::Null, &Value::Null));
                let ops = json!([{"op": "SYNC", "range": [0, 99], "room_ids": [room]}]);
                assert_eq!(reply["lists"]["all"]["ops"], ops);
            }
        }
        let event = alice.say(&room, "two").await;
        let reply = window.next().await;
        let told = &reply["rooms"][&room];
        assert_eq!(
            (&told["initial"], &told["limited"], &told["num_live"]),
            (&json!(false), &json!(false), &json!(1))
        );
        assert_eq!(ids(timeline(told)), [event]);
        assert!(told.get("name").is_none() && told.get("joined_count").is_none(), "they are as they were");
        alice.set(&room, "m.room.name", "", &json!({"name": ""})).await.ok();
        let told = window.next().await["rooms"][&room].clone();
        assert_eq!(told.get("name"), Some(&Value::Null), "it has no name any more");
        assert!(window.next().await["rooms"].get(&room).is_none());
        alice.set(&room, "m.room.name", "", &json!({"name": "Den"})).await.ok();
        alice.say(&room, "one").await;
    }
}

async fn a_room_without_a_name_has_heroes(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    bob.put(&format!("/profile/{}/displayname", enc(&bob.id)), &json!({"displayname": "Bob"})).await.ok();
    let room = alice.room_with(&[&bob]).await;
    for form in FORMS {
        let told = Window::on_all(&alice, form, 1, &[]).next().await["rooms"][&room].clone();
        assert_eq!((&told["name"], &told["joined_count"]), (&Value::Null, &json!(2)));
        assert_eq!(told["heroes"], json!([{"user_id": bob.id, "displayname": "Bob"}]));
    }
}

async fn bump_stamps_move_with_messages_and_not_with_reactions(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let event = alice.say(&room, "one").await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        let stamp = window.next().await["rooms"][&room]["bump_stamp"].as_u64().unwrap();
        let relation = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": format!("{form:?}")}});
        alice.send(&room, "m.reaction", &relation).await.ok();
        let told = window.next().await["rooms"][&room].clone();
        assert_eq!((timeline(&told).len(), &told["bump_stamp"]), (1, &json!(stamp)));
        alice.say(&room, "two").await;
        assert!(window.next().await["rooms"][&room]["bump_stamp"].as_u64().unwrap() > stamp);
        let again = Window::on_all(&alice, form, 1, &[]).next().await;
        assert!(again["rooms"][&room]["bump_stamp"].as_u64().unwrap() > stamp);
    }
}

async fn a_longer_timeline_comes_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    alice.chatter(&room, "word", 5).await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 1, &[]);
        assert_eq!(timeline(&window.next().await["rooms"][&room]).len(), 1);
        let state = form.view(4, &[]);
        window.body["room_subscriptions"] = json!({ &room: state });
        let told = window.next().await["rooms"][&room].clone();
        assert_eq!((&told["initial"], &told[form.expanded()]), (&json!(false), &json!(true)));
        assert_eq!(
            (timeline(&told).len(), &told["limited"], &told["num_live"]),
            (4, &json!(true), &json!(0))
        );
        assert!(window.next().await["rooms"].get(&room).is_none(), "once");
        window.body.as_object_mut().unwrap().remove("room_subscriptions");
        assert!(window.next().await["rooms"].get(&room).is_none(), "what is shorter brings nothing");
    }
}

async fn more_required_state_comes_at_once_and_changes_of_it_later(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({"name": "Den"})).await;
    for form in FORMS {
        alice.set(&room, "m.room.topic", "", &json!({"topic": "old"})).await.ok();
        let mut window = Window::on_all(&alice, form, 0, &[("m.room.name", "")]);
        let told = window.next().await["rooms"][&room].clone();
        assert!(find(list(&told["required_state"]), "m.room.name", "").is_some());
        let more = form.view(0, &[("m.room.name", ""), ("m.room.topic", ""), ("a.b", "none")]);
        window.body["lists"]["all"] = form.list((0, 99), &more);
        let told = window.next().await["rooms"][&room].clone();
        let state = list(&told["required_state"]);
        assert_eq!((state.len(), &state[0]["content"]["topic"]), (1, &json!("old")), "what is new: {told}");
        assert_eq!(told["initial"], false);
        alice.set(&room, "m.room.topic", "", &json!({"topic": "new"})).await.ok();
        alice.set(&room, "m.room.avatar", "", &json!({"url": "mxc://x/y"})).await.ok();
        let told = window.next().await["rooms"][&room].clone();
        let state = list(&told["required_state"]);
        assert_eq!((state.len(), &state[0]["content"]["topic"]), (1, &json!("new")), "{told}");
        assert_eq!(told["avatar"], "mxc://x/y");
        alice.set(&room, "m.room.avatar", "", &json!({})).await.ok();
    }
}

async fn required_state_may_be_all_of_a_type_or_all_there_is(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    alice.set(&room, "a.b", "one", &json!({})).await.ok();
    alice.set(&room, "a.b", "two", &json!({})).await.ok();
    let all = alice.full_state(&room).await.len();
    for form in FORMS {
        let of_type = Window::on_all(&bob, form, 0, &[("a.b", "*")]).next().await;
        assert_eq!(list(&of_type["rooms"][&room]["required_state"]).len(), 2);
        let whole = Window::on_all(&bob, form, 0, &[("*", "*")]).next().await;
        assert_eq!(list(&whole["rooms"][&room]["required_state"]).len(), all);
        let me = Window::on_all(&bob, form, 0, &[("m.room.member", "$ME")]).next().await;
        let state = list(&me["rooms"][&room]["required_state"]);
        assert!(state.len() == 1 && find(state, "m.room.member", &bob.id).is_some());
    }
    let lazy =
        Window::on_all(&bob, Form::Unstable, 0, &[("*", "*"), ("m.room.member", "$LAZY")]).next().await;
    let state = list(&lazy["rooms"][&room]["required_state"]);
    assert_eq!(state.len(), all - 2, "all but the members, of whom nobody spoke");
    let body = json!({"lists": {"all": {"timeline_limit": 0, "range": [0, 9], "required_state": {
        "include": [{}], "exclude": [{"type": "a.b", "state_key": "one"}],
    }}}});
    let but_one = Window::new(&bob, Form::Stable, body).next().await;
    assert_eq!(list(&but_one["rooms"][&room]["required_state"]).len(), all - 1);
}

async fn lazy_members_are_those_the_timeline_speaks_of_each_once(hearth: Hearth) {
    let (alice, bob, carol) =
        (hearth.user("alice").await, hearth.user("bob").await, hearth.user("carol").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    for form in FORMS {
        alice.say(&room, "hello").await;
        let mut window = Window::on_all(&alice, form, 1, &[("m.room.member", "$LAZY")]);
        let members = |reply: &Value| -> Vec<String> {
            let state = list(&reply["rooms"][&room]["required_state"]);
            state.iter().map(|event| event["state_key"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(members(&window.next().await), [&*alice.id]);
        bob.say(&room, "hi").await;
        assert_eq!(members(&window.next().await), [&*bob.id]);
        bob.say(&room, "again").await;
        alice.say(&room, "and I").await;
        assert_eq!(members(&window.next().await), Vec::<String>::new(), "they are known");
        carol
            .put(
                &format!("/profile/{}/displayname", enc(&carol.id)),
                &json!({"displayname": format!("{form:?}")}),
            )
            .await
            .ok();
        let reply = window.until(|reply| !members(reply).is_empty()).await;
        assert_eq!(members(&reply), [&*carol.id], "a change that is in the timeline");
    }
}

async fn a_gap_is_limited_and_its_start_can_be_paged_from(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 3, &[]);
        window.next().await;
        let before = window.pos.clone().unwrap();
        alice.chatter(&room, "word", 8).await;
        let told = window.next().await["rooms"][&room].clone();
        assert_eq!(
            (timeline(&told).len(), &told["limited"], &told["num_live"]),
            (3, &json!(true), &json!(3))
        );
        let from = told["prev_batch"].as_str().unwrap();
        let page = alice.messages(&room, &format!("dir=b&limit=5&from={from}&to={before}")).await.ok();
        assert_eq!(bodies(list(&page["chunk"])), ["word 4", "word 3", "word 2", "word 1", "word 0"]);
        let pos = window.pos.clone().unwrap();
        let back = alice.messages(&room, &format!("dir=b&limit=1&from={pos}")).await.ok();
        assert_eq!(bodies(list(&back["chunk"])), ["word 7"], "a position is a token of messages too");
    }
}

async fn an_invitation_comes_with_what_one_may_know(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for form in FORMS {
        let mut window = Window::on_all(&bob, form, 1, &[]);
        window.next().await;
        let room = alice.create_room(json!({"name": "Come in", "invite": [bob.id]})).await;
        let told = window.until(|reply| reply["rooms"].get(&room).is_some()).await["rooms"][&room].clone();
        let state = list(&told[form.stripped()]);
        assert_eq!(find(state, "m.room.name", "").unwrap()["content"]["name"], "Come in");
        assert_eq!(find(state, "m.room.member", &bob.id).unwrap()["content"]["membership"], "invite");
        assert!(told.get("timeline").is_none() && told["bump_stamp"].as_u64().is_some(), "{told}");
        if form == Form::Stable {
            assert_eq!(told["membership"], "invite");
        }
        bob.join(&room).await.ok();
        let told = window.until(|reply| reply["rooms"].get(&room).is_some()).await["rooms"][&room].clone();
        assert_eq!((&told["initial"], &told["name"]), (&json!(true), &json!("Come in")));
    }
}

async fn a_declined_invitation_is_told_and_then_no_more(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for form in FORMS {
        let mut window = Window::on_all(&bob, form, 1, &[]);
        let room = alice.create_room(json!({"invite": [bob.id]})).await;
        assert!(window.next().await["rooms"].get(&room).is_some());
        bob.leave(&room).await.ok();
        let told = window.until(|reply| reply["rooms"].get(&room).is_some()).await["rooms"][&room].clone();
        let events = match form {
            Form::Stable => &told["stripped_state"],
            Form::Unstable => &told["timeline"],
        };
        assert_eq!(find(list(events), "m.room.member", &bob.id).unwrap()["content"]["membership"], "leave");
        alice.say(&room, "a pity").await;
        assert!(window.next().await["rooms"].get(&room).is_none());
        let anew = Window::on_all(&bob, form, 1, &[]).next().await;
        assert!(anew["rooms"].get(&room).is_none(), "who begins anew is not told of what they left");
    }
}

async fn who_leaves_or_is_removed_is_told(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for form in FORMS {
        let (left, kicked, banned) = (
            alice.room_with(&[&bob]).await,
            alice.room_with(&[&bob]).await,
            alice.create_room(json!({})).await,
        );
        let mut window = Window::on_all(&bob, form, 5, &[]);
        window.next().await;
        bob.leave(&left).await.ok();
        alice.kick(&kicked, &bob).await.ok();
        alice.ban(&banned, &bob).await.ok();
        alice.say(&kicked, "he is gone").await;
        let mut told = json!({});
        while told.get(&left).is_none() || told.get(&kicked).is_none() {
            let reply = window.wait(5_000).await;
            for (room, result) in reply["rooms"].as_object().cloned().unwrap_or_default() {
                told[room] = result;
            }
        }
        for room in [&left, &kicked] {
            let last = timeline(&told[room]).last().unwrap();
            assert_eq!(
                (&last["state_key"], &last["content"]["membership"]),
                (&json!(bob.id), &json!("leave"))
            );
        }
        assert!(told.get(&banned).is_none(), "he was never in it");
        let anew = Window::on_all(&bob, form, 5, &[]).next().await["rooms"].clone();
        assert!(anew.get(&left).is_none() && anew.get(&banned).is_none());
        let last = timeline(&anew[&kicked]).last().unwrap();
        assert_eq!(last["content"]["membership"], "leave", "who was put out sees by whom: {anew}");
        bob.forget(&kicked).await.ok();
        let forgotten = Window::on_all(&bob, form, 5, &[]).next().await;
        assert!(forgotten["rooms"].get(&kicked).is_none());
    }
}

async fn who_comes_back_is_told_the_room_anew(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for form in FORMS {
        let room = alice.room_with(&[&bob]).await;
        let mut window = Window::on_all(&bob, form, 20, &[("m.room.topic", "")]);
        window.next().await;
        bob.leave(&room).await.ok();
        alice.set(&room, "m.room.topic", "", &json!({"topic": "meanwhile"})).await.ok();
        alice.invite(&room, &bob).await.ok();
        bob.join(&room).await.ok();
        let is_in = |reply: &Value| reply["rooms"][&room]["initial"] == true;
        let told = window.until(is_in).await["rooms"][&room].clone();
        assert_eq!(list(&told["required_state"])[0]["content"]["topic"], "meanwhile");
    }
}

async fn unread_counts_come_in_the_form_that_has_them(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.room_with(&[&bob]).await;
    let mut stable = Window::on_all(&bob, Form::Stable, 1, &[]);
    let mut window = Window::on_all(&bob, Form::Unstable, 1, &[]);
    assert!(stable.next().await["rooms"][&room].get("notification_count").is_none());
    window.next().await;
    let event = alice.say(&room, "one").await;
    let mention = json!({"msgtype": "m.text", "body": "you", "m.mentions": {"user_ids": [bob.id]}});
    alice.send(&room, "m.room.message", &mention).await.ok();
    let counts = |room: &Value| (room["notification_count"].as_u64(), room["highlight_count"].as_u64());
    let reply = window.until(|reply| counts(&reply["rooms"][&room]).0 == Some(2)).await;
    assert_eq!(counts(&reply["rooms"][&room]), (Some(2), Some(1)));
    bob.read(&room, "m.read", &event).await;
    let reply = window.until(|reply| reply["rooms"].get(&room).is_some()).await;
    assert_eq!(counts(&reply["rooms"][&room]), (Some(1), Some(1)), "he read on another device");
}

async fn a_redaction_is_told_as_what_is_left(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for form in FORMS {
        let mut window = Window::on_all(&alice, form, 2, &[]);
        window.next().await;
        let event = alice.send(&room, "m.room.message", &text("hasty")).await.ok()["event_id"].clone();
        alice.redact(&room, event.as_str().unwrap()).await.ok();
        let told = window.next().await["rooms"][&room].clone();
        let first = &timeline(&told)[0];
        assert_eq!((&first["event_id"], &first["content"]), (&event, &json!({})));
        assert_eq!(first["unsigned"]["redacted_because"]["type"], "m.room.redaction");
    }
}

async fn the_transaction_id_is_told_to_the_sending_device_only(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let other = hearth.login(&alice).await;
    let room = alice.create_room(json!({})).await;
    alice.say(&room, "mine").await;
    for form in FORMS {
        let told = |reply: Value| timeline(&reply["rooms"][&room])[0]["unsigned"]["transaction_id"].clone();
        assert!(told(Window::on_all(&alice, form, 1, &[]).next().await).is_string());
        assert!(told(Window::on_all(&other, form, 1, &[]).next().await).is_null());
    }
}
