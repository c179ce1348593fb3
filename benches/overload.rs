//! What more requests than can be answered do to those that are: their latency, what becomes of the others, memory.
//!
//! `cargo bench --bench overload` finds out how many rooms a second can be made by a few clients, each with one
//! request at a time, and then lets many clients ask for a multiple of that, whatever the answers. Those who are
//! turned away must be told when to come back.

use std::time::{Duration, Instant};

use hearth_bench::{
    Arguments, Connection, Figures, Filler, Person, Request, Result, Rig, Server, Table, machine,
    resident_bytes,
};
use tokio::task::JoinSet;

const ARGUMENTS: [(&str, &str); 4] =
    [("few", "64"), ("clients", "2000"), ("seconds", "10"), ("times", "1,2,10")];

const DATABASE: &str = "served";

const PATH: &str = "/_matrix/client/v3/createRoom";
const BODY: &str = r#"{"preset":"private_chat","name":"A room"}"#;

/// What one client was answered.
#[derive(Default)]
struct Answers {
    admitted: Vec<Duration>,
    refused: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    rig.found(DATABASE).await?;
    let filler = Filler::open(&rig, DATABASE).await?;
    let people = filler.people("maker", arguments.get("clients")?).await?;
    filler.close().await?;
    let server = rig.serve(DATABASE).await?;
    let seconds = Duration::from_secs(arguments.get("seconds")?);
    let few: usize = arguments.get("few")?;
    // Warm first, so that the capacity is that of a server which has everything in memory.
    run(&server, people.get(..few).unwrap_or(&people), Duration::ZERO, Duration::from_secs(2)).await?;
    let table = Table::head(
        "Rooms made; the first row is a few clients that ask again when they are answered, which is the capacity",
        &[
            "offered/s",
            "admitted/s",
            "p50 ms",
            "p99 ms",
            "refused/s",
            "refused p99 ms",
            "RSS MiB before",
            "after",
        ],
    );
    let capacity = measure(&server, &table, &people[..few.min(people.len())], (0.0, seconds)).await?;
    for times in arguments.list::<f64>("times")? {
        measure(&server, &table, &people, (capacity * times, seconds)).await?;
    }
    server.stop().await?;
    rig.stop().await;
    Ok(())
}

/// One row; how many were admitted a second. With a rate of 0 everybody asks again when they are answered.
#[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
async fn measure(
    server: &Server,
    table: &Table,
    people: &[Person],
    (rate, seconds): (f64, Duration),
) -> Result<f64> {
    let before = resident_bytes(server.cpu.server)?;
    let every = if rate > 0.0 { Duration::from_secs_f64(people.len() as f64 / rate) } else { Duration::ZERO };
    let answers = run(server, people, every, seconds).await?;
    let after = resident_bytes(server.cpu.server)?;
    let (admitted, refused) = (Figures::of(answers.admitted), Figures::of(answers.refused));
    let per_second = |figures: &Figures| figures.count() as f64 / seconds.as_secs_f64();
    let mib = |bytes: u64| (bytes / 1024 / 1024).to_string();
    table.row(&[
        if rate > 0.0 { format!("{rate:.0}") } else { format!("by {}", people.len()) },
        format!("{:.0}", per_second(&admitted)),
        format!("{:.1}", admitted.percentile(50)),
        format!("{:.1}", admitted.percentile(99)),
        format!("{:.0}", per_second(&refused)),
        format!("{:.1}", refused.percentile(99)),
        mib(before),
        mib(after),
    ]);
    Ok(per_second(&admitted))
}

async fn run(server: &Server, people: &[Person], every: Duration, seconds: Duration) -> Result<Answers> {
    let mut clients = JoinSet::new();
    let begin = Instant::now() + Duration::from_secs(1);
    for (number, person) in people.iter().cloned().enumerate() {
        let connection = Connection::open(&server.address).await?;
        // Spread over the first interval.
        let share = f64::from(u32::try_from(number)?) / f64::from(u32::try_from(people.len())?);
        let first = begin + every.mul_f64(share);
        clients.spawn(ask(connection, person, (first, every), begin + seconds));
    }
    let mut all = Answers::default();
    while let Some(answers) = clients.join_next().await {
        let answers = answers??;
        all.admitted.extend(answers.admitted);
        all.refused.extend(answers.refused);
    }
    Ok(all)
}

/// Asks at every interval; one whose answer takes longer than that asks as soon as it has it.
async fn ask(
    mut connection: Connection,
    person: Person,
    (first, every): (Instant, Duration),
    end: Instant,
) -> Result<Answers> {
    let request = Request { method: "POST", path: PATH, token: &person.token, body: BODY };
    let (mut answers, mut next) = (Answers::default(), first);
    while next < end && Instant::now() < end {
        tokio::time::sleep_until(next.into()).await;
        let begun = Instant::now();
        let reply = connection.request(&request).await?;
        let took = begun.elapsed();
        match reply.status {
            200 => answers.admitted.push(took),
            429 => answers.refused.push(took),
            status => return Err(format!("{status} {}", String::from_utf8_lossy(&reply.body)).into()),
        }
        next += every;
    }
    Ok(answers)
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
