//! What it costs to count what somebody has not read of many rooms.
//!
//! `cargo bench --bench unread` fills a database through the services and prints two tables: the counting by itself,
//! which is one statement, for few and many rooms of short and long histories; and syncs that bring the counts of many
//! rooms, for the first time and after a message in each.

use std::time::{Duration, Instant};

use hearth_bench::{
    Arguments, Connection, Figures, Filler, Person, Request, Result, Rig, Server, Table, machine,
};
use hearth_core::id::{Position, RoomNid};
use hearth_services::statements;
use hearth_store::Store;
use hearth_store::connect::{Database, PoolSettings, Source};
use hearth_store::unread::Reader;
use ruma::OwnedRoomId;

const ARGUMENTS: [(&str, &str); 4] =
    [("rooms", "10,100,1000"), ("said", "3"), ("history", "10000"), ("repeats", "50")];

const DATABASE: &str = "served";

/// How the server's metrics call a sync.
const SYNC: &str = "/sync";

/// After everything.
const NOW: Position = Position::new(i64::MAX);

/// Somebody, and the rooms they are in.
struct Case {
    reader: Person,
    rooms: Vec<OwnedRoomId>,
    /// What was said in each of them.
    said: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    let (talker, cases) = fill(&rig, &arguments).await?;
    count(&rig, &cases, arguments.get("repeats")?).await?;
    let server = rig.serve(DATABASE).await?;
    sync(&server, &talker, &cases).await?;
    server.stop().await?;
    rig.stop().await;
    Ok(())
}

/// Rooms in which something was said, and for each number of them somebody who has read nothing; and a room with a
/// long history.
async fn fill(rig: &Rig, arguments: &Arguments) -> Result<(Person, Vec<Case>)> {
    let sizes: Vec<usize> = arguments.list("rooms")?;
    let (said, history) = (arguments.get("said")?, arguments.get("history")?);
    rig.found(DATABASE).await?;
    let filler = Filler::open(rig, DATABASE).await?;
    let talker = filler.people("talker", 1).await?.pop().ok_or("nobody talks")?;
    let all = filler.many_rooms(&talker, sizes.iter().copied().max().unwrap_or_default()).await?;
    let mut cases = Vec::new();
    for size in sizes {
        cases.push(case(&filler, all.iter().take(size).cloned().collect(), said).await?);
    }
    for room in &all {
        filler.say(&talker, room, said).await?;
    }
    let long = filler.room(&talker).await?;
    cases.push(case(&filler, vec![long.clone()], history).await?);
    filler.say(&talker, &long, history).await?;
    filler.close().await?;
    // As autovacuum does sooner or later.
    sqlx::query("VACUUM ANALYZE").execute(&mut rig.connect(DATABASE).await?).await?;
    Ok((talker, cases))
}

async fn case(filler: &Filler, rooms: Vec<OwnedRoomId>, said: usize) -> Result<Case> {
    let reader = filler.people(&format!("reader-{}-{said}", rooms.len()), 1).await?.pop();
    let reader = reader.ok_or("nobody reads")?;
    filler.join_all(rooms.iter().map(|room| (&**room, &reader))).await?;
    Ok(Case { reader, rooms, said })
}

/// The counting by itself.
async fn count(rig: &Rig, cases: &[Case], repeats: usize) -> Result<()> {
    let patience = Duration::from_mins(1);
    let settings = PoolSettings { size: 1, acquire_timeout: patience, statement_timeout: patience };
    let database = Database::open(Source::Url(rig.url(DATABASE)), &settings).await?;
    let columns = ["rooms", "unread in each", "statements", "p50 ms", "p99 ms"];
    let table = Table::head("Counting what is unread", &columns);
    for case in cases {
        let rooms = nids(&database.store, &case.rooms).await?;
        let reader = Reader { user: case.reader.author.nid, upto: NOW, ignored: &[] };
        let (mut took, mut made) = (Vec::new(), 0);
        for _ in 0..repeats {
            let begun = Instant::now();
            let (counted, statements) = statements::counted(database.store.unread(reader, &rooms)).await;
            took.push(begun.elapsed());
            made = statements;
            let said = i64::try_from(case.said)?;
            if !counted?.values().all(|unread| unread.main.notifications == said) {
                return Err("the counts are wrong".into());
            }
        }
        let took = Figures::of(took);
        table.row(&[
            case.rooms.len().to_string(),
            case.said.to_string(),
            made.to_string(),
            format!("{:.2}", took.percentile(50)),
            format!("{:.2}", took.percentile(99)),
        ]);
    }
    database.close().await;
    Ok(())
}

async fn nids(store: &Store, rooms: &[OwnedRoomId]) -> Result<Vec<RoomNid>> {
    let mut nids = Vec::with_capacity(rooms.len());
    for room in rooms {
        nids.push(store.room_by_id(room).await?.ok_or("a room is gone")?.nid);
    }
    Ok(nids)
}

/// Syncs that bring the counts of all rooms.
async fn sync(server: &Server, talker: &Person, cases: &[Case]) -> Result<()> {
    let columns = ["rooms", "", "statements", "ms", "CPU server ms", "CPU PostgreSQL ms"];
    let table = Table::head("Syncs that bring counts", &columns);
    let mut talking = Connection::open(&server.address).await?;
    for (number, case) in cases.iter().enumerate() {
        let mut reading = Connection::open(&server.address).await?;
        let mut since = None;
        for kind in ["the first", "the first, again", "after a message in each"] {
            let first = kind != "after a message in each";
            if !first {
                for room in &case.rooms {
                    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}");
                    let body = r#"{"msgtype":"m.text","body":"Something new."}"#;
                    let request = Request { method: "PUT", path: &path, token: &talker.token, body };
                    talking.ask(&request).await?;
                }
            }
            let (counters, usage) = (server.counters().await?, server.cpu.usage()?);
            let begun = Instant::now();
            let token = ask(&mut reading, &case.reader, since.as_deref().filter(|_| !first)).await?;
            let took = begun.elapsed();
            let used = server.cpu.usage()? - usage;
            let counters = &server.counters().await? - &counters;
            since = Some(token);
            table.row(&[
                case.rooms.len().to_string(),
                kind.to_owned(),
                format!("{:.0}", counters.sum("hearth_db_statements_total", SYNC)),
                format!("{:.1}", took.as_secs_f64() * 1000.0),
                format!("{:.0}", used.server.as_secs_f64() * 1000.0),
                format!("{:.0}", used.postgres.as_secs_f64() * 1000.0),
            ]);
        }
    }
    Ok(())
}

/// Syncs once; the token to go on from.
async fn ask(connection: &mut Connection, reader: &Person, since: Option<&str>) -> Result<String> {
    let since = since.map_or(String::new(), |since| format!("&since={since}"));
    let path = format!("/_matrix/client/v3/sync?timeout=0{since}");
    let request = Request { method: "GET", path: &path, token: &reader.token, body: "" };
    let answer: serde_json::Value = serde_json::from_slice(&connection.ask(&request).await?)?;
    Ok(answer["next_batch"].as_str().ok_or("a sync without a token")?.to_owned())
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
