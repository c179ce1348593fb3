//! Those who take nothing, beside those who do.

use std::time::{Duration, Instant};

use hearth_bench::{Client, Connection, Figures, Request, Result, Server, Table, resident_bytes};

use crate::World;
use crate::listener::{Listener, Transport};

/// Messages of so many bytes: more than buffers hold.
const MESSAGES: usize = 100;
const BYTES: usize = 20_000;

/// Sends to many who listen, and then to as many of whom some read nothing.
pub(crate) async fn measure(server: &Server, world: &World, readers: usize, stuck: usize) -> Result<()> {
    let table = Table::head(
        &format!("{MESSAGES} messages of {BYTES} bytes; from sending one until the last who reads has it"),
        &["read", "read nothing", "p50 ms", "p99 ms", "MiB of the server before", "after"],
    );
    let Some((hall, _)) = world.halls.iter().find(|(_, size)| *size >= readers) else { return Ok(()) };
    let crowd = world.crowd.get(..readers).unwrap_or(&world.crowd);
    for stuck in [0, stuck] {
        let mut from = Client::open(server, &world.talker).await?;
        from.sync(0).await?;
        let mut listeners = Vec::with_capacity(readers);
        for person in crowd {
            listeners.push(Listener::open(server, Transport::Socket, person, &from).await?);
        }
        let stuck_ones = listeners.split_off(readers - stuck);
        let before = resident_bytes(server.cpu.server)?;
        let mut talker = Connection::open(&server.address).await?;
        let mut took = Vec::with_capacity(MESSAGES);
        for number in 0..MESSAGES {
            let path = format!("/_matrix/client/v3/rooms/{hall}/send/m.room.message/slow-{stuck}-{number}");
            let body = format!(r#"{{"msgtype":"m.text","body":"{}"}}"#, "x".repeat(BYTES));
            let begun = Instant::now();
            let request = Request { method: "PUT", path: &path, token: &world.talker.token, body: &body };
            talker.ask(&request).await?;
            for listener in &mut listeners {
                listener.next().await?;
            }
            took.push(begun.elapsed());
        }
        let after = resident_bytes(server.cpu.server)?;
        let figures = Figures::of(took);
        table.row(&[
            listeners.len().to_string(),
            stuck.to_string(),
            format!("{:.1}", figures.percentile(50)),
            format!("{:.1}", figures.percentile(99)),
            (before / 1024 / 1024).to_string(),
            (after / 1024 / 1024).to_string(),
        ]);
        drop((listeners, stuck_ones));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
