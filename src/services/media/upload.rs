//! Taking what users upload.

mod parts;
mod underway;

use bytes::{Bytes, BytesMut};
use hearth_core::id::UserNid;
use hearth_store::media::{Arrived, Committed, Destination, Filling, NewMedia};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedMxcUri, ServerName, UInt};

use self::underway::Place;
pub(super) use self::underway::Underway;
use super::depot::{Incoming, Stored};
use super::{Media, MediaError, kind, strip};
use crate::clock;

/// A media id's length: 24 characters of 64 are 144 bits, which nobody guesses.
const ID_LENGTH: usize = 24;

/// What ids are made of.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Longer names of files are cut: what file systems take.
const LONGEST_NAME: usize = 255;

/// What its uploader says about a medium.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// What it is.
    pub content_type: Option<String>,
    /// What it is called.
    pub file_name: Option<String>,
    /// How many bytes it has, where that is said.
    pub length: Option<u64>,
}

/// Where an upload goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// To a new id.
    New,
    /// To one that was reserved.
    Reserved {
        /// Its number.
        nid: i64,
        /// The id.
        id: String,
    },
}

/// An id that was reserved.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// The id.
    pub uri: OwnedMxcUri,
    /// Until when it waits for its bytes.
    pub expires: MilliSecondsSinceUnixEpoch,
}

/// A medium that is there.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// Its id.
    pub uri: OwnedMxcUri,
    /// Its blob.
    pub(super) blob: i64,
}

/// An upload under way. Dropped before its end, it leaves nothing.
pub struct Intake {
    _place: Place,
    media: Media,
    user: UserNid,
    target: Target,
    declared: Declared,
    most: u64,
    head: BytesMut,
    incoming: Incoming,
}

impl Media {
    /// Reserves an id for bytes to come.
    pub async fn reserve(&self, user: UserNid) -> Result<Reserved, MediaError> {
        let settings = self.settings();
        let now = clock::now_ms();
        let expires = now.saturating_add(milliseconds(settings.reserved_for));
        let id = new_id();
        let new = NewMedia { server: settings.server_name.as_str(), id: &id, user: Some(user), now };
        if !self.inner.store.reserve_media(&new, expires, i64::from(settings.max_pending)).await? {
            return Err(MediaError::TooManyPending);
        }
        let expires = UInt::try_from(expires).unwrap_or(UInt::MAX);
        Ok(Reserved { uri: self.uri(&id), expires: MilliSecondsSinceUnixEpoch(expires) })
    }

    /// An id that a user reserved, to be filled now.
    pub async fn reserved(&self, user: UserNid, server: &ServerName, id: &str) -> Result<Target, MediaError> {
        if !self.is_own(server) {
            return Err(MediaError::Absent);
        }
        let medium = self.inner.store.medium(server.as_str(), id).await?.ok_or(MediaError::Absent)?;
        if medium.user != Some(user) {
            return Err(MediaError::NotYours);
        }
        if medium.blob.is_some() {
            return Err(MediaError::Filled);
        }
        if medium.expires_ts.is_none_or(|expires| expires <= clock::now_ms()) {
            return Err(MediaError::Absent);
        }
        Ok(Target::Reserved { nid: medium.nid, id: id.to_owned() })
    }

    /// Begins an upload. What is announced to be too much is refused before it comes.
    pub async fn begin(
        &self,
        user: UserNid,
        target: Target,
        declared: Declared,
    ) -> Result<Intake, MediaError> {
        let settings = self.settings();
        if declared.length.is_some_and(|length| length > settings.max_upload) {
            return Err(MediaError::TooLarge(settings.max_upload));
        }
        self.must_have_room(user, declared.length.unwrap_or_default()).await?;
        Ok(Intake {
            _place: self.inner.underway.enter(user)?,
            media: self.clone(),
            user,
            target,
            declared,
            most: settings.max_upload,
            head: BytesMut::new(),
            incoming: self.inner.depot.receive(),
        })
    }

    /// Refuses so many bytes more where there is no room for them: before they are sent.
    async fn must_have_room(&self, user: UserNid, bytes: u64) -> Result<(), MediaError> {
        if self.inner.store.is_full() {
            return Err(MediaError::Full);
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let full = self.inner.store.media_quota_left(user, bytes, self.settings().quota).await?;
        full.map_or(Ok(()), |full| self.outcome(full).map(drop))
    }

    pub(super) fn uri(&self, id: &str) -> OwnedMxcUri {
        format!("mxc://{}/{id}", self.settings().server_name).into()
    }
}

impl Intake {
    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), MediaError> {
        let room = kind::HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        let most = if self.is_stripped() { self.most.min(strip::LARGEST) } else { self.most };
        if self.incoming.size() + to_u64(bytes.len()) > most {
            return Err(MediaError::TooLarge(most));
        }
        if self.media.inner.store.is_full() {
            return Err(MediaError::Full);
        }
        Ok(self.incoming.write(bytes).await?)
    }

    /// All of it has come: returns when it is safe, and can be fetched.
    pub async fn finish(self) -> Result<Uploaded, MediaError> {
        self.check_length(self.incoming.size())?;
        let is_stripped = self.is_stripped();
        let mut stored = self.incoming.finish().await?;
        if is_stripped {
            stored = self.media.stripped(stored).await?;
        }
        let content_type = kind::settle(self.declared.content_type.as_deref(), &self.head);
        let file_name = self.declared.file_name.as_deref().and_then(clean_name);
        let upload = Upload { user: self.user, target: self.target, content_type, file_name };
        self.media.commit(upload, stored).await
    }

    /// Whether it is a picture whose metadata are taken out.
    fn is_stripped(&self) -> bool {
        self.media.settings().strip_metadata && strip::is_of_interest(&self.head)
    }

    fn check_length(&self, came: u64) -> Result<(), MediaError> {
        match self.declared.length {
            Some(announced) if announced != came => Err(MediaError::WrongLength { came, announced }),
            _ => Ok(()),
        }
    }
}

/// An upload whose bytes are safe.
struct Upload {
    user: UserNid,
    target: Target,
    content_type: String,
    file_name: Option<String>,
}

impl Media {
    /// The same picture without metadata. The object with them is discarded.
    async fn stripped(&self, stored: Stored) -> Result<Stored, MediaError> {
        let depot = &self.inner.depot;
        let bytes = self
            .inner
            .thumbnails
            .work(depot.read_all(stored.object(), stored.size), |bytes| Ok(strip::strip(bytes)))
            .await?;
        let mut incoming = depot.receive();
        incoming.write(bytes).await?;
        Ok(incoming.finish().await?)
    }

    async fn commit(&self, upload: Upload, stored: Stored) -> Result<Uploaded, MediaError> {
        let now = clock::now_ms();
        let (id, nid) = match &upload.target {
            Target::New => (new_id(), None),
            Target::Reserved { nid, id } => (id.clone(), Some(*nid)),
        };
        let server = self.settings().server_name.as_str();
        let new = NewMedia { server, id: &id, user: Some(upload.user), now };
        let destination = match nid {
            None => Destination::New { media: new, preview: false },
            Some(nid) => Destination::Reserved { nid, user: upload.user },
        };
        let blob = match self.settle(destination, &upload, stored).await {
            // It may have expired instead.
            Err(MediaError::Filled) if self.is_gone(server, &id).await? => return Err(MediaError::Absent),
            settled => settled?,
        };
        if let Some(nid) = nid {
            self.inner.waiting.tell(nid);
        }
        self.prepare_thumbnails(blob, &upload.content_type);
        Ok(Uploaded { uri: self.uri(&id), blob })
    }

    async fn is_gone(&self, server: &str, id: &str) -> Result<bool, MediaError> {
        let medium = self.inner.store.medium(server, id).await?;
        Ok(medium.is_none_or(|medium| medium.blob.is_none()))
    }

    /// Makes what was stored a medium's. Returns its blob.
    async fn settle(
        &self,
        destination: Destination<'_>,
        upload: &Upload,
        stored: Stored,
    ) -> Result<i64, MediaError> {
        let arrived = Arrived {
            object: stored.object(),
            sha256: &stored.sha256,
            size: i64::try_from(stored.size).unwrap_or(i64::MAX),
            now: clock::now_ms(),
        };
        let filling = Filling {
            to: destination,
            content_type: &upload.content_type,
            file_name: upload.file_name.as_deref(),
        };
        let quota = self.settings().quota;
        let committed = self.inner.store.commit_media(&filling, &arrived, quota).await?;
        let (blob, leftover) = self.outcome(committed)?;
        if leftover.is_none() {
            stored.keep();
        }
        Ok(blob)
    }

    /// What became of bytes that arrived: their blob, and what can go.
    fn outcome(&self, committed: Committed) -> Result<(i64, Option<String>), MediaError> {
        match committed {
            Committed::Done { blob, leftover } => Ok((blob, leftover)),
            Committed::UserFull => Err(MediaError::UserFull(self.settings().quota_page.clone())),
            Committed::ServerFull => Err(MediaError::ServerFull),
            Committed::Blocked => Err(MediaError::Blocked),
            Committed::Taken => Err(MediaError::Filled),
            Committed::Lost => Err(MediaError::Busy),
        }
    }

    /// Keeps a picture that a preview shows. Returns its URI.
    pub(super) async fn keep_preview_picture(
        &self,
        user: UserNid,
        bytes: Bytes,
        declared: Option<&str>,
    ) -> Result<Uploaded, MediaError> {
        if self.inner.store.is_full() {
            return Err(MediaError::Full);
        }
        let content_type = kind::settle(declared, &bytes[..bytes.len().min(kind::HEAD)]);
        let mut incoming = self.inner.depot.receive();
        incoming.write(bytes).await?;
        let stored = incoming.finish().await?;
        let id = new_id();
        let server = self.settings().server_name.as_str();
        let media = NewMedia { server, id: &id, user: Some(user), now: clock::now_ms() };
        let upload = Upload { user, target: Target::New, content_type, file_name: None };
        let blob = self.settle(Destination::New { media, preview: true }, &upload, stored).await?;
        Ok(Uploaded { uri: self.uri(&id), blob })
    }
}

fn new_id() -> String {
    let character = |_| char::from(ALPHABET[usize::from(rand::random::<u8>() & 63)]);
    (0..ID_LENGTH).map(character).collect()
}

/// A name without what no name has: folders, control characters, endless length. None where nothing is left.
fn clean_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String = last.chars().filter(|c| !c.is_control() && !is_direction(*c)).collect();
    while clean.len() > LONGEST_NAME {
        clean.pop();
    }
    let clean = clean.trim();
    (!clean.is_empty() && clean != "." && clean != "..").then(|| clean.to_owned())
}

/// What makes a name look like another: "gpj.exe" shown as "exe.jpg".
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_folders_and_what_deceives() {
        assert_eq!(clean_name("../../etc/passwd"), Some("passwd".into()));
        assert_eq!(clean_name("C:\\x\\y.txt"), Some("y.txt".into()));
        assert_eq!(clean_name("a\r\nb\0.txt"), Some("ab.txt".into()));
        assert_eq!(clean_name("gp\u{202e}gpj.exe"), Some("gpgpj.exe".into()));
        assert_eq!(clean_name("naïve file.txt"), Some("naïve file.txt".into()));
        assert_eq!([clean_name(".."), clean_name("/"), clean_name(" \t")], [None, None, None]);
        assert_eq!(clean_name(&"ä".repeat(300)).map(|name| name.len()), Some(254));
    }

    #[test]
    fn ids_are_what_the_grammar_allows_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert!(one.len() == ID_LENGTH && one != other);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    }
}
