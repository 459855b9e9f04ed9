//! What steps reach where there is no AWS: Kafka itself, files in the pair's folder, commands, and the terminal.

mod people;

use std::path::Path;
use std::sync::Arc;

use understudy_recovery::pair::LedgerPlace;
use understudy_shell::World;
use understudy_world::{Local, PairFile};

use super::asking::LocalMachines;
use super::home::LocalError;

/// How far a command reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The pair's folder alone: what a recovery left can be read on a machine that has no login to any cluster.
    Folder,
    /// The ledger, wherever it lies.
    Ledger,
    /// Kafka as well.
    Kafka,
}

/// Everything that the recoveries of this pair reach. Connects to nothing.
///
/// # Errors
/// The pair file, or a flow file that it names, cannot be used.
pub fn local(pair_file: &Path, state: &Path, reach: Reach) -> Result<World, LocalError> {
    let unusable = |error: &dyn std::error::Error| LocalError::Pair(crate::chain::chain(error));
    let environment = |name: &str| std::env::var(name).ok();
    let alone = || PairFile::alone(pair_file);
    let file = match reach {
        Reach::Kafka => PairFile::read(pair_file, &environment),
        Reach::Folder => alone(),
        Reach::Ledger => alone().and_then(|file| match file.pair.ledger {
            LedgerPlace::Folder => Ok(file),
            LedgerPlace::Kafka => PairFile::read(pair_file, &environment),
        }),
    };
    let file = file.map_err(|error| unusable(&error))?;
    let local = Local {
        people: Arc::new(people::Hand),
        machines: Arc::new(LocalMachines::new(state)),
    };
    let mut world = local
        .world(&file, state)
        .map_err(|error| unusable(&error))?;
    // Adapters tell a person what to do; all else is seen by who carries it out.
    world.people = Arc::new(people::Reader);
    Ok(world)
}
