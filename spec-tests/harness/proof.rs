//! Proving by a password who one is, where user-interactive authentication asks for it.

use serde_json::{Value, json};

use super::client::Reply;
use super::user::User;

impl User {
    /// The stage that proves it is this user; of no session yet.
    pub fn proof(&self) -> Value {
        let identifier = json!({"type": "m.id.user", "user": self.id});
        json!({"type": "m.login.password", "identifier": identifier, "password": self.password})
    }

    /// Makes a request that first asks for the password, and then again with it.
    pub async fn proven(&self, method: &str, path: &str, body: &Value) -> Reply {
        let challenge = self.call(method, path).json(body).await;
        assert_eq!(challenge.status, 401, "{}: {}", challenge.about, challenge.text);
        assert_eq!(challenge.body["flows"], json!([{"stages": ["m.login.password"]}]), "{}", challenge.text);
        let mut body = body.clone();
        body["auth"] = self.proof();
        body["auth"]["session"] = challenge.body["session"].clone();
        self.call(method, path).json(&body).await
    }
}
