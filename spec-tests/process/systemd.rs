//! What a service manager hears, and what a health check does.

use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::server::{Settings, new_folder, program};
use crate::harness::{Hearth, Test, tests};

/// The tests of this module.
pub fn tests() -> Vec<Test> {
    tests![own_server:
        systemd_hears_of_the_start_the_reload_the_end_and_that_the_server_lives,
        a_health_check_fails_unless_the_server_can_serve,
    ]
}

/// What systemd would hear next, without the signs of life.
async fn heard(socket: &UnixDatagram) -> Vec<String> {
    loop {
        let mut buffer = [0; 4096];
        let received = timeout(Duration::from_mins(1), socket.recv(&mut buffer)).await;
        let length = received.expect("something is heard in time").unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.trim() != "WATCHDOG=1" {
            return text.lines().map(str::to_owned).collect();
        }
    }
}

async fn systemd_hears_of_the_start_the_reload_the_end_and_that_the_server_lives(hearth: Hearth) {
    let folder = new_folder();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let settings = Settings::new().set("NOTIFY_SOCKET", path.to_str().unwrap());
    let (server, _) = hearth.start(settings.set("WATCHDOG_USEC", "400000")).await;
    assert_eq!(heard(&socket).await, ["READY=1"]);

    let mut buffer = [0; 64];
    for _ in 0..3 {
        let sign =
            timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.expect("in time").unwrap();
        assert_eq!(&buffer[..sign], b"WATCHDOG=1\n");
    }

    server.signal("HUP").await;
    let reloading = heard(&socket).await;
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(heard(&socket).await, ["READY=1"]);

    server.stop().await;
    assert_eq!(heard(&socket).await, ["STOPPING=1"]);
}

/// Runs the health check of a server that would listen there.
async fn health(listen: &str) -> (bool, String) {
    let folder = new_folder();
    let mut command: Command = program(folder.path());
    let output = command.arg("health").env("HEARTH_LISTEN", listen).output().await.expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}

async fn a_health_check_fails_unless_the_server_can_serve(hearth: Hearth) {
    let folder = new_folder();
    let socket = format!("unix:{}", folder.path().join("http.sock").display());
    let address = format!("127.0.0.1:{}", crate::harness::server::free_port());
    let (code, said) = health(&address).await;
    assert!(!code && said.contains("does not answer"), "{said}");

    let listen = Settings::new().set("HEARTH_SHUTDOWN__NOTICE", "20s");
    let (server, _) = hearth.start(listen).await;
    let address = server.base().trim_start_matches("http://").to_owned();
    assert_eq!(health(&address).await, (true, r#"{"status":"ready"}"#.to_owned()));
    server.signal("TERM").await;
    let mut tries = 0;
    while health(&address).await.0 {
        tries += 1;
        assert!(tries < 100, "it still says that it is ready");
    }
    let (code, said) = health(&address).await;
    assert!(!code && said.ends_with(r#"is not ready (503): {"status":"stopping"}"#), "{said}");
    // The second one ends it at once.
    server.stop().await;
    assert!(health(&socket).await.1.contains("does not answer"));
}
