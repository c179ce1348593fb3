use std::time::Duration;

use hearth_core::grammar::GrammarError;
use hearth_store::StoreError;

use crate::log::CommitError;

/// Why something about an account did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody may register.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The name belongs, or once belonged, to somebody.
    #[error("the name is taken")]
    NameTaken,
    /// The name is not what names are.
    #[error(transparent)]
    Name(GrammarError),
    /// The device id is not what device ids are.
    #[error(transparent)]
    DeviceId(GrammarError),
    /// The password is empty or longer than is reasonable.
    #[error("the password is empty or too long")]
    PasswordLength,
    /// There is no such account, or that is not its password.
    #[error("wrong name or password")]
    WrongPassword,
    /// The login token is not one, or no longer.
    #[error("the login token is not known")]
    WrongLoginToken,
    /// The refresh token is not one, or no longer.
    #[error("the refresh token is not known")]
    UnknownRefreshToken,
    /// The access token expired; it can be refreshed.
    #[error("the access token expired")]
    TokenExpired,
    /// There were too many wrong passwords lately: none is looked at for so long.
    #[error("too many wrong passwords")]
    TooManyGuesses(Duration),
    /// The account is in use no more.
    #[error("the account was deactivated")]
    Deactivated,
    /// The account is locked.
    #[error("the account is locked")]
    Locked,
    /// There is no such account.
    #[error("there is no such account")]
    NoAccount,
    /// There is no such device.
    #[error("there is no such device")]
    NoDevice,
    /// The name of a device is not what one is.
    #[error(transparent)]
    DeviceName(GrammarError),
    /// The registration token was used as often as it may be.
    #[error("the registration token is used up")]
    TokenUsedUp,
    /// Too many passwords wait to be checked.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The password hash could not be computed or read.
    #[error("a password hash failed: {0}")]
    Hash(String),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
