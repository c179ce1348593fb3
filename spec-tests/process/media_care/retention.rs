//! Media that nobody asks for any more.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{PATIENCE, end, media};
use crate::harness::media::noise;
use crate::harness::server::Settings;
use crate::harness::storage::Storage;
use crate::harness::{Hearth, Mxc, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server: media_that_nobody_asks_for_go_and_avatars_and_stickers_stay]
}

/// How long media are kept that nobody asks for.
const KEPT: &str = "6s";

/// Several rounds of looking for such media after that.
const LONG_AFTER: Duration = Duration::from_secs(30);

/// A scene in which some media are of use.
struct Scene {
    /// Nobody asks for these.
    idle: Vec<Mxc>,
    /// Somebody asks for this again and again.
    used: Mxc,
    /// Avatars, stickers, and what an administrator keeps for a reason.
    lasting: Vec<Mxc>,
}

impl Scene {
    async fn set(user: &User) -> Self {
        let mut all = Vec::new();
        for seed in 0..8 {
            all.push(user.medium("image/png", noise(seed, 1000)).await);
        }
        let uri = |index: usize| all[index].to_string();
        let profile = format!("/profile/{}/avatar_url", user.id);
        user.put(&profile, &json!({"avatar_url": uri(2)})).await.ok();
        let room = user.create_room(json!({})).await;
        user.set(&room, "m.room.avatar", "", &json!({"url": uri(3)})).await.ok();
        let sticker = json!({"body": "cat", "url": uri(4), "info": {}});
        user.send(&room, "m.sticker", &sticker).await.ok();
        let member = json!({"membership": "join", "avatar_url": uri(5)});
        user.set(&room, "m.room.member", &user.id, &member).await.ok();
        // What is only shown in a message is no sticker.
        let picture = json!({"msgtype": "m.image", "body": "cat", "url": uri(1)});
        user.send(&room, "m.room.message", &picture).await.ok();
        let [first, shown, lasting @ .., last] = &all[..] else { unreachable!("there are eight") };
        Self { idle: vec![first.clone(), shown.clone()], used: last.clone(), lasting: lasting.to_vec() }
    }
}

async fn media_that_nobody_asks_for_go_and_avatars_and_stickers_stay(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__KEEP__LOCAL", KEPT)).await;
    let alice = hearth.user("alice").await;
    let scene = Scene::set(&alice).await;
    let kept = scene.lasting.last().expect("the last is only quarantined");
    media(&server, &["quarantine", &kept.to_string()]).await;
    let since = Instant::now();
    let storage = Storage::of(&server);
    // Looking whether one is there would be asking for it.
    while storage.objects().await.len() > 6 || since.elapsed() < LONG_AFTER {
        assert!(since.elapsed() < PATIENCE, "{:?}", storage.objects().await);
        assert_eq!(alice.download(&scene.used).await.content(), noise(7, 1000));
        sleep(Duration::from_millis(500)).await;
    }
    for mxc in &scene.idle {
        alice.download(mxc).await.fails(404, "M_NOT_FOUND");
    }
    media(&server, &["release", &kept.to_string()]).await;
    for (mxc, seed) in scene.lasting.iter().zip(2..) {
        assert_eq!(alice.download(mxc).await.content(), noise(seed, 1000), "{seed}");
    }
    assert_eq!(storage.objects().await.len(), 6);
    end(server).await;
}
