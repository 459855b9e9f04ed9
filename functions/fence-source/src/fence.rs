//! One fence: remembered, set, proven.

use std::collections::BTreeSet;
use std::time::Duration;

use understudy_domain::{Acl, TopicPartition};
use understudy_recovery::contract::Fenced;
use understudy_recovery::fence::{
    FenceAcl, FenceRecord, FenceState, plan_fence, to_add, to_remove, unbarred, without,
};
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::{Epoch, ErrorName, ExecutionName, Ledger, Phase, StepError};
use understudy_shell::step::{at_source, at_target, change_ledger, read_ledger};
use understudy_shell::world::Cluster;
use understudy_shell::{PortErrorKind, World};

use crate::proof;

/// Whose word a fence goes by.
pub enum WantedBy<'a> {
    /// A recovery that holds the pair.
    Recovery(&'a ExecutionName),
    /// The ledger alone, for as long as it wants the fence.
    Ledger,
}

/// What was reached, and whether it is idleness that was taken for a fence.
pub struct Reached {
    /// How it stands.
    pub fenced: Fenced,
    /// Whether every end stands.
    pub idle: bool,
    /// What was done, in words.
    pub did: Vec<String>,
}

/// A fence on the source of a flow.
pub struct Fence<'a> {
    pub world: &'a World,
    /// From the cluster that is fenced to the active one.
    pub flow: &'a FlowOfPair,
    /// The epoch that wants it.
    pub epoch: Epoch,
    /// Whether this is a drill.
    pub leashed: bool,
    pub wanted_by: WantedBy<'a>,
    /// How long one answer may take.
    pub within: Duration,
    /// Whether all that the flow mirrors has to be known, or what it has copied is better than nothing.
    pub all: bool,
    /// Whether somebody goes on only behind a proven fence.
    pub required: bool,
}

impl Fence<'_> {
    /// Sets it and proves it, as far as that goes.
    ///
    /// # Errors
    /// A cluster or the ledger does not answer, or nobody wants the fence any more.
    pub fn hold(&self) -> Result<Reached, StepError> {
        // Wanted first: that a fence is wanted stays in the ledger where this call ends here.
        self.remember(|fence| fence.epoch = self.epoch)?;
        let (partitions, untold) = self.mirrored()?;
        let topics: BTreeSet<String> = partitions.iter().map(|it| it.topic.to_string()).collect();
        let source = self.world.clusters.get(&self.flow.source);
        let source = source.map_err(|error| at_source(&error))?;
        let mut did = Vec::new();
        let set = self.set(&*source, &topics, &mut did)?;
        if self.leashed {
            let (set, reason) = match set {
                Ok(()) => (true, None),
                Err(reason) => (false, Some(reason)),
            };
            let fenced = Fenced {
                set,
                proven: set,
                reason,
            };
            let idle = true;
            return Ok(Reached { fenced, idle, did });
        }
        if set.is_ok() {
            self.remember(|fence| {
                if fence.state == FenceState::Wanted {
                    fence.state = FenceState::Set;
                }
            })?;
        }
        let refused = match set {
            Ok(()) => self.known(proof::refused(self.world, &*source, &topics, self.within))?,
            Err(reason) => Err(reason),
        };
        let standing = proof::standing(self.world, &*source, &partitions, self.within);
        let standing = self.known(standing)?;
        let reason = refused.clone().err().or_else(|| standing.clone().err());
        let reason = reason.or(untold);
        let proven = reason.is_none();
        if proven {
            self.remember(|fence| fence.state = FenceState::Proven)?;
            did.push("a write as each of them was refused, and every end stands".to_owned());
        }
        did.extend(reason.iter().cloned());
        let fenced = Fenced {
            set: self.is_set()?,
            proven,
            reason,
        };
        let idle = standing.is_ok();
        Ok(Reached { fenced, idle, did })
    }

    /// What came of a proof. Where nobody waits for one, trouble with it is no more than a reason: what is set is set.
    fn known(
        &self,
        proof: Result<Result<(), String>, StepError>,
    ) -> Result<Result<(), String>, StepError> {
        match proof {
            Err(error) if !self.required => Ok(Err(error.text)),
            proof => proof,
        }
    }

    /// Adds what bars the writers; in words why that is not possible.
    fn set(
        &self,
        source: &dyn Cluster,
        topics: &BTreeSet<String>,
        did: &mut Vec<String>,
    ) -> Result<Result<(), String>, StepError> {
        let writers = &self.world.pair.fencing.writers;
        let present = match source.acls(self.within) {
            Ok(acls) => acls,
            Err(error) if error.kind == PortErrorKind::Missing => {
                return Ok(Err(format!("no ACL bars anybody there: {error}")));
            }
            Err(error) => return Err(at_source(&error)),
        };
        // Where the brokers do not tell, they may admit everyone.
        let admits = source.admits_everyone(self.within).unwrap_or(None);
        let added = self.added()?;
        let plan = plan_fence(writers, topics, &without(&present, &added), admits);
        let plan = match plan {
            Ok(plan) => plan,
            Err(impossible) => return Ok(Err(impossible.to_string())),
        };
        let calls = to_add(&plan).map_err(|unknown| internal(&unknown.to_string()))?;
        if self.leashed {
            did.extend(plan.iter().map(|acl| format!("would add: {}", words(acl))));
            return Ok(Ok(()));
        }
        self.remember(|fence| {
            let known: BTreeSet<FenceAcl> = fence.added.iter().cloned().collect();
            let new = plan.iter().filter(|acl| !known.contains(acl));
            let new: Vec<FenceAcl> = new.cloned().collect();
            if !new.is_empty() {
                fence.state = FenceState::Wanted;
                fence.added.extend(new);
            }
        })?;
        for call in calls {
            let missing: Vec<Acl> = call
                .into_iter()
                .filter(|it| !present.contains(it))
                .collect();
            if !missing.is_empty() {
                let added = source.add_acls(&missing, self.within);
                added.map_err(|error| at_source(&error))?;
            }
        }
        if self.is_given_up()? {
            // A recovery has lifted the fence meanwhile, and what was added just now came behind that.
            for acls in to_remove(&plan).map_err(|unknown| internal(&unknown.to_string()))? {
                let gone = source.remove_acls(&acls, self.within);
                gone.map_err(|error| at_source(&error))?;
            }
            return Ok(Err("nobody wants it fenced any more".to_owned()));
        }
        did.push(format!(
            "{} ACLs keep {} from writing to {} topics",
            plan.len(),
            writers.join(", "),
            topics.len()
        ));
        // The broker that is asked may learn of them a moment later than the one that took them.
        let until = self
            .world
            .clock
            .now_ms()
            .saturating_add(proof::LEARN_WITHIN_MS);
        loop {
            let now = source
                .acls(self.within)
                .map_err(|error| at_source(&error))?;
            let open = unbarred(writers, topics, &now, admits);
            match open.first() {
                None => return Ok(Ok(())),
                Some(one) if self.world.clock.now_ms() >= until => {
                    return Ok(Err(format!(
                        "{} may still write to {} by the ACLs there",
                        one.writer, one.topic
                    )));
                }
                Some(_) => self.world.clock.sleep(proof::PAUSE),
            }
        }
    }

    /// Every partition that the flow mirrors or is to, as on the source; of a flow that never ran, what is to be copied
    /// there. And why there may be more that the flow has not begun with, if that is so.
    fn mirrored(&self) -> Result<(BTreeSet<TopicPartition>, Option<String>), StepError> {
        let (flow, flows) = (self.flow, &self.world.flows);
        let record = flows.record(flow).map_err(|error| at_target(&error))?;
        let Some(record) = record else {
            // Nothing ever came from there: a home that is new. What it is to be a copy of is not written there.
            let onto = self.world.pair.flow_from(&flow.target);
            let onto = onto.filter(|it| it.target == flow.source);
            let Some(onto) = onto else {
                return Err(StepError::new(
                    ErrorName::FlowUnreadable,
                    format!("flow {} never ran: nothing tells what to fence", flow.file),
                ));
            };
            let selected = flows.partitions(onto, self.within);
            return Ok((selected.map_err(|error| at_target(&error))?, None));
        };
        let positions = flows.positions(flow, &record);
        let positions = positions.map_err(|error| at_target(&error))?;
        let mut mirrored: BTreeSet<_> = positions.into_iter().map(|it| it.source).collect();
        // Somebody may write to what it had not begun with as well.
        let untold = match flows.partitions(flow, self.within) {
            Ok(selected) => {
                mirrored.extend(selected);
                None
            }
            Err(error) if self.all => return Err(at_source(&error)),
            Err(error) => Some(format!(
                "what flow {} has not begun with is not known: {error}",
                flow.file
            )),
        };
        Ok((mirrored, untold))
    }

    /// Changes what the ledger remembers of the fence; a drill remembers nothing.
    fn remember(&self, change: impl Fn(&mut FenceRecord)) -> Result<(), StepError> {
        if self.leashed {
            return Ok(());
        }
        change_ledger(self.world, |ledger| {
            let before = ledger.fences.get(&self.flow.source);
            match self.wanted_by {
                WantedBy::Recovery(execution) => {
                    ledger.held_by(execution)?;
                }
                WantedBy::Ledger if is_wanted(ledger, self.flow, self.epoch) => {}
                WantedBy::Ledger => return Ok(ledger.clone()),
            }
            let mut fence = before.cloned().unwrap_or(FenceRecord {
                epoch: self.epoch,
                state: FenceState::Wanted,
                added: Vec::new(),
                since_ms: Some(self.world.clock.now_ms()),
            });
            if fence.state == FenceState::Lifting {
                // It was being lifted, so writers may have been let in since.
                fence.state = FenceState::Wanted;
                fence.since_ms = Some(self.world.clock.now_ms());
            }
            change(&mut fence);
            if before == Some(&fence) {
                return Ok(ledger.clone());
            }
            Ok(ledger.with_fence(&self.flow.source, Some(fence)))
        })?;
        Ok(())
    }

    /// Whether the ledger was the one that wanted it, and does so no more.
    fn is_given_up(&self) -> Result<bool, StepError> {
        match self.wanted_by {
            WantedBy::Recovery(_) => Ok(false),
            WantedBy::Ledger => {
                let ledger = read_ledger(self.world)?;
                Ok(!is_wanted(&ledger, self.flow, self.epoch))
            }
        }
    }

    fn added(&self) -> Result<Vec<FenceAcl>, StepError> {
        let ledger = read_ledger(self.world)?;
        let fence = ledger.fences.get(&self.flow.source);
        Ok(fence.map(|fence| fence.added.clone()).unwrap_or_default())
    }

    fn is_set(&self) -> Result<bool, StepError> {
        let ledger = read_ledger(self.world)?;
        let fence = ledger.fences.get(&self.flow.source);
        Ok(fence.is_some_and(|fence| matches!(fence.state, FenceState::Set | FenceState::Proven)))
    }
}

/// Whether the ledger, by itself, wants a flow's source fenced since this epoch: not while a recovery changes it, nor once
/// it is to be active.
pub fn is_wanted(ledger: &Ledger, flow: &FlowOfPair, epoch: Epoch) -> bool {
    let fence = ledger.fences.get(&flow.source);
    let stands = fence.is_some_and(|it| it.epoch == epoch && it.state != FenceState::Lifting);
    let moving = matches!(ledger.phase, Phase::Recovering(_));
    stands && !moving && ledger.active == flow.target
}

fn words(acl: &FenceAcl) -> String {
    let permission = if acl.deny { "deny" } else { "allow" };
    format!(
        "{permission} {} {} on {}",
        acl.principal, acl.operation, acl.topic
    )
}

fn internal(text: &str) -> StepError {
    StepError::new(ErrorName::Internal, text)
}
