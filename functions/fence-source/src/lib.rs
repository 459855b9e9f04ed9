//! Shuts writers out of the cluster that is left, and proves it.
//!
//! Invariants:
//! a. what will be added is in the ledger before it is added, so that whoever comes next can take back exactly that;
//! b. a fence is *proven* by a write that the brokers refuse and by ends that stand, not by what ACLs say: super users and
//!    principals of MSK IAM are subject to none;
//! c. where it is not required, no trouble is an error: the ledger goes on wanting the fence.

mod proof;

use std::collections::BTreeSet;
use std::time::Duration;

use understudy_domain::{Acl, TopicPartition};
use understudy_recovery::contract::{FenceRequest, Fenced, Order};
use understudy_recovery::fence::{
    FenceAcl, FenceRecord, FenceState, plan_fence, to_add, unbarred, without,
};
use understudy_recovery::pair::WithoutAcls;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::step::{at_source, at_target, carry_out, change_ledger, read_ledger};
use understudy_shell::world::Cluster;
use understudy_shell::{Done, PortErrorKind, World, reach};

/// How long the cluster that is left has for one answer: where it has to answer, and where it may be gone.
const REQUIRED_WITHIN: Duration = Duration::from_secs(5);
const OPTIONAL_WITHIN: Duration = Duration::from_secs(2);

/// Sets the fence and proves it.
///
/// # Errors
/// The order is stale or the ledger does not answer; and if the fence is required: the source does not answer, or the fence
/// cannot be set or proved (`FenceUnproven`).
pub fn handle(world: &World, request: FenceRequest) -> Result<Fenced, StepError> {
    let order = &request.order;
    carry_out(world, Step::FenceSource, None, order, || {
        let within = if request.required {
            REQUIRED_WITHIN
        } else {
            OPTIONAL_WITHIN
        };
        let fence = Fence {
            world,
            order,
            within,
        };
        match fence.hold() {
            Ok(done) => judged(
                order,
                request.required,
                world.pair.fencing.without_acls,
                done,
            ),
            Err(error) if request.required || is_ledgers(error.name) => Err(error),
            Err(error) => Ok(Done::new(
                Fenced {
                    set: false,
                    proven: false,
                    reason: Some(error.text.clone()),
                },
                [format!(
                    "{} is not fenced yet, and stays to be: {}",
                    order.source, error.text
                )],
            )),
        }
    })
}

/// Trouble that is none of the source's.
const fn is_ledgers(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::StaleEpoch | ErrorName::LedgerConflict | ErrorName::LedgerUnreachable
    )
}

/// What was reached, and whether it is idleness that was taken for a fence.
struct Reached {
    fenced: Fenced,
    idle: bool,
    did: Vec<String>,
}

fn judged(
    order: &Order,
    required: bool,
    without_acls: WithoutAcls,
    reached: Reached,
) -> Result<Done<Fenced>, StepError> {
    let Reached {
        fenced,
        idle,
        mut did,
    } = reached;
    if fenced.proven || !required {
        return Ok(Done::new(fenced, did));
    }
    if idle && without_acls == WithoutAcls::AcceptIdle {
        did.push(format!(
            "every end of {} stands: that is idleness and no fence, and the pair accepts it",
            order.source
        ));
        return Ok(Done::new(fenced, did));
    }
    let reason = fenced.reason.unwrap_or_else(|| "no proof".to_owned());
    Err(StepError::new(
        ErrorName::FenceUnproven,
        format!("writers of {} may not be shut out: {reason}", order.source),
    ))
}

struct Fence<'a> {
    world: &'a World,
    order: &'a Order,
    within: Duration,
}

impl Fence<'_> {
    fn hold(&self) -> Result<Reached, StepError> {
        // Wanted first: that a fence is wanted stays in the ledger where this call ends here.
        self.remember(|fence| fence.epoch = self.order.epoch)?;
        let partitions = self.mirrored()?;
        let topics: BTreeSet<String> = partitions.iter().map(|it| it.topic.to_string()).collect();
        let source = reach::source(self.world, self.order)?;
        let mut did = Vec::new();
        let set = self.set(&*source, &topics, &mut did)?;
        if self.order.leash.is_leashed() {
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
            Ok(()) => proof::refused(self.world, &*source, &topics, self.within)?,
            Err(reason) => Err(reason),
        };
        let standing = proof::standing(self.world, &*source, &partitions, self.within)?;
        let reason = refused.clone().err().or_else(|| standing.clone().err());
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
        if self.order.leash.is_leashed() {
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
        did.push(format!(
            "{} ACLs keep {} from writing to {} topics",
            plan.len(),
            writers.join(", "),
            topics.len()
        ));
        let now = source
            .acls(self.within)
            .map_err(|error| at_source(&error))?;
        let open = unbarred(writers, topics, &now, admits);
        match open.first() {
            None => Ok(Ok(())),
            Some(one) => Ok(Err(format!(
                "{} may still write to {} by the ACLs there",
                one.writer, one.topic
            ))),
        }
    }

    /// Every partition that the flow mirrors, as on the source.
    fn mirrored(&self) -> Result<BTreeSet<TopicPartition>, StepError> {
        let flow = reach::forward(self.world, self.order)?;
        let flows = &self.world.flows;
        let record = flows.record(flow).map_err(|error| at_target(&error))?;
        let Some(record) = record else {
            return Err(StepError::new(
                ErrorName::FlowUnreadable,
                format!("flow {} never ran: nothing tells what to fence", flow.file),
            ));
        };
        let positions = flows.positions(flow, &record);
        let positions = positions.map_err(|error| at_target(&error))?;
        Ok(positions.into_iter().map(|it| it.source).collect())
    }

    /// Changes what the ledger remembers of the fence; a drill remembers nothing.
    fn remember(&self, change: impl Fn(&mut FenceRecord)) -> Result<(), StepError> {
        if self.order.leash.is_leashed() {
            return Ok(());
        }
        change_ledger(self.world, |ledger| {
            ledger.held_by(&self.order.execution)?;
            let before = ledger.fences.get(&self.order.source);
            let mut fence = before.cloned().unwrap_or(FenceRecord {
                epoch: self.order.epoch,
                state: FenceState::Wanted,
                added: Vec::new(),
            });
            if fence.state == FenceState::Lifting {
                fence.state = FenceState::Wanted;
            }
            change(&mut fence);
            if before == Some(&fence) {
                return Ok(ledger.clone());
            }
            Ok(ledger.with_fence(&self.order.source, Some(fence)))
        })?;
        Ok(())
    }

    fn added(&self) -> Result<Vec<FenceAcl>, StepError> {
        let ledger = read_ledger(self.world)?;
        let fence = ledger.fences.get(&self.order.source);
        Ok(fence.map(|fence| fence.added.clone()).unwrap_or_default())
    }

    fn is_set(&self) -> Result<bool, StepError> {
        let ledger = read_ledger(self.world)?;
        let fence = ledger.fences.get(&self.order.source);
        Ok(fence.is_some_and(|fence| matches!(fence.state, FenceState::Set | FenceState::Proven)))
    }
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

#[cfg(test)]
mod tests;
