//! The rooms of a sync response.

use hearth_core::client_event::ClientEvent;
use hearth_core::room_version::RoomVersion;
use hearth_core::sync_filter::EventFormat;
use hearth_core::token::PageToken;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::unread::{Count, Unread};

use super::ephemeral::ephemeral;
use super::{Request, StateSection, account_data};
use crate::rooms::client_view::{Form, client_event, redacted};
use crate::rooms::viewer::Viewer;
use crate::sync::SyncError;
use crate::sync::engine::{Changes, RoomChanges};
use crate::sync::json::Json;
use crate::sync::plan::Section;
use crate::sync::state::Summary;
use crate::sync::timeline::Told;

/// The sections, and their names.
const SECTIONS: [(Section, &str); 4] = [
    (Section::Join, "join"),
    (Section::Invite, "invite"),
    (Section::Knock, "knock"),
    (Section::Leave, "leave"),
];

/// Writes rooms for one reader.
pub(super) struct Encoder<'a> {
    pub(super) viewer: &'a Viewer,
    pub(super) request: &'a Request,
    pub(super) changes: &'a Changes,
    pub(super) now_ms: i64,
}

impl Encoder<'_> {
    /// Writes the `rooms` object.
    pub(super) fn rooms(&self, json: &mut Json) -> Result<(), SyncError> {
        json.object(|json| {
            for (section, name) in SECTIONS {
                let of_section = || self.changes.rooms.iter().filter(|room| room.plan.section == section);
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
                json.key("events")
                    .array(|json| room.state.iter().try_for_each(|event| self.state_event(json, room, event)))
            })?;
            json.key("timeline").object(|json| {
                json.key("events").array(|json| {
                    room.timeline.events.iter().try_for_each(|told| self.event(json, room, told))
                })?;
                json.key("limited").raw(if room.timeline.limited { "true" } else { "false" });
                json.key("prev_batch").string(&PageToken(room.timeline.start).to_string());
                Ok(())
            })?;
            if !room.account_data.is_empty() {
                json.key("account_data");
                account_data(json, &room.account_data)?;
            }
            if !room.ephemeral.is_empty() {
                json.key("ephemeral");
                ephemeral(json, &room.ephemeral)?;
            }
            if let Some(told) = &room.unread {
                unread(json, told, self.request.filter.room.timeline.unread_thread_notifications)?;
            }
            Ok(())
        })
    }

    /// Writes an event of a timeline.
    fn event(&self, json: &mut Json, room: &RoomChanges, told: &Told) -> Result<(), SyncError> {
        let version = room.room.version;
        let unsigned = self.changes.beside.unsigned(self.viewer, &told.seen, (version, self.now_ms))?;
        self.write(json, &told.seen.event, (told.shown.json(version)?, version), &unsigned)
    }

    /// Writes an event of a state.
    fn state_event(&self, json: &mut Json, room: &RoomChanges, event: &StoredEvent) -> Result<(), SyncError> {
        let version = room.room.version;
        let beside = &self.changes.beside_state;
        let unsigned = beside.unsigned_state(self.viewer, event, (version, self.now_ms))?;
        self.write(json, event, (&client_event(event, version, Form::InSync)?, version), &unsigned)
    }

    fn write(
        &self,
        json: &mut Json,
        event: &StoredEvent,
        (shown, version): (&ClientEvent, &RoomVersion),
        unsigned: &str,
    ) -> Result<(), SyncError> {
        let filter = &self.request.filter;
        if filter.event_format == EventFormat::Federation {
            let pdu = federation_format(event, version, unsigned)?;
            json.raw(filter.select(&pdu).as_deref().unwrap_or(&pdu));
        } else if filter.event_fields.is_some() {
            let whole = shown.with_unsigned(unsigned);
            json.raw(filter.select(&whole).as_deref().unwrap_or(&whole));
        } else {
            shown.append_to(json.value(), Some(unsigned));
        }
        Ok(())
    }
}

/// An event as servers exchange it, and what the reader is told beside it.
fn federation_format(
    event: &StoredEvent,
    version: &RoomVersion,
    unsigned: &str,
) -> Result<String, StoreError> {
    let json = if event.redacted_by.is_none() {
        event.pdu.json().clone()
    } else {
        redacted(event, version)?.json().clone()
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

/// Writes the unread counts of a room, those of threads by themselves where that is wanted.
fn unread(json: &mut Json, unread: &Unread, by_thread: bool) -> Result<(), SyncError> {
    json.key("unread_notifications");
    count(json, if by_thread { unread.main } else { unread.all() })?;
    if by_thread && !unread.threads.is_empty() {
        json.key("unread_thread_notifications").object(|json| {
            unread.threads.iter().try_for_each(|(thread, of_thread)| {
                json.key(thread);
                count(json, *of_thread)
            })
        })?;
    }
    Ok(())
}

fn count(json: &mut Json, count: Count) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("highlight_count").raw(&count.highlights.to_string());
        json.key("notification_count").raw(&count.notifications.to_string());
        Ok(())
    })
}
