//! The client-server API, a file for each module of the specification.

mod account_data;
mod aliases;
mod bad_input;
mod conventions;
mod create_room;
mod deactivation;
mod devices;
mod discovery;
mod endpoints;
mod event_streams;
mod filters;
mod guesses;
mod ignored_users;
mod limits;
mod login;
mod login_tokens;
mod media_async;
mod media_bad_input;
mod media_download;
mod media_frozen;
mod media_previews;
mod media_resumption;
mod media_thumbnails;
mod media_upload;
mod membership;
mod moderation;
mod openid;
mod password;
mod presence;
mod profiles;
mod reading;
mod reading_details;
mod receipts;
mod redaction;
mod refresh;
mod register;
mod room_summary;
mod sending;
mod sliding_connections;
mod sliding_extensions;
mod sliding_lists;
mod sliding_rooms;
mod stream_views;
mod streams;
mod sync;
mod sync_sections;
mod typing;
mod uia;
mod unread;
mod visibility;

use crate::harness::Test;

/// All tests of this API.
pub fn tests() -> Vec<Test> {
    let modules = [
        account_data::tests(),
        aliases::tests(),
        bad_input::tests(),
        conventions::tests(),
        create_room::tests(),
        deactivation::tests(),
        devices::tests(),
        discovery::tests(),
        endpoints::tests(),
        event_streams::tests(),
        filters::tests(),
        guesses::tests(),
        ignored_users::tests(),
        limits::tests(),
        login::tests(),
        login_tokens::tests(),
        media_async::tests(),
        media_bad_input::tests(),
        media_download::tests(),
        media_frozen::tests(),
        media_previews::tests(),
        media_resumption::tests(),
        media_thumbnails::tests(),
        media_upload::tests(),
        membership::tests(),
        moderation::tests(),
        openid::tests(),
        password::tests(),
        presence::tests(),
        profiles::tests(),
        reading::tests(),
        reading_details::tests(),
        receipts::tests(),
        redaction::tests(),
        refresh::tests(),
        register::tests(),
        room_summary::tests(),
        sending::tests(),
        sliding_connections::tests(),
        sliding_extensions::tests(),
        sliding_lists::tests(),
        sliding_rooms::tests(),
        stream_views::tests(),
        streams::tests(),
        sync::tests(),
        sync_sections::tests(),
        typing::tests(),
        uia::tests(),
        unread::tests(),
        visibility::tests(),
    ];
    modules.concat()
}
