//! What a storm of logins does to those who are logged in: how long a sync takes without one and during one.
//!
//! `cargo bench --bench logins` lets so many clients log in again and again, half of them with wrong passwords, and
//! beside them others sync on and on. Hashing a password is meant to take a while; nobody else is to wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hearth_bench::{
    Arguments, Connection, Figures, Filler, Person, Request, Result, Rig, Server, Table, machine,
};
use tokio::task::JoinSet;

const ARGUMENTS: [(&str, &str); 4] =
    [("logins", "200"), ("syncing", "10"), ("seconds", "10"), ("pause", "20")];

const DATABASE: &str = "served";

/// Logins that were answered, by how.
#[derive(Default)]
struct Answered {
    looked_at: AtomicU64,
    turned_away: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    rig.found(DATABASE).await?;
    let filler = Filler::open(&rig, DATABASE).await?;
    let people = filler.people("reader", arguments.get("syncing")?).await?;
    filler.close().await?;
    let server = rig.serve(DATABASE).await?;
    let table = Table::head(
        "Syncs of people who are logged in already, with nothing new to tell",
        &[
            "logins at a time",
            "syncs",
            "p50 ms",
            "p99 ms",
            "worst ms",
            "passwords looked at/s",
            "turned away/s",
        ],
    );
    for logins in [0, arguments.get("logins")?] {
        table.row(&row(&server, &people, logins, &arguments).await?);
    }
    server.stop().await?;
    rig.stop().await;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
async fn row(
    server: &Server,
    people: &[Person],
    logins: usize,
    arguments: &Arguments,
) -> Result<Vec<String>> {
    let seconds = Duration::from_secs(arguments.get("seconds")?);
    let pause = Duration::from_millis(arguments.get("pause")?);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(Answered::default()));
    let mut storm = JoinSet::new();
    for number in 0..logins {
        let connection = Connection::open(&server.address).await?;
        storm.spawn(log_in(connection, number, Arc::clone(&stop), Arc::clone(&answered)));
    }
    let mut syncing = JoinSet::new();
    for person in people.iter().cloned() {
        let connection = Connection::open(&server.address).await?;
        syncing.spawn(sync(connection, person, pause, seconds));
    }
    let mut took = Vec::new();
    while let Some(synced) = syncing.join_next().await {
        took.extend(synced??);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = storm.join_next().await {
        ended??;
    }
    let took = Figures::of(took);
    let each =
        |count: &AtomicU64| format!("{:.0}", count.load(Ordering::Relaxed) as f64 / seconds.as_secs_f64());
    Ok(vec![
        logins.to_string(),
        took.count().to_string(),
        format!("{:.2}", took.percentile(50)),
        format!("{:.2}", took.percentile(99)),
        format!("{:.2}", took.percentile(100)),
        each(&answered.looked_at),
        each(&answered.turned_away),
    ])
}

/// Tries to log in again and again; whoever is turned away comes back soon, sooner than they are told to.
async fn log_in(
    mut connection: Connection,
    number: usize,
    stop: Arc<AtomicBool>,
    answered: Arc<Answered>,
) -> Result<()> {
    let body = format!(
        r#"{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"reader-{number}"}},"password":"x"}}"#
    );
    let request = Request { method: "POST", path: "/_matrix/client/v3/login", token: "", body: &body };
    while !stop.load(Ordering::Relaxed) {
        match connection.request(&request).await?.status {
            403 => answered.looked_at.fetch_add(1, Ordering::Relaxed),
            429 => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                answered.turned_away.fetch_add(1, Ordering::Relaxed)
            }
            status => return Err(format!("a login was answered {status}").into()),
        };
    }
    Ok(())
}

/// Syncs for so long, with pauses; how long each took.
async fn sync(
    mut connection: Connection,
    person: Person,
    pause: Duration,
    seconds: Duration,
) -> Result<Vec<Duration>> {
    let ask = |path| Request { method: "GET", path, token: &person.token, body: "" };
    let first = connection.ask(&ask("/_matrix/client/v3/sync?timeout=0")).await?;
    let first = String::from_utf8(first)?;
    let since = first.split_once(r#""next_batch":""#).and_then(|(_, rest)| rest.split('"').next());
    let path = format!("/_matrix/client/v3/sync?timeout=0&since={}", since.ok_or("a sync without a token")?);
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < seconds {
        let at = Instant::now();
        connection.ask(&ask(&path)).await?;
        took.push(at.elapsed());
        tokio::time::sleep(pause).await;
    }
    Ok(took)
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
