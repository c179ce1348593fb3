//! The configuration, as a server meets it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::harness::server::{Server, Settings, new_folder};
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        a_wrong_configuration_stops_the_start_with_file_line_and_key,
        an_unknown_variable_is_a_warning,
        a_hang_up_reloads_what_can_change_and_says_what_it_did,
        metrics_have_a_listener_of_their_own,
        a_server_listens_on_a_unix_socket_too,
    ]
}

async fn a_wrong_configuration_stops_the_start_with_file_line_and_key(_: Hearth) {
    let folder = Arc::new(new_folder());
    fs::write(folder.path().join("hearth.yaml"), "log:\n  levle: info\n").unwrap();
    let refusal = Server::try_start_in(Settings::new(), folder).await.unwrap_err();
    assert_eq!(refusal.status.and_then(|status| status.code()), Some(78));
    assert_eq!(
        refusal.said,
        ["hearth: hearth.yaml:2: log.levle: there is no such key; did you mean `log.level`?"]
    );
}

async fn an_unknown_variable_is_a_warning(hearth: Hearth) {
    let (server, _) = hearth.start(Settings::new().set("HEARTH_SERVER_NAM", "x")).await;
    let said = server.said().join("\n");
    assert!(
        said.contains("HEARTH_SERVER_NAM means nothing to this server; did you mean HEARTH_SERVER_NAME?")
    );
}

async fn a_hang_up_reloads_what_can_change_and_says_what_it_did(hearth: Hearth) {
    let folder = Arc::new(new_folder());
    let path = folder.path().join("other.yaml");
    fs::write(&path, "registration: {mode: closed}\n").unwrap();
    // A database of its own is made where a server is started in a new folder.
    let (donor, _) = hearth.start(Settings::new()).await;
    let (settings, _) = donor.estate();
    donor.stop().await;
    let settings = settings.unset("HEARTH_REGISTRATION__MODE").set("HEARTH_CONFIG", path.to_str().unwrap());
    let server = Server::start_in(settings, folder).await;
    let here = hearth.other(server.base());
    let register = async || here.post("/register", &json!({"username": "x"})).await.status;
    assert_eq!(register().await, 403);

    fs::write(&path, "registration: {mode: open}\nsync: {max_timeout: 1s}\n").unwrap();
    server.signal("HUP").await;
    let mut tries = 0;
    while register().await != 401 {
        tries += 1;
        assert!(tries < 100, "the change is not in force");
        sleep(Duration::from_millis(50)).await;
    }
    // It says so once all of it is in force.
    let mut said = server.said().join("\n");
    while tries < 100 && !(said.contains("reloaded the") && said.contains("waiting for a restart")) {
        tries += 1;
        sleep(Duration::from_millis(50)).await;
        said = server.said().join("\n");
    }
    assert!(said.contains("reloaded the configuration; changed: registration.mode"), "{said}");
    assert!(said.contains("waiting for a restart: sync.max_timeout"), "{said}");
}

async fn metrics_have_a_listener_of_their_own(hearth: Hearth) {
    let address = format!("127.0.0.1:{}", crate::harness::server::free_port());
    let (_server, here) = hearth.start(Settings::new().set("HEARTH_METRICS__LISTEN", &address)).await;
    here.get("/_matrix/client/versions").await.ok();
    let http = crate::harness::hearth::http();
    let metrics = http.get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("hearth_http_requests_total{"), "{metrics}");
    let elsewhere = http.get(format!("{}/metrics", here.base())).send().await.unwrap();
    assert_eq!(elsewhere.status(), 404);
}

async fn a_server_listens_on_a_unix_socket_too(hearth: Hearth) {
    let folder = new_folder();
    let socket = folder.path().join("http.sock");
    let tcp = format!("127.0.0.1:{}", crate::harness::server::free_port());
    let listen = format!("{tcp},unix:{}", socket.display());
    let donor = hearth.start(Settings::new()).await.0;
    let (settings, _) = donor.estate();
    donor.stop().await;
    let mut command = crate::harness::server::program(folder.path());
    command.arg("serve").envs(settings.variables()).env("HEARTH_LISTEN", listen).kill_on_drop(true);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _server = command.spawn().expect("the program runs");
    let client = reqwest::Client::builder().unix_socket(socket).build().unwrap();
    let mut tries = 0;
    let ready = loop {
        match client.get("http://hearth.test/ready").send().await {
            Ok(reply) if reply.status() == 200 => break reply,
            _ => sleep(Duration::from_millis(50)).await,
        }
        tries += 1;
        assert!(tries < 600, "no answer over the socket");
    };
    assert_eq!(ready.json::<serde_json::Value>().await.unwrap(), json!({"status": "ready"}));
    // It was not told where it is to be reached, so it tells nobody.
    let document = client.get("http://hearth.test/.well-known/matrix/client").send().await.unwrap();
    assert_eq!(document.status(), 404);
}
