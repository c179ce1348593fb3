//! One message for many who listen.

use std::time::{Duration, Instant};

use hearth_bench::{Client, Connection, Figures, Request, Result, Server, Table, Usage};
use tokio::task::JoinSet;

use crate::listener::{Listener, Stream, Transport};
use crate::{World, broadcast};

/// Everybody's connection has come to rest by then.
const SETTLE: Duration = Duration::from_millis(500);

/// What all rounds came to.
#[derive(Default)]
struct Rounds {
    first: Vec<Duration>,
    middle: Vec<Duration>,
    last: Vec<Duration>,
    used: Usage,
    lost: usize,
    doubled: usize,
}

type Heard = (Instant, Vec<u8>);

/// Sends where many listen, by each transport, and from the baseline.
pub(crate) async fn measure(server: &Server, world: &World, rounds: usize) -> Result<()> {
    let table = Table::head(
        "From sending a message until those who listen have it; CPU of the server in milliseconds a listener",
        &[
            "listeners",
            "",
            "rounds",
            "first p50 ms",
            "median p50 ms",
            "last p50 ms",
            "last worst ms",
            "CPU",
            "lost",
            "doubled",
        ],
    );
    for (hall, size) in &world.halls {
        let crowd = world.crowd.get(..*size).unwrap_or(&world.crowd);
        let mut sample = Vec::new();
        for transport in Transport::ALL {
            let mut talker = Client::open(server, &world.talker).await?;
            talker.sync(0).await?;
            let mut listeners = Vec::with_capacity(*size);
            for person in crowd {
                listeners.push(Listener::open(server, transport, person, &talker).await?);
            }
            tokio::time::sleep(SETTLE).await;
            let mut of_all = Rounds::default();
            for _ in 0..rounds {
                let before = server.cpu.usage()?;
                let begun = Instant::now();
                let listening = tokio::spawn(hear_all(listeners));
                let event = talker.say(hall).await?;
                let (back, heard) = listening.await??;
                listeners = back;
                of_all.add(begun, &heard, &event, server.cpu.usage()? - before);
                sample = heard.into_iter().next().map(|(_, body)| body).unwrap_or_default();
                tokio::time::sleep(SETTLE).await;
            }
            of_all.print(&table, *size, transport.name());
        }
        baseline(&table, *size, rounds, String::from_utf8(sample)?).await?;
    }
    Ok(())
}

/// The same bytes from a server that does nothing but send them.
async fn baseline(table: &Table, size: usize, rounds: usize, text: String) -> Result<()> {
    let (mut child, address) = broadcast::start().await?;
    let mut listeners = Vec::with_capacity(size);
    for _ in 0..size {
        let stream = Stream::open(&address, Transport::Socket, "/listen", "none").await?;
        listeners.push(Listener::Stream(stream));
    }
    let cpu = hearth_bench::Cpu {
        server: child.id().ok_or("the baseline has ended")?,
        postgres: std::process::id(),
    };
    let mut connection = Connection::open(&address).await?;
    tokio::time::sleep(SETTLE).await;
    let mut of_all = Rounds::default();
    for _ in 0..rounds {
        let before = cpu.usage()?;
        let begun = Instant::now();
        let listening = tokio::spawn(hear_all(listeners));
        connection.ask(&Request { method: "POST", path: "/say", token: "none", body: &text }).await?;
        let (back, heard) = listening.await??;
        listeners = back;
        of_all.add(begun, &heard, &text, cpu.usage()? - before);
        tokio::time::sleep(SETTLE).await;
    }
    of_all.print(table, size, "bare broadcast");
    child.kill().await?;
    Ok(())
}

/// Waits until everybody has heard something.
async fn hear_all(listeners: Vec<Listener>) -> Result<(Vec<Listener>, Vec<Heard>)> {
    let mut hearing = JoinSet::new();
    for mut listener in listeners {
        hearing.spawn(async move {
            let body = listener.next().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((listener, (Instant::now(), body)))
        });
    }
    let (mut listeners, mut heard) = (Vec::new(), Vec::new());
    while let Some(one) = hearing.join_next().await {
        let (listener, what) = one??;
        listeners.push(listener);
        heard.push(what);
    }
    Ok((listeners, heard))
}

impl Rounds {
    fn add(&mut self, begun: Instant, heard: &[Heard], event: &str, used: Usage) {
        let mut at: Vec<Duration> = heard.iter().map(|(at, _)| at.saturating_duration_since(begun)).collect();
        at.sort_unstable();
        self.first.extend(at.first());
        self.middle.extend(at.get(at.len() / 2));
        self.last.extend(at.last());
        self.used.server += used.server;
        for (_, body) in heard {
            let body = String::from_utf8_lossy(body);
            match body.matches(event).count() {
                0 => self.lost += 1,
                1 => {}
                _ => self.doubled += 1,
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
    fn print(self, table: &Table, size: usize, name: &str) {
        let (first, middle, last) =
            (Figures::of(self.first), Figures::of(self.middle), Figures::of(self.last));
        let told = (last.count() * size) as f64;
        table.row(&[
            size.to_string(),
            name.to_owned(),
            last.count().to_string(),
            format!("{:.1}", first.percentile(50)),
            format!("{:.1}", middle.percentile(50)),
            format!("{:.1}", last.percentile(50)),
            format!("{:.1}", last.percentile(100)),
            format!("{:.4}", self.used.server.as_secs_f64() * 1000.0 / told),
            self.lost.to_string(),
            self.doubled.to_string(),
        ]);
    }
}
