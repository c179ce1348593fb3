//! Files that a scanner looks at before anybody gets them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;

use super::{end, media};
use crate::harness::media::noise;
use crate::harness::pages::{Page, Pages};
use crate::harness::server::{Settings, new_folder};
use crate::harness::{Hearth, Test, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        what_a_scanner_finds_infected_is_served_to_nobody,
        what_a_scanner_cannot_say_anything_of_is_not_served_yet,
        a_program_scans_likewise,
    ]
}

/// What the scanners here find infected.
const VIRUS: &str = "X5O!P%@AP a virus";

fn is_infected(body: &[u8]) -> bool {
    body.windows(VIRUS.len()).any(|window| window == VIRUS.as_bytes())
}

async fn what_a_scanner_finds_infected_is_served_to_nobody(hearth: Hearth) {
    let scanner = Pages::start(|asked| Page::status(if is_infected(&asked.body) { 406 } else { 200 })).await;
    let settings = Settings::new().set("HEARTH_MEDIA__SCAN__URL", &scanner.url("/scan"));
    let (server, hearth) = hearth.start(settings).await;
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let large = noise(1, 1_000_000);
    let clean = alice.medium("video/mp4", large.clone()).await;
    let downloads = (0..8).map(|_| bob.download(&clean).into_future());
    for reply in join_all(downloads).await {
        assert!(reply.content() == large);
    }
    assert_eq!(scanner.count("/scan"), 1, "one asks for all");
    assert!(scanner.asked()[0].body == large, "the scanner gets all of it");
    let infected = alice.medium("text/plain", format!("{VIRUS}\n")).await;
    let same = bob.medium("text/plain", format!("{VIRUS}\n")).await;
    for mxc in [&infected, &same] {
        for _ in 0..2 {
            bob.download(mxc).await.fails(404, "M_NOT_FOUND");
            bob.thumbnail(mxc, "width=32&height=32").await.fails(404, "M_NOT_FOUND");
        }
    }
    assert_eq!(scanner.count("/scan"), 2, "the same content is scanned once");
    let mut picture = pictures::png(40, 40);
    picture.extend(VIRUS.as_bytes());
    let picture = alice.medium("image/png", picture).await;
    bob.thumbnail(&picture, "width=32&height=32&method=crop").await.fails(404, "M_NOT_FOUND");
    for (mxc, verdict) in [(&clean, "clean"), (&infected, "infected")] {
        let info = media(&server, &["info", &mxc.to_string()]).await;
        assert!(info.lines().any(|line| line.starts_with("scanned") && line.ends_with(verdict)), "{info}");
    }
    end(server).await;
}

async fn what_a_scanner_cannot_say_anything_of_is_not_served_yet(hearth: Hearth) {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let scanner =
        Pages::start(move |_| Page::status(if well.load(Ordering::Relaxed) { 204 } else { 500 })).await;
    let settings = Settings::new().set("HEARTH_MEDIA__SCAN__URL", &scanner.url("/scan"));
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let mxc = alice.medium("text/plain", "meow").await;
    for _ in 0..2 {
        let reply = alice.download(&mxc).await;
        assert_eq!((reply.status, reply.errcode()), (503, "M_UNKNOWN"), "{}", reply.text);
        assert!(!reply.text.contains("127.0.0.1"), "{}", reply.text);
    }
    is_well.store(true, Ordering::Relaxed);
    assert_eq!(alice.download(&mxc).await.content(), b"meow");
    drop(scanner);
    assert_eq!(alice.download(&mxc).await.content(), b"meow", "what is known is known");
    let other = alice.medium("text/plain", "woof").await;
    assert_eq!(alice.download(&other).await.status, 503);
    server.stop().await;
}

/// A program of the shell.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

async fn a_program_scans_likewise(hearth: Hearth) {
    let folder = new_folder();
    let program = folder.path().join("scan");
    script(
        &program,
        "case $(head -c 8) in infected) exit 1;; broken*) exit 2;; killed*) kill -9 $$;; *) exit 0;; esac",
    );
    let (server, hearth) =
        hearth.start(Settings::new().set("HEARTH_MEDIA__SCAN__COMMAND", &program.to_string_lossy())).await;
    let alice = hearth.user("alice").await;
    // One that has seen enough need not read the rest.
    let mut large = b"infected".to_vec();
    large.extend(noise(1, 2_000_000));
    for (content, status) in [
        (b"clean".to_vec(), 200),
        (b"infected".to_vec(), 404),
        (large, 404),
        (b"broken!!".to_vec(), 503),
        (b"killed!!".to_vec(), 503),
        (noise(2, 2_000_000), 200),
        (Vec::new(), 200),
    ] {
        let mxc = alice.medium("text/plain", content.clone()).await;
        let reply = alice.download(&mxc).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        assert!(status != 200 || reply.bytes == content);
    }
    server.stop().await;
}
