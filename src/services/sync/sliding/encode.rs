//! Responses as JSON, in both forms.

use hearth_core::client_event::ClientEvent;
use hearth_core::sliding_sync::Form;
use hearth_core::token::{PageToken, SlidingToken};
use serde_json::{Value, json};

use super::Request;
use super::answer::{Answer, RoomTold, ToldAs};
use super::face::{Face, Hero, Text};
use super::windows::Window;
use crate::clock;
use crate::ephemeral::receipts::Receipt;
use crate::rooms::client_view::{self, client_event};
use crate::rooms::viewer::Viewer;
use crate::sync::SyncError;
use crate::sync::json::Json;
use crate::sync::pieces;
use crate::sync::plan::Section;
use crate::sync::timeline::Told;

/// About what a room adds to a response.
const ROOM_BYTES: usize = 4096;

/// Writes the response that tells of changes.
pub(super) fn encode(
    answer: &Answer,
    viewer: &Viewer,
    request: &Request,
    pos: SlidingToken,
) -> Result<String, SyncError> {
    let form = request.form;
    let encoder = Encoder { answer, viewer, form, now_ms: clock::now_ms() };
    let is_empty = answer.is_empty(form);
    let mut json = Json::with_capacity(256 + answer.rooms.len() * ROOM_BYTES);
    json.object(|json| {
        json.key("pos").string(&pos.to_string());
        if !(answer.lists.is_empty() || (is_empty && form == Form::Stable && request.pos.is_some())) {
            json.key("lists");
            encoder.lists(json)?;
        }
        let mut told = answer.rooms.iter().filter(|room| room.is_told(form)).peekable();
        if told.peek().is_some() {
            json.key("rooms").object(|json| {
                told.try_for_each(|room| {
                    json.key(room.changes.room.id.as_str());
                    encoder.room(json, room)
                })
            })?;
        } else if form == Form::Unstable {
            json.key("rooms").raw("{}");
        }
        encoder.extensions(json, &request.asked.extensions)
    })?;
    Ok(json.into_text())
}

struct Encoder<'a> {
    answer: &'a Answer,
    viewer: &'a Viewer,
    form: Form,
    now_ms: i64,
}

impl Encoder<'_> {
    fn lists(&self, json: &mut Json) -> Result<(), SyncError> {
        json.object(|json| {
            self.answer.lists.iter().try_for_each(|list| {
                json.key(&list.name).object(|json| {
                    json.key("count").raw(&list.count.to_string());
                    if self.form == Form::Unstable {
                        json.key("ops");
                        self.ops(json, list)?;
                    }
                    Ok(())
                })
            })
        })
    }

    /// > `ops: [{"op":"SYNC","range":[0,19],"room_ids":[…]}]`
    fn ops(&self, json: &mut Json, list: &Window) -> Result<(), SyncError> {
        let names = &self.answer.names;
        json.array(|json| {
            list.ranges.iter().try_for_each(|((from, to), rooms)| {
                json.object(|json| {
                    json.key("op").string("SYNC");
                    json.key("range").raw(&format!("[{from},{to}]"));
                    json.key("room_ids").array(|json| {
                        for room in rooms.iter().filter_map(|room| names.get(room)) {
                            json.string(room.id.as_str());
                        }
                        Ok(())
                    })
                })
            })
        })
    }

    fn room(&self, json: &mut Json, room: &RoomTold) -> Result<(), SyncError> {
        json.object(|json| {
            json.key("bump_stamp").raw(&room.bump.to_string());
            if self.form == Form::Stable {
                json.key("membership").string(room.membership.name());
                json.key("lists").array(|json| {
                    room.lists.iter().for_each(|list| json.string(list));
                    Ok(())
                })?;
            }
            match room.changes.plan.section {
                Section::Invite | Section::Knock => self.asked_in(json, room),
                Section::Leave if room.changes.plan.outsider && self.form == Form::Stable => {
                    json.key("stripped_state").array(|json| {
                        for told in &room.changes.timeline.events {
                            json.raw(ClientEvent::stripped(&told.seen.event.pdu).as_str());
                        }
                        Ok(())
                    })
                }
                Section::Join | Section::Leave => self.entered(json, room),
            }
        })
    }

    /// Writes a room that the reader is asked into, or asked to be let into.
    fn asked_in(&self, json: &mut Json, room: &RoomTold) -> Result<(), SyncError> {
        if self.form == Form::Unstable {
            json.key("initial").raw("true");
            json.key("is_dm").raw(boolean(room.is_dm));
        }
        json.key(match self.form {
            Form::Stable => "stripped_state",
            Form::Unstable => "invite_state",
        });
        json.array(|json| {
            room.changes.stripped.iter().for_each(|event| json.raw(event));
            Ok(())
        })
    }

    /// Writes a room that the reader is or was in.
    fn entered(&self, json: &mut Json, room: &RoomTold) -> Result<(), SyncError> {
        let (version, timeline) = (room.changes.room.version, &room.changes.timeline);
        json.key("initial").raw(boolean(room.told_as == ToldAs::Initial));
        json.key("is_dm").raw(boolean(room.is_dm));
        write_face(json, &room.state.face)?;
        if room.told_as == ToldAs::Expanded {
            json.key(match self.form {
                Form::Stable => "expanded_timeline",
                Form::Unstable => "unstable_expanded_timeline",
            });
            json.raw("true");
        }
        json.key("required_state").array(|json| {
            for event in &room.state.required {
                let unsigned =
                    self.answer.beside_state.unsigned_state(self.viewer, event, (version, self.now_ms))?;
                let shown = client_event(event, version, client_view::Form::InSync)?;
                shown.append_to(json.value(), Some(&unsigned));
            }
            if self.form == Form::Stable {
                room.state.gone.iter().try_for_each(|name| {
                    json.object(|json| {
                        json.key("type").string(&name.event_type);
                        json.key("state_key").string(&name.state_key);
                        Ok(())
                    })
                })?;
            }
            Ok(())
        })?;
        json.key("timeline")
            .array(|json| timeline.events.iter().try_for_each(|told| self.event(json, room, told)))?;
        json.key("prev_batch").string(&PageToken(timeline.start).to_string());
        // matrix-js-sdk takes older events for new ones where nothing says that there may be a gap.
        let resent = self.form == Form::Unstable && room.told_as == ToldAs::Expanded;
        json.key("limited").raw(boolean(timeline.limited || resent));
        json.key("num_live").raw(&room.num_live.to_string());
        if let Some(unread) = room.changes.unread.as_ref().filter(|_| self.form == Form::Unstable) {
            let all = unread.all();
            json.key("notification_count").raw(&all.notifications.to_string());
            json.key("highlight_count").raw(&all.highlights.to_string());
        }
        Ok(())
    }

    fn event(&self, json: &mut Json, room: &RoomTold, told: &Told) -> Result<(), SyncError> {
        let version = room.changes.room.version;
        let unsigned = self.answer.beside.unsigned(self.viewer, &told.seen, (version, self.now_ms))?;
        told.shown.json(version)?.append_to(json.value(), Some(&unsigned));
        Ok(())
    }

    fn extensions(
        &self,
        json: &mut Json,
        asked: &hearth_core::sliding_sync::Extensions,
    ) -> Result<(), SyncError> {
        let rooms = &self.answer.rooms;
        let data = rooms.iter().any(|room| !room.beside.account_data.is_empty());
        let receipts = rooms.iter().any(|room| !room.beside.receipts.is_empty());
        let typing = rooms.iter().any(|room| room.beside.typing.is_some());
        let data = data || !self.answer.account_data.is_empty();
        if !(data || receipts || typing) {
            if self.form == Form::Unstable {
                json.key("extensions").raw("{}");
            }
            return Ok(());
        }
        json.key("extensions").object(|json| {
            if data && asked.account_data.is_some() {
                json.key("account_data");
                self.account_data(json)?;
            }
            if receipts {
                json.key("receipts");
                self.by_room(json, |room| ("m.receipt", receipts_of(room)))?;
            }
            if typing {
                json.key("typing");
                self.by_room(json, |room| ("m.typing", room.beside.typing.as_deref().map(pieces::typing)))?;
            }
            Ok(())
        })
    }

    fn account_data(&self, json: &mut Json) -> Result<(), SyncError> {
        json.object(|json| {
            if !self.answer.account_data.is_empty() {
                json.key("global");
                pieces::account_data(json, &self.answer.account_data)?;
            }
            let mut rooms =
                self.answer.rooms.iter().filter(|room| !room.beside.account_data.is_empty()).peekable();
            if rooms.peek().is_some() {
                json.key("rooms").object(|json| {
                    rooms.try_for_each(|room| {
                        json.key(room.changes.room.id.as_str());
                        pieces::account_data(json, &room.beside.account_data)
                    })
                })?;
            }
            Ok(())
        })
    }

    /// Writes one event for each room that has one.
    fn by_room(
        &self,
        json: &mut Json,
        of: impl Fn(&RoomTold) -> (&'static str, Option<Value>),
    ) -> Result<(), SyncError> {
        json.object(|json| {
            json.key("rooms").object(|json| {
                for room in &self.answer.rooms {
                    if let (event_type, Some(content)) = of(room) {
                        pieces::event(json.key(room.changes.room.id.as_str()), event_type, &content);
                    }
                }
                Ok(())
            })
        })
    }
}

/// The content that tells of a room's receipts. There is a place for one event, and in it for one receipt of a user on
/// an event: the one for all threads, if there is one.
fn receipts_of(room: &RoomTold) -> Option<Value> {
    let mut receipts: Vec<&Receipt> = room.beside.receipts.iter().map(AsRef::as_ref).collect();
    receipts.sort_by_key(|receipt| !receipt.thread.is_empty());
    pieces::receipts(receipts.into_iter()).first().map(|content| json!(content))
}

/// Writes what a room is called and shown by, where that changed.
fn write_face(json: &mut Json, face: &Face) -> Result<(), SyncError> {
    for (key, text) in [("name", &face.name), ("avatar", &face.avatar)] {
        match text {
            Text::Now(Some(text)) => json.key(key).string(text),
            Text::Now(None) => json.key(key).raw("null"),
            Text::Unchanged => {}
        }
    }
    if let Some(heroes) = &face.heroes {
        json.key("heroes").array(|json| heroes.iter().try_for_each(|one| hero(json, one)))?;
    }
    if let Some((joined, invited)) = face.counts {
        json.key("joined_count").raw(&joined.to_string());
        json.key("invited_count").raw(&invited.to_string());
    }
    Ok(())
}

fn hero(json: &mut Json, hero: &Hero) -> Result<(), SyncError> {
    json.object(|json| {
        json.key("user_id").string(hero.id.as_str());
        for (key, text) in [("displayname", &hero.displayname), ("avatar_url", &hero.avatar)] {
            if let Some(text) = text {
                json.key(key).string(text);
            }
        }
        Ok(())
    })
}

const fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
