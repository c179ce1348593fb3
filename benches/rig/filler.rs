//! Fills a database through the services, in this process: real hashes, signatures, auth rules, state trees
//! and log, without HTTP. Not while a server runs on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hearth_core::pdu::{Content, SigningKey};
use hearth_core::room_version;
use hearth_services::accounts::{
    AccountSettings, Accounts, NewAccount, NewDevice, Registration, RegistrationMode, RegistrationPolicy,
};
use hearth_services::interned::Interned;
use hearth_services::log::{Log, LogSettings};
use hearth_services::profiles::Profiles;
use hearth_services::rooms::{Addition, Author, Draft, NewRoom, RoomReader, Rooms};
use hearth_store::connect::{Database, PoolSettings, Source};
use ruma::api::client::room::create_room::v3::RoomPreset;
use ruma::events::TimelineEventType;
use ruma::{CanonicalJsonObject, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::rig::SERVER_NAME;
use crate::{Result, Rig};

/// How many things are done at a time, so that commits carry many.
const AT_A_TIME: usize = 400;

/// The services, over a database that a server has founded.
pub struct Filler {
    database: Database,
    log: Log,
    interned: Interned,
    accounts: Accounts,
    rooms: Rooms,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// A user with a session.
#[derive(Clone, Debug)]
pub struct Person {
    /// They as an author of events.
    pub author: Author,
    /// Their access token.
    pub token: String,
}

impl Filler {
    /// Opens the services.
    pub async fn open(rig: &Rig, database: &str) -> Result<Self> {
        let patience = std::time::Duration::from_mins(1);
        let settings = PoolSettings { size: 20, acquire_timeout: patience, statement_timeout: patience };
        let database = Database::open(Source::Url(rig.url(database)), &settings).await?;
        let store = || database.store.clone();
        let (stop, connect) = (CancellationToken::new(), database.connect_options().clone());
        let (log, tasks) = Log::open(store(), connect, LogSettings::default(), stop.clone()).await?;
        let interned = Interned::new(store());
        let server_name = OwnedServerName::try_from(SERVER_NAME)?;
        let registration = Registration {
            mode: RegistrationMode::Closed,
            token: None,
            terms: std::collections::BTreeMap::new(),
        };
        let policy = RegistrationPolicy::new(store(), registration);
        // Nobody here has a password.
        let account_settings = AccountSettings {
            server_name: server_name.clone(),
            argon2_memory_kib: 64,
            access_token_lifetime: Duration::from_hours(1),
            login_token_lifetime: Duration::from_hours(1),
            openid_token_lifetime: Duration::from_hours(1),
        };
        let accounts = Accounts::new(store(), log.clone(), interned.clone(), policy, &account_settings);
        let profiles = Profiles::new(store(), log.clone(), interned.clone(), server_name.clone());
        let key = signing_key(&database, server_name).await?;
        let reader = RoomReader::new(store(), interned.clone(), &log);
        let rooms = Rooms::new(reader, log.clone(), Arc::new(key), profiles);
        let tasks = tasks.into_iter().map(|task| tokio::spawn(task.run)).collect();
        Ok(Self { database, log, interned, accounts, rooms, tasks, stop })
    }

    /// Lets go of the database, everything committed.
    pub async fn close(self) -> Result<()> {
        self.stop.cancel();
        for task in self.tasks {
            task.await?;
        }
        self.log.leave().await?;
        self.database.close().await;
        Ok(())
    }

    /// Makes users, each with a session.
    pub async fn people(&self, name: &str, count: usize) -> Result<Vec<Person>> {
        let making = (0..count).map(|number| self.person(format!("{name}-{number}")));
        stream::iter(making).buffered(AT_A_TIME).try_collect().await
    }

    /// Logs somebody in on more devices; the access tokens.
    pub async fn devices(&self, person: &Person, count: usize) -> Result<Vec<String>> {
        let mut tokens = Vec::with_capacity(count);
        for number in 0..count {
            let (token, _) = self.accounts.new_login_token(person.author.nid).await?;
            let device = NewDevice { id: Some(format!("BENCH{number}").into()), ..NewDevice::default() };
            tokens.push(self.accounts.log_in_by_token(&token, device).await?.access_token);
        }
        Ok(tokens)
    }

    /// Makes a room that anybody may join.
    pub async fn room(&self, creator: &Person) -> Result<OwnedRoomId> {
        let version = room_version::rules(&room_version::DEFAULT).ok_or("the default room version")?;
        let new = NewRoom {
            version,
            creation_content: CanonicalJsonObject::new(),
            preset: RoomPreset::PublicChat,
            published: false,
            power_levels: None,
            initial_state: Vec::new(),
            name: Some("A room".to_owned()),
            topic: None,
            alias: None,
            invites: Vec::new(),
            is_direct: false,
        };
        Ok(self.rooms.create(&creator.author, new).await?)
    }

    /// Makes rooms that anybody may join, one after the other: a room is named by the hash of its create event,
    /// so that two of one creator in one millisecond would be the same room.
    pub async fn many_rooms(&self, creator: &Person, count: usize) -> Result<Vec<OwnedRoomId>> {
        let mut rooms = Vec::with_capacity(count);
        for _ in 0..count {
            rooms.push(self.room(creator).await?);
        }
        Ok(rooms)
    }

    /// Lets people join a room.
    pub async fn join(&self, room: &RoomId, people: &[Person]) -> Result<()> {
        self.join_all(people.iter().map(|person| (room, person))).await
    }

    /// Lets people join rooms.
    pub async fn join_all<'a>(&self, pairs: impl Iterator<Item = (&'a RoomId, &'a Person)>) -> Result<()> {
        let joining = pairs
            .map(|(room, person)| async move { self.rooms.join(&person.author, room, None).await.map(drop) });
        Ok(stream::iter(joining).buffer_unordered(AT_A_TIME).try_collect().await?)
    }

    /// Lets somebody say something many times.
    pub async fn say(&self, person: &Person, room: &RoomId, count: usize) -> Result<()> {
        let saying = (0..count).map(|number| async move {
            let content = json!({ "msgtype": "m.text", "body": format!("Message number {number} of many.") });
            let draft = Draft::message(TimelineEventType::RoomMessage, Content::from_serialize(&content)?);
            self.rooms.add(room, &Addition::of(&person.author, draft)).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
        stream::iter(saying).buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn person(&self, name: String) -> Result<Person> {
        let id = OwnedUserId::try_from(format!("@{name}:{SERVER_NAME}"))?;
        let device = NewDevice { id: Some("BENCH".into()), ..NewDevice::default() };
        let account = NewAccount {
            user_id: id.clone(),
            password: None,
            admin: false,
            counted_token: None,
            device: Some(device),
        };
        let session = self.accounts.create(account).await?.ok_or("an account without a session")?;
        let author = Author { nid: self.interned.user(&id).await?, id };
        Ok(Person { author, token: session.access_token })
    }
}

async fn signing_key(database: &Database, server_name: OwnedServerName) -> Result<SigningKey> {
    let keys = database.store.signing_keys().await?;
    let stored = keys.into_iter().find(|key| key.expired_ts.is_none()).ok_or("the server has no key")?;
    let version = stored.key_id.strip_prefix("ed25519:").ok_or("a key of another kind")?;
    let seed = <[u8; 32]>::try_from(stored.seed.as_slice())?;
    Ok(SigningKey::from_seed(server_name, version, &seed)?)
}
