//! Media in a bucket: what is different there. `HEARTH_SPEC_S3` says that the run is about buckets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use tokio::time::sleep;

use crate::harness::bucket;
use crate::harness::hearth::http;
use crate::harness::media::noise;
use crate::harness::raw::RawRequest;
use crate::harness::server::{Settings, free_port};
use crate::harness::storage::Storage;
use crate::harness::{Hearth, Mxc, Reply, Test, pictures, tests};

/// The tests of this module, where the run is about buckets.
pub fn tests() -> Vec<Test> {
    if !bucket::is_asked_for() {
        return Vec::new();
    }
    tests![own_server:
        who_allows_it_is_sent_to_the_bucket,
        nobody_is_sent_to_the_bucket_where_that_is_not_configured,
        uploads_in_parts_that_break_off_leave_nothing,
        while_the_bucket_is_away_media_are_and_nothing_else,
    ]
}

/// Longer than tidying up takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a redirect leads to, and what the address says of how it is to be served.
async fn follow(reply: &Reply) -> (String, String, Vec<u8>) {
    let found = http().get(reply.header("location")).send().await.expect("the service answers");
    assert_eq!(found.status(), 200, "{}", reply.header("location"));
    let url = found.url().clone();
    let parameter = |name: &str| {
        let found = url.query_pairs().find(|(found, _)| found == name);
        found.map_or_else(String::new, |(_, value)| value.into_owned())
    };
    let (kind, disposition) = (parameter("response-content-type"), parameter("response-content-disposition"));
    (kind, disposition, found.bytes().await.expect("bytes").to_vec())
}

async fn who_allows_it_is_sent_to_the_bucket(hearth: Hearth) {
    let settings = Settings::new()
        .set("HEARTH_MEDIA__FROZEN_FROM", "2200-01-01")
        .set("HEARTH_MEDIA__S3__REDIRECTS", "5m");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let picture = pictures::png(400, 300);
    let uploaded = alice.upload_as("my cat.png", "image/png", picture.clone()).await.ok();
    let mxc = Mxc::parse(uploaded["content_uri"].as_str().unwrap());
    let Storage::Bucket(bucket) = Storage::of(&server) else { panic!("the run is about buckets") };
    let ask = async |path: &str| hearth.get(path).await;
    let path = mxc.old_path("download");
    for (path, name) in [
        (format!("{path}?allow_redirect=true"), "my cat.png"),
        (format!("{path}/other%20cat.png?allow_redirect=true"), "other cat.png"),
    ] {
        let reply = ask(&path).await;
        assert_eq!(reply.status, 307, "{}", reply.text);
        assert!(reply.header("location").starts_with(&format!("{bucket}/")), "{}", reply.header("location"));
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        let (kind, disposition, bytes) = follow(&reply).await;
        assert_eq!(kind, "image/png");
        assert_eq!(disposition, format!("inline; filename=\"{name}\""));
        assert!(bytes == picture);
    }
    let thumbnail =
        format!("{}?width=96&height=96&method=crop&allow_redirect=true", mxc.old_path("thumbnail"));
    let reply = hearth.get(&thumbnail).patient(PATIENCE).await;
    assert_eq!(reply.status, 307, "{}", reply.text);
    let (kind, _, bytes) = follow(&reply).await;
    assert_eq!((kind.as_str(), pictures::measure(&bytes).1), ("image/jpeg", 96));
    // Whoever does not allow it gets the bytes here.
    for path in [path.clone(), format!("{path}?allow_redirect=false")] {
        assert!(ask(&path).await.content() == picture);
    }
    assert!(alice.download(&mxc).await.content() == picture);
    let page = alice.medium("text/html", "<script>alert(1)</script>").await;
    let reply = ask(&format!("{}?allow_redirect=true", page.old_path("download"))).await;
    let (kind, disposition, _) = follow(&reply).await;
    assert_eq!((kind.as_str(), disposition.as_str()), ("application/octet-stream", "attachment"));
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn nobody_is_sent_to_the_bucket_where_that_is_not_configured(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__FROZEN_FROM", "2200-01-01")).await;
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("text/plain", "meow").await;
    let path = format!("{}?allow_redirect=true", mxc.old_path("download"));
    assert_eq!(hearth.get(&path).await.content(), b"meow");
    server.stop().await;
}

async fn uploads_in_parts_that_break_off_leave_nothing(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    let bytes = noise(1, 13_000_000);
    let mxc = alice.medium("video/mp4", bytes.clone()).await;
    assert!(alice.download(&mxc).await.content() == bytes);
    let part = alice.download(&mxc).header("range", "bytes=5242870-5242890").await;
    assert_eq!(part.bytes, &bytes[5_242_870..=5_242_890]);
    let storage = Storage::of(&server);
    let Storage::Bucket(bucket) = &storage else { panic!("the run is about buckets") };
    let objects: BTreeMap<String, u64> = storage.objects().await;
    let half = RawRequest {
        method: "POST".to_owned(),
        target: b"/_matrix/media/v3/upload".to_vec(),
        token: Some(alice.token.clone()),
        announced: Some(30_000_000),
        body: noise(2, 12_000_000),
        ..RawRequest::default()
    };
    join_all((0..3).map(|_| half.break_off(alice.base())))
        .await
        .into_iter()
        .for_each(|broken| broken.unwrap());
    let since = Instant::now();
    loop {
        let uploads = bucket::request(Method::GET, &format!("{bucket}?uploads")).send().await.unwrap();
        let uploads = uploads.text().await.unwrap().matches("<Upload>").count();
        if uploads == 0 && storage.objects().await == objects {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{uploads} uploads, {:?}", storage.objects().await);
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn while_the_bucket_is_away_media_are_and_nothing_else(hearth: Hearth) {
    let settings = Settings::new()
        .set(bucket::BUCKET, "nowhere")
        .set(bucket::ENDPOINT, &format!("http://127.0.0.1:{}", free_port()))
        .set("HEARTH_MEDIA__S3__ACCESS_KEY", "spec")
        .set("HEARTH_MEDIA__S3__SECRET_KEY", "no secret");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let begun = Instant::now();
    let reply = alice.upload("text/plain", "meow").patient(PATIENCE).await;
    assert_eq!((reply.status, reply.errcode()), (503, "M_UNKNOWN"), "{}", reply.text);
    assert!(!reply.text.contains("127.0.0.1") && begun.elapsed() < PATIENCE, "{}", reply.text);
    alice.create_room(serde_json::json!({})).await;
    server.stop().await;
}
