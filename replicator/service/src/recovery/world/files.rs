//! Ledger and store in a folder. A file is there whole or not at all; two processes that change the ledger at once take
//! turns by a lock, and the second finds that its condition does not hold.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use understudy_recovery::{Ledger, PairName};
use understudy_shell::world::{LedgerStore, Store};
use understudy_shell::{PortError, PortErrorKind};

/// The ledger, `ledger-<pair>.json`.
pub struct FileLedger {
    folder: PathBuf,
}

/// Everything else, each key a file.
pub struct FileStore {
    folder: PathBuf,
}

impl FileLedger {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    fn path(&self, pair: &PairName) -> PathBuf {
        self.folder.join(format!("ledger-{pair}.json"))
    }

    /// Held while one process looks and writes.
    fn lock(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.open(self.folder.join("ledger.lock"))?;
        file.lock()?;
        Ok(file)
    }
}

impl LedgerStore for FileLedger {
    fn read(&self, pair: &PairName) -> Result<Option<Ledger>, PortError> {
        let path = self.path(pair);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            PortError::new(
                PortErrorKind::Malformed,
                format!("{} is no ledger: {error}", path.display()),
            )
        })
    }

    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError> {
        let path = self.path(&next.pair);
        let _lock = self.lock().map_err(|error| trouble(&path, &error))?;
        let stored = self.read(&next.pair)?.map_or(0, |ledger| ledger.version);
        if stored != before {
            return Err(PortError::new(
                PortErrorKind::Conflict,
                format!("{} is at version {stored}, not {before}", path.display()),
            ));
        }
        let bytes = serde_json::to_vec_pretty(next)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, error.to_string()))?;
        put(&path, &bytes)
    }
}

impl FileStore {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Keys are made by steps, of names that were checked; all the same nothing leaves the folder.
    fn path(&self, key: &str) -> Result<PathBuf, PortError> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if key.split('/').all(plain) {
            Ok(self.folder.join(key))
        } else {
            Err(PortError::new(
                PortErrorKind::Refused,
                format!("{key:?} is no key"),
            ))
        }
    }
}

impl Store for FileStore {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        put(&self.path(key)?, bytes)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        read(&self.path(key)?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut keys = Vec::new();
        walk(&self.folder.join(folder), folder, &mut keys)
            .map_err(|error| trouble(&self.folder, &error))?;
        keys.retain(|key| key.starts_with(prefix));
        keys.sort();
        Ok(keys)
    }
}

fn walk(folder: &Path, key: &str, keys: &mut Vec<String>) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let inner = if key.is_empty() {
            name.clone()
        } else {
            format!("{key}/{name}")
        };
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &inner, keys)?;
        } else if !name.ends_with(HALF) {
            keys.push(inner);
        }
    }
    Ok(())
}

/// What a file's name ends with while it is written.
const HALF: &str = ".half";

fn put(path: &Path, bytes: &[u8]) -> Result<(), PortError> {
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let half = PathBuf::from(format!("{}.{}{HALF}", path.display(), std::process::id()));
        let file = File::create(&half)?;
        io::Write::write_all(&mut &file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&half, path)
    };
    write().map_err(|error| trouble(path, &error))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, PortError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(trouble(path, &error)),
    }
}

fn trouble(path: &Path, error: &io::Error) -> PortError {
    PortError::new(
        PortErrorKind::Unreachable,
        format!("{}: {error}", path.display()),
    )
}
