//! Sending events, setting state, redacting.

use hearth_core::grammar;
use hearth_core::pdu::Content;
use hearth_store::room::Room;
use ruma::events::TimelineEventType;
use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::membership::AUTHORISED_BY;
use super::{Addition, Author, Draft, RoomError, Rooms, Transaction};
use crate::profiles::{AVATAR_URL, DISPLAY_NAME};

/// What a redaction's content may name.
#[derive(Deserialize)]
struct RedactsField {
    redacts: Option<OwnedEventId>,
}

impl Rooms {
    /// Sends an event; a repeated transaction id is answered with the event it made the first time.
    pub async fn send(
        &self,
        author: &Author,
        room: &RoomId,
        message: NewMessage<'_>,
    ) -> Result<OwnedEventId, RoomError> {
        grammar::transaction_id(&message.transaction.txn_id)?;
        grammar::event_type(&message.event_type.to_string())?;
        let room = self.known(room).await?;
        let content = Content::from_client(message.content, room.version)?;
        let mut draft = Draft::message(message.event_type, content);
        if draft.event_type == TimelineEventType::RoomRedaction {
            let target;
            (draft, target) = redaction_of_content(draft)?;
            self.check_redaction(&room, author, &target).await?;
        }
        let addition = Addition { transaction: Some(message.transaction), ..Addition::of(author, draft) };
        first(self.handle(&room).add(self, &addition).await?)
    }

    /// Whether a user sent an event, as far as this server knows it.
    pub async fn is_author_of(&self, author: &Author, event: &EventId) -> Result<bool, RoomError> {
        let event = self.reader.events.by_id(event).await?;
        Ok(event.is_some_and(|event| event.sender == author.nid))
    }

    /// Redacts an event, with or without a reason.
    pub async fn redact(
        &self,
        author: &Author,
        room: &RoomId,
        (target, reason): (&EventId, Option<&str>),
        transaction: Transaction,
    ) -> Result<OwnedEventId, RoomError> {
        grammar::transaction_id(&transaction.txn_id)?;
        let room = self.known(room).await?;
        self.check_redaction(&room, author, target).await?;
        let content = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        let mut draft = Draft::message(TimelineEventType::RoomRedaction, Content::from_serialize(&content)?);
        draft.redacts = Some(target.to_owned());
        let addition = Addition { transaction: Some(transaction), ..Addition::of(author, draft) };
        first(self.handle(&room).add(self, &addition).await?)
    }

    /// Sets a state event. What the state says already is not sent again.
    pub async fn set_state(
        &self,
        author: &Author,
        room: &RoomId,
        new: NewState<'_>,
    ) -> Result<OwnedEventId, RoomError> {
        grammar::event_type(&new.event_type.to_string())?;
        grammar::state_key(new.state_key)?;
        let room = self.known(room).await?;
        let mut content = Content::from_client(new.content, room.version)?;
        match new.event_type {
            TimelineEventType::RoomCreate => {
                return Err(RoomError::Denied("A room is created only once.".to_owned()));
            }
            TimelineEventType::RoomMember => {
                content = self.member_content(&room, author, new.state_key, content).await?;
            }
            // Since version 11 a state event of this type redacts what its content names, like any other.
            TimelineEventType::RoomRedaction => {
                if let Ok(RedactsField { redacts: Some(target) }) = serde_json::from_str(content.as_str()) {
                    self.check_redaction(&room, author, &target).await?;
                }
            }
            TimelineEventType::RoomCanonicalAlias => {
                self.check_canonical_alias(&room, &content).await?;
            }
            _ => {}
        }
        let draft = Draft::state(new.event_type, new.state_key, content);
        let addition = Addition { unless_same: true, ..Addition::of(author, draft) };
        first(self.handle(&room).add(self, &addition).await?)
    }

    /// What a member event of a client comes to. In whose name somebody is let in is for the server to say, which
    /// signs it; and one's own event shows one's profile where it says nothing of it.
    async fn member_content(
        &self,
        room: &Room,
        author: &Author,
        state_key: &str,
        content: Content,
    ) -> Result<Content, RoomError> {
        if <&UserId>::try_from(state_key).is_err() {
            return Err(RoomError::InvalidParameter("The state key of a member event is a user id."));
        }
        // It was canonicalised from JSON, so it reads as JSON.
        let before: Value = serde_json::from_str(content.as_str()).unwrap_or_default();
        let mut fields = before.clone();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove(AUTHORISED_BY);
        }
        if state_key == author.id.as_str() {
            self.fill_in_own(room, author, &mut fields).await?;
        }
        // Where nothing changed it stays as it is: old rooms keep numbers that are not written anew.
        if fields == before { Ok(content) } else { Ok(Content::from_serialize(&fields)?) }
    }

    async fn fill_in_own(&self, room: &Room, author: &Author, fields: &mut Value) -> Result<(), RoomError> {
        if !matches!(fields["membership"].as_str(), Some("join" | "knock")) {
            return Ok(());
        }
        if fields["membership"] == "join" {
            let before = self.membership(room, &author.id).await?;
            if let Some(by) = self.let_in_by(room, author, before).await? {
                fields[AUTHORISED_BY] = json!(by);
            }
        }
        let Some(profile) = self.profiles.of(author.nid).await? else { return Ok(()) };
        for field in [DISPLAY_NAME, AVATAR_URL] {
            if fields.get(field).is_none()
                && let Some(value) = profile.get(field)
            {
                fields[field] = value.clone();
            }
        }
        Ok(())
    }
}

/// An event that is no state event, as a client gives it.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// Its type.
    pub event_type: TimelineEventType,
    /// Its content, JSON.
    pub content: &'a str,
    /// The transaction id it uses up.
    pub transaction: Transaction,
}

/// A state event, as a client gives it.
#[derive(Clone, Debug)]
pub struct NewState<'a> {
    /// Its type.
    pub event_type: TimelineEventType,
    /// Its state key.
    pub state_key: &'a str,
    /// Its content, JSON.
    pub content: &'a str,
}

/// A redaction sent like any event names its target in its content.
fn redaction_of_content(draft: Draft) -> Result<(Draft, OwnedEventId), RoomError> {
    let missing = RoomError::InvalidParameter("A redaction names the event it redacts in `redacts`.");
    let Ok(RedactsField { redacts: Some(target) }) = serde_json::from_str(draft.content.as_str()) else {
        return Err(missing);
    };
    let mut fields: Value = serde_json::from_str(draft.content.as_str()).unwrap_or_default();
    if let Some(fields) = fields.as_object_mut() {
        // It stands where the room version wants it.
        fields.remove("redacts");
    }
    let content = Content::from_serialize(&fields)?;
    Ok((Draft { content, redacts: Some(target.clone()), ..draft }, target))
}

fn first(added: Vec<super::Added>) -> Result<OwnedEventId, RoomError> {
    added.into_iter().next().map(|added| added.event_id).ok_or(RoomError::UnknownRoom)
}
