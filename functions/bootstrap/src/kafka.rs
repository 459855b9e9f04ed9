//! What a function reaches of Kafka: the pair's clusters, and its flows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use understudy_recovery::pair::Pair;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::world::{Clusters, Flows};
use understudy_world::{KafkaClusters, KafkaFlows, PairFile};

/// Kafka, as a step sees it.
pub struct Kafka {
    /// The pair's clusters.
    pub clusters: Arc<dyn Clusters>,
    /// The flows between them.
    pub flows: Arc<dyn Flows>,
}

/// Makes them from the texts of the pair's flow files, for a step. Connects to nothing yet. Only who proves fences logs in as
/// a writer: no other function's role may read that login.
///
/// # Errors
/// A flow file cannot be used, or nothing can keep its logins fresh.
pub fn reach(
    step: Step,
    pair: &Pair,
    flows: &BTreeMap<String, String>,
) -> Result<Kafka, StepError> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut pair = pair.clone();
    if !proves_fences(step) {
        pair.fencing.proof.clear();
    }
    let file = PairFile::of_texts(pair, flows, PathBuf::new(), &environment)
        .map_err(|error| StepError::new(ErrorName::UnknownPair, error.to_string()))?;
    let flows = KafkaFlows::new(&file)
        .map_err(|error| StepError::new(ErrorName::Internal, error.to_string()))?;
    Ok(Kafka {
        clusters: Arc::new(KafkaClusters::new(&file)),
        flows: Arc::new(flows),
    })
}

const fn proves_fences(step: Step) -> bool {
    matches!(step, Step::FenceSource | Step::KeepFences)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each function is deployed to reach.
    const DEPLOYED: &str = include_str!("../../../cdk/lib/reach.ts");

    #[test]
    fn who_proves_fences_is_who_may_read_a_writers_login() {
        for step in Step::ALL {
            let reach = DEPLOYED.lines().find_map(|line| {
                let (name, reach) = line.trim().split_once(": [")?;
                (name.trim_matches('\'') == step.name()).then_some(reach)
            });
            let may_read = reach.map(|reach| reach.contains("'writers-login'"));
            assert_eq!(may_read, Some(proves_fences(step)), "{step}");
        }
    }
}
