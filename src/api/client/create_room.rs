//! Room creation.

use hearth_core::canonical_json;
use hearth_core::grammar;
use hearth_core::pdu::Content;
use hearth_core::room_version::{self, RoomVersion};
use hearth_services::accounts::Caller;
use hearth_services::rooms::{Author, InitialState, NewRoom};
use ruma::api::client::room::Visibility;
use ruma::api::client::room::create_room::v3::{Request, Response, RoomPreset};
use ruma::api::error::ErrorKind;
use ruma::events::TimelineEventType;
use ruma::serde::Raw;
use ruma::{CanonicalJsonObject, OwnedRoomAliasId, OwnedUserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::error::{Error, Result};
use crate::extract::Ruma;
use crate::rate_limit::{Family, Key, Vacancy};
use crate::route::{Route, route};

/// Some hundred invites and state events of ordinary size.
const MAX_BODY: usize = 1024 * 1024;

#[derive(Deserialize)]
struct GivenState<'a> {
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    #[serde(default)]
    state_key: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

pub(super) fn routes() -> Vec<Route> {
    vec![route(create).unless_suspended().body_limit(MAX_BODY).limited(Family::RoomCreation).shows_activity()]
}

/// `POST /_matrix/client/v3/createRoom`
async fn create(app: App, Ruma { request, caller }: Ruma<Request>) -> Result<Response> {
    let version = version(&request)?;
    let new = NewRoom {
        version,
        creation_content: object(request.creation_content.as_ref().map(Raw::json), "creation_content")?
            .unwrap_or_default(),
        preset: preset(&request)?,
        published: request.visibility == Visibility::Public,
        power_levels: object(
            request.power_level_content_override.as_ref().map(Raw::json),
            "power_level_content_override",
        )?,
        initial_state: initial_state(&request, version)?,
        alias: alias(&app, request.room_alias_name.as_deref())?,
        name: request.name,
        topic: request.topic,
        invites: invites(&request.invite, &caller),
        is_direct: request.is_direct,
    };
    if !request.invite_3pid.is_empty() {
        return Err(Error::forbidden("This server cannot invite by e-mail address or telephone number."));
    }
    let invitations = count_invites(&app, &caller, &new.invites)?;
    let room_id = app.rooms.create(&author(&caller), new).await?;
    invitations.into_iter().for_each(Vacancy::take);
    Ok(Response { room_id })
}

/// Counts invites with those that the caller sends one by one, and looks whether each may be invited.
fn count_invites<'a>(app: &'a App, caller: &Caller, invited: &[OwnedUserId]) -> Result<Vec<Vacancy<'a>>> {
    app.limits.take_several(Family::InvitesPerIssuer, Key::User(caller.user), invited.len())?;
    let vacancy =
        |user: &OwnedUserId| app.limits.vacancy(Family::InvitesPerUser, Key::Named(user.to_string()));
    invited.iter().map(vacancy).collect()
}

/// The caller as the author of events.
pub(super) fn author(caller: &Caller) -> Author {
    Author { nid: caller.user, id: caller.user_id.clone() }
}

fn version(request: &Request) -> Result<&'static RoomVersion> {
    let asked = request.room_version.as_ref().unwrap_or(&room_version::DEFAULT);
    room_version::rules(asked).ok_or_else(|| {
        Error::bad_request(
            ErrorKind::UnsupportedRoomVersion,
            format!("This server has no rooms of version {asked:?}."),
        )
    })
}

fn preset(request: &Request) -> Result<RoomPreset> {
    let by_visibility = match request.visibility {
        Visibility::Public => RoomPreset::PublicChat,
        Visibility::Private => RoomPreset::PrivateChat,
        _ => {
            return Err(Error::bad_request(
                ErrorKind::BadJson,
                "The visibility is either public or private.",
            ));
        }
    };
    Ok(request.preset.clone().unwrap_or(by_visibility))
}

fn object(json: Option<&RawValue>, name: &str) -> Result<Option<CanonicalJsonObject>> {
    json.map(|json| canonical_json::parse_object(json.get()))
        .transpose()
        .map_err(|error| Error::bad_request(ErrorKind::BadJson, format!("{name}: {error}.")))
}

fn initial_state(request: &Request, version: &RoomVersion) -> Result<Vec<InitialState>> {
    let malformed = |error: &dyn std::fmt::Display| {
        Error::bad_request(ErrorKind::BadJson, format!("initial_state: {error}."))
    };
    let read = |raw: &RawValue| {
        let given: GivenState<'_> = serde_json::from_str(raw.get()).map_err(|error| malformed(&error))?;
        let content =
            Content::from_client(given.content.get(), version).map_err(|error| malformed(&error))?;
        Ok(InitialState { event_type: given.event_type, state_key: given.state_key, content })
    };
    request.initial_state.iter().map(|raw| read(raw.json())).collect()
}

fn alias(app: &App, localpart: Option<&str>) -> Result<Option<OwnedRoomAliasId>> {
    localpart
        .map(|localpart| grammar::new_room_alias(localpart, &app.settings.server_name))
        .transpose()
        .map_err(|error| Error::bad_request(ErrorKind::InvalidParam, format!("room_alias_name: {error}.")))
}

/// Everyone once, and not the caller, who is in the room anyway.
fn invites(invited: &[OwnedUserId], caller: &Caller) -> Vec<OwnedUserId> {
    let mut once = Vec::with_capacity(invited.len());
    for user in invited.iter().filter(|user| **user != caller.user_id) {
        if !once.contains(user) {
            once.push(user.clone());
        }
    }
    once
}
