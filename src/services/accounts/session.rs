//! Sessions: a device of a user, and the token that speaks for it.

use hearth_core::grammar;
use hearth_core::id::UserNid;
use hearth_store::account::{LocalUser, Restrictions, Session, TokenHash};
use hearth_store::log::Change;
use rand::RngExt;
use ruma::{OwnedDeviceId, OwnedUserId};

use super::refresh::{Renewal, end};
use super::{AccountError, secret};

/// Characters of a device id that the server makes up.
const DEVICE_ID_LENGTH: usize = 10;

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: UserNid,
    /// Their user id.
    pub user_id: OwnedUserId,
    /// Their device.
    pub device_id: OwnedDeviceId,
    /// May use the admin API.
    pub admin: bool,
    /// What an administrator keeps them from.
    pub restrictions: Restrictions,
    /// What is kept of their access token.
    pub token_hash: TokenHash,
    /// When that expires, milliseconds since the epoch; none for one that lasts until logout.
    pub expires_ts: Option<i64>,
}

/// A device that asks to be logged in.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// Its id; one is made up where there is none. A known one is taken over, and its old token dies.
    pub id: Option<OwnedDeviceId>,
    /// Its name, for a device that is not known yet.
    pub display_name: Option<String>,
    /// It can deal with an access token that expires.
    pub refreshable: bool,
}

/// A device that was logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedSession {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Its access token. This is the only time that it is known.
    pub access_token: String,
    /// What comes after it, where it expires.
    pub renewal: Option<Renewal>,
}

impl Caller {
    pub(super) fn of(user: &LocalUser, session: &Session) -> Self {
        Self {
            user: user.user,
            user_id: user.user_id.clone(),
            device_id: session.device_id.as_str().into(),
            admin: user.admin,
            restrictions: user.restrictions,
            token_hash: session.token_hash,
            expires_ts: session.expires_ts,
        }
    }
}

/// The session with this token; none where it is no longer one of the user's.
pub(super) fn find<'a>(user: &'a LocalUser, hash: &TokenHash) -> Option<&'a Session> {
    user.sessions.iter().find(|session| session.token_hash == *hash).filter(|_| !user.deactivated)
}

impl NewDevice {
    /// Refuses a device id that no table can hold.
    pub(super) fn check(&self) -> Result<(), AccountError> {
        self.id
            .as_deref()
            .map_or(Ok(()), |id| grammar::device_id(id.as_str()).map_err(AccountError::DeviceId))
    }
}

/// A new session of a user: what the log is told, and what the client is. With a renewal its token expires.
pub(super) fn open(
    user: UserNid,
    user_id: OwnedUserId,
    device: NewDevice,
    (renewal, ts): (Option<Renewal>, i64),
) -> (Vec<Change>, OpenedSession) {
    let device_id = device.id.unwrap_or_else(generate_device_id);
    let access_token = secret::access_token();
    let token_hash = secret::hex(&secret::hash(&access_token));
    let mut changes = vec![Change::OpenSession {
        user,
        device_id: device_id.to_string(),
        // Nobody is kept out by a long name.
        display_name: device
            .display_name
            .map(|name| name.chars().take(grammar::MAX_DEVICE_NAME_CHARS).collect()),
        token_hash: token_hash.clone(),
        ts,
    }];
    if let Some(renewal) = &renewal {
        let refresh_hash = secret::hex(&secret::hash(&renewal.refresh_token));
        let expires_ts = end(ts, renewal.expires_in);
        changes.push(Change::MakeRefreshable { user, token_hash, refresh_hash, expires_ts });
    }
    (changes, OpenedSession { user_id, device_id, access_token, renewal })
}

fn generate_device_id() -> OwnedDeviceId {
    let mut rng = rand::rng();
    let id: String = (0..DEVICE_ID_LENGTH).map(|_| char::from(rng.random_range(b'A'..=b'Z'))).collect();
    id.into()
}
