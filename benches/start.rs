//! How long a server takes to start, and how many rows it reads for it, with few and with many events stored.
//!
//! `cargo bench --bench start` fills a database through the services for each number of events, and starts a server
//! on it several times. `-- --events 0,1000000` is the full measurement. PostgreSQL runs already; starting that too
//! is what the server itself prints when it starts.

use std::time::Duration;

use hearth_bench::{Arguments, Figures, Filler, Result, Rig, Table, machine, resident_bytes};
use sqlx::PgConnection;

const ARGUMENTS: [(&str, &str); 3] = [("events", "0,100000"), ("starts", "10"), ("rooms", "100")];

/// Events that one room says at a time, in turn with the others.
const TALK: usize = 1_000;

/// What PostgreSQL counted for a database.
#[derive(Clone, Copy)]
struct Counted {
    transactions: i64,
    rows: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    let table = Table::head(
        "A start, from the process to its first answer; transactions and rows of our tables read from its start to \
         its end",
        &[
            "events",
            "rooms",
            "database MiB",
            "first ms",
            "p50 ms",
            "worst ms",
            "transactions",
            "rows read",
            "RSS MiB",
        ],
    );
    for (number, events) in arguments.list::<usize>("events")?.into_iter().enumerate() {
        let database = format!("served_{number}");
        let rooms = fill(&rig, &database, events, arguments.get("rooms")?).await?;
        table.row(&row(&rig, &database, (events, rooms), arguments.get("starts")?).await?);
    }
    rig.stop().await;
    Ok(())
}

async fn fill(rig: &Rig, database: &str, events: usize, rooms: usize) -> Result<usize> {
    rig.found(database).await?;
    if events == 0 {
        return Ok(0);
    }
    let filler = Filler::open(rig, database).await?;
    let talker = filler.people("talker", 1).await?.pop().ok_or("nobody talks")?;
    let rooms = filler.many_rooms(&talker, rooms).await?;
    let mut said = 0;
    for room in rooms.iter().cycle() {
        let now = TALK.min(events - said);
        filler.say(&talker, room, now).await?;
        said += now;
        if said == events {
            break;
        }
    }
    filler.close().await?;
    let mut connection = rig.connect(database).await?;
    // As autovacuum does sooner or later.
    sqlx::query("VACUUM ANALYZE").execute(&mut connection).await?;
    Ok(rooms.len())
}

async fn row(
    rig: &Rig,
    database: &str,
    (events, rooms): (usize, usize),
    starts: usize,
) -> Result<Vec<String>> {
    let mut onlooker = rig.connect(database).await?;
    let bytes: i64 =
        sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut onlooker).await?;
    let (mut took, mut counted, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..starts {
        let before = count(&mut onlooker).await?;
        let server = rig.serve(database).await?;
        took.push(server.start_time);
        memory = resident_bytes(server.cpu.server)?;
        server.stop().await?;
        // What sessions counted arrives with their end.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let after = count(&mut onlooker).await?;
        counted.push((after.transactions - before.transactions, after.rows - before.rows));
    }
    let first = took.first().map_or(0.0, |first| first.as_secs_f64() * 1000.0);
    let most = counted.iter().copied().max().unwrap_or_default();
    let took = Figures::of(took);
    Ok(vec![
        events.to_string(),
        rooms.to_string(),
        (bytes >> 20).to_string(),
        format!("{first:.0}"),
        format!("{:.0}", took.percentile(50)),
        format!("{:.0}", took.percentile(100)),
        most.0.to_string(),
        most.1.to_string(),
        (memory >> 20).to_string(),
    ])
}

async fn count(onlooker: &mut PgConnection) -> Result<Counted> {
    let (transactions, rows) = sqlx::query_as(
        "SELECT d.xact_commit, (SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
                                FROM pg_stat_user_tables)
         FROM pg_stat_database d WHERE d.datname = current_database()",
    )
    .fetch_one(onlooker)
    .await?;
    Ok(Counted { transactions, rows })
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
