//! The hidden subcommand of our binary that becomes another user before it does something.
//!
//! Privileges can be dropped, and the parent-death signal set, between `fork` and `exec` only with `unsafe`
//! code. A second start of our own binary does both with safe calls and then replaces itself with the program.
//!
//! ```text
//! hearth __postgres <uid> <gid> <pid of the parent> exec <program> [argument …]
//! hearth __postgres <uid> <gid> <pid of the parent> reach <directory>
//! hearth __postgres <uid> <gid> <pid of the parent> sweep <pgdata> count|fast|quit|kill
//! ```

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::{fs, io};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Pid, Uid, geteuid, getppid, setgid, setgroups, setuid};

use super::account::Account;

/// The name of the hidden subcommand.
pub const SUBCOMMAND: &str = "__postgres";

/// How the hidden subcommand says that it could not do what it was asked to.
const FAILED: u8 = 70;

/// Starts programs as an account, by way of the hidden subcommand.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    pub(super) exe: PathBuf,
    pub(super) account: Account,
}

/// What a sweep does to the processes it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// Nothing.
    Count,
    /// Asks the postmaster for a fast and clean shutdown; without one, as [`Sweep::Quit`].
    Fast,
    /// Tells them all to end at once; recovery follows.
    Quit,
    /// Kills them all.
    Kill,
}

impl Launcher {
    /// A command that runs `program`, in a process group of its own so that a terminal's ^C does not reach it
    /// at the same time as us.
    pub(super) fn exec(&self, program: &Path) -> Command {
        let mut command = self.command("exec");
        command.arg(program).process_group(0);
        command
    }

    /// Whether the account can enter the directory.
    pub(super) fn reaches(&self, dir: &Path) -> io::Result<bool> {
        if !self.account.is_other() {
            return Ok(true);
        }
        Ok(self.command("reach").arg(dir).output()?.status.success())
    }

    /// Finds PostgreSQL's processes that work in `pgdata`, does to them what `sweep` says, and returns how
    /// many there were. The account itself looks: root without `CAP_SYS_PTRACE` may not.
    pub(super) fn sweep(&self, pgdata: &Path, sweep: Sweep) -> io::Result<usize> {
        let word = match sweep {
            Sweep::Count => "count",
            Sweep::Fast => "fast",
            Sweep::Quit => "quit",
            Sweep::Kill => "kill",
        };
        let Output { status, stdout, stderr } = self.command("sweep").arg(pgdata).arg(word).output()?;
        String::from_utf8_lossy(&stdout)
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("{status}: {}", String::from_utf8_lossy(&stderr).trim())))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.exe);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null())
            .arg(SUBCOMMAND)
            .arg(self.account.uid.to_string())
            .arg(self.account.gid.to_string())
            .arg(std::process::id().to_string())
            .arg(verb);
        command
    }
}

/// Runs the hidden subcommand with the arguments after its name.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match launch(arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is gone too.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(FAILED)
        }
    }
}

fn launch(mut arguments: impl Iterator<Item = OsString>) -> io::Result<ExitCode> {
    let uid = Uid::from_raw(number(arguments.next())?);
    let gid = Gid::from_raw(number(arguments.next())?);
    let parent: i32 = number(arguments.next())?;
    become_user(uid, gid)?;
    // After the change of user, which would clear it.
    set_pdeathsig(Signal::SIGINT)?;
    if getppid() != Pid::from_raw(parent) {
        return Err(io::Error::other("the server that started this is gone"));
    }
    umask(Mode::from_bits_truncate(0o077));
    let verb = arguments.next().unwrap_or_default();
    let target = PathBuf::from(arguments.next().unwrap_or_default());
    match verb.to_str() {
        Some("exec") => Err(Command::new(target).args(arguments).exec()),
        // Looking at what is inside needs the right to pass, and nothing more.
        Some("reach") => fs::metadata(target.join(".")).map(|_| ExitCode::SUCCESS),
        Some("sweep") => {
            let count = sweep(&target, &arguments.next().unwrap_or_default())?;
            writeln!(io::stdout(), "{count}")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(io::Error::other("this subcommand is for the server's own use")),
    }
}

fn become_user(uid: Uid, gid: Gid) -> io::Result<()> {
    if geteuid() == uid {
        return Ok(());
    }
    setgroups(&[gid])
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|errno| io::Error::other(format!("cannot become the user {uid}: {}", errno.desc())))
}

fn number<T: std::str::FromStr>(argument: Option<OsString>) -> io::Result<T> {
    argument
        .and_then(|text| text.to_str()?.parse().ok())
        .ok_or_else(|| io::Error::other("this subcommand is for the server's own use"))
}

fn sweep(pgdata: &Path, what: &std::ffi::OsStr) -> io::Result<usize> {
    let found = processes_in(pgdata)?;
    let postmaster = postmaster_of(pgdata).filter(|pid| found.contains(pid));
    for &pid in &found {
        let signal = match what.to_str() {
            Some("fast") if Some(pid) == postmaster => Signal::SIGINT,
            Some("fast") if postmaster.is_none() => Signal::SIGQUIT,
            Some("quit") => Signal::SIGQUIT,
            Some("kill") => Signal::SIGKILL,
            _ => continue,
        };
        // One that ended meanwhile is as good as signalled.
        let _ = kill(Pid::from_raw(pid), signal);
    }
    Ok(found.len())
}

/// Every process of PostgreSQL has the database's directory as its working directory.
fn processes_in(pgdata: &Path) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // What cannot be read is another user's, or gone.
        let ours = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == pgdata)
            && fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name.trim() == "postgres");
        if ours {
            found.push(pid);
        }
    }
    Ok(found)
}

fn postmaster_of(pgdata: &Path) -> Option<i32> {
    fs::read_to_string(pgdata.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Opens a log for appending that only its owner can read.
pub(super) fn open_log(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
