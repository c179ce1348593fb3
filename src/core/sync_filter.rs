//! Filters: which events a client wants to be told of, and which parts of them.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    canonical_json::{self, Allow, JsonError},
    pdu::Slices,
};

mod fields;
mod wildcard;

pub use fields::FieldPath;

/// The most entries of one list of a filter. Each costs a comparison for each event.
pub const MAX_ENTRIES: usize = 2_000;

/// Why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is no JSON that this server takes.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is JSON of another shape.
    #[error("the filter is malformed: {0}")]
    Shape(String),
    /// One of its lists is too long.
    #[error("a list in the filter has more than {MAX_ENTRIES} entries")]
    TooLong,
}

/// In which form events are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventFormat {
    /// As clients read them.
    #[default]
    Client,
    /// As servers exchange them.
    Federation,
}

/// A whole filter, as uploaded or given inline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FilterDefinition {
    /// The parts of events that are wanted; all, if absent.
    pub event_fields: Option<Vec<FieldPath>>,
    /// The form of events.
    pub event_format: EventFormat,
    /// For presence.
    pub presence: EventFilter,
    /// For account data outside rooms.
    pub account_data: EventFilter,
    /// For what happens in rooms.
    pub room: RoomFilter,
}

/// The part of a filter about rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoomFilter {
    /// The rooms wanted; all, if absent.
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// The rooms not wanted, even if they are among those wanted.
    pub not_rooms: Vec<OwnedRoomId>,
    /// Whether rooms that were left are wanted.
    pub include_leave: bool,
    /// For account data of rooms.
    pub account_data: EventFilter,
    /// For receipts and typing.
    pub ephemeral: EventFilter,
    /// For state.
    pub state: EventFilter,
    /// For the timeline.
    pub timeline: EventFilter,
}

/// Which events are wanted. An absent list means all, an empty one none, and what is not wanted is not
/// wanted even where it is wanted too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// How many at most.
    pub limit: Option<u32>,
    /// Types wanted; `*` stands for anything.
    pub types: Option<Vec<String>>,
    /// Types not wanted; `*` stands for anything.
    pub not_types: Vec<String>,
    /// Senders wanted.
    pub senders: Option<Vec<OwnedUserId>>,
    /// Senders not wanted.
    pub not_senders: Vec<OwnedUserId>,
    /// Rooms wanted.
    pub rooms: Option<Vec<OwnedRoomId>>,
    /// Rooms not wanted.
    pub not_rooms: Vec<OwnedRoomId>,
    /// Only events with, or only events without, a `url` in their content.
    pub contains_url: Option<bool>,
    /// Only events that others relate to in one of these ways.
    pub related_by_rel_types: Option<Vec<String>>,
    /// Only events that one of these users relates to.
    pub related_by_senders: Option<Vec<OwnedUserId>>,
    /// Membership events only of those who sent something.
    pub lazy_load_members: bool,
    /// Of those also the membership events sent before.
    pub include_redundant_members: bool,
    /// Counts of unread notifications per thread.
    pub unread_thread_notifications: bool,
}

/// What a filter looks at in an event.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its type.
    pub event_type: &'a str,
    /// Who sent it, for what has a sender.
    pub sender: Option<&'a UserId>,
    /// Its room, for what is in a room.
    pub room_id: Option<&'a RoomId>,
    /// Its content, for filters that ask for a `url` there.
    pub content: Option<&'a RawValue>,
}

impl FilterDefinition {
    /// Reads a filter of a client.
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, FilterError> {
        let canonical = canonical_json::canonicalise(json, Allow::NOTHING)?;
        let filter = Slices::parse(&canonical).map_err(|error| FilterError::Shape(error.to_string()))?;
        let room = part(&filter, "room")?;
        part(&filter, "presence")?;
        part(&filter, "account_data")?;
        for of_room in ["account_data", "ephemeral", "state", "timeline"] {
            part(&room, of_room)?;
        }
        let filter: Self =
            serde_json::from_str(&canonical).map_err(|error| FilterError::Shape(error.to_string()))?;
        filter.check_lengths()?;
        Ok(filter)
    }

    /// Keeps of a client event what the filter wants of it; `None` where it wants all.
    #[must_use]
    pub fn select(&self, event: &str) -> Option<String> {
        self.event_fields.as_ref().map(|paths| fields::select(event, paths))
    }

    fn check_lengths(&self) -> Result<(), FilterError> {
        let Self { event_fields, presence, account_data, room, .. } = self;
        check_length(event_fields.as_deref().unwrap_or_default())?;
        check_length(room.rooms.as_deref().unwrap_or_default())?;
        check_length(&room.not_rooms)?;
        [presence, account_data, &room.account_data, &room.ephemeral, &room.state, &room.timeline]
            .into_iter()
            .try_for_each(EventFilter::check_lengths)
    }
}

impl RoomFilter {
    /// Whether anything of a room is wanted.
    #[must_use]
    pub fn wants_room(&self, room: &RoomId) -> bool {
        wanted(room, self.rooms.as_deref(), &self.not_rooms)
    }
}

impl EventFilter {
    /// Reads the filter of `/messages`, `/context` and `/search`.
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, FilterError> {
        let canonical = canonical_json::canonicalise(json, Allow::NOTHING)?;
        let filter: Self =
            serde_json::from_str(&canonical).map_err(|error| FilterError::Shape(error.to_string()))?;
        filter.check_lengths()?;
        Ok(filter)
    }

    /// Whether an event is wanted, leaving aside what relates to it.
    #[must_use]
    pub fn matches(&self, event: Candidate<'_>) -> bool {
        self.wants_type(event.event_type)
            && event.sender.is_none_or(|sender| wanted(sender, self.senders.as_deref(), &self.not_senders))
            && event.room_id.is_none_or(|room| self.wants_room(room))
            && self.contains_url.is_none_or(|url| url == event.content.is_some_and(has_url))
    }

    /// Whether events of a type can be wanted at all.
    #[must_use]
    pub fn wants_type(&self, event_type: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|p| wildcard::matches(p, event_type));
        self.types.as_deref().is_none_or(listed) && !listed(&self.not_types)
    }

    /// Whether events of a room can be wanted at all.
    #[must_use]
    pub fn wants_room(&self, room: &RoomId) -> bool {
        wanted(room, self.rooms.as_deref(), &self.not_rooms)
    }

    /// Whether nothing can match, so that nothing needs to be looked at.
    #[must_use]
    pub fn wants_nothing(&self) -> bool {
        let none = |empty: Option<bool>| empty.unwrap_or(false);
        self.limit == Some(0)
            || none(self.types.as_ref().map(Vec::is_empty))
            || none(self.senders.as_ref().map(Vec::is_empty))
            || none(self.rooms.as_ref().map(Vec::is_empty))
    }

    /// Whether what relates to an event matters, so that [`Self::relations_match`] must be asked too.
    #[must_use]
    pub fn asks_for_relations(&self) -> bool {
        self.related_by_rel_types.is_some() || self.related_by_senders.is_some()
    }

    /// Whether an event is wanted by what relates to it: pairs of a relation's type and its sender.
    pub fn relations_match<'a>(&self, relations: impl IntoIterator<Item = (&'a str, &'a UserId)>) -> bool {
        !self.asks_for_relations()
            || relations.into_iter().any(|(rel_type, sender)| {
                self.related_by_rel_types.as_ref().is_none_or(|types| types.iter().any(|t| t == rel_type))
                    && self
                        .related_by_senders
                        .as_ref()
                        .is_none_or(|senders| senders.iter().any(|s| s == sender))
            })
    }

    fn check_lengths(&self) -> Result<(), FilterError> {
        check_length(self.types.as_deref().unwrap_or_default())?;
        check_length(&self.not_types)?;
        check_length(self.senders.as_deref().unwrap_or_default())?;
        check_length(&self.not_senders)?;
        check_length(self.rooms.as_deref().unwrap_or_default())?;
        check_length(&self.not_rooms)?;
        check_length(self.related_by_rel_types.as_deref().unwrap_or_default())?;
        check_length(self.related_by_senders.as_deref().unwrap_or_default())
    }
}

/// Among the wanted, if such are named, and not among the unwanted.
fn wanted<Owned: std::borrow::Borrow<Id>, Id: ?Sized + PartialEq>(
    id: &Id,
    only: Option<&[Owned]>,
    not: &[Owned],
) -> bool {
    let listed = |ids: &[Owned]| ids.iter().any(|listed| listed.borrow() == id);
    only.is_none_or(listed) && !listed(not)
}

/// Whether content has a `url`, which is a string.
fn has_url(content: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Content<'a> {
        #[serde(borrow)]
        url: Option<&'a RawValue>,
    }
    // Content that is no object has no `url`.
    serde_json::from_str::<Content<'_>>(content.get())
        .is_ok_and(|content| content.url.is_some_and(|url| url.get().starts_with('"')))
}

/// A part of a filter, which must be an object if it is there: read by itself, a list would pass for one.
fn part<'a>(filter: &Slices<'a>, name: &str) -> Result<Slices<'a>, FilterError> {
    let json = filter.get(name).unwrap_or("{}");
    if !json.starts_with('{') {
        return Err(FilterError::Shape(format!("{name} is not an object")));
    }
    Slices::parse(json).map_err(|error| FilterError::Shape(error.to_string()))
}

fn check_length<T>(list: &[T]) -> Result<(), FilterError> {
    if list.len() > MAX_ENTRIES { Err(FilterError::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
