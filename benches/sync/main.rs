//! What syncing costs: waking many, telling one of one new event, telling everything from the start.
//!
//! `cargo bench --bench sync` fills a database through the services, starts a server on it, and prints a table for
//! each of these questions:
//!
//! - an event is sent where a thousand wait for it: how long from its reply until the last of them has it?
//! - one new event in one of many rooms, of few or many members: what does a sync that brings it cost?
//! - what does a first sync of many rooms cost?

mod one_event;
mod waking;

use hearth_bench::{Arguments, Client, Filler, Person, ROUTE, Result, Rig, Server, Table, machine};
use ruma::OwnedRoomId;

use self::one_event::Case;

const ARGUMENTS: [(&str, &str); 7] = [
    ("waiting", "1000"),
    ("rounds", "20"),
    ("rooms", "10,100,1000"),
    ("members", "10,1000,10000"),
    ("history", "10000"),
    ("initial", "100,500"),
    ("repeats", "100"),
];

/// Members of a room in which nothing happens.
const SMALL: usize = 10;

const DATABASE: &str = "served";

/// Everybody and every place that the measurements need.
struct World {
    talker: Person,
    /// Where many wait.
    hall: OwnedRoomId,
    waiting: Vec<Person>,
    cases: Vec<Case>,
    /// Who has not synced yet, and in how many rooms they are.
    newcomers: Vec<(Person, usize)>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    let world = fill(&rig, &arguments).await?;
    let server = rig.serve(DATABASE).await?;
    first_syncs(&server, &world).await?;
    one_event::measure(&server, &world.talker, &world.cases, arguments.get("repeats")?).await?;
    waking::measure(&server, &world.talker, &world.hall, &world.waiting, arguments.get("rounds")?).await?;
    server.stop().await?;
    rig.stop().await;
    Ok(())
}

async fn fill(rig: &Rig, arguments: &Arguments) -> Result<World> {
    let sizes: Vec<usize> = arguments.list("members")?;
    let rooms: Vec<usize> = arguments.list("rooms")?;
    let initial: Vec<usize> = arguments.list("initial")?;
    let most = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or_default();
    rig.found(DATABASE).await?;
    let filler = Filler::open(rig, DATABASE).await?;
    let talker = filler.people("talker", 1).await?.pop().ok_or("nobody talks")?;
    let crowd = filler.people("member", most(&sizes).max(SMALL)).await?;
    let quiet = quiet_rooms(&filler, &talker, &crowd, most(&rooms).max(most(&initial)).max(SMALL)).await?;
    let mut cases = Vec::new();
    for &members in &sizes {
        // The talker and the reader are members too.
        let busy = filler.room(&talker).await?;
        filler.join(&busy, crowd.get(..members.saturating_sub(2)).unwrap_or(&crowd)).await?;
        for &rooms in &rooms {
            cases.push(case(&filler, &quiet, &busy, (rooms, members, 0)).await?);
        }
    }
    let (busy, history) = (filler.room(&talker).await?, arguments.get("history")?);
    filler.join(&busy, crowd.get(..SMALL - 2).unwrap_or(&crowd)).await?;
    filler.say(&talker, &busy, history).await?;
    cases.push(case(&filler, &quiet, &busy, (SMALL, SMALL, history)).await?);
    let mut newcomers = Vec::new();
    for rooms in initial {
        newcomers.push((reader(&filler, &quiet, &format!("newcomer-{rooms}"), rooms).await?, rooms));
    }
    let hall = filler.room(&talker).await?;
    let waiting = filler.people("waiting", arguments.get("waiting")?).await?;
    filler.join(&hall, &waiting).await?;
    filler.close().await?;
    Ok(World { talker, hall, waiting, cases, newcomers })
}

/// Rooms in which nothing happens.
async fn quiet_rooms(
    filler: &Filler,
    creator: &Person,
    crowd: &[Person],
    count: usize,
) -> Result<Vec<OwnedRoomId>> {
    let rooms = filler.many_rooms(creator, count).await?;
    let members = crowd.get(..SMALL - 2).unwrap_or(crowd);
    let pairs = members.iter().flat_map(|person| rooms.iter().map(move |room| (&**room, person)));
    filler.join_all(pairs).await?;
    Ok(rooms)
}

/// Somebody who is in so many quiet rooms.
async fn reader(filler: &Filler, quiet: &[OwnedRoomId], name: &str, rooms: usize) -> Result<Person> {
    let reader = filler.people(name, 1).await?.pop().ok_or("nobody reads")?;
    filler.join_all(quiet.iter().take(rooms).map(|room| (&**room, &reader))).await?;
    Ok(reader)
}

async fn case(
    filler: &Filler,
    quiet: &[OwnedRoomId],
    busy: &OwnedRoomId,
    (rooms, members, history): (usize, usize, usize),
) -> Result<Case> {
    let name = format!("reader-{rooms}-{members}-{history}");
    let reader = reader(filler, quiet, &name, rooms.saturating_sub(1)).await?;
    filler.join(busy, std::slice::from_ref(&reader)).await?;
    Ok(Case { rooms, members, history, busy: busy.clone(), reader })
}

/// Syncs from the start: by the first who asks, and again when it is all in memory.
async fn first_syncs(server: &Server, world: &World) -> Result<()> {
    let table = Table::head(
        "First sync; cold is the first after the server's start",
        &["rooms", "", "ms", "statements", "CPU server ms", "CPU PostgreSQL ms", "KiB"],
    );
    for (person, rooms) in &world.newcomers {
        for kind in ["cold", "warm"] {
            let mut client = Client::open(server, person).await?;
            let (counters, usage) = (server.counters().await?, server.cpu.usage()?);
            let (took, bytes) = client.sync(0).await?;
            let used = server.cpu.usage()? - usage;
            let counters = &server.counters().await? - &counters;
            table.row(&[
                rooms.to_string(),
                kind.to_owned(),
                format!("{:.1}", took.as_secs_f64() * 1000.0),
                format!("{:.0}", counters.sum("hearth_db_statements_total", ROUTE)),
                format!("{:.0}", used.server.as_secs_f64() * 1000.0),
                format!("{:.0}", used.postgres.as_secs_f64() * 1000.0),
                format!("{}", bytes / 1024),
            ]);
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
