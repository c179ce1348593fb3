//! Sliding sync in both of its forms, and looking into what it brings.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Call, enc};
use super::user::User;

/// How long a thing that must come may take to come, and how long a single request waits, in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: u64 = 5_000;

/// In which form is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the proposal was merged.
    Stable,
    /// As clients shipped it.
    Unstable,
}

pub const FORMS: [Form; 2] = [Form::Stable, Form::Unstable];

impl Form {
    /// A list, of the rooms at some places.
    pub fn list(self, (from, to): (usize, usize), view: &Value) -> Value {
        let mut list = view.clone();
        match self {
            Self::Stable => list["range"] = json!([from, to]),
            Self::Unstable => list["ranges"] = json!([[from, to]]),
        }
        list
    }

    /// What is wanted of a room: so many events, and some of its state; `$LAZY` stands for lazy members.
    pub fn view(self, limit: usize, state: &[(&str, &str)]) -> Value {
        match self {
            Self::Unstable => json!({"timeline_limit": limit, "required_state": state}),
            Self::Stable => {
                let or_all = |name: &str| (name != "*").then(|| name.to_owned());
                let include: Vec<Value> = state
                    .iter()
                    .filter(|(_, key)| *key != "$LAZY")
                    .map(|(kind, key)| {
                        let mut element = json!({});
                        if let Some(kind) = or_all(kind) {
                            element["type"] = kind.into();
                        }
                        if let Some(key) = or_all(key) {
                            element["state_key"] = key.into();
                        }
                        element
                    })
                    .collect();
                let lazy = state.iter().any(|(_, key)| *key == "$LAZY");
                json!({"timeline_limit": limit, "required_state": {"include": include, "lazy_members": lazy}})
            }
        }
    }

    /// The field of a room that says that its timeline goes further back than before.
    pub const fn expanded(self) -> &'static str {
        match self {
            Self::Stable => "expanded_timeline",
            Self::Unstable => "unstable_expanded_timeline",
        }
    }

    /// The field of a room with what is told of it to those who are asked in.
    pub const fn stripped(self) -> &'static str {
        match self {
            Self::Stable => "stripped_state",
            Self::Unstable => "invite_state",
        }
    }
}

/// A connection.
pub struct Window {
    pub user: User,
    pub form: Form,
    pub body: Value,
    pub pos: Option<String>,
}

impl Window {
    /// One that looks at everything, newest first: so many events of each room, and some of its state.
    pub fn on_all(user: &User, form: Form, limit: usize, state: &[(&str, &str)]) -> Self {
        let list = form.list((0, 99), &form.view(limit, state));
        Self::new(user, form, json!({"lists": {"all": list}}))
    }

    pub fn new(user: &User, form: Form, body: Value) -> Self {
        Self { user: user.clone(), form, body, pos: None }
    }

    /// The request that comes next.
    pub fn call(&self, wait: u64) -> Call {
        let patience = Duration::from_secs(40);
        match self.form {
            Form::Stable => {
                let mut body = self.body.clone();
                body["timeout"] = wait.into();
                if let Some(pos) = &self.pos {
                    body["pos"] = pos.as_str().into();
                }
                self.user.call("POST", "/_matrix/client/v4/sync").json(&body).patient(patience)
            }
            Form::Unstable => {
                let pos = self.pos.as_ref().map(|pos| format!("&pos={}", enc(pos))).unwrap_or_default();
                let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
                let path = format!("{path}?timeout={wait}{pos}");
                self.user.call("POST", &path).json(&self.body).patient(patience)
            }
        }
    }

    /// What is new, at once.
    pub async fn next(&mut self) -> Value {
        self.wait(0).await
    }

    /// What is new, at once or within so many milliseconds.
    pub async fn wait(&mut self, wait: u64) -> Value {
        let reply = self.call(wait).await.ok();
        self.pos = Some(reply["pos"].as_str().expect("pos").to_owned());
        reply
    }

    /// Goes on until a reply satisfies `wanted`.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let reply = self.wait(POLL).await;
            if wanted(&reply) {
                return reply;
            }
        }
        panic!("{} waited for something that never came by sliding sync", self.user.id);
    }
}
