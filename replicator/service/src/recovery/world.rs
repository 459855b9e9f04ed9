//! What steps reach where there is no AWS: Kafka itself, and files in the pair's folder.

use std::path::Path;

use understudy_shell::World;

use super::home::LocalError;

/// Everything that the recoveries of this pair reach. Connects to nothing.
///
/// # Errors
/// The pair file, or a flow file that it names, cannot be used.
pub fn local(pair_file: &Path, _state: &Path) -> Result<World, LocalError> {
    Err(LocalError::Pair(format!("{} cannot be used yet", pair_file.display())))
}
