//! Topics that come, grow and change while a round goes on, and what is written to them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::error::Result;
use super::interrupt::Interrupt;
use super::load::Stopped;
use crate::cluster::Cluster;
use crate::error::{Result as LabResult, chain};
use crate::workload::{RunningWorkload, Workload};

const PARTITIONS: i32 = 2;
const MORE_PARTITIONS: i32 = 2;
/// Records a second into each topic that came, and again into each that grew.
const RATE: u64 = 20;
const VALUE_BYTES: usize = 300;
/// Configs that are changed. Those of the target must become the source's.
const KEYS: [&str; 3] = ["retention.ms", "max.message.bytes", "segment.bytes"];
/// A config has reached the target by then, or never will.
const CONFIG_LIMIT: Duration = Duration::from_secs(30);

/// What changed in a round. Writing stops when dropped.
#[derive(Debug)]
pub(super) struct Growing {
    prefix: String,
    /// The topic that is there from the start and may grow.
    first: String,
    /// In the order in which they came.
    created: Vec<String>,
    changed: BTreeSet<String>,
    grown: u64,
    loads: Vec<RunningWorkload>,
}

impl Growing {
    /// Nothing yet; new topics begin with `prefix`, and `first` may grow as well.
    pub(super) fn new(prefix: String, first: String) -> Self {
        Self {
            prefix,
            first,
            created: Vec::new(),
            changed: BTreeSet::new(),
            grown: 0,
            loads: Vec::new(),
        }
    }

    /// Topics that came.
    pub(super) fn created(&self) -> &[String] {
        &self.created
    }

    /// Creates a topic and starts to write to it.
    pub(super) fn create(&mut self, source: &Cluster) -> Result<()> {
        let name = format!("{}-{}", self.prefix, self.created.len() + 1);
        source.create_topic(&name, PARTITIONS, &[])?;
        self.write(source, &name)?;
        self.created.push(name);
        Ok(())
    }

    /// Adds partitions to one of the topics, and starts another producer that writes to these as well; returns how
    /// many.
    pub(super) fn grow(&mut self, source: &Cluster, draw: u64) -> Result<u64> {
        let name = self.any(draw);
        let before = source.partitions(&name)?.unwrap_or_default();
        source.grow_topic(&name, before + MORE_PARTITIONS)?;
        self.grown += 1;
        self.write(source, &name)?;
        Ok(MORE_PARTITIONS.unsigned_abs().into())
    }

    /// Sets one or two configs of a topic; the others return to their defaults.
    pub(super) fn change_config(&mut self, source: &Cluster, draw: u64) -> Result<()> {
        let name = self.any(draw);
        let values = [
            (86_400_000 * (2 + draw % 29)).to_string(),
            (1_048_588 + draw % 1_000).to_string(),
            (16_777_216 + draw % 1_000).to_string(),
        ];
        let all = KEYS.into_iter().zip(values.iter().map(String::as_str));
        // One of the three is left out: which, the seed says.
        let left_out = (draw / 7) % 3;
        let kept = all.zip(0..).filter(|(_, index)| *index != left_out);
        let kept: Vec<(&str, &str)> = kept.map(|(config, _)| config).collect();
        source.set_topic_configs(&name, &kept)?;
        self.changed.insert(name);
        Ok(())
    }

    /// Waits until each changed topic has the source's values on the target; returns what differs in the end.
    pub(super) fn differing_configs(
        &self,
        source: &Cluster,
        target: &Cluster,
        interrupt: &Interrupt,
    ) -> Result<Vec<String>> {
        let mut differing = Vec::new();
        for topic in &self.changed {
            for key in KEYS {
                let wanted = source.topic_config(topic, key)?;
                let look = || {
                    let found = target
                        .topic_config(topic, key)
                        .map_err(|error| chain(&error))?;
                    match found == wanted {
                        true => Ok(()),
                        false => Err(format!("{found:?} instead of {wanted:?}")),
                    }
                };
                let what = format!("{key} of {topic} to be the source's");
                match interrupt.wait_for(&what, CONFIG_LIMIT, look) {
                    Ok(()) => {}
                    Err(super::ChaosError::Interrupted) => {
                        return Err(super::ChaosError::Interrupted);
                    }
                    Err(error) => differing.push(error.to_string()),
                }
            }
        }
        Ok(differing)
    }

    /// Stops to write; adds what the source's brokers acknowledged.
    pub(super) fn stop(&mut self, stopped: &mut Stopped) {
        for load in std::mem::take(&mut self.loads) {
            match load.stop() {
                Ok(produced) => stopped.committed += produced.committed_total(),
                Err(error) => stopped.refused.push(chain(&error)),
            }
        }
    }

    fn any(&self, draw: u64) -> String {
        let names = std::iter::once(&self.first).chain(&self.created);
        let index = draw as usize % (self.created.len() + 1);
        names.into_iter().nth(index).unwrap_or(&self.first).clone()
    }

    fn write(&mut self, source: &Cluster, topic: &str) -> LabResult<()> {
        let load = Workload::orders(source.client(), topic)
            .producer(format!("{topic}-g{}", self.grown))
            .value_bytes(VALUE_BYTES)
            .records(u64::MAX)
            .rate(RATE);
        self.loads.push(load.start()?);
        Ok(())
    }
}
