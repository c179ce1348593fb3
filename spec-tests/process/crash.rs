//! Kill -9 under load: nothing that was acknowledged is lost, and nothing is there twice.

pub mod crowd;
mod door;
mod feed;
mod victim;

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Row as _;

use self::crowd::{Crowd, Verdict};
use self::victim::Victim;
use crate::harness::server::{Server, Settings, free_port};
use crate::harness::{Hearth, Test, cluster, tests};

/// How many rounds a plain test run has: each kind of kill at least once.
const DEFAULT_ROUNDS: usize = 4;
/// A round counts only with at least so many sends under way as it strikes,
const IN_FLIGHT: usize = 10;
/// and so many acknowledged since the last.
const ACKNOWLEDGED: usize = 200;
/// Longer than any round takes.
const ROUND: Duration = Duration::from_mins(1);
/// What "acknowledged" rests on.
const DURABILITY: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![own_server: kill_9_loses_nothing_acknowledged_and_doubles_nothing];
    for test in &mut tests {
        test.deadline += ROUND * u32::try_from(rounds()).unwrap();
    }
    tests
}

fn rounds() -> usize {
    env::var("HEARTH_SPEC_CRASH_ROUNDS").map_or(DEFAULT_ROUNDS, |rounds| rounds.parse().unwrap())
}

async fn kill_9_loses_nothing_acknowledged_and_doubles_nothing(hearth: Hearth) {
    let settings = Settings::new().private_database();
    let settings = settings.set("HEARTH_LISTEN", &format!("127.0.0.1:{}", free_port()));
    let (mut server, hearth) = hearth.start(settings).await;
    must_be_durable(&server).await;
    let crowd = Arc::new(Crowd::gather(vec![hearth]).await);
    let (senders, readers) = crowd.start();
    let mut struck = [0; 3];
    let victims = [Victim::Server, Victim::Database, Victim::Both].into_iter().cycle();
    for (round, victim) in victims.take(rounds()).enumerate() {
        let acknowledged = crowd.wait_for_load(ACKNOWLEDGED, IN_FLIGHT).await;
        let in_flight;
        let started = Instant::now();
        (server, in_flight) = victim.strike(server, &crowd, IN_FLIGHT).await;
        let seconds = started.elapsed().as_secs_f64();
        assert!(in_flight >= IN_FLIGHT, "the round does not count: {in_flight} under way");
        struck[victim as usize] += 1;
        println!(
            "crash round {}: {victim:?}, {acknowledged} acknowledged before, {in_flight} under way, \
             back after {seconds:.1} s",
            round + 1
        );
    }
    crowd.wait_for_load(ACKNOWLEDGED, 0).await;
    must_be_durable(&server).await;
    let sent = crowd.stop_senders(senders).await;
    let seen = crowd.stop_readers(readers).await;
    let verdict = crowd.judge(&sent, &seen).await;
    let [servers, databases, both] = struck;
    println!("crash: rounds {} (server {servers}, PostgreSQL {databases}, both {both})", rounds());
    println!("crash: {}; {}", crowd.summary(&verdict), DURABILITY.join(", ") + " are on");
    assert_eq!(verdict, Verdict::default());
    let panics = server.said().into_iter().filter(|line| line.contains("panicked")).collect::<Vec<_>>();
    assert_eq!(panics, Vec::<String>::new());
    server.stop().await;
}

/// The settings without which nothing that follows would mean anything.
async fn must_be_durable(server: &Server) {
    let mut connection = cluster::connect_private(&server.data_dir()).await;
    for setting in DURABILITY {
        let query = sqlx::query("SELECT current_setting($1)").bind(setting);
        let row = query.fetch_one(&mut connection).await.expect("the setting can be read");
        assert_eq!(row.get::<String, _>(0), "on", "{setting}");
    }
}
