//! Everything that the recoveries of a pair reach from one machine.

use std::path::Path;
use std::sync::Arc;

use understudy_recovery::pair::LedgerPlace;
use understudy_shell::world::{Machines, People};
use understudy_shell::{PortError, World};

use crate::ledger_topic::LedgerTopic;
use crate::{
    FileLedger, FileSignals, FileStore, KafkaClusters, KafkaFlows, LocalClients, OthersWorkers,
    PairFile, SystemClock,
};

/// What a machine has of its own: whoever is told, and what carries recoveries out.
#[derive(Clone)]
pub struct Local {
    /// People, where there is a person.
    pub people: Arc<dyn People>,
    /// State machines, or what stands for them.
    pub machines: Arc<dyn Machines>,
}

impl Local {
    /// The world of a pair, with plans, signals and evidence in the folder `state`, and the ledger there or on its
    /// clusters, as the pair has it. Connects to nothing.
    ///
    /// # Errors
    /// The machine refuses a thread.
    pub fn world(self, file: &PairFile, state: &Path) -> Result<World, PortError> {
        Ok(World {
            pair: Arc::clone(&file.pair),
            here: None,
            ledger: match file.pair.ledger {
                LedgerPlace::Folder => Arc::new(FileLedger::new(state)),
                LedgerPlace::Kafka => Arc::new(LedgerTopic::on_both(file)),
            },
            store: Arc::new(FileStore::new(state)),
            clusters: Arc::new(KafkaClusters::new(file)),
            flows: Arc::new(KafkaFlows::new(file)?),
            workers: Arc::new(OthersWorkers),
            clients: Arc::new(LocalClients::new(&file.folder, Arc::clone(&self.people))),
            people: self.people,
            signals: Arc::new(FileSignals::new(state)),
            machines: self.machines,
            clock: Arc::new(SystemClock),
        })
    }
}
