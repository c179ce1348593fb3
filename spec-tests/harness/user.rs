//! A user of the server, on one device.

use reqwest::Method;
use serde_json::Value;

use super::client::{Call, Client};
use super::hearth::Hearth;

/// A login.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub token: String,
    pub device: String,
    pub password: String,
    client: Client,
}

impl User {
    /// From the reply to a registration or a login.
    pub fn new(client: &Client, reply: &Value, password: &str) -> Self {
        let text =
            |key: &str| reply[key].as_str().unwrap_or_else(|| panic!("no {key} in {reply}")).to_owned();
        Self {
            id: text("user_id"),
            token: text("access_token"),
            device: text("device_id"),
            password: password.to_owned(),
            client: client.clone(),
        }
    }

    /// The part of the id before the colon, without the sigil.
    pub fn localpart(&self) -> &str {
        self.id.trim_start_matches('@').split(':').next().unwrap_or_default()
    }

    /// The part of the id behind the colon.
    pub fn server(&self) -> &str {
        self.id.split_once(':').map_or("", |(_, server)| server)
    }

    /// This login, speaking to another replica of the server.
    pub fn at(&self, door: &Hearth) -> Self {
        Self { client: door.client().clone(), ..self.clone() }
    }

    /// Where the server is that this login speaks to.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// A request with this user's token.
    pub fn call(&self, method: &str, path: &str) -> Call {
        self.client.call(Method::from_bytes(method.as_bytes()).unwrap(), path).token(&self.token)
    }

    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Call {
        self.call("POST", path).json(body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Call {
        self.call("PUT", path).json(body)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.call("DELETE", path)
    }
}
