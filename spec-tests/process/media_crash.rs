//! Kill -9 during uploads: what was acknowledged is whole, what was not is never served in part, and nothing is left
//! in the storage that no row names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::harness::command::told;
use crate::harness::media::noise;
use crate::harness::server::{Server, Settings, free_port};
use crate::harness::storage::Storage;
use crate::harness::{Hearth, Mxc, Test, User, cluster, tests};

/// How many uploads are begun in all, and how many of them must be acknowledged.
const UPLOADS: u64 = 1000;
const ACKNOWLEDGED: usize = 900;

/// How many upload at a time, and how many must be at it as the server is killed.
const UPLOADERS: usize = 8;
const IN_FLIGHT: usize = 4;

/// How often it is killed.
const KILLS: usize = 5;

/// So soon after its last start nothing is left that nothing names.
const TIDY: Duration = Duration::from_secs(30);

/// Longer than all uploads take.
const PATIENCE: Duration = Duration::from_mins(5);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![own_server: kill_9_during_uploads_leaves_whole_media_and_nothing_else];
    for test in &mut tests {
        test.deadline += PATIENCE * 2;
    }
    tests
}

/// Mixed sizes: those of messages, pictures and films, around what is written at a time.
fn size(number: u64) -> usize {
    let odd = usize::try_from(number * 37 % 1000).expect("a size");
    match number % 10 {
        0..=4 => odd * 9,
        5..=7 => 40_000 + odd * 20,
        8 => 262_144 + odd,
        _ => 1_000_000 + odd * 1000,
    }
}

/// What all uploaders know.
#[derive(Default)]
struct Storm {
    next: AtomicU64,
    in_flight: AtomicUsize,
    /// Whether there is a server.
    up: AtomicBool,
    /// What was acknowledged, by number.
    acknowledged: Mutex<BTreeMap<u64, Mxc>>,
    /// What was reserved, by number: filled or not.
    reserved: Mutex<BTreeMap<u64, Mxc>>,
}

impl Storm {
    /// Uploads until enough was begun.
    async fn upload(self: Arc<Self>, user: User) {
        loop {
            while !self.up.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(10)).await;
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= UPLOADS {
                return;
            }
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            if let Some(mxc) = self.upload_one(&user, number).await {
                self.acknowledged.lock().unwrap().insert(number, mxc);
            }
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Every third goes to an id that was reserved, every other says nothing of its length.
    async fn upload_one(&self, user: &User, number: u64) -> Option<Mxc> {
        let bytes = noise(number, size(number));
        let uri =
            |reply: &crate::harness::Reply| Mxc::parse(reply.body["content_uri"].as_str().expect("a URI"));
        let announced = |call: crate::harness::Call| {
            if number.is_multiple_of(2) { call } else { call.without_length() }
        };
        if !number.is_multiple_of(3) {
            let call = announced(user.upload("application/octet-stream", bytes));
            let reply = call.unchecked().send().await.ok().filter(|reply| reply.status == 200)?;
            return Some(uri(&reply));
        }
        let call = user.call("POST", "/_matrix/media/v1/create").unchecked();
        let mxc = uri(&call.send().await.ok().filter(|reply| reply.status == 200)?);
        self.reserved.lock().unwrap().insert(number, mxc.clone());
        let call = announced(user.fill(&mxc, "application/octet-stream", bytes));
        let reply = call.unchecked().send().await.ok().filter(|reply| reply.status == 200);
        reply.map(|_| mxc)
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many were acknowledged and several are under way.
    async fn wait_for(&self, acknowledged: usize) {
        let since = Instant::now();
        while self.count() < acknowledged || self.in_flight.load(Ordering::Relaxed) < IN_FLIGHT {
            assert!(since.elapsed() < PATIENCE, "only {} were acknowledged", self.count());
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn kill_9_during_uploads_leaves_whole_media_and_nothing_else(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_LISTEN", &format!("127.0.0.1:{}", free_port()));
    let (mut server, hearth) = hearth.start(settings).await;
    let storm = Arc::new(Storm::default());
    let mut users = Vec::new();
    for _ in 0..UPLOADERS {
        users.push(hearth.user("uploader").await);
    }
    storm.up.store(true, Ordering::Relaxed);
    let start = |user: &User| tokio::spawn(Arc::clone(&storm).upload(user.clone()));
    let uploaders: Vec<JoinHandle<()>> = users.iter().map(start).collect();
    let mut struck = 0;
    for kill in 1..=KILLS {
        storm.wait_for(ACKNOWLEDGED * kill / (KILLS + 1)).await;
        struck += storm.in_flight.load(Ordering::Relaxed);
        let (settings, folder) = server.kill().await;
        storm.up.store(false, Ordering::Relaxed);
        server = Server::start_in(settings, folder).await;
        storm.up.store(true, Ordering::Relaxed);
    }
    let last_start = Instant::now();
    for uploader in uploaders {
        uploader.await.unwrap();
    }
    let acknowledged = storm.acknowledged.lock().unwrap().clone();
    println!(
        "media crash: {UPLOADS} uploads were begun, {} acknowledged; {KILLS} kills, {struck} uploads under way",
        acknowledged.len()
    );
    assert!(acknowledged.len() >= ACKNOWLEDGED, "only {} were acknowledged", acknowledged.len());
    nothing_else_is_there(&server, last_start).await;
    everything_is_whole(&storm, &users[0], &acknowledged).await;
    let (settings, folder) = server.estate();
    let (sound, said) = told(&settings, folder.path(), &["media", "verify"]).await;
    assert!(sound && said.lines().count() == 1 && said.ends_with("are whole"), "{said}");
    let panics = server.said().into_iter().filter(|line| line.contains("panicked")).collect::<Vec<_>>();
    assert_eq!(panics, Vec::<String>::new());
    server.stop().await;
}

/// Waits until the storage holds what rows name and no more.
async fn nothing_else_is_there(server: &Server, last_start: Instant) {
    let mut database = cluster::connect(server.settings().database_url()).await;
    let storage = Storage::of(server);
    loop {
        let named: BTreeSet<String> = sqlx::query_scalar("SELECT object FROM media_blob")
            .fetch_all(&mut database)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let found: BTreeSet<String> = storage.objects().await.into_keys().collect();
        let lost: Vec<_> = named.difference(&found).collect();
        assert!(lost.is_empty(), "rows name what is not there: {lost:?}");
        let left: Vec<_> = found.difference(&named).collect();
        if left.is_empty() {
            println!("media crash: nothing else was left {:.0?} after the last start", last_start.elapsed());
            return;
        }
        assert!(last_start.elapsed() < TIDY, "{} objects that no row names: {left:?}", left.len());
        sleep(Duration::from_millis(500)).await;
    }
}

/// What was acknowledged is there byte for byte; what was not is there as a whole or not at all.
async fn everything_is_whole(storm: &Storm, user: &User, acknowledged: &BTreeMap<u64, Mxc>) {
    for (number, mxc) in acknowledged {
        assert!(
            user.download(mxc).await.content() == noise(*number, size(*number)),
            "upload {number}, {mxc}"
        );
    }
    let reserved = storm.reserved.lock().unwrap().clone();
    for (number, mxc) in reserved.iter().filter(|(number, _)| !acknowledged.contains_key(number)) {
        let reply = user.get(&format!("{}?timeout_ms=0", mxc.path("download"))).await;
        if reply.status == 200 {
            assert!(reply.content() == noise(*number, size(*number)), "upload {number}, {mxc}");
        } else {
            reply.fails(504, "M_NOT_YET_UPLOADED");
        }
    }
}
