//! What a server cannot be faster than: the same bytes written to files, as safely, and read from them.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hearth_bench::{Figures, Result};

use crate::content::{Content, Workbench};
use crate::run::Run;

/// Writes files into a folder, each safe on disk, with its name, before the next; and removes them again afterwards.
pub(crate) async fn write(folder: PathBuf, contents: Vec<Content>, threads: usize) -> Result<Run> {
    let work = move || {
        fs::create_dir_all(&folder)?;
        let run = share(threads, &contents, |workbench, number, content| {
            write_one(&folder, &number.to_string(), content, workbench)
        });
        fs::remove_dir_all(&folder)?;
        run
    };
    tokio::task::spawn_blocking(work).await?
}

/// Reads files, which must be these.
pub(crate) async fn read(files: Vec<(PathBuf, Content)>, threads: usize) -> Result<Run> {
    let work = move || {
        share(threads, &files, |workbench, _, (path, content): (PathBuf, Content)| {
            let mut file = File::open(path)?;
            for offset in content.offsets() {
                file.read_exact(workbench.room(content, offset))?;
                workbench.check(content, offset)?;
            }
            Ok(())
        })
    };
    tokio::task::spawn_blocking(work).await?
}

fn write_one(folder: &Path, name: &str, content: Content, workbench: &mut Workbench) -> Result<()> {
    let mut file = File::create(folder.join(name))?;
    for offset in content.offsets() {
        file.write_all(workbench.make(content, offset))?;
    }
    file.sync_all()?;
    Ok(File::open(folder)?.sync_all()?)
}

/// As [`crate::run::share`], by threads.
fn share<T: Sync + Clone>(
    threads: usize,
    items: &[T],
    work: impl Fn(&mut Workbench, usize, T) -> Result<()> + Sync,
) -> Result<Run> {
    let begun = Instant::now();
    let one = |first: usize| -> Result<Vec<Duration>> {
        let (mut workbench, mut each) = (Workbench::new(), Vec::new());
        for (number, item) in items.iter().enumerate().skip(first).step_by(threads.max(1)) {
            let begun = Instant::now();
            work(&mut workbench, number, item.clone())?;
            each.push(begun.elapsed());
        }
        Ok(each)
    };
    let each = std::thread::scope(|scope| -> Result<Vec<_>> {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || one(first))).collect();
        let mut each = Vec::new();
        for thread in running {
            each.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok(each)
    })?;
    Ok(Run { took: begun.elapsed(), each: Figures::of(each) })
}
