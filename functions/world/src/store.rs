//! What steps hand to each other, each key a file of a folder.

use std::io;
use std::path::{Path, PathBuf};

use understudy_shell::world::Store;
use understudy_shell::{PortError, PortErrorKind};

use crate::files::{self, HALF, trouble};

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// In this folder; it is made by the first `put`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// Keys are made by steps, of names that were checked; all the same nothing leaves the folder.
    fn path(&self, key: &str) -> Result<PathBuf, PortError> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if key.split('/').all(plain) && !key.contains('\0') {
            return Ok(self.folder.join(key));
        }
        let text = format!("{key:?} is no key of a store: it must be a path within it");
        Err(PortError::new(PortErrorKind::Refused, text))
    }
}

impl Store for FileStore {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        files::put(&self.path(key)?, bytes)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        files::read(&self.path(key)?)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        let inner = match prefix.rsplit_once('/') {
            Some((inner, _)) => {
                self.path(inner)?;
                inner
            }
            None => "",
        };
        let from = self.folder.join(inner);
        let mut keys = Vec::new();
        walk(&from, inner, &mut keys)
            .map_err(|error| trouble(&from, "cannot be listed", &error))?;
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
        // Links are not followed: one may lead out of the folder, or in a circle.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &inner, keys)?;
        } else if kind.is_file() && !name.ends_with(HALF) {
            keys.push(inner);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn what_was_put_is_there_whole_and_listed_in_order() -> Outcome {
        let folder = tempfile::tempdir()?;
        let store = FileStore::new(folder.path());
        assert_eq!(store.get("a/b.json")?, None);
        assert!(store.list("a/")?.is_empty());
        for key in ["a/steps/2.json", "a/b.json", "ab/c.json", "a/steps/1.json"] {
            store.put(key, key.as_bytes())?;
        }
        store.put("a/b.json", b"again")?;
        assert_eq!(store.get("a/b.json")?.as_deref(), Some(&b"again"[..]));
        let of_a = ["a/b.json", "a/steps/1.json", "a/steps/2.json"];
        assert_eq!(store.list("a/")?, of_a);
        assert_eq!(store.list("a/steps/1")?, ["a/steps/1.json"]);
        assert_eq!(store.list("a")?.len(), 4);
        Ok(())
    }

    #[test]
    fn what_was_cut_short_is_not_a_key() -> Outcome {
        let folder = tempfile::tempdir()?;
        let store = FileStore::new(folder.path());
        std::fs::write(folder.path().join("plan.json.7-0.half"), "{")?;
        assert!(store.list("")?.is_empty());
        Ok(())
    }

    #[test]
    fn nothing_leaves_the_folder() -> Outcome {
        let folder = tempfile::tempdir()?;
        let store = FileStore::new(&folder.path().join("inner"));
        for key in ["../x", "a/../../x", "/etc/x", "", "a//b", "./a"] {
            let put = store.put(key, b"x").map_err(|error| error.kind);
            assert_eq!(put, Err(PortErrorKind::Refused), "{key}");
            assert!(store.get(key).is_err(), "{key}");
        }
        assert!(store.list("../").is_err());
        Ok(())
    }
}
