use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{CanonicalJsonObject, RoomVersionId, owned_server_name, signatures};
use serde_json::{Value, json};

use super::*;
use crate::{
    canonical_json,
    room_version::{self, RoomVersion},
    spec_vectors::vectors,
};

mod received;

use super::testing::{message, spec_key};

pub(super) fn version(name: &str) -> &'static RoomVersion {
    room_version::rules(&RoomVersionId::try_from(name).unwrap()).unwrap()
}

pub(super) fn canonical(json: &Value) -> String {
    canonical_json::canonicalise(json.to_string(), canonical_json::Allow::NOTHING).unwrap()
}

fn object(json: &Value) -> CanonicalJsonObject {
    canonical_json::parse_object(json.to_string()).unwrap()
}

#[test]
fn objects_are_signed_as_in_the_specification() {
    let key = spec_key();
    let signing = vectors("signing");
    for case in signing["json"].as_array().unwrap() {
        let mut signed = object(&case["in"]);
        key.sign_json(&mut signed).unwrap();
        assert_eq!(signed, object(&case["out"]));
    }
    assert_eq!(Some(key.public_key().as_str()), signing["public_key_base64_derived"].as_str());
    assert_eq!(key.key_id().as_str(), "ed25519:1");
}

#[test]
fn events_are_hashed_and_signed_as_in_the_specification() {
    let key = spec_key();
    for case in vectors("signing")["events_room_version_1"].as_array().unwrap() {
        let hash = STANDARD_NO_PAD.encode(hash::content_hash(&canonical(&case["in"])).unwrap());
        assert_eq!(Some(hash.as_str()), case["out"]["hashes"]["sha256"].as_str());
        let signed_text = hash::signed_text(&canonical(&case["out"]), version("1")).unwrap();
        let signature = key.sign_text(&signed_text);
        assert_eq!(Some(signature.as_str()), case["out"]["signatures"]["domain"]["ed25519:1"].as_str());
    }
}

#[test]
fn hashes_ids_signatures_and_redaction_agree_in_every_version() {
    let key = spec_key();
    let algorithms = vectors("redaction")["by_version"].clone();
    for case in vectors("events_derived").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let json = canonical(&case["event"]);
        let hash = STANDARD_NO_PAD.encode(hash::content_hash(&json).unwrap());
        assert_eq!(Some(hash.as_str()), case["content_hash"].as_str(), "{name}");
        for version in room_version::all() {
            let algorithm = algorithms[version.id.as_str()].as_str().unwrap();
            let text = hash::signed_text(&json, version).unwrap();
            assert_eq!(
                Some(key.sign_text(&text).as_str()),
                case["signature_by_domain"][algorithm].as_str(),
                "{name} in version {}",
                version.id,
            );
            if let Some(id) = case["event_id"][version.id.as_str()].as_str() {
                assert_eq!(format!("${}", hash::reference_hash(&text, version)), id);
            }
            let redacted = redact::event(&Slices::parse(&json).unwrap(), &version.rules.redaction).unwrap();
            assert_eq!(redacted, canonical(&case["redacted"][algorithm]), "{name}");
        }
    }
}

#[test]
fn a_room_of_version_12_is_named_by_its_create_event() {
    let vector = vectors("room_v12_derived");
    let version = version("12");
    let builder = PduBuilder {
        room_id: None,
        event_type: TimelineEventType::RoomCreate,
        state_key: Some(String::new()),
        content: Content::from_object(&object(&vector["create_event"]["content"])).unwrap(),
        prev_events: vec![],
        auth_events: vec![],
        depth: Depth::FIRST,
        ..message(version)
    };
    let create = builder.build(version, &spec_key()).unwrap();
    assert_eq!(Some(create.event_id().as_str()), vector["event_id"].as_str());
    assert_eq!(Some(create.room_id().as_str()), vector["room_id"].as_str());
    assert_eq!(state_res::Event::room_id(&create), None);
    assert!(!create.json().contains("room_id"));
}

#[test]
fn what_is_built_reads_back_as_the_same_event() {
    for version in room_version::all() {
        let built = message(version).build(version, &spec_key()).unwrap();
        let read = Pdu::from_stored(built.json().clone(), built.event_id().clone(), version).unwrap();
        assert_eq!(format!("{built:?}"), format!("{read:?}"), "version {}", version.id);
        assert_eq!(
            canonical_json::to_string(&canonical_json::parse_object(built.json().as_bytes()).unwrap())
                .unwrap(),
            **built.json()
        );
    }
}

#[test]
fn what_is_built_holds_before_the_librarys_own_checks() {
    let key = spec_key();
    let keys = [(
        "domain".to_owned(),
        [("ed25519:1".to_owned(), ruma::serde::Base64::parse(key.public_key()).unwrap())].into(),
    )];
    for version in room_version::all() {
        let built = message(version).build(version, &key).unwrap();
        let parsed = canonical_json::parse_object(built.json().as_bytes()).unwrap();
        let verified = signatures::verify_event(&keys.clone().into(), &parsed, &version.rules).unwrap();
        assert!(matches!(verified, signatures::Verified::All), "version {}", version.id);
        if !version.event_ids_are_chosen() {
            let hash = signatures::reference_hash(&parsed, &version.rules).unwrap();
            assert_eq!(*built.event_id(), format!("${hash}"));
        }
        state_res::check_pdu_format(&parsed, &version.rules.event_format).unwrap();
    }
}

#[test]
fn references_carry_hashes_in_the_oldest_rooms_only() {
    for version in room_version::all() {
        let first = message(version).build(version, &spec_key()).unwrap();
        let reference = Reference::to(&first, version).unwrap();
        let chosen = version.event_ids_are_chosen();
        let second = PduBuilder {
            prev_events: vec![reference],
            event_id: chosen.then(|| ruma::event_id!("$second:domain").to_owned()),
            ..message(version)
        };
        let second = second.build(version, &spec_key()).unwrap();
        let json: Value = serde_json::from_str(second.json()).unwrap();
        let expected = if chosen {
            let parsed = canonical_json::parse_object(first.json().as_bytes()).unwrap();
            let hash = signatures::reference_hash(&parsed, &version.rules).unwrap();
            json!([[first.event_id(), { "sha256": hash }]])
        } else {
            json!([first.event_id()])
        };
        assert_eq!(json["prev_events"], expected);
        assert_eq!(second.prev_events(), [first.event_id().clone()]);
    }
}

#[test]
fn a_redaction_names_its_target_where_the_version_wants_it() {
    for version in room_version::all() {
        let target = ruma::event_id!("$target:domain");
        let builder = PduBuilder {
            event_type: TimelineEventType::RoomRedaction,
            content: Content::from_client(r#"{"reason":"spam"}"#, version).unwrap(),
            redacts: Some(target.to_owned()),
            ..message(version)
        };
        let redaction = builder.build(version, &spec_key()).unwrap();
        assert_eq!(redaction.redacts(), Some(target));
        let json: Value = serde_json::from_str(redaction.json()).unwrap();
        let (inside, beside) = (&json["content"]["redacts"], &json["redacts"]);
        let expected = if version.redacts_in_content() { (inside, beside) } else { (beside, inside) };
        assert_eq!(expected, (&json!(target), &Value::Null), "version {}", version.id);
    }
}

#[test]
fn a_redaction_that_names_its_target_badly_redacts_nothing() {
    for version in room_version::all() {
        for target in ["5", "null", r#""no event id""#, r#"{"a":1}"#] {
            let json = json!({
                "type": "m.room.redaction",
                "sender": "@u:domain",
                "content": { "redacts": serde_json::from_str::<Value>(target).unwrap() },
                "redacts": serde_json::from_str::<Value>(target).unwrap(),
            });
            assert_eq!(super::testing::unchecked(version, "$x", json).redacts(), None, "{target}");
        }
    }
}

#[test]
fn a_redaction_sent_as_an_ordinary_event_names_what_its_content_names() {
    let version = version("11");
    let builder = PduBuilder {
        event_type: TimelineEventType::RoomRedaction,
        content: Content::from_client(r#"{"redacts":"$target:domain"}"#, version).unwrap(),
        ..message(version)
    };
    let redaction = builder.build(version, &spec_key()).unwrap();
    assert_eq!(redaction.redacts(), Some(ruma::event_id!("$target:domain")));
}

#[test]
fn an_event_of_65536_bytes_is_built_and_one_more_byte_is_not() {
    let version = version("12");
    let sized = |bytes: usize| {
        let body = "x".repeat(bytes);
        let content = Content::from_client(format!(r#"{{"body":"{body}"}}"#), version).unwrap();
        PduBuilder { content, ..message(version) }.build(version, &spec_key())
    };
    let rest = sized(0).unwrap().json().len();
    assert_eq!(sized(MAX_BYTES - rest).unwrap().json().len(), MAX_BYTES);
    assert_eq!(sized(MAX_BYTES - rest + 1).unwrap_err(), BuildError::TooLarge(MAX_BYTES + 1));
}

#[test]
fn fields_of_255_bytes_are_built_and_longer_ones_are_not() {
    let version = version("12");
    let keyed =
        |key: String| PduBuilder { state_key: Some(key), ..message(version) }.build(version, &spec_key());
    assert!(keyed("k".repeat(255)).is_ok());
    assert_eq!(keyed("k".repeat(256)).unwrap_err(), BuildError::FieldTooLong("state_key"));
    assert_eq!(keyed("\0".to_owned()).unwrap_err(), BuildError::Nul("state_key"));
    let typed = PduBuilder { event_type: "é".repeat(128).into(), ..message(version) };
    assert_eq!(typed.build(version, &spec_key()).unwrap_err(), BuildError::FieldTooLong("type"));
}

#[test]
fn too_many_references_are_not_built() {
    let version = version("12");
    let id = Reference::by_id(ruma::event_id!("$x").to_owned());
    let builder = PduBuilder { prev_events: vec![id.clone(); 21], ..message(version) };
    assert_eq!(
        builder.build(version, &spec_key()).unwrap_err(),
        BuildError::TooManyReferences("prev_events")
    );
    let builder = PduBuilder { auth_events: vec![id; 11], ..message(version) };
    assert_eq!(
        builder.build(version, &spec_key()).unwrap_err(),
        BuildError::TooManyReferences("auth_events")
    );
}

#[test]
fn event_ids_are_given_exactly_where_the_version_wants_them() {
    let without = PduBuilder { event_id: None, ..message(version("2")) };
    assert_eq!(without.build(version("2"), &spec_key()).unwrap_err(), BuildError::EventId);
    let with = PduBuilder { event_id: Some(ruma::event_id!("$x").to_owned()), ..message(version("3")) };
    assert_eq!(with.build(version("3"), &spec_key()).unwrap_err(), BuildError::EventId);
}

#[test]
fn the_bounds_are_the_specifications() {
    let limits = vectors("limits");
    for (name, bound) in [
        ("event_bytes", MAX_BYTES),
        ("sender_bytes", MAX_FIELD_BYTES),
        ("room_id_bytes", MAX_FIELD_BYTES),
        ("state_key_bytes", MAX_FIELD_BYTES),
        ("type_bytes", MAX_FIELD_BYTES),
        ("event_id_bytes", MAX_FIELD_BYTES),
        ("prev_events_max", MAX_PREV_EVENTS),
        ("auth_events_max", MAX_AUTH_EVENTS),
    ] {
        assert_eq!(limits[name], json!(bound), "{name}");
    }
}

#[test]
fn depth_repeats_itself_at_the_versions_limit() {
    let strict = Depth::new(room_version::MAX_SAFE_INTEGER).unwrap();
    assert_eq!(strict.next(version("6")), strict);
    assert_eq!(Depth::new(i64::MAX).unwrap().next(version("5")).get(), i64::MAX);
    assert_eq!(Depth::FIRST.next(version("12")).get(), 2);
    assert_eq!(Depth::new(-1), None);
}

#[test]
fn a_signing_key_has_a_version_that_others_can_ask_for_and_hides_its_secret() {
    let key = |name: &str| SigningKey::from_seed(owned_server_name!("domain"), name, &[7; 32]);
    assert!(key("a_Z9").is_ok());
    assert_eq!(key("a:b").unwrap_err(), BadKeyVersion("a:b".to_owned()));
    assert!(key("").is_err());
    let debug = format!("{:?}", key("1").unwrap());
    assert!(debug.contains("ed25519:1") && !debug.contains("[7"), "{debug}");
}
