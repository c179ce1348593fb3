//! Uploads in several requests, over lines that break.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::harness::media::noise;
use crate::harness::raw::RawRequest;
use crate::harness::server::{Server, Settings};
use crate::harness::storage::Storage;
use crate::harness::{Call, Hearth, Mxc, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        an_upload_goes_on_where_the_connection_broke,
        a_piece_that_does_not_begin_where_the_last_one_ended_is_refused,
        an_upload_is_there_only_when_it_is_complete,
        a_completed_upload_takes_nothing_more,
        nobody_goes_on_with_what_somebody_else_began,
        of_two_pieces_at_the_same_place_one_is_taken,
    ];
    tests.extend(tests![own_server:
        an_upload_goes_on_after_the_server_was_killed,
        pieces_may_not_be_more_than_an_upload_may,
        pieces_leave_nothing_behind,
    ]);
    tests
}

/// Longer than tidying up takes.
const PATIENCE: Duration = Duration::from_secs(40);

fn path(mxc: &Mxc) -> String {
    let (server, id) = (enc(&mxc.server), enc(&mxc.id));
    format!("/_matrix/client/unstable/hearth/media/upload/{server}/{id}")
}

impl User {
    /// The next bytes of an upload.
    fn append(&self, mxc: &Mxc, offset: usize, bytes: &[u8]) -> Call {
        self.call("PUT", &format!("{}?offset={offset}", path(mxc))).bytes(bytes)
    }

    /// That was all.
    fn complete(&self, mxc: &Mxc, query: &str) -> Call {
        self.call("POST", &format!("{}?{query}", path(mxc))).header("content-type", "video/mp4")
    }

    /// How much of an upload has come.
    async fn offset(&self, mxc: &Mxc) -> usize {
        let told = self.get(&path(mxc)).await.ok();
        usize::try_from(told["offset"].as_u64().expect("an offset")).unwrap()
    }
}

/// Sends a piece of which so many bytes come before the connection breaks.
async fn break_off(user: &User, mxc: &Mxc, offset: usize, piece: &[u8], come: usize) {
    let request = RawRequest {
        method: "PUT".to_owned(),
        target: format!("{}?offset={offset}", path(mxc)).into_bytes(),
        token: Some(user.token.clone()),
        announced: Some(piece.len()),
        body: piece[..come].to_vec(),
        ..RawRequest::default()
    };
    let said = request.send_and_end(user.base()).await;
    assert!(said.is_none_or(|said| said.status >= 400), "a piece that broke off is not acknowledged");
}

async fn an_upload_goes_on_where_the_connection_broke(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mxc = alice.reserve().await;
    let bytes = noise(1, 12_000_000);
    assert_eq!(alice.offset(&mxc).await, 0);
    let mut at = 0;
    for come in [1, 300_000, 5_000_000] {
        break_off(&alice, &mxc, at, &bytes[at..], come).await;
        let offset = alice.offset(&mxc).await;
        assert!(offset > at && offset <= at + come, "{offset} after {come} from {at}");
        at = offset;
    }
    let piece = &bytes[at..at + 700_000];
    assert_eq!(alice.append(&mxc, at, piece).await.ok(), json!({"offset": at + 700_000}));
    let rest = &bytes[at + 700_000..];
    let told = alice.append(&mxc, at + 700_000, rest).without_length().await.ok();
    assert_eq!(told, json!({"offset": bytes.len()}));
    let query = format!("filename=film.mp4&size={}", bytes.len());
    assert_eq!(alice.complete(&mxc, &query).await.ok(), json!({}));
    let reply = bob.download(&mxc).await;
    assert_eq!(reply.header("content-type"), "video/mp4");
    assert_eq!(reply.header("content-disposition"), "inline; filename=film.mp4");
    assert!(reply.content() == bytes);
}

async fn a_piece_that_does_not_begin_where_the_last_one_ended_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.reserve().await;
    let bytes = noise(2, 1000);
    alice.append(&mxc, 1, &bytes).await.fails(409, "M_UNKNOWN");
    alice.append(&mxc, 0, &bytes[..600]).await.ok();
    for offset in [0, 1, 599, 601, 1000] {
        let told = alice.append(&mxc, offset, &bytes).await.fails(409, "M_UNKNOWN");
        assert!(told["error"].as_str().unwrap().contains("600"), "{told}");
    }
    for nonsense in ["-1", "x", "1.5", "99999999999999999999999"] {
        let reply = alice.call("PUT", &format!("{}?offset={nonsense}", path(&mxc))).bytes("x").await;
        assert_eq!(reply.status, 400, "{nonsense}: {}", reply.text);
    }
    assert_eq!(alice.append(&mxc, 600, b"").await.ok()["offset"], 600);
    alice.append(&mxc, 600, &bytes[600..]).await.ok();
    alice.complete(&mxc, "").await.ok();
    assert!(alice.download(&mxc).await.content() == bytes);
}

async fn an_upload_is_there_only_when_it_is_complete(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.reserve().await;
    let bytes = noise(3, 300_000);
    alice.append(&mxc, 0, &bytes[..200_000]).await.ok();
    let soon = format!("{}?timeout_ms=0", mxc.path("download"));
    alice.get(&soon).await.fails(504, "M_NOT_YET_UPLOADED");
    // Whoever says how long it is finds what is missing.
    alice.complete(&mxc, "size=300000").await.fails(400, "M_UNKNOWN");
    alice.get(&soon).await.fails(504, "M_NOT_YET_UPLOADED");
    assert_eq!(alice.offset(&mxc).await, 200_000);
    alice.append(&mxc, 200_000, &bytes[200_000..]).await.ok();
    let waiting = tokio::spawn(alice.download(&mxc).into_future());
    alice.complete(&mxc, "size=300000").await.ok();
    assert!(waiting.await.unwrap().content() == bytes);
    // One of which nothing came is empty.
    let empty = alice.reserve().await;
    alice.complete(&empty, "size=0").await.ok();
    assert_eq!(alice.download(&empty).await.content(), b"");
}

async fn a_completed_upload_takes_nothing_more(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.reserve().await;
    alice.append(&mxc, 0, b"meow").await.ok();
    alice.complete(&mxc, "").await.ok();
    alice.append(&mxc, 4, b"woof").await.fails(409, "M_CANNOT_OVERWRITE_MEDIA");
    alice.complete(&mxc, "").await.fails(409, "M_CANNOT_OVERWRITE_MEDIA");
    alice.get(&path(&mxc)).await.fails(409, "M_CANNOT_OVERWRITE_MEDIA");
    assert_eq!(alice.download(&mxc).await.content(), b"meow");
    // An upload in one request wins over pieces that were sent before.
    let mxc = alice.reserve().await;
    alice.append(&mxc, 0, b"meow").await.ok();
    alice.fill(&mxc, "text/plain", "woof").await.ok();
    alice.complete(&mxc, "").await.fails(409, "M_CANNOT_OVERWRITE_MEDIA");
    assert_eq!(alice.download(&mxc).await.content(), b"woof");
}

async fn nobody_goes_on_with_what_somebody_else_began(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let mxc = alice.reserve().await;
    alice.append(&mxc, 0, b"meow").await.ok();
    bob.append(&mxc, 4, b"woof").await.fails(403, "M_FORBIDDEN");
    bob.complete(&mxc, "").await.fails(403, "M_FORBIDDEN");
    bob.get(&path(&mxc)).await.fails(403, "M_FORBIDDEN");
    hearth.get(&path(&mxc)).await.fails(401, "M_MISSING_TOKEN");
    let unknown = Mxc { id: "neverreserved".to_owned(), ..mxc.clone() };
    let elsewhere = Mxc { server: "elsewhere.test".to_owned(), ..mxc.clone() };
    for mxc in [unknown, elsewhere] {
        alice.append(&mxc, 0, b"meow").await.fails(404, "M_NOT_FOUND");
        alice.complete(&mxc, "").await.fails(404, "M_NOT_FOUND");
        alice.get(&path(&mxc)).await.fails(404, "M_NOT_FOUND");
    }
    hearth.login(&alice).await.complete(&mxc, "").await.ok();
    assert_eq!(bob.download(&mxc).await.content(), b"meow");
}

async fn of_two_pieces_at_the_same_place_one_is_taken(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for round in 0..4 {
        let mxc = alice.reserve().await;
        let pieces: Vec<Vec<u8>> = (0..5).map(|seed| noise(round * 10 + seed, 200_000)).collect();
        let calls = pieces.iter().map(|piece| alice.append(&mxc, 0, piece).into_future());
        let replies = join_all(calls).await;
        let taken: Vec<usize> = (0..5).filter(|number| replies[*number].status == 200).collect();
        let [taken] = taken[..] else { panic!("{taken:?} were taken") };
        for reply in replies.into_iter().filter(|reply| reply.status != 200) {
            reply.fails(409, "M_UNKNOWN");
        }
        alice.complete(&mxc, "size=200000").await.ok();
        assert!(alice.download(&mxc).await.content() == pieces[taken]);
    }
}

async fn an_upload_goes_on_after_the_server_was_killed(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new()).await;
    let alice = here.user("alice").await;
    let mxc = alice.reserve().await;
    let bytes = noise(4, 10_000_000);
    alice.append(&mxc, 0, &bytes[..1_000_000]).await.ok();
    let half = tokio::spawn(alice.append(&mxc, 1_000_000, &bytes[1_000_000..]).send());
    sleep(Duration::from_millis(100)).await;
    let (settings, folder) = server.kill().await;
    let acknowledged = half.await.unwrap().is_ok();
    let server = Server::start_in(settings, folder).await;
    let alice = alice.at(&hearth.other(server.base()));
    let at = alice.offset(&mxc).await;
    assert!(at == bytes.len() || !acknowledged && (1_000_000..bytes.len()).contains(&at), "{at}");
    alice.append(&mxc, at, &bytes[at..]).await.ok();
    alice.complete(&mxc, "size=10000000").await.ok();
    assert!(alice.download(&mxc).await.content() == bytes);
    server.stop().await;
}

async fn pieces_may_not_be_more_than_an_upload_may(hearth: Hearth) {
    let settings =
        Settings::new().set("HEARTH_MEDIA__MAX_UPLOAD", "1M").set("HEARTH_MEDIA__QUOTA__USER", "1500K");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let mxc = alice.reserve().await;
    let most = 1024 * 1024;
    alice.append(&mxc, 0, &noise(5, most - 10)).await.ok();
    for length in [11, 100_000] {
        alice.append(&mxc, most - 10, &noise(6, length)).await.fails(413, "M_TOO_LARGE");
    }
    let at = alice.offset(&mxc).await;
    assert_eq!(at, most - 10, "nothing of what was refused is kept");
    alice.append(&mxc, at, &noise(6, 10)).await.ok();
    alice.complete(&mxc, "").await.ok();
    // Nor than a user has room for.
    let mxc = alice.reserve().await;
    alice.append(&mxc, 0, &noise(7, 600_000)).await;
    alice.complete(&mxc, "").await.fails(403, "M_FORBIDDEN");
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn pieces_leave_nothing_behind(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__RESERVED_FOR", "5s")).await;
    let alice = hearth.user("alice").await;
    let storage = Storage::of(&server);
    let (whole, never) = (alice.reserve().await, alice.reserve().await);
    let bytes = noise(8, 900_000);
    for offset in [0, 300_000, 600_000] {
        alice.append(&whole, offset, &bytes[offset..offset + 300_000]).await.ok();
    }
    break_off(&alice, &never, 0, &bytes, 400_000).await;
    alice.complete(&whole, "").await.ok();
    let since = Instant::now();
    loop {
        let objects: BTreeMap<String, u64> = storage.objects().await;
        if objects.values().copied().collect::<Vec<_>>() == [900_000] {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{objects:?}");
        sleep(Duration::from_millis(200)).await;
    }
    alice.get(&path(&never)).await.fails(404, "M_NOT_FOUND");
    assert!(alice.download(&whole).await.content() == bytes);
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}
