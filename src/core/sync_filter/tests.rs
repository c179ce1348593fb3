use ruma::{owned_room_id, owned_user_id, room_id, user_id};

use super::*;

fn filter(json: &str) -> EventFilter {
    EventFilter::parse(json).unwrap()
}

fn message() -> Candidate<'static> {
    Candidate {
        event_type: "m.room.message",
        sender: Some(user_id!("@u:domain")),
        room_id: Some(room_id!("!r:domain")),
        content: None,
    }
}

#[test]
fn an_absent_list_wants_all_and_an_empty_one_nothing() {
    assert!(filter("{}").matches(message()));
    for list in ["types", "senders", "rooms"] {
        let empty = filter(&format!(r#"{{"{list}":[]}}"#));
        assert!(!empty.matches(message()), "{list}");
        assert!(empty.wants_nothing());
    }
    for list in ["not_types", "not_senders", "not_rooms"] {
        assert!(filter(&format!(r#"{{"{list}":[]}}"#)).matches(message()), "{list}");
    }
    assert!(filter(r#"{"limit":0}"#).wants_nothing());
    assert!(!filter(r#"{"not_types":["*"]}"#).wants_nothing());
}

#[test]
fn what_is_not_wanted_beats_what_is() {
    for (wanted, unwanted, value) in [
        ("types", "not_types", "m.room.*"),
        ("senders", "not_senders", "@u:domain"),
        ("rooms", "not_rooms", "!r:domain"),
    ] {
        assert!(filter(&format!(r#"{{"{wanted}":["{value}"]}}"#)).matches(message()), "{wanted}");
        assert!(!filter(&format!(r#"{{"{unwanted}":["{value}"]}}"#)).matches(message()), "{unwanted}");
        let both = format!(r#"{{"{wanted}":["{value}"],"{unwanted}":["{value}"]}}"#);
        assert!(!filter(&both).matches(message()), "{both}");
    }
    assert!(!filter(r#"{"types":["m.room.name"]}"#).matches(message()));
    assert!(!filter(r#"{"senders":["@v:domain"]}"#).matches(message()));
}

#[test]
fn what_has_no_sender_or_room_is_judged_by_the_rest() {
    let typing = Candidate { event_type: "m.typing", sender: None, room_id: None, content: None };
    assert!(filter(r#"{"senders":["@v:domain"],"rooms":["!x:domain"]}"#).matches(typing));
    assert!(!filter(r#"{"types":["m.receipt"]}"#).matches(typing));
}

#[test]
fn a_url_in_the_content_is_asked_for_or_forbidden() {
    let with = |json: &str, content: &str| {
        let content = RawValue::from_string(content.to_owned()).unwrap();
        filter(json).matches(Candidate { content: Some(&content), ..message() })
    };
    let (yes, no) = (r#"{"contains_url":true}"#, r#"{"contains_url":false}"#);
    assert_eq!((with(yes, r#"{"url":"mxc://x/y"}"#), with(no, r#"{"url":"mxc://x/y"}"#)), (true, false));
    for without in ["{}", r#"{"url":5}"#, r#"{"a":{"url":"x"}}"#, "[]"] {
        assert_eq!((with(yes, without), with(no, without)), (false, true), "{without}");
    }
}

#[test]
fn relations_are_asked_for_by_type_and_sender_together() {
    let relations = [("m.thread", user_id!("@u:domain")), ("m.annotation", user_id!("@v:domain"))];
    let matches = |json: &str| filter(json).relations_match(relations);
    assert!(matches("{}"));
    assert!(matches(r#"{"related_by_rel_types":["m.thread"]}"#));
    assert!(matches(r#"{"related_by_senders":["@v:domain"]}"#));
    assert!(!matches(r#"{"related_by_rel_types":["m.thread"],"related_by_senders":["@v:domain"]}"#));
    assert!(!matches(r#"{"related_by_rel_types":[]}"#));
}

#[test]
fn a_whole_filter_is_read() {
    let json = r#"{
        "event_fields": ["type", "content.body"],
        "event_format": "federation",
        "presence": {"not_types": ["*"]},
        "unknown": {"ignored": [1]},
        "room": {
            "include_leave": true,
            "not_rooms": ["!r:domain"],
            "state": {"lazy_load_members": true, "include_redundant_members": true},
            "timeline": {"limit": 20, "unread_thread_notifications": true, "senders": ["@u:domain"]}
        }
    }"#;
    let expected = FilterDefinition {
        event_fields: Some(vec![FieldPath::parse("type"), FieldPath::parse("content.body")]),
        event_format: EventFormat::Federation,
        presence: EventFilter { not_types: vec!["*".to_owned()], ..Default::default() },
        room: RoomFilter {
            include_leave: true,
            not_rooms: vec![owned_room_id!("!r:domain")],
            state: EventFilter {
                lazy_load_members: true,
                include_redundant_members: true,
                ..Default::default()
            },
            timeline: EventFilter {
                limit: Some(20),
                unread_thread_notifications: true,
                senders: Some(vec![owned_user_id!("@u:domain")]),
                ..Default::default()
            },
            ..Default::default()
        },
        ..Default::default()
    };
    let read = FilterDefinition::parse(json).unwrap();
    assert!(!read.room.wants_room(room_id!("!r:domain")));
    assert!(read.room.wants_room(room_id!("!s:domain")));
    assert_eq!(read, expected);
}

#[test]
fn what_is_no_filter_is_refused() {
    for json in [
        r#"{"room":[]}"#,
        r#"{"room":{"timeline":{"limit":-1}}}"#,
        r#"{"room":{"timeline":{"types":"m.x"}}}"#,
        r#"{"room":{"timeline":{"senders":["nobody"]}}}"#,
        r#"{"room":{"rooms":["nowhere"]}}"#,
        r#"{"event_format":"other"}"#,
        r#"{"event_fields":[1]}"#,
        r#"{"room":{"include_leave":"yes"}}"#,
    ] {
        assert!(matches!(FilterDefinition::parse(json), Err(FilterError::Shape(_))), "{json}");
    }
    assert!(matches!(FilterDefinition::parse("[]"), Err(FilterError::Json(_))));
    assert!(matches!(FilterDefinition::parse("{"), Err(FilterError::Json(error)) if error.is_syntax()));
    let long = format!(r#"{{"presence":{{"types":[{}"x"]}}}}"#, r#""x","#.repeat(MAX_ENTRIES));
    assert_eq!(FilterDefinition::parse(long), Err(FilterError::TooLong));
}

#[test]
fn paths_are_split_at_dots_that_are_not_escaped() {
    for (path, keys) in [
        (r"content.m\.relates_to", vec!["content", "m.relates_to"]),
        (r"content.m\\foo", vec!["content", r"m\foo"]),
        (r"content.\x", vec!["content", r"\x"]),
        (r"a\", vec![r"a\"]),
        ("", vec![""]),
    ] {
        assert_eq!(FieldPath::parse(path).keys(), keys, "{path}");
    }
}

#[test]
fn only_the_named_parts_of_an_event_are_kept() {
    let event = r#"{"content":{"body":"hi","m.relates_to":{"a":1,"b":2},"msgtype":"m.text"},"sender":"@u:d","type":"x"}"#;
    let select = |paths: &[&str]| {
        let event_fields = Some(paths.iter().map(|path| FieldPath::parse(path)).collect());
        FilterDefinition { event_fields, ..Default::default() }.select(event).unwrap()
    };
    assert_eq!(select(&["type", "content.body"]), r#"{"content":{"body":"hi"},"type":"x"}"#);
    assert_eq!(select(&[r"content.m\.relates_to.b"]), r#"{"content":{"m.relates_to":{"b":2}}}"#);
    assert_eq!(select(&["content.none", "type.deeper"]), "{}");
    assert_eq!(select(&[]), "{}");
    assert_eq!(
        select(&["content", "content.body"]),
        r#"{"content":{"body":"hi","m.relates_to":{"a":1,"b":2},"msgtype":"m.text"}}"#
    );
    assert_eq!(FilterDefinition::default().select(event), None);
}
