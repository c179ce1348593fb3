//! Waking many who wait for one event.

use std::time::{Duration, Instant};

use hearth_bench::{Client, Figures, Person, ROUTE, Result, Server, Table, Usage, holds, resident_bytes};
use ruma::RoomId;
use tokio::task::JoinSet;

/// Longer than any round.
const TIMEOUT: u32 = 120_000;

/// Everybody's request has come to rest by then.
const SETTLE: Duration = Duration::from_millis(500);

/// What all rounds came to.
#[derive(Default)]
struct Rounds {
    /// From the reply to the send, to the first and to the last who has the event.
    first: Vec<Duration>,
    last: Vec<Duration>,
    waking: Usage,
    whole: Usage,
    statements: f64,
}

/// Lets everybody wait for one event after the other.
pub(crate) async fn measure(
    server: &Server,
    talker: &Person,
    hall: &RoomId,
    waiting: &[Person],
    count: usize,
) -> Result<()> {
    let mut talker = Client::open(server, talker).await?;
    for person in waiting {
        // One connection after the other, so that what stays is what is remembered of people.
        Client::open(server, person).await?.sync(0).await?;
    }
    let idle = resident_bytes(server.cpu.server)?;
    let mut clients = Vec::new();
    for person in waiting {
        let mut client = Client::open(server, person).await?;
        client.sync(0).await?;
        clients.push(client);
    }
    let connected = resident_bytes(server.cpu.server)?;
    let (mut rounds, mut polling) = (Rounds::default(), connected);
    for number in 0..count {
        clients = round(server, &mut talker, hall, clients, &mut rounds).await?;
        if number == 0 {
            ask_all(&mut clients).await?;
            polling = resident_bytes(server.cpu.server)?;
            talker.say(hall).await?;
            clients = receive_all(clients).await?.0;
        }
    }
    print(rounds, waiting.len(), [idle, connected, polling]);
    Ok(())
}

async fn round(
    server: &Server,
    talker: &mut Client,
    hall: &RoomId,
    mut clients: Vec<Client>,
    rounds: &mut Rounds,
) -> Result<Vec<Client>> {
    let counters = server.counters().await?;
    let before = server.cpu.usage()?;
    ask_all(&mut clients).await?;
    let asked = server.cpu.usage()?;
    let receiving = tokio::spawn(receive_all(clients));
    let event = talker.say(hall).await?;
    let replied = Instant::now();
    let (clients, bodies) = receiving.await??;
    let after = server.cpu.usage()?;
    if !bodies.iter().all(|(_, body)| holds(body, &event)) {
        return Err("a sync that waited was woken by something else".into());
    }
    let at = bodies.iter().map(|(at, _)| at.saturating_duration_since(replied));
    rounds.first.extend(at.clone().min());
    rounds.last.extend(at.max());
    add(&mut rounds.waking, after - asked);
    add(&mut rounds.whole, after - before);
    let counters = &server.counters().await? - &counters;
    rounds.statements += counters.sum("hearth_db_statements_total", ROUTE);
    Ok(clients)
}

/// Lets everybody ask, and the requests come to rest.
async fn ask_all(clients: &mut [Client]) -> Result<()> {
    for client in clients {
        client.ask(TIMEOUT).await?;
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

type Received = (Vec<Client>, Vec<(Instant, Vec<u8>)>);

/// Waits until everybody has a reply.
async fn receive_all(clients: Vec<Client>) -> Result<Received> {
    let mut receiving = JoinSet::new();
    for mut client in clients {
        receiving.spawn(async move {
            let body = client.receive().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((client, (Instant::now(), body)))
        });
    }
    let (mut clients, mut bodies) = (Vec::new(), Vec::new());
    while let Some(received) = receiving.join_next().await {
        let (client, body) = received??;
        clients.push(client);
        bodies.push(body);
    }
    Ok((clients, bodies))
}

fn add(sum: &mut Usage, more: Usage) {
    sum.server += more.server;
    sum.postgres += more.postgres;
    sum.generator += more.generator;
}

#[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
fn print(rounds: Rounds, waiting: usize, [idle, connected, polling]: [u64; 3]) {
    let woken = (rounds.last.len() * waiting) as f64;
    let each = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0 / woken);
    let (first, last) = (Figures::of(rounds.first), Figures::of(rounds.last));
    let table = Table::head(
        "From the reply to a send until the syncs that waited have the event; CPU in milliseconds per woken sync",
        &[
            "waiting",
            "rounds",
            "first p50 ms",
            "last p50 ms",
            "last worst ms",
            "CPU server",
            "CPU PostgreSQL",
            "CPU generator",
            "CPU server with asking",
            "statements per sync",
        ],
    );
    table.row(&[
        waiting.to_string(),
        last.count().to_string(),
        format!("{:.1}", first.percentile(50)),
        format!("{:.1}", last.percentile(50)),
        format!("{:.1}", last.percentile(100)),
        each(rounds.waking.server),
        each(rounds.waking.postgres),
        each(rounds.waking.generator),
        each(rounds.whole.server),
        format!("{:.3}", rounds.statements / woken),
    ]);
    let table = Table::head(
        "Memory of the server in KiB: for a connection that stays open, and for a poll that waits on it",
        &["polls", "connection", "waiting poll", "both"],
    );
    let per = |bytes: u64| format!("{:.1}", bytes as f64 / waiting as f64 / 1024.0);
    table.row(&[
        waiting.to_string(),
        per(connected.saturating_sub(idle)),
        per(polling.saturating_sub(connected)),
        per(polling.saturating_sub(idle)),
    ]);
}
