//! Who runs PostgreSQL: it refuses to run as root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User, geteuid};

use super::error::PrivatePostgresError;

/// A user of the operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
}

impl Account {
    /// Who we are.
    pub(super) fn ours() -> Result<Self, PrivatePostgresError> {
        by_id(geteuid()).ok_or(PrivatePostgresError::NoUserName(geteuid().as_raw()))
    }

    /// Who runs the database: ourselves, or when we are root the owner of the database or, for one still to
    /// be made, an unprivileged user.
    pub(super) fn for_database(pgdata: &Path) -> Result<Self, PrivatePostgresError> {
        let owner = fs::metadata(pgdata).ok().map(|metadata| metadata.uid());
        match owner {
            _ if !geteuid().is_root() => match owner {
                Some(owner) if owner != geteuid().as_raw() => {
                    Err(PrivatePostgresError::NotOurs { pgdata: pgdata.to_owned(), owner })
                }
                _ => Self::ours(),
            },
            Some(owner) if owner != 0 => {
                by_id(Uid::from_raw(owner)).ok_or(PrivatePostgresError::NoUserName(owner))
            }
            _ => unprivileged(),
        }
    }

    /// Whether this is not who we are.
    pub(super) fn is_other(&self) -> bool {
        geteuid().as_raw() != self.uid
    }
}

fn unprivileged() -> Result<Account, PrivatePostgresError> {
    let mut users =
        ["postgres", "nobody"].into_iter().filter_map(|name| User::from_name(name).ok().flatten());
    users.next().map(account).ok_or(PrivatePostgresError::NobodyToRunAs)
}

fn by_id(uid: Uid) -> Option<Account> {
    User::from_uid(uid).ok().flatten().map(account)
}

fn account(user: User) -> Account {
    Account { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name }
}
