//! A program that makes thumbnails, and nothing else.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hearth_bench::Result;
use nix::sys::resource::{UsageWho, getrusage};

use crate::nginx::find;
use crate::thumbnails::Shape;

/// The program.
pub(crate) enum Shrinker {
    /// `vipsthumbnail`, which is given all pictures at once.
    Vips(PathBuf),
    /// `convert` of `ImageMagick`, which is started for each.
    Magick(PathBuf),
}

/// What it made.
pub(crate) struct Shrunk {
    /// How long it took.
    pub(crate) took: Duration,
    /// Its CPU time.
    pub(crate) used: Duration,
    /// The files.
    pub(crate) files: Vec<PathBuf>,
}

impl Shrinker {
    /// What there is of the two, or how to have it.
    pub(crate) fn find() -> Result<Self> {
        let vips = find("vipsthumbnail").map(Self::Vips);
        let found = vips.or_else(|| find("convert").map(Self::Magick));
        found.ok_or_else(|| {
            "there is no vipsthumbnail to compare with, and no convert: apt-get install libvips-tools".into()
        })
    }

    /// What it is called.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Vips(_) => "vipsthumbnail",
            Self::Magick(_) => "convert",
        }
    }

    /// Makes a thumbnail of each picture, one after the other, in a folder that is there.
    pub(crate) fn shrink(&self, pictures: &[PathBuf], shape: &Shape, folder: &Path) -> Result<Shrunk> {
        let commands = match self {
            Self::Vips(program) => vec![vips(program, pictures, shape, folder)],
            Self::Magick(program) => {
                let one = |picture: &PathBuf| magick(program, picture, shape, folder);
                pictures.iter().map(one).collect()
            }
        };
        let (before, begun) = (used()?, Instant::now());
        for mut command in commands {
            let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            if !status.success() {
                return Err(format!("{}: {status}", self.name()).into());
            }
        }
        let (took, used) = (begun.elapsed(), used()?.saturating_sub(before));
        let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        Ok(Shrunk { took, used, files })
    }
}

fn vips(program: &Path, pictures: &[PathBuf], shape: &Shape, folder: &Path) -> Command {
    let mut command = Command::new(program);
    // On one core, as it is counted.
    command.env("VIPS_CONCURRENCY", "1");
    for picture in pictures {
        let mut name = OsString::from(picture);
        if shape.animated {
            // All frames.
            name.push("[n=-1]");
        }
        command.arg(name);
    }
    command.args(["--size", &format!("{}x{}", shape.width, shape.height)]);
    if shape.crop {
        command.args(["--smartcrop", "centre"]);
    }
    command.arg("--output").arg(folder.join(if shape.animated { "%s.gif" } else { "%s.jpg[Q=80]" }));
    command
}

fn magick(program: &Path, picture: &Path, shape: &Shape, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let size = format!("{}x{}", shape.width, shape.height);
    let mut name = OsString::from(picture);
    if !shape.animated {
        name.push("[0]");
    }
    // On one core, as it is counted; of a JPEG no more is read than is shown.
    command.args(["-limit", "thread", "1", "-define", &format!("jpeg:size={size}")]).arg(name);
    if shape.animated {
        command.arg("-coalesce");
    }
    if shape.crop {
        command.args(["-thumbnail", &format!("{size}^"), "-gravity", "center", "-extent", &size]);
    } else {
        command.args(["-thumbnail", &size]);
    }
    let ending = if shape.animated { "gif" } else { "jpg" };
    let made = Path::new(picture.file_stem().unwrap_or_default()).with_extension(ending);
    command.args(["-quality", "80"]).arg(folder.join(made));
    command
}

/// The CPU time of all children that have ended and were waited for.
fn used() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: nix::sys::time::TimeVal| -> Result<Duration> {
        Ok(Duration::from_secs(u64::try_from(time.tv_sec())?)
            + Duration::from_micros(u64::try_from(time.tv_usec())?))
    };
    Ok(time(usage.user_time())? + time(usage.system_time())?)
}
