//! A presence as it is told.

use std::fmt::Write as _;
use std::ops::Deref;

use hearth_store::presence::Presence;
use ruma::UserId;
use serde::Serialize;

/// A presence, and its event but for what depends on the time: written once, told to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    presence: Presence,
    /// The event up to the last key of its content.
    opening: String,
}

#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    sender: &'a UserId,
    content: Content<'a>,
}

/// The content of `m.presence`, without `last_active_ago`.
#[derive(Serialize)]
struct Content<'a> {
    presence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currently_active: Option<bool>,
}

/// How the event ends.
const END: &str = "}}";

impl From<Presence> for Shown {
    fn from(presence: Presence) -> Self {
        let content = Content {
            presence: presence.state.name(),
            status_msg: presence.status_msg.as_deref(),
            currently_active: presence.says_currently_active(),
        };
        let event = Event { r#type: "m.presence", sender: &presence.user_id, content };
        // Strings and a truth value always have a JSON text.
        let mut opening = serde_json::to_string(&event).unwrap_or_default();
        opening.truncate(opening.len().saturating_sub(END.len()));
        Self { presence, opening }
    }
}

impl Shown {
    /// Writes the `m.presence` event, as of a time in milliseconds since the epoch.
    pub fn write_event(&self, json: &mut String, now_ms: i64) {
        json.push_str(&self.opening);
        if let Some(ago) = self.last_active_ago(now_ms) {
            // Nothing fails to be written into a string.
            let _ = write!(json, ",\"last_active_ago\":{ago}");
        }
        json.push_str(END);
    }
}

impl Deref for Shown {
    type Target = Presence;

    fn deref(&self) -> &Presence {
        &self.presence
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::id::{Position, UserNid};
    use hearth_store::presence::PresenceState;
    use ruma::owned_user_id;
    use serde_json::{Value, json};

    use super::*;

    fn event(state: PresenceState, status_msg: Option<&str>, last_active_ts: i64) -> Value {
        let presence = Presence {
            user: UserNid::new(1),
            user_id: owned_user_id!("@a:d"),
            state,
            status_msg: status_msg.map(str::to_owned),
            last_active_ts,
            currently_active: true,
            pos: Position::new(1),
        };
        let mut written = String::new();
        Shown::from(presence).write_event(&mut written, 1_000);
        serde_json::from_str(&written).unwrap()
    }

    #[test]
    fn an_event_tells_what_is_known() {
        let whole = event(PresenceState::Online, Some("a \"word\""), 400);
        let content = json!({
            "presence": "online", "status_msg": "a \"word\"", "currently_active": true, "last_active_ago": 600,
        });
        assert_eq!(whole, json!({"type": "m.presence", "sender": "@a:d", "content": content}));
        assert_eq!(event(PresenceState::Offline, None, 0)["content"], json!({"presence": "offline"}));
    }
}
