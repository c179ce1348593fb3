//! The two forms of a request.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, UserId};
use serde::Deserialize;

use super::required_state::{MEMBER, Pattern, Rule, Wanted};
use super::{
    Extension, Extensions, Filters, Form, List, MAX_ELEMENTS, MAX_LISTS, MAX_NAME, MAX_RANGES, MAX_TIMELINE,
    Request, RequestError, RoomView, Stable,
};

/// Stands for the user in a state key.
const ME: &str = "$ME";

#[derive(Deserialize)]
#[serde(default)]
struct Body<List, View> {
    conn_id: Option<String>,
    pos: Option<String>,
    timeout: Option<u64>,
    set_presence: Option<String>,
    lists: Option<BTreeMap<String, List>>,
    room_subscriptions: Option<BTreeMap<OwnedRoomId, View>>,
    extensions: Option<ExtensionsBody>,
}

impl<List, View> Default for Body<List, View> {
    fn default() -> Self {
        Self {
            conn_id: None,
            pos: None,
            timeout: None,
            set_presence: None,
            lists: None,
            room_subscriptions: None,
            extensions: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExtensionsBody {
    account_data: Option<ExtensionBody>,
    receipts: Option<ExtensionBody>,
    typing: Option<ExtensionBody>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExtensionBody {
    enabled: Option<bool>,
    lists: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct StableList {
    range: Option<(usize, usize)>,
    filters: Option<FiltersBody>,
    #[serde(flatten)]
    view: StableView,
}

#[derive(Deserialize)]
struct StableView {
    timeline_limit: usize,
    #[serde(default)]
    required_state: StableState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StableState {
    include: Vec<Element>,
    exclude: Vec<Element>,
    lazy_members: bool,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type")]
    event_type: Option<String>,
    state_key: Option<String>,
}

#[derive(Deserialize)]
struct UnstableList {
    #[serde(default)]
    ranges: Vec<(usize, usize)>,
    filters: Option<FiltersBody>,
    #[serde(flatten)]
    view: UnstableView,
}

#[derive(Deserialize)]
struct UnstableView {
    #[serde(default)]
    timeline_limit: usize,
    #[serde(default)]
    required_state: Vec<(String, String)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FiltersBody {
    is_dm: Option<bool>,
    is_encrypted: Option<bool>,
    #[serde(alias = "is_invite")]
    is_invited: Option<bool>,
    spaces: Option<Vec<OwnedRoomId>>,
    room_types: Option<Vec<Option<String>>>,
    not_room_types: Option<Vec<Option<String>>>,
    tags: Option<Vec<String>>,
    not_tags: Option<Vec<String>>,
}

/// A list or view as one of the forms has it.
trait Wire<T> {
    fn read(self, user: &UserId) -> Result<T, RequestError>;
}

pub(super) fn parse(body: &str, form: Form, user: &UserId) -> Result<Request, RequestError> {
    match form {
        Form::Stable => read::<StableList, StableView>(body, user),
        Form::Unstable => {
            let request = read::<UnstableList, UnstableView>(body, user)?;
            // They are in the query.
            Ok(Request { stable: Stable::default(), ..request })
        }
    }
}

fn read<'a, L, V>(body: &'a str, user: &UserId) -> Result<Request, RequestError>
where
    L: Wire<List> + Deserialize<'a>,
    V: Wire<RoomView> + Deserialize<'a>,
{
    // An array would be read as the fields in their order.
    if !body.trim_start().starts_with('{') {
        return Err(RequestError::Shape("it is no object".to_owned()));
    }
    let body: Body<L, V> =
        serde_json::from_str(body).map_err(|error| RequestError::Shape(error.to_string()))?;
    let (lists, subscriptions) =
        (body.lists.unwrap_or_default(), body.room_subscriptions.unwrap_or_default());
    at_most(lists.len(), MAX_LISTS, "lists")?;
    at_most(subscriptions.len(), MAX_LISTS, "room subscriptions")?;
    let conn_id = body.conn_id.unwrap_or_default();
    not_too_long(&conn_id, "conn_id")?;
    let mut read = Request {
        conn_id,
        extensions: extensions(body.extensions.unwrap_or_default())?,
        stable: Stable { pos: body.pos, timeout: body.timeout, set_presence: body.set_presence },
        ..Request::default()
    };
    for (name, list) in lists {
        not_too_long(&name, "the name of a list")?;
        read.lists.insert(name, list.read(user)?);
    }
    for (room, view) in subscriptions {
        read.subscriptions.insert(room, view.read(user)?);
    }
    Ok(read)
}

impl Wire<List> for StableList {
    fn read(self, user: &UserId) -> Result<List, RequestError> {
        list(self.range.into_iter().collect(), self.filters, self.view.read(user)?)
    }
}

impl Wire<List> for UnstableList {
    fn read(self, user: &UserId) -> Result<List, RequestError> {
        list(self.ranges, self.filters, self.view.read(user)?)
    }
}

fn list(
    ranges: Vec<(usize, usize)>,
    filters: Option<FiltersBody>,
    view: RoomView,
) -> Result<List, RequestError> {
    at_most(ranges.len(), MAX_RANGES, "ranges")?;
    if ranges.iter().any(|(from, to)| from > to) {
        return Err(RequestError::Backwards);
    }
    Ok(List { ranges, view, filters: read_filters(filters.unwrap_or_default())? })
}

impl Wire<RoomView> for StableView {
    fn read(self, user: &UserId) -> Result<RoomView, RequestError> {
        let StableState { include, exclude, lazy_members } = self.required_state;
        at_most(include.len() + exclude.len(), MAX_ELEMENTS, "elements of required_state")?;
        let pattern = |one: Element| Pattern {
            event_type: one.event_type,
            state_key: one.state_key.map(|key| key_of(key, user)),
            but_members: false,
        };
        let include = include.into_iter().map(pattern).collect();
        let exclude = exclude.into_iter().map(pattern).collect();
        view(self.timeline_limit, Rule { include, exclude, lazy_members })
    }
}

impl Wire<RoomView> for UnstableView {
    fn read(self, user: &UserId) -> Result<RoomView, RequestError> {
        at_most(self.required_state.len(), MAX_ELEMENTS, "elements of required_state")?;
        let is_lazy = |(event_type, key): &(String, String)| event_type == MEMBER && key == "$LAZY";
        let lazy_members = self.required_state.iter().any(is_lazy);
        let pattern = |(event_type, key): (String, String)| Pattern {
            // > `["*", "*"]` together with `["m.room.member", "$LAZY"]` is all state but members, and these lazily.
            but_members: lazy_members && event_type == "*",
            event_type: Some(event_type).filter(|event_type| event_type != "*"),
            state_key: Some(key).filter(|key| key != "*").map(|key| key_of(key, user)),
        };
        let elements = self.required_state.into_iter().filter(|one| !is_lazy(one));
        let include = elements.map(pattern).collect();
        view(self.timeline_limit, Rule { include, exclude: Vec::new(), lazy_members })
    }
}

fn key_of(key: String, user: &UserId) -> String {
    if key == ME { user.to_string() } else { key }
}

fn view(timeline_limit: usize, mut rule: Rule) -> Result<RoomView, RequestError> {
    for patterns in [&mut rule.include, &mut rule.exclude] {
        for one in &*patterns {
            not_too_long(one.event_type.as_deref().unwrap_or_default(), "an event type")?;
            not_too_long(one.state_key.as_deref().unwrap_or_default(), "a state key")?;
        }
        patterns.sort_unstable();
        patterns.dedup();
    }
    Ok(RoomView { timeline_limit: timeline_limit.min(MAX_TIMELINE), wanted: Wanted::of(rule) })
}

fn read_filters(body: FiltersBody) -> Result<Filters, RequestError> {
    fn bounded<T>(list: Option<Vec<T>>) -> Result<Option<Vec<T>>, RequestError> {
        at_most(list.as_ref().map_or(0, Vec::len), MAX_ELEMENTS, "elements of a filter")?;
        Ok(list)
    }
    Ok(Filters {
        is_dm: body.is_dm,
        is_encrypted: body.is_encrypted,
        is_invited: body.is_invited,
        spaces: bounded(body.spaces)?,
        room_types: bounded(body.room_types)?,
        not_room_types: bounded(body.not_room_types)?,
        tags: bounded(body.tags)?,
        not_tags: bounded(body.not_tags)?,
    })
}

fn extensions(body: ExtensionsBody) -> Result<Extensions, RequestError> {
    Ok(Extensions {
        account_data: extension(body.account_data)?,
        receipts: extension(body.receipts)?,
        typing: extension(body.typing)?,
    })
}

fn extension(body: Option<ExtensionBody>) -> Result<Option<Extension>, RequestError> {
    let Some(body) = body.filter(|body| body.enabled == Some(true)) else { return Ok(None) };
    for named in [&body.lists, &body.rooms].into_iter().flatten() {
        at_most(named.len(), MAX_LISTS, "lists or rooms of an extension")?;
    }
    Ok(Some(Extension { lists: body.lists, rooms: body.rooms }))
}

const fn at_most(count: usize, most: usize, what: &'static str) -> Result<(), RequestError> {
    if count > most { Err(RequestError::TooMany { what, most }) } else { Ok(()) }
}

const fn not_too_long(name: &str, what: &'static str) -> Result<(), RequestError> {
    if name.len() > MAX_NAME { Err(RequestError::TooLong(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
