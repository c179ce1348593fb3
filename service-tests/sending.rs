//! Sending: what it costs.

use std::sync::Arc;

use hearth_core::pdu::SigningKey;
use hearth_core::room_version;
use hearth_services::profiles::Profiles;
use hearth_services::rooms::{Author, NewMessage, NewRoom, RoomReader, Rooms, Transaction};
use hearth_services::statements;
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::{CanonicalJsonObject, OwnedRoomId, RoomVersionId};

use crate::harness::{SERVER, World};

/// Numbers of events are taken from the database in blocks of 256.
const NUMBERS: u64 = 256;

#[tokio::test]
async fn sending_over_a_real_database() {
    let world = World::new().await;
    a_message_makes_one_statement_which_is_its_commit(&world).await;
    world.end().await;
}

async fn a_message_makes_one_statement_which_is_its_commit(world: &World) {
    let rooms = rooms(world);
    let alice = world.user("alice").await;
    let alice = Author { nid: alice.user, id: alice.id };
    let room = rooms.create(&alice, new_room()).await.unwrap();
    say(&rooms, &alice, &room, 0).await;
    let (commits, mut made) = (commits(world).await, 0);
    for number in 1..=2 * NUMBERS {
        made += statements::counted(say(&rooms, &alice, &room, number)).await.1;
    }
    assert_eq!(made, 2, "two blocks of numbers");
    assert_eq!(self::commits(world).await - commits, 512, "one commit for each");
}

fn rooms(world: &World) -> Rooms {
    let server = ruma::ServerName::parse(SERVER).unwrap();
    let key = SigningKey::from_seed(server.clone(), "test", &[7; 32]).unwrap();
    let (store, interned) = (world.store.clone(), world.interned.clone());
    let reader = RoomReader::new(store.clone(), interned.clone(), &world.log);
    let profiles = Profiles::new(store, world.log.clone(), interned, server);
    Rooms::new(reader, world.log.clone(), Arc::new(key), profiles)
}

async fn say(rooms: &Rooms, author: &Author, room: &OwnedRoomId, number: u64) {
    let transaction =
        Transaction { device_id: "DEVICE".to_owned(), scope: "send".to_owned(), txn_id: number.to_string() };
    let content = r#"{"msgtype":"m.text","body":"hello"}"#;
    let message = NewMessage { event_type: "m.room.message".into(), content, transaction };
    rooms.send(author, room, message).await.unwrap();
}

/// The batches that the log knows, each of which was one statement.
async fn commits(world: &World) -> i64 {
    let count = sqlx::query_scalar("SELECT count(DISTINCT (incarnation, batch)) FROM log");
    count.fetch_one(world.store.pool()).await.unwrap()
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
