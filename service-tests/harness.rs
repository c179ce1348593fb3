//! A world of services over a database of its own, and rooms made by hand in it.

pub mod room;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use hearth_core::pdu::SigningKey;
use hearth_services::account_data::AccountData;
use hearth_services::ephemeral::presence::{PresenceSettings, Presences};
use hearth_services::ephemeral::receipts::Receipts;
use hearth_services::ephemeral::typing::Typing;
use hearth_services::filters::Filters;
use hearth_services::interned::Interned;
use hearth_services::log::{Log, LogSettings};
use hearth_services::rooms::RoomReader;
use hearth_services::rooms::states::States;
use hearth_services::rooms::viewer::Viewer;
use hearth_services::statements;
use hearth_services::sync::v2::{Request, no_filter};
use hearth_services::sync::{Parts, Passing, Sync, SyncSettings};
use hearth_store::Store;
use hearth_store::connect::{Database, PoolSettings, Source};
use hearth_store::log::{Change, Proposal};
use hearth_store::private_postgres::Options;
use ruma::UserId;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The part of every user's name behind the colon.
pub const SERVER: &str = "hearth.test";

const PRESENCE: PresenceSettings = PresenceSettings {
    enabled: true,
    active_for: Duration::from_mins(1),
    idle_after: Duration::from_mins(5),
    offline_after: Duration::from_secs(30),
};

/// Everything that a test needs, and a database that ends with it.
pub struct World {
    pub store: Store,
    pub log: Log,
    pub interned: Interned,
    pub states: States,
    pub sync: Sync,
    pub key: SigningKey,
    database: Database,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _folder: TempDir,
}

impl World {
    /// Makes a database and opens it.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The user that runs the database passes through.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let options = Options::new(folder.path().join("data"), env!("CARGO_BIN_EXE_hearth"));
        let settings = PoolSettings {
            size: 8,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
        };
        let database = Database::open(Source::Private(options), &settings).await.unwrap();
        let store = database.store.clone();
        let stop = CancellationToken::new();
        let connect = database.connect_options().clone();
        let opened = Log::open(store.clone(), connect, LogSettings::default(), stop.clone()).await;
        let (log, running) = opened.unwrap();
        let interned = Interned::new(store.clone());
        let reader = RoomReader::new(store.clone(), interned.clone(), &log);
        let states = reader.states.clone();
        let sync = sync(reader, &log, &stop).await;
        let mut tasks = JoinSet::new();
        for task in running {
            tasks.spawn(task.run);
        }
        let key = SigningKey::from_seed(SERVER.try_into().unwrap(), "test", &[7; 32]).unwrap();
        Self { store, log, interned, states, sync, key, database, stop, tasks, _folder: folder }
    }

    /// Another process's sync: it remembers nothing.
    pub async fn cold_sync(&self) -> Sync {
        let reader = RoomReader::new(self.store.clone(), Interned::new(self.store.clone()), &self.log);
        sync(reader, &self.log, &self.stop).await
    }

    /// A local user with one device.
    pub async fn user(&self, name: &str) -> Viewer {
        let id = UserId::parse(format!("@{name}:{SERVER}")).unwrap();
        let user = self.interned.user(&id).await.unwrap();
        let account = Change::CreateAccount { user, password_hash: None, admin: false, ts: 0 };
        self.log.commit(Proposal::change(account)).await.unwrap();
        Viewer { user, id, device: Some("DEVICE".to_owned()) }
    }

    /// A sync that does not wait; and how many statements it made.
    pub async fn counted(&self, reader: &Viewer, request: Request) -> (Value, u64) {
        let (answer, statements) = statements::counted(self.sync.v2(reader, &request)).await;
        (serde_json::from_str(&answer.unwrap()).unwrap(), statements)
    }

    /// A sync that does not wait.
    pub async fn sync(&self, reader: &Viewer, request: Request) -> Value {
        self.counted(reader, request).await.0
    }

    /// Stops the database.
    pub async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.database.close().await;
    }
}

async fn sync(reader: RoomReader, log: &Log, stop: &CancellationToken) -> Sync {
    let filters = Filters::new(reader.store.clone());
    let account_data = AccountData::new(reader.store.clone(), log.clone(), reader.interned.clone());
    let passing = Passing {
        receipts: Receipts::new(reader.clone(), log.clone(), account_data).await,
        typing: Typing::new(reader.clone(), log.clone(), Duration::from_mins(2)).await.unwrap(),
        presences: Presences::new(reader.clone(), log.clone(), PRESENCE).await.unwrap(),
    };
    let parts = Parts { reader, log: log.clone(), filters, passing };
    let settings = SyncSettings {
        longest_wait: Duration::from_mins(1),
        per_device: 16,
        per_user: 128,
        connection_lifetime: Duration::from_hours(1),
    };
    Sync::new(parts, settings, stop.clone()).await
}

/// A request with a token, or a first one.
pub fn since(answer: Option<&Value>) -> Request {
    let token = answer.map(|answer| answer["next_batch"].as_str().unwrap().parse().unwrap());
    Request { since: token, filter: no_filter(), ..Request::default() }
}

/// A request with a filter.
pub fn filtered(answer: Option<&Value>, filter: &Value) -> Request {
    let filter = hearth_core::sync_filter::FilterDefinition::parse(filter.to_string()).unwrap();
    Request { filter: Arc::new(filter), ..since(answer) }
}
