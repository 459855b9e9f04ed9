//! The right to change settings, and the memory of what was changed.

use std::time::{Duration, Instant};

use understudy_domain::{FlowState, SettingsMade, TopicPartition};
use understudy_kafka::Cluster;
use understudy_kafka::ffi::writer::Writer;

use super::{KeepError, WITHIN};
use crate::config::Flow;
use crate::flow_record::{self, FlowError};
use crate::stored_state::read_settings;

/// For how long a look at the flow's record counts.
const FRESH: Duration = Duration::from_secs(3);

/// The right to change settings, taken from whoever had it.
pub(super) struct Claim<'a> {
    flow: &'a Flow,
    target: &'a Cluster,
    writer: Writer,
    epoch: u64,
    looked: Instant,
}

impl<'a> Claim<'a> {
    /// Fences the last claim, reads the flow's record, and sees that `made` is still all that was made; in this order,
    /// for the reasons that a slot has.
    ///
    /// # Errors
    /// The flow does not run, or another worker changed settings since `made` was read.
    pub(super) fn take(
        target: &'a Cluster,
        flow: &'a Flow,
        made: &SettingsMade,
    ) -> Result<Self, KeepError> {
        let id = flow.state.settings_transactional_id();
        let mut writer = Writer::new(
            &flow.target.writer(&id),
            flow.target.watch.clone(),
            usize::MAX,
        )
        .map_err(KeepError::Target)?;
        writer.init(WITHIN).map_err(KeepError::Target)?;
        let mut claim = Self {
            flow,
            target,
            writer,
            epoch: 0,
            looked: Instant::now(),
        };
        claim.look()?;
        if read_settings(target, &flow.state)? != *made {
            return Err(KeepError::Stale);
        }
        Ok(claim)
    }

    /// Whether the flow runs, as of a moment ago.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn still(&mut self) -> Result<(), KeepError> {
        if self.looked.elapsed() > FRESH {
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), KeepError> {
        let looked = Instant::now();
        let record = flow_record::read(self.target, self.flow)?.ok_or(KeepError::NoFlow)?;
        // A paused flow changes nothing either.
        if record.state != FlowState::Running {
            return Err(KeepError::Flow(FlowError::NotRunning {
                flow: self.flow.name.to_string(),
                state: record.state.name(),
                epoch: record.epoch,
            }));
        }
        self.epoch = record.epoch;
        self.looked = looked;
        Ok(())
    }

    /// Remembers `next` in place of `made`.
    ///
    /// # Errors
    /// The brokers refuse, for instance because another worker took the claim over.
    pub(super) fn remember(
        &mut self,
        made: &mut SettingsMade,
        next: SettingsMade,
    ) -> Result<(), KeepError> {
        let records = made.records_to(&next, self.epoch);
        if !records.is_empty() {
            let place = TopicPartition::new(self.flow.state.settings(), 0);
            self.writer.begin().map_err(KeepError::Target)?;
            for (key, value) in &records {
                self.writer
                    .put(0, &place, key, value.as_deref())
                    .map_err(KeepError::Target)?;
            }
            self.writer.commit(WITHIN).map_err(KeepError::Target)?;
        }
        *made = next;
        Ok(())
    }
}
