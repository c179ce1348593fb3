//! Showing a changed profile in rooms, when the process that does it dies.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::rooms::find;
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Test, User, tests};

/// As many as take a while.
const ROOMS: usize = 60;

/// Longer than a lease, and what is left to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_new_name_reaches_all_rooms_once_though_the_process_dies,
    ]
}

async fn a_new_name_reaches_all_rooms_once_though_the_process_dies(hearth: Hearth) {
    let (server, at) = hearth.start(Settings::new()).await;
    let alice = at.user("alice").await;
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(alice.create_room(json!({})).await);
    }
    let before = alice.history(&rooms[0], None, 100).await.len();
    let name = json!({"displayname": "Alice the Second"});
    alice.put(&format!("/profile/{}/displayname", alice.id), &name).await.ok();
    // Somewhere amid the rooms.
    sleep(Duration::from_millis(30)).await;
    let (settings, folder) = server.kill().await;
    let server = Server::start_in(settings, folder).await;
    let alice = alice.at(&hearth.other(server.base()));
    for room in &rooms {
        shows(&alice, room, "Alice the Second").await;
        assert_eq!(alice.history(room, None, 100).await.len(), before + 1);
    }
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

/// Waits until a room shows somebody under a name.
async fn shows(user: &User, room: &str, name: &str) {
    let shown = async {
        while shown(user, room).await != name {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, shown).await;
    assert!(in_time.is_ok(), "{room} does not show {name}");
}

async fn shown(user: &User, room: &str) -> Value {
    let state = user.full_state(room).await;
    find(&state, "m.room.member", &user.id)
        .map(|event| event["content"]["displayname"].clone())
        .unwrap_or_default()
}
