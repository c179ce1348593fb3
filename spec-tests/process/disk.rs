//! A full disk: writes are refused, reads go on, nothing that was acknowledged is lost, and all is well again when
//! there is room.
//!
//! These need a small disk: `.ci/full disk` makes one and names it in `HEARTH_SPEC_SMALL_DISK`. It holds the database,
//! and the folder `HEARTH_SPEC_LOG_DISK` the write-ahead log of one that somebody else runs.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::harness::media::noise;
use crate::harness::postgres::Postgres;
use crate::harness::rooms::text;
use crate::harness::server::{Server, Settings};
use crate::harness::storage::DIRECTORY;
use crate::harness::{Hearth, Mxc, Test, User, tests};

/// Reads go on for this long: longer than a process may go without saying that it lives.
const FULL_FOR: Duration = Duration::from_secs(25);

/// So soon all is well again.
const RECOVERY: Duration = Duration::from_secs(20);

/// A message that fills pages quickly.
const LARGE: usize = 30_000;

/// The tests of this module, where there is a small disk.
pub fn tests() -> Vec<Test> {
    if env::var_os("HEARTH_SPEC_SMALL_DISK").is_none() {
        return Vec::new();
    }
    tests![own_server:
        beside_a_private_database_a_full_disk_refuses_writes_and_loses_nothing,
        with_a_database_elsewhere_a_full_disk_refuses_writes_and_loses_nothing,
        a_full_disk_of_media_refuses_uploads_and_nothing_else,
    ]
}

fn folder(variable: &str) -> PathBuf {
    PathBuf::from(env::var_os(variable).expect("the folder is named"))
}

fn on_the_disk() -> TempDir {
    let mut builder = tempfile::Builder::new();
    let folder =
        builder.permissions(Permissions::from_mode(0o711)).tempdir_in(folder("HEARTH_SPEC_SMALL_DISK"));
    folder.expect("a folder on the small disk")
}

/// Somebody who writes into a room, and everything of it that was acknowledged.
struct Writer {
    user: User,
    room: String,
    acknowledged: Vec<String>,
}

impl Writer {
    async fn new(hearth: &Hearth) -> Self {
        let user = hearth.user("alice").await;
        let room = user.room_with(&[]).await;
        Self { user, room, acknowledged: Vec::new() }
    }

    /// Sends a large message; says whether it was acknowledged. Otherwise it was refused as a full disk is.
    async fn write(&mut self) -> bool {
        let body = format!("{}{}", self.acknowledged.len(), "x".repeat(LARGE));
        let reply = self.user.send(&self.room, "m.room.message", &text(&body)).await;
        if reply.status == 200 {
            self.acknowledged.push(reply.body["event_id"].as_str().unwrap().to_owned());
            return true;
        }
        reply.fails(503, "M_UNKNOWN");
        false
    }

    async fn read(&self) {
        self.user.messages(&self.room, "dir=b&limit=5").await.ok();
        self.user.get("/sync").await.ok();
        self.user.state(&self.room, "m.room.create", "").await.ok();
    }

    async fn everything_is_there(&self) {
        for event in &self.acknowledged {
            self.user.event(&self.room, event).await.ok();
        }
    }
}

/// Takes all room that is left on the disk.
fn fill(path: &Path) {
    let (mut file, block) = (File::create(path).unwrap(), vec![0; 1 << 16]);
    let full = loop {
        if let Err(error) = file.write_all(&block) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

/// The disk is filled and has room again; the server answers all the while.
async fn fill_and_empty(writer: &mut Writer, filler: &Path) {
    for _ in 0..20 {
        assert!(writer.write().await, "there is room");
    }
    fill(filler);
    let since = Instant::now();
    while writer.write().await {
        assert!(since.elapsed() < RECOVERY, "the full disk is written to");
        // What the database frees meanwhile.
        fill(filler.with_extension("more").as_path());
    }
    let since = Instant::now();
    let mut refused = 0;
    while since.elapsed() < FULL_FOR {
        writer.read().await;
        refused += usize::from(!writer.write().await);
        sleep(Duration::from_millis(250)).await;
    }
    assert!(refused > 10, "{refused} writes were refused");
    fs::remove_file(filler).unwrap();
    // There is none where nothing was freed.
    let _ = fs::remove_file(filler.with_extension("more"));
    let since = Instant::now();
    while !writer.write().await {
        assert!(since.elapsed() < RECOVERY, "there is room, and nothing is written");
        sleep(Duration::from_millis(100)).await;
    }
    writer.read().await;
    writer.everything_is_there().await;
}

async fn beside_a_private_database_a_full_disk_refuses_writes_and_loses_nothing(hearth: Hearth) {
    let folder = Arc::new(on_the_disk());
    let filler = folder.path().join("filler");
    let server = Server::start_in(Settings::new().private_database(), folder).await;
    let mut writer = Writer::new(&hearth.other(server.base())).await;
    let postmaster = || fs::read_to_string(server.data_dir().join("pgdata/postmaster.pid")).unwrap();
    let before = postmaster();
    fill_and_empty(&mut writer, &filler).await;
    assert_eq!(before.lines().next(), postmaster().lines().next(), "the database went on");
    assert_eq!(server.errors(), Vec::<String>::new());
    let (settings, folder) = server.kill().await;
    let server = Server::start_in(settings, folder).await;
    writer.user = writer.user.at(&hearth.other(server.base()));
    writer.everything_is_there().await;
    server.stop().await;
}

async fn with_a_database_elsewhere_a_full_disk_refuses_writes_and_loses_nothing(hearth: Hearth) {
    let folder_of_log = folder("HEARTH_SPEC_LOG_DISK");
    let postgres = Postgres::make_on(on_the_disk(), &folder_of_log.join("wal")).await.start().await;
    let settings = Settings::new().set("HEARTH_DATABASE__URL", &postgres.url("postgres"));
    let (server, here) = hearth.start(settings).await;
    let mut writer = Writer::new(&here).await;
    fill_and_empty(&mut writer, &postgres.file("filler")).await;
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

/// The files that an uploader was told are there.
async fn every_file_is_whole(user: &User, files: &[(Mxc, Vec<u8>)]) {
    for (mxc, bytes) in files {
        assert!(user.download(mxc).await.content() == *bytes, "{mxc}");
    }
}

async fn a_full_disk_of_media_refuses_uploads_and_nothing_else(hearth: Hearth) {
    let folder = on_the_disk();
    let media = folder.path().join("media");
    let (server, here) = hearth.start(Settings::new().set(DIRECTORY, &media.to_string_lossy())).await;
    let (alice, filler) = (here.user("alice").await, folder.path().join("filler"));
    let room = alice.room_with(&[]).await;
    let mut files = Vec::new();
    for seed in 0..20 {
        let bytes = noise(seed, 1_000_000 * usize::try_from(seed % 3).unwrap() + 100);
        files.push((alice.medium("application/octet-stream", bytes.clone()).await, bytes));
    }
    fill(&filler);
    for size in [1_000, 300_000, 3_000_000] {
        alice.upload("application/octet-stream", noise(99, size)).await.fails(503, "M_UNKNOWN");
    }
    alice.send(&room, "m.room.message", &text("the database is elsewhere")).await.ok();
    every_file_is_whole(&alice, &files).await;
    fs::remove_file(&filler).unwrap();
    let since = Instant::now();
    while alice.upload("application/octet-stream", noise(99, 3_000_000)).await.status != 200 {
        assert!(since.elapsed() < RECOVERY, "there is room, and nothing is taken");
        sleep(Duration::from_millis(100)).await;
    }
    every_file_is_whole(&alice, &files).await;
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}
