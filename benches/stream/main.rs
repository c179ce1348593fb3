//! What pushing costs: `cargo bench --bench stream` prints a table for each of these questions.
//!
//! - What does a connection cost that waits, and what do ten thousand of them cost in a minute?
//! - A message is sent where a thousand or ten thousand listen: when do the first, the middle one and the last have it, by each
//!   transport, and from a bare broadcast of the same bytes?
//! - How many messages a second reach a thousand who listen in a hundred rooms, and how late at a part of that?
//! - What do those who take nothing cost the others?

mod broadcast;
mod fan_out;
mod flow;
mod idle;
mod listener;
mod slow;

use hearth_bench::{Arguments, Filler, Person, Result, Rig, machine};
use ruma::OwnedRoomId;

const ARGUMENTS: [(&str, &str); 8] = [
    ("idle", "10000"),
    ("seconds", "30"),
    ("listeners", "1000,10000"),
    ("rounds", "10"),
    ("connections", "1000"),
    ("rooms", "100"),
    ("readers", "1000"),
    ("stuck", "100"),
];

/// Devices of one user, where many connections are those of few.
const DEVICES: usize = 100;

const DATABASE: &str = "served";

/// Everybody and every place that the measurements need.
struct World {
    talker: Person,
    /// Access tokens of many devices of few users.
    devices: Vec<String>,
    /// Rooms of so many listeners.
    halls: Vec<(OwnedRoomId, usize)>,
    crowd: Vec<Person>,
    /// Rooms of equal parts of the crowd.
    rooms: Vec<OwnedRoomId>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    if let Some(address) = std::env::args().skip_while(|word| word != broadcast::WORD).nth(1) {
        return broadcast::serve(&address).await;
    }
    let arguments = Arguments::parse(&ARGUMENTS)?;
    say(&machine());
    let rig = Rig::start(env!("CARGO_BIN_EXE_hearth")).await?;
    let world = fill(&rig, &arguments).await?;
    idle::measure(&rig, &world.devices, arguments.get("seconds")?).await?;
    let server = rig.serve(DATABASE).await?;
    fan_out::measure(&server, &world, arguments.get("rounds")?).await?;
    flow::measure(&server, &world, arguments.get("connections")?).await?;
    slow::measure(&server, &world, arguments.get("readers")?, arguments.get("stuck")?).await?;
    server.stop().await?;
    rig.stop().await;
    Ok(())
}

async fn fill(rig: &Rig, arguments: &Arguments) -> Result<World> {
    let sizes: Vec<usize> = arguments.list("listeners")?;
    let (connections, readers): (usize, usize) = (arguments.get("connections")?, arguments.get("readers")?);
    let most = sizes.iter().copied().chain([connections, readers]).max().unwrap_or_default();
    rig.found(DATABASE).await?;
    let filler = Filler::open(rig, DATABASE).await?;
    let talker = filler.people("talker", 1).await?.pop().ok_or("nobody talks")?;
    let idle: usize = arguments.get("idle")?;
    let mut devices = Vec::with_capacity(idle);
    for owner in filler.people("owner", idle.div_ceil(DEVICES)).await? {
        devices.extend(filler.devices(&owner, DEVICES.min(idle - devices.len())).await?);
    }
    let crowd = filler.people("listener", most).await?;
    let mut halls = Vec::new();
    for size in sizes {
        let hall = filler.room(&talker).await?;
        filler.join(&hall, crowd.get(..size).unwrap_or(&crowd)).await?;
        halls.push((hall, size));
    }
    let rooms = filler.many_rooms(&talker, arguments.get("rooms")?).await?;
    let places = crowd.iter().take(connections).enumerate();
    let joining = places.filter_map(|(number, person)| Some((&**rooms.get(number % rooms.len())?, person)));
    filler.join_all(joining).await?;
    filler.close().await?;
    Ok(World { talker, devices, halls, crowd, rooms })
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn say(line: &str) {
    println!("{line}");
}
