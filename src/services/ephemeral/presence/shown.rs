//! A presence as it is told.

use std::fmt::Write as _;
use std::ops::Deref;

use hearth_store::presence::Presence;
use ruma::UserId;
use serde::Serialize;

use crate::profiles::{AVATAR_URL, DISPLAY_NAME};

/// A presence, and its event but for what depends on the time: written once, told to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    presence: Presence,
    names: Names,
    /// The event up to the last key of its content.
    opening: String,
}

/// What a user called themselves lately, and their picture, which are told with their presence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Names {
    #[serde(skip_serializing_if = "Option::is_none")]
    displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
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
    #[serde(flatten)]
    names: &'a Names,
}

/// How the event ends.
const END: &str = "}}";

impl From<Presence> for Shown {
    fn from(presence: Presence) -> Self {
        Self::new(presence, Names::default())
    }
}

impl Names {
    /// Takes a field of a profile, a JSON text; none deletes it.
    pub(super) fn set(&mut self, key: &str, value: Option<&str>) {
        let field = match key {
            DISPLAY_NAME => &mut self.displayname,
            AVATAR_URL => &mut self.avatar_url,
            _ => return,
        };
        *field = value.and_then(|json| serde_json::from_str(json).ok());
    }
}

impl Shown {
    pub(super) fn new(presence: Presence, names: Names) -> Self {
        let content = Content {
            presence: presence.state.name(),
            status_msg: presence.status_msg.as_deref(),
            currently_active: presence.says_currently_active(),
            names: &names,
        };
        let event = Event { r#type: "m.presence", sender: &presence.user_id, content };
        // Strings and a truth value always have a JSON text.
        let mut opening = serde_json::to_string(&event).unwrap_or_default();
        opening.truncate(opening.len().saturating_sub(END.len()));
        Self { presence, names, opening }
    }

    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

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
        let mut names = Names::default();
        names.set("displayname", Some(r#""An \"A\"""#));
        names.set("avatar_url", Some(r#""mxc://d/a""#));
        names.set("avatar_url", None);
        names.set("m.tz", Some("0"));
        let mut written = String::new();
        Shown::new(presence, names).write_event(&mut written, 1_000);
        serde_json::from_str(&written).unwrap()
    }

    #[test]
    fn an_event_tells_what_is_known() {
        let whole = event(PresenceState::Online, Some("a \"word\""), 400);
        let content = json!({
            "presence": "online", "status_msg": "a \"word\"", "currently_active": true, "last_active_ago": 600,
            "displayname": "An \"A\"",
        });
        assert_eq!(whole, json!({"type": "m.presence", "sender": "@a:d", "content": content}));
        let offline = event(PresenceState::Offline, None, 0);
        assert_eq!(offline["content"], json!({"presence": "offline", "displayname": "An \"A\""}));
    }
}
