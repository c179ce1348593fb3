//! Families: which requests share a limit, and what makes a request one's own.

/// Requests that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Never limited: what tells whether the server is well.
    Unlimited,
    /// Whatever no other family counts.
    Other,
    /// Events that a user sends.
    Message,
    /// Redactions by an administrator, who may have a lot to tidy up.
    AdminRedaction,
    /// Rooms that a user makes.
    RoomCreation,
    /// Invites that a user sends.
    InvitesPerIssuer,
    /// Invites to a room.
    InvitesPerRoom,
    /// Invites that a user gets.
    InvitesPerUser,
    /// Rooms that a user joins.
    JoinsPerUser,
    /// Users who join a room.
    JoinsPerRoom,
    /// Rooms that a user knocks on.
    Knocks,
    /// Members whom a user removes, bans or pardons.
    Moderation,
    /// Aliases that a user makes or takes away, and rooms that they list.
    Aliases,
    /// Pages of the directory, and summaries of rooms.
    Directory,
    /// Pages of history, members, and whole states.
    History,
    /// Syncs from the start.
    FirstSync,
    /// Changes of a profile, which all of its user's rooms hear of.
    Profile,
    /// Receipts and markers.
    Receipts,
    /// Notices that somebody types.
    Typing,
    /// Changes of presence.
    Presence,
    /// Changes of account data, tags and push rules.
    AccountData,
    /// Filters kept.
    Filters,
    /// Media that a user uploads.
    Uploads,
    /// Media ids that a user reserves.
    MediaReservations,
    /// Media that somebody fetches.
    Downloads,
    /// Previews of web pages that a user asks for.
    Previews,
    /// Registrations.
    Registration,
    /// Questions about names and registration tokens, and pages of authentication.
    RegistrationLookup,
    /// Attempts to log in from an address.
    LoginPerAddress,
    /// Access tokens refreshed from an address: those of everybody in one house.
    Refresh,
    /// Logins to an account.
    LoginPerAccount,
}

/// What makes a request one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Something that only the handler knows.
    Handler,
    /// The client's address.
    Address,
    /// The user; the address of who has none.
    User,
}

impl Family {
    /// What makes its requests one's own.
    pub(crate) const fn by(self) -> By {
        match self {
            Self::Registration | Self::RegistrationLookup | Self::LoginPerAddress | Self::Refresh => {
                By::Address
            }
            Self::Unlimited
            | Self::AdminRedaction
            | Self::InvitesPerRoom
            | Self::InvitesPerUser
            | Self::JoinsPerRoom
            | Self::FirstSync
            | Self::LoginPerAccount => By::Handler,
            Self::Other
            | Self::Message
            | Self::RoomCreation
            | Self::InvitesPerIssuer
            | Self::JoinsPerUser
            | Self::Knocks
            | Self::Moderation
            | Self::Aliases
            | Self::Directory
            | Self::History
            | Self::Profile
            | Self::Receipts
            | Self::Typing
            | Self::Presence
            | Self::AccountData
            | Self::Uploads
            | Self::MediaReservations
            | Self::Downloads
            | Self::Previews
            | Self::Filters => By::User,
        }
    }
}
