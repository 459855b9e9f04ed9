//! Where the logs of mirrored partitions start, on both sides: what lies below is gone, and the offset map need not
//! speak of it any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use understudy_domain::{Slot, SourceOffset, TargetOffset, TopicPartition};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::plane::DataPlane;
use understudy_kafka::{Cluster, Fault};

use crate::clock::now_ms;
use crate::gap_book::Present;
use crate::holding::{HoldError, Holding};
use crate::slot_state::OFFSET_MAP;

/// How often a slot looks over its maps for what may be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(5);

/// The starts as shared: slots say which partitions they hold, discovery's thread looks, slots read.
#[derive(Clone, Debug, Default)]
pub struct LogStarts(Arc<Mutex<BTreeMap<TopicPartition, Log>>>);

#[derive(Debug)]
struct Log {
    slot: Slot,
    /// Topic and partition, on the target.
    copies: TopicPartition,
    /// Which life of the source partition it is.
    incarnation: u32,
    /// The start of the source's log, once known.
    source: Option<SourceOffset>,
    /// The start of the target's log, once known.
    target: Option<TargetOffset>,
}

impl Log {
    /// Whether it is this one, and not one that it came in the place of.
    fn is(&self, copies: &TopicPartition, incarnation: u32) -> bool {
        self.copies == *copies && self.incarnation == incarnation
    }
}

impl LogStarts {
    fn hold(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot holds this partition, and copies it there. What was known of other copies is forgotten.
    pub fn want(
        &self,
        slot: Slot,
        partition: &TopicPartition,
        copies: &TopicPartition,
        incarnation: u32,
    ) {
        let mut logs = self.hold();
        if let Some(log) = logs
            .get_mut(partition)
            .filter(|log| log.is(copies, incarnation))
        {
            log.slot = slot;
            return;
        }
        let log = Log {
            slot,
            copies: copies.clone(),
            incarnation,
            source: None,
            target: None,
        };
        logs.insert(partition.clone(), log);
    }

    /// A slot is held no more.
    pub fn leave(&self, slot: Slot) {
        self.hold().retain(|_, log| log.slot != slot);
    }

    /// Where the source's log starts, if that is known.
    pub fn source(&self, partition: &TopicPartition) -> Option<SourceOffset> {
        self.hold().get(partition)?.source
    }

    /// Where the target's log starts, if that is known.
    pub fn target(&self, partition: &TopicPartition) -> Option<TargetOffset> {
        self.hold().get(partition)?.target
    }

    /// Where both logs start, if both are known.
    pub fn both(&self, partition: &TopicPartition) -> Option<(SourceOffset, TargetOffset)> {
        let logs = self.hold();
        let log = logs.get(partition)?;
        log.source.zip(log.target)
    }

    /// Looks at both clusters. A start never goes back while the log is the same, so an old answer stays true; what a
    /// broker did not tell stays as it was.
    ///
    /// # Errors
    /// A cluster did not answer within `within`.
    pub fn look(&self, source: &Cluster, target: &Cluster, within: Duration) -> Result<(), Fault> {
        let wanted: Vec<_> = {
            let logs = self.hold();
            let names = logs.iter();
            names
                .map(|(name, log)| (name.clone(), log.copies.clone(), log.incarnation))
                .collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let on_source =
            source.edges(wanted.iter().map(|(name, ..)| name), Edge::Earliest, within)?;
        let on_target = target.edges(
            wanted.iter().map(|(_, copy, _)| copy),
            Edge::Earliest,
            within,
        )?;
        let mut logs = self.hold();
        for (name, copies, incarnation) in wanted {
            let Some(log) = logs
                .get_mut(&name)
                .filter(|log| log.is(&copies, incarnation))
            else {
                continue;
            };
            if let Some(Ok(start)) = on_source.get(&name) {
                log.source = Some(SourceOffset::new(*start));
            }
            if let Some(Ok(start)) = on_target.get(&copies) {
                log.target = Some(TargetOffset::new(*start));
            }
        }
        Ok(())
    }
}

impl Holding {
    /// Tombstones what no question to the offset map can need any more, so that the state stays bounded however long a
    /// flow runs. Not while a transaction is open.
    ///
    /// # Errors
    /// The holding cannot go on.
    pub(crate) fn forget(&mut self) -> Result<(), HoldError> {
        let now = Instant::now();
        let due = self
            .forgot_at
            .is_none_or(|at| now.duration_since(at) >= FORGET_INTERVAL);
        if !due {
            return Ok(());
        }
        self.forgot_at = Some(now);
        for partition in self.active.keys() {
            let copies = self.target_of(partition);
            let Some(entry) = self.state.get(partition) else {
                continue;
            };
            let incarnation = entry.position.incarnation;
            self.context
                .starts
                .want(self.slot, partition, &copies, incarnation);
        }
        let starts = self.context.starts.clone();
        let mut planned = self.state.forget(&|partition| starts.both(partition));
        let gaps = self.gaps.past(now_ms(), &|partition| {
            Some(Present {
                incarnation: self.state.get(partition)?.position.incarnation,
                source_start: starts.source(partition),
            })
        });
        let settled = gaps.iter().map(|key| self.gaps.tombstone(key));
        planned.writes.extend(settled);
        if planned.writes.is_empty() {
            return Ok(());
        }
        let tombstones = planned.tombstones();
        self.plane.put(&planned.writes)?;
        self.finish(planned)?;
        for gap in &gaps {
            self.gaps.forget(gap);
        }
        self.show_gaps();
        tracing::debug!(slot = %self.slot, tombstones, at = self.plane.state_offset(OFFSET_MAP), "map and gaps forgotten");
        // There may be more than one transaction takes.
        self.forgot_at = None;
        Ok(())
    }
}
