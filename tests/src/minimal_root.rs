//! A root file system like the image's: the binary and what it loads, read-only, and nobody's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Result};
use crate::package::package_file;
use crate::tool::run;
use crate::worker::understudy_binary;

const LIMIT: Duration = Duration::from_secs(60);

/// Where a worker finds nothing but itself.
#[derive(Debug)]
pub struct MinimalRoot {
    folder: PathBuf,
}

impl MinimalRoot {
    /// Makes one in a folder with `scripts/minimal-root`, which refuses a binary that the image could not run.
    pub fn make(folder: PathBuf) -> Result<Self> {
        let script = package_file("../scripts/minimal-root");
        let binary = understudy_binary()?;
        let mut make = Command::new(script);
        make.arg(&folder).arg(binary);
        let how = "apt-get install binutils util-linux";
        run("scripts/minimal-root", how, &mut make, LIMIT)?;
        Ok(Self { folder })
    }

    /// Why nobody may run anything in one on this machine; nothing if one may. A container without `CAP_SYS_ADMIN` and
    /// restricted user namespaces do not let it.
    pub fn forbidden() -> Option<String> {
        let script = package_file("../scripts/minimal-root");
        let mut may = Command::new(script);
        may.arg("--may");
        let refused = run("scripts/minimal-root", "util-linux", &mut may, LIMIT);
        refused.err().map(|error| error.to_string())
    }

    /// Runs `understudy` in there.
    pub fn program(&self) -> PathBuf {
        self.folder.join("understudy")
    }

    /// What `understudy` in there prints, if it ends well.
    pub fn understudy(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.program());
        run(
            "understudy",
            "scripts/minimal-root",
            command.args(arguments),
            LIMIT,
        )
    }

    /// A folder for flow files that anybody may read.
    pub fn files(&self) -> Result<PathBuf> {
        let files = self.folder.join("files");
        fs::create_dir_all(&files).doing(format!("create {}", files.display()))?;
        Ok(files)
    }
}
