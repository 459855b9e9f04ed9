//! What a broker has on its disk: stopped cleanly, kept aside and put back, as a restored backup is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Doing, Result};

impl Cluster {
    /// Stops its first broker cleanly: everything is on the disk.
    pub fn stop_cleanly(&self, limit: Duration) -> Result<()> {
        self.broker(1)?.stop_cleanly(limit)
    }

    /// Starts it again, and waits until it answers.
    pub fn start_again(&self) -> Result<()> {
        self.broker(1)?.start()?;
        self.wait_ready()
    }
}

/// Copies the files of a folder, such as a partition's log; no folders in it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).doing(format!("create {}", to.display()))?;
    for file in fs::read_dir(from).doing(format!("read {}", from.display()))? {
        let file = file.doing(format!("read {}", from.display()))?;
        let to = to.join(file.file_name());
        fs::copy(file.path(), &to).doing(format!("write {}", to.display()))?;
    }
    Ok(())
}
