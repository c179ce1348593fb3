//! A server for each part, with people, and a folder for its files.

use std::fs;
use std::path::{Path, PathBuf};

use hearth_bench::{Arguments, Filler, Result, Rig, Server};
use nix::sys::statvfs::statvfs;

use crate::{nginx, shrinker};

/// A database with people in it, which each part has a copy of.
const SEED: &str = "seed";

/// More than any part has clients.
const PEOPLE: usize = 64;

/// What is left on the disk at the least, in bytes.
const SPARE: u64 = 2_000_000_000;

/// What all parts stand on.
pub(crate) struct Stage {
    rig: Rig,
    /// What is asked for.
    pub(crate) arguments: Arguments,
    /// Access tokens of people.
    pub(crate) tokens: Vec<String>,
}

/// A server of one part.
pub(crate) struct Scene<'a> {
    stage: &'a Stage,
    database: &'static str,
    /// The server.
    pub(crate) server: Server,
    /// Where its files are.
    pub(crate) folder: PathBuf,
}

/// What a part has to say beside its tables.
pub(crate) struct Outcome {
    /// How many things were compared.
    pub(crate) checked: usize,
    /// What they are.
    pub(crate) what: &'static str,
    /// How many they should be at the least.
    pub(crate) floor: usize,
    /// What was found that should not be.
    pub(crate) failures: Vec<String>,
}

impl Stage {
    /// Makes everything that all parts need. Fails at once where a program is missing that a part needs.
    pub(crate) async fn set(arguments: Arguments) -> Result<Self> {
        let parts: Vec<String> = arguments.list("parts")?;
        if parts.iter().any(|part| part == "transfers") {
            nginx::program()?;
        }
        if parts.iter().any(|part| part == "thumbnails") {
            shrinker::Shrinker::find()?;
        }
        let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
        must_be_on_a_disk(rig.folder())?;
        rig.found(SEED).await?;
        let filler = Filler::open(&rig, SEED).await?;
        let people = filler.people("courier", PEOPLE).await?;
        filler.close().await?;
        Ok(Self { rig, arguments, tokens: people.into_iter().map(|person| person.token).collect() })
    }

    /// Starts a server with a database and a folder of its own.
    pub(crate) async fn open(&self, name: &'static str, settings: &[(&str, &str)]) -> Result<Scene<'_>> {
        self.rig.new_database(name, Some(SEED)).await?;
        let folder = self.folder(&format!("media-{name}"));
        let directory = folder.to_str().ok_or("the folder for temporary files has an unreadable name")?;
        let mut all = vec![("HEARTH_MEDIA__DIRECTORY", directory), ("HEARTH_MEDIA__MAX_UPLOAD", "4G")];
        all.extend_from_slice(settings);
        let server = self.rig.serve_with(name, &all).await?;
        Ok(Scene { stage: self, database: name, server, folder })
    }

    /// A folder on the same disk.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.rig.folder().join(name)
    }

    /// Fails where so many bytes would fill the disk.
    pub(crate) fn must_have_room_for(&self, bytes: u64) -> Result<()> {
        let disk = statvfs(self.rig.folder())?;
        let free = disk.blocks_available() * disk.fragment_size();
        if free < bytes + SPARE {
            let (free, needed) = (free / 1_000_000, (bytes + SPARE) / 1_000_000);
            return Err(format!("the disk has {free} MB left, and {needed} MB are needed").into());
        }
        Ok(())
    }

    /// Ends and removes everything.
    pub(crate) async fn clear(self) {
        self.rig.stop().await;
    }
}

impl Scene<'_> {
    /// Where the bytes of media are.
    pub(crate) async fn objects(&self, ids: &[String]) -> Result<Vec<String>> {
        let mut connection = self.stage.rig.connect(self.database).await?;
        let objects = sqlx::query_scalar(
            "SELECT b.object FROM unnest($1::text[]) WITH ORDINALITY AS asked (id, number)
             JOIN media m ON m.id = asked.id JOIN media_blob b ON b.nid = m.blob_nid ORDER BY asked.number",
        )
        .bind(ids)
        .fetch_all(&mut connection)
        .await?;
        Ok(objects)
    }

    /// Ends the server, and removes its files.
    pub(crate) async fn close(self) -> Result<()> {
        self.server.stop().await?;
        Ok(fs::remove_dir_all(self.folder)?)
    }
}

/// A file system in memory makes nothing safe, so that there is nothing to compare with.
fn must_be_on_a_disk(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        folder.starts_with(point).then_some((point.len(), kind))
    });
    let kind = mounted.max_by_key(|(depth, _)| *depth).map_or("an unknown file system", |(_, kind)| kind);
    crate::say(&format!("files in {} on {kind}", folder.display()));
    if kind == "tmpfs" {
        return Err("files there are in memory: set TMPDIR to a folder on a disk".into());
    }
    Ok(())
}
