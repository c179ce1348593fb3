//! Devices: what a user is logged in with.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::enc;
use crate::harness::sync::list;
use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        a_user_sees_the_devices_they_are_logged_in_with,
        a_device_tells_when_and_from_where_it_was_last_used,
        a_device_can_be_renamed,
        a_device_of_another_user_does_not_exist,
        deleting_a_device_takes_the_password,
        several_devices_are_deleted_at_once,
        a_sync_of_a_deleted_device_ends,
        the_password_of_another_user_deletes_nothing,
        a_proof_is_good_for_one_request_only,
        a_proof_belongs_to_the_user_who_began_it,
        a_proof_without_its_parts_is_refused,
        the_old_form_of_naming_the_user_still_proves,
        a_device_deleted_and_made_anew_has_nothing_of_the_old_one,
    ]
}

impl User {
    async fn devices(&self) -> Vec<Value> {
        list(&self.get("/devices").await.ok()["devices"]).to_vec()
    }

    async fn device_ids(&self) -> Vec<String> {
        let devices = self.devices().await;
        devices.iter().map(|device| device["device_id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn device(id: &str) -> String {
    format!("/devices/{}", enc(id))
}

async fn a_user_sees_the_devices_they_are_logged_in_with(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let mut expected = vec![alice.device.clone(), phone.device.clone()];
    expected.sort();
    let mut found = alice.device_ids().await;
    found.sort();
    assert_eq!(found, expected);
    let one = alice.get(&device(&phone.device)).await.ok();
    assert_eq!(one["device_id"], phone.device);
    phone.post("/logout", &json!({})).await.ok();
    assert_eq!(alice.device_ids().await, [alice.device.as_str()]);
    alice.get(&device(&phone.device)).await.fails(404, "M_NOT_FOUND");
}

async fn a_device_tells_when_and_from_where_it_was_last_used(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let seen = alice.get(&device(&alice.device)).await.ok();
    let age = now.abs_diff(u128::from(seen["last_seen_ts"].as_u64().expect("a time")));
    assert!(age < 60_000, "{age} ms ago: {seen}");
    assert!(seen["last_seen_ip"].as_str().is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok()), "{seen}");
}

async fn a_device_can_be_renamed(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let path = device(&alice.device);
    alice.put(&path, &json!({"display_name": "Küchentisch"})).await.ok();
    assert_eq!(alice.get(&path).await.ok()["display_name"], "Küchentisch");
    alice.put(&path, &json!({})).await.ok();
    assert_eq!(alice.get(&path).await.ok()["display_name"], "Küchentisch");
    let long = json!({"display_name": "x".repeat(101)});
    alice.put(&path, &long).await.fails(400, "M_INVALID_PARAM");
    alice.put(&path, &json!({"display_name": 5})).await.fails(400, "M_BAD_JSON");
    assert_eq!(alice.devices().await[0]["display_name"], "Küchentisch");
}

async fn a_device_of_another_user_does_not_exist(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let path = device(&bob.device);
    alice.get(&path).await.fails(404, "M_NOT_FOUND");
    alice.put(&path, &json!({"display_name": "mine"})).await.fails(404, "M_NOT_FOUND");
    alice.put(&device("NONE"), &json!({})).await.fails(404, "M_NOT_FOUND");
    alice.proven("DELETE", &path, &json!({})).await.ok();
    bob.get("/account/whoami").await.ok();
}

async fn deleting_a_device_takes_the_password(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let path = device(&phone.device);
    let challenge = alice.delete(&path).await;
    assert_eq!(challenge.status, 401, "{}", challenge.text);
    phone.get("/account/whoami").await.ok();
    let mut auth = alice.proof();
    auth["session"] = challenge.body["session"].clone();
    auth["password"] = json!("wrong");
    let refused = alice.call("DELETE", &path).json(&json!({"auth": auth})).await;
    assert_eq!((refused.status, refused.errcode()), (401, "M_FORBIDDEN"), "{}", refused.text);
    assert_eq!(refused.body["session"], challenge.body["session"]);
    phone.get("/account/whoami").await.ok();
    auth["password"] = json!(alice.password);
    assert_eq!(alice.call("DELETE", &path).json(&json!({"auth": auth})).await.ok(), json!({}));
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(alice.device_ids().await, [alice.device.as_str()]);
}

async fn several_devices_are_deleted_at_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (phone, tablet) = (hearth.login(&alice).await, hearth.login(&alice).await);
    let body = json!({"devices": [phone.device, tablet.device, "UNKNOWN"]});
    alice.proven("POST", "/delete_devices", &body).await.ok();
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    tablet.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(alice.device_ids().await, [alice.device.as_str()]);
    alice.post("/delete_devices", &json!({"devices": "all"})).await.fails(400, "M_BAD_JSON");
}

async fn a_sync_of_a_deleted_device_ends(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let since = phone.sync().await.next_batch().to_owned();
    let started = Instant::now();
    let waiting = phone
        .get(&format!("/sync?timeout=30000&since={}", enc(&since)))
        .patient(Duration::from_secs(40))
        .send();
    let (waited, ()) = tokio::join!(waiting, async {
        alice.proven("DELETE", &device(&phone.device), &json!({})).await.ok();
    });
    waited.expect("a reply");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    phone.get("/sync?timeout=0").await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn the_password_of_another_user_deletes_nothing(hearth: Hearth) {
    let (alice, mallory) = (hearth.user("alice").await, hearth.user("mallory").await);
    let path = device(&alice.device);
    let challenge = alice.delete(&path).await;
    let mut auth = mallory.proof();
    auth["session"] = challenge.body["session"].clone();
    let refused = alice.call("DELETE", &path).json(&json!({"auth": auth})).await;
    assert_eq!((refused.status, refused.errcode()), (401, "M_FORBIDDEN"), "{}", refused.text);
    alice.get("/account/whoami").await.ok();
}

async fn a_proof_is_good_for_one_request_only(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (phone, tablet) = (hearth.login(&alice).await, hearth.login(&alice).await);
    let challenge = alice.delete(&device(&phone.device)).await;
    let mut auth = alice.proof();
    auth["session"] = challenge.body["session"].clone();
    // Begun for the phone, it deletes no tablet.
    let other = alice.call("DELETE", &device(&tablet.device)).json(&json!({"auth": auth})).await;
    assert_eq!(other.status, 401, "{}", other.text);
    let asked = alice.post("/delete_devices", &json!({"devices": [phone.device]})).await;
    auth["session"] = asked.body["session"].clone();
    let more = json!({"devices": [phone.device, tablet.device], "auth": auth});
    alice.post("/delete_devices", &more).await.fails(403, "M_FORBIDDEN");
    tablet.get("/account/whoami").await.ok();
    phone.get("/account/whoami").await.ok();
    // Once it was used it is used up.
    let body = json!({"devices": [phone.device], "auth": auth});
    alice.post("/delete_devices", &body).await.ok();
    let used = json!({"devices": [phone.device], "auth": {"session": asked.body["session"]}});
    assert_eq!(alice.post("/delete_devices", &used).await.status, 401);
}

async fn a_proof_belongs_to_the_user_who_began_it(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let body = json!({"devices": []});
    let challenge = alice.post("/delete_devices", &body).await;
    let mut auth = bob.proof();
    auth["session"] = challenge.body["session"].clone();
    let refused = bob.post("/delete_devices", &json!({"devices": [], "auth": auth})).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    assert_ne!(refused.body["session"], challenge.body["session"]);
}

async fn a_proof_without_its_parts_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let path = device(&alice.device);
    let identifier = json!({"type": "m.id.user", "user": alice.id});
    for auth in [
        json!({"type": "m.login.password", "identifier": identifier}),
        json!({"type": "m.login.password", "password": alice.password}),
        json!({"type": "m.login.password", "identifier": {"type": "m.id.phone"}, "password": alice.password}),
        json!({"type": "m.login.password", "identifier": 5, "password": alice.password}),
        json!({"type": "m.login.dummy"}),
    ] {
        let refused = alice.call("DELETE", &path).json(&json!({"auth": auth})).unchecked().await;
        assert_eq!(refused.status, 401, "{auth}: {}", refused.text);
    }
    alice.get("/account/whoami").await.ok();
}

async fn the_old_form_of_naming_the_user_still_proves(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let auth = json!({"type": "m.login.password", "user": alice.localpart(), "password": alice.password});
    alice.call("DELETE", &device(&phone.device)).json(&json!({"auth": auth})).unchecked().await.ok();
    phone.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn a_device_deleted_and_made_anew_has_nothing_of_the_old_one(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let phone = hearth.login(&alice).await;
    let path = device(&phone.device);
    alice.put(&path, &json!({"display_name": "Old"})).await.ok();
    alice.proven("DELETE", &path, &json!({})).await.ok();
    let mut login = alice.proof();
    login["device_id"] = json!(phone.device);
    hearth.post("/login", &login).await.ok();
    let anew = alice.get(&path).await.ok();
    assert_eq!((&anew["display_name"], &anew["last_seen_ts"]), (&Value::Null, &Value::Null), "{anew}");
}
