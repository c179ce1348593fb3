//! What web pages say about themselves.

mod charset;
mod oembed;
mod page;

use std::time::Duration;

use hearth_core::id::UserNid;
use hearth_store::media::StoredPreview;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::turns::Turns;
use super::upload::milliseconds;
use super::{Media, MediaError, kind, thumbnail};
use crate::clock;
use crate::outgoing::{Fetched, GetRequest, Outgoing, OutgoingError, TooLong};

/// A page is behind no more redirects than this.
const REDIRECTS: usize = 5;

/// Pages looked at, and pictures of them held, at a time.
const AT_ONCE: usize = 32;

/// What a page that could not be had is not asked for again within.
const FAILED_FOR: Duration = Duration::from_mins(1);

/// The longest that a page may have its preview kept.
const LONGEST: Duration = Duration::from_hours(24);

/// The longest list of languages that a client may ask for.
const LANGUAGES: usize = 100;

/// The largest description that a page's oEmbed document is.
const OEMBED: usize = 256 * 1024;

/// The properties of the picture of a preview.
const PICTURE: &str = "og:image";

/// What is configured about previews.
#[derive(Clone, Debug)]
pub struct PreviewSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// The languages that are asked for where the client names none.
    pub languages: String,
    /// How many bytes of a page are looked at.
    pub max_page: u64,
    /// How many bytes a page's picture may have.
    pub max_picture: u64,
    /// How long a page, or its picture, may take.
    pub timeout: Duration,
    /// How long a preview is kept where the page does not say.
    pub kept_for: Duration,
}

/// Previews in the making.
pub(super) struct Previews {
    outgoing: Option<Outgoing>,
    making: Turns<[u8; 32]>,
    places: Semaphore,
}

/// A preview that was made.
struct Made {
    properties: Map<String, Value>,
    kept_for: Duration,
}

impl Previews {
    pub(super) fn new(outgoing: Option<Outgoing>) -> Self {
        Self { outgoing, making: Turns::new(), places: Semaphore::new(AT_ONCE) }
    }
}

impl Media {
    /// The OpenGraph data of a page as JSON, in the languages that a client asks for; none where the page cannot be
    /// had, or there is nothing on it.
    pub async fn preview(
        &self,
        user: UserNid,
        url: &str,
        languages: Option<&str>,
    ) -> Result<String, MediaError> {
        let settings = &self.settings().previews;
        let sane = |languages: &&str| languages.len() <= LANGUAGES && languages.is_ascii();
        let languages = languages.filter(sane).unwrap_or(&settings.languages);
        let url = url.split('#').next().unwrap_or_default();
        if page::web_url(url, None).is_none() {
            return Err(MediaError::NoAddress);
        }
        let hash: [u8; 32] =
            Sha256::new().chain_update(languages).chain_update("\0").chain_update(url).finalize().into();
        if let Some(kept) = self.kept_preview(&hash).await? {
            return kept;
        }
        // One asks the page, the others wait for that.
        let _turn = self.inner.previews.making.at(hash).await;
        if let Some(kept) = self.kept_preview(&hash).await? {
            return kept;
        }
        let Ok(_place) = self.inner.previews.places.try_acquire() else { return Err(MediaError::Busy) };
        let made = self.make_preview(user, url, languages).await;
        let now = clock::now_ms();
        let mut failure = None;
        let (preview, kept_for) = match made {
            Ok(made) => (Some(Value::Object(made.properties).to_string()), made.kept_for),
            Err(error @ MediaError::NoPreview(_)) => {
                failure = Some(error);
                (None, FAILED_FOR)
            }
            Err(error) => return Err(error),
        };
        let expires_ts = now.saturating_add(milliseconds(kept_for));
        let stored = StoredPreview { preview, fetched_ts: now, expires_ts };
        self.inner.store.keep_url_preview(&hash, url, languages, &stored).await?;
        failure.map_or_else(|| made_or_not(stored), Err)
    }

    async fn kept_preview(&self, hash: &[u8; 32]) -> Result<Option<Result<String, MediaError>>, MediaError> {
        let kept = self.inner.store.url_preview(hash).await?;
        Ok(kept.filter(|kept| kept.expires_ts > clock::now_ms()).map(made_or_not))
    }

    async fn make_preview(&self, user: UserNid, url: &str, languages: &str) -> Result<Made, MediaError> {
        let accept = "text/html, application/xhtml+xml, image/*;q=0.9, */*;q=0.5";
        let fetched = self.fetch(url, accept, languages).await?;
        let kept_for = self.kept_for(&fetched);
        let kind = kind::essence(&fetched.content_type);
        let address = fetched.url.clone();
        let mut properties = Map::new();
        if kind.starts_with("image/") {
            self.add_picture(user, fetched, &mut properties).await?;
            return Ok(Made { properties, kept_for });
        }
        if !(kind.is_empty() || kind.contains("html") || kind.contains("xml") || kind == "text/plain") {
            return Ok(Made { properties, kept_for });
        }
        let most = usize::try_from(self.settings().previews.max_page).unwrap_or(usize::MAX);
        let content_type = fetched.content_type.clone();
        let body = fetched.body(most, TooLong::Cut).await.map_err(unreachable)?;
        let read =
            tokio::task::spawn_blocking(move || page::read(&charset::decode(&body, &content_type), &address));
        let page = read.await.map_err(|_| MediaError::NoPreview("the page cannot be read".to_owned()))?;
        properties.extend(page.properties.into_iter().map(|(name, value)| (name, json!(value))));
        let mut picture = page.image;
        if let Some(oembed) = page.oembed {
            for (name, value) in self.oembed(&oembed, languages).await {
                if name == PICTURE {
                    picture.get_or_insert(value);
                } else {
                    properties.entry(name).or_insert_with(|| json!(value));
                }
            }
        }
        if let Some(picture) = picture
            && let Ok(fetched) = self.fetch(&picture, "image/*", languages).await
        {
            self.add_picture(user, fetched, &mut properties).await?;
        }
        Ok(Made { properties, kept_for })
    }

    /// What a page's oEmbed document says; nothing where it cannot be had.
    async fn oembed(&self, url: &str, languages: &str) -> Vec<(String, String)> {
        let Ok(fetched) = self.fetch(url, "application/json+oembed, application/json", languages).await
        else {
            return Vec::new();
        };
        fetched.body(OEMBED, TooLong::Fail).await.map_or_else(|_| Vec::new(), |body| oembed::read(&body))
    }

    async fn fetch(&self, url: &str, accept: &'static str, languages: &str) -> Result<Fetched, MediaError> {
        let request = GetRequest {
            accept,
            accept_language: Some(languages.to_owned()),
            redirects: REDIRECTS,
            timeout: self.settings().previews.timeout,
        };
        let Some(outgoing) = &self.inner.previews.outgoing else {
            return Err(MediaError::NoPreview("this server reaches nothing outside".to_owned()));
        };
        let fetched = outgoing.get(url, request).await.map_err(unreachable)?;
        fetched.must_be_success().map_err(unreachable)
    }

    /// Keeps a page's picture here, so that the page learns nothing of who looks at its preview.
    async fn add_picture(
        &self,
        user: UserNid,
        fetched: Fetched,
        properties: &mut Map<String, Value>,
    ) -> Result<(), MediaError> {
        let most = usize::try_from(self.settings().previews.max_picture).unwrap_or(usize::MAX);
        let declared = fetched.content_type.clone();
        // A preview without its picture is one still.
        let Ok(body) = fetched.body(most, TooLong::Fail).await else { return Ok(()) };
        let body = bytes::Bytes::from(body);
        let content_type = kind::settle(Some(&declared), &body[..body.len().min(kind::HEAD)]);
        if !content_type.starts_with("image/") {
            return Ok(());
        }
        let (bytes, size) = (body.len(), thumbnail::size_of(&body, self.settings().pictures));
        let kept = match self.keep_preview_picture(user, body, Some(&declared)).await {
            Ok(kept) => kept,
            Err(error @ (MediaError::Store(_) | MediaError::Storage(_))) => return Err(error),
            Err(_) => return Ok(()),
        };
        properties.insert(PICTURE.to_owned(), json!(kept.uri));
        properties.insert("matrix:image:size".to_owned(), json!(bytes));
        properties.insert("og:image:type".to_owned(), json!(content_type));
        if let Some((width, height)) = size {
            properties.insert("og:image:width".to_owned(), json!(width));
            properties.insert("og:image:height".to_owned(), json!(height));
        }
        Ok(())
    }

    /// How long a page says that it stays as it is, within bounds.
    fn kept_for(&self, fetched: &Fetched) -> Duration {
        let said = fetched.cache_control.as_deref().and_then(max_age);
        let kept_for = said.map_or(self.settings().previews.kept_for, |said| said.max(FAILED_FOR));
        kept_for.min(LONGEST)
    }
}

fn made_or_not(kept: StoredPreview) -> Result<String, MediaError> {
    kept.preview.ok_or_else(|| MediaError::NoPreview("the page could not be had a moment ago".to_owned()))
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let directive = |part: &str| part.trim().to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok();
    cache_control.split(',').find_map(directive).map(Duration::from_secs)
}

/// What a page did is not told in detail: a client could learn of networks that it does not see.
#[expect(clippy::needless_pass_by_value, reason = "it stands for a closure")]
fn unreachable(error: OutgoingError) -> MediaError {
    tracing::debug!(%error, "no preview");
    MediaError::NoPreview(match error {
        OutgoingError::TooManyRedirects => "the page is behind too many redirects".to_owned(),
        OutgoingError::TooLong => "the page is too long".to_owned(),
        OutgoingError::Timeout => "the page took too long".to_owned(),
        OutgoingError::Status(status) => format!("the page answered {status}"),
        OutgoingError::NotAllowed(_) | OutgoingError::Failed(_) | OutgoingError::BadUrl => {
            "the page cannot be reached".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_page_may_be_kept_is_read() {
        assert_eq!(max_age("public, max-age=60"), Some(Duration::from_mins(1)));
        assert_eq!(max_age("Max-Age=5,no-transform"), Some(Duration::from_secs(5)));
        assert_eq!((max_age("no-store"), max_age("max-age=x"), max_age("")), (None, None, None));
    }
}
