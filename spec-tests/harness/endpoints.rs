//! `endpoints.txt`: every endpoint of the specification that a server serves, and whether ours does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::hearth::Hearth;
use super::schema::data_folder;
use super::user::User;

/// How the file begins.
const HEADER: &str = "\
# Every (method, path) of the specification that a homeserver serves, and its state here:
# `done`, or `later` (answers 404 M_UNRECOGNIZED). Written by `cargo test --test spec -- --bless`.
";

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub path: String,
    pub method: String,
    pub done: bool,
}

/// The file's place.
pub fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/spec-tests/endpoints.txt"))
}

/// The place of the page that is made from it.
pub fn status_page() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/spec-status.md"))
}

/// The endpoints as the file has them.
pub fn read() -> Vec<Endpoint> {
    let text = fs::read_to_string(file()).expect("endpoints.txt can be read");
    text.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

fn parse(line: &str) -> Endpoint {
    let columns: Vec<&str> = line.split('\t').collect();
    let [method, path, state] = columns[..] else { panic!("not METHOD, path, state: {line}") };
    assert!(state == "done" || state == "later", "no state: {line}");
    Endpoint { path: path.to_owned(), method: method.to_owned(), done: state == "done" }
}

/// The text of the file.
pub fn write(endpoints: &[Endpoint]) -> String {
    let mut text = HEADER.to_owned();
    for Endpoint { path, method, done } in endpoints {
        let _ = writeln!(text, "{method}\t{path}\t{}", if *done { "done" } else { "later" });
    }
    text
}

/// What the specification's data name, if they are at hand: the client and the federation API.
pub fn specified() -> Option<BTreeSet<(String, String)>> {
    let text = fs::read_to_string(data_folder()?.join("endpoints.tsv")).expect("the endpoints can be read");
    let rows = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let ours = rows.filter(|row| matches!(row.first(), Some(&"cs" | &"s2s")));
    Some(ours.map(|row| (row[2].to_owned(), row[1].to_owned())).collect())
}

/// What the server makes of a request to an endpoint, its parameters filled in.
pub async fn probe(user: &User, endpoint: &Endpoint) -> (u16, String) {
    let mut call = user.call(&endpoint.method, &example(&endpoint.path)).unchecked();
    if endpoint.method != "GET" {
        call = call.json(&serde_json::json!({}));
    }
    let reply = call.await;
    (reply.status, reply.errcode().to_owned())
}

/// A path with plausible parameters, none of which exists.
pub fn example(path: &str) -> String {
    let fill = |segment: &str| {
        match segment {
            "{roomId}" | "{roomIdOrAlias}" => "!unknown:hearth.test",
            "{roomAlias}" => "%23unknown:hearth.test",
            "{eventId}" => "$unknown",
            "{userId}" => "@unknown:hearth.test",
            "{serverName}" => "hearth.test",
            "{eventType}" | "{type}" => "org.example.unknown",
            "{receiptType}" => "m.read",
            "{kind}" => "override",
            "{relType}" => "m.thread",
            parameter if parameter.starts_with('{') => "unknown",
            literal => literal,
        }
        .to_owned()
    };
    let path = path.split('/').map(fill).collect::<Vec<_>>().join("/");
    // The old event stream waits unless told not to.
    if path.ends_with("/v3/events") { path + "?timeout=0" } else { path }
}

/// Rewrites the file and the page from what the server answers.
pub async fn bless(hearth: &Hearth) {
    let known = || read().into_iter().map(|endpoint| (endpoint.path, endpoint.method)).collect();
    let mut endpoints = Vec::new();
    for (path, method) in specified().unwrap_or_else(known) {
        let mut endpoint = Endpoint { path, method, done: false };
        let (_, errcode) = probe(&hearth.user("prober").await, &endpoint).await;
        endpoint.done = errcode != "M_UNRECOGNIZED";
        endpoints.push(endpoint);
    }
    fs::write(file(), write(&endpoints)).expect("endpoints.txt can be written");
    fs::write(status_page(), page(&endpoints)).expect("the status page can be written");
    let done = endpoints.iter().filter(|endpoint| endpoint.done).count();
    println!("{done} of {} endpoints are done", endpoints.len());
}

/// The page that says what is there and what is missing.
pub fn page(endpoints: &[Endpoint]) -> String {
    let count = |client: bool, done: Option<bool>| {
        let side = endpoints.iter().filter(|endpoint| endpoint.path.starts_with("/_matrix/client") == client);
        side.filter(|endpoint| done.is_none_or(|done| endpoint.done == done)).count()
    };
    let mut text = String::from(
        "# What of the specification is there\n\n\
         Matrix v1.19. Made from `spec-tests/endpoints.txt` by `cargo test --test spec -- --bless`; a test holds\n\
         both to what the server answers. What is not there answers 404 `M_UNRECOGNIZED`.\n\n\
         | API | endpoints | done |\n| --- | ---: | ---: |\n",
    );
    for (name, client) in [("Client-Server", true), ("Others: media, well-known, federation, keys", false)] {
        let _ = writeln!(text, "| {name} | {} | {} |", count(client, None), count(client, Some(true)));
    }
    for (title, done) in [("Done", true), ("Missing", false)] {
        let _ = writeln!(text, "\n## {title}\n");
        let mut some = false;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.done == done) {
            let _ = writeln!(text, "- `{} {}`", endpoint.method, endpoint.path);
            some = true;
        }
        if !some {
            text.push_str("Nothing.\n");
        }
    }
    text
}
