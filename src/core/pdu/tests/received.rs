use proptest::test_runner::Config as ProptestConfig;
use serde_json::json;

use super::*;

fn keys() -> signatures::PublicKeyMap {
    let key = ruma::serde::Base64::parse(spec_key().public_key()).unwrap();
    [("domain".to_owned(), [("ed25519:1".to_owned(), key)].into())].into()
}

fn change(event: &Pdu, change: impl FnOnce(&mut Value)) -> String {
    let mut json: Value = serde_json::from_str(event.json()).unwrap();
    change(&mut json);
    json.to_string()
}

fn format_of(version: &'static RoomVersion, event: &str) -> Result<Unverified, FormatError> {
    check_format(event, version, Counts::Bounded)
}

#[test]
fn an_event_of_another_server_is_received_whole_in_every_version() {
    for version in room_version::all() {
        let sent = message(version).build(version, &spec_key()).unwrap();
        let wire = change(&sent, |json| json["unsigned"] = json!({ "age": 5 }));
        let unverified = format_of(version, &wire).unwrap();
        assert_eq!(unverified.event_id(), sent.event_id());
        assert_eq!(unverified.signers().unwrap(), [owned_server_name!("domain")].into());
        let (received, integrity) =
            unverified.verify_signatures(&keys()).unwrap().check_content_hash().unwrap();
        assert_eq!(integrity, Integrity::Whole);
        assert_eq!(format!("{received:?}"), format!("{sent:?}"));
    }
}

#[test]
fn changed_content_is_redacted_and_keeps_its_id() {
    for version in room_version::all() {
        let sent = message(version).build(version, &spec_key()).unwrap();
        let forged = change(&sent, |json| json["content"]["body"] = json!("forged"));
        let signed = format_of(version, &forged).unwrap().verify_signatures(&keys()).unwrap();
        let (received, integrity) = signed.check_content_hash().unwrap();
        assert_eq!(integrity, Integrity::Redacted);
        assert_eq!(received.event_id(), sent.event_id());
        assert_eq!(received.json(), sent.redacted(version).unwrap().json());
        assert_eq!(received.content().get(), "{}");
    }
}

#[test]
fn a_missing_unknown_or_wrong_signature_is_told_apart() {
    let version = version("11");
    let sent = message(version).build(version, &spec_key()).unwrap();
    let server = owned_server_name!("domain");

    let unsigned = change(&sent, |json| json["signatures"] = json!({}));
    let error = format_of(version, &unsigned).unwrap().verify_signatures(&keys()).unwrap_err();
    assert_eq!(error, SignatureError::Missing(server.clone()));

    let error = format_of(version, sent.json())
        .unwrap()
        .verify_signatures(&signatures::PublicKeyMap::new())
        .unwrap_err();
    assert_eq!(error, SignatureError::Missing(server.clone()));

    let moved = change(&sent, |json| json["depth"] = json!(8));
    let error = format_of(version, &moved).unwrap().verify_signatures(&keys()).unwrap_err();
    assert!(matches!(error, SignatureError::Wrong(of, _) if of == server));
}

#[test]
fn whoever_lets_a_user_in_must_sign_too() {
    let join = |version: &'static RoomVersion| {
        let content = r#"{"membership":"join","join_authorised_via_users_server":"@admin:other"}"#;
        let builder = PduBuilder {
            event_type: TimelineEventType::RoomMember,
            state_key: Some("@u:domain".to_owned()),
            content: Content::from_client(content, version).unwrap(),
            ..message(version)
        };
        let event = builder.build(version, &spec_key()).unwrap();
        format_of(version, event.json()).unwrap().signers().unwrap()
    };
    let both = [owned_server_name!("domain"), owned_server_name!("other")];
    assert_eq!(join(version("7")), [owned_server_name!("domain")].into());
    assert_eq!(join(version("8")), both.clone().into());
    assert_eq!(join(version("12")), both.into());
}

#[test]
fn an_invite_by_mail_needs_no_signature_of_its_senders_server() {
    let version = version("11");
    let content = r#"{"membership":"invite","third_party_invite":{"signed":{"x":1}}}"#;
    let builder = PduBuilder {
        event_type: TimelineEventType::RoomMember,
        state_key: Some("@v:domain".to_owned()),
        content: Content::from_client(content, version).unwrap(),
        ..message(version)
    };
    let event = builder.build(version, &spec_key()).unwrap();
    assert_eq!(format_of(version, event.json()).unwrap().signers().unwrap(), [].into());
}

#[test]
fn fractions_are_kept_in_old_rooms_and_refused_in_newer_ones() {
    for version in room_version::all() {
        let content = Content::from_client(r#"{"geo":1.50,"n":1e3}"#, version);
        assert_eq!(content.is_ok(), !version.strict_numbers(), "version {}", version.id);
        let Ok(content) = content else { continue };
        assert_eq!(content.as_str(), r#"{"geo":1.5,"n":1000.0}"#);
        let sent = PduBuilder { content, ..message(version) }.build(version, &spec_key()).unwrap();
        let signed = format_of(version, sent.json()).unwrap().verify_signatures(&keys()).unwrap();
        let (received, integrity) = signed.check_content_hash().unwrap();
        assert_eq!((received.json(), integrity), (sent.json(), Integrity::Whole));
    }
}

#[test]
fn power_levels_written_as_fractions_survive_redaction_as_they_were_signed() {
    let version = version("5");
    let builder = PduBuilder {
        event_type: TimelineEventType::RoomPowerLevels,
        state_key: Some(String::new()),
        content: Content::from_client(r#"{"ban":50.0,"users":{"@u:domain":1e2},"x":1}"#, version).unwrap(),
        ..message(version)
    };
    let event = builder.build(version, &spec_key()).unwrap();
    let redacted = event.redacted(version).unwrap();
    assert_eq!(redacted.content().get(), r#"{"ban":50.0,"users":{"@u:domain":100.0}}"#);
    assert_eq!(format_of(version, redacted.json()).unwrap().event_id(), event.event_id());
}

#[test]
fn every_field_is_wanted_in_its_type() {
    let newest = version("12");
    let sent = message(newest).build(newest, &spec_key()).unwrap();
    for field in [
        "type",
        "sender",
        "room_id",
        "depth",
        "origin_server_ts",
        "prev_events",
        "auth_events",
        "content",
        "hashes",
        "signatures",
    ] {
        let missing = change(&sent, |json| drop(json.as_object_mut().unwrap().remove(field)));
        assert_eq!(format_of(newest, &missing).unwrap_err(), FormatError::Missing(field));
        for wrong in [json!(true), json!(null), json!("x\u{0}"), json!([1]), json!(-1)] {
            let changed = change(&sent, |json| json[field] = wrong.clone());
            let error = format_of(newest, &changed).unwrap_err();
            assert!(
                matches!(error, FormatError::Wrong(name, _) if name == field),
                "{field} = {wrong}: {error}"
            );
        }
    }
    let chosen = version("1");
    let sent = message(chosen).build(chosen, &spec_key()).unwrap();
    let unnamed = change(&sent, |json| drop(json.as_object_mut().unwrap().remove("event_id")));
    assert_eq!(format_of(chosen, &unnamed).unwrap_err(), FormatError::Missing("event_id"));
}

#[test]
fn sizes_and_counts_are_bounded_but_for_history() {
    let version = version("12");
    let sent = message(version).build(version, &spec_key()).unwrap();
    let long = change(&sent, |json| json["state_key"] = json!("k".repeat(256)));
    assert_eq!(format_of(version, &long).unwrap_err(), FormatError::TooLong("state_key"));
    let large = change(&sent, |json| json["content"]["body"] = json!("x".repeat(MAX_BYTES)));
    assert!(matches!(format_of(version, &large).unwrap_err(), FormatError::TooLarge(_)));
    let many = change(&sent, |json| json["prev_events"] = json!(vec!["$x"; 21]));
    assert_eq!(format_of(version, &many).unwrap_err(), FormatError::TooLong("prev_events"));
    assert!(check_format(&many, version, Counts::Unbounded).is_ok());
    assert!(matches!(format_of(version, "[]").unwrap_err(), FormatError::Json(_)));
}

proptest::proptest! {
    // Each case signs, which is slow without optimisation.
    #![proptest_config(ProptestConfig { cases: 64, ..crate::spec_vectors::quiet() })]

    #[test]
    fn no_text_makes_the_checks_panic(key in "[a-z_]{0,12}", value in ".{0,40}", version in 0_usize..12) {
        let version = &room_version::all()[version];
        let sent = message(version).build(version, &spec_key()).unwrap();
        let changed = sent.json().replacen(&key, &value, 1);
        if let Ok(unverified) = format_of(version, &changed)
            && let Ok(signed) = unverified.verify_signatures(&keys())
        {
            let _ = signed.check_content_hash();
        }
    }
}
