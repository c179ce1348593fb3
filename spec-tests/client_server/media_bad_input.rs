//! Uploads and requests that mean harm, or make no sense: bounded, refused, and nothing is left of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::harness::media::noise;
use crate::harness::raw::RawRequest;
use crate::harness::server::{Server, Settings};
use crate::harness::storage::Storage;
use crate::harness::{Hearth, Mxc, Test, User, enc, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        what_two_programs_would_read_as_two_things_is_run_by_neither,
        drawings_that_hold_programs_are_never_shown_in_place,
        ids_that_are_none_are_not_looked_for,
        servers_that_are_none_are_refused,
        names_of_files_break_out_of_nothing,
        types_break_out_of_nothing,
        fewer_bytes_than_announced_are_no_medium,
        more_bytes_than_announced_are_not_the_mediums,
        lengths_that_are_none_are_refused,
    ];
    tests.extend(tests![own_server:
        pictures_that_unpack_to_too_much_are_refused_and_cost_little,
        a_moving_picture_on_a_huge_canvas_takes_bounded_time,
        uploads_that_break_off_leave_nothing,
        uploads_that_are_refused_leave_nothing,
        an_upload_that_stands_still_is_given_up,
    ]);
    tests
}

/// Longer than any picture here is worked on by a server that is not optimised.
const PATIENCE: Duration = Duration::from_mins(1);

/// All that a picture which is made to harm may take, in KiB: many times less than it asks for.
const MEMORY: u64 = 300_000;

async fn end(server: Server) {
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

/// A way in which a picture is harmful.
type Bomb = (&'static str, &'static str, Vec<u8>);

/// Pictures of which no thumbnail may be made.
fn bombs() -> Vec<Bomb> {
    let mut cut_gif = pictures::wide_gif(60_000, 60_000, 3);
    cut_gif.truncate(40);
    let mut webp = pictures::webp(4, 4);
    // The lossless head's width and height, fourteen bits each, at their most.
    webp[21..24].copy_from_slice(&[0xff, 0xff, 0xff]);
    let mut jpeg = pictures::jpeg(8, 8);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    jpeg[frame + 5..frame + 9].fill(0xff);
    vec![
        ("a PNG of four billion pixels", "image/png", pictures::hollow_png(65_535, 65_535)),
        (
            "a PNG of more pixels than can be counted",
            "image/png",
            pictures::hollow_png(0x7fff_ffff, 0x7fff_ffff),
        ),
        ("a PNG as wide as can be", "image/png", pictures::hollow_png(0x7fff_ffff, 1)),
        ("a PNG without area", "image/png", pictures::hollow_png(0, 0)),
        ("a PNG without pixels", "image/png", pictures::hollow_png(6000, 6000)),
        ("a GIF of four billion pixels", "image/gif", pictures::wide_gif(65_535, 65_535, 10)),
        ("a GIF that breaks off", "image/gif", cut_gif),
        ("a WebP that is larger than it is", "image/webp", webp),
        ("a JPEG that is larger than it is", "image/jpeg", jpeg),
    ]
}

async fn pictures_that_unpack_to_too_much_are_refused_and_cost_little(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    let before = server.memory_kib();
    for (what, kind, bytes) in bombs() {
        let mxc = alice.medium(kind, bytes.clone()).await;
        for query in ["width=32&height=32&method=crop", "width=640&height=480&animated=true"] {
            let reply = alice.thumbnail(&mxc, query).patient(PATIENCE).await;
            assert!([400, 413].contains(&reply.status), "{what}: {}", reply.status);
        }
        assert!(alice.download(&mxc).await.content() == bytes, "{what} is served as any bytes are");
        let grown = server.memory_kib().saturating_sub(before);
        assert!(grown < MEMORY, "{what} took {grown} KiB");
    }
    // What is only stuffed with texts is a picture, and its texts are not unpacked.
    let mxc = alice.medium("image/png", pictures::stuffed_png(40_000_000)).await;
    let reply = alice.thumbnail(&mxc, "width=32&height=32").patient(PATIENCE).await;
    assert!([200, 400, 413].contains(&reply.status), "{}", reply.text);
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < MEMORY, "texts took {grown} KiB");
    alice.get("/account/whoami").await.ok();
    end(server).await;
}

async fn a_moving_picture_on_a_huge_canvas_takes_bounded_time(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    let many = alice.medium("image/gif", pictures::gif(16, 16, 3000)).await;
    let wide = alice.medium("image/gif", pictures::wide_gif(3000, 3000, 5000)).await;
    let begun = Instant::now();
    let moving = "width=32&height=32&animated=true";
    let (many, wide) = (alice.thumbnail(&many, moving), alice.thumbnail(&wide, moving));
    let thumbnails =
        join_all([many, wide].map(|call| tokio::spawn(call.patient(PATIENCE * 2).into_future())));
    let others = async {
        // Whoever asks for something else meanwhile is answered.
        for _ in 0..10 {
            let asked = Instant::now();
            alice.get("/account/whoami").await.ok();
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
            sleep(Duration::from_millis(200)).await;
        }
    };
    let (thumbnails, ()) = tokio::join!(thumbnails, others);
    for thumbnail in thumbnails {
        let reply = thumbnail.unwrap();
        assert!([200, 400, 413].contains(&reply.status), "{}", reply.text);
    }
    let took = begun.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    end(server).await;
}

/// Content that is a picture to some and a page to others.
async fn what_two_programs_would_read_as_two_things_is_run_by_neither(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let page = b"<html><body><script>alert(document.cookie)</script></body></html>";
    let gif_page = [b"GIF89a/*".as_slice(), page, b"*/=1;"].concat();
    let picture_page = [pictures::png(4, 4).as_slice(), page].concat();
    let page_picture = [page.as_slice(), &pictures::jpeg(4, 4)].concat();
    let pdf = [b"%PDF-1.4\n".as_slice(), page].concat();
    let zip = b"PK\x03\x04 and more".to_vec();
    for content in [&gif_page, &picture_page, &page_picture, &pdf, &zip] {
        for declared in
            ["text/html", "image/gif", "image/png", "image/jpeg", "video/mp4", "audio/mpeg", "", "a/b"]
        {
            let mxc = alice.medium(declared, content.clone()).await;
            let named = format!("{}/{}", mxc.path("download"), "page.html");
            for reply in [alice.download(&mxc).await, alice.get(&named).await] {
                let served = reply.header("content-type").to_owned();
                assert!(!served.contains("html") && !served.contains("script"), "{declared}: {served}");
                let shown = reply.header("content-disposition").starts_with("inline");
                let is_picture = ["image/png", "image/gif"].contains(&served.as_str());
                assert!(!shown || is_picture, "{declared} is served as {served}");
                assert_eq!(reply.header("x-content-type-options"), "nosniff");
                assert!(reply.header("content-security-policy").starts_with("sandbox;"));
                assert!(&reply.content() == content);
            }
        }
    }
    let mxc = alice.medium("image/png", pdf).await;
    alice.thumbnail(&mxc, "width=32&height=32").await.fails(400, "M_UNKNOWN");
}

async fn drawings_that_hold_programs_are_never_shown_in_place(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let drawing = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    for prolog in ["", "<?xml version='1.0'?>", "\n\n  ", "\u{feff}", "<!-- a comment -->", "<!DOCTYPE svg>"]
    {
        for declared in ["image/svg+xml", "image/png", "image/jpeg", "", "text/xml", "application/xml"] {
            let mxc = alice.medium(declared, format!("{prolog}{drawing}")).await;
            let reply = alice.download(&mxc).await;
            assert_eq!(reply.header("content-disposition"), "attachment", "{declared}: {prolog}");
            assert!(!reply.header("content-type").starts_with("text/xml"), "{declared}");
            alice.thumbnail(&mxc, "width=32&height=32").await.fails(400, "M_UNKNOWN");
        }
    }
}

async fn ids_that_are_none_are_not_looked_for(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let known = alice.medium("text/plain", "meow").await;
    let ids = [
        "..",
        "../../etc/passwd",
        "..%2f",
        "a/b",
        "a\\b",
        "a.b",
        " ",
        "a b",
        "a\0",
        "a\n",
        "\u{e4}",
        "%00",
        "*",
        "a'--",
        "$(id)",
        "a;b",
        ".",
        "~",
        "hearth-media-id",
        "incoming",
    ];
    for id in
        ids.into_iter().map(str::to_owned).chain([format!("../{}", known.id), format!("{}\0", known.id)])
    {
        let mxc = Mxc { id, ..known.clone() };
        for path in [
            mxc.path("download"),
            format!("{}/a.txt", mxc.path("download")),
            mxc.old_path("download"),
            format!("{}?width=32&height=32", mxc.path("thumbnail")),
        ] {
            let reply = alice.get(&path).await;
            assert!([400, 404].contains(&reply.status), "{path}: {} {}", reply.status, reply.text);
        }
        let reply = alice.fill(&mxc, "text/plain", "woof").await;
        assert!([400, 404].contains(&reply.status), "{mxc}: {} {}", reply.status, reply.text);
    }
    assert_eq!(alice.download(&known).await.content(), b"meow");
}

async fn servers_that_are_none_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let known = alice.medium("text/plain", "meow").await;
    let servers = [
        "..",
        "../..",
        "a/b",
        "a b",
        "",
        "\u{e4}.test",
        "a\0b",
        "hearth.test:",
        "hearth.test:99999999",
        "[::1",
        "@a",
        "hearth.test\r\n",
        "127.0.0.1:22",
        "[::1]:80",
        "localhost",
        "elsewhere.invalid",
        &"x".repeat(300),
        "HEARTH.TEST",
        "hearth.test.",
    ];
    for server in servers {
        let mxc = Mxc { server: server.to_owned(), ..known.clone() };
        let begun = Instant::now();
        for path in [mxc.path("download"), mxc.old_path("download")] {
            let reply = alice.get(&path).unchecked().await;
            assert!([400, 404, 502].contains(&reply.status), "{path}: {} {}", reply.status, reply.text);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{server}: {:?}", begun.elapsed());
    }
}

async fn names_of_files_break_out_of_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let names = [
        "a\r\nset-cookie: x=y",
        "a\nset-cookie: x=y",
        "a\"; filename=\"b.exe",
        "a\\",
        "\"",
        ";",
        "=",
        "\u{7f}",
        "a\u{2028}b",
        "'%0d%0aset-cookie:%20x",
        "../../../../etc/cron.d/x",
        "..\\..\\x",
        "/etc/passwd",
        ".",
        "\u{202e}gnp.exe",
        "CON",
        &"\u{732b}".repeat(400),
        &"a".repeat(4000),
    ];
    for name in names {
        let uploaded = alice.upload_as(name, "text/plain", "meow").await;
        let mxc = Mxc::parse(uploaded.ok()["content_uri"].as_str().unwrap());
        // A client makes nothing of a dot at the end.
        let last = if name == "." { "x" } else { name };
        for path in [mxc.path("download"), format!("{}/{}", mxc.path("download"), enc(last))] {
            let reply = alice.get(&path).await;
            assert!(reply.status == 200 || path.len() > 4000, "{name:?}: {}", reply.text);
            assert!(reply.headers.get("set-cookie").is_none(), "{name:?}");
            let told = reply.header("content-disposition");
            assert!(told.starts_with("inline"), "{name:?}: {told}");
            let quotes = told.matches('"').count();
            assert!(quotes == 0 || quotes == 2 && told.ends_with('"'), "{name:?}: {told}");
            assert!(told.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name:?}: {told}");
        }
    }
    let nul = alice.upload_as("a\0b", "text/plain", "meow").await;
    assert!([200, 400].contains(&nul.status), "{}", nul.text);
    // A name that is no text is none.
    let request = RawRequest {
        method: "POST".to_owned(),
        target: b"/_matrix/media/v3/upload?filename=%ff%fe".to_vec(),
        token: Some(alice.token.clone()),
        body: b"meow".to_vec(),
        ..RawRequest::default()
    };
    let reply = request.send(alice.base()).await;
    assert!([200, 400].contains(&reply.status), "{}", reply.text);
}

async fn types_break_out_of_nothing(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let long = format!("text/{}", "x".repeat(5000));
    let lines = [
        "content-type: text/plain; charset=\"a\"; x=\u{e4}",
        "content-type: /",
        "content-type: text",
        "content-type:",
        "content-type: text/plain, text/html",
        "content-type: text/pl\u{7f}ain",
        "content-type: text/html;text/plain",
        "content-type: text/plain\r\ncontent-type: text/html",
        &format!("content-type: {long}"),
        "content-type: multipart/form-data; boundary=x",
        "content-type: message/rfc822",
    ];
    for line in lines {
        let request = RawRequest {
            method: "POST".to_owned(),
            target: b"/_matrix/media/v3/upload".to_vec(),
            token: Some(alice.token.clone()),
            headers: vec![line.to_owned()],
            body: b"<script>alert(1)</script>".to_vec(),
            ..RawRequest::default()
        };
        let reply = request.send(alice.base()).await;
        if reply.status == 400 {
            continue;
        }
        assert_eq!(reply.status, 200, "{line}: {}", reply.text);
        let served = alice.download(&Mxc::parse(reply.body["content_uri"].as_str().unwrap())).await;
        let served = served.header("content-type");
        let is_plain = served == "application/octet-stream" || served.starts_with("text/plain");
        assert!(is_plain && served.is_ascii() && served.len() < 300, "{line}: {served}");
    }
}

fn upload(user: &User, announced: usize, body: Vec<u8>) -> RawRequest {
    RawRequest {
        method: "POST".to_owned(),
        target: b"/_matrix/media/v3/upload".to_vec(),
        token: Some(user.token.clone()),
        announced: Some(announced),
        body,
        ..RawRequest::default()
    }
}

async fn fewer_bytes_than_announced_are_no_medium(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (announced, sent) in [(1, 0), (1000, 999), (1_000_000, 500_000), (1_000_000, 0)] {
        let reply = upload(&alice, announced, noise(1, sent)).send_and_end(alice.base()).await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status >= 400), "{sent} of {announced}: {reply:?}");
        let mxc = alice.reserve().await;
        let mut request = upload(&alice, announced, noise(1, sent));
        (request.method, request.target) = ("PUT".to_owned(), mxc.old_path("upload").into_bytes());
        let reply = request.send_and_end(alice.base()).await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status >= 400), "{sent} of {announced}: {reply:?}");
        let path = format!("{}?timeout_ms=0", mxc.path("download"));
        alice.get(&path).await.fails(504, "M_NOT_YET_UPLOADED");
    }
}

async fn more_bytes_than_announced_are_not_the_mediums(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (announced, sent) in [(0, 10), (1, 1000), (300_000, 600_000)] {
        let Some(reply) = upload(&alice, announced, noise(2, sent)).send_and_end(alice.base()).await else {
            continue;
        };
        assert_eq!(reply.status, 200, "{}", reply.text);
        let mxc = Mxc::parse(reply.body["content_uri"].as_str().unwrap());
        assert!(alice.download(&mxc).await.content() == noise(2, announced), "{sent} for {announced}");
    }
}

async fn lengths_that_are_none_are_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for line in [
        "content-length: -1",
        "content-length: x",
        "content-length: 99999999999999999999999",
        "content-length: 5, 6",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity",
    ] {
        let mut request = upload(&alice, 4, b"meow".to_vec());
        request.headers.push(line.to_owned());
        let reply = request.send_and_end(alice.base()).await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status >= 400), "{line}: {reply:?}");
    }
    let huge = upload(&alice, 100_000_000_000, b"meow".to_vec()).send_and_end(alice.base()).await;
    let huge = huge.expect("it is told why");
    assert_eq!((huge.status, huge.errcode()), (413, "M_TOO_LARGE"), "{}", huge.text);
}

/// Waits until the storage holds these objects again and nothing else.
async fn is_left_with(storage: &Storage, objects: &BTreeMap<String, u64>) {
    let since = Instant::now();
    loop {
        let found = storage.objects().await;
        if &found == objects {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{found:?} in place of {objects:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn uploads_that_break_off_leave_nothing(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    alice.medium("text/plain", "meow").await;
    let storage = Storage::of(&server);
    let objects = storage.objects().await;
    assert_eq!(objects.len(), 1);
    for sent in [1, 100_000, 300_000, 3_000_000, 7_000_000] {
        let broken: Vec<_> = (0..4).map(|seed| upload(&alice, 10_000_000, noise(seed, sent))).collect();
        for result in join_all(broken.iter().map(|request| request.break_off(alice.base()))).await {
            result.unwrap();
        }
    }
    is_left_with(&storage, &objects).await;
    let mut database = crate::harness::cluster::connect(server.settings().database_url()).await;
    let rows: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM media), (SELECT count(*) FROM media_blob), (SELECT count(*) FROM media_loose)",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert_eq!(rows, (1, 1, 0));
    end(server).await;
}

async fn uploads_that_are_refused_leave_nothing(hearth: Hearth) {
    let settings =
        Settings::new().set("HEARTH_MEDIA__MAX_UPLOAD", "1M").set("HEARTH_MEDIA__QUOTA__USER", "2M");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let storage = Storage::of(&server);
    let first = alice.medium("text/plain", noise(1, 1_000_000)).await;
    alice.medium("text/plain", noise(2, 1_000_000)).await;
    let objects = storage.objects().await;
    let bytes = noise(3, 1_000_000);
    let calls = [
        alice.upload("text/plain", noise(4, 1_500_000)).without_length(),
        alice.upload("text/plain", bytes.clone()),
        alice.upload("text/plain", bytes.clone()).without_length(),
        alice.fill(&first, "text/plain", bytes.clone()),
        alice.fill(&alice.reserve().await, "text/plain", bytes).without_length(),
    ];
    for call in calls {
        let reply = call.await;
        assert!([403, 409, 413].contains(&reply.status), "{}", reply.text);
    }
    // The same content again is no object more.
    let bob = hearth.user("bob").await;
    bob.medium("image/png", noise(1, 1_000_000)).await;
    is_left_with(&storage, &objects).await;
    end(server).await;
}

async fn an_upload_that_stands_still_is_given_up(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_HTTP__STALL_TIMEOUT", "700ms")).await;
    let alice = hearth.user("alice").await;
    let reply = upload(&alice, 1_000_000, noise(1, 400_000)).send(alice.base()).await;
    assert_eq!((reply.status, reply.errcode()), (408, "M_UNKNOWN"), "{}", reply.text);
    is_left_with(&Storage::of(&server), &BTreeMap::new()).await;
    end(server).await;
}
