//! What users do with media, each in a line.

use std::fmt;

use super::client::{Call, enc};
use super::user::User;

/// What an mxc URI names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mxc {
    pub server: String,
    pub id: String,
}

impl Mxc {
    /// Reads a URI that must be one.
    pub fn parse(uri: &str) -> Self {
        let parts = uri.strip_prefix("mxc://").and_then(|rest| rest.split_once('/'));
        let (server, id) = parts.unwrap_or_else(|| panic!("{uri:?} is no mxc URI"));
        Self { server: server.to_owned(), id: id.to_owned() }
    }

    /// Where everybody asks for it who has a token; `verb` is `download` or `thumbnail`.
    pub fn path(&self, verb: &str) -> String {
        format!("/_matrix/client/v1/media/{verb}/{}/{}", enc(&self.server), enc(&self.id))
    }

    /// Where it was asked for before tokens were needed.
    pub fn old_path(&self, verb: &str) -> String {
        format!("/_matrix/media/v3/{verb}/{}/{}", enc(&self.server), enc(&self.id))
    }
}

impl fmt::Display for Mxc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxc://{}/{}", self.server, self.id)
    }
}

impl User {
    /// Uploads bytes; no type is declared where it is empty.
    pub fn upload(&self, kind: &str, bytes: impl Into<Vec<u8>>) -> Call {
        declared(self.call("POST", "/_matrix/media/v3/upload").bytes(bytes), kind)
    }

    /// Uploads bytes under a name.
    pub fn upload_as(&self, name: &str, kind: &str, bytes: impl Into<Vec<u8>>) -> Call {
        let path = format!("/_matrix/media/v3/upload?filename={}", enc(name));
        declared(self.call("POST", &path).bytes(bytes), kind)
    }

    /// A medium of these bytes.
    pub async fn medium(&self, kind: &str, bytes: impl Into<Vec<u8>>) -> Mxc {
        let uploaded = self.upload(kind, bytes).await.ok();
        Mxc::parse(uploaded["content_uri"].as_str().expect("a URI"))
    }

    /// An id for bytes that are to follow.
    pub async fn reserve(&self) -> Mxc {
        let reserved = self.call("POST", "/_matrix/media/v1/create").await.ok();
        Mxc::parse(reserved["content_uri"].as_str().expect("a URI"))
    }

    /// Fills an id that was reserved.
    pub fn fill(&self, mxc: &Mxc, kind: &str, bytes: impl Into<Vec<u8>>) -> Call {
        declared(self.call("PUT", &mxc.old_path("upload")).bytes(bytes), kind)
    }

    pub fn download(&self, mxc: &Mxc) -> Call {
        self.get(&mxc.path("download"))
    }

    /// A thumbnail; `query` says which.
    pub fn thumbnail(&self, mxc: &Mxc, query: &str) -> Call {
        self.get(&format!("{}?{query}", mxc.path("thumbnail")))
    }
}

fn declared(call: Call, kind: &str) -> Call {
    if kind.is_empty() { call } else { call.header("content-type", kind) }
}

/// Bytes that look like nothing and that no two seeds share.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
