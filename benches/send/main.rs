//! What sending costs: events per second and CPU time per event, over HTTP, beside what PostgreSQL alone can do.
//!
//! `cargo bench --bench send` prints one row for each number of rooms and senders. A sender has a connection that
//! stays open and sends its next event when the last one is answered. The baseline follows each row in the same
//! run: one connection that inserts, for each event, the rows that the writer inserts, in commits of the same mean
//! size, into a copy of the same database in the same PostgreSQL.
//!
//! `-- --hold 600` measures instead what a snapshot does that another connection holds open for so many seconds.

mod baseline;
mod load;

use std::sync::Arc;
use std::time::Duration;

use hearth_bench::{Arguments, Figures, Filler, Person, Result, Rig, Server, Table, machine};
use ruma::OwnedRoomId;
use sqlx::{Connection as _, PgConnection};

use self::baseline::Baseline;
use self::load::{Load, Measured};

const ARGUMENTS: [(&str, &str); 4] =
    [("seconds", "10"), ("rooms", "1,100"), ("senders", "1,10,100"), ("hold", "0")];

/// Caches fill and connections open before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);

/// Parts of the time that a snapshot is held, to see whether it gets slower.
const SLICES: u32 = 10;

/// The server's database, and the one that the baseline fills.
const SERVED: &str = "served";
const COPY: &str = "copied";

/// Who sends where.
struct Crowd {
    people: Vec<Person>,
    rooms: Vec<OwnedRoomId>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    let (rooms, senders) = (arguments.list("rooms")?, arguments.list("senders")?);
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    let crowd = fill(&rig, &rooms, &senders).await?;
    rig.new_database(COPY, Some(SERVED)).await?;
    let server = rig.serve(SERVED).await?;
    let hold = Duration::from_secs(arguments.get("hold")?);
    let sent = if hold.is_zero() {
        let seconds = Duration::from_secs(arguments.get("seconds")?);
        compare(&rig, &server, &crowd, (&rooms, &senders), seconds).await?
    } else {
        let most = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or(1);
        let load = crowd.load(most(&rooms), most(&senders));
        held(&rig, &server, &load, hold / SLICES).await?
    };
    let stored = stored(&mut rig.connect(SERVED).await?).await?;
    say(&format!("\n{sent} events were acknowledged, {stored} are stored."));
    server.stop().await?;
    rig.stop().await;
    if stored < sent { Err("acknowledged events are missing".into()) } else { Ok(()) }
}

impl Crowd {
    fn load(&self, rooms: usize, senders: usize) -> Load {
        Load {
            people: self.people.iter().take(senders).cloned().collect(),
            rooms: Arc::new(self.rooms.iter().take(rooms).cloned().collect()),
        }
    }
}

/// Everybody is in every room.
async fn fill(rig: &Rig, rooms: &[usize], senders: &[usize]) -> Result<Crowd> {
    let most = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or(1);
    rig.found(SERVED).await?;
    let filler = Filler::open(rig, SERVED).await?;
    let people = filler.people("sender", most(senders)).await?;
    let creator = people.first().ok_or("nobody sends")?;
    let rooms = filler.many_rooms(creator, most(rooms)).await?;
    for room in &rooms {
        filler.join(room, people.get(1..).unwrap_or_default()).await?;
    }
    filler.close().await?;
    Ok(Crowd { people, rooms })
}

/// One row for each number of rooms and senders; how many events were acknowledged.
async fn compare(
    rig: &Rig,
    server: &Server,
    crowd: &Crowd,
    (rooms, senders): (&[usize], &[usize]),
    seconds: Duration,
) -> Result<u64> {
    let table = Table::head(
        "CPU in milliseconds per event; the baseline commits batches of the same mean size in one statement each; \
         bare is one connection committing one small row at a time",
        &[
            "rooms",
            "senders",
            "sends/s",
            "p50 ms",
            "p99 ms",
            "batch",
            "statements",
            "CPU server",
            "CPU PostgreSQL",
            "CPU both",
            "CPU generator",
            "baseline/s",
            "CPU its PostgreSQL",
            "of baseline",
            "bare/s",
            "mean send / bare",
        ],
    );
    let mut baseline = Baseline::new(rig.connect(COPY).await?);
    let mut sent_to = rig.connect(SERVED).await?;
    let mut acknowledged = 0;
    for &rooms in rooms {
        for &senders in senders {
            let measured = crowd.load(rooms, senders).run(server, WARM_UP, seconds).await?;
            acknowledged += measured.acknowledged;
            baseline.learn(&mut sent_to).await?;
            let before = server.cpu.usage()?;
            let inserted = baseline.insert(rooms, measured.batch, seconds).await?;
            let postgres = (server.cpu.usage()? - before).postgres;
            let bare = baseline.commit_bare(seconds / 2).await?;
            table.row(&row(
                (rooms, senders),
                &measured,
                (inserted.per_second(), inserted.each(postgres)),
                &bare,
            ));
        }
    }
    Ok(acknowledged)
}

fn row(
    (rooms, senders): (usize, usize),
    measured: &Measured,
    (inserted, inserted_cpu): (f64, f64),
    bare: &Figures,
) -> Vec<String> {
    let [server, postgres, generator] = measured.cpu_each();
    vec![
        rooms.to_string(),
        senders.to_string(),
        format!("{:.0}", measured.per_second()),
        format!("{:.2}", measured.latencies.percentile(50)),
        format!("{:.2}", measured.latencies.percentile(99)),
        format!("{:.1}", measured.batch),
        format!("{:.3}", measured.statements),
        format!("{server:.3}"),
        format!("{postgres:.3}"),
        format!("{:.3}", server + postgres),
        format!("{generator:.3}"),
        format!("{inserted:.0}"),
        format!("{inserted_cpu:.3}"),
        format!("{:.2}", measured.per_second() / inserted),
        format!("{:.0}", 1000.0 / bare.mean()),
        format!("{:.2}", measured.latencies.mean() / bare.mean()),
    ]
}

/// The same load in slices, without and with an old snapshot.
async fn held(rig: &Rig, server: &Server, load: &Load, slice: Duration) -> Result<u64> {
    let title = format!("{} senders in {} rooms, slices of {slice:?}", load.people.len(), load.rooms.len());
    let table =
        Table::head(&title, &["snapshot", "slice", "sends/s", "p99 ms", "CPU server", "CPU PostgreSQL"]);
    let mut acknowledged = 0;
    for (name, holding) in [("none", false), ("held", true)] {
        let mut holder = rig.connect(SERVED).await?;
        if holding {
            hold_snapshot(&mut holder).await?;
        }
        for number in 1..=SLICES {
            let measured = load.run(server, Duration::ZERO, slice).await?;
            acknowledged += measured.acknowledged;
            let [server, postgres, _] = measured.cpu_each();
            table.row(&[
                name.to_owned(),
                number.to_string(),
                format!("{:.0}", measured.per_second()),
                format!("{:.2}", measured.latencies.percentile(99)),
                format!("{server:.3}"),
                format!("{postgres:.3}"),
            ]);
        }
        holder.close().await?;
    }
    Ok(acknowledged)
}

async fn hold_snapshot(holder: &mut PgConnection) -> Result<()> {
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut *holder).await?;
    sqlx::query("SELECT count(*) FROM log").execute(holder).await?;
    Ok(())
}

async fn stored(connection: &mut PgConnection) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM timeline t JOIN event e ON e.nid = t.event_nid WHERE e.txn_id IS NOT NULL",
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(count)?)
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
