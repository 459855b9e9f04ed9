//! What the lab's AWS is made of, fetched once: MiniStack into the cache, the CDK beside its package.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Result};
use crate::jars::{cache_dir, lock};
use crate::package::package_file;
use crate::tool::run;

/// Exact versions: MiniStack is released several times a week. `cbor2` is what the Rust SDK's CloudWatch speaks.
const REQUIREMENTS: [&str; 2] = ["ministack==1.5.33", "cbor2==6.3.0"];
/// What a change of the list above is told apart by.
const FOLDER: &str = "ministack-1.5.33";
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// Takes 40 ms from each call of a function: the runtime API's answers wait for nothing.
const NO_DELAY: &str =
    "import socketserver\nsocketserver.StreamRequestHandler.disable_nagle_algorithm = True\n";

/// The folder that holds `bin/ministack` and `site/`.
pub fn ministack() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let folder = cache.join(FOLDER);
    let _lock = lock(&cache.join(format!("{FOLDER}.lock")))?;
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(folder);
    }
    run(
        "python3",
        "apt-get install python3 python3-venv",
        Command::new("python3").arg("-m").arg("venv").arg(&folder),
        FETCH_LIMIT,
    )?;
    run(
        "pip",
        "apt-get install python3-venv",
        Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(REQUIREMENTS),
        FETCH_LIMIT,
    )?;
    let site = folder.join("site");
    std::fs::create_dir_all(&site).doing(format!("create {}", site.display()))?;
    let file = site.join("sitecustomize.py");
    std::fs::write(&file, NO_DELAY).doing(format!("write {}", file.display()))?;
    std::fs::write(&complete, "").doing(format!("write {}", complete.display()))?;
    Ok(folder)
}

/// Held by whoever lets the package `cdk/` be compiled.
pub fn compiling_cdk() -> Result<File> {
    lock(&cache_dir()?.join("cdk-compile.lock"))
}

/// The package `cdk/`, with what it needs.
pub fn cdk() -> Result<PathBuf> {
    let package = package_file("../cdk");
    let package = package.canonicalize().doing("find cdk/")?;
    let _lock = lock(&cache_dir()?.join("cdk-install.lock"))?;
    if !package.join("node_modules/.bin/cdk").exists() {
        run(
            "npm",
            "https://nodejs.org (20 or newer)",
            Command::new("npm").arg("ci").current_dir(&package),
            FETCH_LIMIT,
        )?;
    }
    Ok(package)
}
