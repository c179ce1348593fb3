//! What handlers work with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hearth_services::account_data::AccountData;
use hearth_services::accounts::Accounts;
use hearth_services::accounts::uia::Uia;
use hearth_services::ephemeral::presence::Presences;
use hearth_services::ephemeral::receipts::Receipts;
use hearth_services::ephemeral::typing::Typing;
use hearth_services::filters::Filters;
use hearth_services::log::Log;
use hearth_services::media::Media;
use hearth_services::profiles::Profiles;
use hearth_services::rooms::{Directory, Rooms};
use hearth_services::sync::Sync;
use ipnet::IpNet;
use ruma::OwnedServerName;
use ruma::api::client::discovery::discover_support;

use crate::admission::Admission;
use crate::client::Streams;
use crate::health::Readiness;
use crate::rate_limit::RateLimits;

/// The services, each by its name.
pub struct Services {
    /// The log, to be caught up with before anything is denied.
    pub log: Log,
    /// Accounts and sessions.
    pub accounts: Accounts,
    /// User-interactive authentication.
    pub uia: Uia,
    /// Account data and tags.
    pub account_data: AccountData,
    /// Sync filters.
    pub filters: Filters,
    /// Profiles.
    pub profiles: Profiles,
    /// Rooms.
    pub rooms: Rooms,
    /// The public directory.
    pub directory: Directory,
    /// Who read how far.
    pub receipts: Receipts,
    /// Who types.
    pub typing: Typing,
    /// Who is online.
    pub presences: Presences,
    /// Media.
    pub media: Media,
    /// Sync.
    pub sync: Sync,
    /// The open streams.
    pub streams: Streams,
    /// How many requests are worked on at a time.
    pub admission: Admission,
    /// Rate limits.
    pub limits: RateLimits,
    /// Whether requests are welcome.
    pub readiness: Readiness,
    /// What the configuration says about HTTP.
    pub settings: Settings,
}

/// What the configuration says about HTTP.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This server's name.
    pub server_name: OwnedServerName,
    /// Where clients reach it, if that is known.
    pub public_url: Option<String>,
    /// Proxies that are believed about whom they forward for.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request may take.
    pub request_deadline: Duration,
    /// How long a body may stand still.
    pub stall_timeout: Duration,
    /// Whether an access token is accepted as a query parameter.
    pub query_tokens: bool,
    /// Whom users turn to.
    pub support: Support,
}

/// The support document.
#[derive(Clone, Debug, Default)]
pub struct Support {
    /// People.
    pub contacts: Vec<discover_support::Contact>,
    /// A page.
    pub page: Option<String>,
}

/// The services as handlers hold them. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Services>);

impl App {
    /// An application of these services.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
