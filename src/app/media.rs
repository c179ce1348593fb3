//! Where media are, and what the configuration says about them.

use hearth_services::log::Log;
use hearth_services::media::{
    Depot, DepotError, DepotSettings, Media, MediaSettings, PictureLimits, PreviewSettings, S3Settings,
    Scanner,
};
use hearth_services::outgoing::{Outgoing, OutgoingSettings};
use hearth_store::Store;
use hearth_store::media::Quota;

use super::Failure;
use crate::config::{Config, Day, Size};

/// What is served by a directory that another replica does not see, or the wrong one.
const STRAY: &str = "the media directory is not the one that the database's media are in: replicas share one \
                     (media.directory), or a bucket (media.s3.bucket)";

/// The media repository, over the storage that is configured.
pub(crate) async fn open(config: &Config, store: Store, log: Log) -> Result<Media, Failure> {
    let failed = |error: DepotError| Failure::Start(format!("the storage of media cannot be used: {error}"));
    let depot = Depot::open(&depot(config)?, store.clone(), log.incarnation()).map_err(failed)?;
    let at_home = match depot.find_home(log.is_alone()).await {
        Ok(at_home) => at_home,
        Err(error) => {
            tracing::warn!(%error, "the storage of media cannot be reached yet");
            true
        }
    };
    if !at_home {
        tracing::warn!("{STRAY}");
    }
    let outgoing = Outgoing::new(outgoing(config)).inspect_err(|error| {
        tracing::warn!(%error, "nothing can be fetched from elsewhere, and there are no previews");
    });
    let outgoing = outgoing.ok();
    Ok(Media::new(store, log, depot, outgoing, settings(config, at_home)))
}

fn outgoing(config: &Config) -> OutgoingSettings {
    OutgoingSettings {
        allowed: config.outgoing_allowed.clone(),
        user_agent: config.outgoing_user_agent.clone(),
        connect_timeout: config.outgoing_connect_timeout,
    }
}

fn depot(config: &Config) -> Result<DepotSettings, Failure> {
    let Some(bucket) = &config.media_s3_bucket else {
        let directory = config.media_directory.clone().unwrap_or_else(|| config.data_dir.join("media"));
        return Ok(DepotSettings::Directory(directory));
    };
    if config.media_directory.is_some() {
        let message = "media.directory and media.s3.bucket are both set; only one of them can hold";
        return Err(Failure::Start(message.to_owned()));
    }
    Ok(DepotSettings::S3(S3Settings {
        bucket: bucket.clone(),
        region: config.media_s3_region.clone(),
        endpoint: config.media_s3_endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
        access_key: config.media_s3_access_key.as_ref().map(|key| key.0.clone()),
        secret_key: config.media_s3_secret_key.as_ref().map(|key| key.0.clone()),
        virtual_hosts: config.media_s3_virtual_hosts,
    }))
}

fn settings(config: &Config, at_home: bool) -> MediaSettings {
    let bytes = |size: Option<Size>| size.and_then(|size| i64::try_from(size.0).ok());
    let scanner = config.media_scan_url.as_ref().map(|url| Scanner::Url(url.0.clone()));
    let command = Some(&config.media_scan_command).filter(|command| !command.is_empty());
    MediaSettings {
        server_name: config.server_name.clone(),
        max_upload: config.media_max_upload.0,
        quota: Quota { user: bytes(config.media_quota_user), server: bytes(config.media_quota_server) },
        quota_page: config.support_page.as_ref().map(|page| page.0.clone()),
        max_pending: config.media_max_reserved,
        reserved_for: config.media_reserved_for,
        frozen_from: config.media_frozen_from.map_or(0, Day::begins),
        strip_metadata: config.media_strip_metadata,
        pictures: PictureLimits {
            bytes: config.media_thumbnails_max_file.0,
            pixels: u64::from(config.media_thumbnails_max_pixels),
        },
        premade_thumbnails: config.media_thumbnails_ahead,
        thumbnailer: config.media_thumbnails_command.clone(),
        scanner: scanner.or_else(|| command.map(|command| Scanner::Command(command.clone()))),
        redirects: config.media_s3_redirects,
        keep_local: config.media_keep_local,
        keep_remote: config.media_keep_remote,
        scratch: config.data_dir.join("tmp"),
        previews: PreviewSettings {
            enabled: config.previews_enabled,
            languages: config.previews_languages.clone(),
            max_page: config.previews_max_page.0,
            max_picture: config.previews_max_picture.0,
            timeout: config.previews_timeout,
            kept_for: config.previews_kept_for,
        },
        stray: (!at_home).then_some(STRAY),
    }
}
