use ruma::user_id;
use serde_json::json;

use super::*;

fn read_as(form: Form, body: &serde_json::Value) -> Result<Request, RequestError> {
    parse(&body.to_string(), form, user_id!("@me:d"))
}

#[test]
fn both_forms_of_one_request_ask_for_the_same() {
    let stable = json!({
        "conn_id": "main",
        "lists": {"all": {
            "timeline_limit": 5, "range": [0, 19],
            "required_state": {
                "include": [{"type": "m.room.name", "state_key": ""}, {"type": "m.room.member", "state_key": "$ME"}],
                "lazy_members": true,
            },
            "filters": {"is_invited": false},
        }},
        "extensions": {"typing": {"enabled": true}, "receipts": {"lists": ["all"]}, "to_device": {"enabled": true}},
    });
    let unstable = json!({
        "conn_id": "main",
        "lists": {"all": {
            "timeline_limit": 5, "ranges": [[0, 19]], "slow_get_all_rooms": true,
            "required_state":
                [["m.room.name", ""], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]],
            "filters": {"is_invite": false},
        }},
        "extensions": {"typing": {"enabled": true}},
    });
    let stable = read_as(Form::Stable, &stable).unwrap();
    assert_eq!(stable, read_as(Form::Unstable, &unstable).unwrap());
    assert_eq!(stable.extensions.receipts, None, "it was not enabled");
    let wanted = &stable.lists["all"].view.wanted;
    assert!(wanted.matches("m.room.member", "@me:d") && !wanted.matches("m.room.member", "@you:d"));
    assert!(wanted.lazy_members());
}

#[test]
fn all_state_and_lazy_members_is_all_but_members() {
    let body = json!({"room_subscriptions": {"!r:d": {
        "required_state": [["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]],
    }}});
    let read = read_as(Form::Unstable, &body).unwrap();
    let wanted = &read.subscriptions.values().next().unwrap().wanted;
    assert!(wanted.matches("m.room.topic", "") && wanted.matches("m.room.member", "@me:d"));
    assert!(!wanted.matches("m.room.member", "@you:d") && wanted.lazy_members());
}

#[test]
fn in_the_stable_form_what_is_left_out_matches_everything() {
    let state = json!({"include": [{}], "exclude": [{"type": "m.room.member"}], "lazy_members": true});
    let body = json!({"room_subscriptions": {"!r:d": {"timeline_limit": 1000, "required_state": state}}});
    let read = read_as(Form::Stable, &body).unwrap();
    let view = read.subscriptions.values().next().unwrap();
    assert_eq!(view.timeline_limit, MAX_TIMELINE);
    assert!(view.wanted.matches("a.b", "c") && !view.wanted.matches("m.room.member", "@me:d"));
    assert!(view.wanted.lazy_members());
}

#[test]
fn what_asks_for_too_much_is_refused() {
    let many = |count: usize| -> serde_json::Map<String, serde_json::Value> {
        (0..count).map(|n| (format!("l{n}"), json!({"timeline_limit": 1, "ranges": [[0, 1]]}))).collect()
    };
    assert!(read_as(Form::Unstable, &json!({"lists": many(100)})).is_ok());
    let refused = [
        json!({"lists": many(101)}),
        json!({"lists": {"x": {"timeline_limit": 1, "ranges": [[5, 4]]}}}),
        json!({"lists": {"x": {"timeline_limit": 1, "ranges": vec![[0, 1]; 101]}}}),
        json!({"lists": {"x": {"timeline_limit": -1}}}),
        json!({"lists": {"x": {"required_state": vec![["t", ""]; 257]}}}),
        json!({"conn_id": "x".repeat(256)}),
        json!({"room_subscriptions": {"no room": {}}}),
        json!([]),
    ];
    for body in refused {
        assert!(read_as(Form::Unstable, &body).is_err(), "{body}");
    }
}
