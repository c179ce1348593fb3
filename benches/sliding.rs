//! What sliding sync costs, by how many rooms an account has.
//!
//! `cargo bench --bench sliding` prints two tables: a first response, which shows the newest twenty rooms as clients ask for
//! them, from the first who asks after the server's start and again when it is all in memory; and what one message in one of
//! them takes to reach a connection that waits, from the reply to its sender to the last byte.

use std::time::{Duration, Instant};

use hearth_bench::{
    Arguments, Client, Connection, Figures, Filler, Person, Request, Result, Rig, Server, Table, machine,
};
use ruma::OwnedRoomId;

const ARGUMENTS: [(&str, &str); 2] = [("rooms", "100,1000,5000"), ("messages", "200")];

const DATABASE: &str = "served";

const PATH: &str = "/_matrix/client/v4/sync";
const ROUTE: &str = "route=\"/_matrix/client/v4/sync\"";

/// What a phone's list of rooms asks for, without the end.
const ASKED: &str = r#"{"conn_id": "room-list", "timeout": 30000, "lists": {"all_rooms": {
    "range": [0, 19], "timeline_limit": 1, "filters": {"not_room_types": ["m.space"]},
    "required_state": {"lazy_members": true, "include": [
        {"type": "m.room.name", "state_key": ""}, {"type": "m.room.encryption", "state_key": ""},
        {"type": "m.room.member", "state_key": "$ME"}, {"type": "m.room.topic", "state_key": ""},
        {"type": "m.room.avatar", "state_key": ""}, {"type": "m.room.canonical_alias", "state_key": ""},
        {"type": "m.room.power_levels", "state_key": ""}, {"type": "m.room.join_rules", "state_key": ""},
        {"type": "m.room.tombstone", "state_key": ""}, {"type": "m.room.create", "state_key": ""},
        {"type": "m.space.parent"}, {"type": "m.space.child"}
    ]}
}}, "extensions": {"account_data": {"enabled": true}, "receipts": {"enabled": true}, "typing": {"enabled": true}}"#;

/// An account with so many rooms.
struct Case {
    reader: Person,
    rooms: Vec<OwnedRoomId>,
}

/// A connection of sliding sync.
struct Window {
    connection: Connection,
    token: String,
    pos: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    rig.found(DATABASE).await?;
    let filler = Filler::open(&rig, DATABASE).await?;
    let talker = filler.people("talker", 1).await?.pop().ok_or("nobody talks")?;
    let counts: Vec<usize> = arguments.list("rooms")?;
    let most = counts.iter().copied().max().unwrap_or_default();
    let all = filler.many_rooms(&talker, most).await?;
    let mut cases = Vec::new();
    for count in counts {
        let reader = filler.people(&format!("reader-{count}"), 1).await?.pop().ok_or("nobody reads")?;
        let rooms: Vec<OwnedRoomId> = all.iter().rev().take(count).cloned().collect();
        filler.join_all(rooms.iter().map(|room| (&**room, &reader))).await?;
        cases.push(Case { reader, rooms });
    }
    filler.close().await?;
    first_responses(&rig, &cases).await?;
    updates(&rig, &talker, &cases, arguments.get("messages")?).await?;
    rig.stop().await;
    Ok(())
}

/// First responses: each case's first is the first of all that a server answers.
async fn first_responses(rig: &Rig, cases: &[Case]) -> Result<()> {
    let table = Table::head(
        "A first response that shows 20 rooms; cold is the first after the server's start",
        &["rooms", "", "ms", "statements", "CPU server ms", "CPU PostgreSQL ms", "KiB"],
    );
    for case in cases {
        let server = rig.serve(DATABASE).await?;
        for kind in ["cold", "warm"] {
            let (counters, usage) = (server.counters().await?, server.cpu.usage()?);
            let begun = Instant::now();
            let bytes = Window::open(&server, &case.reader).await?.next().await?.len();
            let took = begun.elapsed();
            let used = server.cpu.usage()? - usage;
            let counters = &server.counters().await? - &counters;
            table.row(&[
                case.rooms.len().to_string(),
                kind.to_owned(),
                format!("{:.1}", milliseconds(took)),
                format!("{:.0}", counters.sum("hearth_db_statements_total", ROUTE)),
                format!("{:.0}", milliseconds(used.server)),
                format!("{:.0}", milliseconds(used.postgres)),
                (bytes / 1024).to_string(),
            ]);
        }
        server.stop().await?;
    }
    Ok(())
}

/// Messages, one after the other, in rooms by turns, to one connection that waits.
async fn updates(rig: &Rig, talker: &Person, cases: &[Case], messages: usize) -> Result<()> {
    let table = Table::head(
        &format!("{messages} messages in the rooms that are shown, each awaited by a connection"),
        &["rooms", "p50 ms", "p99 ms", "statements", "rows written", "CPU server ms", "received"],
    );
    for case in cases {
        let server = rig.serve(DATABASE).await?;
        let mut window = Window::open(&server, &case.reader).await?;
        let mut client = Client::open(&server, talker).await?;
        window.next().await?;
        // What is spoken of for the first time is told with its speaker.
        let shown = case.rooms.get(..10).unwrap_or(&case.rooms);
        for room in shown {
            window.hear(&mut client, room).await?;
        }
        let mut took = Vec::with_capacity(messages);
        let (counters, usage) = (server.counters().await?, server.cpu.usage()?);
        let written = rows_written(rig).await?;
        for number in 0..messages {
            let room = shown.get(number % shown.len().max(1)).ok_or("there are no rooms")?;
            took.push(window.hear(&mut client, room).await?);
        }
        let used = server.cpu.usage()? - usage;
        let counters = &server.counters().await? - &counters;
        let written = rows_written(rig).await? - written;
        let each = f64::from(u32::try_from(messages)?);
        let figures = Figures::of(took);
        table.row(&[
            case.rooms.len().to_string(),
            format!("{:.2}", figures.percentile(50)),
            format!("{:.2}", figures.percentile(99)),
            format!("{:.2}", counters.sum("hearth_db_statements_total", ROUTE) / each),
            written.to_string(),
            format!("{:.2}", milliseconds(used.server) / each),
            figures.count().to_string(),
        ]);
        server.stop().await?;
    }
    Ok(())
}

/// Rows that were ever written of what clients know.
async fn rows_written(rig: &Rig) -> Result<i64> {
    // A session of PostgreSQL tells what it did when it has been at rest for a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut connection = rig.connect(DATABASE).await?;
    let written: i64 = sqlx::query_scalar(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'sliding_connection'",
    )
    .fetch_one(&mut connection)
    .await?;
    Ok(written)
}

impl Window {
    async fn open(server: &Server, reader: &Person) -> Result<Self> {
        let connection = Connection::open(&server.address).await?;
        Ok(Self { connection, token: reader.token.clone(), pos: None })
    }

    async fn ask(&mut self) -> Result<()> {
        let pos = self.pos.as_ref().map(|pos| format!(r#", "pos": "{pos}""#)).unwrap_or_default();
        let body = format!("{ASKED}{pos}}}");
        let request = Request { method: "POST", path: PATH, token: &self.token, body: &body };
        self.connection.send(&request).await
    }

    async fn receive(&mut self) -> Result<Vec<u8>> {
        let reply = self.connection.receive().await?;
        let text = std::str::from_utf8(&reply.body)?;
        let pos = text.strip_prefix(r#"{"pos":""#).and_then(|rest| rest.split('"').next());
        self.pos = Some(pos.ok_or_else(|| format!("no position: {} {text}", reply.status))?.to_owned());
        Ok(reply.body)
    }

    async fn next(&mut self) -> Result<Vec<u8>> {
        self.ask().await?;
        self.receive().await
    }

    /// From the reply to who says something to when it is here.
    async fn hear(&mut self, talker: &mut Client, room: &OwnedRoomId) -> Result<Duration> {
        self.ask().await?;
        // The request waits before something is said.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let event = talker.say(room).await?;
        let said = Instant::now();
        loop {
            let body = self.receive().await?;
            if hearth_bench::holds(&body, &event) {
                return Ok(said.elapsed());
            }
            self.ask().await?;
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
