//! Mutated requests at every endpoint: nothing breaks, and what is refused changes nothing.

mod examples;
mod mutate;
mod snapshot;

use std::env;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
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
/// A server gets so many, then another goes on: looking inside takes longer the more there is.
const PART: usize = 5_000;
/// Parts side by side: much of the time of each is waiting for its server to come to rest.
const SIDE_BY_SIDE: usize = 4;
/// Longer than a part takes on a busy machine.
const PART_TIME: Duration = Duration::from_mins(10);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![own_server:
        a_mutated_request_breaks_nothing_and_a_refused_one_changes_nothing,
        a_room_that_is_refused_leaves_nothing_behind,
    ];
    for test in &mut tests {
        let parts = number("HEARTH_SPEC_MUTATIONS", DEFAULT_COUNT) / PART;
        test.deadline += PART_TIME * u32::try_from(parts).unwrap();
    }
    tests
}

fn number(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

async fn a_mutated_request_breaks_nothing_and_a_refused_one_changes_nothing(hearth: Hearth) {
    let count = number("HEARTH_SPEC_MUTATIONS", DEFAULT_COUNT);
    let seed = number("HEARTH_SPEC_SEED", DEFAULT_SEED);
    let starts = (0..count).step_by(PART).zip(seed..);
    let parts = starts.map(|(start, seed)| throw(hearth.clone(), PART.min(count - start), seed));
    let thrown: Vec<Thrown> = stream::iter(parts).buffer_unordered(SIDE_BY_SIDE).collect().await;
    let refused: usize = thrown.iter().map(|thrown| thrown.refused).sum();
    let taken: usize = thrown.iter().map(|thrown| thrown.taken).sum();
    assert_eq!(refused + taken, count);
    println!("mutations: {refused} of {count} requests were refused without effect, {taken} were taken");
    assert!(refused > count / 2, "most mutations make a request bad");
}

/// What became of the requests of a part.
struct Thrown {
    refused: usize,
    taken: usize,
}

/// Throws so many requests at a server of their own. What goes wrong is told with the seed, which alone throws
/// them again.
async fn throw(hearth: Hearth, count: usize, seed: usize) -> Thrown {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let mut inside = Inside::look(server.settings().database_url()).await;
    let mut scene = Scene::set(&hearth).await;
    let mut random = StdRng::seed_from_u64(seed as u64);
    let (done, later): (Vec<_>, Vec<_>) = endpoints::read().into_iter().partition(|endpoint| endpoint.done);
    let mut before = inside.settled().await;
    let mut thrown = Thrown { refused: 0, taken: 0 };
    for _ in 0..count {
        let endpoints = if later.is_empty() || random.random_bool(0.95) { &done } else { &later };
        let endpoint = endpoints.choose(&mut random).expect("there are endpoints");
        let mut request = scene.request(endpoint);
        mutate::mutate(&mut request, &mut random);
        let reply = request.send(hearth.base()).await;
        must_be_proper(&request, &reply, seed);
        if reply.status < 400 {
            thrown.taken += 1;
            scene.repair(&hearth).await;
            before = inside.settled().await;
            continue;
        }
        thrown.refused += 1;
        let after = inside.now().await;
        let grown = snapshot::grown(&before, &after);
        assert!(grown.is_empty(), "seed {seed}: {request}: {}\nhas left {grown:?}", reply.text);
        // What shrinks is tidied up in the background.
        before = after;
    }
    assert_eq!(server.errors(), Vec::<String>::new(), "seed {seed}");
    server.stop().await;
    thrown
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
fn must_be_proper(request: &RawRequest, reply: &RawReply, seed: usize) {
    assert!(reply.status < 500, "seed {seed}: {request}: {} {}", reply.status, reply.text);
    let challenge = reply.status == 401 && reply.body["flows"].is_array();
    // Before a request is understood as one of HTTP there is no Matrix error.
    let no_http = reply.text.is_empty() && matches!(reply.status, 400 | 414 | 431) && request.is_no_http();
    if reply.status >= 400 && !challenge && !no_http {
        let sentence = reply.body["error"].as_str().unwrap_or_default();
        assert!(
            reply.errcode().starts_with("M_") && !sentence.is_empty(),
            "seed {seed}: {request}: {}",
            reply.text
        );
    }
}
