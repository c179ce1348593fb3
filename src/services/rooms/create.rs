//! Making a room.

use std::time::Duration;

use hearth_core::canonical_json::JsonError;
use hearth_core::id::{RoomNid, UserNid};
use hearth_core::pdu::Content;
use hearth_core::power::initial::{self, PresetState};
use hearth_core::room_version::RoomVersion;
use hearth_store::log::{Change, Entry};
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::events::TimelineEventType;
use ruma::{CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId};
use serde_json::json;

use super::{Addition, Author, Draft, RoomError, Rooms};
use crate::log::CommitError;

/// Users invited as the room is made; each is an event of the same commit.
const MAX_INVITES: usize = 100;

/// State events given by the client; each is an event of the same commit.
const MAX_INITIAL_STATE: usize = 200;

/// Rooms named by the hash of their create event are named by who makes them and when: how often another
/// millisecond is tried.
const ATTEMPTS: usize = 16;

/// Until the next millisecond.
const ANOTHER_TIME: Duration = Duration::from_millis(1);

/// What a user wants of a new room.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its version.
    pub version: &'static RoomVersion,
    /// Keys to add to the create event.
    pub creation_content: CanonicalJsonObject,
    /// The state that it begins with.
    pub preset: RoomPreset,
    /// It is listed in the public directory.
    pub published: bool,
    /// Entries that replace those of the first power levels.
    pub power_levels: Option<CanonicalJsonObject>,
    /// State events, in order.
    pub initial_state: Vec<InitialState>,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its alias on this server.
    pub alias: Option<OwnedRoomAliasId>,
    /// Who is invited.
    pub invites: Vec<OwnedUserId>,
    /// The invites say that it is a direct chat.
    pub is_direct: bool,
}

/// A state event given by the client.
#[derive(Clone, Debug)]
pub struct InitialState {
    /// Its type.
    pub event_type: TimelineEventType,
    /// Its state key.
    pub state_key: String,
    /// Its content.
    pub content: Content,
}

impl Rooms {
    /// Makes a room, with everything that was asked for or not at all.
    pub async fn create(&self, author: &Author, new: NewRoom) -> Result<OwnedRoomId, RoomError> {
        let preset = initial::preset(&new.preset).ok_or(RoomError::UnknownPreset)?;
        check_counts(&new)?;
        self.check_local(&new.invites)?;
        self.check_alias_is_free(new.alias.as_ref()).await?;
        let drafts = self.drafts(author, &new, preset).await?;
        let mut addition = Addition {
            author: author.clone(),
            drafts,
            transaction: None,
            with: Vec::new(),
            unless_same: false,
        };
        for _ in 0..ATTEMPTS {
            let id = new_room_id(new.version, self.key.server_name());
            let begun = self.begin(new.version, id, &addition).await.map_err(as_invalid_state)?;
            addition.with = registrations(&new, author.nid, begun.room.nid);
            let id = begun.room.id.clone();
            match begun.finish(self, &addition).await {
                // The same user made the same room in the same millisecond, and it has this name.
                Err(RoomError::Commit(CommitError::RoomMoved)) => tokio::time::sleep(ANOTHER_TIME).await,
                finished => return finished.map(|_| id),
            }
        }
        Err(RoomError::Contended)
    }

    /// The commit decides; but what it will refuse is better refused before anything is made.
    async fn check_alias_is_free(&self, alias: Option<&OwnedRoomAliasId>) -> Result<(), RoomError> {
        let Some(alias) = alias else { return Ok(()) };
        match self.reader.store.room_of_alias(alias).await? {
            Some(_) => Err(RoomError::Commit(CommitError::Taken)),
            None => Ok(()),
        }
    }

    /// The room's first events, in the order the specification gives, none of a key that a later one sets
    /// again.
    async fn drafts(
        &self,
        author: &Author,
        new: &NewRoom,
        preset: PresetState,
    ) -> Result<Vec<Draft>, RoomError> {
        let create = create_content(author, new, preset)?;
        let mut drafts = vec![
            Draft::state(TimelineEventType::RoomCreate, "", Content::from_object(&create)?),
            self.creators_join(author).await?,
        ];
        let mut rest = vec![power_levels(author, new, preset)?];
        if let Some(alias) = &new.alias {
            rest.push(state("m.room.canonical_alias", &json!({ "alias": alias }))?);
        }
        rest.push(state("m.room.join_rules", &json!({ "join_rule": preset.join_rule }))?);
        let visibility = json!({ "history_visibility": preset.history_visibility });
        rest.push(state("m.room.history_visibility", &visibility)?);
        rest.push(state("m.room.guest_access", &json!({ "guest_access": preset.guest_access }))?);
        rest.extend(
            new.initial_state
                .iter()
                .map(|given| Draft::state(given.event_type.clone(), &given.state_key, given.content.clone())),
        );
        if let Some(name) = &new.name {
            rest.push(state("m.room.name", &json!({ "name": name }))?);
        }
        if let Some(topic) = &new.topic {
            let text = json!([{ "body": topic, "mimetype": "text/plain" }]);
            rest.push(state("m.room.topic", &json!({ "topic": topic, "m.topic": { "m.text": text } }))?);
        }
        drafts.extend(last_of_each_key(rest));
        for invited in &new.invites {
            drafts.push(self.invite_draft(invited, new.is_direct, None).await?);
        }
        Ok(drafts)
    }

    async fn creators_join(&self, author: &Author) -> Result<Draft, RoomError> {
        self.member_draft(&author.id, "join", json!({})).await
    }
}

fn check_counts(new: &NewRoom) -> Result<(), RoomError> {
    if new.invites.len() > MAX_INVITES {
        return Err(RoomError::TooMany { what: "invites", most: MAX_INVITES });
    }
    if new.initial_state.len() > MAX_INITIAL_STATE {
        return Err(RoomError::TooMany { what: "initial state events", most: MAX_INITIAL_STATE });
    }
    Ok(())
}

fn create_content(
    author: &Author,
    new: &NewRoom,
    preset: PresetState,
) -> Result<CanonicalJsonObject, RoomError> {
    let mut content = new.creation_content.clone();
    // What the server says wins over what the client says.
    content.remove("creator");
    content.insert("room_version".to_owned(), CanonicalJsonValue::String(new.version.id.as_str().to_owned()));
    if !new.version.creator_is_sender() {
        content.insert("creator".to_owned(), CanonicalJsonValue::String(author.id.to_string()));
    }
    if new.version.creators_are_privileged() {
        let creators = additional_creators(&content, author, new, preset)?;
        if !creators.is_empty() {
            content.insert("additional_creators".to_owned(), CanonicalJsonValue::Array(creators));
        }
    }
    Ok(content)
}

/// The creators that the client names, and the invitees where the preset trusts them.
fn additional_creators(
    content: &CanonicalJsonObject,
    author: &Author,
    new: &NewRoom,
    preset: PresetState,
) -> Result<Vec<CanonicalJsonValue>, RoomError> {
    let malformed = || RoomError::InvalidState("additional_creators must be a list of user ids".to_owned());
    let mut creators = match content.get("additional_creators") {
        None => Vec::new(),
        Some(CanonicalJsonValue::Array(named)) => named.clone(),
        Some(_) => return Err(malformed()),
    };
    for creator in &creators {
        let id = creator.as_str().ok_or_else(malformed)?;
        OwnedUserId::try_from(id).map_err(|_| malformed())?;
    }
    if preset.trusts_invitees {
        for invited in new.invites.iter().filter(|invited| **invited != author.id) {
            let invited = CanonicalJsonValue::String(invited.to_string());
            if !creators.contains(&invited) {
                creators.push(invited);
            }
        }
    }
    Ok(creators)
}

fn power_levels(author: &Author, new: &NewRoom, preset: PresetState) -> Result<Draft, RoomError> {
    let mut equals = vec![author.id.clone()];
    if preset.trusts_invitees {
        equals.extend(new.invites.iter().cloned());
    }
    let content = initial::power_levels(new.version, preset, &equals, new.power_levels.as_ref());
    Ok(Draft::state(TimelineEventType::RoomPowerLevels, "", Content::from_object(&content)?))
}

fn state(event_type: &str, content: &serde_json::Value) -> Result<Draft, JsonError> {
    Ok(Draft::state(event_type, "", Content::from_serialize(content)?))
}

/// Of drafts of one type and state key, the last, in its place.
fn last_of_each_key(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut seen = std::collections::HashSet::new();
    let mut last: Vec<Draft> = drafts
        .into_iter()
        .rev()
        .filter(|draft| seen.insert((draft.event_type.clone(), draft.state_key.clone())))
        .collect();
    last.reverse();
    last
}

/// The id of a room that is not named by its create event.
fn new_room_id(version: &RoomVersion, server: &ruma::ServerName) -> Option<OwnedRoomId> {
    (!version.room_id_is_create_hash()).then(|| RoomId::new_v1(server))
}

fn registrations(new: &NewRoom, creator: UserNid, room: RoomNid) -> Vec<Entry> {
    let alias = new.alias.iter().map(|alias| Change::CreateAlias { alias: alias.to_string(), room, creator });
    let publish = new.published.then_some(Change::PublishRoom { room, published: true });
    alias.chain(publish).map(Entry::Change).collect()
}

/// The rules refuse the creator what they asked for themselves: the request contradicts itself.
fn as_invalid_state(error: RoomError) -> RoomError {
    match error {
        RoomError::Denied(why) => RoomError::InvalidState(why),
        other => other,
    }
}
