//! Devices of local users. The log writes them, but for when they were last used.

use hearth_core::id::UserNid;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};

use crate::{Result, Store};

/// A device of a local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Its name, where it has one.
    pub display_name: Option<String>,
    /// When it was made, milliseconds since the epoch.
    pub created_ts: i64,
    /// When it was last used.
    pub seen: Option<Sighting>,
}

/// One use of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The client's address, where it has one.
    pub ip: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Milliseconds since the epoch.
    pub ts: i64,
}

impl FromRow<'_, PgRow> for Device {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let seen = match row.try_get::<Option<i64>, _>("ts")? {
            Some(ts) => Some(Sighting { ip: row.try_get("ip")?, user_agent: row.try_get("user_agent")?, ts }),
            None => None,
        };
        Ok(Self {
            id: row.try_get("id")?,
            display_name: row.try_get("display_name")?,
            created_ts: row.try_get("created_ts")?,
            seen,
        })
    }
}

impl Store {
    /// The devices of a user, by id. Served by `device_pkey` and `device_seen_pkey`.
    pub async fn devices(&self, user: UserNid) -> Result<Vec<Device>> {
        let devices = sqlx::query_as(
            "SELECT d.id, d.display_name, d.created_ts, s.ts, s.ip, s.user_agent
             FROM device d
             LEFT JOIN device_seen s ON s.user_nid = d.user_nid AND s.device_id = d.id AND s.ts >= d.created_ts
             WHERE d.user_nid = $1 ORDER BY d.id",
        )
        .bind(user.get())
        .fetch_all(self.db())
        .await?;
        Ok(devices)
    }

    /// A device of a user. Served by `device_pkey` and `device_seen_pkey`.
    pub async fn device(&self, user: UserNid, id: &str) -> Result<Option<Device>> {
        let device = sqlx::query_as(
            "SELECT d.id, d.display_name, d.created_ts, s.ts, s.ip, s.user_agent
             FROM device d
             LEFT JOIN device_seen s ON s.user_nid = d.user_nid AND s.device_id = d.id AND s.ts >= d.created_ts
             WHERE d.user_nid = $1 AND d.id = $2",
        )
        .bind(user.get())
        .bind(id)
        .fetch_optional(self.db())
        .await?;
        Ok(device)
    }

    /// Writes when devices were last used; what another process saw later stays.
    pub async fn add_sightings(&self, sightings: &[(UserNid, String, Sighting)]) -> Result<()> {
        let users: Vec<i64> = sightings.iter().map(|(user, ..)| user.get()).collect();
        let devices: Vec<&str> = sightings.iter().map(|(_, device, _)| &**device).collect();
        let ips: Vec<Option<&str>> = sightings.iter().map(|(.., seen)| seen.ip.as_deref()).collect();
        let agents: Vec<Option<&str>> =
            sightings.iter().map(|(.., seen)| seen.user_agent.as_deref()).collect();
        let times: Vec<i64> = sightings.iter().map(|(.., seen)| seen.ts).collect();
        // In one order, so that two processes never wait for each other.
        sqlx::query(
            "INSERT INTO device_seen AS s (user_nid, device_id, ip, user_agent, ts)
             SELECT u.user_nid, u.device_id, u.ip, u.user_agent, u.ts
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
                 AS u (user_nid, device_id, ip, user_agent, ts)
             ORDER BY u.user_nid, u.device_id
             ON CONFLICT (user_nid, device_id) DO UPDATE
             SET ip = excluded.ip, user_agent = excluded.user_agent, ts = excluded.ts
             WHERE s.ts < excluded.ts",
        )
        .bind(users)
        .bind(devices)
        .bind(ips)
        .bind(agents)
        .bind(times)
        .execute(self.db())
        .await?;
        Ok(())
    }
}
