//! Starting, stopping and being killed, with a PostgreSQL of the server's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::harness::server::{Refusal, Server, Settings};
use crate::harness::{Hearth, Test, User, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_first_start_says_where_the_server_is_and_what_comes_next,
        nothing_is_readable_for_others,
        the_private_database_is_durable_and_has_no_port,
        a_server_that_stops_says_so_and_answers_those_who_wait,
        a_stopped_server_takes_its_database_with_it,
        a_killed_server_takes_its_database_with_it_and_its_successor_goes_on,
        a_killed_database_is_started_again_under_the_server,
        after_both_are_killed_everything_acknowledged_is_there,
        two_servers_do_not_share_a_data_directory,
        without_the_programs_of_postgresql_one_sentence_names_the_package,
        a_database_of_another_major_version_is_one_sentence,
        a_port_in_use_is_one_sentence,
        a_server_never_changes_its_name,
    ]
}

fn private() -> Settings {
    Settings::new().private_database()
}

/// The exit code and the last thing said.
fn refused(refusal: &Refusal) -> (Option<i32>, String) {
    let last = refusal.said.last().cloned().unwrap_or_default();
    (refusal.status.and_then(|status| status.code()), last)
}

fn postmaster(server: &Server) -> i32 {
    running_postmaster(server).expect("the database runs")
}

fn running_postmaster(server: &Server) -> Option<i32> {
    let file = fs::read_to_string(server.data_dir().join("pgdata/postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

async fn kill(pid: i32) {
    let sent = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status().await;
    assert!(sent.expect("kill is a program").success());
}

/// A process that ended is gone, or waits for its parent to notice.
fn runs(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// Waits for something, but not for ever.
struct Waiting {
    what: &'static str,
    since: Instant,
}

impl Waiting {
    fn for_(what: &'static str) -> Self {
        Self { what, since: Instant::now() }
    }

    async fn pause(&self) {
        assert!(self.since.elapsed() < Duration::from_mins(1), "in vain waited for {}", self.what);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn knows(hearth: &Hearth, user: &User) -> bool {
    hearth.get("/account/whoami").token(&user.token).await.status == 200
}

async fn a_first_start_says_where_the_server_is_and_what_comes_next(hearth: Hearth) {
    let settings = private().set("HEARTH_REGISTRATION__MODE", "token");
    let (server, _) = hearth.start(settings).await;
    let address = server.base().to_owned();
    let (status, said) = server.stop().await;
    assert!(status.success(), "{status}");
    let said = said.join("\n");
    for part in [&*address, "registration token  ", "user create NAME --admin", "first start took "] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

async fn nothing_is_readable_for_others(hearth: Hearth) {
    let (server, _) = hearth.start(private()).await;
    let mut folders = vec![server.data_dir()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().map_or(0, |metadata| metadata.permissions().mode());
            let path = entry.path();
            if path.is_dir() {
                assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
                // What is inside the one, PostgreSQL guards itself; to what is inside the other nobody else comes.
                if !path.ends_with("pgdata") && !path.ends_with("media") {
                    folders.push(path);
                }
            } else if !path.to_string_lossy().contains(".s.PGSQL") {
                assert_eq!(mode & 0o177, 0, "{}: {mode:o}", path.display());
            }
        }
    }
}

async fn the_private_database_is_durable_and_has_no_port(hearth: Hearth) {
    let (server, _) = hearth.start(private()).await;
    let url =
        format!("postgres://hearth@localhost/postgres?host={}", server.data_dir().join("run").display());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let names = ["fsync", "full_page_writes", "synchronous_commit", "listen_addresses", "wal_level"];
    let mut values = Vec::new();
    for name in names {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        values.push(value);
    }
    assert_eq!(values, ["on", "on", "on", "", "replica"]);
}

async fn a_server_that_stops_says_so_and_answers_those_who_wait(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new().set("HEARTH_SHUTDOWN__NOTICE", "1s")).await;
    let alice = here.user("alice").await;
    let since = alice.get("/sync").await.ok()["next_batch"].as_str().unwrap().to_owned();
    let waiting = tokio::spawn(async move {
        let path = format!("/sync?timeout=120000&since={since}");
        alice.get(&path).patient(Duration::from_mins(2)).await.ok()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    server.signal("TERM").await;
    let ready = format!("{}/ready", server.base());
    let http = crate::harness::hearth::http();
    let turned = Waiting::for_("/ready to turn 503");
    while http.get(&ready).send().await.unwrap().status() != 503 {
        turned.pause().await;
    }
    let synced = waiting.await.unwrap();
    assert!(synced["next_batch"].is_string(), "{synced}");
    let (status, _) = server.stop().await;
    assert!(status.success() && begun.elapsed() < Duration::from_secs(15), "{status}");
}

async fn a_stopped_server_takes_its_database_with_it(hearth: Hearth) {
    let (server, _) = hearth.start(private()).await;
    let (postmaster, data_dir) = (postmaster(&server), server.data_dir());
    let estate = server.estate();
    let since = Instant::now();
    let (status, _) = server.stop().await;
    assert!(status.success() && since.elapsed() < Duration::from_secs(15), "{status}");
    assert!(!runs(postmaster) && !data_dir.join("pgdata/postmaster.pid").exists());
    drop(estate);
}

async fn a_killed_server_takes_its_database_with_it_and_its_successor_goes_on(hearth: Hearth) {
    let (server, first) = hearth.start(private()).await;
    let alice = first.user("alice").await;
    let postmaster = postmaster(&server);
    let (settings, folder) = server.kill().await;
    let waiting = Waiting::for_("the end of the database");
    while runs(postmaster) {
        waiting.pause().await;
    }
    let server = Server::start_in(settings, folder).await;
    assert!(knows(&hearth.other(server.base()), &alice).await);
}

async fn a_killed_database_is_started_again_under_the_server(hearth: Hearth) {
    let (server, first) = hearth.start(private()).await;
    let alice = first.user("alice").await;
    let before = postmaster(&server);
    kill(before).await;
    let body = serde_json::json!({
        "type": "m.login.password", "password": alice.password,
        "identifier": {"type": "m.id.user", "user": alice.id},
    });
    let waiting = Waiting::for_("a login over the new database");
    while running_postmaster(&server).is_none_or(|now| now == before)
        || first.post("/login", &body).await.status != 200
    {
        waiting.pause().await;
    }
    assert!(knows(&first, &alice).await);
}

async fn after_both_are_killed_everything_acknowledged_is_there(hearth: Hearth) {
    let (server, first) = hearth.start(private()).await;
    let alice = first.user("alice").await;
    let postmaster = postmaster(&server);
    kill(postmaster).await;
    let (settings, folder) = server.kill().await;
    let server = Server::start_in(settings, folder).await;
    assert!(knows(&hearth.other(server.base()), &alice).await);
}

async fn two_servers_do_not_share_a_data_directory(hearth: Hearth) {
    let (server, first) = hearth.start(private()).await;
    let (settings, folder) = server.estate();
    let refusal = Server::try_start_in(settings, folder).await.unwrap_err();
    let (code, said) = refused(&refusal);
    let expected = format!("is in use by another server (process {})", server.pid());
    assert!(code == Some(1) && said.contains(&expected), "{refusal}");
    first.get("/_matrix/client/versions").await.ok();
}

async fn without_the_programs_of_postgresql_one_sentence_names_the_package(_: Hearth) {
    let settings = private().set("HEARTH_DATABASE__PROGRAMS", "/nonexistent");
    let refusal = Server::try_start(settings).await.unwrap_err();
    let sentence = hearth_store::private_postgres::PrivatePostgresError::NoPrograms.to_string();
    assert_eq!(refused(&refusal), (Some(78), format!("hearth: {sentence}")));
}

async fn a_database_of_another_major_version_is_one_sentence(hearth: Hearth) {
    let (server, _) = hearth.start(private()).await;
    let (settings, folder) = server.estate();
    server.stop().await;
    fs::write(folder.path().join("data/pgdata/PG_VERSION"), "9\n").unwrap();
    let refusal = Server::try_start_in(settings, folder).await.unwrap_err();
    let (code, said) = refused(&refusal);
    assert!(code == Some(78) && said.ends_with("install the package `postgresql-9`"), "{refusal}");
}

async fn a_port_in_use_is_one_sentence(_: Hearth) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = crate::harness::server::new_folder();
    let output = run(folder.path(), &[("HEARTH_LISTEN", &address)]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        last.starts_with(&format!("hearth: the address {address} is in use by another program")),
        "{said}"
    );
}

async fn a_server_never_changes_its_name(hearth: Hearth) {
    let (server, _) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    server.stop().await;
    let other = settings.set("HEARTH_SERVER_NAME", "other.test");
    let refusal = Server::try_start_in(other, folder).await.unwrap_err();
    let (code, said) = refused(&refusal);
    assert!(code == Some(78), "{refusal}");
    assert!(
        said.contains("belongs to the server `hearth.test`, and a server's name can never change"),
        "{refusal}"
    );
}

async fn run(folder: &Path, variables: &[(&str, &str)]) -> std::process::Output {
    let mut command = crate::harness::server::program(folder);
    command.arg("serve").envs(variables.iter().copied()).kill_on_drop(true);
    command.output().await.expect("the program runs")
}
