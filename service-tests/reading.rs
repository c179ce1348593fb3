//! Reading rooms: what it costs, and that memory and the database answer alike.

use std::sync::Arc;

use hearth_core::pdu::{Content, SigningKey};
use hearth_core::room_version::{self, RoomVersion};
use hearth_core::sync_filter::EventFilter;
use hearth_services::interned::Interned;
use hearth_services::profiles::Profiles;
use hearth_services::rooms::viewer::Viewer;
use hearth_services::rooms::{Addition, RoomError};
use hearth_services::rooms::{
    Around, Author, Direction, Directory, Draft, ListRequest, MembersRequest, NewRoom, PageRequest,
    RoomReader, Rooms,
};
use hearth_services::{StoreError, statements};
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::{CanonicalJsonObject, OwnedRoomId, RoomVersionId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::harness::{SERVER, World};

/// Statements for a page of a hundred events of which nothing is in memory: the room, the past, the page; two
/// state keys; the levels of the state trees and the events in them; the events that those in the page replaced.
const COLD_PAGE: u64 = 12;
/// With everything in memory: what the viewer was to the room, and the page.
const WARM_PAGE: u64 = 2;

#[tokio::test]
async fn reading_over_a_real_database() {
    let world = World::new().await;
    let mut house = House::new(&world).await;
    a_page_costs_a_handful_of_statements(&house).await;
    the_surroundings_of_an_event_cost_little_more(&house).await;
    the_state_and_the_members_cost_the_same_however_many_there_are(&house).await;
    a_page_of_the_directory_costs_the_same_however_many_are_listed(&mut house).await;
    what_was_never_worked_out_is_hidden(&house).await;
    world.end().await;
}

/// A room with some history, and services that remember it.
struct House<'a> {
    world: &'a World,
    rooms: Rooms,
    alice: Viewer,
    room: OwnedRoomId,
}

/// Services that remember nothing yet, as in another process.
fn cold(world: &World) -> Rooms {
    let interned = Interned::new(world.store.clone());
    let reader = RoomReader::new(world.store.clone(), interned.clone(), &world.log);
    let server = ruma::ServerName::parse(SERVER).unwrap();
    let key = SigningKey::from_seed(server.clone(), "test", &[7; 32]).unwrap();
    let profiles = Profiles::new(world.store.clone(), world.log.clone(), interned, server);
    Rooms::new(reader, world.log.clone(), Arc::new(key), profiles)
}

fn version() -> &'static RoomVersion {
    room_version::rules(&RoomVersionId::V11).unwrap()
}

impl<'a> House<'a> {
    /// A room with 40 members, and a hundred events of which every other changes the state.
    async fn new(world: &'a World) -> Self {
        let rooms = cold(world);
        let alice = viewer(world, "alice").await;
        let room = rooms.create(&author(&alice), open_room("House", false)).await.unwrap();
        let house = Self { world, rooms, alice, room };
        for number in 0..40 {
            let guest = viewer(world, &format!("guest-{number}")).await;
            house.rooms.join(&author(&guest), &house.room, None).await.unwrap();
        }
        for number in 0..50 {
            house.add("m.room.topic", Some(""), json!({ "topic": number })).await;
            house.add("m.room.message", None, json!({ "body": number })).await;
        }
        house
    }

    async fn add(&self, event_type: &str, state_key: Option<&str>, content: Value) {
        let content = Content::from_serialize(&content).unwrap();
        let draft = match state_key {
            Some(key) => Draft::state(event_type, key, content),
            None => Draft::message(event_type, content),
        };
        self.rooms.add(&self.room, &Addition::of(&author(&self.alice), draft)).await.unwrap();
    }

    /// A page backwards from the end.
    async fn page(&self, rooms: &Rooms, limit: usize) -> (Value, u64) {
        let filter = EventFilter::default();
        let request = PageRequest { direction: Direction::Backward, from: None, to: None, limit, filter };
        counted(rooms.messages(&self.alice, &self.room, request)).await
    }
}

async fn viewer(world: &World, name: &str) -> Viewer {
    let user = world.user(&format!("reading-{name}")).await;
    Viewer { user: user.user, id: user.id, device: Some("DEVICE".to_owned()) }
}

fn author(viewer: &Viewer) -> Author {
    Author { nid: viewer.user, id: viewer.id.clone() }
}

fn open_room(name: &str, published: bool) -> NewRoom {
    NewRoom {
        version: version(),
        creation_content: CanonicalJsonObject::new(),
        preset: RoomPreset::PublicChat,
        published,
        power_levels: None,
        initial_state: Vec::new(),
        name: Some(name.to_owned()),
        topic: None,
        alias: None,
        invites: Vec::new(),
        is_direct: false,
    }
}

/// What a reply says, without what changes with the time, and how many statements it took.
async fn counted<T: Serialize>(reading: impl Future<Output = Result<T, RoomError>>) -> (Value, u64) {
    let (reply, statements) = statements::counted(reading).await;
    (ageless(serde_json::to_value(reply.unwrap()).unwrap()), statements)
}

fn ageless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            object.remove("age");
            object.values_mut().for_each(|value| *value = ageless(value.take()));
        }
        Value::Array(array) => array.iter_mut().for_each(|value| *value = ageless(value.take())),
        _ => {}
    }
    value
}

async fn a_page_costs_a_handful_of_statements(house: &House<'_>) {
    let other = cold(house.world);
    let (cold, at_first) = house.page(&other, 100).await;
    assert_eq!(cold["chunk"].as_array().unwrap().len(), 100);
    assert!(at_first <= COLD_PAGE, "{at_first} statements");
    let (warm, again) = house.page(&other, 100).await;
    assert_eq!((&warm, again), (&cold, WARM_PAGE));
    assert_eq!(house.page(&house.rooms, 100).await.0, cold);
    let topic =
        cold["chunk"].as_array().unwrap().iter().find(|event| event["type"] == "m.room.topic").unwrap();
    assert_eq!(topic["unsigned"]["prev_content"], json!({ "topic": 48 }));
}

async fn the_surroundings_of_an_event_cost_little_more(house: &House<'_>) {
    let (page, _) = house.page(&house.rooms, 60).await;
    let middle = page["chunk"][50]["event_id"].as_str().unwrap().try_into().unwrap();
    let around = Around { limit: 80, filter: EventFilter::default() };
    let other = cold(house.world);
    let context = || other.context(&house.alice, &house.room, middle, &around);
    let (cold, at_first) = counted(context()).await;
    assert!(at_first <= 2 * COLD_PAGE, "{at_first} statements");
    // The event itself is asked for by its id, and there is a page on either side.
    let (warm, again) = counted(context()).await;
    assert_eq!((&warm, again), (&cold, WARM_PAGE + 2));
}

async fn the_state_and_the_members_cost_the_same_however_many_there_are(house: &House<'_>) {
    let other = cold(house.world);
    let everyone = MembersRequest::default();
    let (members, at_first) = counted(other.members(&house.alice, &house.room, &everyone)).await;
    assert_eq!(members.as_array().unwrap().len(), 41);
    assert!(at_first <= COLD_PAGE, "{at_first} statements");
    let (state, at_first) = counted(other.state(&house.alice, &house.room)).await;
    assert!(at_first <= COLD_PAGE, "{at_first} statements");
    assert!(state.as_array().unwrap().len() > 41);
    for (again, statements) in [
        counted(other.state(&house.alice, &house.room)).await,
        counted(house.rooms.state(&house.alice, &house.room)).await,
    ] {
        assert_eq!((again, statements), (state.clone(), 2));
    }
    let (joined, statements) = counted(other.joined_members(&house.alice, &house.room)).await;
    assert_eq!((joined.as_object().unwrap().len(), statements), (41, 2));
}

async fn a_page_of_the_directory_costs_the_same_however_many_are_listed(house: &mut House<'_>) {
    for number in 0..30 {
        let room = open_room(&format!("Listed {number}"), true);
        house.rooms.create(&author(&house.alice), room).await.unwrap();
    }
    let directory = Directory::new(cold(house.world), house.world.log.clone());
    let request = ListRequest { limit: 30, term: Some("listed".to_owned()), ..ListRequest::default() };
    let (page, at_first) = counted(directory.page(&request)).await;
    assert_eq!(page["chunk"].as_array().unwrap().len(), 30);
    assert!(at_first <= 2 * COLD_PAGE, "{at_first} statements");
    // The list itself, and how long it is.
    assert_eq!(counted(directory.page(&request)).await, (page, 2));
}

async fn what_was_never_worked_out_is_hidden(house: &House<'_>) {
    let reader = house.rooms.reader();
    let room = reader.room(&house.room).await.unwrap().unwrap();
    let past = reader.past(house.alice.user, &room).await.unwrap();
    let head = reader.store.room_head(room.nid).await.unwrap().unwrap();
    let event = reader.events.get(*head.heads.first().unwrap()).await.unwrap();
    let seen = async |event| -> Result<usize, StoreError> {
        Ok(reader.seen(&house.alice, &past, vec![Arc::new(event)]).await?.len())
    };
    let whole = (*event).clone();
    assert_eq!(seen(whole.clone()).await.unwrap(), 1);
    let mut stateless = whole.clone();
    stateless.root_before = None;
    let mut outlier = whole.clone();
    outlier.place = None;
    let mut soft_failed = whole.clone();
    soft_failed.soft_failed = true;
    let mut rejected = whole;
    rejected.rejected = true;
    for hidden in [stateless, outlier, soft_failed, rejected] {
        assert_eq!(seen(hidden).await.unwrap(), 0);
    }
}
