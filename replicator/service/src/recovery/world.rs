//! What steps reach where there is no AWS: Kafka itself, files in the pair's folder, commands, and the terminal.

mod beside;
mod clients;
mod files;
mod flows;
mod kafka;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use understudy_recovery::pair::Pair;
use understudy_shell::World;

use super::asking::LocalMachines;
use super::home::LocalError;
use crate::config::Flow;

/// How far a command reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The pair's folder alone: what a recovery left can be read on a machine that has no login to any cluster.
    Folder,
    /// Kafka as well.
    Kafka,
}

/// Everything that the recoveries of this pair reach. Connects to nothing.
///
/// # Errors
/// The pair file, or a flow file that it names, cannot be used.
pub fn local(pair_file: &Path, state: &Path, reach: Reach) -> Result<World, LocalError> {
    let pair = Arc::new(read(pair_file)?);
    let folder = pair_file.parent().unwrap_or_else(|| Path::new(""));
    let environment = |name: &str| std::env::var(name).ok();
    let mut known = BTreeMap::new();
    for flow in pair.flows.iter().filter(|_| reach == Reach::Kafka) {
        let path = folder.join(&flow.file);
        let read = Flow::read(&path, None, &environment)
            .map_err(|error| LocalError::Pair(crate::chain::chain(&error)))?;
        let ends = [(&flow.source, &read.source), (&flow.target, &read.target)];
        for (alias, end) in ends {
            if alias.as_str() != end.alias {
                return Err(LocalError::Pair(format!(
                    "{} is the flow from {} to {} in the pair, and names {} where that is {alias}",
                    path.display(),
                    flow.source,
                    flow.target,
                    end.alias
                )));
            }
        }
        crate::rotation::log_in(&read, Arc::default())
            .map_err(|error| LocalError::Pair(format!("{}: {error}", path.display())))?;
        known.insert(flow.file.clone(), Arc::new(read));
    }
    Ok(World {
        here: None,
        ledger: Arc::new(files::FileLedger::new(state)),
        store: Arc::new(files::FileStore::new(state)),
        clusters: Arc::new(kafka::KafkaClusters::new(&pair, &known)),
        flows: Arc::new(flows::KafkaFlows::new(known)),
        clients: Arc::new(clients::LocalClients::new(folder, Arc::new(beside::Hand))),
        people: Arc::new(beside::Reader),
        signals: Arc::new(beside::NoProbers),
        machines: Arc::new(LocalMachines::new(state)),
        clock: Arc::new(beside::SystemClock),
        pair,
    })
}

/// Reads a pair file and checks it whole.
fn read(path: &Path) -> Result<Pair, LocalError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LocalError::Pair(format!("{} cannot be read: {error}", path.display())))?;
    let pair: Pair = toml::from_str(&text)
        .map_err(|error| LocalError::Pair(format!("{}: {error}", path.display())))?;
    pair.check()
        .map_err(|error| LocalError::Pair(format!("{}: {error}", path.display())))?;
    Ok(pair)
}
