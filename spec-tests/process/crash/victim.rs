//! Who is killed, and how.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::crowd::Crowd;
use crate::harness::server::Server;

/// Longer than the server needs to start PostgreSQL again.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is killed.
#[derive(Clone, Copy, Debug)]
pub enum Victim {
    Server,
    Database,
    Both,
}

impl Victim {
    /// Kills while at least so many sends are under way, and returns when the server is ready again; says how
    /// many it were.
    pub async fn strike(self, server: Server, crowd: &Crowd, least: usize) -> (Server, usize) {
        let own = i32::try_from(server.pid()).expect("a process id");
        let (postmaster, database) = database(&server.data_dir());
        let victims = match self {
            Self::Server => vec![own],
            Self::Database => database,
            Self::Both => [&[own][..], &database].concat(),
        };
        crowd.wait_for_load(0, least).await;
        let in_flight = crowd.in_flight();
        kill_all(&victims);
        if matches!(self, Self::Database) {
            wait_for_another(&server, postmaster).await;
            server.wait_until_ready_again().await;
            assert_eq!(i32::try_from(server.pid()), Ok(own), "the server itself lives on");
            return (server, in_flight);
        }
        let (settings, folder) = server.kill().await;
        (Server::start_in(settings, folder).await, in_flight)
    }
}

/// PostgreSQL's postmaster, and all of its processes, the postmaster first.
fn database(data_dir: &Path) -> (i32, Vec<i32>) {
    let postmaster = postmaster(data_dir).expect("PostgreSQL runs");
    let mut all = vec![postmaster];
    let entries = fs::read_dir("/proc").expect("processes can be listed").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.extend(pids.filter(|pid| parent(*pid) == Some(postmaster)));
    assert!(all.len() > 5, "PostgreSQL has processes of its own: {all:?}");
    (postmaster, all)
}

/// The first line of its file is the postmaster's process id.
fn postmaster(data_dir: &Path) -> Option<i32> {
    let text = fs::read_to_string(data_dir.join("pgdata/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// The process that started this one, while both are there.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn kill_all(pids: &[i32]) {
    for pid in pids {
        // A backend may have ended by itself.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

/// Waits until the server has started PostgreSQL again.
async fn wait_for_another(server: &Server, before: i32) {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if postmaster(&server.data_dir()).is_some_and(|pid| pid != before) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("PostgreSQL was not started again");
}
