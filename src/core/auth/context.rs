//! A room's rules, read once.
//!
//! [`RoomRules`] depends on three state events only and is kept as long as they stay. Its answers are
//! those of the full check; a property test holds the two against each other.

use std::collections::HashSet;

use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, UserId,
    events::{TimelineEventType, room::power_levels::UserPowerLevel},
    room::JoinRuleKind,
    state_res::events::{RoomCreateEvent, RoomJoinRulesEvent},
};

use super::Denied;
use crate::{
    membership::Membership,
    pdu::Pdu,
    power::{self, Level, Malformed, PowerLevels},
    room_version::RoomVersion,
};

/// The level of a room's creator while it has no power levels event.
const CREATOR_WITHOUT_LEVELS: i32 = 100;

/// What a room's create, power levels and join rules events say.
#[derive(Clone, Debug)]
pub struct RoomRules {
    version: &'static RoomVersion,
    federate: bool,
    server: OwnedServerName,
    creators: HashSet<OwnedUserId>,
    power: Option<PowerLevels>,
    join_rule: Option<JoinRuleKind>,
    sources: Sources,
}

/// The events that rules were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The room's create event.
    pub create: OwnedEventId,
    /// Its power levels event, if it has one.
    pub power_levels: Option<OwnedEventId>,
    /// Its join rules event, if it has one.
    pub join_rules: Option<OwnedEventId>,
}

/// A user and what they are to the room.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Who.
    pub user: &'a UserId,
    /// As the state has it; `None` for someone it does not mention.
    pub membership: Option<Membership>,
}

impl RoomRules {
    /// Reads a room's rules.
    pub fn new(
        version: &'static RoomVersion,
        create: &Pdu,
        power_levels: Option<&Pdu>,
        join_rules: Option<&Pdu>,
    ) -> Result<Self, Denied> {
        let created = RoomCreateEvent::new(create);
        let id = |event: &Pdu| event.event_id().clone();
        Ok(Self {
            version,
            federate: created.federate().map_err(Denied::Rules)?,
            server: create.sender().server_name().to_owned(),
            creators: created.creators(&version.rules.authorization).map_err(Denied::Rules)?,
            power: power_levels.map(|event| PowerLevels::parse(event.content(), version)).transpose()?,
            join_rule: join_rules
                .map(|event| RoomJoinRulesEvent::new(event).join_rule().map_err(Denied::Rules))
                .transpose()?,
            sources: Sources {
                create: create.event_id().clone(),
                power_levels: power_levels.map(id),
                join_rules: join_rules.map(id),
            },
        })
    }

    /// The events these rules were read from; while the state names the same, the rules hold.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The room's version.
    #[must_use]
    pub fn version(&self) -> &'static RoomVersion {
        self.version
    }

    /// Who may join, if the room says so.
    #[must_use]
    pub fn join_rule(&self) -> Option<&JoinRuleKind> {
        self.join_rule.as_ref()
    }

    /// Who created the room, co-creators included where the version has them.
    #[must_use]
    pub fn creators(&self) -> &HashSet<OwnedUserId> {
        &self.creators
    }

    /// The room's power levels, if it has such an event.
    #[must_use]
    pub fn power_levels(&self) -> Option<&PowerLevels> {
        self.power.as_ref()
    }

    /// The level of a user, above every number for privileged creators.
    pub fn power_level_of(&self, user: &UserId) -> Result<UserPowerLevel, Malformed> {
        let creator = self.creators.contains(user);
        if creator && self.version.creators_are_privileged() {
            return Ok(UserPowerLevel::Infinite);
        }
        Ok(UserPowerLevel::Int(match &self.power {
            Some(power) => power.user(user)?,
            None if creator => CREATOR_WITHOUT_LEVELS.into(),
            None => Level::UsersDefault.default_value(),
        }))
    }

    /// A level stated by name.
    pub fn level(&self, level: Level) -> Result<i64, Malformed> {
        match &self.power {
            Some(power) => power.level(level).map(Into::into),
            None => Ok(level.default_value().into()),
        }
    }

    /// The level it takes to send an event of a type.
    pub fn required_level(&self, event_type: &TimelineEventType, is_state: bool) -> Result<i64, Malformed> {
        match &self.power {
            Some(power) => power.to_send(event_type, is_state).map(Into::into),
            None if is_state => Ok(Level::StateDefault.default_value().into()),
            None => Ok(Level::EventsDefault.default_value().into()),
        }
    }

    /// Whether rules beyond membership and level hold for events of this type, so that only the full
    /// check ([`super::check_by_state`]) may allow one.
    #[must_use]
    pub fn needs_full_check(&self, event_type: &TimelineEventType) -> bool {
        let rules = &self.version.rules.authorization;
        match event_type {
            TimelineEventType::RoomCreate
            | TimelineEventType::RoomMember
            | TimelineEventType::RoomPowerLevels
            | TimelineEventType::RoomThirdPartyInvite => true,
            TimelineEventType::RoomRedaction => rules.special_case_room_redaction,
            other => rules.special_case_room_aliases && *other == "m.room.aliases".into(),
        }
    }

    /// Whether a member may send an event. For a type that [`Self::needs_full_check`], the answer is
    /// necessary but not sufficient.
    pub fn may_send(
        &self,
        sender: Member<'_>,
        event_type: &TimelineEventType,
        state_key: Option<&str>,
    ) -> Result<(), Denied> {
        self.check_present(sender)?;
        self.check_level(sender.user, self.required_level(event_type, state_key.is_some())?)?;
        match state_key {
            Some(key) if key.starts_with('@') && key != sender.user.as_str() => {
                Err(Denied::StateOfAnotherUser)
            }
            _ => Ok(()),
        }
    }

    /// Whether a member may invite someone by their id.
    pub fn may_invite(&self, sender: Member<'_>, target: Member<'_>) -> Result<(), Denied> {
        self.check_present(sender)?;
        if matches!(target.membership, Some(Membership::Join | Membership::Ban)) {
            return Err(Denied::CannotInvite);
        }
        self.check_level(sender.user, self.level(Level::Invite)?)
    }

    /// Whether a member may put someone else out of the room, withdraw their invite, or lift their ban.
    pub fn may_kick(&self, sender: Member<'_>, target: Member<'_>) -> Result<(), Denied> {
        self.check_present(sender)?;
        // The ban level is read in any case, as the rules do: a malformed one denies every kick.
        let ban = self.level(Level::Ban)?;
        if target.membership == Some(Membership::Ban) {
            self.check_level(sender.user, ban)?;
        }
        self.check_level(sender.user, self.level(Level::Kick)?)?;
        self.check_outranks(sender.user, target.user)
    }

    /// Whether a member may ban someone.
    pub fn may_ban(&self, sender: Member<'_>, target: Member<'_>) -> Result<(), Denied> {
        self.check_present(sender)?;
        self.check_level(sender.user, self.level(Level::Ban)?)?;
        self.check_outranks(sender.user, target.user)
    }

    /// Whether a local user may ask for another's event to be redacted: their own, or any with the power
    /// for it.
    pub fn may_redact(&self, sender: &UserId, sender_of_target: &UserId) -> Result<(), Denied> {
        if sender == sender_of_target {
            return Ok(());
        }
        self.may_redact_all(sender)
    }

    /// Whether a user has the power to redact whatever it is.
    pub fn may_redact_all(&self, sender: &UserId) -> Result<(), Denied> {
        self.check_level(sender, self.level(Level::Redact)?)
    }

    /// Whether a redaction that is in the room takes effect on an event.
    ///
    /// > The power level of the redaction event's `sender` is greater than or equal to the *redact
    /// > level*, or the domain of the redaction event's `sender` matches that of the original event's.
    pub fn redaction_applies(&self, sender: &UserId, sender_of_target: &UserId) -> Result<(), Denied> {
        if sender.server_name() == sender_of_target.server_name() {
            return Ok(());
        }
        self.check_level(sender, self.level(Level::Redact)?)
    }

    /// Whether a user has the power to notify everybody in the room; not where the levels are malformed.
    #[must_use]
    pub fn may_notify_room(&self, user: &UserId) -> bool {
        let needed = self.power.as_ref().map_or(Ok(power::TO_NOTIFY.into()), |power| power.to_notify("room"));
        needed.is_ok_and(|needed| self.check_level(user, needed.into()).is_ok())
    }

    /// In the room, and from a server that may be.
    fn check_present(&self, sender: Member<'_>) -> Result<(), Denied> {
        if !self.federate && sender.user.server_name() != self.server {
            return Err(Denied::NotFederated);
        }
        if sender.membership == Some(Membership::Join) { Ok(()) } else { Err(Denied::NotJoined) }
    }

    fn check_level(&self, user: &UserId, needed: i64) -> Result<(), Denied> {
        match self.power_level_of(user)? {
            UserPowerLevel::Infinite => Ok(()),
            UserPowerLevel::Int(level) if i64::from(level) >= needed => Ok(()),
            UserPowerLevel::Int(_) => Err(Denied::TooLittlePower { needed }),
        }
    }

    fn check_outranks(&self, sender: &UserId, target: &UserId) -> Result<(), Denied> {
        if self.power_level_of(target)? < self.power_level_of(sender)? {
            Ok(())
        } else {
            Err(Denied::EqualOrMorePower(target.to_string()))
        }
    }
}
