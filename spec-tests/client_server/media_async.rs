//! Media whose ids are there before their bytes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::harness::media::noise;
use crate::harness::raw::RawRequest;
use crate::harness::server::Settings;
use crate::harness::{Hearth, Mxc, Test, User, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        an_id_is_reserved_for_a_day_and_filled_once,
        bytes_that_come_while_somebody_waits_are_served_at_once,
        whoever_waits_in_vain_is_told_to_come_again,
        nobody_fills_what_somebody_else_reserved,
        nobody_fills_what_was_not_reserved,
        of_two_who_fill_an_id_at_once_one_does,
        an_id_whose_upload_broke_off_can_still_be_filled,
    ];
    tests.extend(tests![own_server:
        an_id_that_is_not_filled_in_time_is_gone,
        a_user_has_a_number_of_ids_to_fill,
    ]);
    tests
}

/// Within this somebody hears of bytes that have come.
const AT_ONCE: Duration = Duration::from_secs(3);

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    u64::try_from(since.as_millis()).expect("a time")
}

async fn an_id_is_reserved_for_a_day_and_filled_once(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let reserved = alice.call("POST", "/_matrix/media/v1/create").await.ok();
    let mxc = Mxc::parse(reserved["content_uri"].as_str().unwrap());
    assert_eq!(mxc.server, alice.server());
    let left = reserved["unused_expires_at"].as_u64().unwrap().saturating_sub(now());
    assert!((86_000_000..=86_400_000).contains(&left), "{left} ms");
    assert_eq!(alice.fill(&mxc, "text/plain", "meow").await.ok(), serde_json::json!({}));
    let reply = alice.download(&mxc).await;
    assert_eq!(reply.header("content-type"), "text/plain");
    assert_eq!(reply.content(), b"meow");
    alice.fill(&mxc, "text/plain", "woof").await.fails(409, "M_CANNOT_OVERWRITE_MEDIA");
    assert_eq!(alice.download(&mxc).await.content(), b"meow");
    // What came in one request is no less settled.
    let mxc = alice.medium("text/plain", "meow").await;
    alice.fill(&mxc, "text/plain", "woof").await.fails(409, "M_CANNOT_OVERWRITE_MEDIA");
}

async fn bytes_that_come_while_somebody_waits_are_served_at_once(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mxc = alice.reserve().await;
    let waiting = |user: &User, path: String| tokio::spawn(user.get(&path).into_future());
    let downloads = [
        waiting(&alice, mxc.path("download")),
        waiting(&bob, format!("{}?timeout_ms=15000", mxc.path("download"))),
        waiting(&bob, format!("{}/cat.png?timeout_ms=15000", mxc.path("download"))),
    ];
    let thumbnail = waiting(&bob, format!("{}?width=32&height=32&method=crop", mxc.path("thumbnail")));
    sleep(Duration::from_millis(700)).await;
    let picture = pictures::png(50, 50);
    alice.fill(&mxc, "image/png", picture.clone()).await.ok();
    let filled = Instant::now();
    for download in downloads {
        assert!(download.await.unwrap().content() == picture);
    }
    assert!(filled.elapsed() < AT_ONCE, "{:?}", filled.elapsed());
    assert_eq!(pictures::measure(&thumbnail.await.unwrap().content()).1, 32);
}

async fn whoever_waits_in_vain_is_told_to_come_again(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.reserve().await;
    for (milliseconds, least) in [(0, 0), (1, 0), (800, 800)] {
        let paths = [
            format!("{}?timeout_ms={milliseconds}", mxc.path("download")),
            format!("{}/a.png?timeout_ms={milliseconds}", mxc.path("download")),
            format!("{}?timeout_ms={milliseconds}&width=32&height=32", mxc.path("thumbnail")),
        ];
        for path in paths {
            let begun = Instant::now();
            alice.get(&path).await.fails(504, "M_NOT_YET_UPLOADED");
            let took = begun.elapsed();
            assert!(took >= Duration::from_millis(least) && took < AT_ONCE, "{path}: {took:?}");
        }
    }
    let begun = Instant::now();
    alice.download(&mxc).patient(Duration::from_secs(30)).await.fails(504, "M_NOT_YET_UPLOADED");
    let took = begun.elapsed().as_secs();
    assert!((19..=25).contains(&took), "without a time it is twenty seconds, not {took}");
    for nonsense in ["-1", "x", "99999999999999999999999"] {
        let path = format!("{}?timeout_ms={nonsense}", mxc.path("download"));
        let reply = alice.get(&path).unchecked().await;
        assert_eq!(reply.status, 400, "{nonsense}: {}", reply.text);
    }
}

async fn nobody_fills_what_somebody_else_reserved(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mxc = alice.reserve().await;
    bob.fill(&mxc, "text/plain", "woof").await.fails(403, "M_FORBIDDEN");
    hearth.login(&alice).await.fill(&mxc, "text/plain", "meow").await.ok();
    bob.fill(&mxc, "text/plain", "woof")
        .await
        .fails_with_one_of(&[(403, "M_FORBIDDEN"), (409, "M_CANNOT_OVERWRITE_MEDIA")]);
    assert_eq!(bob.download(&mxc).await.content(), b"meow");
}

async fn nobody_fills_what_was_not_reserved(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let unknown = Mxc { server: alice.server().to_owned(), id: "neverreserved".to_owned() };
    let elsewhere = Mxc { server: "elsewhere.test".to_owned(), ..alice.reserve().await };
    for mxc in [unknown, elsewhere] {
        alice.fill(&mxc, "text/plain", "meow").await.fails(404, "M_NOT_FOUND");
        alice.fill(&mxc, "text/plain", noise(1, 2_000_000)).await.fails(404, "M_NOT_FOUND");
    }
}

async fn of_two_who_fill_an_id_at_once_one_does(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for round in 0..5 {
        let mxc = alice.reserve().await;
        let fills = (0..6)
            .map(|number| alice.fill(&mxc, "text/plain", noise(round * 10 + number, 100_000)).into_future());
        let replies = join_all(fills).await;
        let won: Vec<u64> =
            (0..).zip(&replies).filter(|(_, reply)| reply.status == 200).map(|(n, _)| n).collect();
        assert_eq!(won.len(), 1, "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
        let lost = replies.into_iter().filter(|reply| reply.status != 200);
        lost.for_each(|reply| drop(reply.fails(409, "M_CANNOT_OVERWRITE_MEDIA")));
        assert!(alice.download(&mxc).await.content() == noise(round * 10 + won[0], 100_000));
    }
}

async fn an_id_whose_upload_broke_off_can_still_be_filled(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.reserve().await;
    let half = RawRequest {
        method: "PUT".to_owned(),
        target: mxc.old_path("upload").into_bytes(),
        token: Some(alice.token.clone()),
        announced: Some(1_000_000),
        body: noise(2, 500_000),
        ..RawRequest::default()
    };
    half.break_off(alice.base()).await.unwrap();
    alice.get(&format!("{}?timeout_ms=500", mxc.path("download"))).await.fails(504, "M_NOT_YET_UPLOADED");
    alice.fill(&mxc, "text/plain", "meow").await.ok();
    assert_eq!(alice.download(&mxc).await.content(), b"meow");
}

async fn an_id_that_is_not_filled_in_time_is_gone(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__RESERVED_FOR", "1500ms")).await;
    let alice = hearth.user("alice").await;
    let (filled, mxc) = (alice.reserve().await, alice.reserve().await);
    alice.fill(&filled, "text/plain", "meow").await.ok();
    let waiting = tokio::spawn(alice.download(&mxc).into_future());
    sleep(Duration::from_millis(1600)).await;
    alice.fill(&mxc, "text/plain", "woof").await.fails(404, "M_NOT_FOUND");
    alice.download(&mxc).await.fails(404, "M_NOT_FOUND");
    waiting.await.unwrap().fails(404, "M_NOT_FOUND");
    assert_eq!(alice.download(&filled).await.content(), b"meow");
    server.stop().await;
}

async fn a_user_has_a_number_of_ids_to_fill(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__MAX_RESERVED", "3")).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let reserve = || alice.call("POST", "/_matrix/media/v1/create");
    let mut reserved = Vec::new();
    for _ in 0..3 {
        reserved.push(alice.reserve().await);
    }
    let refused = reserve().await;
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    refused.fails(429, "M_LIMIT_EXCEEDED");
    bob.reserve().await;
    // One that is filled makes room, and what is uploaded at once takes none.
    alice.fill(&reserved[0], "text/plain", "meow").await.ok();
    alice.medium("text/plain", "meow").await;
    alice.reserve().await;
    reserve().await.fails(429, "M_LIMIT_EXCEEDED");
    // Nor are there more for who asks for many at once.
    for _ in 0..5 {
        let carol = hearth.user("carol").await;
        let calls = (0..20).map(|_| carol.call("POST", "/_matrix/media/v1/create").into_future());
        let given = join_all(calls).await.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(given, 3);
    }
    server.stop().await;
}
