//! Pages that the server does not look at.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{preview, settings};
use crate::harness::pages::{Page, Pages};
use crate::harness::server::Settings;
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    let mut tests = tests![
        private_networks_are_out_of_reach_and_nothing_is_told_of_them,
        what_is_no_address_of_a_page_is_refused,
        previews_are_for_users,
    ];
    tests.extend(tests![own_server:
        redirects_and_pictures_lead_into_no_private_network,
        previews_can_be_switched_off,
    ]);
    tests
}

/// Hosts that only this machine or its network should reach, in every notation.
const PRIVATE: [&str; 36] = [
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.1",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[fe80::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
];

async fn private_networks_are_out_of_reach_and_nothing_is_told_of_them(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let unknown = preview(&alice, "http://nothing.invalid/").await.fails(502, "M_UNKNOWN");
    for host in PRIVATE {
        for url in [format!("http://{host}:{port}/"), format!("http://name:password@{host}:1/secret")] {
            let refused = preview(&alice, &url).await.fails(502, "M_UNKNOWN");
            // Nobody learns whether there is something.
            assert_eq!(refused["error"], unknown["error"], "{url}");
        }
    }
    let came = timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(came.is_err(), "a connection was made");
}

async fn what_is_no_address_of_a_page_is_refused(hearth: Hearth) {
    let alice = hearth.user("alice").await;
    let long = format!("http://hearth.test/{}", "x".repeat(9000));
    for url in [
        "",
        "nonsense",
        "//hearth.test/",
        "file:///etc/passwd",
        "ftp://hearth.test/",
        "gopher://hearth.test/",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://",
        "http:// /",
        "http://a b/",
        "unix:/run/x",
        &long,
    ] {
        let reply = preview(&alice, url).unchecked().await;
        assert!([400, 414].contains(&reply.status), "{url}: {} {}", reply.status, reply.text);
    }
    let missing = alice.get("/_matrix/client/v1/media/preview_url").unchecked().await;
    assert_eq!(missing.status, 400, "{}", missing.text);
}

async fn previews_are_for_users(hearth: Hearth) {
    for path in ["/_matrix/client/v1/media/preview_url", "/_matrix/media/v3/preview_url"] {
        hearth.get(&format!("{path}?url=http%3A%2F%2Fhearth.test")).await.fails(401, "M_MISSING_TOKEN");
    }
}

async fn redirects_and_pictures_lead_into_no_private_network(hearth: Hearth) {
    // Only the machine's first address may be looked at; this is on every one.
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let secret = format!("http://127.0.0.2:{}/secret", listener.local_addr().unwrap().port());
    let target = secret.clone();
    let pages = Pages::start(move |asked| match asked.target.as_str() {
        "/redirect" | "/hidden.png" => Page::redirect(&target),
        "/twice" => Page::redirect("/redirect"),
        "/file" => Page::redirect("file:///etc/passwd"),
        "/nonsense" => Page::redirect("http://["),
        "/picture" => Page::html(format!("<title>Page</title><meta property='og:image' content='{target}'>")),
        "/hidden" => Page::html("<title>Page</title><meta property='og:image' content='/hidden.png'>"),
        _ => Page::html(format!(
            "<title>Page</title><link rel=alternate type='application/json+oembed' href='{target}'>"
        )),
    })
    .await;
    let (server, hearth) = hearth.start(settings()).await;
    let alice = hearth.user("alice").await;
    for path in ["/redirect", "/twice", "/file", "/nonsense"] {
        let refused = preview(&alice, &pages.url(path)).await.fails(502, "M_UNKNOWN");
        assert!(!refused.to_string().contains("127.0.0"), "{refused}");
    }
    preview(&alice, &secret).await.fails(502, "M_UNKNOWN");
    for path in ["/picture", "/hidden", "/oembed"] {
        let told = preview(&alice, &pages.url(path)).await.ok();
        assert_eq!(told, serde_json::json!({"og:title": "Page"}), "{path}");
    }
    let came = timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(came.is_err(), "a connection was made");
    server.stop().await;
}

async fn previews_can_be_switched_off(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new().set("HEARTH_PREVIEWS__ENABLED", "false")).await;
    let alice = hearth.user("alice").await;
    preview(&alice, "http://hearth.test/").await.fails(404, "M_NOT_FOUND");
    server.stop().await;
}
