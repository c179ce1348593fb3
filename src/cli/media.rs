//! Commands about media. They work on the database and the storage, beside a server that may run.

use std::time::Duration;

use clap::{Args, Subcommand};
use hearth_services::media::{Checked, Media, MediaError, Verdict};
use hearth_store::media::{Listed, Selection, Totals, hexadecimal};
use ruma::MxcUri;

use super::output::say;
use crate::app::{self, Failure, Foundation, Role};
use crate::config::{self, Config};

/// Nothing is left to write when a command is done.
const FLUSH: Duration = Duration::from_secs(5);

/// Who forbids what is forbidden by a command.
const BY: &str = "the command line";

#[derive(Debug, Subcommand)]
pub(super) enum MediaCommand {
    /// List media, the oldest first
    Ls {
        #[command(flatten)]
        which: Which,
    },
    /// Say everything about one file, or how much there is of all
    Info {
        /// The file, as `mxc://server/id`
        uri: Option<String>,
    },
    /// Delete media for good, and free what only they took
    Delete {
        #[command(flatten)]
        which: Which,
    },
    /// Serve media to nobody any more, but keep them; by --hash, whoever has that content, and take it from nobody again
    Quarantine {
        #[command(flatten)]
        which: Which,
    },
    /// Serve media again that were quarantined
    Release {
        #[command(flatten)]
        which: Which,
    },
    /// Delete copies of other servers' media that nobody asked for lately
    PurgeRemote {
        /// How long nobody asked for them, such as 30d
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = config::parse_duration)]
        older_than: Duration,
    },
    /// Make the storage that is configured the one of this database, where the old one was lost or moved
    Adopt,
    /// Read all bytes in the storage, and say what is damaged, lost, or named by nothing
    Verify,
}

/// Which media; only a list goes without.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Which {
    /// One file, as `mxc://server/id`
    uri: Option<String>,
    /// Those that a user uploaded
    #[arg(long, value_name = "USER ID")]
    user: Option<String>,
    /// Those that are named in a room
    #[arg(long, value_name = "ROOM ID")]
    room: Option<String>,
    /// Those of a server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Those with this content
    #[arg(long, value_name = "SHA-256")]
    hash: Option<String>,
}

/// What was said, read.
struct Chosen {
    said: Which,
    hash: Option<[u8; 32]>,
}

impl Chosen {
    fn read(said: Which) -> Result<Self, Failure> {
        let wrong = |text: &str| Failure::Input(format!("{text} is no SHA-256: 64 hexadecimal digits"));
        let hash = said.hash.as_deref().map(|text| hash(text).ok_or_else(|| wrong(text))).transpose()?;
        if let Some(uri) = &said.uri {
            parts(uri)?;
        }
        Ok(Self { said, hash })
    }

    /// Refuses to do to all media what was not said to be for all.
    fn selection(&self) -> Result<Selection<'_>, Failure> {
        match self.selection_or_all()? {
            Selection::All => {
                Err(Failure::Input("say which: a file, --user, --room, --server or --hash".to_owned()))
            }
            selection => Ok(selection),
        }
    }

    fn selection_or_all(&self) -> Result<Selection<'_>, Failure> {
        let Which { uri, user, room, server, .. } = &self.said;
        Ok(match (uri, user, room, server, &self.hash) {
            (Some(uri), ..) => {
                let (server, id) = parts(uri)?;
                Selection::One { server, id }
            }
            (_, Some(user), ..) => Selection::User(user),
            (_, _, Some(room), ..) => Selection::Room(room),
            (_, _, _, Some(server), _) => Selection::Server(server),
            (.., Some(hash)) => Selection::Hash(hash),
            _ => Selection::All,
        })
    }
}

/// Does what is asked for.
pub(super) async fn run(config: &Config, command: MediaCommand) -> Result<(), Failure> {
    let mut foundation = Foundation::open(config, Role::Command).await?;
    foundation.begin();
    let store = foundation.store().clone();
    let done = match app::media::open(config, store, foundation.log.clone()).await {
        Ok(media) => carry_out(&media, command).await,
        Err(failure) => Err(failure),
    };
    foundation.close(FLUSH).await;
    done
}

async fn carry_out(media: &Media, command: MediaCommand) -> Result<(), Failure> {
    match command {
        MediaCommand::Ls { which } => list(media, &Chosen::read(which)?).await,
        MediaCommand::Info { uri: Some(uri) } => info(media, &uri).await,
        MediaCommand::Info { uri: None } => totals(media).await,
        MediaCommand::Delete { which } => {
            let deleted = media.delete(Chosen::read(which)?.selection()?).await.map_err(failed)?;
            say(&format!("deleted {}", files(deleted)));
            Ok(())
        }
        MediaCommand::Quarantine { which } => quarantine(media, &Chosen::read(which)?, Some(BY)).await,
        MediaCommand::Release { which } => quarantine(media, &Chosen::read(which)?, None).await,
        MediaCommand::PurgeRemote { older_than } => {
            let deleted = media.purge_remote(older_than).await.map_err(failed)?;
            say(&format!("deleted {}", files(deleted)));
            Ok(())
        }
        MediaCommand::Verify => verify(media).await,
        MediaCommand::Adopt => {
            media.adopt_storage().await.map_err(failed)?;
            say("the storage is this database's; `hearth media verify` says what is in it");
            Ok(())
        }
    }
}

async fn list(media: &Media, chosen: &Chosen) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let page = media.list(chosen.selection_or_all()?, after).await.map_err(failed)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.medium.nid;
        for listed in &page {
            let medium = &listed.medium;
            let size =
                medium.blob.as_ref().map_or_else(|| "reserved".to_owned(), |blob| blob.size.to_string());
            let user = listed.user.as_deref().unwrap_or("-");
            let note = if medium.quarantined { " quarantined" } else { "" };
            let when = time(medium.created_ts);
            say(&format!("{when} {size:>12} {} {} {user}{note}", uri(listed), medium.content_type));
        }
    }
}

async fn info(media: &Media, text: &str) -> Result<(), Failure> {
    let (server, id) = parts(text)?;
    let found = media.list(Selection::One { server, id }, 0).await.map_err(failed)?;
    let Some(listed) = found.first() else { return Err(Failure::Input(format!("there is no {text} here"))) };
    let medium = &listed.medium;
    say(&format!("uri           {}", uri(listed)));
    say(&format!("uploaded by   {}", listed.user.as_deref().unwrap_or("-")));
    say(&format!("created       {}", time(medium.created_ts)));
    say(&format!("last used     {}", time(medium.used_ts)));
    say(&format!("type          {}", medium.content_type));
    say(&format!("name          {}", medium.file_name.as_deref().unwrap_or("-")));
    say(&format!("quarantined   {}", if medium.quarantined { "yes" } else { "no" }));
    let Some(blob) = &medium.blob else {
        say("bytes         none yet: the id is reserved");
        return Ok(());
    };
    let scanned = match (blob.scanned, blob.infected) {
        (false, _) => "not yet",
        (true, false) => "clean",
        (true, true) => "infected",
    };
    say(&format!("bytes         {}", blob.size));
    say(&format!("sha-256       {}", hexadecimal(&blob.sha256)));
    say(&format!("object        {}", blob.object));
    say(&format!("scanned       {scanned}"));
    Ok(())
}

async fn totals(media: &Media) -> Result<(), Failure> {
    let totals = media.totals().await.map_err(failed)?;
    let line = |what: &str, Totals { count, bytes }: Totals| {
        say(&format!("{what:<22} {count:>9} {bytes:>15} bytes"));
    };
    line("of this server", totals.local);
    line("of other servers", totals.remote);
    line("thumbnails", totals.thumbnails);
    line("in the storage", totals.stored);
    Ok(())
}

async fn quarantine(media: &Media, chosen: &Chosen, by: Option<&str>) -> Result<(), Failure> {
    let what = if by.is_some() { "quarantined" } else { "released" };
    if let Some(hash) = &chosen.hash {
        let changed = media.block(hash, by).await.map_err(failed)?;
        let note = if changed { "" } else { " already" };
        say(&format!("the content is {what}{note}, whoever has it"));
        return Ok(());
    }
    let changed = media.quarantine(chosen.selection()?, by).await.map_err(failed)?;
    say(&format!("{what} {}", files(changed)));
    Ok(())
}

async fn verify(media: &Media) -> Result<(), Failure> {
    let (mut whole, mut bytes, mut wrong) = (0_u64, 0_u64, 0_u64);
    let tell = |checked: Checked| match checked.verdict {
        Verdict::Whole => {
            whole += 1;
            bytes += checked.size;
        }
        Verdict::Unknown => say(&format!("named by nothing: {}, {} bytes", checked.object, checked.size)),
        verdict => {
            wrong += 1;
            say(&format!(
                "{}: {}",
                if verdict == Verdict::Lost { "lost" } else { "damaged" },
                checked.object
            ));
        }
    };
    media.verify(tell).await.map_err(failed)?;
    say(&format!("{whole} objects of {bytes} bytes are whole"));
    if wrong == 0 { Ok(()) } else { Err(Failure::Input(format!("{wrong} objects are damaged or lost"))) }
}

fn uri(listed: &Listed) -> String {
    format!("mxc://{}/{}", listed.server, listed.id)
}

fn parts(uri: &str) -> Result<(&str, &str), Failure> {
    let parts = <&MxcUri>::from(uri).parts();
    parts
        .map(|(server, id)| (server.as_str(), id))
        .map_err(|_| Failure::Input(format!("{uri} is no mxc URI")))
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let pairs = text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    bytes.try_into().ok()
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn time(milliseconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(milliseconds).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn failed(error: MediaError) -> Failure {
    match error {
        MediaError::Store(error) => error.into(),
        error => Failure::Start(error.to_string()),
    }
}
