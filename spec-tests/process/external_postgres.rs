//! A PostgreSQL that somebody else runs: which ones are taken, and what is said about them.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sqlx::PgConnection;
use tokio::process::Command;
use tokio::time::sleep;

use crate::harness::cluster::connect;
use crate::harness::postgres::Postgres;
use crate::harness::server::{Refusal, Server, Settings, new_folder, program};
use crate::harness::{Hearth, Test, tests};

/// The advisory lock of those who migrate.
const MIGRATION_LOCK: i64 = 7_236_838_442;

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_database_that_can_forget_is_warned_of,
        a_database_without_a_standby_is_noted_by_the_check,
        a_database_that_is_away_is_only_a_warning_of_the_check,
        a_database_in_another_encoding_is_one_sentence,
        an_encrypted_connection_is_verified_to_the_name,
        an_older_release_refuses_a_newer_schema,
        who_migrates_waits_for_whoever_does_already,
        a_migration_gives_way_to_those_who_use_its_table,
        no_more_connections_are_made_than_configured,
    ]
}

fn at(url: &str) -> Settings {
    Settings::new().set("HEARTH_DATABASE__URL", url)
}

/// What `hearth config check` says about a database, and its exit status.
async fn check(url: &str) -> (Option<i32>, String) {
    let folder = new_folder();
    let mut command: Command = program(folder.path());
    command.args(["config", "check"]).envs(at(url).variables());
    let output = command.output().await.expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn assert_refused(refusal: &Refusal, code: i32, words: &str) {
    let last = refusal.said.last().cloned().unwrap_or_default();
    let status = refusal.status.and_then(|status| status.code());
    assert!(status == Some(code) && last.contains(words), "{refusal}");
}

async fn execute(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.expect("the database does as it is told");
}

async fn until_it_says(server: &Server, words: &str) {
    for _ in 0..600 {
        if server.said().iter().any(|line| line.contains(words)) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it never said {words:?}: {:?}", server.said());
}

async fn a_database_that_can_forget_is_warned_of(hearth: Hearth) {
    let settings = ["fsync", "full_page_writes", "synchronous_commit"];
    let mut making = Postgres::make().await.set("max_connections", "20");
    for name in settings {
        making = making.set(name, "off");
    }
    let postgres = making.start().await;
    let url = postgres.url("postgres");
    let (server, here) = hearth.start(at(&url)).await;
    here.user("alice").await;
    let (logged, (code, checked)) = (server.said().join("\n"), check(&url).await);
    assert_eq!(code, Some(0), "{checked}");
    for said in [&logged, &checked] {
        for name in settings {
            assert!(said.contains(&format!("the database's setting {name} is off")), "{said}");
        }
        assert!(said.contains("the database takes 17 connections at most"), "{said}");
    }
    server.stop().await;
}

async fn a_database_without_a_standby_is_noted_by_the_check(_: Hearth) {
    let url = crate::harness::cluster::new_database().await.unwrap();
    let (code, said) = check(&url).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("note: the database has no synchronous standby"), "{said}");
    assert!(!said.contains("warning: the database"), "{said}");
}

async fn a_database_that_is_away_is_only_a_warning_of_the_check(_: Hearth) {
    let port = crate::harness::server::free_port();
    let (code, said) = check(&format!("postgres://hearth@127.0.0.1:{port}/hearth")).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: cannot connect to the database"), "{said}");
}

async fn a_database_in_another_encoding_is_one_sentence(_: Hearth) {
    let postgres = Postgres::make().await.start().await;
    let create = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    execute(&mut postgres.connect().await, create).await;
    let refusal = Server::try_start(at(&postgres.url("latin"))).await.unwrap_err();
    assert_refused(&refusal, 78, "the database cannot be used: its encoding is LATIN1, not UTF8");
    assert_eq!(check(&postgres.url("latin")).await.0, Some(78));
}

/// The certificate of an authority, and of a server of this name with its key, all as PEM.
fn certificates(name: &str) -> (String, String, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.pem(), server.pem(), key.serialize_pem())
}

async fn an_encrypted_connection_is_verified_to_the_name(hearth: Hearth) {
    let (authority, certificate, key) = certificates("localhost");
    let making = Postgres::make().await;
    let making = making.with_file("server.crt", &certificate).with_file("server.key", &key);
    let making = making.with_file("ca.crt", &authority).with_file("other.crt", &certificates("localhost").0);
    let files = ["server.crt", "server.key"].map(|name| making.file(name).display().to_string());
    let making = making.set("ssl", "on").set("ssl_cert_file", &files[0]).set("ssl_key_file", &files[1]);
    let postgres = making.start().await;
    let url = |host: &str, authority: &str| {
        let authority = postgres.file(authority);
        let url = postgres.url_at(host, "postgres");
        format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display())
    };
    let (server, here) = hearth.start(at(&url("localhost", "ca.crt"))).await;
    here.user("alice").await;
    let plain: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE usename = 'hearth' AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND NOT ssl",
    )
    .fetch_one(&mut postgres.connect().await)
    .await
    .unwrap();
    assert_eq!(plain, 0, "every connection is encrypted");
    server.stop().await;
    for (host, authority) in [("localhost", "other.crt"), ("127.0.0.1", "ca.crt")] {
        let refusal = Server::try_start(at(&url(host, authority))).await.unwrap_err();
        assert_refused(&refusal, 1, "cannot connect to the database: ");
        assert!(refusal.to_string().contains("certificate"), "{refusal}");
    }
}

async fn an_older_release_refuses_a_newer_schema(hearth: Hearth) {
    let (server, _) = hearth.start(Settings::new()).await;
    let settings = server.settings().clone();
    server.stop().await;
    let url = settings.database_url();
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                  VALUES (99990101000000, 'of a release to come', true, '', 0)";
    execute(&mut connect(url).await, insert).await;
    let words = "the database was brought up to date by a newer release (schema 99990101000000";
    let refusal = Server::try_start(settings.clone()).await.unwrap_err();
    assert_refused(&refusal, 78, words);
    let (code, said) = check(url).await;
    assert!(code == Some(78) && said.contains(words), "{said}");
}

/// Starts a server that is not ready before `release` has run; the words are what it says meanwhile.
async fn starts_late(url: &str, words: &str, release: impl Future<Output = ()>) {
    let mut server = Server::spawn(at(url), std::sync::Arc::new(new_folder()));
    until_it_says(&server, words).await;
    release.await;
    server.wait_until_ready().await.expect("it starts");
    server.stop().await;
}

async fn who_migrates_waits_for_whoever_does_already(_: Hearth) {
    let url = crate::harness::cluster::new_database().await.unwrap();
    let mut other = connect(&url).await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATION_LOCK).execute(&mut other).await.unwrap();
    let words = "waiting for another process that brings the schema up to date";
    starts_late(&url, words, execute(&mut other, "SELECT pg_advisory_unlock_all()")).await;
}

async fn a_migration_gives_way_to_those_who_use_its_table(_: Hearth) {
    let url = crate::harness::cluster::new_database().await.unwrap();
    let mut other = connect(&url).await;
    // What a first migration does: it writes down that it was done.
    let using = "CREATE TABLE _sqlx_migrations (
                     version BIGINT PRIMARY KEY, description TEXT NOT NULL,
                     installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL,
                     checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL);
                 BEGIN; LOCK TABLE _sqlx_migrations IN EXCLUSIVE MODE";
    execute(&mut other, using).await;
    let words = "a migration waits for a table that is in use";
    starts_late(&url, words, execute(&mut other, "COMMIT")).await;
}

async fn no_more_connections_are_made_than_configured(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new().set("HEARTH_DATABASE__POOL_SIZE", "2")).await;
    let mut inside = connect(server.settings().database_url()).await;
    let crowd: Vec<_> = (0..16)
        .map(|_| {
            let here = here.clone();
            tokio::spawn(async move { here.user("crowd").await })
        })
        .collect();
    let mut most = 0;
    while crowd.iter().any(|one| !one.is_finished()) {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'hearth'",
        )
        .fetch_one(&mut inside)
        .await
        .unwrap();
        most = most.max(count);
        sleep(Duration::from_millis(10)).await;
    }
    for one in crowd {
        one.await.expect("everybody is served");
    }
    assert!((1..=2).contains(&most), "{most} connections");
    server.stop().await;
}
