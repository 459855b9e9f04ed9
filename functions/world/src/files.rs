//! Files that are there whole or not at all, whoever is killed meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use understudy_domain::words::limit;

use understudy_shell::{PortError, PortErrorKind};

/// What a file's name ends with while it is written.
pub const HALF: &str = ".half";
/// How often a lock is tried that somebody else has.
const LOOK: Duration = Duration::from_millis(20);

/// Told apart within a process: two threads may write one file at once, and each renames its own.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Puts bytes into a file, in place of what was there; on the disk when this returns.
///
/// # Errors
/// The folder cannot be written.
pub fn put(path: &Path, bytes: &[u8]) -> Result<(), PortError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        if !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(folder)?;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let half = format!("{}.{}-{number}{HALF}", path.display(), std::process::id());
        let half = PathBuf::from(half);
        let mut file = File::create(&half)?;
        let renamed = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&half, path));
        if renamed.is_err() {
            let _gone = std::fs::remove_file(&half);
        }
        renamed?;
        // The name is on the disk when the folder is.
        if folder.as_os_str().is_empty() {
            return Ok(());
        }
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| trouble(path, "cannot be written", &error))
}

/// What a file holds; nothing if there is none.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, PortError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(trouble(path, "cannot be read", &error)),
    }
}

/// A lock that ends with its holder, also when that is killed: the system keeps it, not the file.
///
/// # Errors
/// The folder cannot be written, or somebody else has it for longer than `within`.
pub fn lock(path: &Path, within: Duration) -> Result<File, PortError> {
    let open = || -> io::Result<File> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).open(path)
    };
    let file = open().map_err(|error| trouble(path, "cannot be locked", &error))?;
    let until = Instant::now() + within;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                let text = format!(
                    "{} is locked by another process for more than {}; see who has it open",
                    path.display(),
                    limit(within)
                );
                return Err(PortError::new(PortErrorKind::TimedOut, text));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
            Err(TryLockError::Error(error)) => {
                return Err(trouble(path, "cannot be locked", &error));
            }
        }
    }
}

/// A file that cannot be used.
pub fn trouble(path: &Path, what: &str, error: &io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            PortErrorKind::NotPermitted
        }
        _ => PortErrorKind::Unreachable,
    };
    PortError::new(kind, format!("{} {what}: {error}", path.display()))
}
