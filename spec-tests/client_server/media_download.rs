//! What media are served as, and to whom.

use crate::harness::media::noise;
use crate::harness::{Call, Hearth, Mxc, Test, User, enc, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        media_come_with_headers_that_keep_browsers_from_running_them,
        only_what_browsers_can_show_in_safety_is_shown_in_place,
        a_file_is_called_what_its_uploader_or_the_path_says,
        what_bytes_look_like_settles_what_they_are_served_as,
        what_is_known_already_is_not_sent_again,
        a_part_of_a_medium_can_be_asked_for,
        a_part_that_there_is_not_is_refused,
        the_head_of_a_medium_can_be_asked_for,
        a_medium_is_not_packed_on_the_way,
        media_are_for_who_has_a_token,
        media_that_there_are_not_are_not_found,
        old_paths_serve_nothing_that_was_uploaded_since,
    ]
}

const POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src \
                      'unsafe-inline'; object-src 'self';";

async fn media_come_with_headers_that_keep_browsers_from_running_them(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(3, 2)).await;
    let named = format!("{}/cat.png", mxc.path("download"));
    let thumbnail = alice.thumbnail(&mxc, "width=32&height=32&method=crop").await;
    for reply in [alice.download(&mxc).await, alice.get(&named).await, thumbnail] {
        assert_eq!(reply.status, 200, "{}", reply.about);
        let expected = [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private, max-age=31536000, immutable"),
            ("accept-ranges", "bytes"),
            ("access-control-allow-origin", "*"),
            ("x-robots-tag", "noindex, nofollow, noarchive, noimageindex"),
        ];
        for (name, value) in expected {
            assert_eq!(reply.header(name), value, "{name} of {}", reply.about);
        }
        assert_eq!(reply.header("content-length"), reply.bytes.len().to_string());
        let tag = reply.header("etag");
        assert!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    }
}

async fn only_what_browsers_can_show_in_safety_is_shown_in_place(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let listed = [
        "text/css",
        "text/plain",
        "text/csv",
        "application/json",
        "application/ld+json",
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/apng",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "video/quicktime",
        "audio/mp4",
        "audio/webm",
        "audio/aac",
        "audio/mpeg",
        "audio/ogg",
        "audio/wave",
        "audio/wav",
        "audio/x-wav",
        "audio/x-pn-wav",
        "audio/flac",
        "audio/x-flac",
        "Text/Plain; charset=utf-8",
    ];
    let others = [
        "image/svg+xml",
        "application/pdf",
        "application/octet-stream",
        "application/zip",
        "application/x-sh",
        "image/x-unheard-of",
        "video/x-matroska",
        "text/markdown",
        "text/html",
        "text/plainer",
        "image/pngs",
    ];
    for (kinds, how) in [(&listed[..], "inline"), (&others[..], "attachment")] {
        for kind in kinds {
            let mxc = alice.medium(kind, noise(1, 20)).await;
            assert_eq!(alice.download(&mxc).await.header("content-disposition"), how, "{kind}");
        }
    }
}

/// Names, and how the header tells them.
const NAMES: [(&str, &str); 12] = [
    ("cat.txt", "inline; filename=cat.txt"),
    ("a cat.txt", "inline; filename=\"a cat.txt\""),
    ("a;b.txt", "inline; filename=\"a;b.txt\""),
    ("K\u{e4}tzchen.txt", "inline; filename*=utf-8''K%C3%A4tzchen.txt"),
    ("\u{732b}.txt", "inline; filename*=utf-8''%E7%8C%AB.txt"),
    ("say \"meow\".txt", "inline; filename*=utf-8''say%20%22meow%22.txt"),
    ("100%.txt", "inline; filename*=utf-8''100%25.txt"),
    ("../../etc/passwd", "inline; filename=passwd"),
    ("C:\\cats\\a.txt", "inline; filename=a.txt"),
    ("", "inline"),
    ("..", "inline"),
    ("gp\u{202e}gpj.exe", "inline; filename=gpgpj.exe"),
];

async fn a_file_is_called_what_its_uploader_or_the_path_says(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    for (name, told) in NAMES {
        let uploaded = alice.upload_as(name, "text/plain", "meow").await.ok();
        let mxc = Mxc::parse(uploaded["content_uri"].as_str().unwrap());
        assert_eq!(alice.download(&mxc).await.header("content-disposition"), told, "{name:?}");
        let other = format!("{}/{}", mxc.path("download"), enc("my dog.txt"));
        let reply = alice.get(&other).await;
        assert_eq!(reply.header("content-disposition"), "inline; filename=\"my dog.txt\"");
        assert_eq!(reply.content(), b"meow");
    }
    let mxc = alice.medium("text/plain", "meow").await;
    let reply = alice.get(&format!("{}/{}", mxc.path("download"), enc("\u{732b}\r\nx: y"))).await;
    let told = reply.header("content-disposition");
    assert_eq!(told, "inline; filename*=utf-8''%E7%8C%AB%0D%0Ax%3A%20y");
    assert_eq!(reply.header("x"), "");
}

async fn what_bytes_look_like_settles_what_they_are_served_as(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (png, jpeg, gif) = (pictures::png(2, 2), pictures::jpeg(2, 2), pictures::gif(2, 2, 1));
    let page = b"<!DOCTYPE html><script>alert(1)</script>".to_vec();
    let bytes = "application/octet-stream";
    let cases: [(&str, &[u8], &str); 16] = [
        ("image/png", &png, "image/png"),
        ("image/png", &jpeg, "image/jpeg"),
        ("image/webp", &gif, "image/gif"),
        ("", &png, "image/png"),
        ("", &page, bytes),
        ("", b"plain text", bytes),
        (bytes, &png, bytes),
        ("image/png", &page, bytes),
        ("video/mp4", &page, bytes),
        ("text/html", &page, bytes),
        ("TEXT/HTML; charset=utf-8", b"x", bytes),
        ("application/xhtml+xml", b"x", bytes),
        ("text/javascript", b"x", bytes),
        ("text/plain", &page, "text/plain"),
        ("text/plain; charset=utf-8", &png, "text/plain; charset=utf-8"),
        ("nonsense", &jpeg, "image/jpeg"),
    ];
    for (declared, content, served) in cases {
        let mxc = alice.medium(declared, content).await;
        let reply = alice.download(&mxc).await;
        assert_eq!(reply.header("content-type"), served, "{declared}, {:?}", &content[..1]);
        assert_eq!(reply.content(), content);
    }
}

async fn what_is_known_already_is_not_sent_again(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("text/plain", "meow").await;
    let tag = alice.download(&mxc).await.header("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let reply = alice.download(&mxc).header("if-none-match", &known).await;
        assert_eq!(
            (reply.status, reply.bytes.len(), reply.header("etag")),
            (304, 0, tag.as_str()),
            "{known}"
        );
        assert_eq!(reply.header("cache-control"), "private, max-age=31536000, immutable");
    }
    for unknown in ["\"other\"", "", "nonsense"] {
        let reply = alice.download(&mxc).header("if-none-match", unknown).await;
        assert_eq!(reply.content(), b"meow", "{unknown}");
    }
    // Whoever has no token learns nothing by it.
    let reply = hearth.get(&mxc.path("download")).header("if-none-match", &tag).await;
    reply.fails(401, "M_MISSING_TOKEN");
}

fn part(user: &User, mxc: &Mxc, range: &str) -> Call {
    user.download(mxc).header("range", range)
}

async fn a_part_of_a_medium_can_be_asked_for(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let bytes = noise(2, 600_000);
    let mxc = alice.medium("video/mp4", bytes.clone()).await;
    let parts = [
        ("bytes=0-0", 0..1),
        ("bytes=0-99", 0..100),
        ("bytes=262143-262145", 262_143..262_146),
        ("bytes=599999-", 599_999..600_000),
        ("bytes=300000-", 300_000..600_000),
        ("bytes=-5", 599_995..600_000),
        ("bytes=-9999999", 0..600_000),
        ("bytes=100-99999999", 100..600_000),
    ];
    for (asked, range) in parts {
        let reply = part(&alice, &mxc, asked).await;
        assert_eq!(reply.status, 206, "{asked}");
        let told = format!("bytes {}-{}/600000", range.start, range.end - 1);
        assert_eq!(reply.header("content-range"), told);
        assert_eq!(reply.header("content-length"), range.len().to_string());
        assert_eq!(reply.header("content-security-policy"), POLICY);
        assert!(reply.bytes == bytes[range], "{asked}");
    }
    // What is no range, or several, is the whole.
    for asked in ["bytes=5-1", "bytes=0-1,5-6", "lines=0-1", "bytes=", "bytes=x-y", "0-1"] {
        let reply = part(&alice, &mxc, asked).await;
        assert_eq!(reply.header("content-range"), "", "{asked}");
        assert!(reply.content() == bytes, "{asked}");
    }
    let tag = alice.download(&mxc).await.header("etag").to_owned();
    assert_eq!(part(&alice, &mxc, "bytes=0-0").header("if-range", &tag).await.status, 206);
    assert_eq!(part(&alice, &mxc, "bytes=0-0").header("if-range", "\"other\"").await.status, 200);
}

async fn a_part_that_there_is_not_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (mxc, empty) = (alice.medium("video/mp4", noise(3, 100)).await, alice.medium("video/mp4", "").await);
    for asked in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
        let reply = part(&alice, &mxc, asked).await;
        assert_eq!((reply.status, reply.header("content-range")), (416, "bytes */100"), "{asked}");
    }
    for asked in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
        let reply = part(&alice, &empty, asked).await;
        assert_eq!((reply.status, reply.header("content-range")), (416, "bytes */0"), "{asked}");
    }
    assert_eq!(alice.download(&empty).await.content(), b"");
}

async fn the_head_of_a_medium_can_be_asked_for(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("text/plain", noise(4, 12_345)).await;
    let reply = alice.call("HEAD", &mxc.path("download")).await;
    assert_eq!((reply.status, reply.bytes.len()), (200, 0));
    assert_eq!(reply.header("content-length"), "12345");
    assert_eq!(reply.header("content-type"), "text/plain");
    assert_eq!(reply.header("content-security-policy"), POLICY);
    let unknown = Mxc { id: "unknown".to_owned(), ..mxc };
    assert_eq!(alice.call("HEAD", &unknown.path("download")).unchecked().await.status, 404);
}

/// A part of something packed is no part of it.
async fn a_medium_is_not_packed_on_the_way(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let bytes = "the same again and again\n".repeat(4000);
    for kind in ["text/plain", "application/json", "image/svg+xml"] {
        let mxc = alice.medium(kind, bytes.as_bytes()).await;
        let reply = alice.download(&mxc).header("accept-encoding", "gzip, zstd").await;
        assert_eq!(reply.header("content-length"), "100000", "{kind}");
        assert_eq!(reply.header("content-encoding"), "", "{kind}");
        let range = part(&alice, &mxc, "bytes=50000-50009").header("accept-encoding", "gzip, zstd").await;
        assert_eq!(range.bytes, &bytes.as_bytes()[50_000..50_010]);
    }
}

async fn media_are_for_who_has_a_token(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(2, 2)).await;
    let paths = [
        mxc.path("download"),
        format!("{}/a.png", mxc.path("download")),
        format!("{}?width=32&height=32", mxc.path("thumbnail")),
    ];
    for path in paths {
        hearth.get(&path).await.fails(401, "M_MISSING_TOKEN");
        hearth.get(&path).token("made-up").await.fails(401, "M_UNKNOWN_TOKEN");
    }
}

async fn media_that_there_are_not_are_not_found(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let own = |id: &str| Mxc { server: alice.server().to_owned(), id: id.to_owned() };
    for mxc in [own("unknown"), own(&"x".repeat(255)), own(&"x".repeat(5000)), own("a")] {
        alice.download(&mxc).await.fails(404, "M_NOT_FOUND");
        alice.get(&format!("{}/a.txt", mxc.path("download"))).await.fails(404, "M_NOT_FOUND");
        alice.thumbnail(&mxc, "width=32&height=32").await.fails(404, "M_NOT_FOUND");
    }
}

async fn old_paths_serve_nothing_that_was_uploaded_since(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("image/png", pictures::png(2, 2)).await;
    for old in ["v3", "r0", "v1"] {
        let path = |verb: &str| mxc.old_path(verb).replace("/v3/", &format!("/{old}/"));
        let thumbnail = format!("{}?width=32&height=32", path("thumbnail"));
        for path in [path("download"), format!("{}/a.png", path("download")), thumbnail] {
            hearth.get(&path).await.fails(404, "M_NOT_FOUND");
            // A token changes nothing there.
            alice.get(&path).await.fails(404, "M_NOT_FOUND");
        }
    }
}
