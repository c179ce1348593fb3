//! Media of before they were for users only: they stay where web pages and old clients look for them.

use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Test, User, cluster, pictures, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        media_of_before_the_day_are_served_to_anybody_and_later_ones_are_not,
        before_the_day_comes_everything_is_served_to_anybody,
    ]
}

/// A server that serves media without a token that were uploaded before a day.
async fn frozen_from(hearth: &Hearth, day: &str) -> (Server, Hearth, User) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_MEDIA__FROZEN_FROM", day)).await;
    let alice = hearth.user("alice").await;
    (server, hearth, alice)
}

async fn media_of_before_the_day_are_served_to_anybody_and_later_ones_are_not(hearth: Hearth) {
    let (server, hearth, alice) = frozen_from(&hearth, "2020-06-01").await;
    let old = alice.medium("image/png", pictures::png(40, 30)).await;
    let eve = alice.medium("image/png", pictures::png(40, 30)).await;
    let first = alice.medium("image/png", pictures::png(40, 30)).await;
    let new = alice.medium("image/png", pictures::png(40, 30)).await;
    let mut database = cluster::connect(server.settings().database_url()).await;
    for (mxc, time) in [(&old, "2019-01-01"), (&eve, "2020-05-31 23:59:59.999"), (&first, "2020-06-01")] {
        sqlx::query("UPDATE media SET created_ts = extract(epoch FROM $2::timestamp) * 1000 WHERE id = $1")
            .bind(&mxc.id)
            .bind(time)
            .execute(&mut database)
            .await
            .unwrap();
    }
    for (mxc, status) in [(&old, 200), (&eve, 200), (&first, 404), (&new, 404)] {
        for version in ["v3", "r0", "v1"] {
            let path = |verb: &str| mxc.old_path(verb).replace("/v3/", &format!("/{version}/"));
            for path in [
                path("download"),
                format!("{}/cat.png", path("download")),
                format!("{}?width=32&height=32&method=crop", path("thumbnail")),
                format!("{}?allow_redirect=true&allow_remote=false", path("download")),
            ] {
                let reply = hearth.get(&path).await;
                assert_eq!(reply.status, status, "{path}: {}", reply.text);
                if status == 404 {
                    reply.fails(404, "M_NOT_FOUND");
                } else {
                    assert!(reply.header("content-security-policy").starts_with("sandbox;"));
                }
            }
        }
        // With a token, where tokens are asked for, all are there.
        alice.download(mxc).await.content();
    }
    server.stop().await;
}

async fn before_the_day_comes_everything_is_served_to_anybody(hearth: Hearth) {
    let (server, hearth, alice) = frozen_from(&hearth, "2200-01-01").await;
    let mxc = alice.medium("text/plain", "meow").await;
    let reply = hearth.get(&mxc.old_path("download")).await;
    assert_eq!(reply.header("content-disposition"), "inline");
    assert_eq!(reply.content(), b"meow");
    let reserved = alice.reserve().await;
    let path = format!("{}?timeout_ms=0", reserved.old_path("download"));
    hearth.get(&path).await.fails(504, "M_NOT_YET_UPLOADED");
    hearth.get(&mxc.path("download")).await.fails(401, "M_MISSING_TOKEN");
    server.stop().await;
}
