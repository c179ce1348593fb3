//! User-interactive authentication: stages, sessions and fallback pages.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Reply, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        a_session_of_another_request_is_not_gone_on_with,
        what_was_sent_first_holds_to_the_end,
        a_later_request_may_leave_out_what_was_sent_first,
        an_unknown_session_is_replaced_by_a_new_one,
        an_auth_that_is_no_object_is_refused,
        a_page_of_an_unknown_session_or_stage_is_not_found,
        every_stage_has_a_page,
    ];
    tests.extend(tests![own_server:
        stages_are_passed_in_their_order,
        a_stage_passed_on_a_page_counts,
        a_page_asks_for_the_token_until_it_is_right,
    ]);
    tests
}

const TOKEN: &str = "m.login.registration_token";
const DUMMY: &str = "m.login.dummy";
const TERMS: &str = "m.login.terms";

async fn register(hearth: &Hearth, body: &Value, auth: Value) -> Reply {
    let mut body = body.clone();
    body["auth"] = auth;
    hearth.post("/register", &body).await
}

/// A session that was begun with `body`.
async fn begin(hearth: &Hearth, body: &Value) -> String {
    let challenge = hearth.post("/register", body).await;
    assert_eq!(challenge.status, 401, "{}", challenge.text);
    challenge.body["session"].as_str().unwrap().to_owned()
}

/// A server that asks for a token and for agreement to terms.
async fn with_terms(hearth: &Hearth) -> (Server, Hearth) {
    let settings = Settings::new()
        .set("HEARTH_REGISTRATION__MODE", "token")
        .set("HEARTH_REGISTRATION__TOKEN", "open-sesame")
        .set("HEARTH_REGISTRATION__TERMS__VERSION", "7")
        .set("HEARTH_REGISTRATION__TERMS__NAME", "Rules & <manners>")
        .set("HEARTH_REGISTRATION__TERMS__URL", "https://example.org/rules?a=1&b=2");
    hearth.start(settings).await
}

async fn a_session_of_another_request_is_not_gone_on_with(hearth: Hearth) {
    let session = begin(&hearth, &json!({"username": fresh("a"), "password": "p"})).await;
    let other = json!({"username": fresh("b"), "password": "p"});
    let reply = register(&hearth, &other, json!({"type": "m.login.dummy", "session": session})).await;
    reply.fails(403, "M_FORBIDDEN");
}

async fn what_was_sent_first_holds_to_the_end(hearth: Hearth) {
    // Begun only to see the flows, as some clients do.
    let session = begin(&hearth, &json!({})).await;
    let body = json!({"username": fresh("a"), "password": "p"});
    let unknown = register(&hearth, &body, json!({"type": "org.example.magic", "session": session})).await;
    assert_eq!(unknown.status, 401, "{}", unknown.text);
    let other = json!({"username": fresh("b"), "password": "p"});
    let auth = json!({"type": "m.login.dummy", "session": session});
    register(&hearth, &other, auth.clone()).await.fails(403, "M_FORBIDDEN");
    register(&hearth, &body, auth).await.ok();
}

async fn a_later_request_may_leave_out_what_was_sent_first(hearth: Hearth) {
    let name = fresh("a");
    let session = begin(&hearth, &json!({"username": name, "password": "p", "device_id": "FIRST"})).await;
    // All but the password, which no server should keep.
    let auth = json!({"type": "m.login.dummy", "session": session});
    let body = register(&hearth, &json!({"password": "p"}), auth).await.ok();
    assert!(body["user_id"].as_str().unwrap().starts_with(&format!("@{name}:")), "{body}");
    assert_eq!(body["device_id"], "FIRST");
}

async fn an_unknown_session_is_replaced_by_a_new_one(hearth: Hearth) {
    let body = json!({"username": fresh("a"), "password": "p"});
    let reply = register(&hearth, &body, json!({"type": "m.login.dummy", "session": "made-up"})).await;
    assert_eq!(reply.status, 401, "{}", reply.text);
    assert!(reply.body["errcode"].is_string() && reply.body["error"].is_string(), "{}", reply.text);
    let session = &reply.body["session"];
    assert_ne!(session, "made-up");
    register(&hearth, &body, json!({"type": "m.login.dummy", "session": session})).await.ok();
}

async fn an_auth_that_is_no_object_is_refused(hearth: Hearth) {
    let body = json!({"username": fresh("a"), "password": "p"});
    for auth in [json!(5), json!("m.login.dummy"), json!([])] {
        register(&hearth, &body, auth).await.fails(400, "M_BAD_JSON");
    }
}

async fn a_page_of_an_unknown_session_or_stage_is_not_found(hearth: Hearth) {
    let session = begin(&hearth, &json!({"username": fresh("a"), "password": "p"})).await;
    let page =
        |stage: &str, session: &str| hearth.get(&format!("/auth/{stage}/fallback/web?session={session}"));
    page("m.login.dummy", "made-up").await.fails(404, "M_NOT_FOUND");
    page("org.example.magic", &session).await.fails(404, "M_NOT_FOUND");
    hearth.get("/auth/m.login.dummy/fallback/web").await.fails(400, "M_MISSING_PARAM");
}

async fn stages_are_passed_in_their_order(hearth: Hearth) {
    let (server, hearth) = with_terms(&hearth).await;
    let body = json!({"username": "alice", "password": "p"});
    let challenge = hearth.post("/register", &body).await;
    assert_eq!(challenge.body["flows"], json!([{"stages": [TOKEN, DUMMY, TERMS]}]));
    let document = json!({"name": "Rules & <manners>", "url": "https://example.org/rules?a=1&b=2"});
    let policies = json!({"terms_of_service": {"version": "7", "en": document}});
    assert_eq!(challenge.body["params"], json!({TERMS: {"policies": policies}}));
    let session = challenge.body["session"].clone();

    let terms = json!({"type": TERMS, "session": session});
    let too_early = register(&hearth, &body, terms.clone()).await;
    assert_eq!((too_early.status, &too_early.body["session"]), (401, &session));
    let token = json!({"type": TOKEN, "token": "open-sesame", "session": session});
    let half = register(&hearth, &body, token.clone()).await;
    assert_eq!((half.status, &half.body["completed"]), (401, &json!([TOKEN])));
    // A stage that was passed is not asked again, nor does it matter when it comes again.
    let again = register(&hearth, &body, token).await;
    assert_eq!((again.status, &again.body["completed"]), (401, &json!([TOKEN])));
    let dummy = register(&hearth, &body, json!({"type": DUMMY, "session": session})).await;
    assert_eq!((dummy.status, &dummy.body["completed"]), (401, &json!([TOKEN, DUMMY])));
    assert_eq!(register(&hearth, &body, terms).await.ok()["user_id"], "@alice:hearth.test");
    server.stop().await;
}

async fn a_stage_passed_on_a_page_counts(hearth: Hearth) {
    let (server, hearth) = with_terms(&hearth).await;
    let body = json!({"username": "alice", "password": "p"});
    let session = begin(&hearth, &body).await;
    let token = json!({"type": TOKEN, "token": "open-sesame", "session": session});
    assert_eq!(register(&hearth, &body, token).await.status, 401);
    assert_eq!(register(&hearth, &body, json!({"type": DUMMY, "session": session})).await.status, 401);

    let path = format!("/_matrix/client/v3/auth/{TERMS}/fallback/web?session={session}");
    let page = hearth.get(&path).unchecked().await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let link = r#"<a href="https://example.org/rules?a=1&amp;b=2""#;
    assert!(page.text.contains(link) && page.text.contains("Rules &amp; &lt;manners&gt;"), "{}", page.text);
    let pending = register(&hearth, &body, json!({"session": session})).await;
    assert_eq!((pending.status, &pending.body["completed"]), (401, &json!([TOKEN, DUMMY])));

    let form = format!("session={session}");
    let done = hearth.call("POST", &path).bytes(form).unchecked().await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("window.onAuthDone") && done.text.contains("authDone"), "{}", done.text);
    register(&hearth, &body, json!({"session": session})).await.ok();
    server.stop().await;
}

async fn a_page_asks_for_the_token_until_it_is_right(hearth: Hearth) {
    let (server, hearth) = with_terms(&hearth).await;
    let body = json!({"username": "alice", "password": "p"});
    let session = begin(&hearth, &body).await;
    let path = format!("/_matrix/client/v3/auth/{TOKEN}/fallback/web?session={session}");
    let send = |token: &str| {
        hearth.call("POST", &path).bytes(format!("session={session}&token={token}")).unchecked()
    };
    let wrong = send("abracadabra").await;
    assert!(wrong.status == 200 && wrong.text.contains("<form"), "{}", wrong.text);
    let right = send("open%2Dsesame").await;
    assert!(right.status == 200 && right.text.contains("authDone"), "{}", right.text);
    let half = register(&hearth, &body, json!({"session": session})).await;
    assert_eq!((half.status, &half.body["completed"]), (401, &json!([TOKEN])));
    server.stop().await;
}

async fn every_stage_has_a_page(hearth: Hearth) {
    let body = json!({"username": fresh("a"), "password": "p"});
    let session = begin(&hearth, &body).await;
    let path = format!("/_matrix/client/v3/auth/{DUMMY}/fallback/web?session={session}");
    let page = hearth.get(&path).unchecked().await;
    assert!(page.status == 200 && page.text.contains("<form"), "{}", page.text);
    let done = hearth.call("POST", &path).bytes(format!("session={session}")).unchecked().await;
    assert!(done.status == 200 && done.text.contains("authDone"), "{}", done.text);
    register(&hearth, &body, json!({"session": session})).await.ok();
    let alice = hearth.user("alice").await;
    let devices = json!({"devices": [hearth.login(&alice).await.device]});
    let session = alice.post("/delete_devices", &devices).await.body["session"].clone();
    let form = format!("session={}&user={}&password=", session.as_str().unwrap(), alice.localpart());
    let path = format!(
        "/_matrix/client/v3/auth/m.login.password/fallback/web?session={}",
        session.as_str().unwrap()
    );
    for (password, word) in [("wrong", "<form"), (&*alice.password.replace(' ', "+"), "authDone")] {
        let page = hearth.call("POST", &path).bytes(format!("{form}{password}")).unchecked().await;
        assert!(page.status == 200 && page.text.contains(word), "{}", page.text);
    }
    let proven = json!({"devices": devices["devices"], "auth": {"session": session}});
    alice.post("/delete_devices", &proven).await.ok();
}
