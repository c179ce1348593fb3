//! Media of several replicas.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::harness::hearth::http;
use crate::harness::media::noise;
use crate::harness::raw::RawRequest;
use crate::harness::server::{Server, Settings};
use crate::harness::storage::{DIRECTORY, Storage};
use crate::harness::{Hearth, Test, tests};

/// Bytes are found this soon that came to another replica.
const FOUND: Duration = Duration::from_secs(5);

/// What a dead process left is gone this soon: it is believed to live for some seconds.
const TIDY: Duration = Duration::from_secs(40);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        what_one_replica_takes_every_other_serves,
        bytes_are_waited_for_wherever_they_come,
        a_replica_with_a_directory_of_its_own_says_so,
        what_a_dead_replica_left_is_deleted_by_the_others,
    ]
}

/// Two replicas over one database and one storage, and a way into each.
async fn two(hearth: &Hearth) -> (Server, Hearth, Server, Hearth) {
    let (first, here) = hearth.start(Settings::new()).await;
    let second = first.start_replica().await.unwrap_or_else(|refusal| panic!("{refusal}"));
    let there = hearth.other(second.base());
    (first, here, second, there)
}

async fn what_one_replica_takes_every_other_serves(hearth: Hearth) {
    let (first, here, second, there) = two(&hearth).await;
    let alice = here.user("alice").await;
    for size in [0, 1, 300_000, 6_000_000] {
        let bytes = noise(1, size);
        let mxc = alice.medium("application/octet-stream", bytes.clone()).await;
        assert!(alice.at(&there).download(&mxc).await.content() == bytes, "{size} bytes");
    }
    first.stop().await;
    second.stop().await;
}

async fn bytes_are_waited_for_wherever_they_come(hearth: Hearth) {
    let (first, here, second, there) = two(&hearth).await;
    let alice = here.user("alice").await;
    let mxc = alice.reserve().await;
    let begun = Instant::now();
    let elsewhere = alice.at(&there);
    let (downloaded, ()) = tokio::join!(elsewhere.download(&mxc), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        alice.fill(&mxc, "text/plain", "at last").await.ok();
    });
    assert_eq!(downloaded.text, "at last");
    assert!(begun.elapsed() < FOUND, "{:?}", begun.elapsed());
    first.stop().await;
    second.stop().await;
}

fn is_in_a_bucket(server: &Server) -> bool {
    matches!(Storage::of(server), Storage::Bucket(_))
}

async fn ready(server: &Server) -> Value {
    let reply = http().get(format!("{}/ready", server.base())).send().await.expect("it answers");
    reply.json().await.expect("a JSON document")
}

async fn a_replica_with_a_directory_of_its_own_says_so(hearth: Hearth) {
    let (first, here) = hearth.start(Settings::new()).await;
    if is_in_a_bucket(&first) {
        return;
    }
    let alice = here.user("alice").await;
    alice.medium("text/plain", "here").await;
    let own = first.data_dir().join("another");
    let settings = first.settings().clone().set(DIRECTORY, &own.to_string_lossy());
    let second = Server::start(settings).await;
    let told = ready(&second).await;
    assert!(told["media"].as_str().is_some_and(|media| media.contains("media.directory")), "{told}");
    assert!(second.said().iter().any(|line| line.contains("media.directory") && line.contains("WARN")));
    let told = ready(&first).await;
    assert_eq!(told["media"], Value::Null, "the first has the database's own");
    first.stop().await;
    second.stop().await;
}

async fn what_a_dead_replica_left_is_deleted_by_the_others(hearth: Hearth) {
    let (first, here, second, there) = two(&hearth).await;
    // Nothing shows in a bucket before it is whole.
    if is_in_a_bucket(&first) {
        return;
    }
    let alice = here.user("alice").await.at(&there);
    let storage = Storage::of(&first);
    let kept = storage.objects().await.len();
    // It dies while bytes come: they come no further than this.
    let upload = RawRequest {
        method: "POST".to_owned(),
        target: b"/_matrix/media/v3/upload".to_vec(),
        token: Some(alice.token.clone()),
        announced: Some(50_000_000),
        ..RawRequest::default()
    };
    let mut upload = upload.open(second.base()).await.unwrap();
    let since = Instant::now();
    while storage.objects().await.len() == kept {
        upload.write_all(&noise(1, 500_000)).await.unwrap();
        assert!(since.elapsed() < FOUND, "nothing is written");
    }
    drop(second.kill().await);
    let since = Instant::now();
    while storage.objects().await.len() > kept {
        assert!(since.elapsed() < TIDY, "{:?} are left", storage.objects().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    first.stop().await;
}
