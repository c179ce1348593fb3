//! What a test is given: the server under test, seen from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString as _};
use reqwest::Method;
use reqwest::redirect::Policy;
use serde_json::json;

use super::client::{Call, Client};
use super::record::Record;
use super::server::{Server, Settings};
use super::user::User;

/// Makes the names of one run differ from those of another at the same server.
static RUN: LazyLock<String> =
    LazyLock::new(|| Alphanumeric.sample_string(&mut rand::rng(), 5).to_ascii_lowercase());
static NAMES: AtomicU64 = AtomicU64::new(1);

/// An HTTP client that follows no redirect.
pub fn http() -> reqwest::Client {
    // It fails when one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(Policy::none()).no_proxy().gzip(true);
    builder.connect_timeout(Duration::from_secs(10)).build().expect("an HTTP client")
}

/// A name that nothing else has.
pub fn fresh(stem: &str) -> String {
    format!("{stem}-{}-{}", *RUN, NAMES.fetch_add(1, Ordering::Relaxed))
}

/// The server under test.
#[derive(Clone, Debug)]
pub struct Hearth {
    client: Client,
    record: Arc<Record>,
}

impl Hearth {
    /// The server at `base`, for one test.
    pub fn at(base: &str, record: Arc<Record>) -> Self {
        Self { client: Client::new(base, http(), Arc::clone(&record)), record }
    }

    /// Another server, whose exchanges belong to this test as well.
    pub fn other(&self, base: &str) -> Self {
        Self::at(base, Arc::clone(&self.record))
    }

    /// A server of this test's own.
    pub async fn start(&self, settings: Settings) -> (Server, Self) {
        let server = Server::start(settings).await;
        let hearth = self.other(server.base());
        (server, hearth)
    }

    /// What speaks to the server.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// A request of any method.
    pub fn call(&self, method: &str, path: &str) -> Call {
        self.client.call(Method::from_bytes(method.as_bytes()).unwrap(), path)
    }

    /// A request without a token.
    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    /// A request without a token.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Call {
        self.call("POST", path).json(body)
    }

    /// A new account, logged in; its localpart begins with `stem`.
    pub async fn user(&self, stem: &str) -> User {
        let name = fresh(stem);
        let password = format!("{name}'s password");
        let mut body = json!({"username": name, "password": password, "auth": {"type": "m.login.dummy"}});
        let mut reply = self.post("/register", &body).await;
        if reply.status == 401 {
            body["auth"]["session"] = reply.body["session"].clone();
            reply = self.post("/register", &body).await;
        }
        User::new(&self.client, &reply.ok(), &password)
    }

    /// Another login of an account.
    pub async fn login(&self, user: &User) -> User {
        let identifier = json!({"type": "m.id.user", "user": user.id});
        let body = json!({"type": "m.login.password", "identifier": identifier, "password": user.password});
        User::new(&self.client, &self.post("/login", &body).await.ok(), &user.password)
    }
}
