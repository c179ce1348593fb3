//! Kill -9 under load: nothing that was acknowledged is lost, and nothing is there twice.

mod crowd;

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use sqlx::Row as _;
use tokio::process::Command;
use tokio::time::sleep;

use self::crowd::Crowd;
use crate::harness::server::{Server, Settings, free_port};
use crate::harness::{Hearth, Test, cluster, tests};

/// How many rounds a plain test run has; `HEARTH_SPEC_CRASH_ROUNDS` asks for more.
const DEFAULT_ROUNDS: usize = 3;
/// A round counts only with at least so many sends under way,
const IN_FLIGHT: usize = 10;
/// and so many acknowledged since the last.
const ACKNOWLEDGED: usize = 200;
/// Longer than any round takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server: kill_9_loses_nothing_acknowledged_and_doubles_nothing]
}

/// What is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Server,
    Database,
    Both,
}

async fn kill_9_loses_nothing_acknowledged_and_doubles_nothing(hearth: Hearth) {
    let settings = Settings::new().private_database();
    let settings = settings.set("HEARTH_LISTEN", &format!("127.0.0.1:{}", free_port()));
    let (mut server, hearth) = hearth.start(settings).await;
    must_be_durable(&server).await;
    let crowd = Arc::new(Crowd::gather(&hearth).await);
    let (senders, readers) = crowd.start();
    let rounds =
        env::var("HEARTH_SPEC_CRASH_ROUNDS").map_or(DEFAULT_ROUNDS, |rounds| rounds.parse().unwrap());
    let victims = [Victim::Server, Victim::Database, Victim::Both];
    for (round, victim) in victims.into_iter().cycle().take(rounds).enumerate() {
        crowd.wait_for_load(ACKNOWLEDGED, IN_FLIGHT, PATIENCE).await;
        let started = Instant::now();
        server = strike(server, victim).await;
        println!("round {}: {victim:?}, back after {:.1} s", round + 1, started.elapsed().as_secs_f64());
    }
    crowd.wait_for_load(ACKNOWLEDGED, 0, PATIENCE).await;
    let sent = crowd.stop_senders(senders).await;
    let seen = crowd.stop_readers(readers).await;
    let verdict = crowd.judge(&sent, &seen).await;
    println!(
        "rounds {rounds}, acknowledged {}, repeated {}, lost {}, doubled {}",
        crowd.acknowledged.load(Relaxed),
        crowd.repeated.load(Relaxed),
        verdict.lost.len(),
        verdict.doubled.len()
    );
    assert_eq!(verdict, crowd::Verdict::default());
    let panics = server.said().into_iter().filter(|line| line.contains("panicked")).collect::<Vec<_>>();
    assert_eq!(panics, Vec::<String>::new());
    server.stop().await;
}

/// Kills, and returns when the server is ready again.
async fn strike(server: Server, victim: Victim) -> Server {
    let postmaster = postmaster(&server.data_dir());
    match victim {
        Victim::Database => {
            kill(postmaster).await;
            wait_for_another(&server, postmaster).await;
            server.wait_until_ready_again().await;
            server
        }
        Victim::Server => {
            let (settings, folder) = server.kill().await;
            Server::start_in(settings, folder).await
        }
        Victim::Both => {
            let (settings, folder) = {
                let killed = server.kill();
                let (killed, ()) = tokio::join!(killed, kill(postmaster));
                killed
            };
            Server::start_in(settings, folder).await
        }
    }
}

/// Waits until the server has started PostgreSQL again.
async fn wait_for_another(server: &Server, before: u32) {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if try_postmaster(&server.data_dir()).is_some_and(|pid| pid != before) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("PostgreSQL was not started again");
}

async fn kill(pid: u32) {
    // It may have ended by itself, with the server.
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status().await;
}

fn postmaster(data_dir: &Path) -> u32 {
    try_postmaster(data_dir).expect("PostgreSQL runs")
}

/// The first line of its file is the postmaster's process id.
fn try_postmaster(data_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(data_dir.join("pgdata/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// The settings without which nothing that follows would mean anything.
async fn must_be_durable(server: &Server) {
    let mut connection = cluster::connect_private(&server.data_dir()).await;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let query = sqlx::query("SELECT current_setting($1)").bind(setting);
        let row = query.fetch_one(&mut connection).await.expect("the setting can be read");
        assert_eq!(row.get::<String, _>(0), "on", "{setting}");
    }
}
