//! Connections that wait for something that does not come.

use std::time::Duration;

use hearth_bench::{Connection, Request, Result, Rig, Server, Table, resident_bytes};

use crate::listener::{Stream, Transport};
use crate::{DATABASE, DEVICES};

/// Everybody has come to rest by then.
const SETTLE: Duration = Duration::from_secs(2);

/// Longer than the measurement, in milliseconds.
const POLL: u32 = 300_000;

/// An open connection.
enum Waiting {
    Poll(Connection),
    Stream(Stream),
}

/// Opens as many connections as there are devices, by each transport, and lets them wait. Each time to a new server:
/// memory that was in use once is not given back.
pub(crate) async fn measure(rig: &Rig, devices: &[String], seconds: u64) -> Result<()> {
    let table = Table::head(
        &format!(
            "Connections that wait, {seconds} s; KiB of the server each, its CPU in milliseconds a second"
        ),
        &["", "connections", "KiB each", "CPU server", "CPU PostgreSQL", "statements/s"],
    );
    if devices.is_empty() {
        return Ok(());
    }
    for transport in Transport::ALL {
        let server = rig.serve(DATABASE).await?;
        // What is remembered of their users is not theirs.
        let of_each_user: Vec<String> = devices.iter().step_by(DEVICES).cloned().collect();
        drop(open(&server, Transport::Poll, &of_each_user).await?);
        tokio::time::sleep(SETTLE).await;
        let before = resident_bytes(server.cpu.server)?;
        let open = open(&server, transport, devices).await?;
        tokio::time::sleep(SETTLE).await;
        let held = resident_bytes(server.cpu.server)?.saturating_sub(before);
        let (usage, counters) = (server.cpu.usage()?, server.counters().await?);
        let answering = tokio::spawn(answer(open));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let used = server.cpu.usage()? - usage;
        let counted = &server.counters().await? - &counters;
        if answering.is_finished() {
            answering.await??;
            return Err("somebody was told something".into());
        }
        answering.abort();
        let _ = answering.await;
        row(
            &table,
            transport,
            devices.len(),
            (held, seconds),
            (used, counted.sum("hearth_db_statements_total", "")),
        );
    }
    Ok(())
}

async fn open(server: &Server, transport: Transport, devices: &[String]) -> Result<Vec<Waiting>> {
    let mut open = Vec::with_capacity(devices.len());
    for token in devices {
        open.push(match transport {
            Transport::Poll => {
                let mut connection = Connection::open(&server.address).await?;
                let get = |path: &'static str| Request { method: "GET", path, token, body: "" };
                let first =
                    connection.ask(&get("/_matrix/client/v3/sync?timeout=0&set_presence=offline")).await?;
                let since = String::from_utf8(first)?;
                let since = since.split("\"next_batch\":\"").nth(1).and_then(|rest| rest.split('"').next());
                let since = since.ok_or("a sync without a token")?;
                let path =
                    format!("/_matrix/client/v3/sync?timeout={POLL}&set_presence=offline&since={since}");
                connection.send(&Request { method: "GET", path: &path, token, body: "" }).await?;
                Waiting::Poll(connection)
            }
            Transport::Socket | Transport::Events => {
                let path = "/_matrix/client/unstable/hearth/stream?set_presence=offline";
                let mut stream = Stream::open(&server.address, transport, path, token).await?;
                while !hearth_bench::holds(&stream.next().await?, "\"next_batch\"") {}
                Waiting::Stream(stream)
            }
        });
    }
    Ok(open)
}

/// Answers pings for as long as nothing else comes.
async fn answer(open: Vec<Waiting>) -> Result<()> {
    let mut waiting = tokio::task::JoinSet::new();
    for connection in open {
        waiting.spawn(async move {
            match connection {
                Waiting::Poll(mut connection) => connection.receive().await.map(drop),
                Waiting::Stream(mut stream) => {
                    while hearth_bench::holds(&stream.next().await?, "\"method\":\"ping\"") {}
                    Ok(())
                }
            }
        });
    }
    while let Some(ended) = waiting.join_next().await {
        ended??;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "what was measured is small")]
fn row(
    table: &Table,
    transport: Transport,
    count: usize,
    (held, seconds): (u64, u64),
    (used, statements): (hearth_bench::Usage, f64),
) {
    let a_second = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0 / seconds as f64);
    table.row(&[
        transport.name().to_owned(),
        count.to_string(),
        format!("{:.1}", held as f64 / count as f64 / 1024.0),
        a_second(used.server),
        a_second(used.postgres),
        format!("{:.1}", statements / seconds as f64),
    ]);
}
