//! Functions packed for the CLI beforehand: it takes the archive that it finds in its cache, and would compress for ten times
//! as long.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Result};
use crate::package::package_file;
use crate::tool::run;

const LIMIT: Duration = Duration::from_secs(120);

/// Packs what these templates send along that holds a `bootstrap`.
pub(crate) fn pack(templates: &Path) -> Result<()> {
    let cache = templates.join(".cache");
    fs::create_dir_all(&cache).doing(format!("create {}", cache.display()))?;
    let script = package_file("../scripts/zip_function.py");
    let reading = || format!("read {}", templates.display());
    for entry in fs::read_dir(templates).doing(reading())? {
        let folder = entry.doing(reading())?.path();
        let bootstrap = folder.join("bootstrap");
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some(digest) = name.strip_prefix("asset.").filter(|_| bootstrap.is_file()) else {
            continue;
        };
        let mut zip = Command::new("python3");
        zip.arg(&script)
            .arg(&bootstrap)
            .arg(cache.join(format!("{digest}.zip")))
            .arg("1");
        run("python3", "apt-get install python3", &mut zip, LIMIT)?;
    }
    Ok(())
}
