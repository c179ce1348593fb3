//! Messages to many rooms, as fast as they go and at a part of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hearth_bench::{Client, Connection, Figures, Request, Result, Server, Table};
use tokio::task::JoinSet;

use crate::World;
use crate::listener::{Listener, Transport};

/// How long each part is measured.
const TIME: Duration = Duration::from_secs(8);

/// Parts of the most that goes, in percent.
const PARTS: [usize; 3] = [25, 50, 90];

/// Between what is sent and the words that say when.
const MARK: &str = "sent at ";

/// What all who listen heard.
type Heard = (Vec<Listener>, Vec<Duration>);

/// Sends to all rooms.
pub(crate) async fn measure(server: &Server, world: &World, connections: usize) -> Result<()> {
    let table = Table::head(
        &format!(
            "Messages to {} rooms, {connections} WebSockets listening; how late they come",
            world.rooms.len()
        ),
        &["", "messages/s", "deliveries/s", "p50 ms", "p99 ms", "worst ms", "lost or doubled"],
    );
    if world.rooms.is_empty() {
        return Ok(());
    }
    let mut from = Client::open(server, &world.talker).await?;
    from.sync(0).await?;
    let mut listeners = Vec::with_capacity(connections);
    for person in world.crowd.iter().take(connections) {
        listeners.push(Listener::open(server, Transport::Socket, person, &from).await?);
    }
    let epoch = Instant::now();
    let mut most = 0;
    for part in [100].into_iter().chain(PARTS) {
        let every = (part < 100).then(|| {
            Duration::from_secs(1) * u32::try_from(world.rooms.len()).unwrap_or(1)
                / (u32::try_from(most * part / 100).unwrap_or(1)).max(1)
        });
        let stop = Arc::new(AtomicBool::new(false));
        let expected = Arc::new(AtomicUsize::new(usize::MAX));
        let hearing = tokio::spawn(hear(listeners, epoch, Arc::clone(&expected)));
        let sent = send(server, world, (epoch, every), &stop).await?;
        // Everybody in a room hears of each, and nobody else.
        expected.store(sent * connections / world.rooms.len(), Ordering::Relaxed);
        let (back, late) = hearing.await??;
        listeners = back;
        let seconds = usize::try_from(TIME.as_secs()).unwrap_or(1);
        most = if part == 100 { sent / seconds } else { most };
        let wrong = late.len().abs_diff(sent * connections / world.rooms.len());
        let figures = Figures::of(late);
        table.row(&[
            format!("{part} %"),
            (sent / seconds).to_string(),
            (figures.count() / seconds).to_string(),
            format!("{:.1}", figures.percentile(50)),
            format!("{:.1}", figures.percentile(99)),
            format!("{:.1}", figures.percentile(100)),
            wrong.to_string(),
        ]);
    }
    // What was opened here is not another measurement's.
    drop(listeners);
    let _ = Client::open(server, &world.talker).await?;
    Ok(())
}

/// Sends to every room, one message after the other or one in every period; how many were.
async fn send(
    server: &Server,
    world: &World,
    (epoch, every): (Instant, Option<Duration>),
    stop: &Arc<AtomicBool>,
) -> Result<usize> {
    let mut sending = JoinSet::new();
    let rooms = u32::try_from(world.rooms.len()).unwrap_or(1);
    for (number, room) in (0_u32..).zip(world.rooms.clone()) {
        let (mut connection, token) = (Connection::open(&server.address).await?, world.talker.token.clone());
        let stop = Arc::clone(stop);
        // They begin one after the other, so that they do not all send in the same moment.
        let begin = Instant::now() + every.unwrap_or_default() * number / rooms;
        sending.spawn(async move {
            let mut sent = 0_usize;
            tokio::time::sleep_until(begin.into()).await;
            while !stop.load(Ordering::Relaxed) {
                let micros = epoch.elapsed().as_micros();
                let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{number}-{micros}");
                let body = format!(r#"{{"msgtype":"m.text","body":"{MARK}{micros}."}}"#);
                connection.ask(&Request { method: "PUT", path: &path, token: &token, body: &body }).await?;
                sent += 1;
                if let Some(every) = every {
                    let next = begin + every * u32::try_from(sent).unwrap_or(u32::MAX);
                    tokio::time::sleep_until(next.into()).await;
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sent)
        });
    }
    tokio::time::sleep(TIME).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = 0;
    while let Some(sent) = sending.join_next().await {
        all += sent??;
    }
    Ok(all)
}

/// Listens until as many messages came as were expected, or nothing more comes.
async fn hear(listeners: Vec<Listener>, epoch: Instant, expected: Arc<AtomicUsize>) -> Result<Heard> {
    let heard = Arc::new(AtomicUsize::new(0));
    let mut hearing = JoinSet::new();
    for mut listener in listeners {
        let (heard, expected) = (Arc::clone(&heard), Arc::clone(&expected));
        hearing.spawn(async move {
            let mut late = Vec::new();
            while heard.load(Ordering::Relaxed) < expected.load(Ordering::Relaxed) {
                let next = tokio::time::timeout(Duration::from_secs(2), listener.next()).await;
                let Ok(body) = next else {
                    if expected.load(Ordering::Relaxed) == usize::MAX {
                        continue;
                    }
                    break;
                };
                let (body, now) = (body?, epoch.elapsed());
                for message in String::from_utf8_lossy(&body).split(MARK).skip(1) {
                    let sent: u64 = message.split('.').next().unwrap_or_default().parse()?;
                    late.push(now.saturating_sub(Duration::from_micros(sent)));
                    heard.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((listener, late))
        });
    }
    let (mut listeners, mut late) = (Vec::new(), Vec::new());
    while let Some(one) = hearing.join_next().await {
        let (listener, of_one) = one??;
        listeners.push(listener);
        late.extend(of_one);
    }
    Ok((listeners, late))
}
