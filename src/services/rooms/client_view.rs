//! Events as a viewer reads them: redacted where they are, and with the `unsigned` that is theirs alone.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::client_event::ClientEvent;
use hearth_core::id::{EventNid, Root, StateKeyNid};
use hearth_core::pdu::Pdu;
use hearth_core::room_version::RoomVersion;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use ruma::EventId;
use serde::Serialize;
use serde_json::value::RawValue;

use super::RoomReader;
use super::viewer::Viewer;
use super::visible::Seen;

/// Which of a client's forms an event is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With the id of its room.
    Full,
    /// Inside a sync, which names the room around it.
    InSync,
}

/// What a viewer reads beside an event.
#[derive(Debug, Default, Serialize)]
struct Unsigned<'a> {
    age: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_content: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_because: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces_state: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
}

/// The events that others refer to, read together.
#[derive(Default)]
struct Context {
    /// What a state event took the place of, by the state event.
    previous: HashMap<EventNid, Arc<StoredEvent>>,
    /// Redactions in effect.
    redactions: HashMap<EventNid, Arc<StoredEvent>>,
}

impl RoomReader {
    /// Events of one room's timeline as `viewer` reads them at `now` (milliseconds since the epoch), in their
    /// order.
    ///
    /// Makes as many statements as the deepest state tree has levels, and one for the events referred to; none
    /// where they are in memory.
    pub async fn encode(
        &self,
        viewer: &Viewer,
        seen: &[Seen],
        (form, now): (Form, i64),
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let Some(first) = seen.first() else { return Ok(Vec::new()) };
        let version = self.version_of(&first.event).await?;
        let context = self.context(seen).await?;
        seen.iter()
            .map(|seen| {
                let unsigned = Unsigned {
                    membership: Some(seen.membership.name()),
                    replaces_state: context
                        .previous
                        .get(&seen.event.nid)
                        .map(|event| &**event.pdu.event_id()),
                    prev_content: context.prev_content(seen, version)?,
                    ..unsigned(viewer, &seen.event, &context, (version, now))?
                };
                encode(&seen.event, version, form, &unsigned)
            })
            .collect()
    }

    /// Events of one room's state as `viewer` reads them: without what only an event of the timeline is told
    /// with, the viewer's membership at it and what it took the place of. Makes at most one statement.
    pub async fn encode_state(
        &self,
        viewer: &Viewer,
        events: &[Arc<StoredEvent>],
        (form, now): (Form, i64),
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let Some(first) = events.first() else { return Ok(Vec::new()) };
        let version = self.version_of(first).await?;
        let redactions = events.iter().filter_map(|event| event.redacted_by).collect();
        let context = Context { redactions: self.by_nid(redactions).await?, ..Context::default() };
        events
            .iter()
            .map(|event| encode(event, version, form, &unsigned(viewer, event, &context, (version, now))?))
            .collect()
    }

    /// The content of an event as it may be read: redacted where the event is.
    pub async fn content(&self, event: &StoredEvent) -> Result<Box<RawValue>, StoreError> {
        if event.redacted_by.is_none() {
            return Ok(event.pdu.content().to_owned());
        }
        Ok(redacted(event, self.version_of(event).await?)?.content().to_owned())
    }

    async fn version_of(&self, event: &StoredEvent) -> Result<&'static RoomVersion, StoreError> {
        let room = self.room(event.pdu.room_id()).await?;
        room.map(|room| room.version).ok_or_else(|| StoreError::corrupt("room", event.room))
    }

    async fn context(&self, seen: &[Seen]) -> Result<Context, StoreError> {
        let state_events: Vec<(EventNid, Root, StateKeyNid)> = seen
            .iter()
            .filter_map(|Seen { event, .. }| Some((event.nid, event.root_before?, event.state_key?)))
            .collect();
        let pairs: Vec<(Root, StateKeyNid)> =
            state_events.iter().map(|(_, root, key)| (*root, *key)).collect();
        let stood = self.states.get_pairs(&pairs).await?;
        let redactions = seen.iter().filter_map(|seen| seen.event.redacted_by);
        let events = self.by_nid(stood.iter().flatten().copied().chain(redactions).collect()).await?;
        let previous = state_events
            .iter()
            .zip(stood)
            .filter_map(|((nid, ..), previous)| Some((*nid, Arc::clone(events.get(&previous?)?))));
        Ok(Context { previous: previous.collect(), redactions: events })
    }

    async fn by_nid(&self, nids: Vec<EventNid>) -> Result<HashMap<EventNid, Arc<StoredEvent>>, StoreError> {
        let events = self.events.get_many(&nids).await?;
        Ok(events.into_iter().map(|event| (event.nid, event)).collect())
    }
}

impl Context {
    /// The content that a state event took the place of, for a viewer who may see it.
    fn prev_content(&self, seen: &Seen, version: &RoomVersion) -> Result<Option<Box<RawValue>>, StoreError> {
        let Some(previous) = self.previous.get(&seen.event.nid).filter(|_| seen.shows_previous) else {
            return Ok(None);
        };
        if previous.redacted_by.is_none() {
            return Ok(Some(previous.pdu.content().to_owned()));
        }
        Ok(Some(redacted(previous, version)?.content().to_owned()))
    }
}

/// What does not depend on the event being in the timeline.
fn unsigned<'a>(
    viewer: &Viewer,
    event: &'a StoredEvent,
    context: &Context,
    (version, now): (&RoomVersion, i64),
) -> Result<Unsigned<'a>, StoreError> {
    let redaction = event.redacted_by.and_then(|nid| context.redactions.get(&nid));
    let redacted_because = match redaction {
        None => None,
        Some(redaction) => {
            let unsigned = Unsigned { age: age(redaction, now), ..Unsigned::default() };
            Some(encode(redaction, version, Form::Full, &unsigned)?)
        }
    };
    let sent_by = event
        .sent_by
        .as_ref()
        .filter(|sent_by| viewer.user == event.sender && viewer.device.as_ref() == Some(&sent_by.device_id));
    Ok(Unsigned {
        age: age(event, now),
        redacted_because,
        transaction_id: sent_by.map(|sent_by| sent_by.txn_id.as_str()),
        ..Unsigned::default()
    })
}

/// How old an event is by its sender's clock; one from the future is new.
fn age(event: &StoredEvent, now: i64) -> i64 {
    now.saturating_sub(event.pdu.origin_server_ts().get().into()).max(0)
}

fn encode(
    event: &StoredEvent,
    version: &RoomVersion,
    form: Form,
    unsigned: &Unsigned<'_>,
) -> Result<Box<RawValue>, StoreError> {
    let corrupt = || StoreError::corrupt("event", event.nid);
    let held;
    let pdu = if event.redacted_by.is_some() {
        held = redacted(event, version)?;
        &held
    } else {
        &*event.pdu
    };
    let client_event = match form {
        Form::Full => ClientEvent::full(pdu),
        Form::InSync => ClientEvent::in_sync(pdu),
    };
    let unsigned = serde_json::to_string(unsigned).map_err(|_| corrupt())?;
    let json = client_event.map_err(|_| corrupt())?.with_unsigned(&unsigned);
    RawValue::from_string(json).map_err(|_| corrupt())
}

fn redacted(event: &StoredEvent, version: &RoomVersion) -> Result<Pdu, StoreError> {
    event.pdu.redacted(version).map_err(|_| StoreError::corrupt("event", event.nid))
}
