//! Twenty who send and twenty who read, through everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::door::{Door, PATIENCE, PAUSE, gap};
use super::feed::Feed;
use crate::harness::rooms::text;
use crate::harness::sync::list;
use crate::harness::{Hearth, User, enc};

const SENDERS: usize = 20;
const READERS: usize = 20;
const ROOMS: usize = 4;

/// The crowd, and what it counts.
pub struct Crowd {
    /// The servers they speak to: each to its own, until that one does not answer.
    doors: Vec<Hearth>,
    senders: Vec<User>,
    readers: Vec<User>,
    rooms: Vec<String>,
    in_flight: AtomicUsize,
    acknowledged: AtomicUsize,
    repeated: AtomicUsize,
    full: AtomicBool,
    done: AtomicBool,
}

/// What one sender sent, in order, with the ids that it was told.
pub type Sent = Vec<(String, String)>;
/// What one reader saw in each room, in order.
pub type Seen = BTreeMap<String, Vec<String>>;

/// What was wrong in the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub out_of_order: Vec<String>,
    pub readers_wrong: Vec<String>,
}

impl Crowd {
    /// Registers everybody and lets them into their rooms: readers read all, a sender sends to one.
    pub async fn gather(doors: Vec<Hearth>) -> Self {
        let (mut senders, mut readers, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SENDERS {
            senders.push(doors[0].user("sender").await);
        }
        for _ in 0..READERS {
            readers.push(doors[0].user("reader").await);
        }
        for owner in &senders[..ROOMS] {
            rooms.push(owner.room_with(&[]).await);
        }
        for (number, sender) in senders.iter().enumerate() {
            sender.join(&rooms[number % ROOMS]).await.ok();
        }
        for reader in &readers {
            for room in &rooms {
                reader.join(room).await.ok();
            }
        }
        Self {
            doors,
            senders,
            readers,
            rooms,
            in_flight: AtomicUsize::default(),
            acknowledged: AtomicUsize::default(),
            repeated: AtomicUsize::default(),
            full: AtomicBool::default(),
            done: AtomicBool::default(),
        }
    }

    /// Lets all of them begin.
    pub fn start(self: &Arc<Self>) -> (Vec<JoinHandle<Sent>>, Vec<JoinHandle<Seen>>) {
        let senders = (0..SENDERS).map(|number| tokio::spawn(Arc::clone(self).send(number)));
        let readers = (0..READERS).map(|number| tokio::spawn(Arc::clone(self).read(number)));
        (senders.collect(), readers.collect())
    }

    /// Waits until so many more are acknowledged, and so many under way; says how many more it were.
    pub async fn wait_for_load(&self, acknowledged: usize, in_flight: usize) -> usize {
        let (since, before) = (Instant::now(), self.acknowledged.load(Relaxed));
        loop {
            let more = self.acknowledged.load(Relaxed) - before;
            if more >= acknowledged && self.in_flight() >= in_flight {
                return more;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "no load: {more} acknowledged, {} under way",
                self.in_flight()
            );
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many sends wait for their reply.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// The counts, in a line.
    pub fn summary(&self, verdict: &Verdict) -> String {
        format!(
            "acknowledged {}, repeated {}, lost {}, doubled {}",
            self.acknowledged.load(Relaxed),
            self.repeated.load(Relaxed),
            verdict.lost.len(),
            verdict.doubled.len()
        )
    }

    async fn send(self: Arc<Self>, number: usize) -> Sent {
        let room = &self.rooms[number % ROOMS];
        let mut door = Door::new(&self.doors, &self.senders[number], number);
        let mut sent = Vec::new();
        while !self.full.load(Relaxed) {
            let body = format!("{number}-{}", sent.len());
            let path = format!("/rooms/{room}/send/m.room.message/{body}");
            let since = Instant::now();
            loop {
                self.in_flight.fetch_add(1, Relaxed);
                let reply = door.user.put(&path, &text(&body)).unchecked().send().await;
                self.in_flight.fetch_sub(1, Relaxed);
                if let Some(reply) = door.answer(reply) {
                    let id = reply["event_id"].as_str().expect("an event id").to_owned();
                    sent.push((body, id));
                    self.acknowledged.fetch_add(1, Relaxed);
                    break;
                }
                assert!(since.elapsed() < PATIENCE, "{path} is never acknowledged");
                self.repeated.fetch_add(1, Relaxed);
                sleep(PAUSE).await;
            }
        }
        sent
    }

    /// Some read on at once and some linger, so that some hear of each event and others find gaps; by every kind
    /// of sync.
    async fn read(self: Arc<Self>, number: usize) -> Seen {
        let mut door = Door::new(&self.doors, &self.readers[number], number);
        let linger = Duration::from_millis(10 * u64::try_from(number).unwrap());
        let filter = enc(&json!({"room": {"timeline": {"limit": 1 + 3 * number}}}).to_string());
        let mut feed = Feed::of(number, &self.readers[number]);
        let mut seen = Seen::new();
        let mut since: Option<String> = None;
        loop {
            let last = self.done.load(Relaxed);
            let token = since.as_ref().map(|since| format!("&since={}", enc(since))).unwrap_or_default();
            let query = format!("filter={filter}{token}");
            // Whoever read a stream ends with a poll: their tokens are the same.
            let body = if last {
                door.get(&format!("/sync?timeout=0&{query}")).await
            } else {
                let Some(body) = feed.next(&mut door, &query).await else { continue };
                body
            };
            for (room, joined) in body["rooms"]["join"].as_object().into_iter().flatten() {
                let timeline = &joined["timeline"];
                let mut events = Vec::new();
                if timeline["limited"] == true {
                    let from = timeline["prev_batch"].as_str().expect("a token before the timeline");
                    events = gap(&mut door, room, from, since.as_deref()).await;
                }
                events.extend(list(&timeline["events"]).iter().cloned());
                let messages = events.iter().filter(|event| event["type"] == "m.room.message");
                let ids = messages.map(|event| event["event_id"].as_str().expect("an event id").to_owned());
                seen.entry(room.clone()).or_default().extend(ids);
            }
            let next = body["next_batch"].as_str().map(str::to_owned);
            if last && next == since {
                return seen;
            }
            since = next;
            if !last {
                sleep(linger).await;
            }
        }
    }

    /// Lets the senders finish what they have begun.
    pub async fn stop_senders(&self, senders: Vec<JoinHandle<Sent>>) -> Vec<Sent> {
        self.full.store(true, Relaxed);
        let mut all = Vec::new();
        for sender in senders {
            all.push(sender.await.expect("a sender does not fail"));
        }
        all
    }

    /// Lets the readers catch up.
    pub async fn stop_readers(&self, readers: Vec<JoinHandle<Seen>>) -> Vec<Seen> {
        self.done.store(true, Relaxed);
        let mut all = Vec::new();
        for reader in readers {
            all.push(reader.await.expect("a reader does not fail"));
        }
        all
    }

    /// Holds what was acknowledged, and what was seen, against the rooms' history.
    pub async fn judge(&self, sent: &[Sent], seen: &[Seen]) -> Verdict {
        let mut verdict = Verdict::default();
        let mut door = Door::new(&self.doors, &self.readers[0], 0);
        for (place, room) in self.rooms.iter().enumerate() {
            let history = gap(&mut door, room, "", None).await;
            let history = history.iter().filter(|event| event["type"] == "m.room.message");
            let word = |value: &Value| value.as_str().expect("text").to_owned();
            let kept: Vec<(String, String)> =
                history.map(|event| (word(&event["content"]["body"]), word(&event["event_id"]))).collect();
            let mut bodies = BTreeSet::new();
            verdict
                .doubled
                .extend(kept.iter().filter(|(body, _)| !bodies.insert(body)).map(|(_, id)| id.clone()));
            let all: BTreeSet<&(String, String)> = kept.iter().collect();
            for told in sent.iter().skip(place).step_by(ROOMS) {
                verdict.lost.extend(told.iter().filter(|one| !all.contains(one)).map(|(_, id)| id.clone()));
                let of_sender: BTreeSet<&String> = told.iter().map(|(_, id)| id).collect();
                let order = kept.iter().map(|(_, id)| id).filter(|id| of_sender.contains(id));
                if !order.eq(told.iter().map(|(_, id)| id)) {
                    verdict.out_of_order.push(format!("{room}: {}", told[0].0));
                }
            }
            let ids: Vec<String> = kept.into_iter().map(|(_, id)| id).collect();
            for (number, reader) in seen.iter().enumerate() {
                if reader.get(room) != Some(&ids) {
                    verdict.readers_wrong.push(difference(number, reader.get(room), &ids));
                }
            }
        }
        verdict
    }
}

/// Where a reader's view leaves the room's history.
fn difference(reader: usize, seen: Option<&Vec<String>>, kept: &[String]) -> String {
    let seen = seen.map_or(&[][..], Vec::as_slice);
    let first = seen.iter().zip(kept).position(|(seen, kept)| seen != kept);
    let first = first.unwrap_or(seen.len().min(kept.len()));
    format!("reader {reader} saw {} of {}, other from {first} on", seen.len(), kept.len())
}
