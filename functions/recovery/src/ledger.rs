//! The ledger: who is active, at which epoch, and which recovery is under way. One item a pair.
//!
//! Invariants:
//! a. the epoch never falls, and rises with every claim;
//! b. at most one execution holds the pair, and only the holder may change roles;
//! c. a step of an execution that does not hold the pair any more is refused;
//! d. the same change asked twice by the same execution is one change.
//!
//! The transitions here are pure; whoever stores the item does so on condition that nobody changed it meanwhile
//! (`version`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fence::FenceRecord;
use crate::{Alias, Epoch, ExecutionName, Mode, PairName};

/// A pair's item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The pair.
    pub pair: PairName,
    /// Rises by one with every change; what a store's condition compares.
    pub version: u64,
    /// The newest epoch that was claimed.
    pub epoch: Epoch,
    /// The cluster that applications are to use.
    pub active: Alias,
    /// Where the pair stands.
    pub phase: Phase,
    /// Attempts at the epoch after `epoch`, so that a run that died before its claim does not block the next.
    pub attempts: u32,
    /// Fences that hold, or are to hold, by the cluster that they are on.
    #[serde(default)]
    pub fences: BTreeMap<Alias, FenceRecord>,
}

/// Where a pair stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// No recovery is under way.
    Steady,
    /// A recovery holds the pair.
    Recovering(Running),
    /// A recovery ended in the middle and a person is needed; the next claim may take over.
    Stuck(Running),
}

/// The recovery that holds a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its execution.
    pub execution: ExecutionName,
    /// What kind of recovery it is.
    pub mode: Mode,
    /// The cluster that becomes active.
    pub target: Alias,
    /// Whether it has passed the point of no return: the flow is sealed, from here on only forward.
    pub sealed: bool,
    /// When it claimed, in milliseconds since 1970.
    pub since_ms: i64,
}

/// Why the ledger does not take a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody claimed a newer epoch, or another execution holds this one.
    #[error("not going on: {execution} was superseded; the pair is at epoch {epoch}")]
    Stale {
        /// Who asked.
        execution: ExecutionName,
        /// The pair's epoch.
        epoch: Epoch,
    },
    /// A recovery is under way that this one does not supersede.
    #[error(
        "not starting: {running} is under way since epoch {epoch}; wait for it, or stop it and start with --supersede"
    )]
    InProgress {
        /// The recovery that holds the pair.
        running: ExecutionName,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The cluster to be activated is active already.
    #[error("not starting: {alias} is active already")]
    AlreadyActive {
        /// The cluster.
        alias: Alias,
    },
}

impl Ledger {
    /// A pair before its first recovery.
    pub const fn new(pair: PairName, home: Alias) -> Self {
        Self {
            pair,
            version: 0,
            epoch: Epoch::ZERO,
            active: home,
            phase: Phase::Steady,
            attempts: 0,
            fences: BTreeMap::new(),
        }
    }

    /// The name for the next attempt at a recovery.
    pub fn next_execution(&self, mode: Mode, leash: crate::Leash) -> ExecutionName {
        let attempt = self.attempts.saturating_add(1);
        ExecutionName::new(self.pair.clone(), self.epoch.next(), mode, leash, attempt)
    }

    /// The execution that holds the pair, while one does.
    pub const fn running(&self) -> Option<&Running> {
        match &self.phase {
            Phase::Steady => None,
            Phase::Recovering(running) | Phase::Stuck(running) => Some(running),
        }
    }

    /// Where an earlier recovery has to be finished to: it sealed the flow, and from there it goes only forward.
    pub fn unfinished(&self) -> Option<&Alias> {
        self.running()
            .filter(|running| running.sealed)
            .map(|running| &running.target)
    }

    /// Takes the next epoch for an execution. The same execution may claim again. A failover takes over from a
    /// switchover or failback; anything takes over from what is stuck, and with `supersede` from anything. Whoever takes
    /// over may finish what was begun, even if the target is active already.
    ///
    /// A leashed execution takes nothing, so that it never stands in the way of a real one.
    ///
    /// # Errors
    /// A newer epoch is claimed, another recovery is under way, or there is nothing to be moved.
    pub fn claim(
        &self,
        execution: &ExecutionName,
        target: &Alias,
        supersede: bool,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        if execution.leash().is_leashed() || self.held_by(execution).is_ok() {
            return Ok(self.clone());
        }
        if execution.pair() != &self.pair || execution.epoch() != self.epoch.next() {
            return Err(Refusal::Stale {
                execution: execution.clone(),
                epoch: self.epoch,
            });
        }
        let takes_over = match &self.phase {
            Phase::Steady | Phase::Stuck(_) => true,
            Phase::Recovering(running) => {
                supersede || (execution.mode() == Mode::Failover && running.mode != Mode::Failover)
            }
        };
        if let Some(running) = self.running().filter(|_| !takes_over) {
            return Err(Refusal::InProgress {
                running: running.execution.clone(),
                epoch: self.epoch,
            });
        }
        let finishes = self
            .running()
            .is_some_and(|running| &running.target == target);
        if &self.active == target && !finishes {
            return Err(Refusal::AlreadyActive {
                alias: target.clone(),
            });
        }
        let mut next = self.changed();
        next.epoch = execution.epoch();
        next.attempts = 0;
        next.phase = Phase::Recovering(Running {
            execution: execution.clone(),
            mode: execution.mode(),
            target: target.clone(),
            // What was sealed stays so, whoever goes on with it.
            sealed: self.unfinished() == Some(target),
            since_ms: now_ms,
        });
        Ok(next)
    }

    /// The recovery that an execution holds.
    ///
    /// # Errors
    /// It holds none any more.
    pub fn held_by(&self, execution: &ExecutionName) -> Result<&Running, Refusal> {
        match &self.phase {
            Phase::Recovering(running) if &running.execution == execution => Ok(running),
            Phase::Recovering(_) | Phase::Stuck(_) | Phase::Steady => Err(Refusal::Stale {
                execution: execution.clone(),
                epoch: self.epoch,
            }),
        }
    }

    /// The point of no return.
    ///
    /// # Errors
    /// As [`Ledger::held_by`].
    pub fn sealed(&self, execution: &ExecutionName) -> Result<Self, Refusal> {
        let mut running = self.held_by(execution)?.clone();
        if running.sealed {
            return Ok(self.clone());
        }
        running.sealed = true;
        let mut next = self.changed();
        next.phase = Phase::Recovering(running);
        Ok(next)
    }

    /// The target is open: it is the active cluster from now on.
    ///
    /// # Errors
    /// As [`Ledger::held_by`].
    pub fn activated(&self, execution: &ExecutionName) -> Result<Self, Refusal> {
        let target = self.held_by(execution)?.target.clone();
        if self.active == target {
            return Ok(self.clone());
        }
        let mut next = self.changed();
        next.active = target;
        Ok(next)
    }

    /// A recovery has ended: well, or in the middle of it. One that did not open what it, or the one before it, had
    /// sealed towards has ended in the middle, whatever it says itself.
    ///
    /// # Errors
    /// As [`Ledger::held_by`]; an execution that ended already may end again.
    pub fn ended(&self, execution: &ExecutionName, stuck: bool) -> Result<Self, Refusal> {
        let half_way = |running: &Running| running.sealed && running.target != self.active;
        let running = match &self.phase {
            Phase::Stuck(running) if &running.execution == execution => {
                if stuck || half_way(running) {
                    return Ok(self.clone());
                }
                running.clone()
            }
            Phase::Steady if self.epoch == execution.epoch() => return Ok(self.clone()),
            Phase::Steady | Phase::Stuck(_) | Phase::Recovering(_) => {
                self.held_by(execution)?.clone()
            }
        };
        let mut next = self.changed();
        next.phase = if stuck || half_way(&running) {
            Phase::Stuck(running)
        } else {
            Phase::Steady
        };
        Ok(next)
    }

    /// An attempt at the next epoch is about to be started.
    #[must_use]
    pub fn attempted(&self) -> Self {
        let mut next = self.changed();
        next.attempts = self.attempts.saturating_add(1);
        next
    }

    /// A fence on a cluster, as it is now.
    #[must_use]
    pub fn with_fence(&self, alias: &Alias, fence: Option<FenceRecord>) -> Self {
        let mut next = self.changed();
        match fence {
            Some(fence) => {
                next.fences.insert(alias.clone(), fence);
            }
            None => {
                next.fences.remove(alias);
            }
        }
        next
    }

    fn changed(&self) -> Self {
        let mut next = self.clone();
        next.version = self.version.saturating_add(1);
        next
    }
}
