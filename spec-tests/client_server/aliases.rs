//! Local aliases and the room directory.

use serde_json::{Value, json};

use crate::harness::hearth::fresh;
use crate::harness::sync::list;
use crate::harness::{Call, Hearth, Test, User, enc, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![
        an_alias_is_made_found_and_removed,
        a_taken_alias_is_refused,
        an_alias_of_another_server_or_of_bad_form_is_refused,
        an_alias_is_removed_by_its_maker_or_with_power,
        the_aliases_of_a_room_are_told_to_its_members,
        publishing_a_room_needs_power,
        the_directory_lists_published_rooms_with_what_is_known_of_them,
        the_directory_is_paged,
        the_directory_is_searched,
    ]
}

impl User {
    fn alias(&self) -> String {
        format!("#{}:{}", fresh("alias"), self.server())
    }

    fn name(&self, alias: &str, room: &str) -> Call {
        self.put(&format!("/directory/room/{}", enc(alias)), &json!({"room_id": room}))
    }

    fn unname(&self, alias: &str) -> Call {
        self.delete(&format!("/directory/room/{}", enc(alias)))
    }
}

async fn an_alias_is_made_found_and_removed(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let alias = alice.alias();
    let path = format!("/directory/room/{}", enc(&alias));
    hearth.get(&path).await.fails(404, "M_NOT_FOUND");
    assert_eq!(alice.name(&alias, &room).await.ok(), json!({}));
    let found = hearth.get(&path).await.ok();
    assert_eq!(found, json!({"room_id": room, "servers": [alice.server()]}));
    assert_eq!(alice.unname(&alias).await.ok(), json!({}));
    hearth.get(&path).await.fails(404, "M_NOT_FOUND");
    alice.unname(&alias).await.fails(404, "M_NOT_FOUND");
}

async fn a_taken_alias_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let (one, two) = (alice.create_room(json!({})).await, alice.create_room(json!({})).await);
    let alias = alice.alias();
    alice.name(&alias, &one).await.ok();
    let reply = alice.name(&alias, &two).await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    let found = hearth.get(&format!("/directory/room/{}", enc(&alias))).await.ok();
    assert_eq!(found["room_id"], one);
}

async fn an_alias_of_another_server_or_of_bad_form_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for alias in ["#a:elsewhere.test", "no-sigil:hearth.test", "#", "#no-server"] {
        let reply = alice.name(alias, &room).unchecked().await;
        assert_eq!(reply.status, 400, "{alias}: {}", reply.text);
    }
    let alias = alice.alias();
    let path = format!("/directory/room/{}", enc(&alias));
    for body in [json!({}), json!({"room_id": "nonsense"}), json!({"room_id": 1})] {
        let reply = alice.put(&path, &body).unchecked().await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
    }
    hearth.get(&path).await.fails(404, "M_NOT_FOUND");
}

async fn an_alias_is_removed_by_its_maker_or_with_power(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob, &carol]).await;
    let (first, second) = (alice.alias(), alice.alias());
    bob.name(&first, &room).await.ok();
    bob.name(&second, &room).await.ok();
    carol.unname(&first).await.fails(403, "M_FORBIDDEN");
    bob.unname(&first).await.ok();
    alice.unname(&second).await.ok();
}

async fn the_aliases_of_a_room_are_told_to_its_members(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let room = alice.create_room(json!({})).await;
    let mut aliases = vec![alice.alias(), alice.alias()];
    for alias in &aliases {
        alice.name(alias, &room).await.ok();
    }
    aliases.sort();
    let path = format!("/rooms/{room}/aliases");
    let mut found = alice.get(&path).await.ok();
    found["aliases"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    assert_eq!(found, json!({"aliases": aliases}));
    bob.get(&path).await.fails(403, "M_FORBIDDEN");
    let readable = json!({"history_visibility": "world_readable"});
    alice.set(&room, "m.room.history_visibility", "", &readable).await.ok();
    assert_eq!(list(&bob.get(&path).await.ok()["aliases"]).len(), 2);
}

async fn publishing_a_room_needs_power(hearth: Hearth) {
    let (alice, bob, carol) = (hearth.user("a").await, hearth.user("b").await, hearth.user("c").await);
    let room = alice.room_with(&[&bob]).await;
    let path = format!("/directory/list/room/{room}");
    assert_eq!(hearth.get(&path).await.ok(), json!({"visibility": "private"}));
    bob.put(&path, &json!({"visibility": "public"})).await.fails(403, "M_FORBIDDEN");
    carol.put(&path, &json!({"visibility": "public"})).await.fails(403, "M_FORBIDDEN");
    assert_eq!(alice.put(&path, &json!({"visibility": "public"})).await.ok(), json!({}));
    assert_eq!(hearth.get(&path).await.ok(), json!({"visibility": "public"}));
    alice.put(&path, &json!({"visibility": "private"})).await.ok();
    assert_eq!(hearth.get(&path).await.ok(), json!({"visibility": "private"}));
    hearth.get("/directory/list/room/!nowhere:hearth.test").await.fails(404, "M_NOT_FOUND");
}

/// All pages of a search of the directory.
async fn search(user: &User, mut body: Value) -> Vec<Value> {
    let mut rooms = Vec::new();
    loop {
        let page = user.post("/publicRooms", &body).await.ok();
        rooms.extend(list(&page["chunk"]).iter().cloned());
        match page["next_batch"].as_str() {
            Some(next) => body["since"] = json!(next),
            None => return rooms,
        }
    }
}

async fn the_directory_lists_published_rooms_with_what_is_known_of_them(hearth: Hearth) {
    let (alice, bob) = (hearth.user("alice").await, hearth.user("bob").await);
    let name = fresh("Listed");
    let options = json!({
        "visibility": "public", "name": name, "topic": "On cats", "room_alias_name": fresh("listed"),
        "creation_content": {"type": "m.space"},
    });
    let room = alice.create_room(options).await;
    bob.join(&room).await.ok();
    let found = search(&alice, json!({"filter": {"generic_search_term": name}})).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let listed = &found[0];
    let alias = alice.state(&room, "m.room.canonical_alias", "").await.ok()["alias"].clone();
    for (key, value) in [
        ("room_id", json!(room)),
        ("name", json!(name)),
        ("topic", json!("On cats")),
        ("canonical_alias", alias),
        ("num_joined_members", json!(2)),
        ("world_readable", json!(false)),
        ("guest_can_join", json!(false)),
        ("join_rule", json!("public")),
        ("room_type", json!("m.space")),
    ] {
        assert_eq!(listed[key], value, "{key} of {listed}");
    }
    alice.put(&format!("/directory/list/room/{room}"), &json!({"visibility": "private"})).await.ok();
    assert_eq!(search(&alice, json!({"filter": {"generic_search_term": name}})).await, Vec::<Value>::new());
}

async fn the_directory_is_paged(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let name = fresh("Paged");
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(alice.create_room(json!({"visibility": "public", "name": name})).await);
    }
    let body = json!({"limit": 2, "filter": {"generic_search_term": name}});
    let first = alice.post("/publicRooms", &body).await.ok();
    assert_eq!(list(&first["chunk"]).len(), 2);
    let mut found: Vec<String> =
        search(&alice, body).await.iter().map(|room| room["room_id"].as_str().unwrap().to_owned()).collect();
    found.sort();
    rooms.sort();
    assert_eq!(found, rooms, "each once");
    let plain = hearth.get("/publicRooms?limit=1").await.ok();
    assert_eq!(list(&plain["chunk"]).len(), 1);
    assert!(plain["next_batch"].is_string(), "{plain}");
}

async fn the_directory_is_searched(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let word = fresh("needle");
    let by_name = json!({"visibility": "public", "name": format!("A {} in a name", word.to_uppercase())});
    let by_topic = json!({"visibility": "public", "topic": format!("a {word} in a topic")});
    let space = json!({"visibility": "public", "name": word, "creation_content": {"type": "m.space"}});
    let mut rooms = Vec::new();
    for options in [by_name, by_topic, space] {
        rooms.push(alice.create_room(options).await);
    }
    let everything = json!({"generic_search_term": word});
    let term = |types: Value| json!({"generic_search_term": word, "room_types": types});
    for (filter, wanted) in [
        (everything, vec![0, 1, 2]),
        (term(json!([null])), vec![0, 1]),
        (term(json!(["m.space"])), vec![2]),
        (term(json!([null, "m.space"])), vec![0, 1, 2]),
    ] {
        let found = search(&alice, json!({"filter": filter})).await;
        let mut found: Vec<usize> = found
            .iter()
            .map(|listed| rooms.iter().position(|room| listed["room_id"] == *room).expect("one of ours"))
            .collect();
        found.sort_unstable();
        assert_eq!(found, wanted, "{filter}");
    }
}
