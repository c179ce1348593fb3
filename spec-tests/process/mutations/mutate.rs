//! What is done to a good request.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _};
use serde_json::Value;

use crate::harness::raw::RawRequest;

/// Values that belong nowhere, as they stand in JSON. Some are none.
const VALUES: [&str; 24] = [
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e400",
    "NaN",
    "9007199254740993",
    "123456789012345678901234567890",
    "\"\"",
    "\"text\"",
    r#""a\u0000b""#,
    r#""\ud800""#,
    r#""\udfff\ud800""#,
    r#""\u202e🐈""#,
    "\"@user:hearth.test\"",
    "\"!room:hearth.test\"",
    "\"$event\"",
    "[]",
    "{}",
    "[[[[]]]]",
    r#"{"":{"":{}}}"#,
    "\"\x01\"",
    "'single'",
];

/// Path segments and query values that belong nowhere.
const TEXTS: [&str; 23] = [
    "",
    "%",
    "%zz",
    "%00",
    "%FF",
    "%ED%A0%80",
    "%2F",
    "%2e%2e",
    "..",
    ".",
    "%20",
    "+",
    "%F0%9F%90%88",
    "!",
    "!room",
    "@",
    "@:",
    "%23:",
    "$",
    "-1",
    "99999999999999999999",
    "null",
    "%7B%22a%22:1%7D",
];

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"];
const PARAMETERS: [&str; 10] =
    ["timeout", "since", "filter", "limit", "from", "to", "dir", "at", "access_token", "full_state"];

/// Stands for a value while a body is JSON still.
const HOLE: &str = "\u{1}hole\u{1}";

/// Changes a request in one way, at times in three.
pub fn mutate(request: &mut RawRequest, random: &mut StdRng) {
    let changes = if random.random_bool(0.7) { 1 } else { 3 };
    for _ in 0..changes {
        match random.random_range(0..12) {
            0..=5 if !request.body.is_empty() => body_value(request, random),
            6 if !request.body.is_empty() => body_bytes(request, random),
            1 | 7 | 8 => parameter(request, random),
            9 => request.method = choose(&METHODS, random).to_owned(),
            10 => token(request, random),
            _ => segment(request, random),
        }
    }
}

fn choose(list: &[&'static str], random: &mut StdRng) -> &'static str {
    list.choose(random).expect("the list is not empty")
}

/// Replaces, removes or adds a value somewhere in the body.
fn body_value(request: &mut RawRequest, random: &mut StdRng) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&request.body) else { return };
    let steps = random.random_range(1..=3);
    let removes = random.random_bool(0.25);
    change(&mut body, steps, removes, random);
    let value = match random.random_range(0..20) {
        0 => format!("\"{}\"", "x".repeat(70_000)),
        1 => "[".repeat(2_000) + &"]".repeat(2_000),
        _ => choose(&VALUES, random).to_owned(),
    };
    let hole = serde_json::to_string(HOLE).expect("text is JSON");
    request.body = body.to_string().replace(&hole, &value).into_bytes();
}

fn change(value: &mut Value, steps: usize, removes: bool, random: &mut StdRng) {
    let deeper = steps > 1 && matches!(value, Value::Object(_) | Value::Array(_));
    match value {
        Value::Object(map) if !map.is_empty() => {
            let index = random.random_range(0..map.len());
            let key = map.keys().nth(index).expect("the index is one of the map's").clone();
            if deeper && (map[&key].is_object() || map[&key].is_array()) {
                change(&mut map[&key], steps - 1, removes, random);
            } else if removes {
                map.remove(&key);
            } else {
                map[&key] = HOLE.into();
            }
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let index = random.random_range(0..list.len());
            change(&mut list[index], steps - 1, removes, random);
        }
        _ => *value = HOLE.into(),
    }
}

/// Cuts the body off, or changes a byte.
fn body_bytes(request: &mut RawRequest, random: &mut StdRng) {
    if request.body.is_empty() {
        return;
    }
    let place = random.random_range(0..request.body.len());
    match random.random_range(0..4) {
        0 => request.body.truncate(place),
        1 => request.body[place] = random.next_u32().to_le_bytes()[0],
        2 => request.body.insert(place, 0xff),
        _ => request.body.extend(b"{}"),
    }
}

/// Replaces a segment of the path.
fn segment(request: &mut RawRequest, random: &mut StdRng) {
    let target = String::from_utf8_lossy(&request.target).into_owned();
    let (path, query) =
        target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
    // The first is before the first slash; the next two lead to the API.
    let place = random.random_range(3.min(segments.len() - 1)..segments.len());
    segments[place] = match random.random_range(0..20) {
        0 => "x".repeat(10_000),
        1 => format!("{}%00", segments[place]),
        2 => format!("{}x", segments[place]),
        _ => choose(&TEXTS, random).to_owned(),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    request.target = format!("{}{query}", segments.join("/")).into_bytes();
}

/// Adds a parameter to the query; an endpoint that knows it takes the first or the last.
fn parameter(request: &mut RawRequest, random: &mut StdRng) {
    let sign = if request.target.contains(&b'?') { '&' } else { '?' };
    let (name, value) = (choose(&PARAMETERS, random), choose(&TEXTS, random));
    request.target.extend(format!("{sign}{name}={value}").as_bytes());
}

/// Takes the token away or spoils it.
fn token(request: &mut RawRequest, random: &mut StdRng) {
    request.token = match random.random_range(0..3) {
        0 => None,
        1 => Some("no-such-token".to_owned()),
        _ => request.token.take().map(|token| token + "x"),
    };
}
