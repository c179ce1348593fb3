//! The commands, beside a server that runs and without one.

use serde_json::json;

use crate::harness::command::{fails, ok};
use crate::harness::server::{Server, Settings, new_folder};
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        an_account_made_by_command_can_log_in_at_once,
        a_password_reset_by_command_logs_everybody_out_at_once,
        accounts_are_listed_restricted_and_ended_by_command,
        a_new_registration_token_is_good_at_once_and_the_old_one_no_more,
        commands_start_the_private_database_where_no_server_runs,
        a_backup_made_while_serving_brings_everything_back,
        a_backup_is_not_restored_over_anything,
        a_signing_key_can_be_taken_elsewhere,
        a_mistyped_command_is_explained,
    ]
}

async fn log_in(hearth: &Hearth, name: &str, password: &str) -> u16 {
    let identifier = json!({"type": "m.id.user", "user": name});
    let body = json!({"type": "m.login.password", "identifier": identifier, "password": password});
    hearth.post("/login", &body).await.status
}

async fn an_account_made_by_command_can_log_in_at_once(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let create = ["user", "create", "alice", "--admin", "--password-stdin"];
    let said = ok(&settings, folder.path(), &create, "a good password\nnot this line\n").await;
    assert_eq!(said, "made the administrator's account @alice:hearth.test");
    assert_eq!(log_in(&here, "alice", "a good password").await, 200);
    let complaint = fails(&settings, folder.path(), &create, "another\n").await;
    assert_eq!(complaint, "hearth: the name is taken");
}

async fn a_password_reset_by_command_logs_everybody_out_at_once(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let alice = here.user("alice").await;
    let file = folder.path().join("password");
    std::fs::write(&file, "another password\n").unwrap();
    let reset = ["user", "reset-password", &alice.id, "--password-file", file.to_str().unwrap()];
    ok(&settings, folder.path(), &reset, "").await;
    alice.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    let tried =
        [log_in(&here, &alice.id, &alice.password).await, log_in(&here, &alice.id, "another password").await];
    assert_eq!(tried, [403, 200]);
}

async fn accounts_are_listed_restricted_and_ended_by_command(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let user = async |arguments: &[&str]| {
        ok(&settings, folder.path(), &[&["user"], arguments].concat(), "a password\n").await
    };
    user(&["create", "root", "--admin", "--password-stdin"]).await;
    let alice = here.user("alice").await;
    let listed = async || user(&["list"]).await;
    assert_eq!(listed().await, format!("{}\n@root:hearth.test  admin", alice.id));
    assert_eq!(user(&["lock", alice.localpart()]).await, format!("{} is locked", alice.id));
    alice.get("/account/whoami").await.fails(401, "M_USER_LOCKED");
    user(&["suspend", &alice.id]).await;
    assert!(listed().await.starts_with(&format!("{}  locked  suspended\n", alice.id)));
    user(&["unlock", &alice.id]).await;
    alice.post("/createRoom", &json!({})).await.fails(403, "M_USER_SUSPENDED");
    user(&["unsuspend", &alice.id]).await;
    alice.create_room(json!({})).await;
    user(&["deactivate", &alice.id, "--erase"]).await;
    alice.get("/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert!(listed().await.starts_with(&format!("{}  deactivated\n", alice.id)));
    let complaint = fails(&settings, folder.path(), &["user", "lock", &alice.id], "").await;
    assert_eq!(complaint, "hearth: there is no such account");
}

async fn a_new_registration_token_is_good_at_once_and_the_old_one_no_more(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new().set("HEARTH_REGISTRATION__MODE", "token")).await;
    let (settings, folder) = server.estate();
    let old = ok(&settings, folder.path(), &["registration", "token"], "").await;
    let new = ok(&settings, folder.path(), &["registration", "token", "--new"], "").await;
    assert_eq!(ok(&settings, folder.path(), &["registration", "token"], "").await, new);
    let valid = async |token: &str| {
        let path = format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={token}");
        here.get(&path).await.ok()["valid"].clone()
    };
    assert_eq!([valid(&old).await, valid(&new).await], [json!(false), json!(true)]);
}

async fn commands_start_the_private_database_where_no_server_runs(hearth: Hearth) {
    let folder = std::sync::Arc::new(new_folder());
    let settings = Settings::new().private_database();
    ok(&settings, folder.path(), &["user", "create", "alice"], "a good password\n").await;
    let status = ok(&settings, folder.path(), &["db", "status"], "").await;
    assert!(status.contains("private") && status.contains("0 migrations pending"), "{status}");
    assert!(!folder.path().join("data/pgdata/postmaster.pid").exists());
    let server = Server::start_in(settings, folder).await;
    assert_eq!(log_in(&hearth.other(server.base()), "alice", "a good password").await, 200);
}

async fn a_backup_made_while_serving_brings_everything_back(hearth: Hearth) {
    let (server, here) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let alice = here.user("alice").await;
    alice.put(&format!("/user/{}/account_data/org.example", alice.id), &json!({"a": 1})).await.ok();
    let file = folder.path().join("backup");
    let file = file.to_str().unwrap();
    ok(&settings, folder.path(), &["db", "backup", file], "").await;
    let key = ok(&settings, folder.path(), &["key", "export"], "").await;
    server.stop().await;

    let elsewhere = std::sync::Arc::new(new_folder());
    let settings = Settings::new().private_database();
    ok(&settings, elsewhere.path(), &["db", "restore", file], "").await;
    assert_eq!(ok(&settings, elsewhere.path(), &["key", "export"], "").await, key);
    let server = Server::start_in(settings, elsewhere).await;
    let there = hearth.other(server.base());
    let path = format!("/user/{}/account_data/org.example", alice.id);
    assert_eq!(there.get(&path).token(&alice.token).await.ok(), json!({"a": 1}));
    assert_eq!(log_in(&there, &alice.id, &alice.password).await, 200);
}

async fn a_backup_is_not_restored_over_anything(hearth: Hearth) {
    let (server, _) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let file = folder.path().join("backup");
    let file = file.to_str().unwrap();
    ok(&settings, folder.path(), &["db", "backup", file], "").await;
    let complaint = fails(&settings, folder.path(), &["db", "restore", file], "").await;
    assert!(complaint.starts_with("hearth: the database is not empty"), "{complaint}");
    let complaint = fails(&settings, folder.path(), &["db", "restore", "nothing"], "").await;
    assert!(complaint.starts_with("hearth: cannot use the file nothing"), "{complaint}");
}

async fn a_signing_key_can_be_taken_elsewhere(hearth: Hearth) {
    let (server, _) = hearth.start(Settings::new()).await;
    let (settings, folder) = server.estate();
    let own = ok(&settings, folder.path(), &["key", "export"], "").await;
    let other = "ed25519 a_other AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    ok(&settings, folder.path(), &["key", "import", "-"], other).await;
    assert_ne!(own, other);
    assert_eq!(ok(&settings, folder.path(), &["key", "export"], "").await, other);
    let complaint = fails(&settings, folder.path(), &["key", "import", "-"], "nonsense").await;
    assert_eq!(complaint, "hearth: expected a line `ed25519 VERSION SEED`");
}

async fn a_mistyped_command_is_explained(_: Hearth) {
    let folder = new_folder();
    let complaint = fails(&Settings::new(), folder.path(), &["serv"], "").await;
    assert!(complaint.contains("'serve'"), "{complaint}");
    let help = ok(&Settings::new(), folder.path(), &["--help"], "").await;
    assert!(help.contains("hearth user create alice --admin"), "{help}");
    let script = ok(&Settings::new(), folder.path(), &["completions", "bash"], "").await;
    assert!(script.contains("_hearth()"), "{script}");
}
