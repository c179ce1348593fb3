//! What holds for every endpoint: methods, headers, bodies, tokens, errors.

use serde_json::json;

use crate::harness::server::Settings;
use crate::harness::{Hearth, Reply, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        an_unknown_path_answers_404_unrecognized,
        every_reply_lets_browsers_read_it,
        options_answers_on_every_path_without_a_token,
        a_request_without_a_token_answers_missing_token,
        a_request_with_a_wrong_token_answers_unknown_token,
        the_token_may_stand_in_the_query,
        a_reply_is_json_and_says_so,
        a_request_needs_no_content_type,
        a_body_that_is_no_json_answers_not_json,
        a_body_of_another_shape_answers_bad_json,
        a_body_that_is_no_object_answers_bad_json,
        the_paths_of_old_clients_still_work,
        a_path_is_decoded_once_and_after_it_was_split,
    ];
    tests.extend(tests![own_server:
        too_many_requests_answer_limit_exceeded_and_when_to_come_back,
        no_token_gets_into_the_log,
        a_server_may_refuse_tokens_in_the_query,
    ]);
    tests
}

/// The headers by which browsers let a page of another origin read the reply.
#[track_caller]
fn must_have_cors(reply: &Reply) {
    assert_eq!(reply.header("access-control-allow-origin"), "*", "{}", reply.about);
    for (name, wanted) in [
        ("methods", &["get", "post", "put", "delete", "options"][..]),
        (
            "headers",
            &["x-requested-with", "content-type", "authorization", "if-match", "if-none-match", "date"],
        ),
    ] {
        let allowed = reply.header(&format!("access-control-allow-{name}")).to_ascii_lowercase();
        let allowed: Vec<&str> = allowed.split(", ").collect();
        assert!(wanted.iter().all(|one| allowed.contains(one)), "{}: {allowed:?}", reply.about);
    }
    assert!(reply.header("access-control-expose-headers").contains("ETag"), "{}", reply.about);
}

async fn an_unknown_path_answers_404_unrecognized(hearth: Hearth) {
    let user = hearth.user("alice").await;
    for path in [
        "/_matrix/client/v3/nothing/here",
        "/_matrix/client/v99/sync",
        "/_matrix/client/",
        "/_matrix/federation/v1/nothing",
        "/_matrix/key/v2/nothing",
        "/_matrix/media/v3/nothing",
        "/_matrix/policy/v1/nothing",
        "/_matrix/nothing",
    ] {
        user.get(path).await.fails(404, "M_UNRECOGNIZED");
        user.post(path, &json!({})).await.fails(404, "M_UNRECOGNIZED");
    }
}

async fn every_reply_lets_browsers_read_it(hearth: Hearth) {
    let user = hearth.user("alice").await;
    for reply in [
        hearth.get("/_matrix/client/versions").await,
        hearth.get("/account/whoami").await,
        hearth.get("/_matrix/client/v3/nothing").await,
        hearth.call("DELETE", "/account/whoami").await,
        user.get("/account/whoami").await,
        user.call("PUT", "/user/@someone:else/account_data/x").bytes("{").await,
    ] {
        must_have_cors(&reply);
    }
}

async fn options_answers_on_every_path_without_a_token(hearth: Hearth) {
    for path in [
        "/_matrix/client/versions",
        "/_matrix/client/v3/sync",
        "/_matrix/client/v3/createRoom",
        "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1",
        "/_matrix/client/v3/nothing/here",
    ] {
        let call = hearth.call("OPTIONS", path).header("origin", "https://app.example");
        let call = call.header("access-control-request-method", "PUT");
        let reply = call.header("access-control-request-headers", "authorization,content-type").await;
        assert!(matches!(reply.status, 200 | 204), "{}: {}", reply.about, reply.status);
        must_have_cors(&reply);
    }
}

async fn a_request_without_a_token_answers_missing_token(hearth: Hearth) {
    hearth.get("/account/whoami").await.fails(401, "M_MISSING_TOKEN");
    hearth.get("/sync").await.fails(401, "M_MISSING_TOKEN");
    hearth.post("/createRoom", &json!({})).await.fails(401, "M_MISSING_TOKEN");
    hearth.post("/logout", &json!({})).await.fails(401, "M_MISSING_TOKEN");
}

async fn a_request_with_a_wrong_token_answers_unknown_token(hearth: Hearth) {
    for path in ["/account/whoami", "/sync", "/capabilities"] {
        hearth.get(path).token("no-such-token").await.fails(401, "M_UNKNOWN_TOKEN");
    }
}

async fn the_token_may_stand_in_the_query(hearth: Hearth) {
    let user = hearth.user("alice").await;
    let path = format!("/account/whoami?access_token={}", user.token);
    assert_eq!(hearth.get(&path).await.ok()["user_id"], user.id);
    hearth.get("/account/whoami?access_token=wrong").await.fails(401, "M_UNKNOWN_TOKEN");
}

async fn a_reply_is_json_and_says_so(hearth: Hearth) {
    for path in ["/_matrix/client/versions", "/account/whoami", "/_matrix/client/v3/nothing"] {
        let reply = hearth.get(path).await;
        assert!(reply.header("content-type").starts_with("application/json"), "{path}");
        assert!(reply.body.is_object(), "{path}: {}", reply.text);
    }
}

async fn a_request_needs_no_content_type(hearth: Hearth) {
    let user = hearth.user("alice").await;
    let path = format!("/user/{}/account_data/org.example.plain", user.id);
    user.call("PUT", &path).bytes(r#"{"a":1}"#).await.ok();
    user.call("PUT", &path).bytes(r#"{"a":2}"#).header("content-type", "text/plain").await.ok();
    assert_eq!(user.get(&path).await.ok(), json!({"a": 2}));
}

async fn a_body_that_is_no_json_answers_not_json(hearth: Hearth) {
    let user = hearth.user("alice").await;
    for body in [&b"{"[..], b"nonsense", b"{\"a\":}", b"{\"a\": NaN}", b"{'a': 1}", b"{}{}", b"\xff\xfe"] {
        hearth.call("POST", "/login").bytes(body).await.fails(400, "M_NOT_JSON");
        let path = format!("/user/{}/account_data/org.example.bad", user.id);
        user.call("PUT", &path).bytes(body).await.fails(400, "M_NOT_JSON");
        user.call("POST", "/createRoom").bytes(body).await.fails(400, "M_NOT_JSON");
    }
}

async fn a_body_of_another_shape_answers_bad_json(hearth: Hearth) {
    let user = hearth.user("alice").await;
    for body in [
        json!({"name": 1}),
        json!({"invite": "not a list"}),
        json!({"invite": ["not a user"]}),
        json!({"preset": 7}),
        json!({"creation_content": []}),
        json!({"initial_state": [{"content": {}}]}),
    ] {
        user.post("/createRoom", &body).unchecked().await.fails_with_one_of(&[
            (400, "M_BAD_JSON"),
            (400, "M_INVALID_PARAM"),
            (400, "M_MISSING_PARAM"),
        ]);
    }
}

async fn a_body_that_is_no_object_answers_bad_json(hearth: Hearth) {
    let user = hearth.user("alice").await;
    for body in ["[]", "1", "null", "\"text\"", "true"] {
        let path = format!("/user/{}/account_data/org.example.bad", user.id);
        user.call("PUT", &path).bytes(body).await.fails(400, "M_BAD_JSON");
        user.call("POST", "/createRoom").bytes(body).await.fails(400, "M_BAD_JSON");
    }
}

async fn the_paths_of_old_clients_still_work(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let old = |path: &str| format!("/_matrix/client/r0{path}");
    assert_eq!(alice.get(&old("/account/whoami")).await.ok()["user_id"], alice.id);
    let room = alice.post(&old("/createRoom"), &json!({"name": "Old"})).await.ok();
    let room = room["room_id"].as_str().unwrap();
    assert_eq!(alice.get(&old(&format!("/rooms/{room}/state/m.room.name"))).await.ok()["name"], "Old");
    alice.get(&old("/sync?timeout=0")).await.ok();
    alice.get(&old("/nothing")).await.fails(404, "M_UNRECOGNIZED");
}

async fn too_many_requests_answer_limit_exceeded_and_when_to_come_back(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_LIMITS__ENABLED", "true");
    let (server, hearth) = hearth.start(settings).await;
    let identifier = json!({"type": "m.id.user", "user": "nobody"});
    let body = json!({"type": "m.login.password", "identifier": identifier, "password": "wrong"});
    for _ in 0..200 {
        let reply = hearth.post("/login", &body).await;
        if reply.status != 429 {
            assert_eq!(reply.status, 403, "{}", reply.text);
            continue;
        }
        must_have_cors(&reply);
        let seconds: u64 = reply.header("retry-after").parse().expect("a number of seconds");
        let told = reply.body["retry_after_ms"].as_u64().expect("the old form too");
        assert!(seconds >= 1 && seconds == told.div_ceil(1000), "{seconds} s, {told} ms");
        reply.fails(429, "M_LIMIT_EXCEEDED");
        // Asking what one may ask for is free.
        assert!(matches!(hearth.call("OPTIONS", "/login").await.status, 200 | 204));
        server.stop().await;
        return;
    }
    panic!("200 wrong passwords in a row were let through");
}

async fn a_path_is_decoded_once_and_after_it_was_split(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    // The ids of this version are in the alphabet of base64 that has a slash.
    let room = alice.create_room(json!({"room_version": "3"})).await;
    let id = loop {
        let id = alice.say(&room, "again").await;
        if id.contains('/') {
            break id;
        }
    };
    assert_eq!(alice.event(&room, &id).await.ok()["event_id"], id);
    alice.set(&room, "org.example.s", "a%2Fb", &json!({"n": 1})).await.ok();
    alice.state(&room, "org.example.s", "a/b").await.fails(404, "M_NOT_FOUND");
}

async fn no_token_gets_into_the_log(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_LOG__LEVEL", "debug")).await;
    let alice = hearth.user("alice").await;
    hearth.get(&format!("/account/whoami?access_token={}", alice.token)).await.ok();
    hearth.get(&format!("/nothing?access_token={}", alice.token)).await.fails(404, "M_UNRECOGNIZED");
    alice.get("/sync?since=nonsense").await.fails(400, "M_INVALID_PARAM");
    let said = server.said().join("\n");
    assert!(said.contains("answered"), "the requests are in the log: {said}");
    assert!(!said.contains(&alice.token) && !said.contains(&alice.password), "{said}");
    server.stop().await;
}

async fn a_server_may_refuse_tokens_in_the_query(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_HTTP__QUERY_TOKENS", "false")).await;
    let user = hearth.user("alice").await;
    let path = format!("/account/whoami?access_token={}", user.token);
    hearth.get(&path).await.fails(401, "M_MISSING_TOKEN");
    user.get("/account/whoami").await.ok();
    server.stop().await;
}
