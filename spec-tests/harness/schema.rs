//! Holds every reply to the schema that the specification gives its operation, where the data are at hand.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::Value;

use super::client::Reply;

/// The files of schemas whose endpoints we serve.
const FILES: [&str; 2] = ["schemas/cs.json", "schemas/s2s.json"];

static SCHEMAS: LazyLock<Option<Schemas>> = LazyLock::new(Schemas::load);
/// How many replies were held to a schema, by operation.
static CHECKED: LazyLock<Mutex<BTreeMap<String, u64>>> = LazyLock::new(Mutex::default);

/// The folder of the specification's data, if it is there.
pub fn data_folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/spec"));
    let folder = env::var_os("HEARTH_SPEC_DATA").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Holds a reply to its schema; the error says where it differs.
pub fn check(method: &Method, path: &str, reply: &Reply) -> Result<(), String> {
    check_error(reply)?;
    let Some(schemas) = SCHEMAS.as_ref() else { return Ok(()) };
    let Some(operation) = schemas.find(method, path) else { return Ok(()) };
    let Some(schema) = operation.replies.get(&reply.status) else { return Ok(()) };
    *CHECKED.lock().unwrap().entry(operation.name.clone()).or_default() += 1;
    let errors: Vec<String> = schema
        .iter_errors(&reply.body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(format!("{} is not what {} answers: {}", reply.about, operation.name, errors.join("; ")))
}

/// A sentence on what was checked.
pub fn summary() -> String {
    if SCHEMAS.is_none() {
        return "schemas: the specification's data are not at hand, no reply was held to its schema"
            .to_owned();
    }
    let checked = CHECKED.lock().unwrap();
    let replies: u64 = checked.values().sum();
    format!("schemas: {replies} replies of {} operations were held to their schema", checked.len())
}

/// Every error a client can see is a Matrix error; those of user-interactive authentication have more.
fn check_error(reply: &Reply) -> Result<(), String> {
    if reply.status < 400 || (reply.status == 401 && reply.body["flows"].is_array()) {
        return Ok(());
    }
    if reply.body["errcode"].is_string() && reply.body["error"].is_string() {
        return Ok(());
    }
    Err(format!("{}: {} without errcode and error: {}", reply.about, reply.status, reply.text))
}

struct Schemas {
    operations: Vec<Operation>,
}

struct Operation {
    name: String,
    method: String,
    /// None stands for a parameter.
    segments: Vec<Option<String>>,
    replies: BTreeMap<u16, Validator>,
}

impl Schemas {
    fn load() -> Option<Self> {
        let folder = data_folder()?;
        let mut operations = Vec::new();
        for file in FILES {
            let text = fs::read_to_string(folder.join(file)).expect("the schemas can be read");
            let data: BTreeMap<String, Value> = serde_json::from_str(&text).expect("the schemas are JSON");
            operations.extend(data.iter().map(|(name, value)| Operation::new(name, value)));
        }
        Some(Self { operations })
    }

    /// The operation that a request is for: a literal segment counts more than a parameter.
    fn find(&self, method: &Method, path: &str) -> Option<&Operation> {
        let path = path.split('?').next().unwrap_or_default().replacen("/client/r0/", "/client/v3/", 1);
        // The empty state key may be written without its slash.
        self.find_exactly(method, &path).or_else(|| self.find_exactly(method, &format!("{path}/")))
    }

    fn find_exactly(&self, method: &Method, path: &str) -> Option<&Operation> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = self.operations.iter().filter(|operation| operation.fits(method, &segments));
        fits.max_by_key(|operation| operation.segments.iter().flatten().count())
    }
}

impl Operation {
    fn new(name: &str, value: &Value) -> Self {
        let path = value["path"].as_str().expect("an operation has a path");
        let segment = |segment: &str| (!segment.starts_with('{')).then(|| segment.to_owned());
        let mut replies = BTreeMap::new();
        for (status, reply) in value["responses"].as_object().into_iter().flatten() {
            let schema = &reply["content"]["application/json"];
            if let (Ok(status), false) = (status.parse(), schema.is_null()) {
                replies.insert(status, jsonschema::validator_for(schema).expect("a schema"));
            }
        }
        Self {
            name: name.to_owned(),
            method: value["method"].as_str().expect("an operation has a method").to_owned(),
            segments: path.split('/').map(segment).collect(),
            replies,
        }
    }

    fn fits(&self, method: &Method, segments: &[&str]) -> bool {
        self.method == method.as_str()
            && self.segments.len() == segments.len()
            && self
                .segments
                .iter()
                .zip(segments)
                .all(|(wanted, found)| wanted.as_deref().is_none_or(|wanted| wanted == *found))
    }
}
