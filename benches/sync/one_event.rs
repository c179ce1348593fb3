//! A sync that brings one new event.

use hearth_bench::{Client, Figures, Person, ROUTE, Result, Server, Table, holds};
use ruma::OwnedRoomId;

/// Before anything is counted, so that everything is in memory.
const WARM_UP: usize = 3;

/// Somebody in many rooms, in one of which something happens.
pub(crate) struct Case {
    /// How many rooms the reader is in.
    pub(crate) rooms: usize,
    /// Members of the busy one.
    pub(crate) members: usize,
    /// Events that were there before.
    pub(crate) history: usize,
    /// The busy one.
    pub(crate) busy: OwnedRoomId,
    /// Who syncs.
    pub(crate) reader: Person,
}

/// One row for each case.
pub(crate) async fn measure(server: &Server, talker: &Person, cases: &[Case], repeats: usize) -> Result<()> {
    let table = Table::head(
        "A sync with one new event in one room",
        &[
            "rooms",
            "members",
            "history",
            "p50 ms",
            "p99 ms",
            "statements",
            "CPU server ms",
            "CPU PostgreSQL ms",
            "bytes",
        ],
    );
    let mut talker = Client::open(server, talker).await?;
    for case in cases {
        let mut reader = Client::open(server, &case.reader).await?;
        reader.sync(0).await?;
        for _ in 0..WARM_UP {
            talker.say(&case.busy).await?;
            reader.sync(0).await?;
        }
        table.row(&row(server, &mut talker, &mut reader, case, repeats).await?);
    }
    Ok(())
}

/// Sends an event and syncs, again and again; only the sync is counted.
async fn row(
    server: &Server,
    talker: &mut Client,
    reader: &mut Client,
    case: &Case,
    repeats: usize,
) -> Result<Vec<String>> {
    let (mut took, mut bytes, mut statements) = (Vec::new(), 0, 0.0);
    let mut used = hearth_bench::Usage::default();
    for _ in 0..repeats {
        let event = talker.say(&case.busy).await?;
        let (counters, usage) = (server.counters().await?, server.cpu.usage()?);
        let begun = std::time::Instant::now();
        reader.ask(0).await?;
        let body = reader.receive().await?;
        took.push(begun.elapsed());
        let spent = server.cpu.usage()? - usage;
        used.server += spent.server;
        used.postgres += spent.postgres;
        statements += (&server.counters().await? - &counters).sum("hearth_db_statements_total", ROUTE);
        bytes = body.len();
        if !holds(&body, &event) {
            return Err("a sync did not bring the event".into());
        }
    }
    let took = Figures::of(took);
    let each = f64::from(u32::try_from(repeats)?);
    Ok(vec![
        case.rooms.to_string(),
        case.members.to_string(),
        case.history.to_string(),
        format!("{:.2}", took.percentile(50)),
        format!("{:.2}", took.percentile(99)),
        format!("{:.2}", statements / each),
        format!("{:.2}", used.server.as_secs_f64() * 1000.0 / each),
        format!("{:.2}", used.postgres.as_secs_f64() * 1000.0 / each),
        bytes.to_string(),
    ])
}
