//! The writer against a model of the database that fails, conflicts, and loses its answers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_core::id::{EventNid, Position, RoomNid, UserNid};
use hearth_store::log::{
    Append, Change, Claim, Dropped, Entry, Logged, MemberChange, Outcome, Proposal, Reason, Recovered, What,
};

use hearth_store::{PgConnectOptions, Store, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::target::Target;
use super::{Submission, Writer};
use crate::log::apply::{Applier, Apply};
use crate::log::chain::Chain;
use crate::log::outcome::{CommitError, Committed};

const RUNS: u64 = 400;
const PROPOSALS: i64 = 120;
const ROOMS: i64 = 3;
/// A writer that waits for a database that is not there waits for ever.
const DEADLINE: Duration = Duration::from_secs(10);
const TRANSACTIONS: i64 = 60;

/// A proposal's content: its number, carried where the log keeps it.
fn numbered(number: i64, room: Option<RoomNid>) -> Entry {
    match room {
        // The number is that of the user whose membership changes.
        Some(room) => Entry::Membership {
            room,
            change: MemberChange {
                user: UserNid::new(number),
                membership: hearth_core::membership::Membership::Join,
                forgotten: false,
                event: None,
                stripped_state: None,
            },
        },
        None => Entry::Change(Change::SetAccountData {
            user: UserNid::new(number),
            room: RoomNid::new(0),
            r#type: "m.test".to_owned(),
            content: None,
        }),
    }
}

fn number_of(entry: &Entry) -> i64 {
    match entry {
        Entry::Membership { change, .. } => change.user.get(),
        Entry::Change(change) => change.subject().map_or(0, UserNid::get),
        Entry::Event(_) => 0,
    }
}

/// Proposals that the database refuses whatever else is in the batch.
fn is_poison(number: i64) -> bool {
    number % 17 == 0
}

#[derive(Default)]
struct Database {
    head: i64,
    /// Position, number, and where it came from.
    log: Vec<(i64, i64, (i64, usize))>,
    rooms: HashMap<RoomNid, i64>,
    transactions: HashMap<String, EventNid>,
}

impl Database {
    fn commit(&mut self, batch: i64, proposals: &[&Proposal]) -> Result<Outcome, StoreError> {
        if proposals.iter().flat_map(|p| &p.entries).any(|entry| is_poison(number_of(entry))) {
            return Err(StoreError::refused("poison"));
        }
        let head = self.head;
        let mut dropped: Vec<Dropped> = Vec::new();
        let moved: HashSet<RoomNid> = proposals
            .iter()
            .filter_map(|proposal| proposal.append)
            .filter(|append| self.rooms.get(&append.room).is_some_and(|last| *last > append.base.get()))
            .map(|append| append.room)
            .collect();
        let mut broken: HashSet<RoomNid> = HashSet::new();
        let mut pos = head;
        for (item, proposal) in proposals.iter().enumerate() {
            let room = proposal.append.map(|append| append.room);
            let repeated =
                proposal.claim.as_ref().and_then(|claim| self.transactions.get(&claim.txn_id)).copied();
            let reason = if let Some(reply) = repeated {
                Some((Reason::Repeated, Some(reply)))
            } else if room.is_some_and(|room| moved.contains(&room)) {
                Some((Reason::RoomMoved, None))
            } else if room.is_some_and(|room| broken.contains(&room)) {
                Some((Reason::Predecessor, None))
            } else {
                None
            };
            if let Some((reason, reply)) = reason {
                broken.extend(room);
                dropped.push(Dropped { item, reason, reply });
                pos += i64::try_from(proposal.entries.len()).unwrap();
                continue;
            }
            for entry in &proposal.entries {
                pos += 1;
                self.log.push((pos, number_of(entry), (batch, item)));
                room.map(|room| self.rooms.insert(room, pos));
            }
            if let Some(claim) = &proposal.claim {
                self.transactions.insert(claim.txn_id.clone(), claim.reply.unwrap());
            }
        }
        self.head = self.log.last().map_or(0, |(pos, _, _)| *pos);
        Ok(Outcome { head: Position::new(head), dropped })
    }

    fn recover(&self, batch: i64, since: Position, sizes: &[usize]) -> Recovered {
        let rows: Vec<_> =
            self.log.iter().filter(|(pos, _, from)| *pos > since.get() && from.0 == batch).collect();
        let Some((pos, _, (_, item))) = rows.first() else { return Recovered::Absent };
        let before: usize = sizes.iter().take(*item).sum();
        let mut present: Vec<usize> = rows.iter().map(|(_, _, (_, item))| *item).collect();
        present.dedup();
        Recovered::Committed { head: Position::new(pos - i64::try_from(before).unwrap() - 1), present }
    }
}

struct Faulty {
    database: Arc<Mutex<Database>>,
    random: StdRng,
    lost_answers: Arc<Mutex<u64>>,
}

impl Faulty {
    fn cut_off<T>(&self) -> Result<T, StoreError> {
        *self.lost_answers.lock().unwrap() += 1;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
    }
}

impl Target for Faulty {
    async fn commit(&mut self, batch: i64, proposals: &[&Proposal]) -> Result<Outcome, StoreError> {
        tokio::task::yield_now().await;
        if self.random.random_bool(0.15) {
            return self.cut_off();
        }
        let outcome = self.database.lock().unwrap().commit(batch, proposals);
        if outcome.is_ok() && self.random.random_bool(0.15) {
            return self.cut_off();
        }
        outcome
    }

    async fn recover(
        &mut self,
        batch: i64,
        since: Position,
        sizes: &[usize],
    ) -> Result<Recovered, StoreError> {
        Ok(self.database.lock().unwrap().recover(batch, since, sizes))
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(i64, i64)>>);

impl Apply for Heard {
    fn apply(&self, entry: &Logged) {
        let number = match &entry.what {
            What::Membership(change) => change.user.get(),
            _ => entry.subject.map_or(0, UserNid::get),
        };
        self.0.lock().unwrap().push((entry.pos.get(), number));
    }

    fn reset(&self) {
        panic!("nothing was trimmed");
    }
}

type Answer = oneshot::Receiver<Result<Committed, CommitError>>;

struct Asked {
    number: i64,
    room: Option<i64>,
    chain: Option<Arc<Chain>>,
    /// What the chain had come to when this was asked.
    began: Position,
    transaction: Option<String>,
    answer: Answer,
}

fn ask(random: &mut StdRng, number: i64, chains: &mut HashMap<i64, Arc<Chain>>) -> (Submission, Asked) {
    let room = random.random_bool(0.7).then(|| random.random_range(1..=ROOMS));
    let chain = room.map(|room| {
        let chain = chains.entry(room).or_insert_with(|| Arc::new(Chain::new(Position::ZERO)));
        // Now and then the room is read anew while what was built on the view before is still on its way.
        if chain.failed() || random.random_bool(0.1) {
            *chain = Arc::new(Chain::new(chain.base()));
        }
        Arc::clone(chain)
    });
    let began = chain.as_ref().map_or(Position::ZERO, |chain| chain.base());
    let (number_of_room, room) = (room, room.map(RoomNid::new));
    let transaction = random.random_bool(0.5).then(|| format!("txn{}", random.random_range(0..TRANSACTIONS)));
    let proposal = Proposal {
        claim: transaction.as_ref().map(|txn_id| Claim {
            user: UserNid::new(1),
            device_id: "D".to_owned(),
            scope: "send".to_owned(),
            txn_id: txn_id.clone(),
            reply: Some(EventNid::new(number)),
            ts: 0,
        }),
        append: room.map(|room| Append { room, base: Position::ZERO }),
        entries: vec![numbered(number, room)],
        nodes: Vec::new(),
    };
    let (sender, answer) = oneshot::channel();
    let submission = Submission { proposal, chain: chain.clone(), answer: sender };
    (submission, Asked { number, room: number_of_room, chain, began, transaction, answer })
}

/// Runs the writer over a faulty database; returns what was asked and answered, and what the log holds.
async fn run(seed: u64) -> (Vec<(Asked, Result<Committed, CommitError>)>, Arc<Mutex<Database>>, u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let database = Arc::new(Mutex::new(Database::default()));
    let lost = Arc::new(Mutex::new(0));
    let store = Store::lazy(PgConnectOptions::new_without_pgpass());
    let applier = Arc::new(Applier::new(store, Position::ZERO));
    let heard = Arc::new(Heard::default());
    applier.register(Arc::clone(&heard) as Arc<dyn Apply>);
    let target = Faulty {
        database: Arc::clone(&database),
        random: StdRng::seed_from_u64(seed + 1),
        lost_answers: Arc::clone(&lost),
    };
    let (sender, receiver) = mpsc::channel(8);
    let writer = tokio::spawn(Writer::over(target, applier).run(receiver, CancellationToken::new()));
    let (mut asked, mut chains) = (Vec::new(), HashMap::new());
    for number in 1..=PROPOSALS {
        let (submission, one) = ask(&mut random, number, &mut chains);
        sender.send(submission).await.ok().unwrap();
        asked.push(one);
        if random.random_bool(0.3) {
            tokio::task::yield_now().await;
        }
    }
    drop(sender);
    tokio::time::timeout(DEADLINE, writer).await.expect("the writer ends").unwrap();
    let mut answered = Vec::new();
    for mut one in asked {
        let answer = one.answer.try_recv().expect("everybody is answered");
        answered.push((one, answer));
    }
    let log: Vec<(i64, i64)> =
        database.lock().unwrap().log.iter().map(|(pos, number, _)| (*pos, *number)).collect();
    assert_eq!(*heard.0.lock().unwrap(), log, "seed {seed}: caches hear the log, in order");
    let lost = *lost.lock().unwrap();
    (answered, database, lost)
}

#[tokio::test]
async fn whatever_fails_everything_acknowledged_is_in_the_log_once_and_nothing_else_is() {
    let (mut lost, mut committed, mut refused) = (0, 0, 0);
    for seed in 0..RUNS {
        let (answered, database, cut_off) = run(seed).await;
        lost += cut_off;
        let mut expected: Vec<(i64, i64)> = Vec::new();
        for (asked, answer) in &answered {
            match answer {
                Ok(done) => expected.push((done.pos.get(), asked.number)),
                Err(CommitError::Repeated(first)) => {
                    let first = first.unwrap().get();
                    let (original, outcome) = &answered[usize::try_from(first - 1).unwrap()];
                    assert_eq!(original.transaction, asked.transaction, "seed {seed}");
                    assert!(outcome.is_ok(), "seed {seed}: the first of a transaction id took effect");
                }
                Err(CommitError::Store(StoreError::Refused(_))) => assert!(is_poison(asked.number)),
                Err(CommitError::RoomMoved) => assert!(asked.chain.as_ref().unwrap().failed()),
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        expected.sort_unstable();
        let log: Vec<(i64, i64)> =
            database.lock().unwrap().log.iter().map(|(pos, number, _)| (*pos, *number)).collect();
        assert_eq!(log, expected, "seed {seed}");
        assert_chains_end_with_their_first_failure(&answered);
        assert_chains_do_not_mix(&answered);
        committed += expected.len();
        refused += answered.len() - expected.len();
    }
    println!("{committed} committed, {refused} without effect, {lost} answers lost over {RUNS} runs");
    assert!(lost > RUNS && refused > 0);
}

fn assert_chains_end_with_their_first_failure(answered: &[(Asked, Result<Committed, CommitError>)]) {
    let mut failed: HashSet<*const Chain> = HashSet::new();
    for (asked, answer) in answered {
        let Some(chain) = &asked.chain else { continue };
        if answer.is_ok() {
            assert!(!failed.contains(&Arc::as_ptr(chain)), "{} was built on nothing", asked.number);
        } else {
            failed.insert(Arc::as_ptr(chain));
        }
    }
}

/// Of a room's chains one ends before the next begins: each was built on all that came before it.
fn assert_chains_do_not_mix(answered: &[(Asked, Result<Committed, CommitError>)]) {
    let mut committed: Vec<(i64, Position, *const Chain)> = answered
        .iter()
        .filter_map(|(asked, answer)| {
            Some((asked.room?, answer.as_ref().ok()?.pos, Arc::as_ptr(asked.chain.as_ref()?)))
        })
        .collect();
    committed.sort_unstable();
    let mut begun: HashMap<*const Chain, Position> = HashMap::new();
    for (asked, _) in answered {
        if let Some(chain) = &asked.chain {
            begun.entry(Arc::as_ptr(chain)).or_insert(asked.began);
        }
    }
    for pair in committed.windows(2) {
        let [(room, before, earlier), (next, _, later)] = pair else { continue };
        if room == next && earlier != later {
            assert!(begun[later] >= *before, "room {room}: built without what was committed at {before:?}");
        }
    }
}
