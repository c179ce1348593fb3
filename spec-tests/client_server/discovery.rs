//! What a client asks first: versions, where the server is, what it can do.

use serde_json::{Value, json};

use crate::harness::server::Settings;
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        the_versions_are_told_to_anyone_up_to_the_newest,
        the_well_known_document_leads_to_the_server,
        a_support_document_names_someone_or_is_absent,
        the_capabilities_name_the_room_versions_that_rooms_are_made_of,
        the_capabilities_say_what_of_a_profile_can_be_changed,
        without_a_relay_the_turn_reply_is_empty,
        the_default_push_rules_are_all_there_in_order,
        the_default_push_rules_come_with_the_first_sync,
        the_first_sliding_sync_is_gone,
        the_features_that_are_advertised_are_these,
    ];
    tests.extend(tests![own_server: a_support_document_names_those_who_are_configured]);
    tests
}

async fn the_versions_are_told_to_anyone_up_to_the_newest(hearth: Hearth) {
    let body = hearth.get("/_matrix/client/versions").await.ok();
    assert_eq!(hearth.user("alice").await.get("/_matrix/client/versions").await.ok(), body);
    let versions = list(&body["versions"]);
    for number in 1..=19 {
        assert!(versions.contains(&json!(format!("v1.{number}"))), "v1.{number} is not among {versions:?}");
    }
    let features = body["unstable_features"].as_object().into_iter().flatten();
    features.for_each(|(name, on)| assert!(on.is_boolean(), "{name} is {on}"));
}

async fn the_well_known_document_leads_to_the_server(hearth: Hearth) {
    for path in ["/.well-known/matrix/client", "/.well-known/matrix/client/"] {
        let reply = hearth.get(path).await;
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        let base = reply.ok()["m.homeserver"]["base_url"].as_str().unwrap().trim_end_matches('/').to_owned();
        let versions = hearth.other(&base).get("/_matrix/client/versions").await.ok();
        assert!(versions["versions"].is_array());
    }
}

async fn a_support_document_names_someone_or_is_absent(hearth: Hearth) {
    let reply = hearth.get("/.well-known/matrix/support").await;
    if reply.status == 404 {
        assert!(matches!(reply.errcode(), "M_NOT_FOUND" | "M_UNRECOGNIZED"), "{}", reply.text);
        return;
    }
    let body = reply.ok();
    assert!(!list(&body["contacts"]).is_empty() || body["support_page"].is_string(), "{body}");
}

async fn the_capabilities_name_the_room_versions_that_rooms_are_made_of(hearth: Hearth) {
    hearth.get("/capabilities").await.fails(401, "M_MISSING_TOKEN");
    let alice = hearth.user("alice").await;
    let body = alice.get("/capabilities").await.ok();
    let versions = &body["capabilities"]["m.room_versions"];
    assert_eq!(versions["default"], "12");
    for number in 1..=12 {
        let version = number.to_string();
        assert_eq!(versions["available"][&version], "stable", "{versions}");
        let room = alice.create_room(json!({"room_version": version})).await;
        let create = alice.state(&room, "m.room.create", "").await.ok();
        let stored = create.get("room_version").cloned().unwrap_or(json!("1"));
        assert_eq!(stored, version.as_str());
    }
    let room = alice.create_room(json!({})).await;
    assert_eq!(alice.state(&room, "m.room.create", "").await.ok()["room_version"], versions["default"]);
}

async fn without_a_relay_the_turn_reply_is_empty(hearth: Hearth) {
    hearth.get("/voip/turnServer").await.fails(401, "M_MISSING_TOKEN");
    let reply = hearth.user("alice").await.get("/voip/turnServer").unchecked().await;
    assert_eq!(reply.ok(), json!({}));
}

/// The ids of the rules of a kind.
fn rules(global: &Value, kind: &str) -> Vec<String> {
    let rules = list(&global[kind]).iter();
    rules.map(|rule| rule["rule_id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn must_be_the_defaults(global: &Value) {
    let wanted = [
        ("content", vec![]),
        (
            "override",
            vec![
                ".m.rule.master",
                ".m.rule.suppress_notices",
                ".m.rule.invite_for_me",
                ".m.rule.member_event",
                ".m.rule.is_user_mention",
                ".m.rule.is_room_mention",
                ".m.rule.tombstone",
                ".m.rule.reaction",
                ".m.rule.room.server_acl",
                ".m.rule.suppress_edits",
            ],
        ),
        ("room", vec![]),
        ("sender", vec![]),
        (
            "underride",
            vec![
                ".m.rule.call",
                ".m.rule.encrypted_room_one_to_one",
                ".m.rule.room_one_to_one",
                ".m.rule.message",
                ".m.rule.encrypted",
            ],
        ),
    ];
    for (kind, wanted) in wanted {
        assert_eq!(rules(global, kind), wanted, "{kind}");
    }
}

async fn the_default_push_rules_are_all_there_in_order(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let body = alice.get("/pushrules/").await.ok();
    must_be_the_defaults(&body["global"]);
    assert_eq!(alice.get("/pushrules/global/").await.ok(), body["global"]);
    assert_eq!(alice.get("/pushrules").await.ok(), body);
    assert_eq!(alice.get("/pushrules/global").await.ok(), body["global"]);
    let invite = body["global"]["override"][2]["conditions"].to_string();
    assert!(invite.contains(&alice.id), "the rule for invites is about the user: {invite}");
}

async fn the_default_push_rules_come_with_the_first_sync(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let first = alice.sync().await;
    must_be_the_defaults(&first.account_data("m.push_rules")["global"]);
    let next = alice.sync_since(first.next_batch()).await;
    assert_eq!(next.account_data("m.push_rules"), &Value::Null);
}

async fn the_capabilities_say_what_of_a_profile_can_be_changed(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let body = alice.get("/capabilities").await.ok();
    let capabilities = &body["capabilities"];
    assert_eq!(capabilities["m.profile_fields"], json!({"enabled": true}));
    for old in ["m.set_displayname", "m.set_avatar_url"] {
        assert_eq!(capabilities[old], capabilities["m.profile_fields"], "{old}");
    }
    // Who leaves a room reads on in it until they forget it.
    assert_eq!(capabilities["m.forget_forced_upon_leave"], json!({"enabled": false}));
}

/// Clients that find it absent use what came after it.
async fn the_first_sliding_sync_is_gone(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let path = "/_matrix/client/unstable/org.matrix.msc3575/sync";
    alice.post(path, &json!({})).await.fails(404, "M_UNRECOGNIZED");
}

async fn a_support_document_names_those_who_are_configured(hearth: Hearth) {
    let settings = Settings::new()
        .set("HEARTH_SUPPORT__EMAIL", "help@hearth.test")
        .set("HEARTH_SUPPORT__MATRIX_ID", "@help:hearth.test")
        .set("HEARTH_SUPPORT__PAGE", "https://hearth.test/help");
    let (server, hearth) = hearth.start(settings).await;
    let body = hearth.get("/.well-known/matrix/support").await.ok();
    assert_eq!(
        body["support_page"].as_str().map(|page| page.trim_end_matches('/')),
        Some("https://hearth.test/help")
    );
    let contacts = list(&body["contacts"]);
    assert!(contacts.iter().all(|contact| contact["role"].is_string()), "{body}");
    let has = |key: &str, value: &str| contacts.iter().any(|contact| contact[key] == value);
    assert!(has("email_address", "help@hearth.test") && has("matrix_id", "@help:hearth.test"), "{body}");
    server.stop().await;
}

/// Clients believe it: a feature stands here once a test shows that it works.
async fn the_features_that_are_advertised_are_these(hearth: Hearth) {
    let body = hearth.get("/_matrix/client/versions").await.ok();
    let works = [
        "org.matrix.msc3026.busy_presence",
        "org.matrix.msc3391",
        "org.matrix.msc4069",
        "org.matrix.simplified_msc3575",
        "uk.tcpip.msc4133",
        "uk.tcpip.msc4133.stable",
    ];
    let works: serde_json::Map<String, Value> =
        works.into_iter().map(|feature| (feature.to_owned(), json!(true))).collect();
    assert_eq!(body["unstable_features"], Value::Object(works));
}
