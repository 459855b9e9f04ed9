//! Folders for one lab: removed with it, kept when it failed, swept when its owner was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Doing, Result};
use crate::format::random_id;
use crate::jars::{cache_dir, lock};

/// How long a folder stays without its owner: brokers that share a JVM end a little later than the program that asked for
/// them.
const ORPHANED_FOR: Duration = Duration::from_secs(60);
/// How long a failed lab's folder stays.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
const OWNER: &str = "owner.lock";
const KEPT: &str = "kept";
const ORPHANED: &str = "orphaned";

/// A folder in the cache. Set `UNDERSTUDY_KEEP` to keep it even when nothing failed.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Locked for as long as we live.
    _owner: File,
}

impl Scratch {
    /// Makes one, and removes those whose owners were killed.
    pub(crate) fn create(name: &str) -> Result<Self> {
        let root = cache_dir()?.join("labs");
        fs::create_dir_all(&root).doing(format!("create {}", root.display()))?;
        let _one_at_a_time = lock(&root.with_extension("lock"))?;
        sweep(&root)?;
        let path = root.join(format!("{name}-{}", random_id()));
        fs::create_dir(&path).doing(format!("create {}", path.display()))?;
        let owner = lock(&path.join(OWNER))?;
        Ok(Self {
            path,
            _owner: owner,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder for a day, because something in it is worth a look.
    pub(crate) fn keep(mut self) -> PathBuf {
        // Without the mark it is only swept sooner.
        let _ = File::create(self.path.join(KEPT));
        std::mem::take(&mut self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        let asked = std::env::var_os("UNDERSTUDY_KEEP").is_some_and(|value| !value.is_empty());
        if std::thread::panicking() || asked {
            eprintln!("kept for a day: {}", self.path.display());
            // Without the mark it is only swept sooner.
            let _ = File::create(self.path.join(KEPT));
        } else {
            // What cannot be removed now is swept by the next lab.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn sweep(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root)
        .doing(format!("list {}", root.display()))?
        .flatten()
    {
        let path = entry.path();
        let owned = File::open(path.join(OWNER)).is_ok_and(|file| file.try_lock().is_err());
        if owned || age(&path.join(KEPT)).is_some_and(|age| age < KEPT_FOR) {
            continue;
        }
        // What fails here is another user's, perhaps; not worth failing for.
        let orphaned = path.join(ORPHANED);
        match age(&orphaned) {
            Some(age) if age < ORPHANED_FOR => {}
            Some(_) => drop(fs::remove_dir_all(&path)),
            None => drop(File::create(&orphaned)),
        }
    }
    Ok(())
}

/// How long ago a mark was made, if it was.
fn age(mark: &Path) -> Option<Duration> {
    fs::metadata(mark).ok()?.modified().ok()?.elapsed().ok()
}
