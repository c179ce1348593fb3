//! What the configuration says about how often something may happen.

use std::sync::Arc;

use hearth_api::{Family, Rates};
use hearth_services::accounts::Patience;
use hearth_services::rate::Rate;

use crate::config::Config;

/// The rate of each family; none where limits are off.
pub(super) fn rates(config: &Config) -> Option<Rates> {
    let config = config.clone();
    config.limits_enabled.then(|| Arc::new(move |family| rate(&config, family)) as Rates)
}

/// How many wrong passwords are borne.
pub(super) const fn patience(config: &Config) -> Patience {
    if !config.limits_enabled {
        return Patience::ENDLESS;
    }
    Patience {
        per_account: config.limits_rates_failed_login_per_account,
        per_address: config.limits_rates_failed_login_per_address,
    }
}

const fn rate(config: &Config, family: Family) -> Rate {
    match family {
        Family::Unlimited => Rate::UNLIMITED,
        Family::Message => config.limits_rates_message,
        Family::AdminRedaction => config.limits_rates_admin_redaction,
        Family::RoomCreation => config.limits_rates_room_creation,
        Family::InvitesPerIssuer => config.limits_rates_invites_per_issuer,
        Family::InvitesPerRoom => config.limits_rates_invites_per_room,
        Family::InvitesPerUser => config.limits_rates_invites_per_user,
        Family::JoinsPerUser => config.limits_rates_joins_per_user,
        Family::JoinsPerRoom => config.limits_rates_joins_per_room,
        Family::Knocks => config.limits_rates_knocks,
        Family::Moderation => config.limits_rates_moderation,
        Family::Aliases => config.limits_rates_aliases,
        Family::Directory => config.limits_rates_directory,
        Family::History => config.limits_rates_history,
        Family::FirstSync => config.limits_rates_first_sync,
        Family::Profile => config.limits_rates_profile,
        Family::Receipts => config.limits_rates_receipts,
        Family::Typing => config.limits_rates_typing,
        Family::Presence => config.limits_rates_presence,
        Family::AccountData => config.limits_rates_account_data,
        Family::Uploads => config.limits_rates_uploads,
        Family::MediaReservations => config.limits_rates_media_reservations,
        Family::Downloads => config.limits_rates_downloads,
        Family::Previews => config.limits_rates_previews,
        Family::Filters => config.limits_rates_filters,
        Family::Registration => config.limits_rates_registration,
        Family::RegistrationLookup => config.limits_rates_registration_lookup,
        Family::LoginPerAddress => config.limits_rates_login_per_address,
        Family::Refresh => config.limits_rates_refresh,
        Family::LoginPerAccount => config.limits_rates_login_per_account,
        Family::Other => config.limits_rates_other,
    }
}
