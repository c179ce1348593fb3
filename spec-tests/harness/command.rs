//! The program's commands, beside a server that runs and without one.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;

use super::server::{Settings, program};

/// Runs a command with the settings and the folder of a server, and what it is given to read.
async fn run(settings: &Settings, folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = program(folder);
    command.args(arguments).env("HEARTH_DATA_DIR", folder.join("data")).envs(settings.variables());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program runs");
    // One that reads nothing may be gone already.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes()).await;
    child.wait_with_output().await.expect("it ends")
}

/// What a command that must succeed said.
pub async fn ok(settings: &Settings, folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(settings, folder, arguments, input).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said.trim_end().to_owned()
}

/// What a command that must fail complained of.
pub async fn fails(settings: &Settings, folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(settings, folder, arguments, input).await;
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// Whether a command succeeded, and everything it said.
pub async fn told(settings: &Settings, folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = run(settings, folder, arguments, "").await;
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim_end().to_owned())
}
