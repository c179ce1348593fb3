//! The bytes of a server's media, past the server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;

use super::bucket;
use super::client::enc;
use super::server::{Server, Settings};

/// The variable that names the directory.
pub const DIRECTORY: &str = "HEARTH_MEDIA__DIRECTORY";

/// What says which storage it is, and is no medium.
const MARKER: &str = "hearth-media-id";

/// Where a server's media are.
#[derive(Clone, Debug)]
pub enum Storage {
    Directory(PathBuf),
    Bucket(String),
}

impl Storage {
    /// Where a server keeps its media.
    pub fn of(server: &Server) -> Self {
        Self::by(server.settings(), &server.data_dir())
    }

    /// Where a server with these settings and this data directory keeps them.
    pub fn by(settings: &Settings, data_dir: &Path) -> Self {
        let variable = |name: &str| settings.variables().get(name);
        if let (Some(bucket), Some(endpoint)) = (variable(bucket::BUCKET), variable(bucket::ENDPOINT)) {
            return Self::Bucket(format!("{endpoint}/{bucket}"));
        }
        Self::Directory(variable(DIRECTORY).map_or_else(|| data_dir.join("media"), PathBuf::from))
    }

    /// The names and sizes of all objects.
    pub async fn objects(&self) -> BTreeMap<String, u64> {
        let mut found = match self {
            Self::Directory(root) => files(root),
            Self::Bucket(bucket) => listed(bucket).await,
        };
        found.remove(MARKER);
        found
    }

    /// Puts other bytes in an object's place.
    pub async fn put(&self, object: &str, bytes: &[u8]) {
        match self {
            Self::Directory(root) => {
                let path = root.join(object);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
                fs::write(path, bytes).expect("a file can be written");
            }
            Self::Bucket(bucket) => {
                let put = bucket::request(Method::PUT, &format!("{bucket}/{object}")).body(bytes.to_vec());
                assert!(put.send().await.is_ok_and(|put| put.status().is_success()), "{object} can be put");
            }
        }
    }

    /// Takes an object away.
    pub async fn remove(&self, object: &str) {
        match self {
            Self::Directory(root) => fs::remove_file(root.join(object)).expect("it is there"),
            Self::Bucket(bucket) => {
                let gone = bucket::request(Method::DELETE, &format!("{bucket}/{object}")).send().await;
                assert!(gone.is_ok_and(|gone| gone.status().is_success()), "{object} can be deleted");
            }
        }
    }
}

fn files(root: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // Files come and go while they are listed.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, Ok(about)) = (entry.path(), entry.metadata()) else { continue };
            if about.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned();
                found.insert(name, about.len());
            }
        }
    }
    found
}

async fn listed(bucket: &str) -> BTreeMap<String, u64> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let after = found.keys().next_back().map_or("", String::as_str);
        let url = format!("{bucket}?list-type=2&start-after={}", enc(after));
        let listing = bucket::request(Method::GET, &url)
            .send()
            .await
            .expect("the service answers")
            .text()
            .await
            .expect("a listing");
        let before = found.len();
        for entry in listing.split("<Contents>").skip(1) {
            let size = between(entry, "Size").parse().expect("a size");
            found.insert(between(entry, "Key").to_owned(), size);
        }
        if found.len() == before {
            return found;
        }
    }
}

fn between<'a>(text: &'a str, tag: &str) -> &'a str {
    let rest = text.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
    rest.split_once('<').map_or("", |(value, _)| value)
}
