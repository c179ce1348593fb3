//! What a user is to a room.

/// A membership, numbered as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Membership {
    /// In the room.
    Join = 1,
    /// Asked to come in.
    Invite = 2,
    /// Asking to come in.
    Knock = 3,
    /// Not in the room, though once seen there.
    Leave = 4,
    /// Kept out.
    Ban = 5,
}

impl Membership {
    /// The number the store keeps.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The membership of a stored number.
    #[must_use]
    pub const fn from_number(number: i16) -> Option<Self> {
        match number {
            1 => Some(Self::Join),
            2 => Some(Self::Invite),
            3 => Some(Self::Knock),
            4 => Some(Self::Leave),
            5 => Some(Self::Ban),
            _ => None,
        }
    }

    /// The membership that a member event's content names; anything unknown is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "join" => Some(Self::Join),
            "invite" => Some(Self::Invite),
            "knock" => Some(Self::Knock),
            "leave" => Some(Self::Leave),
            "ban" => Some(Self::Ban),
            _ => None,
        }
    }

    /// As in a member event's content.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }
}
