//! What it costs to tell who is online.
//!
//! `cargo bench --bench presence` lets many be online, each in many rooms, of which some do something every minute:
//! that is a transition for each of them, and another when they rest. It prints a row for each size of rooms: CPU time,
//! entries of the log, and what those who wait are told, each for one minute.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hearth_bench::{Arguments, Client, Filler, Person, Result, Rig, Server, Table, machine};
use ruma::OwnedRoomId;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const ARGUMENTS: [(&str, &str); 5] =
    [("users", "10000"), ("rooms", "50"), ("members", "100,1000"), ("active", "1000"), ("minutes", "2")];

/// How long a sync waits, in milliseconds: what clients commonly ask for.
const POLL: u32 = 30_000;

/// A minute after coming somebody rests, by default: another transition of everybody, which has begun after this.
const RESTS_AFTER: Duration = Duration::from_secs(80);

/// How long nobody is told of anything once everybody has heard of all, and how long that may take.
const CALM: Duration = Duration::from_secs(5);
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

const MINUTE: Duration = Duration::from_mins(1);

/// What those who wait received.
#[derive(Default)]
struct Told {
    syncs: u64,
    presences: u64,
    bytes: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let (users, rooms): (usize, usize) = (arguments.get("users")?, arguments.get("rooms")?);
    let (active, minutes): (usize, u32) = (arguments.get("active")?, arguments.get("minutes")?);
    let table = Table::head(
        &format!(
            "{users} users online in {rooms} rooms each, {active} of them active in a minute; per minute"
        ),
        &["members of a room", "CPU server s", "CPU PostgreSQL s", "log entries", "syncs", "told of", "MiB"],
    );
    for members in arguments.list::<usize>("members")? {
        let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
        let people = fill(&rig, users, rooms, members).await?;
        let server = rig.serve(DATABASE).await?;
        let row = measure(&server, &people, active, minutes).await?;
        table.row(&[vec![members.to_string()], row].concat());
        server.stop().await?;
        rig.stop().await;
    }
    Ok(())
}

const DATABASE: &str = "served";

/// How far apart neighbours in a layer of rooms were in the first, for each layer; all are in every layer once.
fn strides(users: usize) -> impl Iterator<Item = usize> {
    (1..).step_by(2).filter(move |stride| gcd(*stride, users) == 1)
}

const fn gcd(one: usize, other: usize) -> usize {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// Rooms of so many members, so that everybody is in so many of them, each time with others.
async fn fill(rig: &Rig, users: usize, rooms: usize, members: usize) -> Result<Vec<Person>> {
    rig.found(DATABASE).await?;
    let filler = Filler::open(rig, DATABASE).await?;
    let people = filler.people("member", users).await?;
    let mut pairs: Vec<(OwnedRoomId, &Person)> = Vec::new();
    for stride in strides(users).take(rooms) {
        let order: Vec<&Person> = (0..users).filter_map(|n| people.get(n * stride % users)).collect();
        for group in order.chunks(members) {
            let Some(creator) = group.first() else { continue };
            let room = filler.room(creator).await?;
            pairs.extend(group.iter().skip(1).map(|person| (room.clone(), *person)));
        }
    }
    // Rooms in turn: a room takes one join after the other.
    let mut turns: Vec<(usize, &(OwnedRoomId, &Person))> = pairs.iter().enumerate().collect();
    turns.sort_unstable_by_key(|(number, _)| (number % members.max(1), number / members.max(1)));
    filler.join_all(turns.into_iter().map(|(_, (room, person))| (&**room, *person))).await?;
    filler.close().await?;
    Ok(people)
}

async fn measure(server: &Server, people: &[Person], active: usize, minutes: u32) -> Result<Vec<String>> {
    // Everybody goes on from where one is: first syncs of so many rooms and members are not what is measured.
    let mut first = Client::open(server, people.first().ok_or("nobody is there")?).await?;
    first.sync(0).await?;
    let stop = tokio_util::sync::CancellationToken::new();
    let (told, mut listening) = (Arc::new(Mutex::new(Told::default())), JoinSet::new());
    for person in people {
        let mut client = Client::open(server, person).await?.online().from_where(&first);
        let (told, stop) = (Arc::clone(&told), stop.clone());
        listening.spawn(async move {
            while !stop.is_cancelled() {
                client.ask(POLL).await?;
                let body = client.receive().await?;
                let mut told = told.lock().map_err(|_| "a listener panicked")?;
                told.syncs += 1;
                told.presences += count(&body, b"m.presence");
                told.bytes += u64::try_from(body.len())?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    sleep(RESTS_AFTER).await;
    timeout(SETTLES_WITHIN, settle(&told)).await.map_err(|_| "it did not become calm")??;
    *told.lock().map_err(|_| "a listener panicked")? = Told::default();
    let (counters, usage) = (server.counters().await?, server.cpu.usage()?);
    for minute in 0..minutes {
        act(server, people, active, usize::try_from(minute)? * active).await?;
    }
    let used = server.cpu.usage()? - usage;
    let entries = (&server.counters().await? - &counters).sum("hearth_log_head", "");
    let told = std::mem::take(&mut *told.lock().map_err(|_| "a listener panicked")?);
    stop.cancel();
    listening.abort_all();
    let minutes = f64::from(minutes);
    let each = |count: u64| format!("{:.0}", f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / minutes);
    Ok(vec![
        format!("{:.1}", used.server.as_secs_f64() / minutes),
        format!("{:.1}", used.postgres.as_secs_f64() / minutes),
        format!("{:.0}", entries / minutes),
        each(told.syncs),
        each(told.presences),
        each(told.bytes / 1024 / 1024),
    ])
}

/// Waits until nobody is told of anything.
async fn settle(told: &Mutex<Told>) -> Result<()> {
    let mut before = None;
    loop {
        let presences = told.lock().map_err(|_| "a listener panicked")?.presences;
        if before.replace(presences) == Some(presences) {
            return Ok(());
        }
        sleep(CALM).await;
    }
}

/// Lets so many do something, spread over a minute.
async fn act(server: &Server, people: &[Person], active: usize, first: usize) -> Result<()> {
    let begun = Instant::now();
    for (number, person) in people.iter().cycle().skip(first).take(active).enumerate() {
        let at = MINUTE.mul_f64(f64::from(u32::try_from(number)?) / f64::from(u32::try_from(active.max(1))?));
        sleep(at.saturating_sub(begun.elapsed())).await;
        Client::open(server, person).await?.set_presence("online").await?;
    }
    sleep(MINUTE.saturating_sub(begun.elapsed())).await;
    Ok(())
}

fn count(body: &[u8], word: &[u8]) -> u64 {
    u64::try_from(body.windows(word.len()).filter(|window| *window == word).count()).unwrap_or(u64::MAX)
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
