//! Unread counts: held to a model that counts one by one, and what they cost.

mod model;

use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::{Position, RoomNid};
use hearth_core::pdu::{Content, SigningKey};
use hearth_core::room_version;
use hearth_services::account_data::{AccountData, Scope};
use hearth_services::ephemeral::receipts::{ReceiptKind, Receipts};
use hearth_services::profiles::Profiles;
use hearth_services::rooms::viewer::Viewer;
use hearth_services::rooms::{Addition, Author, Draft, NewRoom, RoomReader, Rooms, Transaction};
use hearth_services::statements;
use hearth_store::unread::{Count, Reader, Unread};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::{CanonicalJsonObject, EventId, OwnedEventId, OwnedRoomId, RoomVersionId, ServerName};
use serde_json::{Value, json};

use self::model::{Event, Model, Thread};
use crate::harness::room::Room;
use crate::harness::{SERVER, World, filtered, since};

/// Random stories told to the server and to the model.
const STORIES: u64 = 4;

/// Things that happen in each.
const STEPS: usize = 90;

#[tokio::test]
async fn unread_counts_over_a_real_database() {
    let world = World::new().await;
    counts_are_those_of_a_model_that_counts_one_by_one(&world).await;
    events_of_one_commit_are_counted_one_after_the_other(&world).await;
    counting_is_one_statement_however_many_rooms_there_are(&world).await;
    counting_reads_a_handful_of_rows_after_a_long_history(&world).await;
    world.end().await;
}

/// The services, and three people in a room: one who reads, one with power, one without.
struct Stage<'a> {
    world: &'a World,
    rooms: Rooms,
    receipts: Receipts,
    account_data: AccountData,
    room: OwnedRoomId,
    nid: RoomNid,
    people: [Viewer; 3],
    txn: u64,
}

/// Who reads, and has the counts.
const READER: usize = 0;

/// Who made the room.
const CREATOR: usize = 1;

impl<'a> Stage<'a> {
    async fn new(world: &'a World, number: u64) -> Self {
        let server = ServerName::parse(SERVER).unwrap();
        let key = SigningKey::from_seed(server.clone(), "test", &[7; 32]).unwrap();
        let (store, interned) = (world.store.clone(), world.interned.clone());
        let reader = RoomReader::new(store.clone(), interned.clone(), &world.log);
        let profiles = Profiles::new(store.clone(), world.log.clone(), interned.clone(), server);
        let account_data = AccountData::new(store, world.log.clone(), interned);
        let receipts = Receipts::new(reader.clone(), world.log.clone(), account_data.clone()).await;
        let rooms = Rooms::new(reader, world.log.clone(), Arc::new(key), profiles);
        let people = [
            world.user(&format!("reader.{number}")).await,
            world.user(&format!("creator.{number}")).await,
            world.user(&format!("other.{number}")).await,
        ];
        let room = rooms.create(&author(&people[CREATOR]), new_room()).await.unwrap();
        rooms.join(&author(&people[2]), &room, None).await.unwrap();
        rooms.join(&author(&people[READER]), &room, None).await.unwrap();
        let nid = world.interned.known_room(&room).await.unwrap().unwrap();
        Self { world, rooms, receipts, account_data, room, nid, people, txn: 0 }
    }

    async fn send(&self, by: usize, kind: &str, content: &Value) -> OwnedEventId {
        let version = room_version::rules(&RoomVersionId::V12).unwrap();
        let content = Content::from_client(content.to_string(), version).unwrap();
        let draft = Draft::message(kind.to_owned(), content);
        let added = self.rooms.add(&self.room, &Addition::of(&author(&self.people[by]), draft)).await;
        added.unwrap().pop().unwrap().event_id
    }

    async fn redact(&mut self, by: usize, target: &EventId) -> OwnedEventId {
        self.txn += 1;
        let (scope, txn_id) = ("redact".to_owned(), self.txn.to_string());
        let transaction = Transaction { device_id: "DEVICE".to_owned(), scope, txn_id };
        let by = author(&self.people[by]);
        self.rooms.redact(&by, &self.room, (target, None), transaction).await.unwrap()
    }

    async fn ignore(&self, users: &[usize]) {
        let list: serde_json::Map<String, Value> =
            users.iter().map(|user| (self.people[*user].id.to_string(), json!({}))).collect();
        let content = serde_json::value::to_raw_value(&json!({ "ignored_users": list })).unwrap();
        let reader = self.people[READER].user;
        self.account_data
            .set(reader, Scope::Global, "m.ignored_user_list".to_owned(), &content)
            .await
            .unwrap();
    }

    /// What a first sync says, which carries on what was counted before; what one since a token says, if it brings
    /// the room; and what the database counts.
    async fn told(&self, token: &Value, ignored: &[usize]) -> Vec<(&'static str, Option<Unread>)> {
        let filter = json!({"room": {"timeline": {"unread_thread_notifications": true}}});
        let reader = &self.people[READER];
        let warm = self.world.sync(reader, filtered(None, &filter)).await;
        let after = self.world.sync(reader, filtered(Some(token), &filter)).await;
        let ignored = ignored.iter().map(|user| self.people[*user].id.clone()).collect::<Vec<_>>();
        let as_of = Reader { user: reader.user, upto: self.world.log.applied(), ignored: &ignored };
        let counted = self.world.store.unread(as_of, &[self.nid]).await.unwrap().remove(&self.nid);
        vec![
            ("first", self.counts(&warm)),
            ("since", self.counts(&after).or(self.counts(&warm))),
            ("database", counted.map(|counted| Unread { read: Position::ZERO, ..counted })),
        ]
    }

    fn counts(&self, answer: &Value) -> Option<Unread> {
        let room = answer["rooms"]["join"].get(self.room.as_str())?;
        let threads = room["unread_thread_notifications"].as_object();
        Some(Unread {
            main: count(&room["unread_notifications"]),
            threads: threads
                .into_iter()
                .flatten()
                .map(|(root, counts)| (root.clone(), count(counts)))
                .collect(),
            ..Unread::default()
        })
    }
}

fn count(counts: &Value) -> Count {
    Count {
        notifications: counts["notification_count"].as_i64().unwrap(),
        highlights: counts["highlight_count"].as_i64().unwrap(),
    }
}

fn author(viewer: &Viewer) -> Author {
    Author { nid: viewer.user, id: viewer.id.clone() }
}

fn new_room() -> NewRoom {
    NewRoom {
        version: room_version::rules(&RoomVersionId::V12).unwrap(),
        creation_content: CanonicalJsonObject::new(),
        preset: RoomPreset::PublicChat,
        published: false,
        power_levels: None,
        initial_state: Vec::new(),
        name: None,
        topic: None,
        alias: None,
        invites: Vec::new(),
        is_direct: false,
    }
}

async fn counts_are_those_of_a_model_that_counts_one_by_one(world: &World) {
    for story in 0..STORIES {
        let mut random = StdRng::seed_from_u64(story);
        let mut stage = Stage::new(world, story).await;
        let mut model = Model::new();
        let mut token = world.sync(&stage.people[READER], since(None)).await;
        for step in 0..STEPS {
            let what = take_step(&mut stage, &mut model, &mut random).await;
            if !model.is_in {
                continue;
            }
            let expected = model.unread();
            for (kind, told) in stage.told(&token, &model.ignored).await {
                assert_eq!(told.as_ref(), Some(&expected), "story {story}, step {step}: {what}; {kind}");
            }
            if random.random_bool(0.5) {
                token = world.sync(&stage.people[READER], since(Some(&token))).await;
            }
        }
    }
}

/// Something happens, to the server and to the model.
async fn take_step(stage: &mut Stage<'_>, model: &mut Model, random: &mut StdRng) -> String {
    let by = if model.is_in { random.random_range(0..3) } else { random.random_range(1..3) };
    match random.random_range(0..20) {
        0..=10 => say(stage, model, random, by).await,
        11 | 12 => relate(stage, model, random, by).await,
        13 => {
            let Some(target) = model.any(random).cloned() else { return "nothing".to_owned() };
            let by = if random.random_bool(0.5) && (model.is_in || target.by != READER) {
                target.by
            } else {
                CREATOR
            };
            let id = stage.redact(by, &target.id).await;
            model.redact(&target.id);
            model.push(Event::silent(by, id, None));
            format!("{by} redacts {}", target.id)
        }
        14..=16 if model.is_in => read(stage, model, random).await,
        17 => {
            let ignored = if model.ignored.is_empty() { vec![random.random_range(1..3)] } else { vec![] };
            stage.ignore(&ignored).await;
            model.ignored = ignored;
            format!("{:?} ignored", model.ignored)
        }
        18 => {
            let draft = Draft::state("m.room.topic", "", Content::from_serialize(&json!({})).unwrap());
            let addition = Addition::of(&author(&stage.people[CREATOR]), draft);
            let id = stage.rooms.add(&stage.room, &addition).await.unwrap().pop().unwrap().event_id;
            model.push(Event::silent(CREATOR, id, None));
            "a topic".to_owned()
        }
        _ => {
            let reader = author(&stage.people[READER]);
            if model.is_in {
                stage.rooms.leave(&reader, &stage.room, None).await.unwrap();
            } else {
                stage.rooms.join(&reader, &stage.room, None).await.unwrap();
            }
            model.come_or_go();
            format!("in: {}", model.is_in)
        }
    }
}

/// Somebody says something, in a thread or not.
async fn say(stage: &Stage<'_>, model: &mut Model, random: &mut StdRng, by: usize) -> String {
    let root = model.any_root(random).filter(|_| random.random_bool(0.4)).cloned();
    let mentions = |whom: usize| json!({"user_ids": [stage.people[whom].id]});
    let (kind, mut content, counts, highlights) = match random.random_range(0..9) {
        0 => ("m.room.message", json!({"msgtype": "m.notice", "body": "n"}), false, false),
        1 => ("m.room.message", json!({"body": "m", "m.mentions": mentions(READER)}), true, true),
        2 => ("m.room.message", json!({"body": "m", "m.mentions": mentions(2)}), true, false),
        3 => ("org.example.unknown", json!({"m.mentions": mentions(READER)}), true, true),
        4 => ("org.example.unknown", json!({"m.mentions": mentions(2)}), false, false),
        5 => ("m.room.message", json!({"body": "r", "m.mentions": {"room": true}}), true, by == CREATOR),
        6 => ("m.room.encrypted", json!({"algorithm": "x"}), true, false),
        _ => ("m.room.message", json!({"msgtype": "m.text", "body": "t"}), true, false),
    };
    if let Some(root) = &root {
        content["m.relates_to"] = json!({"rel_type": "m.thread", "event_id": root});
    }
    let id = stage.send(by, kind, &content).await;
    model.push(Event { counts, highlights, ..Event::silent(by, id, root) });
    format!("{by} says {kind} {content}")
}

/// Somebody edits something or reacts to it; which stays in the thread that it is in.
async fn relate(stage: &Stage<'_>, model: &mut Model, random: &mut StdRng, by: usize) -> String {
    let Some(target) = model.any(random).cloned() else { return "nothing".to_owned() };
    let (kind, rel_type) =
        [("m.reaction", "m.annotation"), ("m.room.message", "m.replace")][random.random_range(0..2)];
    let content = json!({
        "body": "* b", "m.new_content": {"body": "b"},
        "m.relates_to": {"rel_type": rel_type, "event_id": target.id, "key": "+"},
    });
    let id = stage.send(by, kind, &content).await;
    model.push(Event::silent(by, id, target.thread));
    format!("{by} sends {kind} about {}", target.id)
}

/// The reader reads something, in one of the ways there are.
async fn read(stage: &Stage<'_>, model: &mut Model, random: &mut StdRng) -> String {
    let Some(event) = model.any(random).cloned() else { return "nothing".to_owned() };
    let kind = if random.random_bool(0.5) { ReceiptKind::Public } else { ReceiptKind::Private };
    let thread = if random.random_bool(0.3) {
        Thread::Any
    } else {
        event.thread.clone().map_or(Thread::Main, Thread::Of)
    };
    let named = match &thread {
        Thread::Any => None,
        Thread::Main => Some("main"),
        Thread::Of(root) => Some(root.as_str()),
    };
    let reader = &stage.people[READER];
    stage.receipts.read(reader, &stage.room, kind, (&event.id, named)).await.unwrap();
    model.read(&event.id, thread.clone());
    format!("{kind:?} receipt for {} in {thread:?}", event.id)
}

async fn events_of_one_commit_are_counted_one_after_the_other(world: &World) {
    let stage = Stage::new(world, STORIES).await;
    let text = json!({"msgtype": "m.text", "body": "t"});
    let threads =
        [stage.send(CREATOR, "m.room.message", &text).await, stage.send(2, "m.room.message", &text).await];
    let sending = (0..60).map(|number| {
        let mut content = text.clone();
        if let Some(thread) = threads.get(number % 3) {
            content["m.relates_to"] = json!({"rel_type": "m.thread", "event_id": thread});
        }
        let stage = &stage;
        async move { stage.send(CREATOR, "m.room.message", &content).await }
    });
    futures_util::future::join_all(sending).await;
    let count = |notifications| Count { notifications, highlights: 0 };
    let expected = Unread {
        main: count(22),
        threads: threads.iter().map(|thread| (thread.to_string(), count(20))).collect(),
        ..Unread::default()
    };
    let token = world.sync(&stage.people[2], since(None)).await;
    for (kind, told) in stage.told(&token, &[]).await {
        assert_eq!(told.as_ref(), Some(&expected), "{kind}");
    }
}

/// A user in so many rooms, with something unread in each.
async fn inhabitant(world: &World, name: &str, count: usize) -> (Viewer, Viewer, Vec<Room>) {
    let alice = world.user(&format!("lives.{name}")).await;
    let bob = world.user(&format!("speaks.{name}")).await;
    let mut rooms = Vec::with_capacity(count);
    for _ in 0..count {
        let mut room = Room::new(world, &bob, "shared").await;
        room.member(world, &alice, &alice, "join").await;
        room.say(world, &bob, "unread").await;
        rooms.push(room);
    }
    (alice, bob, rooms)
}

async fn counting_is_one_statement_however_many_rooms_there_are(world: &World) {
    let (alice, bob, mut rooms) = inhabitant(world, "widely", 100).await;
    let nids: Vec<_> = rooms.iter().map(|room| room.nid).collect();
    let reader = Reader { user: alice.user, upto: world.log.applied(), ignored: &[] };
    let (counted, statements) = statements::counted(world.store.unread(reader, &nids)).await;
    let one = Count { notifications: 1, highlights: 0 };
    assert!(counted.unwrap().values().all(|unread| unread.main == one && unread.threads.is_empty()));
    assert_eq!(statements, 1);
    let first = world.sync(&alice, since(None)).await;
    for room in &mut rooms {
        room.say(world, &bob, "unread").await;
    }
    let (next, statements) = world.counted(&alice, since(Some(&first))).await;
    let joined = next["rooms"]["join"].as_object().unwrap();
    assert_eq!((joined.len(), statements), (100, 0), "what was counted once is carried on");
    assert!(joined.values().all(|room| room["unread_notifications"]["notification_count"] == 2));
}

async fn counting_reads_a_handful_of_rows_after_a_long_history(world: &World) {
    let said = 600;
    let (alice, bob, mut rooms) = inhabitant(world, "long", 1).await;
    for _ in 2..said {
        rooms[0].say(world, &bob, "unread").await;
    }
    sqlx::query("ANALYZE timeline").execute(world.store.pool()).await.unwrap();
    tokio::time::sleep(STATISTICS).await;
    rooms[0].say(world, &bob, "the last, with which its session tells what it read so far").await;
    tokio::time::sleep(STATISTICS).await;
    let before = rows_read(world).await;
    for _ in 0..3 {
        let reader = Reader { user: alice.user, upto: world.log.applied(), ignored: &[] };
        let unread = world.store.unread(reader, &[rooms[0].nid]).await.unwrap();
        assert_eq!(unread[&rooms[0].nid].main.notifications, said);
        tokio::time::sleep(STATISTICS).await;
    }
    let read = rows_read(world).await - before;
    assert!(read < 30, "{read} rows");
}

/// How often a session tells what it read at the most.
const STATISTICS: Duration = Duration::from_millis(1100);

/// Rows of histories that were read so far, by all.
async fn rows_read(world: &World) -> i64 {
    let rows = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'timeline'";
    sqlx::query_scalar(rows).fetch_one(world.store.pool()).await.unwrap()
}
