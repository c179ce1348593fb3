//! Senders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hearth_bench::{Connection, Figures, Person, Request, Result, Server, Usage};
use ruma::OwnedRoomId;
use tokio::task::JoinSet;

/// Runs so far, so that no transaction id is used twice.
static RUNS: AtomicU64 = AtomicU64::new(1);

/// People who send, each in all rooms in turn.
pub(crate) struct Load {
    pub(crate) people: Vec<Person>,
    pub(crate) rooms: Arc<Vec<OwnedRoomId>>,
}

/// What was measured between two moments.
pub(crate) struct Measured {
    pub(crate) latencies: Figures,
    /// Events acknowledged in all, before and after as well.
    pub(crate) acknowledged: u64,
    /// Events in one commit.
    pub(crate) batch: f64,
    /// Statements that a request made itself; the commit comes on top.
    pub(crate) statements: f64,
    took: Duration,
    used: Usage,
}

struct Sender {
    connection: Connection,
    person: Person,
    rooms: Arc<Vec<OwnedRoomId>>,
    number: usize,
    run: u64,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Sends for `warm_up`, then measures for `seconds`.
    pub(crate) async fn run(
        &self,
        server: &Server,
        warm_up: Duration,
        seconds: Duration,
    ) -> Result<Measured> {
        let stop = Arc::new(AtomicBool::new(false));
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let mut senders = JoinSet::new();
        for (number, person) in self.people.iter().cloned().enumerate() {
            let connection = Connection::open(&server.address).await?;
            let (rooms, stop) = (Arc::clone(&self.rooms), Arc::clone(&stop));
            senders.spawn(Sender { connection, person, rooms, number, run, stop }.send());
        }
        tokio::time::sleep(warm_up).await;
        let (counters, usage, begin) = (server.counters().await?, server.cpu.usage()?, Instant::now());
        tokio::time::sleep(seconds).await;
        let (end, used) = (Instant::now(), server.cpu.usage()? - usage);
        let counters = &server.counters().await? - &counters;
        stop.store(true, Ordering::Relaxed);
        let (mut latencies, mut acknowledged) = (Vec::new(), 0);
        while let Some(sent) = senders.join_next().await {
            for (at, latency) in sent?? {
                acknowledged += 1;
                if at >= begin && at < end {
                    latencies.push(latency);
                }
            }
        }
        let route = "/send/";
        let requests = counters.sum("hearth_http_requests_total", route);
        Ok(Measured {
            latencies: Figures::of(latencies),
            acknowledged,
            batch: counters.mean_batch(),
            statements: counters.sum("hearth_db_statements_total", route) / requests,
            took: end - begin,
            used,
        })
    }
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
    fn count(&self) -> f64 {
        self.latencies.count() as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    /// CPU time for each event, in milliseconds: server, PostgreSQL, generator.
    pub(crate) fn cpu_each(&self) -> [f64; 3] {
        let Usage { server, postgres, generator } = self.used;
        [server, postgres, generator].map(|time| time.as_secs_f64() * 1000.0 / self.count())
    }
}

impl Sender {
    /// Sends one event after the other; when each was answered, and how long that took.
    async fn send(mut self) -> Result<Vec<(Instant, Duration)>> {
        let mut answered = Vec::new();
        for count in 0_usize.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let Some(room) = self.rooms.get((self.number + count) % self.rooms.len()) else { break };
            let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}.{count}", self.run);
            let body = format!(
                r#"{{"msgtype":"m.text","body":"Message {count} of sender {}, for all to read."}}"#,
                self.number
            );
            let request = Request { method: "PUT", path: &path, token: &self.person.token, body: &body };
            let begun = Instant::now();
            self.connection.ask(&request).await?;
            let now = Instant::now();
            answered.push((now, now - begun));
        }
        Ok(answered)
    }
}
