//! What a room is called and shown by.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{EventNid, RoomNid, Root};
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::interned::StateKeyName;
use ruma::OwnedUserId;

use crate::rooms::viewer::Viewer;
use crate::sync::engine::Engine;
use crate::sync::state::{MEMBER, text_of};

/// What changed of what a room is called and shown by.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) name: Text,
    pub(super) avatar: Text,
    /// Whose names stand for it, where it has none.
    pub(super) heroes: Option<Vec<Hero>>,
    /// How many are joined and invited.
    pub(super) counts: Option<(i64, i64)>,
}

/// A text that a client may know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Text {
    /// It is as the client knows it.
    #[default]
    Unchanged,
    /// It is this, or there is none.
    Now(Option<String>),
}

/// Somebody whose name stands for a room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hero {
    pub(super) id: OwnedUserId,
    pub(super) displayname: Option<String>,
    pub(super) avatar: Option<String>,
}

/// What a room is called by, as events, and what of it may be new to the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) room: RoomNid,
    pub(super) root: Root,
    pub(super) name: Option<EventNid>,
    pub(super) avatar: Option<EventNid>,
    pub(super) name_changed: bool,
    pub(super) avatar_changed: bool,
    pub(super) counts: Option<(i64, i64)>,
}

impl Face {
    pub(super) fn is_unchanged(&self) -> bool {
        *self == Self::default()
    }
}

impl Engine {
    /// What changed of what rooms are called and shown by; `events` are those of their names and avatars.
    pub(super) async fn faces(
        &self,
        viewer: &Viewer,
        named: &[Named],
        events: &HashMap<EventNid, Arc<StoredEvent>>,
    ) -> Result<Vec<Face>, StoreError> {
        let text = |nid: Option<EventNid>, field| text_of(events.get(&nid?)?, field);
        let mut faces = Vec::with_capacity(named.len());
        let mut nameless: Vec<(usize, &Named)> = Vec::new();
        for (index, of) in named.iter().enumerate() {
            let name = text(of.name, "name");
            if name.is_none() && (of.name_changed || of.counts.is_some()) {
                nameless.push((index, of));
            }
            let now = |changed, text| if changed { Text::Now(text) } else { Text::Unchanged };
            faces.push(Face {
                name: now(of.name_changed, name),
                avatar: now(of.avatar_changed, text(of.avatar, "url")),
                heroes: None,
                counts: of.counts,
            });
        }
        for (index, heroes) in self.heroes_of(viewer, &nameless).await? {
            if let Some(face) = faces.get_mut(index) {
                face.heroes = Some(heroes);
            }
        }
        Ok(faces)
    }

    /// The heroes of rooms without a name, read for all of them together.
    async fn heroes_of(
        &self,
        viewer: &Viewer,
        nameless: &[(usize, &Named)],
    ) -> Result<Vec<(usize, Vec<Hero>)>, StoreError> {
        let rooms: Vec<RoomNid> = nameless.iter().map(|(_, of)| of.room).collect();
        self.heroes.prepare(&rooms).await?;
        let mut users = Vec::with_capacity(nameless.len());
        for (_, of) in nameless {
            users.push(self.heroes.of(of.room, viewer.user).await?);
        }
        let ids = self.reader.interned.user_ids(&users.concat()).await?;
        let names: Vec<StateKeyName> = ids.iter().map(|id| StateKeyName::new(MEMBER, id.as_str())).collect();
        let keys = self.reader.interned.known_state_keys(&names).await?;
        let states = nameless.iter().zip(&users).flat_map(|((_, of), users)| users.iter().map(|_| of.root));
        let places: Vec<Option<_>> =
            states.zip(&names).map(|(root, name)| Some((root, *keys.get(name)?))).collect();
        let pairs: Vec<_> = places.iter().copied().flatten().collect();
        let at: HashMap<_, _> =
            pairs.iter().copied().zip(self.reader.states.get_pairs(&pairs).await?).collect();
        let events = self.events_of(at.values().copied().flatten()).await?;
        let mut heroes = ids.into_iter().zip(places).map(|(id, place)| {
            let event =
                place.and_then(|place| at.get(&place).copied().flatten()).and_then(|nid| events.get(&nid));
            Hero {
                id,
                displayname: event.and_then(|event| text_of(event, "displayname")),
                avatar: event.and_then(|event| text_of(event, "avatar_url")),
            }
        });
        Ok(nameless
            .iter()
            .zip(&users)
            .map(|((index, _), users)| (*index, heroes.by_ref().take(users.len()).collect()))
            .collect())
    }
}
