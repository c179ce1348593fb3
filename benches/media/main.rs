//! What files cost: `cargo bench --bench media` prints a table for each of these questions, in a few minutes.
//!
//! - How fast are files of a kilobyte, a megabyte and a gigabyte uploaded and downloaded, beside copying them as safely on the
//!   same disk, and beside nginx?
//! - How much memory does the server need for fifty files at once, and for files of a gigabyte?
//! - How many thumbnails does a core make in a second, beside a program that makes nothing else?
//! - How many previews of web pages are made in a second, and how many are served that were made already?
//!
//! `-- --quick` is a small run, `-- --parts thumbnails,previews` one of these parts only. The files are in the folder for
//! temporary ones (`TMPDIR`), which must be on a disk. Everything that comes back is compared with what it should be; the bench
//! fails where something differs, where too little was compared, or where the server takes more memory than it may.

mod content;
mod courier;
mod memory;
mod nginx;
mod pages;
mod pictures;
mod plain;
mod previews;
mod run;
mod shrinker;
mod stage;
mod thumbnails;
mod transfers;

use std::time::Duration;

use hearth_bench::{Arguments, Result, machine};

use self::stage::{Outcome, Stage};

const ARGUMENTS: [(&str, &str); 10] = [
    ("parts", "transfers,memory,thumbnails,previews"),
    ("sizes", "1000,1000000,1000000000"),
    // Of each size; at least one for each client.
    ("files", "4000,400,3"),
    ("clients", "1,8"),
    // Clients, the megabytes of each, and the megabytes a second that each keeps to.
    ("memory", "50x64x8,4x1000x32"),
    ("pictures", "3"),
    ("thumbnails", "24"),
    ("makers", "2"),
    ("previews", "800"),
    ("askers", "1,16"),
];

const QUICK: [(&str, &str); 6] = [
    ("sizes", "1000,1000000,50000000"),
    ("files", "160,24,2"),
    ("memory", "50x16x8,4x64x32"),
    ("pictures", "1"),
    ("thumbnails", "3"),
    ("previews", "64"),
];

/// The longest that one part may take.
const LONGEST: Duration = Duration::from_mins(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse_or_quick(&ARGUMENTS, &QUICK)?;
    say(&machine());
    let parts: Vec<String> = arguments.list("parts")?;
    let stage = Stage::set(arguments).await?;
    let mut failures = Vec::new();
    for part in &parts {
        let done = tokio::time::timeout(LONGEST, measure(&stage, part)).await;
        let outcome = done.map_err(|_| format!("{part}: not done in {} s", LONGEST.as_secs()))??;
        say(&format!(
            "\n{part}: {} {} were compared with what they should be",
            outcome.checked, outcome.what
        ));
        if outcome.checked < outcome.floor {
            failures.push(format!("{part}: at least {} should have been", outcome.floor));
        }
        failures.extend(outcome.failures);
    }
    stage.clear().await;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

async fn measure(stage: &Stage, part: &str) -> Result<Outcome> {
    match part {
        "transfers" => transfers::measure(stage).await,
        "memory" => memory::measure(stage).await,
        "thumbnails" => thumbnails::measure(stage).await,
        "previews" => previews::measure(stage).await,
        other => Err(format!("there is no part {other}").into()),
    }
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
