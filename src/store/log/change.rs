//! The rarer entries of the log: everything but room events.

use hearth_core::id::{EventNid, Position, RoomNid, UserNid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::presence::PresenceState;
use crate::receipt::ReceiptKind;

/// Something that happened outside a room's timeline.
///
/// Serialised it is both what the commit function reads and, less its secrets, what the log tells other
/// replicas. Field names are part of that function's contract.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new local account. Fails as taken where the user has one.
    CreateAccount {
        /// The user, already interned.
        user: UserNid,
        /// PHC string, or none where no password logs in.
        password_hash: Option<String>,
        /// May use the admin API.
        admin: bool,
        /// Milliseconds since the epoch.
        ts: i64,
    },
    /// Another password. Fails as absent where there is no account in use.
    SetPassword {
        /// The account.
        user: UserNid,
        /// PHC string.
        password_hash: String,
    },
    /// A registration token made by an administrator was used for an account.
    UseRegistrationToken {
        /// The token. Fails as absent where it is unknown or used up.
        token: String,
    },
    /// Another standing registration token.
    SetStandingToken {
        /// The token.
        token: String,
    },
    /// A login. Makes the device or takes it over; its older tokens die. Fails as absent where the account
    /// is not in use.
    OpenSession {
        /// Whose it is.
        user: UserNid,
        /// The device.
        device_id: String,
        /// Its name, kept only where the device is new.
        display_name: Option<String>,
        /// Lower-case hex of the SHA-256 of the access token.
        token_hash: String,
        /// Milliseconds since the epoch.
        ts: i64,
    },
    /// The end of an account: its devices, its password and its profile are deleted, and the user is to be seen
    /// out of their rooms. Fails as absent where there is no account in use.
    DeactivateAccount {
        /// The account.
        user: UserNid,
        /// What the user said is from now on shown only to those who were there.
        erase: bool,
        /// Milliseconds since the epoch.
        ts: i64,
    },
    /// An administrator locks or suspends an account, or lifts that. Fails as absent where there is no account in
    /// use.
    RestrictAccount {
        /// The account.
        user: UserNid,
        /// Whether it is locked from now on; none where that stays.
        locked: Option<bool>,
        /// Whether it is suspended from now on; none where that stays.
        suspended: Option<bool>,
    },
    /// The token of a login of the same proposal expires, and can be refreshed.
    MakeRefreshable {
        /// Whose it is.
        user: UserNid,
        /// Lower-case hex of the SHA-256 of the access token.
        token_hash: String,
        /// The same of the refresh token.
        refresh_hash: String,
        /// Milliseconds since the epoch.
        expires_ts: i64,
    },
    /// Another pair of tokens for the refresh token of a pair, which stays until the new one is used; what else
    /// the device has dies. Fails as absent where there is no such refresh token.
    RefreshSession {
        /// Whose it is.
        user: UserNid,
        /// The device.
        device_id: String,
        /// Lower-case hex of the SHA-256 of the refresh token that is used.
        used_hash: String,
        /// The same of the new access token.
        token_hash: String,
        /// The same of the new refresh token.
        refresh_hash: String,
        /// When the new access token expires, milliseconds since the epoch.
        expires_ts: i64,
        /// Milliseconds since the epoch.
        ts: i64,
    },
    /// The first use of an access token that came of a refresh: the pair that was refreshed dies.
    ConfirmToken {
        /// Whose it is.
        user: UserNid,
        /// The device.
        device_id: String,
        /// Lower-case hex of the SHA-256 of the access token.
        token_hash: String,
    },
    /// A logout: of one device, or of all but at most one. Devices and their tokens are deleted.
    CloseSession {
        /// Whose.
        user: UserNid,
        /// The device; none for all.
        device_id: Option<String>,
        /// With none: the device that stays.
        all_but: Option<String>,
    },
    /// Another name for a device. Fails as absent where there is no such device.
    RenameDevice {
        /// Whose.
        user: UserNid,
        /// The device.
        device_id: String,
        /// Its name; none where it has none.
        display_name: Option<String>,
    },
    /// Account data set, or deleted.
    SetAccountData {
        /// Whose.
        user: UserNid,
        /// The room, or `RoomNid::new(0)` for data of the whole account.
        room: RoomNid,
        /// Its type.
        r#type: String,
        /// A JSON object; none deletes.
        content: Option<String>,
    },
    /// One tag of a room set or removed; merged into `m.tag` under the clock.
    SetTag {
        /// Whose.
        user: UserNid,
        /// The room.
        room: RoomNid,
        /// The tag.
        tag: String,
        /// A JSON object; none removes the tag.
        info: Option<Box<RawValue>>,
    },
    /// A field of a local user's profile.
    SetProfileField {
        /// Whose.
        user: UserNid,
        /// The field.
        key: String,
        /// JSON; none deletes.
        value: Option<String>,
        /// The rooms that the user is in are to show it.
        #[serde(default)]
        spread: bool,
    },
    /// A local alias. Fails as taken where there is one of that name.
    CreateAlias {
        /// The full alias.
        alias: String,
        /// Where it points.
        room: RoomNid,
        /// Who made it.
        creator: UserNid,
    },
    /// A local alias deleted. Fails as absent where there is none.
    DeleteAlias {
        /// The full alias.
        alias: String,
        /// Where it pointed.
        room: RoomNid,
    },
    /// A receipt. Fails as absent where the user's receipt of that kind is not behind it.
    SetReceipt {
        /// Who read.
        user: UserNid,
        /// Their id.
        user_id: String,
        /// In which room.
        room: RoomNid,
        /// Who is told.
        kind: ReceiptKind,
        /// Empty for all threads, `main`, or the id of the event that a thread begins with.
        thread: String,
        /// Up to this event.
        event: EventNid,
        /// Its id.
        event_id: String,
        /// Its place in the timeline.
        anchor: Position,
        /// The same.
        sub: i64,
        /// Milliseconds since the epoch.
        ts: i64,
    },
    /// Somebody types, or ceased to. Nothing but the log holds it.
    SetTyping {
        /// Who.
        user: UserNid,
        /// Their id.
        user_id: String,
        /// In which room.
        room: RoomNid,
        /// For as long as this, milliseconds since the epoch; none where they ceased.
        until: Option<i64>,
        /// The process that ends it in time.
        owner: i64,
    },
    /// Another presence. Fails as absent where it changed since `base`.
    SetPresence {
        /// Whose.
        user: UserNid,
        /// Their id.
        user_id: String,
        /// How much of them to expect.
        presence: PresenceState,
        /// What they say of it themselves.
        status_msg: Option<String>,
        /// When they last did something, milliseconds since the epoch.
        last_active_ts: i64,
        /// They do something right now.
        currently_active: bool,
        /// What it was worked out from is as of here.
        base: Position,
        /// The process that says so.
        process: i64,
        /// What that process sees of the user's devices.
        seen: PresenceState,
        /// When those last did something, milliseconds since the epoch.
        seen_active_ts: i64,
        /// Processes that are gone, with what they saw.
        gone: Vec<i64>,
    },
    /// A room listed in the public directory, or taken out of it.
    PublishRoom {
        /// The room.
        room: RoomNid,
        /// Listed.
        published: bool,
    },
}

impl Change {
    /// The name of its kind: the key under which the commit function reads it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateAccount { .. } => "create_account",
            Self::SetPassword { .. } => "set_password",
            Self::UseRegistrationToken { .. } => "use_registration_token",
            Self::SetStandingToken { .. } => "set_standing_token",
            Self::OpenSession { .. } => "open_session",
            Self::DeactivateAccount { .. } => "deactivate_account",
            Self::RestrictAccount { .. } => "restrict_account",
            Self::MakeRefreshable { .. } => "make_refreshable",
            Self::RefreshSession { .. } => "refresh_session",
            Self::ConfirmToken { .. } => "confirm_token",
            Self::CloseSession { .. } => "close_session",
            Self::RenameDevice { .. } => "rename_device",
            Self::SetAccountData { .. } => "set_account_data",
            Self::SetTag { .. } => "set_tag",
            Self::SetProfileField { .. } => "set_profile_field",
            Self::CreateAlias { .. } => "create_alias",
            Self::DeleteAlias { .. } => "delete_alias",
            Self::SetReceipt { .. } => "set_receipt",
            Self::SetTyping { .. } => "set_typing",
            Self::SetPresence { .. } => "set_presence",
            Self::PublishRoom { .. } => "publish_room",
        }
    }

    /// Whom it happened to, where it happened to somebody.
    #[must_use]
    pub const fn subject(&self) -> Option<UserNid> {
        match self {
            Self::CreateAccount { user, .. }
            | Self::SetPassword { user, .. }
            | Self::OpenSession { user, .. }
            | Self::DeactivateAccount { user, .. }
            | Self::RestrictAccount { user, .. }
            | Self::MakeRefreshable { user, .. }
            | Self::RefreshSession { user, .. }
            | Self::ConfirmToken { user, .. }
            | Self::CloseSession { user, .. }
            | Self::RenameDevice { user, .. }
            | Self::SetAccountData { user, .. }
            | Self::SetTag { user, .. }
            | Self::SetReceipt { user, .. }
            | Self::SetTyping { user, .. }
            | Self::SetPresence { user, .. }
            | Self::SetProfileField { user, .. } => Some(*user),
            Self::CreateAlias { creator, .. } => Some(*creator),
            Self::UseRegistrationToken { .. }
            | Self::SetStandingToken { .. }
            | Self::DeleteAlias { .. }
            | Self::PublishRoom { .. } => None,
        }
    }

    /// The room it is about, where it is about one.
    #[must_use]
    pub fn room(&self) -> Option<RoomNid> {
        match self {
            Self::SetAccountData { room, .. } => (room.get() != 0).then_some(*room),
            Self::SetTag { room, .. }
            | Self::SetReceipt { room, .. }
            | Self::SetTyping { room, .. }
            | Self::CreateAlias { room, .. }
            | Self::DeleteAlias { room, .. }
            | Self::PublishRoom { room, .. } => Some(*room),
            _ => None,
        }
    }

    /// The same without its secrets and without what its own table holds: what the log tells.
    #[must_use]
    pub fn announced(&self) -> Self {
        let mut told = self.clone();
        match &mut told {
            Self::CreateAccount { password_hash, .. } => *password_hash = None,
            Self::SetPassword { password_hash, .. } => password_hash.clear(),
            Self::OpenSession { token_hash, .. } | Self::ConfirmToken { token_hash, .. } => {
                token_hash.clear();
            }
            Self::MakeRefreshable { token_hash, refresh_hash, .. } => {
                token_hash.clear();
                refresh_hash.clear();
            }
            Self::RefreshSession { used_hash, token_hash, refresh_hash, .. } => {
                used_hash.clear();
                token_hash.clear();
                refresh_hash.clear();
            }
            Self::SetStandingToken { token } | Self::UseRegistrationToken { token } => token.clear(),
            Self::SetAccountData { content, .. } => *content = None,
            Self::SetTag { info, .. } => *info = None,
            // What rooms show is short, and is told with the presence of its owner.
            Self::SetProfileField { value, spread: false, .. } => *value = None,
            Self::RenameDevice { display_name, .. } => *display_name = None,
            Self::SetProfileField { .. }
            | Self::DeactivateAccount { .. }
            | Self::RestrictAccount { .. }
            | Self::CloseSession { .. }
            | Self::SetReceipt { .. }
            | Self::SetTyping { .. }
            | Self::SetPresence { .. }
            | Self::CreateAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::PublishRoom { .. } => {}
        }
        told
    }

    /// The name that only one proposal can get, where it asks for one: no batch holds two of the same.
    #[must_use]
    pub fn claims(&self) -> Option<String> {
        match self {
            Self::CreateAccount { user, .. }
            | Self::DeactivateAccount { user, .. }
            | Self::RestrictAccount { user, .. } => Some(format!("account {user}")),
            Self::CreateAlias { alias, .. } | Self::DeleteAlias { alias, .. } => {
                Some(format!("alias {alias}"))
            }
            Self::SetPresence { user, .. } => Some(format!("presence {user}")),
            Self::OpenSession { user, device_id, .. }
            | Self::RefreshSession { user, device_id, .. }
            | Self::ConfirmToken { user, device_id, .. } => Some(format!("session {user} {device_id}")),
            Self::SetReceipt { user, room, kind, thread, .. } => {
                Some(format!("receipt {user} {room} {} {thread}", kind.number()))
            }
            _ => None,
        }
    }
}
