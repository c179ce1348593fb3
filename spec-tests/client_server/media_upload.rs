//! Uploads in one request.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::media::noise;
use crate::harness::server::Settings;
use crate::harness::{Call, Hearth, Mxc, Test, User, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        what_was_uploaded_is_served_byte_for_byte,
        a_body_whose_length_is_not_announced_is_taken,
        an_upload_needs_no_content_type_and_no_name,
        nobody_uploads_without_a_token,
        who_is_refused_while_still_sending_hears_why,
        ids_are_what_the_grammar_allows_and_nobody_guesses_them,
        many_uploads_at_once_are_each_whole,
        the_largest_size_is_told_to_users_only,
        old_clients_upload_on_the_paths_they_know,
        a_blurhash_comes_to_who_asks_for_one,
    ];
    tests.extend(tests![own_server:
        what_is_larger_than_allowed_is_refused_whether_or_not_it_says_so,
        a_body_of_any_length_passes_that_is_allowed,
    ]);
    tests
}

/// Around what is read or written at a time.
const SIZES: [usize; 12] =
    [0, 1, 4095, 4096, 4097, 65_535, 65_536, 262_143, 262_144, 262_145, 524_288, 6_000_001];

async fn what_was_uploaded_is_served_byte_for_byte(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    for size in SIZES {
        let bytes = noise(1, size);
        let uploaded = alice.upload("application/octet-stream", bytes.clone()).await.ok();
        assert_eq!(uploaded.as_object().map(serde_json::Map::len), Some(1), "{uploaded}");
        let mxc = Mxc::parse(uploaded["content_uri"].as_str().unwrap());
        assert_eq!(mxc.server, alice.server());
        assert!(bob.download(&mxc).await.content() == bytes, "{size} bytes");
    }
}

async fn a_body_whose_length_is_not_announced_is_taken(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for size in SIZES {
        let bytes = noise(2, size);
        let uploaded = alice.upload("text/plain", bytes.clone()).without_length().await.ok();
        let mxc = Mxc::parse(uploaded["content_uri"].as_str().unwrap());
        assert!(alice.download(&mxc).await.content() == bytes, "{size} bytes");
    }
}

async fn an_upload_needs_no_content_type_and_no_name(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("", noise(3, 100)).await;
    let reply = alice.download(&mxc).await;
    assert_eq!(reply.header("content-type"), "application/octet-stream");
    assert_eq!(reply.header("content-disposition"), "attachment");
    let mxc = alice.medium("application/x-unheard-of", noise(3, 100)).await;
    assert_eq!(alice.download(&mxc).await.header("content-type"), "application/x-unheard-of");
}

async fn nobody_uploads_without_a_token(hearth: Hearth) {
    let upload = |path: &str| hearth.call("POST", path).bytes(noise(4, 10));
    upload("/_matrix/media/v3/upload").await.fails(401, "M_MISSING_TOKEN");
    upload("/_matrix/media/v3/upload").token("made-up").await.fails(401, "M_UNKNOWN_TOKEN");
    upload("/_matrix/media/v1/create").await.fails(401, "M_MISSING_TOKEN");
    let path = format!("/_matrix/media/v3/upload/{}/abc", hearth.user("alice").await.server());
    hearth.call("PUT", &path).bytes(noise(4, 10)).await.fails(401, "M_MISSING_TOKEN");
}

/// Whoever heard of a broken connection instead would not know that it is time for another token.
async fn who_is_refused_while_still_sending_hears_why(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for _ in 0..5 {
        let upload = |token: &str| {
            let call = hearth.call("POST", "/_matrix/media/v3/upload").bytes(noise(4, 8_000_000));
            call.token(token).header("content-type", "video/mp4")
        };
        upload("made-up").await.fails(401, "M_UNKNOWN_TOKEN");
        upload("made-up").without_length().await.fails(401, "M_UNKNOWN_TOKEN");
    }
    let unknown = Mxc { server: alice.server().to_owned(), id: "neverreserved".to_owned() };
    alice.fill(&unknown, "video/mp4", noise(4, 8_000_000)).await.fails(404, "M_NOT_FOUND");
}

async fn ids_are_what_the_grammar_allows_and_nobody_guesses_them(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        ids.insert(alice.medium("text/plain", "the same").await.id);
        ids.insert(alice.reserve().await.id);
    }
    assert_eq!(ids.len(), 40, "the same content has another id each time");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(ids.iter().all(|id| id.len() >= 20 && id.chars().all(allowed)), "{ids:?}");
}

async fn many_uploads_at_once_are_each_whole(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    // Each content is sent twice at the same time: one copy is kept, and both are served.
    let uploads = (0..40_u64).map(async |number| {
        let length = usize::try_from(number * 20_000).unwrap();
        (number, alice.medium("application/octet-stream", noise(number / 2, length / 2 * 2)).await)
    });
    let media = join_all(uploads).await;
    for (number, mxc) in media {
        let length = usize::try_from(number * 20_000).unwrap();
        assert!(alice.download(&mxc).await.content() == noise(number / 2, length / 2 * 2), "{number}");
    }
    let same = noise(99, 300_000);
    let media = join_all((0..10).map(|_| alice.medium("text/plain", same.clone()))).await;
    for mxc in media {
        assert!(alice.download(&mxc).await.content() == same, "{mxc}");
    }
}

/// The paths on which the server says how much it takes.
const CONFIG: [&str; 3] =
    ["/_matrix/client/v1/media/config", "/_matrix/media/v3/config", "/_matrix/media/r0/config"];

async fn the_largest_size_is_told_to_users_only(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for path in CONFIG {
        assert_eq!(alice.get(path).await.ok(), json!({"m.upload.size": 104_857_600}), "{path}");
        hearth.get(path).await.fails(401, "M_MISSING_TOKEN");
    }
}

async fn old_clients_upload_on_the_paths_they_know(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for path in ["/_matrix/media/r0/upload", "/_matrix/media/v1/upload"] {
        let call = alice.call("POST", path).bytes("old").header("content-type", "text/plain");
        let mxc = Mxc::parse(call.await.ok()["content_uri"].as_str().unwrap());
        assert_eq!(alice.download(&mxc).await.content(), b"old");
    }
}

async fn a_blurhash_comes_to_who_asks_for_one(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let upload = |bytes: Vec<u8>, kind: &str| {
        let path = "/_matrix/media/v3/upload?xyz.amorgan.generate_blurhash=true";
        alice.call("POST", path).bytes(bytes).header("content-type", kind).patient(Duration::from_secs(20))
    };
    let uploaded = upload(pictures::png(60, 40), "image/png").await.ok();
    let blurhash = uploaded["xyz.amorgan.blurhash"].as_str().unwrap_or_else(|| panic!("{uploaded}"));
    // Four components across and three down are a size, a maximum, a mean and eleven others.
    assert_eq!((blurhash.len(), &blurhash[..1]), (28, "L"), "{blurhash}");
    // The second of the same content has the same.
    assert_eq!(upload(pictures::png(60, 40), "image/png").await.ok()["xyz.amorgan.blurhash"], blurhash);
    for bytes in [b"no picture".to_vec(), pictures::hollow_png(60_000, 60_000)] {
        let uploaded = upload(bytes, "image/png").await.ok();
        assert!(uploaded["xyz.amorgan.blurhash"].is_null(), "{uploaded}");
    }
}

/// An upload with its length announced, and one without.
fn both(user: &User, length: usize) -> [Call; 2] {
    let bytes = noise(5, length);
    [user.upload("text/plain", bytes.clone()), user.upload("text/plain", bytes).without_length()]
}

async fn what_is_larger_than_allowed_is_refused_whether_or_not_it_says_so(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__MAX_UPLOAD", "10K")).await;
    let alice = hearth.user("alice").await;
    for path in CONFIG {
        assert_eq!(alice.get(path).await.ok()["m.upload.size"], 10_240);
    }
    for call in both(&alice, 10_240) {
        call.await.ok();
    }
    for length in [10_241, 70_000, 20_000_000] {
        for call in both(&alice, length) {
            let told = call.await.fails(413, "M_TOO_LARGE");
            assert!(told["error"].as_str().unwrap().contains("10240"), "{told}");
        }
    }
    let reserved = alice.reserve().await;
    alice.fill(&reserved, "text/plain", noise(6, 10_241)).await.fails(413, "M_TOO_LARGE");
    alice.fill(&reserved, "text/plain", noise(6, 10_241)).without_length().await.fails(413, "M_TOO_LARGE");
    alice.fill(&reserved, "text/plain", noise(6, 10_240)).await.ok();
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

/// What other requests may have at most does not count for media.
async fn a_body_of_any_length_passes_that_is_allowed(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__MAX_UPLOAD", "200M")).await;
    let alice = hearth.user("alice").await;
    let before = server.memory_kib();
    let mut bytes = noise(7, 1_000_000);
    for _ in 0..6 {
        bytes.extend_from_within(..);
    }
    let uploaded = alice.upload("video/mp4", bytes.clone()).patient(Duration::from_mins(1)).await.ok();
    let mxc = Mxc::parse(uploaded["content_uri"].as_str().unwrap());
    assert!(alice.download(&mxc).patient(Duration::from_mins(1)).await.content() == bytes);
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 40_000, "64 MB took {grown} KiB of memory");
    server.stop().await;
}
