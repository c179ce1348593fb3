//! All SQL, and only SQL: one noun per file.

pub mod account;
pub mod account_data;
pub mod alias;
pub mod backup;
pub mod bus;
pub mod clean_up;
pub mod connect;
pub mod departure;
pub mod device;
pub mod error;
pub mod event;
pub mod failed_login;
mod filter;
pub mod interned;
pub mod lease;
pub mod log;
mod login_token;
pub mod media;
pub mod membership;
mod openid;
pub mod presence;
pub mod private_postgres;
pub mod profile;
pub mod receipt;
mod registration_token;
pub mod room;
pub mod server;
pub mod sliding;
pub mod statements;
pub mod stream_ticket;
pub mod turn;
pub mod uia;
pub mod unread;

use std::sync::Arc;

use sqlx::PgPool;
/// How to reach the database.
pub use sqlx::postgres::PgConnectOptions;

pub use crate::error::{Result, StoreError};
use crate::private_postgres::Space;

/// The database. Cheap to clone; every clone shares one pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    space: Option<Arc<Space>>,
}

impl Store {
    /// A store over a pool whose database has this release's schema.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool, space: None }
    }

    /// This store with the room on its database's disk, where that is known.
    #[must_use]
    pub(crate) fn with_space(self, space: Option<Space>) -> Self {
        Self { space: space.map(Arc::new), ..self }
    }

    /// Whether so little room is left on the database's disk that nothing new should be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.space.as_ref().is_some_and(|space| space.is_low())
    }

    /// A store that connects when it is first asked something.
    #[must_use]
    pub fn lazy(options: PgConnectOptions) -> Self {
        Self::new(PgPool::connect_lazy_with(options))
    }

    /// The pool, for one statement; counts it for the request that is being served.
    ///
    /// Every statement begins here, so that the count is the truth.
    pub(crate) fn db(&self) -> &PgPool {
        statements::count();
        &self.pool
    }

    /// The pool itself, for what is not a statement: a transaction, a listener, closing.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }
}
