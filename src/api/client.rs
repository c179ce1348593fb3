//! The client-server API, one file for each module of the specification.

mod account_data;
mod admin;
mod aliases;
mod capabilities;
mod create_room;
mod deactivation;
mod devices;
mod directory;
mod filter;
mod membership;
mod openid;
mod password;
mod presence;
mod profile;
mod prove;
mod push_rules;
mod receipts;
mod registration;
mod room_events;
mod room_state;
mod send;
mod session;
mod sliding_sync;
mod stream;
mod sync;
mod tags;
mod typing;
mod uia_fallback;
mod versions;
mod voip;

pub(crate) use self::stream::routes as stream_routes;
pub use self::stream::{StreamSettings, Streams};

use crate::route::Route;

/// Its routes.
pub(crate) fn routes() -> Vec<Route> {
    [
        account_data::routes(),
        admin::routes(),
        aliases::routes(),
        capabilities::routes(),
        directory::routes(),
        create_room::routes(),
        deactivation::routes(),
        devices::routes(),
        filter::routes(),
        membership::routes(),
        openid::routes(),
        password::routes(),
        presence::routes(),
        profile::routes(),
        push_rules::routes(),
        receipts::routes(),
        registration::routes(),
        room_events::routes(),
        room_state::routes(),
        send::routes(),
        session::routes(),
        sliding_sync::routes(),
        sync::routes(),
        tags::routes(),
        typing::routes(),
        uia_fallback::routes(),
        versions::routes(),
        voip::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
