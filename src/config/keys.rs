//! The one table of keys. What is read, the environment's names, the example and the documentation all come
//! from it.

use std::path::PathBuf;
use std::time::Duration;

use hearth_services::rate::Rate;
use ipnet::IpNet;
use ruma::{OwnedServerName, OwnedUserId};

use super::error::{Origin, Problem};
use super::value::{Day, Listen, LogFormat, Mode, Raw, Secret, Setting, Size, WebAddress};
use super::values::Values;

/// A key, as far as its type does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its path in the file, with dots.
    pub(crate) path: &'static str,
    /// What holds when nobody sets it; empty for nothing.
    pub(crate) default: &'static str,
    /// What it is for.
    pub(crate) doc: &'static str,
    /// Never shown, and can be kept in a file of its own.
    pub(crate) secret: bool,
    /// SIGHUP puts a change in force.
    pub(crate) reloads: bool,
    /// What can be written.
    pub(crate) expected: &'static str,
}

impl Key {
    /// Its environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("HEARTH_{}", self.path.replace('.', "__").to_uppercase())
    }
}

macro_rules! settings {
    ($($field:ident: $type:ty, $path:literal = $default:literal $(, $flag:ident)*; $doc:literal)+) => {
        /// The whole configuration.
        #[derive(Clone, Debug)]
        pub(crate) struct Config {
            $(pub(crate) $field: $type,)+
        }

        /// Every key, in the order of the example.
        pub(crate) const KEYS: &[Key] = &[
            $(Key {
                path: $path,
                default: $default,
                doc: $doc,
                secret: settings!(@has secret $($flag)*),
                reloads: settings!(@has reloads $($flag)*),
                expected: <$type as Setting>::EXPECTED,
            },)+
        ];

        impl Config {
            /// Reads every key; what is wrong is added to `problems`.
            pub(super) fn read(values: &Values, problems: &mut Vec<Problem>) -> Option<Self> {
                $(let $field = read_one::<$type>(values, $path, $default, problems);)+
                Some(Self { $($field: $field?,)+ })
            }

            /// This configuration with the keys of another that a reload puts in force.
            pub(crate) fn with_reloaded(&self, new: Self) -> Self {
                Self {
                    $($field: if settings!(@has reloads $($flag)*) { new.$field } else { self.$field.clone() },)+
                }
            }

            /// Every key with what it is set to.
            pub(crate) fn show(&self) -> Vec<(&'static Key, String)> {
                let shown = [$(Setting::show(&self.$field),)+];
                KEYS.iter().zip(shown).collect()
            }
        }
    };
    (@has $flag:ident) => { false };
    (@has secret secret $($rest:ident)*) => { true };
    (@has reloads reloads $($rest:ident)*) => { true };
    (@has $flag:ident $other:ident $($rest:ident)*) => { settings!(@has $flag $($rest)*) };
}

fn read_one<T: Setting>(
    values: &Values,
    path: &str,
    default: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let default = (Raw::Loose(default.to_owned()), Origin::Default);
    let (raw, origin) = values.get(path).unwrap_or(&default);
    T::read(raw).map_err(|what| problems.push(Problem::new(origin.clone(), path, what))).ok()
}

settings! {
    server_name: OwnedServerName, "server_name" = "localhost";
    "The part of every user id behind the colon. It can never change once the server has started."

    data_dir: PathBuf, "data_dir" = "./data";
    "Where the server keeps what it stores outside PostgreSQL, and the private PostgreSQL itself."

    listen: Vec<Listen>, "listen" = "127.0.0.1:8008";
    "Where to listen for HTTP: addresses, IPv6 ones in brackets, or unix:/path/of/a.socket. [::] is IPv4 too."

    public_url: Option<WebAddress>, "public_url" = "";
    "Where clients reach this server from outside, told to them by /.well-known/matrix/client."

    trusted_proxies: Vec<IpNet>, "trusted_proxies" = "";
    "Networks of the reverse proxies whose X-Forwarded-For is believed, read right to left."

    database_url: Option<Secret>, "database.url" = "", secret;
    "A PostgreSQL to use: postgres://user:password@host/database. Without one the server runs its own."

    database_programs: Option<PathBuf>, "database.programs" = "";
    "The folder of PostgreSQL's programs (initdb, postgres, pg_dump), where they are in an unusual place."

    database_pool_size: u32, "database.pool_size" = "20";
    "How many connections to PostgreSQL are kept at most, beside those of the log."

    database_acquire_timeout: Duration, "database.acquire_timeout" = "10s";
    "How long a request waits for one of them."

    database_statement_timeout: Duration, "database.statement_timeout" = "30s";
    "How long one statement may take."

    registration_mode: Mode, "registration.mode" = "token", reloads;
    "Who may make an account: nobody (closed), who knows the registration token (token), or anybody (open)."

    registration_token: Option<Secret>, "registration.token" = "", secret, reloads;
    "The registration token. Without one the server makes its own; `hearth registration token` shows it."

    registration_terms_name: String, "registration.terms.name" = "Terms of service", reloads;
    "The name of the document that new users must agree to, where there is one."

    registration_terms_version: Option<String>, "registration.terms.version" = "", reloads;
    "Its version."

    registration_terms_url: Option<WebAddress>, "registration.terms.url" = "", reloads;
    "Where it is. With it and the version set, registering demands agreement."

    federation_enabled: Option<bool>, "federation.enabled" = "";
    "Whether to talk to other servers. Accepted, but there is nothing to switch yet."

    outgoing_allowed: Vec<IpNet>, "outgoing.allowed" = "";
    "Networks that the server may talk to although they are private, when it fetches previews and speaks to other servers."

    outgoing_user_agent: String, "outgoing.user_agent" = "Hearth";
    "What the server calls itself when it does."

    outgoing_connect_timeout: Duration, "outgoing.connect_timeout" = "10s";
    "How long connecting may take."

    limits_enabled: bool, "limits.enabled" = "true", reloads;
    "Whether requests are limited in rate. A rate of 50/s burst 600 lets 600 pass at once and then 50 a second; m, h and d are longer periods. Sizes and counts are limited in any case."

    limits_rates_message: Rate, "limits.rates.message" = "50/s burst 600", reloads;
    "Events that a user sends."

    limits_rates_admin_redaction: Rate, "limits.rates.admin_redaction" = "200/s burst 2000", reloads;
    "Redactions by an administrator of the server."

    limits_rates_room_creation: Rate, "limits.rates.room_creation" = "12/m burst 20", reloads;
    "Rooms that a user makes."

    limits_rates_invites_per_issuer: Rate, "limits.rates.invites_per_issuer" = "30/m burst 50", reloads;
    "Invites that a user sends."

    limits_rates_invites_per_room: Rate, "limits.rates.invites_per_room" = "60/m burst 100", reloads;
    "Invites to a room."

    limits_rates_invites_per_user: Rate, "limits.rates.invites_per_user" = "6/m burst 50", reloads;
    "Invites that a user gets."

    limits_rates_joins_per_user: Rate, "limits.rates.joins_per_user" = "1/s burst 50", reloads;
    "Rooms that a user joins."

    limits_rates_joins_per_room: Rate, "limits.rates.joins_per_room" = "10/s burst 200", reloads;
    "Users who join a room."

    limits_rates_knocks: Rate, "limits.rates.knocks" = "6/m burst 20", reloads;
    "Rooms that a user knocks on."

    limits_rates_moderation: Rate, "limits.rates.moderation" = "5/s burst 100", reloads;
    "Members whom a user removes, bans or pardons."

    limits_rates_aliases: Rate, "limits.rates.aliases" = "12/m burst 30", reloads;
    "Aliases that a user makes or takes away, and rooms that they list."

    limits_rates_directory: Rate, "limits.rates.directory" = "5/s burst 50", reloads;
    "Pages of the directory and summaries of rooms that somebody looks at."

    limits_rates_history: Rate, "limits.rates.history" = "20/s burst 200", reloads;
    "Pages of history, lists of members and whole states that a user reads."

    limits_rates_first_sync: Rate, "limits.rates.first_sync" = "20/m burst 30", reloads;
    "Syncs from the very start by a user."

    limits_rates_profile: Rate, "limits.rates.profile" = "30/m burst 10", reloads;
    "Changes of a user's profile, which all of their rooms hear of."

    limits_rates_receipts: Rate, "limits.rates.receipts" = "10/s burst 300", reloads;
    "Receipts and markers that a user sets."

    limits_rates_typing: Rate, "limits.rates.typing" = "10/s burst 300", reloads;
    "Notices that a user types."

    limits_rates_presence: Rate, "limits.rates.presence" = "30/m burst 20", reloads;
    "Changes of a user's presence by request; those that come with a sync are free."

    limits_rates_account_data: Rate, "limits.rates.account_data" = "5/s burst 200", reloads;
    "Changes of a user's account data, tags and push rules."

    limits_rates_filters: Rate, "limits.rates.filters" = "1/s burst 50", reloads;
    "Filters that a user keeps."

    limits_rates_uploads: Rate, "limits.rates.uploads" = "5/s burst 100", reloads;
    "Media that a user uploads."

    limits_rates_media_reservations: Rate, "limits.rates.media_reservations" = "2/s burst 50", reloads;
    "Media ids that a user reserves for later uploads."

    limits_rates_downloads: Rate, "limits.rates.downloads" = "100/s burst 2000", reloads;
    "Media and thumbnails that a user fetches, or an address without a user."

    limits_rates_previews: Rate, "limits.rates.previews" = "1/s burst 30", reloads;
    "Previews of web pages that a user asks for."

    limits_rates_registration: Rate, "limits.rates.registration" = "10/m burst 20", reloads;
    "Attempts to register from an address."

    limits_rates_registration_lookup: Rate, "limits.rates.registration_lookup" = "1/s burst 20", reloads;
    "Questions about names, registration tokens and authentication from an address."

    limits_rates_login_per_address: Rate, "limits.rates.login_per_address" = "20/m burst 20", reloads;
    "Attempts to log in from an address."

    limits_rates_refresh: Rate, "limits.rates.refresh" = "10/s burst 100", reloads;
    "Access tokens refreshed from an address."

    limits_rates_login_per_account: Rate, "limits.rates.login_per_account" = "10/m burst 10", reloads;
    "Logins to an account."

    limits_rates_failed_login_per_account: Rate, "limits.rates.failed_login_per_account" = "10/m burst 10", reloads;
    "Wrong passwords for an account from wherever, counted by all replicas together. After that not even the right one is let in; whoever is logged in stays so."

    limits_rates_failed_login_per_address: Rate, "limits.rates.failed_login_per_address" = "10/m burst 20", reloads;
    "Wrong passwords from an address for whatever account, counted likewise."

    limits_rates_other: Rate, "limits.rates.other" = "100/s burst 1000", reloads;
    "Whatever else a user asks for, or an address without a user."

    limits_max_connections: u32, "limits.max_connections" = "20000";
    "How many client connections are kept at most; more wait to be accepted."

    limits_max_connections_per_address: u32, "limits.max_connections_per_address" = "2000";
    "How many of them one address may have; more are closed at once. Proxies in trusted_proxies are not limited."

    limits_max_requests: u32, "limits.max_requests" = "256";
    "How many requests are worked on at a time, syncs and logins aside; more wait a moment and are answered 429, so that these stay fast."

    limits_syncs_per_device: u32, "limits.syncs_per_device" = "16";
    "How many syncs of one device may wait at a time."

    limits_syncs_per_user: u32, "limits.syncs_per_user" = "128";
    "How many syncs of one user may wait at a time."

    http_header_timeout: Duration, "http.header_timeout" = "30s";
    "How long a client may take to send the head of a request."

    http_request_timeout: Duration, "http.request_timeout" = "60s";
    "How long a request may take, long polls aside."

    http_stall_timeout: Duration, "http.stall_timeout" = "20s";
    "How long a client may stand still while it sends a body or takes a reply."

    http_idle_timeout: Duration, "http.idle_timeout" = "2m";
    "How long a connection without a request is kept. One of HTTP/1 is kept for http.header_timeout at most."

    http_query_tokens: bool, "http.query_tokens" = "true";
    "Whether an access token is also taken from the query of a request, where logs of proxies can show it."

    sync_connection_lifetime: Duration, "sync.connection_lifetime" = "7d";
    "How long a connection of sliding sync is kept that its client does not use; after that the client begins anew."

    sync_max_timeout: Duration, "sync.max_timeout" = "5m";
    "The longest that a sync waits for something new, whatever the client asks for."

    stream_heartbeat: Duration, "stream.heartbeat" = "30s";
    "How often each end of a WebSocket or an event stream says that it is there; a client that misses two is gone."

    stream_origins: Vec<String>, "stream.origins" = "*";
    "The origins of web pages that may open streams, such as https://chat.example.org; * for all."

    media_directory: Option<PathBuf>, "media.directory" = "";
    "Where media are kept: a directory that all replicas share. By default the folder media in data_dir."

    media_s3_bucket: Option<String>, "media.s3.bucket" = "";
    "A bucket of an S3-compatible service to keep media in, in place of a directory."

    media_s3_region: String, "media.s3.region" = "us-east-1";
    "Its region."

    media_s3_endpoint: Option<WebAddress>, "media.s3.endpoint" = "";
    "Where the service is, if it is not Amazon's: https://minio.example.org"

    media_s3_access_key: Option<Secret>, "media.s3.access_key" = "", secret;
    "The id of the key to it. Without one, what the machine has by itself is used."

    media_s3_secret_key: Option<Secret>, "media.s3.secret_key" = "", secret;
    "The key."

    media_s3_virtual_hosts: bool, "media.s3.virtual_hosts" = "false";
    "Whether the bucket is part of the host's name in addresses, and not of the path."

    media_s3_redirects: Option<Duration>, "media.s3.redirects" = "";
    "How long an address of the bucket is good for that clients which allow it are sent to, such as 5m. Nobody is sent there by default."

    media_max_upload: Size, "media.max_upload" = "100M";
    "The largest file that can be uploaded: a number of bytes, or of K, M or G."

    media_frozen_from: Option<Day>, "media.frozen_from" = "";
    "Media uploaded from this day on, such as 2026-12-01, are served only to who has an access token. By default all are."

    media_reserved_for: Duration, "media.reserved_for" = "1d";
    "How long a media id is reserved for an upload that is to follow."

    media_max_reserved: u32, "media.max_reserved" = "100";
    "How many ids a user may have reserved at a time."

    media_quota_user: Option<Size>, "media.quota.user" = "";
    "How much one user may upload, such as 5G. Any amount by default."

    media_quota_server: Option<Size>, "media.quota.server" = "";
    "How much all users together may upload."

    media_keep_local: Option<Duration>, "media.keep.local" = "";
    "How long media of this server are kept that nobody asks for, avatars and stickers aside. For ever by default."

    media_keep_remote: Option<Duration>, "media.keep.remote" = "";
    "How long copies of other servers' media are."

    media_strip_metadata: bool, "media.strip_metadata" = "false";
    "Whether to take out of JPEG, PNG and WebP pictures where and with what they were taken, and the like."

    media_thumbnails_ahead: bool, "media.thumbnails.ahead" = "true";
    "Whether the usual thumbnails of a picture are made as soon as it has come, and not when they are asked for."

    media_thumbnails_max_pixels: u32, "media.thumbnails.max_pixels" = "40000000";
    "Pictures with more pixels have no thumbnails. Each that is decoded takes 4 to 16 bytes a pixel, as many at a time as there are processors."

    media_thumbnails_max_file: Size, "media.thumbnails.max_file" = "50M";
    "Nor have files that are larger."

    media_thumbnails_command: Vec<String>, "media.thumbnails.command" = "";
    "A program and its arguments that makes a picture of videos, PDF, AVIF or HEIC: it gets the path of the file as its last argument, and writes a PNG or JPEG to its standard output."

    media_scan_url: Option<WebAddress>, "media.scan.url" = "";
    "A scanner that every file is sent to by POST before it is served for the first time: 2xx says that it is clean, 406 that it is not."

    media_scan_command: Vec<String>, "media.scan.command" = "";
    "A scanner that gets every file on its standard input likewise: it exits with 0 or 1."

    previews_enabled: bool, "previews.enabled" = "true";
    "Whether the server looks at web pages that users mention, so that their clients can show what is there."

    previews_languages: String, "previews.languages" = "en";
    "The languages that pages are asked for in, where the client does not say."

    previews_max_page: Size, "previews.max_page" = "1M";
    "How much of a page is looked at."

    previews_max_picture: Size, "previews.max_picture" = "10M";
    "The largest picture of a page that is shown."

    previews_timeout: Duration, "previews.timeout" = "15s";
    "How long a page or its picture may take."

    previews_kept_for: Duration, "previews.kept_for" = "1h";
    "How long a preview is kept where the page does not say."

    typing_max_timeout: Duration, "typing.max_timeout" = "2m";
    "The longest that somebody is shown as typing without saying so again."

    presence_enabled: bool, "presence.enabled" = "true";
    "Whether users are told who is online."

    presence_active_for: Duration, "presence.active_for" = "1m";
    "How long after doing something somebody is shown as doing something right now."

    presence_idle_after: Duration, "presence.idle_after" = "5m";
    "How long after doing something somebody who is connected is shown as unavailable."

    presence_offline_after: Duration, "presence.offline_after" = "30s";
    "How long after a device was last heard of it counts as gone."

    uia_session_lifetime: Duration, "uia.session_lifetime" = "1h";
    "How long a user-interactive authentication may take."

    access_token_lifetime: Duration, "session.access_token_lifetime" = "5m";
    "How long an access token is good for that its client can refresh. Others last until logout."

    openid_token_lifetime: Duration, "session.openid_token_lifetime" = "1h";
    "How long a token is good for that tells a third party who somebody is."

    login_token_lifetime: Duration, "session.login_token_lifetime" = "2m";
    "How long a token is good for by which one device logs another in."

    log_poll_interval: Duration, "replication.poll_interval" = "1s";
    "How often the log is looked at although no other replica said that it moved."

    transaction_lifetime: Duration, "transactions.lifetime" = "7d";
    "How long a client's transaction ids are remembered."

    password_argon2_memory_kib: u32, "password.argon2_memory_kib" = "19456";
    "How much memory hashing a password takes, in KiB: more is harder to guess, and slower."

    shutdown_notice: Duration, "shutdown.notice" = "0s";
    "How long requests are still taken after /ready turned 503, for load balancers to notice."

    shutdown_drain: Duration, "shutdown.drain" = "5s";
    "How long requests may take to end after the server was told to stop."

    metrics_listen: Option<Listen>, "metrics.listen" = "";
    "Where to serve Prometheus metrics at /metrics, such as 127.0.0.1:9090. Nowhere by default."

    log_level: String, "log.level" = "info", reloads;
    "What is logged: error, warn, info, debug or trace; for single parts such as info,hearth_store=debug."

    log_format: LogFormat, "log.format" = "text";
    "What a line of the log looks like: text or json."

    support_email: Option<String>, "support.email" = "";
    "The administrator's address of mail, told by /.well-known/matrix/support."

    support_matrix_id: Option<OwnedUserId>, "support.matrix_id" = "";
    "The administrator's user id, told likewise."

    support_page: Option<WebAddress>, "support.page" = "";
    "A page where users find help, told likewise."
}
