//! Pictures made smaller.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use image::ImageFormat;
use tokio::time::sleep;

use crate::harness::command::ok;
use crate::harness::server::{Settings, new_folder};
use crate::harness::storage::Storage;
use crate::harness::{Call, Hearth, Mxc, Test, User, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        a_scaled_thumbnail_keeps_its_shape_and_is_not_smaller_than_asked_for,
        a_cropped_thumbnail_has_the_shape_that_was_asked_for,
        no_thumbnail_is_larger_than_its_picture,
        a_thumbnail_is_a_jpeg_unless_something_shows_through,
        a_picture_that_lies_on_its_side_is_turned_upright,
        a_picture_moves_only_for_who_asks_for_that,
        a_thumbnail_of_no_size_is_refused,
        there_is_no_thumbnail_of_what_is_no_picture,
        many_who_ask_at_once_get_the_same,
        a_thumbnail_is_a_medium_like_others,
    ];
    tests.extend(tests![own_server:
        the_usual_thumbnails_are_made_ahead,
        a_picture_larger_than_allowed_has_no_thumbnail,
        a_program_makes_pictures_of_films_and_documents,
    ]);
    tests
}

/// Making one takes its time where several are made.
const PATIENCE: Duration = Duration::from_secs(40);

fn thumbnail(user: &User, mxc: &Mxc, query: &str) -> Call {
    user.thumbnail(mxc, query).patient(PATIENCE)
}

async fn sides(user: &User, mxc: &Mxc, query: &str) -> (u32, u32) {
    let (_, width, height) = pictures::measure(&thumbnail(user, mxc, query).await.content());
    (width, height)
}

async fn a_scaled_thumbnail_keeps_its_shape_and_is_not_smaller_than_asked_for(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(900, 600)).await;
    for (width, height) in [(320, 240), (640, 480), (800, 600), (100, 100), (321, 1), (1, 241)] {
        let asked = format!("width={width}&height={height}");
        let found = sides(&alice, &mxc, &asked).await;
        assert_eq!(found, sides(&alice, &mxc, &format!("{asked}&method=scale")).await, "scale goes unsaid");
        // As large as fits into a box that holds what was asked for.
        let is_large = found.0 >= width || found.1 >= height;
        let ratio = f64::from(found.0) / f64::from(found.1);
        assert!(is_large && (ratio - 1.5).abs() < 0.02 && found.0 < 900, "{asked}: {found:?}");
    }
}

async fn a_cropped_thumbnail_has_the_shape_that_was_asked_for(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(400, 200)).await;
    for (asked, found) in
        [((32, 32), (32, 32)), ((96, 96), (96, 96)), ((96, 32), (96, 32)), ((30, 90), (32, 96))]
    {
        let query = format!("width={}&height={}&method=crop", asked.0, asked.1);
        assert_eq!(sides(&alice, &mxc, &query).await, found, "{query}");
    }
    // It is cut from the middle: the red corner is gone.
    let square = thumbnail(&alice, &mxc, "width=96&height=96&method=crop").await.content();
    let [red, ..] = pictures::colour_at(&square, 2, 2);
    assert!(red < 100, "{red}");
    let whole = thumbnail(&alice, &mxc, "width=320&height=160&method=scale").await.content();
    let [red, ..] = pictures::colour_at(&whole, 2, 2);
    assert!(red > 200, "{red}");
}

async fn no_thumbnail_is_larger_than_its_picture(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(20, 10)).await;
    for query in ["width=640&height=480", "width=4294967295&height=4294967295", "width=32&height=32"] {
        assert_eq!(sides(&alice, &mxc, query).await, (20, 10), "{query}");
    }
    let (width, height) = sides(&alice, &mxc, "width=96&height=96&method=crop").await;
    assert!(width <= 20 && height == 10, "{width} × {height}");
    let line = alice.medium("image/png", pictures::png(1000, 1)).await;
    assert_eq!(sides(&alice, &line, "width=32&height=32").await, (320, 1));
}

async fn a_thumbnail_is_a_jpeg_unless_something_shows_through(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let pictures = [
        ("image/png", pictures::png(400, 300), ImageFormat::Jpeg, "image/jpeg"),
        ("image/jpeg", pictures::jpeg(400, 300), ImageFormat::Jpeg, "image/jpeg"),
        ("image/webp", pictures::webp(400, 300), ImageFormat::Jpeg, "image/jpeg"),
        ("image/gif", pictures::gif(400, 300, 1), ImageFormat::Jpeg, "image/jpeg"),
        ("image/png", pictures::clear_png(400, 300), ImageFormat::Png, "image/png"),
    ];
    for (kind, bytes, format, served) in pictures {
        let mxc = alice.medium(kind, bytes).await;
        let reply = thumbnail(&alice, &mxc, "width=320&height=240").await;
        assert_eq!(reply.header("content-type"), served, "of {kind}");
        assert_eq!(reply.header("content-disposition"), "inline");
        assert_eq!(pictures::measure(&reply.content()), (format, 320, 240), "of {kind}");
    }
}

async fn a_picture_that_lies_on_its_side_is_turned_upright(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    // Turned by a quarter to the right, the corner that was left is right.
    let mxc = alice.medium("image/jpeg", pictures::told_jpeg(400, 300, 6)).await;
    let upright = thumbnail(&alice, &mxc, "width=640&height=480").await.content();
    let (_, width, height) = pictures::measure(&upright);
    assert_eq!((width, height), (300, 400));
    let [left, right] = [5, 290].map(|x| pictures::colour_at(&upright, x, 5)[0]);
    assert!(left < 100 && right > 200, "{left}, {right}");
    let small = sides(&alice, &mxc, "width=90&height=120&method=crop").await;
    assert_eq!(small, (120, 160));
}

/// How many frames a picture has.
fn frames(bytes: &[u8]) -> usize {
    use image::AnimationDecoder as _;
    let source = std::io::Cursor::new(bytes);
    match image::guess_format(bytes).unwrap() {
        ImageFormat::Gif => image::codecs::gif::GifDecoder::new(source).unwrap().into_frames().count(),
        ImageFormat::Png => {
            let decoder = image::codecs::png::PngDecoder::new(source).unwrap();
            if decoder.is_apng().unwrap() { decoder.apng().unwrap().into_frames().count() } else { 1 }
        }
        _ => 1,
    }
}

async fn a_picture_moves_only_for_who_asks_for_that(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let size = "width=32&height=32&method=crop";
    for (kind, bytes, count) in
        [("image/gif", pictures::gif(80, 60, 4), 4), ("image/png", pictures::apng(80, 60, 3), 3)]
    {
        let mxc = alice.medium(kind, bytes).await;
        for still in ["", "&animated=false"] {
            let reply = thumbnail(&alice, &mxc, &format!("{size}{still}")).await;
            assert_eq!(frames(&reply.content()), 1, "{kind}{still}");
        }
        let moving = thumbnail(&alice, &mxc, &format!("{size}&animated=true")).await;
        let served = moving.header("content-type").to_owned();
        assert!(["image/gif", "image/apng", "image/png"].contains(&served.as_str()), "{served}");
        let moving = moving.content();
        assert_eq!((frames(&moving), pictures::measure(&moving).1), (count, 32), "{kind}");
    }
    // What does not move is none the worse for it.
    for (kind, bytes) in [("image/png", pictures::png(80, 60)), ("image/gif", pictures::gif(80, 60, 1))] {
        let mxc = alice.medium(kind, bytes).await;
        let reply = thumbnail(&alice, &mxc, &format!("{size}&animated=true")).await;
        assert_eq!(frames(&reply.content()), 1, "{kind}");
    }
}

async fn a_thumbnail_of_no_size_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(40, 30)).await;
    for query in [
        "width=0&height=32",
        "width=32&height=0",
        "width=-1&height=32",
        "width=x&height=32",
        "width=32",
        "height=32",
        "",
        "width=32&height=1.5",
        "width=99999999999&height=1",
        "width=32&height=32&method=stretch",
        "width=32&height=32&animated=perhaps",
    ] {
        let reply = alice.thumbnail(&mxc, query).unchecked().await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text);
        assert!(reply.errcode().starts_with("M_"), "{query}: {}", reply.text);
    }
}

async fn there_is_no_thumbnail_of_what_is_no_picture(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mut cut = pictures::png(200, 100);
    cut.truncate(cut.len() / 2);
    let none: [(&str, Vec<u8>); 7] = [
        ("text/plain", b"a text".to_vec()),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>".to_vec()),
        ("video/mp4", b"\0\0\0\x18ftypmp42".to_vec()),
        ("application/pdf", b"%PDF-1.7".to_vec()),
        ("image/png", b"no picture at all".to_vec()),
        ("image/png", Vec::new()),
        ("application/octet-stream", pictures::png(20, 20)),
    ];
    for (kind, bytes) in none {
        let mxc = alice.medium(kind, bytes).await;
        alice.thumbnail(&mxc, "width=32&height=32").await.fails(400, "M_UNKNOWN");
    }
    let mxc = alice.medium("image/png", cut).await;
    for animated in ["false", "true"] {
        let reply = thumbnail(&alice, &mxc, &format!("width=32&height=32&animated={animated}")).await;
        reply.fails(400, "M_UNKNOWN");
    }
}

async fn many_who_ask_at_once_get_the_same(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(300, 200)).await;
    let calls = (0..20).map(|_| thumbnail(&alice, &mxc, "width=160&height=160&method=crop").into_future());
    let replies = join_all(calls).await;
    let first = replies[0].clone().content();
    assert_eq!(pictures::measure(&first).1, 160);
    assert!(replies.into_iter().all(|reply| reply.content() == first));
}

async fn a_thumbnail_is_a_medium_like_others(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let uploaded = alice.upload_as("my cat.png", "image/png", pictures::png(400, 300)).await.ok();
    let mxc = Mxc::parse(uploaded["content_uri"].as_str().unwrap());
    let small = "width=96&height=96&method=crop";
    let reply = thumbnail(&alice, &mxc, small).await;
    let (tag, bytes) = (reply.header("etag").to_owned(), reply.bytes);
    let again = thumbnail(&alice, &mxc, small).header("if-none-match", &tag).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let part = thumbnail(&alice, &mxc, small).header("range", "bytes=2-5").await;
    assert_eq!((part.status, part.bytes.as_slice()), (206, &bytes[2..6]));
    assert_ne!(alice.download(&mxc).await.header("etag"), tag);
}

async fn the_usual_thumbnails_are_made_ahead(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(1000, 700)).await;
    let (settings, folder) = server.estate();
    let (storage, since) = (Storage::of(&server), Instant::now());
    while storage.objects().await.len() < 6 {
        assert!(since.elapsed() < PATIENCE, "{:?}", storage.objects().await);
        sleep(Duration::from_millis(100)).await;
    }
    let known = storage.objects().await;
    for query in [
        "width=32&height=32&method=crop",
        "width=96&height=96&method=crop",
        "width=320&height=240&method=scale",
        "width=640&height=480",
        "width=800&height=600",
    ] {
        thumbnail(&alice, &mxc, query).await.content();
    }
    assert_eq!(storage.objects().await, known, "they were there");
    let info = ok(&settings, folder.path(), &["media", "info"], "").await;
    assert!(info.lines().any(|line| line.starts_with("thumbnails") && line.contains(" 5 ")), "{info}");
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

async fn a_picture_larger_than_allowed_has_no_thumbnail(hearth: Hearth) {
    let settings = Settings::new()
        .set("HEARTH_MEDIA__THUMBNAILS__MAX_PIXELS", "10000")
        .set("HEARTH_MEDIA__THUMBNAILS__MAX_FILE", "100K");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let fits = alice.medium("image/png", pictures::png(100, 100)).await;
    assert_eq!(sides(&alice, &fits, "width=32&height=32&method=crop").await, (32, 32));
    let mut heavy = pictures::png(10, 10);
    heavy.extend(vec![0; 110_000]);
    for bytes in [pictures::png(101, 100), pictures::gif(101, 100, 2), pictures::webp(101, 100), heavy] {
        let mxc = alice.medium("image/png", bytes).await;
        for animated in ["false", "true"] {
            let query = format!("width=32&height=32&animated={animated}");
            thumbnail(&alice, &mxc, &query).await.fails(413, "M_TOO_LARGE");
        }
        assert_eq!(alice.download(&mxc).await.status, 200, "the picture itself is served");
    }
    server.stop().await;
}

/// A program of the shell.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

async fn a_program_makes_pictures_of_films_and_documents(hearth: Hearth) {
    let folder = new_folder();
    let (picture, program) = (folder.path().join("picture"), folder.path().join("program"));
    fs::write(&picture, pictures::png(400, 300)).unwrap();
    script(
        &program,
        &format!(
            "[ \"$1\" = -x ] || exit 3\ncase $(head -c 4 \"$2\") in good) cat {};; bad) exit 1;; *) echo no picture;; esac",
            picture.display()
        ),
    );
    let settings =
        Settings::new().set("HEARTH_MEDIA__THUMBNAILS__COMMAND", &format!("{},-x", program.display()));
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    for kind in ["video/mp4", "application/pdf", "image/avif", "image/heic"] {
        let mxc = alice.medium(kind, format!("good {kind}")).await;
        assert_eq!(sides(&alice, &mxc, "width=32&height=32&method=crop").await, (32, 32), "{kind}");
    }
    for (kind, text) in [
        ("video/mp4", "bad"),
        ("video/mp4", "other"),
        ("text/plain", "good text"),
        ("image/svg+xml", "good svg"),
        ("application/octet-stream", "good bytes"),
    ] {
        let mxc = alice.medium(kind, text).await;
        thumbnail(&alice, &mxc, "width=32&height=32").await.fails(400, "M_UNKNOWN");
    }
    let left = fs::read_dir(server.data_dir().join("tmp")).unwrap().count();
    assert_eq!(left, 0, "a copy was left behind");
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}
