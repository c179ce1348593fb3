//! What administrators do with media, and what the server does by itself.

mod retention;
mod scanner;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::harness::command::{fails, ok, told};
use crate::harness::media::noise;
use crate::harness::rooms::{event_id, text};
use crate::harness::server::{Server, Settings};
use crate::harness::storage::Storage;
use crate::harness::{Hearth, Mxc, Test, User, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let here = tests![own_server:
        a_user_has_an_amount_of_room,
        a_page_tells_who_has_no_room_what_to_do,
        all_users_together_have_an_amount_of_room,
        uploads_at_once_do_not_share_the_same_room,
        a_medium_is_quarantined_and_released,
        media_are_quarantined_by_user_by_room_and_by_server,
        media_count_for_who_uploaded_them_whatever_becomes_of_events,
        content_is_quarantined_whoever_has_it_and_brings_it_again,
        deleting_media_frees_their_bytes_unless_another_has_the_same,
        a_check_finds_what_is_damaged_lost_and_named_by_nothing,
        commands_tell_what_media_there_are,
        pictures_lose_what_they_tell_where_that_is_wanted,
        who_is_suspended_or_locked_brings_no_media,
    ];
    [here, retention::tests(), scanner::tests()].concat()
}

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(40);

async fn end(server: Server) {
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

/// What a command about a server's media says.
async fn media(server: &Server, arguments: &[&str]) -> String {
    let (settings, folder) = server.estate();
    ok(&settings, folder.path(), &[&["media"], arguments].concat(), "").await
}

/// The hash of what a medium holds, as commands take it.
async fn hash(server: &Server, mxc: &Mxc) -> String {
    let info = media(server, &["info", &mxc.to_string()]).await;
    let line = info.lines().find_map(|line| line.strip_prefix("sha-256")).map(str::trim);
    line.unwrap_or_else(|| panic!("no hash: {info}")).to_owned()
}

/// Waits until the storage holds these objects and nothing else.
async fn is_left_with(storage: &Storage, objects: &BTreeMap<String, u64>) {
    let since = Instant::now();
    while &storage.objects().await != objects {
        assert!(since.elapsed() < PATIENCE, "{:?} in place of {objects:?}", storage.objects().await);
        sleep(Duration::from_millis(200)).await;
    }
}

async fn a_user_has_an_amount_of_room(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__QUOTA__USER", "10000")).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let first = alice.medium("text/plain", noise(1, 6000)).await;
    let reserved = alice.reserve().await;
    for call in [
        alice.upload("text/plain", noise(2, 4001)),
        alice.upload("text/plain", noise(2, 4001)).without_length(),
        alice.upload("text/plain", noise(1, 6000)),
        alice.fill(&reserved, "text/plain", noise(2, 4001)),
    ] {
        call.await.fails(403, "M_FORBIDDEN");
    }
    alice.fill(&reserved, "text/plain", noise(3, 4000)).await.ok();
    alice.upload("text/plain", "x").await.fails(403, "M_FORBIDDEN");
    alice.upload("text/plain", "").await.ok();
    bob.medium("text/plain", noise(1, 6000)).await;
    // What is deleted takes no room any more.
    assert_eq!(media(&server, &["delete", &first.to_string()]).await, "deleted 1 file");
    alice.medium("text/plain", noise(4, 6000)).await;
    alice.upload("text/plain", "x").await.fails(403, "M_FORBIDDEN");
    end(server).await;
}

async fn a_page_tells_who_has_no_room_what_to_do(hearth: Hearth) {
    let settings = Settings::new()
        .set("HEARTH_MEDIA__QUOTA__USER", "10")
        .set("HEARTH_SUPPORT__PAGE", "https://hearth.test/help");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let refused = alice.upload("text/plain", noise(1, 11)).await.fails(403, "M_USER_LIMIT_EXCEEDED");
    assert_eq!(refused["info_uri"], "https://hearth.test/help", "{refused}");
    end(server).await;
}

async fn all_users_together_have_an_amount_of_room(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__QUOTA__SERVER", "10000")).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    alice.medium("text/plain", noise(1, 6000)).await;
    bob.medium("text/plain", noise(2, 3000)).await;
    for user in [&alice, &bob] {
        user.upload("text/plain", noise(3, 1001)).await.fails(403, "M_FORBIDDEN");
    }
    bob.medium("text/plain", noise(3, 1000)).await;
    media(&server, &["delete", "--user", &alice.id]).await;
    bob.medium("text/plain", noise(4, 6000)).await;
    end(server).await;
}

async fn uploads_at_once_do_not_share_the_same_room(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__QUOTA__USER", "10000")).await;
    let alice = hearth.user("alice").await;
    let uploads = (0..12).map(|seed| alice.upload("text/plain", noise(seed, 3000)).into_future());
    let mut counts = BTreeMap::new();
    for reply in join_all(uploads).await {
        *counts.entry(reply.status).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(200, 3), (403, 9)]));
    end(server).await;
}

/// Whether a medium is served in each way.
async fn is_served(user: &User, mxc: &Mxc) -> bool {
    let replies = [
        user.download(mxc).await,
        user.get(&format!("{}/a.png", mxc.path("download"))).await,
        user.thumbnail(mxc, "width=32&height=32&method=crop").await,
    ];
    let served: Vec<bool> = replies.iter().map(|reply| reply.status == 200).collect();
    assert!(served.iter().all(|one| *one == served[0]), "{served:?}");
    if !served[0] {
        for reply in replies {
            reply.fails(404, "M_NOT_FOUND");
        }
    }
    served[0]
}

async fn a_medium_is_quarantined_and_released(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mxc = alice.medium("image/png", pictures::png(50, 40)).await;
    let same = bob.medium("image/png", pictures::png(50, 40)).await;
    let uri = mxc.to_string();
    assert!(is_served(&bob, &mxc).await);
    let tag = bob.download(&mxc).await.header("etag").to_owned();
    assert_eq!(media(&server, &["quarantine", &uri]).await, "quarantined 1 file");
    assert!(!is_served(&bob, &mxc).await && !is_served(&alice, &mxc).await);
    bob.download(&mxc).header("if-none-match", &tag).await.fails(404, "M_NOT_FOUND");
    assert!(is_served(&bob, &same).await, "another medium of the same content is");
    assert_eq!(media(&server, &["quarantine", &uri]).await, "quarantined 0 files");
    assert_eq!(media(&server, &["release", &uri]).await, "released 1 file");
    assert!(is_served(&bob, &mxc).await);
    let (settings, folder) = server.estate();
    for nonsense in ["nonsense", "mxc://", "https://hearth.test/a"] {
        let complaint = fails(&settings, folder.path(), &["media", "quarantine", nonsense], "").await;
        assert!(complaint.contains(nonsense), "{complaint}");
    }
    end(server).await;
}

async fn media_are_quarantined_by_user_by_room_and_by_server(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mut all = Vec::new();
    for (user, side) in [(&alice, 40), (&alice, 41), (&bob, 42)] {
        all.push(user.medium("image/png", pictures::png(side, side)).await);
    }
    let shown = async || {
        let mut answers = Vec::new();
        for mxc in &all {
            answers.push(is_served(&bob, mxc).await);
        }
        answers
    };
    let room = alice.create_room(json!({})).await;
    let mut picture = text("cat.png");
    (picture["msgtype"], picture["url"]) = (json!("m.image"), json!(all[1].to_string()));
    alice.send(&room, "m.room.message", &picture).await.ok();
    let file = json!({"file": {"url": all[2].to_string()}, "msgtype": "m.file", "body": "secret"});
    alice.send(&room, "m.room.message", &file).await.ok();
    for (what, which, expected) in [
        ("--user", alice.id.as_str(), [false, false, true]),
        ("--room", &room, [true, false, false]),
        ("--server", alice.server(), [false, false, false]),
        ("--server", "elsewhere.test", [true, true, true]),
        ("--user", "@nobody:hearth.test", [true, true, true]),
    ] {
        let count = expected.iter().filter(|shown| !**shown).count();
        let said = media(&server, &["quarantine", what, which]).await;
        assert_eq!(said, format!("quarantined {count} files"), "{what}");
        assert_eq!(shown().await, expected, "{what}");
        media(&server, &["release", what, which]).await;
        assert_eq!(shown().await, [true; 3]);
    }
    end(server).await;
}

async fn media_count_for_who_uploaded_them_whatever_becomes_of_events(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__QUOTA__USER", "10000")).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mxc = alice.medium("image/png", noise(1, 9000)).await;
    let room = alice.room_with(&[&bob]).await;
    let picture = json!({"msgtype": "m.image", "body": "cat", "url": mxc.to_string()});
    let sent = event_id(&alice.send(&room, "m.room.message", &picture).await.ok());
    bob.send(&room, "m.room.message", &picture).await.ok();
    // Who only names a medium has as much room as before.
    bob.medium("image/png", noise(2, 10_000)).await;
    alice.redact(&room, &sent).await.ok();
    alice.upload("image/png", noise(3, 1001)).await.fails(403, "M_FORBIDDEN");
    assert!(media(&server, &["ls", "--user", &alice.id]).await.contains(&mxc.id));
    alice.medium("image/png", noise(3, 1000)).await;
    end(server).await;
}

async fn content_is_quarantined_whoever_has_it_and_brings_it_again(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let picture = pictures::png(60, 50);
    let mut all = Vec::new();
    for user in [&alice, &bob] {
        all.push(user.medium("image/png", picture.clone()).await);
    }
    let other = bob.medium("image/png", pictures::png(61, 50)).await;
    let hash = hash(&server, &all[0]).await;
    media(&server, &["quarantine", "--hash", &hash]).await;
    assert!(!is_served(&bob, &all[0]).await && !is_served(&bob, &all[1]).await);
    assert!(is_served(&bob, &other).await);
    let reserved = bob.reserve().await;
    for call in [
        bob.upload("image/png", picture.clone()),
        bob.upload("text/plain", picture.clone()).without_length(),
        bob.fill(&reserved, "image/png", picture.clone()),
    ] {
        call.await.fails(403, "M_FORBIDDEN");
    }
    media(&server, &["release", "--hash", &hash]).await;
    assert!(is_served(&bob, &all[0]).await && is_served(&bob, &all[1]).await);
    bob.fill(&reserved, "image/png", picture).await.ok();
    let (settings, folder) = server.estate();
    let complaint = fails(&settings, folder.path(), &["media", "quarantine", "--hash", "abc"], "").await;
    assert!(complaint.contains("SHA-256"), "{complaint}");
    end(server).await;
}

async fn deleting_media_frees_their_bytes_unless_another_has_the_same(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let storage = Storage::of(&server);
    let content = noise(1, 300_000);
    let alices = alice.medium("text/plain", content.clone()).await;
    let objects = storage.objects().await;
    assert_eq!(objects.values().sum::<u64>(), 300_000);
    let bobs = bob.medium("video/mp4", content.clone()).await;
    is_left_with(&storage, &objects).await;
    assert_eq!(media(&server, &["delete", &alices.to_string()]).await, "deleted 1 file");
    alice.download(&alices).await.fails(404, "M_NOT_FOUND");
    assert!(bob.download(&bobs).await.content() == content);
    is_left_with(&storage, &objects).await;
    // A picture takes its thumbnails along.
    let picture = alice.medium("image/png", pictures::png(900, 700)).await;
    alice.thumbnail(&picture, "width=640&height=480").patient(PATIENCE).await.content();
    media(&server, &["delete", "--user", &alice.id]).await;
    alice.thumbnail(&picture, "width=640&height=480").await.fails(404, "M_NOT_FOUND");
    is_left_with(&storage, &objects).await;
    let hash = hash(&server, &bobs).await;
    assert_eq!(media(&server, &["delete", "--hash", &hash]).await, "deleted 1 file");
    bob.download(&bobs).await.fails(404, "M_NOT_FOUND");
    is_left_with(&storage, &BTreeMap::new()).await;
    // The same content comes back as if it had never been there.
    let again = bob.medium("text/plain", content.clone()).await;
    assert!(bob.download(&again).await.content() == content);
    let (settings, folder) = server.estate();
    assert!(fails(&settings, folder.path(), &["media", "delete"], "").await.contains("say which"));
    end(server).await;
}

async fn a_check_finds_what_is_damaged_lost_and_named_by_nothing(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    let storage = Storage::of(&server);
    for seed in 0..4 {
        alice.medium("text/plain", noise(seed, 1000)).await;
    }
    let (settings, folder) = server.estate();
    let verify = async || told(&settings, folder.path(), &["media", "verify"]).await;
    assert_eq!(verify().await, (true, "4 objects of 4000 bytes are whole".to_owned()));
    let objects: Vec<String> = storage.objects().await.into_keys().collect();
    storage.put("ab/unknown", b"who put this here").await;
    let (sound, said) = verify().await;
    assert!(sound && said.contains("named by nothing: ab/unknown, 17 bytes"), "{said}");
    let mut damaged = noise(0, 1000);
    damaged[500] ^= 1;
    storage.put(&objects[0], &damaged).await;
    storage.put(&objects[1], &noise(9, 999)).await;
    storage.remove(&objects[2]).await;
    let (sound, said) = verify().await;
    assert!(!sound, "{said}");
    for (what, object) in [("damaged", &objects[0]), ("damaged", &objects[1]), ("lost", &objects[2])] {
        assert!(said.contains(&format!("{what}: {object}")), "{what}: {said}");
    }
    assert!(said.contains("1 objects of 1000 bytes are whole"), "{said}");
    assert!(said.contains("3 objects are damaged or lost"), "{said}");
    server.stop().await;
}

/// The SHA-256 of `meow`.
const MEOW: &str = "404cdd7bc109c432f8cc2443b45bcfe95980f5107215c645236e577929ac3e52";

async fn commands_tell_what_media_there_are(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let uploaded = alice.upload_as("a cat.txt", "text/plain", "meow").await.ok();
    let uri = uploaded["content_uri"].as_str().unwrap();
    bob.medium("text/csv", "a,b").await;
    let reserved = bob.reserve().await;
    let listed = media(&server, &["ls"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let first = listed.lines().next().unwrap();
    assert!(first.contains(&format!(" 4 {uri} text/plain {}", alice.id)), "{first}");
    assert!(listed.lines().any(|line| line.contains("reserved") && line.contains(&reserved.id)), "{listed}");
    assert_eq!(media(&server, &["ls", "--user", &alice.id]).await, first);
    assert_eq!(media(&server, &["ls", "--hash", MEOW]).await, first);
    assert_eq!(media(&server, &["ls", uri]).await, first);
    assert_eq!(media(&server, &["ls", "--server", "elsewhere.test"]).await, "");
    let info = media(&server, &["info", uri]).await;
    let alice_id = alice.id.as_str();
    for (name, value) in [
        ("uri", uri),
        ("uploaded by", alice_id),
        ("type", "text/plain"),
        ("name", "a cat.txt"),
        ("bytes", "4"),
        ("sha-256", MEOW),
        ("quarantined", "no"),
    ] {
        let found = info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        assert_eq!(found, Some(value), "{name}: {info}");
    }
    let totals = media(&server, &["info"]).await;
    let row = |name: &str| totals.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let numbers =
        |row: String| row.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    assert_eq!(numbers(row("of this server")), [2, 7], "{totals}");
    assert_eq!(numbers(row("in the storage")), [2, 7], "{totals}");
    assert_eq!(media(&server, &["purge-remote", "--older-than", "1s"]).await, "deleted 0 files");
    assert_eq!(alice.download(&Mxc::parse(uri)).await.content(), b"meow");
    end(server).await;
}

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(pictures::SECRET.len()).any(|window| window == pictures::SECRET.as_bytes())
}

async fn pictures_lose_what_they_tell_where_that_is_wanted(hearth: Hearth) {
    let (jpeg, png) = (pictures::told_jpeg(60, 40, 6), pictures::told_png(60, 40));
    assert!(holds_secret(&jpeg) && holds_secret(&png), "the pictures tell something");
    let alice = hearth.user("alice").await;
    let kept = alice.medium("image/jpeg", jpeg.clone()).await;
    assert!(alice.download(&kept).await.content() == jpeg, "by default nothing is changed");
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__STRIP_METADATA", "true")).await;
    let alice = hearth.user("alice").await;
    for (kind, bytes, size) in [("image/jpeg", jpeg.clone(), (40, 60)), ("image/png", png, (60, 40))] {
        let mxc = alice.medium(kind, bytes.clone()).await;
        let reserved = alice.reserve().await;
        alice.fill(&reserved, kind, bytes).without_length().await.ok();
        for mxc in [mxc, reserved] {
            let reply = alice.download(&mxc).await;
            assert_eq!(reply.header("content-type"), kind);
            let stripped = reply.content();
            assert!(!holds_secret(&stripped), "{kind} still tells it");
            pictures::measure(&stripped);
            // Which way is up is kept.
            let thumbnail = alice.thumbnail(&mxc, "width=320&height=240").await.content();
            let (_, width, height) = pictures::measure(&thumbnail);
            assert_eq!((width, height), size, "{kind}");
        }
    }
    // What is no picture, or is said to be something else, stays as it is.
    let mut cut = jpeg.clone();
    cut.truncate(30);
    for (kind, bytes) in
        [("text/plain", noise(1, 10_000)), ("image/gif", pictures::gif(9, 9, 2)), ("image/jpeg", cut)]
    {
        let mxc = alice.medium(kind, bytes.clone()).await;
        assert!(alice.download(&mxc).await.content() == bytes, "{kind}");
    }
    end(server).await;
}

async fn who_is_suspended_or_locked_brings_no_media(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let alice = hearth.user("alice").await;
    let (mxc, reserved) = (alice.medium("text/plain", "meow").await, alice.reserve().await);
    let user = async |verb: &str| ok(&settings, folder.path(), &["user", verb, &alice.id], "").await;
    for (verb, status, errcode) in [("suspend", 403, "M_USER_SUSPENDED"), ("lock", 401, "M_USER_LOCKED")] {
        user(verb).await;
        alice.upload("text/plain", "woof").await.fails(status, errcode);
        alice.fill(&reserved, "text/plain", "woof").await.fails(status, errcode);
        alice.call("POST", "/_matrix/media/v1/create").await.fails(status, errcode);
        if verb == "suspend" {
            assert_eq!(alice.download(&mxc).await.content(), b"meow", "who is suspended may read");
        } else {
            alice.download(&mxc).await.fails(status, errcode);
        }
    }
    end(server).await;
}
