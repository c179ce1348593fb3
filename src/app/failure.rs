//! Why the program ends with something other than success.

use std::process::ExitCode;

use hearth_services::accounts::AccountError;
use hearth_store::StoreError;
use hearth_store::backup::BackupError;
use hearth_store::connect::ConnectError;
use hearth_store::private_postgres::PrivatePostgresError;

use super::identity::IdentityError;
use super::listener::ListenError;
use crate::config::ConfigError;

/// `EX_CONFIG` of sysexits(3): starting again without changing something cannot help.
const CONFIGURATION: u8 = 78;

/// Why a command or the server ended; every message is one sentence, or one a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no database to work with.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database is another server's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An address is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Something about an account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The process could not be set up.
    #[error("{0}")]
    Start(String),
    /// What a command was given does not do.
    #[error("{0}")]
    Input(String),
    /// A task without which the server cannot go on.
    #[error("a task that the server cannot do without has failed; the log says which")]
    TaskFailed,
}

impl Failure {
    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Identity(IdentityError::OtherName { .. }) => {
                ExitCode::from(CONFIGURATION)
            }
            Self::Connect(error) if needs_a_change(error) => ExitCode::from(CONFIGURATION),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Whether trying again without changing something is of no use.
fn needs_a_change(error: &ConnectError) -> bool {
    match error {
        ConnectError::Private(error) => matches!(
            error,
            PrivatePostgresError::NoPrograms
                | PrivatePostgresError::WrongVersion { .. }
                | PrivatePostgresError::TooOld { .. }
                | PrivatePostgresError::Copied { .. }
                | PrivatePostgresError::NotOurs { .. }
                | PrivatePostgresError::OutOfReach { .. }
                | PrivatePostgresError::NoUserName(_)
                | PrivatePostgresError::NobodyToRunAs
        ),
        ConnectError::Url(_)
        | ConnectError::Unsuitable(_)
        | ConnectError::Pooler
        | ConnectError::NewerSchema { .. } => true,
        _ => false,
    }
}
