//! What can go wrong with the database, as its callers need to tell it apart.

/// The result of everything in this crate.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full, is shutting down, or took too long. Trying again may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A row that had to be new was there already, or one that had to be there was not.
    #[error("the database holds something that stands in the way: {0}")]
    Conflict(#[source] sqlx::Error),
    /// PostgreSQL refuses the value itself (class 21, 22 or 23, or 54, a limit of its own): sending it again
    /// cannot help.
    #[error("the database refuses a value: {0}")]
    Refused(#[source] sqlx::Error),
    /// What is stored does not make sense: a bug, or a damaged disk.
    #[error("the database is damaged: {table}, row {row}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// Its row, as far as it is known.
        row: String,
    },
}

impl StoreError {
    /// For a row that cannot be understood or must exist and does not.
    #[expect(clippy::needless_pass_by_value, reason = "callers name the row as a nid, a string or a format")]
    pub fn corrupt(table: &'static str, row: impl ToString) -> Self {
        Self::Corrupt { table, row: row.to_string() }
    }

    /// For a value that the database cannot hold.
    #[must_use]
    pub fn refused(why: &str) -> Self {
        Self::Refused(sqlx::Error::Protocol(why.to_owned()))
    }

    /// Whether the database has no room on its disk: it can be read all the same.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| code == "53100")
    }

    /// Whether a commit that failed so may have happened all the same: the connection died over it, or the
    /// backend was shut down and may have been past the point of no return.
    #[must_use]
    pub fn leaves_commit_unknown(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        let Some(answer) = error.as_database_error() else { return true };
        answer.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
    }
}

impl From<std::io::Error> for StoreError {
    /// The connection is gone.
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(sqlx::Error::Io(error))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else {
            return Self::Unavailable(error);
        };
        match code.get(..2) {
            Some("23") if code == "23505" => Self::Conflict(error),
            Some("21" | "22" | "23" | "54") => Self::Refused(error),
            _ => Self::Unavailable(error),
        }
    }
}
