//! Where the library's rules differ from what the other servers of a room do.
//!
//! Found by comparing them with an oracle (`state_res/tests/oracle.rs`). Servers that judge one event
//! differently have different rooms from then on, so that these have to be filled here:
//!
//! - a create event that names a room version nobody knows is refused;
//! - a room without join rules can be joined by whom it invited, not by nobody;
//! - who states a power level that was not stated, or stops stating one, needs the level that is stated
//!   then or was before, and not also the default that holds where it is not.

use std::borrow::Borrow;

use ruma::{
    Int, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
    serde::JsonObject,
    state_res::{
        Event, check_state_dependent_auth_rules,
        events::{RoomCreateEvent, RoomMemberEvent},
    },
};
use serde_json::value::{RawValue, to_raw_value};

use super::Denied;
use crate::{
    pdu::Pdu,
    power::{Level, PowerLevels},
    room_version::{self, RoomVersion},
};

/// > If `content.room_version` is present and is not a recognised version, reject.
pub(super) fn check_room_version(event: &Pdu) -> Result<(), Denied> {
    if *event.event_type() != TimelineEventType::RoomCreate {
        return Ok(());
    }
    let version = RoomCreateEvent::new(event).room_version().map_err(Denied::Rules)?;
    match room_version::rules(&version) {
        Some(_) => Ok(()),
        None => Err(Denied::Rules(format!("room version {version} is unknown"))),
    }
}

/// The rules that need a state, gaps filled.
pub(super) fn check_by_state<E: Borrow<Pdu>>(
    version: &RoomVersion,
    event: &Pdu,
    fetch_state: impl Fn(&StateEventType, &str) -> Option<E>,
) -> Result<(), Denied> {
    if is_join(event) && fetch_state(&StateEventType::RoomJoinRules, "").is_none() {
        return check_join_without_rules(version, event, fetch_state);
    }
    if is_power_levels(event)
        && let Some(before) = fetch_state(&StateEventType::RoomPowerLevels, "")
        && let Some(create) = fetch_state(&StateEventType::RoomCreate, "")
        && let Some(content) = settle_levels(version, event, create.borrow(), before.borrow())?
    {
        let event = Posing { pdu: event, content: &content };
        let found = |event_type: &StateEventType, key: &str| fetch_state(event_type, key).map(Found::Event);
        return check(version, &event, found);
    }
    check(version, event, |event_type: &StateEventType, key: &str| {
        fetch_state(event_type, key).map(Found::Event)
    })
}

fn check<'a, E: Borrow<Pdu>>(
    version: &RoomVersion,
    event: impl Event,
    fetch_state: impl Fn(&StateEventType, &str) -> Option<Found<'a, E>>,
) -> Result<(), Denied> {
    check_state_dependent_auth_rules(&version.rules.authorization, event, fetch_state).map_err(Denied::Rules)
}

fn is_join(event: &Pdu) -> bool {
    *event.event_type() == TimelineEventType::RoomMember
        && RoomMemberEvent::new(event)
            .membership()
            .is_ok_and(|membership| membership == ruma::events::room::member::MembershipState::Join)
}

fn is_power_levels(event: &Pdu) -> bool {
    *event.event_type() == TimelineEventType::RoomPowerLevels
}

/// Judges a join as if the room had the join rule that holds where none is given.
fn check_join_without_rules<E: Borrow<Pdu>>(
    version: &RoomVersion,
    event: &Pdu,
    fetch_state: impl Fn(&StateEventType, &str) -> Option<E>,
) -> Result<(), Denied> {
    let content = to_raw_value(&ruma::events::room::join_rules::RoomJoinRulesEventContent::new(
        ruma::room::JoinRule::Invite,
    ))
    .map_err(|error| Denied::Rules(error.to_string()))?;
    check(version, event, |event_type: &StateEventType, key: &str| match event_type {
        StateEventType::RoomJoinRules => Some(Found::Posing(Posing { pdu: event, content: &content })),
        _ => fetch_state(event_type, key).map(Found::Event),
    })
}

/// Judges the levels that only one of two power levels events states. The result is the new content with
/// these as they were before, so that the library sees no change in them; `None` if there are none.
fn settle_levels(
    version: &RoomVersion,
    event: &Pdu,
    create: &Pdu,
    before: &Pdu,
) -> Result<Option<Box<RawValue>>, Denied> {
    let (old, new) =
        (PowerLevels::parse(before.content(), version)?, PowerLevels::parse(event.content(), version)?);
    let creators =
        RoomCreateEvent::new(create).creators(&version.rules.authorization).map_err(Denied::Rules)?;
    if version.creators_are_privileged() && creators.contains(event.sender()) {
        return Ok(None);
    }
    let own = old.user(event.sender())?;
    let mut one_sided = Vec::new();
    for level in Level::ALL {
        let stated: Int = match (old.stated(level)?, new.stated(level)?) {
            (Some(stated), None) | (None, Some(stated)) => stated,
            _ => continue,
        };
        if stated > own {
            return Err(Denied::TooLittlePower { needed: stated.into() });
        }
        one_sided.push(level.name());
    }
    if one_sided.is_empty() {
        return Ok(None);
    }
    let content = with_levels_of(event.content(), before.content(), &one_sided)
        .map_err(|error| Denied::Rules(error.to_string()))?;
    Ok(Some(content))
}

/// A content with some keys as another has them.
fn with_levels_of(
    content: &RawValue,
    other: &RawValue,
    keys: &[&str],
) -> Result<Box<RawValue>, serde_json::Error> {
    let mut content: JsonObject = serde_json::from_str(content.get())?;
    let mut other: JsonObject = serde_json::from_str(other.get())?;
    for key in keys {
        content.remove(*key);
        content.extend(other.remove_entry(*key));
    }
    to_raw_value(&content)
}

/// An event whose content is another's.
struct Posing<'a> {
    pdu: &'a Pdu,
    content: &'a RawValue,
}

/// What the library finds in a state.
enum Found<'a, E> {
    Event(E),
    Posing(Posing<'a>),
}

impl<E: Borrow<Pdu>> Found<'_, E> {
    fn pdu(&self) -> &Pdu {
        match self {
            Self::Event(event) => event.borrow(),
            Self::Posing(posing) => posing.pdu,
        }
    }
}

/// Everything of an event as the event itself has it, except its content.
macro_rules! event_but_for_content {
    ($self:ident => $pdu:expr) => {
        type Id = OwnedEventId;

        fn event_id(&$self) -> &Self::Id {
            Event::event_id($pdu)
        }

        fn room_id(&$self) -> Option<&RoomId> {
            Event::room_id($pdu)
        }

        fn sender(&$self) -> &UserId {
            Event::sender($pdu)
        }

        fn origin_server_ts(&$self) -> MilliSecondsSinceUnixEpoch {
            Event::origin_server_ts($pdu)
        }

        fn event_type(&$self) -> &TimelineEventType {
            Event::event_type($pdu)
        }

        fn state_key(&$self) -> Option<&str> {
            Event::state_key($pdu)
        }

        fn prev_events(&$self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
            Event::prev_events($pdu)
        }

        fn auth_events(&$self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
            Event::auth_events($pdu)
        }

        fn redacts(&$self) -> Option<&Self::Id> {
            Event::redacts($pdu)
        }

        fn rejected(&$self) -> bool {
            Event::rejected($pdu)
        }
    };
}

impl Event for Posing<'_> {
    event_but_for_content!(self => self.pdu);

    fn content(&self) -> &RawValue {
        self.content
    }
}

impl<E: Borrow<Pdu>> Event for Found<'_, E> {
    event_but_for_content!(self => self.pdu());

    fn content(&self) -> &RawValue {
        match self {
            Self::Event(event) => event.borrow().content(),
            Self::Posing(posing) => posing.content,
        }
    }
}
