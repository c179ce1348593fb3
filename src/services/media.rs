//! Media: what users upload, kept once, served to whoever may see it.

mod care;
mod depot;
mod error;
mod fetch;
mod kind;
mod picture;
mod preview;
mod scan;
mod strip;
mod thumbnail;
mod turns;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_store::Store;
use hearth_store::media::Quota;
pub use hearth_store::media::hexadecimal;
use ruma::{OwnedServerName, ServerName};

pub use self::care::{Checked, Verdict};
pub use self::depot::{Bytestream, Depot, DepotError, DepotSettings, S3Settings};
pub use self::error::MediaError;
pub use self::fetch::{Found, Reach};
pub use self::kind::{essence, is_safe};
pub use self::picture::PictureLimits;
pub use self::preview::PreviewSettings;
pub use self::scan::Scanner;
pub use self::thumbnail::Wanted;
pub use self::upload::{Declared, Intake, Reserved, Target, Uploaded};

use self::fetch::Waiting;
use self::preview::Previews;
use self::scan::Scans;
use self::thumbnail::Thumbnails;
use self::upload::Underway;
use crate::log::Log;
use crate::outgoing::Outgoing;

/// What an operator may change about media.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    /// This server's name.
    pub server_name: OwnedServerName,
    /// The most bytes of one medium.
    pub max_upload: u64,
    /// The most bytes of one user, and of all.
    pub quota: Quota,
    /// A page about quotas.
    pub quota_page: Option<String>,
    /// The most ids that a user may reserve at a time.
    pub max_pending: u32,
    /// How long a reserved id waits for its bytes.
    pub reserved_for: Duration,
    /// Media from then on are not served without a token, milliseconds since the epoch.
    pub frozen_from: i64,
    /// Whether EXIF and the like are taken out of pictures.
    pub strip_metadata: bool,
    /// What is decoded.
    pub pictures: PictureLimits,
    /// Whether the usual thumbnails are made as soon as a picture has come.
    pub premade_thumbnails: bool,
    /// What makes pictures of other files.
    pub thumbnailer: Vec<String>,
    /// What says whether media are clean.
    pub scanner: Option<Scanner>,
    /// How long an address of the storage is good for that a client is sent to; none where none is.
    pub redirects: Option<Duration>,
    /// How long media of this server are kept that nobody asks for.
    pub keep_local: Option<Duration>,
    /// How long those of others are.
    pub keep_remote: Option<Duration>,
    /// What is configured about previews of web pages.
    pub previews: PreviewSettings,
    /// What is wrong with the storage, if something is.
    pub stray: Option<&'static str>,
    /// Where files lie for as long as a command looks at them.
    pub scratch: PathBuf,
}

/// The media repository. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    log: Log,
    depot: Depot,
    settings: MediaSettings,
    waiting: Waiting,
    underway: Underway,
    thumbnails: Thumbnails,
    scans: Scans,
    previews: Previews,
}

impl Media {
    /// The media of `store`, whose bytes are in `depot`.
    #[must_use]
    pub fn new(
        store: Store,
        log: Log,
        depot: Depot,
        outgoing: Option<Outgoing>,
        settings: MediaSettings,
    ) -> Self {
        let thumbnails = Thumbnails::new();
        let scans = Scans::new(settings.scanner.clone());
        let waiting = Waiting::new();
        let previews = Previews::new(outgoing);
        let underway = Underway::default();
        Self {
            inner: Arc::new(Inner {
                store,
                log,
                depot,
                settings,
                waiting,
                underway,
                thumbnails,
                scans,
                previews,
            }),
        }
    }

    /// What is configured.
    #[must_use]
    pub fn settings(&self) -> &MediaSettings {
        &self.inner.settings
    }

    fn is_own(&self, server: &ServerName) -> bool {
        self.inner.settings.server_name == server
    }
}
