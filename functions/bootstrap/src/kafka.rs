//! What a function reaches of Kafka: the pair's clusters, and its flows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use understudy_recovery::pair::Pair;
use understudy_recovery::{ErrorName, StepError};
use understudy_shell::world::{Clusters, Flows};
use understudy_world::{KafkaClusters, KafkaFlows, PairFile};

/// Kafka, as a step sees it.
pub struct Kafka {
    /// The pair's clusters.
    pub clusters: Arc<dyn Clusters>,
    /// The flows between them; their workers are somebody else's.
    pub flows: Arc<dyn Flows>,
}

/// Makes them from the texts of the pair's flow files. Connects to nothing yet.
///
/// # Errors
/// A flow file cannot be used, or nothing can keep its logins fresh.
pub fn reach(pair: &Pair, flows: &BTreeMap<String, String>) -> Result<Kafka, StepError> {
    let environment = |name: &str| std::env::var(name).ok();
    let file = PairFile::of_texts(pair.clone(), flows, PathBuf::new(), &environment)
        .map_err(|error| StepError::new(ErrorName::UnknownPair, error.to_string()))?;
    let flows = KafkaFlows::new(&file)
        .map_err(|error| StepError::new(ErrorName::Internal, error.to_string()))?;
    Ok(Kafka {
        clusters: Arc::new(KafkaClusters::new(&file)),
        flows: Arc::new(flows),
    })
}
