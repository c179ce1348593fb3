//! Mutated requests at every endpoint: nothing breaks, and what is refused changes nothing.

mod examples;
mod mutate;
mod snapshot;

use std::env;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng};
use serde_json::json;

use self::examples::Scene;
use self::snapshot::Inside;
use crate::harness::endpoints;
use crate::harness::hearth::fresh;
use crate::harness::raw::{RawReply, RawRequest};
use crate::harness::server::Settings;
use crate::harness::{Hearth, Test, tests};

/// How many requests are thrown unless `HEARTH_SPEC_MUTATIONS` says otherwise: a few for each endpoint.
const DEFAULT_COUNT: usize = 3_000;
/// The seed unless `HEARTH_SPEC_SEED` says otherwise: the same requests in every run.
const DEFAULT_SEED: usize = 19;

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_mutated_request_breaks_nothing_and_a_refused_one_changes_nothing,
        a_room_that_is_refused_leaves_nothing_behind,
    ]
}

fn number(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

async fn a_mutated_request_breaks_nothing_and_a_refused_one_changes_nothing(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let mut inside = Inside::look(server.settings().database_url()).await;
    let mut scene = Scene::set(&hearth).await;
    let count = number("HEARTH_SPEC_MUTATIONS", DEFAULT_COUNT);
    let mut random = StdRng::seed_from_u64(number("HEARTH_SPEC_SEED", DEFAULT_SEED) as u64);
    let (done, later): (Vec<_>, Vec<_>) = endpoints::read().into_iter().partition(|endpoint| endpoint.done);
    let mut before = inside.settled().await;
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..count {
        let endpoints = if later.is_empty() || random.random_bool(0.95) { &done } else { &later };
        let endpoint = endpoints.choose(&mut random).expect("there are endpoints");
        let mut request = scene.request(endpoint);
        mutate::mutate(&mut request, &mut random);
        let reply = request.send(hearth.base()).await;
        must_be_proper(&request, &reply);
        if reply.status < 400 {
            taken += 1;
            scene.repair(&hearth).await;
            before = inside.settled().await;
            continue;
        }
        refused += 1;
        let after = inside.now().await;
        let grown = snapshot::grown(&before, &after);
        assert!(grown.is_empty(), "{request}: {}\nhas left {grown:?}", reply.text);
        // What shrinks is tidied up in the background.
        before = after;
    }
    println!("mutations: {refused} of {count} requests were refused without effect, {taken} were taken");
    assert!(refused > count / 2, "most mutations make a request bad");
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn a_room_that_is_refused_leaves_nothing_behind(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let mut inside = Inside::look(server.settings().database_url()).await;
    let alice = hearth.user("alice").await;
    let state = |kind: &str, key: &str| json!({"type": kind, "state_key": key, "content": {}});
    for version in ["1", "11", "12"] {
        let before = inside.settled().await;
        // A type and a key that were never seen, and then what the rules refuse.
        let room = json!({
            "room_version": version,
            "initial_state": [state(&fresh("org.example"), &fresh("key")), state("m.room.create", "")],
        });
        alice.post("/createRoom", &room).await.fails(400, "M_INVALID_ROOM_STATE");
        let grown = snapshot::grown(&before, &inside.now().await);
        assert!(grown.is_empty(), "version {version} has left {grown:?}");
    }
    server.stop().await;
}

/// Every reply is a success, or an error that says what is wrong and is not the server's.
#[track_caller]
fn must_be_proper(request: &RawRequest, reply: &RawReply) {
    assert!(reply.status < 500, "{request}: {} {}", reply.status, reply.text);
    let challenge = reply.status == 401 && reply.body["flows"].is_array();
    // Before a request is understood as one of HTTP there is no Matrix error.
    let no_http = reply.text.is_empty() && matches!(reply.status, 400 | 414 | 431) && request.is_no_http();
    if reply.status >= 400 && !challenge && !no_http {
        let sentence = reply.body["error"].as_str().unwrap_or_default();
        assert!(reply.errcode().starts_with("M_") && !sentence.is_empty(), "{request}: {}", reply.text);
    }
}
