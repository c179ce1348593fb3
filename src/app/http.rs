//! Puts the services behind HTTP.

use std::sync::Arc;

use hearth_api::{
    Admission, App, RateLimits, Readiness, Services, Settings, StreamSettings, Streams, Support,
};
use hearth_core::pdu::SigningKey;
use hearth_services::account_data::AccountData;
use hearth_services::accounts::uia::Uia;
use hearth_services::ephemeral::presence::{PresenceSettings, Presences};
use hearth_services::ephemeral::receipts::Receipts;
use hearth_services::ephemeral::typing::Typing;
use hearth_services::filters::Filters;
use hearth_services::profiles::Profiles;
use hearth_services::rooms::{Departures, Directory, RoomReader, Rooms};
use hearth_services::sync::{Parts, Passing, Sync, SyncSettings};
use ruma::api::client::discovery::discover_support::{Contact, ContactRole};

use super::foundation::Foundation;
use super::{Failure, limits, media};
use crate::config::Config;

/// Everything that HTTP serves, over the foundation; its caches are registered with the log.
pub(super) async fn compose(
    config: &Config,
    foundation: &Foundation,
    key: SigningKey,
    readiness: Readiness,
) -> Result<App, Failure> {
    let Foundation { log, interned, accounts, policy, .. } = foundation;
    let store = || foundation.store().clone();
    let profiles = Profiles::new(store(), log.clone(), interned.clone(), config.server_name.clone());
    let reader = RoomReader::new(store(), interned.clone(), log);
    let rooms = Rooms::new(reader, log.clone(), Arc::new(key), profiles.clone());
    let stop = foundation.stages.stopping.clone();
    foundation.supervisor.run("profiles", stop.clone(), rooms.clone().spread_profiles(stop));
    let account_data = AccountData::new(store(), log.clone(), interned.clone());
    accounts.set_patience(limits::patience(config));
    let filters = Filters::new(store());
    let directory = Directory::new(rooms.clone(), log.clone());
    // Sync is last, because it wakes those whom the caches before it must have heard for.
    let receipts = Receipts::new(rooms.reader().clone(), log.clone(), account_data.clone()).await;
    let typing = Typing::new(rooms.reader().clone(), log.clone(), config.typing_max_timeout).await?;
    let stop = foundation.stages.stopping.clone();
    foundation.supervisor.run("end of typing", stop.clone(), typing.clone().expire(stop.clone()));
    let last_seen = accounts.clone().write_last_seen(stop.clone());
    foundation.supervisor.run("when devices were last seen", stop.clone(), last_seen);
    let presences = Presences::new(rooms.reader().clone(), log.clone(), presence(config)).await?;
    foundation.supervisor.run("presence", stop.clone(), presences.clone().run(stop.clone()));
    let departures = Departures::new(rooms.clone(), log.clone()).run(stop.clone());
    foundation.supervisor.run("departures", stop.clone(), departures);
    let parts = Parts {
        reader: rooms.reader().clone(),
        log: log.clone(),
        filters: filters.clone(),
        passing: Passing { receipts: receipts.clone(), typing: typing.clone(), presences: presences.clone() },
    };
    let media = media::open(config, store(), log.clone()).await?;
    foundation.supervisor.run("media", stop.clone(), media.clone().run(stop.clone()));
    let sync = Sync::new(parts, sync_settings(config), foundation.stages.draining.clone()).await;
    foundation.supervisor.run("telling of presence", stop.clone(), sync.clone().tell_presence(stop));
    Ok(App::new(Services {
        log: log.clone(),
        accounts: accounts.clone(),
        uia: Uia::new(store(), policy.clone(), accounts.clone()),
        account_data,
        filters,
        profiles,
        directory,
        rooms,
        receipts,
        typing,
        presences,
        media,
        sync,
        streams: Streams::new(streams(config), foundation.supervisor.connections()),
        admission: Admission::new(config.limits_max_requests),
        limits: RateLimits::new(limits::rates(config), log.clone()),
        readiness,
        settings: settings(config),
    }))
}

fn streams(config: &Config) -> StreamSettings {
    StreamSettings {
        heartbeat: config.stream_heartbeat,
        origins: config.stream_origins.clone(),
        per_address: usize::try_from(config.limits_max_connections_per_address).unwrap_or(usize::MAX),
    }
}

const fn sync_settings(config: &Config) -> SyncSettings {
    SyncSettings {
        longest_wait: config.sync_max_timeout,
        per_device: config.limits_syncs_per_device,
        per_user: config.limits_syncs_per_user,
        connection_lifetime: config.sync_connection_lifetime,
    }
}

const fn presence(config: &Config) -> PresenceSettings {
    PresenceSettings {
        enabled: config.presence_enabled,
        active_for: config.presence_active_for,
        idle_after: config.presence_idle_after,
        offline_after: config.presence_offline_after,
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        server_name: config.server_name.clone(),
        public_url: config.public_url.as_ref().map(|address| address.0.clone()),
        trusted_proxies: config.trusted_proxies.clone(),
        request_deadline: config.http_request_timeout,
        stall_timeout: config.http_stall_timeout,
        query_tokens: config.http_query_tokens,
        support: support(config),
    }
}

fn support(config: &Config) -> Support {
    let (email_address, matrix_id) = (config.support_email.clone(), config.support_matrix_id.clone());
    let somebody = email_address.is_some() || matrix_id.is_some();
    let contact = Contact { role: ContactRole::Admin, email_address, matrix_id };
    Support {
        contacts: somebody.then_some(contact).into_iter().collect(),
        page: config.support_page.as_ref().map(|address| address.0.clone()),
    }
}
