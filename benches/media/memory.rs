//! What the server needs for many files, and for large ones.

use std::str::FromStr;
use std::time::Instant;

use hearth_bench::{Result, Server, Table, forget_peak, peak_bytes, resident_bytes};

use crate::content::Content;
use crate::courier::Courier;
use crate::run::share;
use crate::stage::{Outcome, Stage};

/// What a server may take more while files go through it, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

/// The least that is compared.
const FLOOR: usize = 8;

/// The database of each row; there are no more rows than these.
const DATABASES: [&str; 4] = ["memory_0", "memory_1", "memory_2", "memory_3"];

/// Files of one size, each moved at a pace.
struct Case {
    clients: usize,
    /// Of each, in bytes.
    size: u64,
    /// Of each, in bytes a second.
    pace: u64,
}

/// The server's memory, in bytes.
struct Memory {
    before: u64,
    while_uploading: u64,
    while_downloading: u64,
    after: u64,
}

impl FromStr for Case {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('x').map(str::parse::<u64>);
        let mut next = || numbers.next().unwrap_or_else(|| "".parse());
        let (clients, size, pace) = (next()?, next()?, next()?);
        let clients = usize::try_from(clients).unwrap_or_default();
        Ok(Self { clients, size: size * 1_000_000, pace: pace * 1_000_000 })
    }
}

/// Prints a table, a new server for each row: memory that was in use once is not given back.
pub(crate) async fn measure(stage: &Stage) -> Result<Outcome> {
    let table = Table::head(
        "Memory of the server while files come in and go out, in MiB of RAM; s is how long that took",
        &[
            "clients",
            "MB each",
            "MB/s each",
            "uploads s",
            "downloads s",
            "before",
            "uploading",
            "downloading",
            "growth",
            "after",
        ],
    );
    let (mut checked, mut failures) = (0, Vec::new());
    let cases: Vec<Case> = stage.arguments.list("memory")?;
    for (name, case) in DATABASES.into_iter().zip(&cases) {
        stage.must_have_room_for(case.size * u64::try_from(case.clients)?)?;
        let scene = stage.open(name, &[]).await?;
        let (memory, took) = observe(&scene.server, stage, case).await?;
        checked += case.clients;
        table.row(&[
            case.clients.to_string(),
            (case.size / 1_000_000).to_string(),
            (case.pace / 1_000_000).to_string(),
            format!("{:.1}", took.0),
            format!("{:.1}", took.1),
            (memory.before >> 20).to_string(),
            (memory.while_uploading >> 20).to_string(),
            (memory.while_downloading >> 20).to_string(),
            (memory.growth() >> 20).to_string(),
            (memory.after >> 20).to_string(),
        ]);
        if memory.growth() >= MOST {
            let (growth, most) = (memory.growth() >> 20, MOST >> 20);
            failures.push(format!("{} clients: {growth} MiB more, {most} is too much", case.clients));
        }
        scene.close().await?;
    }
    Ok(Outcome { checked, what: "downloads", floor: FLOOR, failures })
}

/// All upload at once, and then all download what they uploaded. How many seconds both took comes with it.
async fn observe(server: &Server, stage: &Stage, case: &Case) -> Result<(Memory, (f64, f64))> {
    let pid = server.cpu.server;
    let mut couriers = Vec::with_capacity(case.clients);
    for token in stage.tokens.iter().cycle().take(case.clients) {
        couriers.push(Courier::open(&server.address, token, Some(case.pace)).await?);
    }
    // What a server makes once for all is made by then.
    let first = Content::new(1_000_000);
    if let Some(courier) = couriers.first_mut() {
        let id = courier.upload(first).await?;
        courier.download(&id, first).await?;
    }
    let before = resident_bytes(pid)?;
    let contents = Content::many(case.clients, case.size);
    forget_peak(pid)?;
    let begun = Instant::now();
    let (_, ids) =
        share(&mut couriers, &contents, async |courier, content| courier.upload(*content).await).await?;
    let uploads = begun.elapsed().as_secs_f64();
    let while_uploading = peak_bytes(pid)?;
    forget_peak(pid)?;
    let pairs: Vec<(String, Content)> = ids.into_iter().zip(contents).collect();
    let begun = Instant::now();
    share(&mut couriers, &pairs, async |courier, (id, content)| courier.download(id, *content).await).await?;
    let downloads = begun.elapsed().as_secs_f64();
    let while_downloading = peak_bytes(pid)?;
    let memory = Memory { before, while_uploading, while_downloading, after: resident_bytes(pid)? };
    Ok((memory, (uploads, downloads)))
}

impl Memory {
    fn growth(&self) -> u64 {
        self.while_uploading.max(self.while_downloading).saturating_sub(self.before)
    }
}
