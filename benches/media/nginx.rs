//! nginx, which serves files as fast as they can be served.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hearth_bench::{Connection, Result, family_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::process::{Child, Command};

/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// An nginx that serves the files of a folder. It ends when this is dropped.
pub(crate) struct Nginx {
    child: Child,
    pid: u32,
    /// Where it listens.
    pub(crate) address: String,
}

/// The program, or how to have it.
pub(crate) fn program() -> Result<PathBuf> {
    find("nginx").ok_or_else(|| "there is no nginx to compare with: apt-get install nginx-light".into())
}

/// A program of the path, or of where programs of administrators are.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

impl Nginx {
    /// Starts it with a configuration of its own, which is kept in `home`.
    pub(crate) async fn start(program: &Path, home: &Path, served: &Path) -> Result<Self> {
        fs::create_dir_all(home)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let configuration = home.join("nginx.conf");
        fs::write(&configuration, settings(home, served, &address))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(home).arg("-c").arg(&configuration).arg("-e").arg(home.join("error.log"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pid = child.id().ok_or("nginx has ended")?;
        let mut nginx = Self { child, pid, address };
        let since = Instant::now();
        while Connection::open(&nginx.address).await.is_err() {
            if nginx.child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                let said = fs::read_to_string(home.join("error.log")).unwrap_or_default();
                return Err(format!("nginx did not start: {said}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(nginx)
    }

    /// The CPU time that it used.
    pub(crate) fn time(&self) -> Result<Duration> {
        family_time(self.pid)
    }

    /// Ends it, and waits for that.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.end();
        tokio::time::timeout(PATIENCE, self.child.wait()).await.map_err(|_| "nginx does not end")??;
        Ok(())
    }

    /// Its workers end with it. One that was waited for is left alone: its number may be another's.
    fn end(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // One that has ended already has ended.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

fn settings(home: &Path, served: &Path, address: &str) -> String {
    // Without it the workers of root's nginx would be somebody who may not read the files.
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let (home, served) = (home.display(), served.display());
    format!(
        "{user}
daemon off;
worker_processes auto;
pid {home}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{ listen {address}; root {served}; }}
}}
"
    )
}
