//! Where the private PostgreSQL lives, and the lock that makes it ours.
//!
//! Its *home* is the data directory, when the user that runs PostgreSQL can reach it, and otherwise a directory
//! in the system's state folder that a file in the data directory names. It holds:
//!
//! ```text
//! lock                  held by the process that runs the database
//! pgdata/               the database
//! run/                  its socket (in the temp folder instead, where the path would be too long)
//! pg_hba.conf           who may connect: the server's own user, by its socket
//! pg_ident.conf
//! postgres.log
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use super::account::Account;
use super::error::{Doing, PrivatePostgresError};
use super::launcher::Launcher;

/// The file in the data directory that names a home elsewhere.
pub(super) const RECORD: &str = "postgres-home";

/// The file in such a home that names the data directory.
const OWNER: &str = "data-directory";

/// `sun_path` holds 108 bytes, the last of them zero; the name of the socket takes 18 with its lock file.
const LONGEST_SOCKET_DIR: usize = 108 - 1 - "/.s.PGSQL.5432.lock".len();

/// A server that was killed a moment ago may still hold its lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The home of a private PostgreSQL.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
}

impl Home {
    pub(super) fn pgdata(&self) -> PathBuf {
        self.dir.join("pgdata")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    pub(super) fn hba(&self) -> PathBuf {
        self.dir.join("pg_hba.conf")
    }

    pub(super) fn ident(&self) -> PathBuf {
        self.dir.join("pg_ident.conf")
    }

    /// The directory of its socket.
    pub(super) fn socket_dir(&self) -> PathBuf {
        let dir = self.dir.join("run");
        if dir.as_os_str().len() <= LONGEST_SOCKET_DIR {
            return dir;
        }
        PathBuf::from(format!("/tmp/hearth-{:016x}", hash(&self.dir)))
    }

    /// The home that a data directory has, without making anything.
    pub(super) fn of(data_dir: &Path) -> io::Result<Self> {
        let data_dir = data_dir.canonicalize()?;
        let dir = recorded(&data_dir)?.unwrap_or(data_dir);
        Ok(Self { dir })
    }

    /// Makes the socket's directory, passable for the account alone. In the shared temp folder somebody else
    /// may have made one of that name: then it is refused.
    pub(super) fn make_socket_dir(&self, account: &Account) -> Result<PathBuf, PrivatePostgresError> {
        let dir = self.socket_dir();
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.doing("create the directory", &dir)?,
        }
        let metadata = fs::symlink_metadata(&dir).doing("look at", &dir)?;
        let ours = metadata.uid() == account.uid || metadata.uid() == geteuid().as_raw();
        if !metadata.is_dir() || !ours {
            let source = io::Error::other("it belongs to another user; remove it");
            return Err(PrivatePostgresError::Io { doing: "use the directory", path: dir, source });
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).doing("set the mode of", &dir)?;
        give(&dir, account)?;
        Ok(dir)
    }
}

/// Writes a file of ours that the account must be able to read.
pub(super) fn write_for(account: &Account, path: &Path, content: &str) -> Result<(), PrivatePostgresError> {
    let new = path.with_extension("new");
    let file = write_file(&new, content).doing("write", &new)?;
    if account.is_other() {
        fchown(&file, Some(account.uid), Some(account.gid)).doing("give away", &new)?;
    }
    fs::rename(&new, path).doing("write", path)
}

/// The locks of a data directory and of the home of its database; held until dropped.
#[derive(Debug)]
pub(super) struct Locks {
    _data_dir: File,
    _home: Option<File>,
}

/// Makes the data directory where it is absent.
pub(super) fn make_data_dir(data_dir: &Path) -> Result<PathBuf, PrivatePostgresError> {
    // As root, the unprivileged user that runs the database must be able to pass.
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(data_dir)
        .doing("create the data directory", data_dir)?;
    data_dir.canonicalize().doing("find the data directory", data_dir)
}

/// Locks the data directory, and finds or chooses its database's home.
pub(super) fn open(
    data_dir: &Path,
    state_dir: &Path,
    launcher: impl Fn(&Path) -> Result<Launcher, PrivatePostgresError>,
) -> Result<(Home, Launcher, Locks), PrivatePostgresError> {
    let own_lock = lock(data_dir)?;
    if let Some(dir) = recorded(data_dir).doing("read", &data_dir.join(RECORD))? {
        let home = Home { dir };
        let launcher = launcher(&home.pgdata())?;
        let home_lock = lock(&home.dir)?;
        claim(&home, data_dir)?;
        return Ok((home, launcher, Locks { _data_dir: own_lock, _home: Some(home_lock) }));
    }
    let home = Home { dir: data_dir.to_owned() };
    let launcher = launcher(&home.pgdata())?;
    if launcher.reaches(data_dir).doing("start", &launcher.exe)? {
        return Ok((home, launcher, Locks { _data_dir: own_lock, _home: None }));
    }
    if home.pgdata().exists() {
        return Err(PrivatePostgresError::OutOfReach { pgdata: home.pgdata(), user: launcher.account.name });
    }
    let dir = state_dir.join(format!("{:016x}", hash(data_dir)));
    DirBuilder::new().recursive(true).mode(0o711).create(&dir).doing("create the directory", &dir)?;
    let home = Home { dir: dir.canonicalize().doing("find", &dir)? };
    let home_lock = lock(&home.dir)?;
    claim(&home, data_dir)?;
    let record = data_dir.join(RECORD);
    write_aside(&record, &home.dir).doing("write", &record)?;
    tracing::info!(
        "the user {} cannot reach {}: the database is in {}",
        launcher.account.name,
        data_dir.display(),
        home.dir.display()
    );
    Ok((home, launcher, Locks { _data_dir: own_lock, _home: Some(home_lock) }))
}

/// Gives a directory to the account.
pub(super) fn give(dir: &Path, account: &Account) -> Result<(), PrivatePostgresError> {
    if account.is_other() {
        chown(dir, Some(account.uid), Some(account.gid)).doing("give away", dir)?;
    }
    Ok(())
}

/// Makes what was done in a directory outlast a power failure.
pub(super) fn sync_dir(dir: &Path) -> Result<(), PrivatePostgresError> {
    File::open(dir).and_then(|dir| dir.sync_all()).doing("sync", dir)
}

/// Writes down in a home elsewhere which data directory it belongs to, unless that is another one that is
/// still there: two copies of a data directory must not share a database.
fn claim(home: &Home, data_dir: &Path) -> Result<(), PrivatePostgresError> {
    let path = home.dir.join(OWNER);
    let owner = match fs::read_to_string(&path) {
        Ok(owner) => PathBuf::from(owner.trim_end()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => PathBuf::new(),
        Err(error) => return Err(error).doing("read", &path),
    };
    if owner == data_dir {
        return Ok(());
    }
    let elsewhere = recorded(&owner).ok().flatten();
    if elsewhere.as_deref() == Some(&*home.dir) && !same_file(&owner, data_dir) {
        return Err(PrivatePostgresError::Copied {
            copy: data_dir.to_owned(),
            original: owner,
            home: home.dir.clone(),
        });
    }
    write_aside(&path, data_dir).doing("write", &path)
}

fn same_file(a: &Path, b: &Path) -> bool {
    let id = |path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(a) == id(b)
}

fn recorded(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_to_string(data_dir.join(RECORD)) {
        Ok(text) => Ok(Some(PathBuf::from(text.trim_end()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn lock(dir: &Path) -> Result<File, PrivatePostgresError> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .doing("open", &path)?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if since.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = file.read_to_string(&mut holder);
                return Err(PrivatePostgresError::InUse {
                    dir: dir.to_owned(),
                    pid: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(error).doing("lock", &path),
        }
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    written.doing("write", &path)?;
    Ok(file)
}

fn write_aside(path: &Path, content: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    write_file(&new, &format!("{}\n", content.display()))?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn write_file(path: &Path, content: &str) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    Ok(file)
}

/// FNV-1a: the same in every release, unlike the standard library's hashers.
fn hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_fits_into_its_address_however_long_the_path() {
        for length in [10, 80, 89, 200] {
            let home = Home { dir: PathBuf::from(format!("/{}", "d".repeat(length))) };
            assert!(home.socket_dir().join(".s.PGSQL.5432.lock").as_os_str().len() < 108);
        }
    }

    #[test]
    fn a_locked_directory_names_the_process_that_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let error = lock(dir.path()).unwrap_err();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(
            error.to_string(),
            PrivatePostgresError::InUse { dir: dir.path().into(), pid: Some(pid) }.to_string()
        );
        drop(held);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_copied_data_directory_is_refused_and_a_moved_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let [original, copy, home] = ["original", "copy", "home"].map(|name| dir.path().join(name));
        for dir in [&original, &copy, &home] {
            fs::create_dir(dir).unwrap();
        }
        let home = Home { dir: home };
        claim(&home, &original).unwrap();
        write_aside(&original.join(RECORD), &home.dir).unwrap();
        write_aside(&copy.join(RECORD), &home.dir).unwrap();
        assert!(matches!(claim(&home, &copy), Err(PrivatePostgresError::Copied { .. })));
        fs::remove_dir_all(&original).unwrap();
        claim(&home, &copy).unwrap();
        assert_eq!(Home::of(&copy).unwrap().dir, home.dir);
    }
}
