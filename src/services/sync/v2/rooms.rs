//! The rooms of a sync response.

use hearth_core::sync_filter::EventFormat;
use hearth_core::token::PageToken;
use hearth_store::StoreError;

use super::json::Json;
use super::{Request, StateSection, account_data};
use crate::sync::SyncError;
use crate::sync::engine::{Reader, RoomChanges};
use crate::sync::plan::Section;
use crate::sync::state::Summary;
use crate::sync::timeline::Seen;
use crate::sync::unsigned::unsigned;

/// The sections, and their names.
const SECTIONS: [(Section, &str); 4] = [
    (Section::Join, "join"),
    (Section::Invite, "invite"),
    (Section::Knock, "knock"),
    (Section::Leave, "leave"),
];

/// Writes rooms for one reader.
pub(super) struct Encoder<'a> {
    pub(super) reader: &'a Reader,
    pub(super) request: &'a Request,
    pub(super) now_ms: i64,
}

impl Encoder<'_> {
    /// Writes the `rooms` object.
    pub(super) fn rooms(&self, json: &mut Json, rooms: &[RoomChanges]) -> Result<(), SyncError> {
        json.object(|json| {
            for (section, name) in SECTIONS {
                let of_section = || rooms.iter().filter(|room| room.plan.section == section);
                if of_section().next().is_none() {
                    continue;
                }
                json.key(name).object(|json| {
                    for room in of_section() {
                        json.key(room.room.id.as_str());
                        self.room(json, room)?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    fn room(&self, json: &mut Json, room: &RoomChanges) -> Result<(), SyncError> {
        match room.plan.section {
            Section::Join | Section::Leave => self.entered(json, room),
            Section::Invite => stripped(json, "invite_state", room),
            Section::Knock => stripped(json, "knock_state", room),
        }
    }

    /// Writes a room that the reader is or was in.
    fn entered(&self, json: &mut Json, room: &RoomChanges) -> Result<(), SyncError> {
        json.object(|json| {
            if let Some(told) = &room.summary {
                json.key("summary");
                summary(json, told)?;
            }
            json.key(match self.request.state {
                StateSection::Before => "state",
                StateSection::After => "state_after",
                StateSection::UnstableAfter => "org.matrix.msc4222.state_after",
            });
            json.object(|json| {
                json.key("events");
                self.events(json, room, &room.state)
            })?;
            json.key("timeline").object(|json| {
                json.key("events");
                self.events(json, room, &room.timeline.events)?;
                json.key("limited").raw(if room.timeline.limited { "true" } else { "false" });
                json.key("prev_batch").string(&PageToken(room.timeline.start).to_string());
                Ok(())
            })?;
            if !room.account_data.is_empty() {
                json.key("account_data");
                account_data(json, &room.account_data)?;
            }
            Ok(())
        })
    }

    fn events(&self, json: &mut Json, room: &RoomChanges, events: &[Seen]) -> Result<(), SyncError> {
        json.array(|json| events.iter().try_for_each(|seen| self.event(json, room, seen)))
    }

    fn event(&self, json: &mut Json, room: &RoomChanges, seen: &Seen) -> Result<(), SyncError> {
        let unsigned = unsigned(seen, self.reader, room.room.version, self.now_ms)?;
        let filter = &self.request.filter;
        if filter.event_format == EventFormat::Federation {
            let pdu = federation_format(seen, room, &unsigned)?;
            json.raw(filter.select(&pdu).as_deref().unwrap_or(&pdu));
            return Ok(());
        }
        let event = seen.shown.json(room.room.version)?;
        if filter.event_fields.is_some() {
            let whole = event.with_unsigned(&unsigned);
            json.raw(filter.select(&whole).as_deref().unwrap_or(&whole));
        } else {
            event.append_to(json.value(), Some(&unsigned));
        }
        Ok(())
    }
}

/// An event as servers exchange it, and what the reader is told beside it.
fn federation_format(seen: &Seen, room: &RoomChanges, unsigned: &str) -> Result<String, SyncError> {
    let event = &seen.shown.event;
    let json = if event.redacted_by.is_none() {
        event.pdu.json().clone()
    } else {
        let redacted = event.pdu.redacted(room.room.version);
        redacted.map_err(|_| StoreError::corrupt("event", event.nid))?.json().clone()
    };
    let open = json.strip_suffix('}').unwrap_or(&json);
    Ok(format!("{open},\"unsigned\":{unsigned}}}"))
}

fn stripped(json: &mut Json, name: &str, room: &RoomChanges) -> Result<(), SyncError> {
    json.object(|json| {
        json.key(name).object(|json| {
            json.key("events").array(|json| {
                for event in &room.stripped {
                    json.raw(event);
                }
                Ok(())
            })
        })
    })
}

fn summary(json: &mut Json, summary: &Summary) -> Result<(), SyncError> {
    json.object(|json| {
        if let Some(heroes) = &summary.heroes {
            json.key("m.heroes").array(|json| {
                for hero in heroes {
                    json.string(hero.as_str());
                }
                Ok(())
            })?;
        }
        json.key("m.joined_member_count").raw(&summary.joined.to_string());
        json.key("m.invited_member_count").raw(&summary.invited.to_string());
        Ok(())
    })
}
