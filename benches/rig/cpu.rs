//! CPU time and memory, as the kernel accounts them.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::Result;

/// Whose CPU time is told apart.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// The server's process.
    pub server: u32,
    /// PostgreSQL's first process; the others are its children.
    pub postgres: u32,
}

/// CPU time, in user and kernel mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Of the server.
    pub server: Duration,
    /// Of all of PostgreSQL.
    pub postgres: Duration,
    /// Of the load generator, which is this process.
    pub generator: Duration,
}

/// What the kernel says of one process, in ticks.
struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Cpu {
    /// What was used so far.
    pub fn usage(self) -> Result<Usage> {
        Ok(Usage {
            server: time(stat(self.server)?.own)?,
            postgres: family_time(self.postgres)?,
            generator: time(stat(std::process::id())?.own)?,
        })
    }
}

/// The CPU time of a process and its children. Those that ended are accounted to it, so nothing is lost with a
/// connection.
pub fn family_time(pid: u32) -> Result<Duration> {
    let first = stat(pid)?;
    let mut ticks = first.own + first.ended_children;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended meanwhile is accounted next time.
        if let Ok(found) = stat(child)
            && found.parent == pid
        {
            ticks += found.own;
        }
    }
    time(ticks)
}

fn time(ticks: u64) -> Result<Duration> {
    let in_a_second = sysconf(SysconfVar::CLK_TCK)?.ok_or("the kernel has no clock ticks")?;
    Ok(Duration::from_secs(1) / u32::try_from(in_a_second)? * u32::try_from(ticks)?)
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            generator: self.generator.saturating_sub(earlier.generator),
        }
    }
}

/// The memory of a process that is in RAM.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most memory of a process that was in RAM, since it began or was told to forget that.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Lets the peak of a process's memory begin again from what it has now.
pub fn forget_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

fn stat(pid: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(") ").ok_or("an unreadable stat")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // Numbered as in proc(5), where the field after the name is the third.
    let field =
        |number: usize| -> Result<u64> { Ok(fields.get(number - 3).ok_or("a short stat")?.parse::<u64>()?) };
    Ok(Stat {
        parent: u32::try_from(field(4)?)?,
        own: field(14)? + field(15)?,
        ended_children: field(16)? + field(17)?,
    })
}
