//! Local accounts: making them, logging in and out, and knowing who a token belongs to.

mod devices;
mod erased;
mod error;
mod guesses;
mod last_seen;
mod login_token;
mod name;
mod openid;
mod password;
mod policy;
mod refresh;
mod restriction;
mod secret;
mod session;
mod stream_ticket;
pub mod uia;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hearth_core::id::UserNid;
use hearth_store::Store;
use hearth_store::log::{Change, Entry, Proposal};
use ruma::profile::ProfileFieldName;
use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, UserId};

pub use hearth_store::account::{ListedAccount, LocalUser, Restrictions, TokenHash};
pub use hearth_store::device::Device;

pub use self::erased::ErasedUsers;
pub use self::error::AccountError;
pub use self::guesses::Patience;
pub use self::policy::{Registration, RegistrationMode, RegistrationPolicy};
pub use self::refresh::{Refreshed, Renewal};
pub use self::restriction::Restriction;
pub use self::session::{Caller, NewDevice, OpenedSession};
pub use self::stream_ticket::{EventStream, KEPT_EVERY};

use self::guesses::{About, Guess};
use self::last_seen::LastSeen;
use self::password::Passwords;
use crate::clock;
use crate::interned::Interned;
use crate::log::{Apply, Cache, CommitError, Log, Logged, What};

/// Users whose sessions are kept in memory: the active users of a large process, about a kilobyte each.
const USERS: usize = 65_536;

/// Tokens whose owner is kept in memory; an owner never changes, so nothing invalidates these.
const OWNERS: usize = 131_072;

/// What accounts need to know from the configuration.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// This server's name.
    pub server_name: OwnedServerName,
    /// Memory of one password hash.
    pub argon2_memory_kib: u32,
    /// How long an access token is good for that can be refreshed.
    pub access_token_lifetime: Duration,
    /// How long a login token is good for.
    pub login_token_lifetime: Duration,
    /// How long a token is good for that tells a third party who somebody is.
    pub openid_token_lifetime: Duration,
}

/// The accounts of this server. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Store,
    log: Log,
    interned: Interned,
    server_name: OwnedServerName,
    passwords: Passwords,
    patience: RwLock<Patience>,
    policy: RegistrationPolicy,
    last_seen: LastSeen,
    access_token_lifetime: Duration,
    login_token_lifetime: Duration,
    openid_token_lifetime: Duration,
    users: Cache<UserNid, LocalUser>,
    owners: quick_cache::sync::Cache<TokenHash, UserNid>,
}

/// Who somebody who logs in says to be, and what they prove it by.
pub struct Credentials {
    /// The localpart or the user id; none where they are named by something that no user here has.
    pub name: Option<String>,
    /// The password.
    pub password: String,
    /// Where from, as far as that is known.
    pub address: Option<IpAddr>,
}

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// Its user id, from [`Accounts::free_name`].
    pub user_id: OwnedUserId,
    /// Its password; none where no password shall log in.
    pub password: Option<String>,
    /// May use the admin API.
    pub admin: bool,
    /// A registration token with a limited number of uses, one of which this is.
    pub counted_token: Option<String>,
    /// The device to log in at once, if one.
    pub device: Option<NewDevice>,
}

impl Accounts {
    /// The accounts in `store`, kept true by `log`.
    #[must_use]
    pub fn new(
        store: Store,
        log: Log,
        interned: Interned,
        policy: RegistrationPolicy,
        settings: &AccountSettings,
    ) -> Self {
        let inner = Arc::new(Inner {
            store,
            log,
            interned,
            server_name: settings.server_name.clone(),
            passwords: Passwords::new(settings.argon2_memory_kib),
            patience: RwLock::new(Patience::ENDLESS),
            policy,
            last_seen: LastSeen::new(),
            access_token_lifetime: settings.access_token_lifetime,
            login_token_lifetime: settings.login_token_lifetime,
            openid_token_lifetime: settings.openid_token_lifetime,
            users: Cache::new(USERS),
            owners: quick_cache::sync::Cache::new(OWNERS),
        });
        inner.log.register(Arc::clone(&inner) as Arc<dyn Apply>);
        Self(inner)
    }

    /// Who may register, and how.
    #[must_use]
    pub fn policy(&self) -> &RegistrationPolicy {
        &self.0.policy
    }

    /// Sets how many wrong passwords are borne; until then it is any number.
    pub fn set_patience(&self, patience: Patience) {
        *self.0.patience.write().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    fn patience(&self) -> Patience {
        *self.0.patience.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user id that a new account of this name would have, if it is well formed and free. With no
    /// name, one is made up.
    pub async fn free_name(&self, name: Option<&str>) -> Result<OwnedUserId, AccountError> {
        let Some(name) = name else { return Ok(name::generate(&self.0.server_name)) };
        let user_id = name::parse(name, &self.0.server_name)?;
        if self.find(&user_id).await?.is_some() {
            return Err(AccountError::NameTaken);
        }
        Ok(user_id)
    }

    /// Makes an account, and logs its first device in where one is asked for.
    pub async fn create(&self, new: NewAccount) -> Result<Option<OpenedSession>, AccountError> {
        if let Some(device) = &new.device {
            device.check()?;
        }
        let password_hash = match new.password {
            Some(password) => Some(self.0.passwords.hash(password).await?),
            None => None,
        };
        let user = self.0.interned.user(&new.user_id).await?;
        let ts = clock::now_ms();
        let mut entries =
            vec![Entry::Change(Change::CreateAccount { user, password_hash, admin: new.admin, ts })];
        // Clients show it in the place of the whole id; it is the user's to change.
        let name = serde_json::Value::from(new.user_id.localpart());
        entries.push(Entry::Change(Change::SetProfileField {
            spread: false,
            user,
            key: ProfileFieldName::DisplayName.to_string(),
            value: Some(name.to_string()),
        }));
        if let Some(token) = new.counted_token {
            entries.push(Entry::Change(Change::UseRegistrationToken { token }));
        }
        let session = new.device.map(|device| {
            let renewal = device.refreshable.then(|| self.new_renewal());
            let (changes, session) = session::open(user, new.user_id, device, (renewal, ts));
            entries.extend(changes.into_iter().map(Entry::Change));
            session
        });
        match self.0.log.commit(Proposal { entries, ..Proposal::default() }).await {
            Ok(_) => Ok(session),
            Err(CommitError::Taken) => Err(AccountError::NameTaken),
            Err(CommitError::Absent) => Err(AccountError::TokenUsedUp),
            Err(error) => Err(error.into()),
        }
    }

    /// Logs a device in by password. Says [`AccountError::WrongPassword`], after the same time, whatever of
    /// the two was wrong; and, after too many of those, [`AccountError::TooManyGuesses`] whatever is right.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        device: NewDevice,
    ) -> Result<OpenedSession, AccountError> {
        device.check()?;
        let name = credentials.name.as_deref();
        let user_id = name.and_then(|name| name::of_login(name, &self.0.server_name));
        let account = user_id.as_deref().map(About::Account);
        let about = account.into_iter().chain(credentials.address.map(About::Address));
        let guess = Guess::charge(&self.0.store, self.patience(), about).await?;
        let checked = self.check_password(user_id, credentials.password).await;
        if !matches!(checked, Err(AccountError::WrongPassword)) {
            guess.refund(&self.0.store).await;
        }
        let (user, user_id) = checked?;
        self.open_session(user, user_id, device).await
    }

    async fn open_session(
        &self,
        user: UserNid,
        user_id: OwnedUserId,
        device: NewDevice,
    ) -> Result<OpenedSession, AccountError> {
        self.check_unlocked(user).await?;
        let renewal = device.refreshable.then(|| self.new_renewal());
        let (changes, session) = session::open(user, user_id, device, (renewal, clock::now_ms()));
        let entries = changes.into_iter().map(Entry::Change).collect();
        match self.0.log.commit(Proposal { entries, ..Proposal::default() }).await {
            Ok(_) => Ok(session),
            Err(CommitError::Absent) => Err(AccountError::Deactivated),
            Err(error) => Err(error.into()),
        }
    }

    async fn check_password(
        &self,
        user_id: Option<OwnedUserId>,
        password: String,
    ) -> Result<(UserNid, OwnedUserId), AccountError> {
        let user = match &user_id {
            Some(user_id) => self.0.interned.known_user(user_id).await?,
            None => None,
        };
        let credentials = match user {
            Some(user) => self.0.store.credentials(user).await?,
            None => None,
        };
        let hash = credentials.as_ref().and_then(|credentials| credentials.password_hash.clone());
        let right = self.0.passwords.verify(password, hash).await?;
        // An account that ended has no password any more that could be right.
        if credentials.is_some_and(|credentials| credentials.deactivated) {
            return Err(AccountError::Deactivated);
        }
        match (user, user_id) {
            (Some(user), Some(user_id)) if right => Ok((user, user_id)),
            _ => Err(AccountError::WrongPassword),
        }
    }

    /// Whether this is the password of that user, named as at a login.
    pub(crate) async fn is_password_of(
        &self,
        owner: UserNid,
        name: &str,
        password: String,
    ) -> Result<bool, AccountError> {
        let guess = Guess::charge(&self.0.store, self.patience(), [About::Proof(owner)]).await?;
        let user_id = name::of_login(name, &self.0.server_name);
        let checked = self.check_password(user_id, password).await.map(|(user, _)| user == owner);
        if !matches!(checked, Ok(false) | Err(AccountError::WrongPassword)) {
            guess.refund(&self.0.store).await;
        }
        match checked {
            Err(AccountError::WrongPassword) => Ok(false),
            checked => checked,
        }
    }

    /// Gives a user another password, and logs every other device out where they ask for it.
    pub async fn change_password(
        &self,
        caller: &Caller,
        password: String,
        log_out_others: bool,
    ) -> Result<(), AccountError> {
        let user = caller.user;
        let password_hash = self.0.passwords.hash(password).await?;
        let mut entries = vec![Entry::Change(Change::SetPassword { user, password_hash })];
        if log_out_others {
            let all_but = Some(caller.device_id.to_string());
            entries.push(Entry::Change(Change::CloseSession { user, device_id: None, all_but }));
        }
        match self.0.log.commit(Proposal { entries, ..Proposal::default() }).await {
            Ok(_) => Ok(()),
            Err(CommitError::Absent) => Err(AccountError::Deactivated),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an account, for good. Its user leaves their rooms in the background; with `erase`, what they said is
    /// from now on shown only to those who were in the room when they said it.
    pub async fn deactivate(&self, user: UserNid, erase: bool) -> Result<(), AccountError> {
        let change = Change::DeactivateAccount { user, erase, ts: clock::now_ms() };
        match self.0.log.commit(Proposal::change(change)).await {
            Ok(_) => Ok(()),
            Err(CommitError::Absent) => Err(AccountError::Deactivated),
            Err(error) => Err(error.into()),
        }
    }

    /// Logs one device out.
    pub async fn log_out(&self, user: UserNid, device_id: OwnedDeviceId) -> Result<(), AccountError> {
        let change = Change::CloseSession { user, device_id: Some(device_id.to_string()), all_but: None };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// Logs every device of a user out.
    pub async fn log_out_everywhere(&self, user: UserNid) -> Result<(), AccountError> {
        let change = Change::CloseSession { user, device_id: None, all_but: None };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// Gives an account another password and logs every device out.
    pub async fn reset_password(&self, user_id: &UserId, password: String) -> Result<(), AccountError> {
        let user = self.find(user_id).await?.ok_or(AccountError::NoAccount)?.user;
        let password_hash = self.0.passwords.hash(password).await?;
        let entries = vec![
            Entry::Change(Change::SetPassword { user, password_hash }),
            Entry::Change(Change::CloseSession { user, device_id: None, all_but: None }),
        ];
        match self.0.log.commit(Proposal { entries, ..Proposal::default() }).await {
            Ok(_) => Ok(()),
            Err(CommitError::Absent) => Err(AccountError::NoAccount),
            Err(error) => Err(error.into()),
        }
    }

    /// The account of a user, if they have one, deactivated or not.
    pub async fn find(&self, user_id: &UserId) -> Result<Option<Arc<LocalUser>>, AccountError> {
        if user_id.server_name() != self.0.server_name {
            return Ok(None);
        }
        match self.0.interned.known_user(user_id).await? {
            Some(user) => self.local_user(user).await,
            None => Ok(None),
        }
    }

    /// Whose token this is, if it is good.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, AccountError> {
        self.caller_of(&secret::hash(token)).await
    }

    /// Whose token this is what is kept of, if it is good.
    pub async fn caller_of(&self, hash: &TokenHash) -> Result<Option<Caller>, AccountError> {
        let owner = match self.0.owners.get(hash) {
            Some(owner) => owner,
            None => match self.0.store.token_owner(hash).await? {
                Some(owner) => {
                    self.0.owners.insert(*hash, owner);
                    owner
                }
                None => return Ok(None),
            },
        };
        let Some(user) = self.local_user(owner).await? else { return Ok(None) };
        let Some(session) = session::find(&user, hash) else { return Ok(None) };
        if session.expires_ts.is_some_and(|expires| expires <= clock::now_ms()) {
            return Err(AccountError::TokenExpired);
        }
        if session.unused {
            self.confirm(owner, &session.device_id, hash).await;
        }
        Ok(Some(Caller::of(&user, session)))
    }

    async fn check_unlocked(&self, user: UserNid) -> Result<(), AccountError> {
        let locked = self.local_user(user).await?.is_some_and(|user| user.restrictions.locked);
        if locked { Err(AccountError::Locked) } else { Ok(()) }
    }

    async fn local_user(&self, user: UserNid) -> Result<Option<Arc<LocalUser>>, AccountError> {
        let store = &self.0.store;
        Ok(self.0.users.get(&user, || store.local_user(user)).await?)
    }
}

impl Apply for Inner {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Change(
                Change::CreateAccount { user, .. }
                | Change::SetPassword { user, .. }
                | Change::OpenSession { user, .. }
                | Change::DeactivateAccount { user, .. }
                | Change::RestrictAccount { user, .. }
                | Change::MakeRefreshable { user, .. }
                | Change::RefreshSession { user, .. }
                | Change::ConfirmToken { user, .. }
                | Change::CloseSession { user, .. },
            ) => self.users.invalidate(user),
            What::Unknown => {
                if let Some(user) = entry.subject {
                    self.users.invalidate(&user);
                }
            }
            _ => {}
        }
    }

    fn reset(&self) {
        self.users.clear();
    }
}
