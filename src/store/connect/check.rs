//! Whether a database can be served from at all.

use sqlx::PgConnection;

use super::{ConnectError, MINIMUM_MAJOR};

/// What is asked of a database at the start.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Facts {
    version: i32,
    encoding: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    recovering: bool,
}

/// Refuses a database that is too old, not in UTF-8, or could lose what it acknowledged.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let facts: Facts = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer AS version,
                getdatabaseencoding()::text AS encoding,
                current_setting('fsync') AS fsync,
                current_setting('full_page_writes') AS full_page_writes,
                current_setting('synchronous_commit') AS synchronous_commit,
                pg_is_in_recovery() AS recovering",
    )
    .fetch_one(connection)
    .await
    .map_err(ConnectError::Unreachable)?;
    facts.judge().map_or(Ok(()), |reason| Err(ConnectError::Unsuitable(reason)))
}

impl Facts {
    /// What is wrong, if anything.
    fn judge(&self) -> Option<String> {
        let major = self.version / 10_000;
        if u32::try_from(major).unwrap_or(0) < MINIMUM_MAJOR {
            return Some(format!("it runs PostgreSQL {major}, and {MINIMUM_MAJOR} is the oldest supported"));
        }
        if self.encoding != "UTF8" {
            return Some(format!(
                "its encoding is {}, not UTF8 (CREATE DATABASE … ENCODING 'UTF8')",
                self.encoding
            ));
        }
        if self.recovering {
            return Some("it is a standby that accepts no writes".to_owned());
        }
        let settings = [
            ("fsync", &self.fsync),
            ("full_page_writes", &self.full_page_writes),
            ("synchronous_commit", &self.synchronous_commit),
        ];
        let (name, _) = settings.into_iter().find(|(_, value)| *value == "off")?;
        Some(format!("its setting {name} is off, so that it could lose what was acknowledged; switch it on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            version: 150_013,
            encoding: "UTF8".into(),
            fsync: "on".into(),
            full_page_writes: "on".into(),
            synchronous_commit: "remote_apply".into(),
            recovering: false,
        }
    }

    #[test]
    fn a_durable_database_of_a_supported_version_is_accepted() {
        assert_eq!(good().judge(), None);
    }

    #[test]
    fn each_unsuitable_database_is_told_why() {
        let cases = [
            (Facts { version: 120_004, ..good() }, "PostgreSQL 12"),
            (Facts { encoding: "SQL_ASCII".into(), ..good() }, "SQL_ASCII"),
            (Facts { recovering: true, ..good() }, "standby"),
            (Facts { fsync: "off".into(), ..good() }, "fsync"),
            (Facts { full_page_writes: "off".into(), ..good() }, "full_page_writes"),
            (Facts { synchronous_commit: "off".into(), ..good() }, "synchronous_commit"),
        ];
        for (facts, word) in cases {
            assert!(facts.judge().is_some_and(|reason| reason.contains(word)), "{facts:?}");
        }
    }
}
