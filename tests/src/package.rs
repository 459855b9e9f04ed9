//! Where this package lies.

use std::env;
use std::path::PathBuf;

/// A file of the repository, by its path from `tests/`.
///
/// `scripts/` and cargo tell at run time where that is. What is compiled in may be another clone's: cargo takes programs
/// of two clones that share a folder for builds for the same.
pub fn package_file(path: &str) -> PathBuf {
    let told = ["UNDERSTUDY_TESTS", "CARGO_MANIFEST_DIR"]
        .into_iter()
        .find_map(env::var_os);
    let folder = told.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(folder).join(path)
}
