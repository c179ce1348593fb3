//! Events as a viewer reads them: redacted where they are, and with the `unsigned` that is theirs alone.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::client_event::ClientEvent;
use hearth_core::id::EventNid;
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
#[derive(Debug, Default)]
pub struct Beside {
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
        let beside = self.beside(&seen.iter().collect::<Vec<_>>()).await?;
        seen.iter()
            .map(|seen| encode(&seen.event, version, form, &beside.unsigned(viewer, seen, (version, now))?))
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
        let beside = self.beside_state(&events.iter().map(Arc::as_ref).collect::<Vec<_>>()).await?;
        events
            .iter()
            .map(|event| encode(event, version, form, &beside.unsigned_state(viewer, event, (version, now))?))
            .collect()
    }

    /// What is told beside events of timelines, of any rooms.
    ///
    /// Makes as many statements as the deepest state tree has levels, and one for the events referred to; none
    /// where they are in memory.
    pub async fn beside(&self, seen: &[&Seen]) -> Result<Beside, StoreError> {
        let (mut nids, mut pairs, mut referred) = (Vec::new(), Vec::new(), Vec::new());
        for Seen { event, .. } in seen {
            if let (Some(root), Some(key)) = (event.root_before, event.state_key) {
                nids.push(event.nid);
                pairs.push((root, key));
            }
            referred.extend(event.redacted_by);
        }
        let stood = self.states.get_pairs(&pairs).await?;
        referred.extend(stood.iter().flatten());
        let events = self.by_nid(referred).await?;
        let previous = nids
            .into_iter()
            .zip(stood)
            .filter_map(|(nid, previous)| Some((nid, Arc::clone(events.get(&previous?)?))));
        Ok(Beside { previous: previous.collect(), redactions: events })
    }

    /// What is told beside events of states, of any rooms. Makes at most one statement.
    pub async fn beside_state(&self, events: &[&StoredEvent]) -> Result<Beside, StoreError> {
        let redactions: Vec<EventNid> = events.iter().filter_map(|event| event.redacted_by).collect();
        Ok(Beside { redactions: self.by_nid(redactions).await?, ..Beside::default() })
    }

    /// The content of an event as it may be read: redacted where the event is.
    pub async fn content(&self, event: &StoredEvent) -> Result<Box<RawValue>, StoreError> {
        if event.redacted_by.is_none() {
            return Ok(event.pdu.content().to_owned());
        }
        Ok(redacted(event, self.version_of(event).await?)?.content().to_owned())
    }

    pub(super) async fn version_of(&self, event: &StoredEvent) -> Result<&'static RoomVersion, StoreError> {
        let room = self.room(event.pdu.room_id()).await?;
        room.map(|room| room.version).ok_or_else(|| StoreError::corrupt("room", event.room))
    }

    async fn by_nid(&self, nids: Vec<EventNid>) -> Result<HashMap<EventNid, Arc<StoredEvent>>, StoreError> {
        let events = self.events.get_many(&nids).await?;
        Ok(events.into_iter().map(|event| (event.nid, event)).collect())
    }
}

impl Beside {
    /// The `unsigned` of an event in a timeline, as JSON. `now` is in milliseconds since the epoch.
    pub fn unsigned(
        &self,
        viewer: &Viewer,
        seen: &Seen,
        (version, now): (&RoomVersion, i64),
    ) -> Result<String, StoreError> {
        let unsigned = Unsigned {
            membership: Some(seen.membership.name()),
            replaces_state: self.previous.get(&seen.event.nid).map(|event| &**event.pdu.event_id()),
            prev_content: self.prev_content(seen, version)?,
            ..unsigned(viewer, &seen.event, self, (version, now))?
        };
        json(&seen.event, &unsigned)
    }

    /// The `unsigned` of an event in a state, as JSON. `now` is in milliseconds since the epoch.
    pub fn unsigned_state(
        &self,
        viewer: &Viewer,
        event: &StoredEvent,
        (version, now): (&RoomVersion, i64),
    ) -> Result<String, StoreError> {
        json(event, &unsigned(viewer, event, self, (version, now))?)
    }

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
    beside: &Beside,
    (version, now): (&RoomVersion, i64),
) -> Result<Unsigned<'a>, StoreError> {
    let redaction = event.redacted_by.and_then(|nid| beside.redactions.get(&nid));
    let redacted_because = match redaction {
        None => None,
        Some(redaction) => {
            let unsigned = Unsigned { age: age(redaction, now), ..Unsigned::default() };
            Some(encode(redaction, version, Form::Full, &json(redaction, &unsigned)?)?)
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

fn json(event: &StoredEvent, unsigned: &Unsigned<'_>) -> Result<String, StoreError> {
    serde_json::to_string(unsigned).map_err(|_| StoreError::corrupt("event", event.nid))
}

fn encode(
    event: &StoredEvent,
    version: &RoomVersion,
    form: Form,
    unsigned: &str,
) -> Result<Box<RawValue>, StoreError> {
    let json = client_event(event, version, form)?.with_unsigned(unsigned);
    RawValue::from_string(json).map_err(|_| StoreError::corrupt("event", event.nid))
}

/// An event as every client reads it, redacted where it is.
pub fn client_event(
    event: &StoredEvent,
    version: &RoomVersion,
    form: Form,
) -> Result<ClientEvent, StoreError> {
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
    client_event.map_err(|_| StoreError::corrupt("event", event.nid))
}

/// What is left of a redacted event.
pub fn redacted(event: &StoredEvent, version: &RoomVersion) -> Result<Pdu, StoreError> {
    event.pdu.redacted(version).map_err(|_| StoreError::corrupt("event", event.nid))
}
