//! Where this package lies.

use std::env;
use std::path::{Path, PathBuf};

/// A file of the repository, by its path from `tests/`.
///
/// Cargo and `scripts/` tell at run time where that is. What is compiled in may be another clone's: cargo takes programs
/// of two clones that share a folder for builds for the same.
pub fn package_file(path: &str) -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).into(),
            PathBuf::from,
        )
        .join(path)
}
