//! Clients that hold connections, bodies and replies, and too many of everything: the others do not notice.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::hearth::http;
use crate::harness::raw::RawRequest;
use crate::harness::rooms::text;
use crate::harness::server::{Server, Settings};
use crate::harness::{Hearth, Test, User, cluster, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_connection_on_which_nothing_comes_is_closed,
        a_body_that_does_not_come_is_given_up_and_one_that_does_is_not,
        a_client_that_takes_no_replies_is_left,
        an_address_has_a_number_of_connections,
        more_requests_than_can_be_worked_on_are_refused_at_once,
        clients_that_are_slow_keep_nobody_waiting,
        a_device_has_a_number_of_syncs,
        a_user_has_a_number_of_filters,
        a_path_with_a_nul_is_refused,
    ]
}

/// How long a client may take in these tests.
const SHORT: &str = "700ms";
/// Far longer than that.
const LONG: Duration = Duration::from_secs(15);

/// A server that is out of patience soon.
fn impatient() -> Settings {
    ["HEADER", "STALL", "IDLE"]
        .iter()
        .fold(Settings::new(), |settings, what| settings.set(&format!("HEARTH_HTTP__{what}_TIMEOUT"), SHORT))
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.base().trim_start_matches("http://")).await.expect("it listens")
}

/// Everything that comes until the other end closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let ended = timeout(LONG, stream.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "the connection is still open: {}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&said).into_owned()
}

async fn end(server: Server) {
    assert_eq!(server.errors(), Vec::<String>::new());
    server.stop().await;
}

/// Waits until a line of the log holds these words. However often it happened, it is told once.
async fn is_told_once(server: &Server, words: &str) {
    let since = Instant::now();
    loop {
        let lines = server.said().iter().filter(|line| line.contains(words)).count();
        assert!(lines <= 1 && since.elapsed() < LONG, "{lines} lines with “{words}”: {:?}", server.said());
        if lines == 1 {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn a_connection_on_which_nothing_comes_is_closed(hearth: Hearth) {
    let (server, _) = hearth.start(impatient()).await;
    // The last asks for HTTP/2 and then for nothing.
    let openings: [&[u8]; 6] = [
        b"",
        b"P",
        b"GET /health",
        b"GET /health HTTP/1.1\r\nhost: a\r\n",
        b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];
    for opening in openings {
        let mut stream = connect(&server).await;
        stream.write_all(opening).await.unwrap();
        rest(stream).await;
    }
    is_told_once(&server, "too slow").await;
    end(server).await;
}

/// The head of a request that sets account data of so many bytes.
fn head(user: &User, length: usize) -> String {
    format!(
        "PUT /_matrix/client/v3/user/{}/account_data/org.example.data HTTP/1.1\r\nhost: a\r\n\
         authorization: Bearer {}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
        user.id, user.token
    )
}

async fn a_body_that_does_not_come_is_given_up_and_one_that_does_is_not(hearth: Hearth) {
    let (server, hearth) = hearth.start(impatient()).await;
    let alice = hearth.user("alice").await;
    let body = json!({"text": "x".repeat(20_000)}).to_string();
    let pieces = async |size: usize| {
        let mut stream = connect(&server).await;
        stream.write_all(head(&alice, body.len()).as_bytes()).await.unwrap();
        for piece in body.as_bytes().chunks(size) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            // Whoever is answered early need not go on.
            if timeout(Duration::from_millis(100), stream.readable()).await.is_ok() {
                break;
            }
        }
        rest(stream).await
    };
    let slow = pieces(1).await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("M_UNKNOWN"), "{slow}");
    let mut silent = connect(&server).await;
    silent.write_all(head(&alice, body.len()).as_bytes()).await.unwrap();
    let silent = rest(silent).await;
    assert!(silent.starts_with("HTTP/1.1 408"), "{silent}");
    let path = format!("/user/{}/account_data/org.example.data", alice.id);
    alice.get(&path).await.fails(404, "M_NOT_FOUND");
    // Longer than the patience, but steadily.
    let steady = pieces(1500).await;
    assert!(steady.starts_with("HTTP/1.1 200"), "{steady}");
    assert_eq!(alice.get(&path).await.ok()["text"], "x".repeat(20_000));
    is_told_once(&server, "too slowly").await;
    end(server).await;
}

async fn a_client_that_takes_no_replies_is_left(hearth: Hearth) {
    let (server, hearth) = hearth.start(impatient()).await;
    let alice = hearth.user("alice").await;
    let path = format!("/user/{}/account_data/org.example.large", alice.id);
    alice.put(&path, &json!({"text": "x".repeat(60_000)})).await.ok();
    let mut stream = connect(&server).await;
    let request = format!(
        "GET /_matrix/client/v3{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
        alice.token
    );
    let _ = timeout(LONG, stream.write_all(request.repeat(1000).as_bytes())).await;
    is_told_once(&server, "too slow").await;
    end(server).await;
}

async fn an_address_has_a_number_of_connections(hearth: Hearth) {
    let settings = Settings::new().set("HEARTH_LIMITS__MAX_CONNECTIONS_PER_ADDRESS", "20");
    let (server, _) = hearth.start(settings).await;
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(connect(&server).await);
    }
    let last = open.pop().expect("many were opened");
    assert_eq!(rest(last).await, "");
    is_told_once(&server, "connections were refused").await;
    drop(open);
    let http = http();
    let since = Instant::now();
    while http.get(format!("{}/health", server.base())).send().await.is_err() {
        assert!(since.elapsed() < LONG, "there is no room again");
        sleep(Duration::from_millis(50)).await;
    }
    end(server).await;
}

/// A server that works on four requests at a time.
fn narrow() -> Settings {
    let settings = Settings::new().set("HEARTH_PRESENCE__ENABLED", "false");
    settings.set("HEARTH_LIMITS__MAX_REQUESTS", "4").set("HEARTH_HTTP__STALL_TIMEOUT", "1m")
}

async fn more_requests_than_can_be_worked_on_are_refused_at_once(hearth: Hearth) {
    let (server, hearth) = hearth.start(narrow()).await;
    let alice = hearth.user("alice").await;
    let room = alice.create_room(json!({})).await;
    let since = alice.sync().await.next_batch().to_owned();
    let waiting = tokio::spawn({
        let alice = alice.clone();
        async move { alice.sync_with(&format!("timeout=60000&since={since}")).await }
    });
    // Each of these waits for a lock that the test holds.
    let mut holder = cluster::connect(server.settings().database_url()).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE filter IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let path = format!("/user/{}/filter", alice.id);
    let body = json!({});
    let mut stuck: Vec<_> = (0..4).map(|_| tokio::spawn(alice.post(&path, &body).into_future())).collect();
    let begun = Instant::now();
    let refused = loop {
        let reply = alice.get("/account/whoami").await;
        if reply.status == 429 {
            break reply;
        }
        assert!(begun.elapsed() < LONG, "nothing is refused");
    };
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    refused.fails(429, "M_LIMIT_EXCEEDED");
    let begun = Instant::now();
    let refused = join_all((0..100).map(|_| alice.get("/account/whoami").into_future())).await;
    assert!(begun.elapsed() < LONG && refused.iter().all(|reply| reply.status == 429));
    // Whoever looks after the server is answered whatever happens, and so is who logs in.
    assert_eq!(http().get(format!("{}/health", server.base())).send().await.unwrap().status(), 200);
    hearth.login(&alice).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    for reply in join_all(stuck.drain(..)).await {
        reply.unwrap().ok();
    }
    // The sync that waited took no turn, and is told of what happens.
    alice.send(&room, "m.room.message", &text("hello")).await.ok();
    assert_eq!(waiting.await.unwrap().timeline(&room).len(), 1);
    end(server).await;
}

async fn clients_that_are_slow_keep_nobody_waiting(hearth: Hearth) {
    let (server, hearth) = hearth.start(narrow()).await;
    let alice = hearth.user("alice").await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&server).await;
        stream.write_all(head(&alice, 1000).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // Each has a turn for the moment in which its head is read.
    let since = Instant::now();
    while alice.get("/account/whoami").await.status == 429 {
        assert!(since.elapsed() < LONG, "those who are slow keep their turns");
    }
    alice.create_room(json!({})).await;
    drop(slow);
    end(server).await;
}

async fn a_device_has_a_number_of_syncs(hearth: Hearth) {
    let settings = Settings::new()
        .set("HEARTH_PRESENCE__ENABLED", "false")
        .set("HEARTH_LIMITS__SYNCS_PER_DEVICE", "3")
        .set("HEARTH_LIMITS__SYNCS_PER_USER", "5");
    let (server, hearth) = hearth.start(settings).await;
    let alice = hearth.user("alice").await;
    let (phone, bob) = (hearth.login(&alice).await, hearth.user("bob").await);
    let since = alice.sync().await.next_batch().to_owned();
    // Whoever comes when there are too many for a moment comes again.
    let wait = |user: &User| {
        let (user, path) = (user.clone(), format!("/sync?timeout=60000&since={since}"));
        tokio::spawn(async move {
            loop {
                let reply = user.get(&path).patient(LONG).await;
                if reply.status != 429 {
                    return reply;
                }
            }
        })
    };
    let waiting = [wait(&alice), wait(&alice), wait(&alice), wait(&phone), wait(&phone)];
    let ask = async |user: &User| user.get("/sync?timeout=0").await;
    let (since_then, mut refused) = (Instant::now(), 0);
    while refused < 20 {
        assert!(since_then.elapsed() < LONG, "there are five");
        refused = if ask(&phone).await.status == 429 { refused + 1 } else { 0 };
    }
    ask(&alice).await.fails(429, "M_LIMIT_EXCEEDED");
    ask(&bob).await.ok();
    // All are answered, and there is room again.
    alice.put(&format!("/user/{}/account_data/org.example", alice.id), &json!({"a": 1})).await.ok();
    for sync in waiting {
        assert_eq!(sync.await.unwrap().ok()["account_data"]["events"].as_array().map(Vec::len), Some(1));
    }
    ask(&alice).await.ok();
    end(server).await;
}

async fn a_user_has_a_number_of_filters(hearth: Hearth) {
    let (server, hearth) = hearth.start(Settings::new()).await;
    let alice = hearth.user("alice").await;
    let path = format!("/user/{}/filter", alice.id);
    let keep = |limit: usize| alice.post(&path, &json!({"room": {"timeline": {"limit": limit}}}));
    let mut kept = Vec::new();
    for numbers in (1..=1000).collect::<Vec<usize>>().chunks(20) {
        let replies = join_all(numbers.iter().map(|number| keep(*number).into_future())).await;
        let taken = numbers.iter().zip(replies).filter(|(_, reply)| reply.status == 200);
        kept.extend(taken.map(|(number, reply)| (*number, reply.ok())));
    }
    // Those that came at the same moment may have been turned away; one after the other all there is room for.
    let mut number = 1001;
    let refused = loop {
        let reply = keep(number).await;
        if reply.status != 200 {
            break reply;
        }
        kept.push((number, reply.ok()));
        number += 1;
    };
    assert_eq!(kept.len(), 1000);
    let error = refused.fails(400, "M_UNKNOWN");
    assert!(error["error"].as_str().unwrap().contains("filters"), "{error}");
    // An equal one is there already.
    let (number, first) = &kept[0];
    alice.get(&format!("{path}/{}", first["filter_id"].as_str().unwrap())).await.ok();
    assert_eq!(keep(*number).await.ok(), *first);
    end(server).await;
}

// A server of its own: what stands in front of others may refuse these itself.
async fn a_path_with_a_nul_is_refused(hearth: Hearth) {
    let (server, own) = hearth.start(Settings::new()).await;
    let alice = own.user("alice").await;
    let room = alice.create_room(json!({})).await;
    for (method, path) in [
        ("GET", "/_matrix/client/v3/rooms/a%00b/state".to_owned()),
        ("GET", "/_matrix/client/v3/profile/a%00b".to_owned()),
        ("PUT", format!("/_matrix/client/v3/rooms/{room}/send/a%00b/t")),
        ("PUT", format!("/_matrix/client/v3/rooms/{room}/state/org.example.s/a%00b")),
        ("PUT", format!("/_matrix/client/v3/user/{}/account_data/a%00b", alice.id)),
    ] {
        let request = RawRequest {
            method: method.to_owned(),
            target: path.clone().into_bytes(),
            token: Some(alice.token.clone()),
            body: b"{}".to_vec(),
            ..RawRequest::default()
        };
        let reply = request.send(own.base()).await;
        assert_eq!(
            (reply.status, reply.errcode()),
            (400, "M_INVALID_PARAM"),
            "{method} {path}: {}",
            reply.text
        );
    }
    end(server).await;
}
