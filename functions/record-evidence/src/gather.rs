//! Everything that the store holds of a recovery, whatever of it is there.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use understudy_recovery::assessment::Assessment;
use understudy_recovery::contract::{
    ClientsSeen, EvidenceRequest, FlowStarted, Opened, Order, Start,
};
use understudy_recovery::cut::Cut;
use understudy_recovery::evidence::{ApprovalRecord, Evidence, SCHEMA, StepRecord};
use understudy_recovery::places::Places;
use understudy_recovery::plan::Plan;
use understudy_recovery::tail::{TailPolicy, TailSurvey};
use understudy_recovery::{Alias, Ledger, LossBound, Mode, Step};
use understudy_shell::step::{folder_of, load};
use understudy_shell::typed::Typing;
use understudy_shell::{World, keys};

use crate::{next, unknown};

/// What is read on the way and is no part of the evidence by itself.
pub struct Seen {
    /// Applications, as last seen, by wave.
    pub clients: Vec<ClientsSeen>,
    /// Applications that were told to use the target.
    pub moved: BTreeSet<String>,
    /// Applications that were told to use the source again, after they had been told to stop.
    pub returned: BTreeSet<String>,
    /// How many records that only a cluster that came back holds were put aside.
    pub put_aside: u64,
    /// How many of them were merged into the topics themselves.
    pub merged: u64,
    /// What the pair has done with such records.
    pub tails: TailPolicy,
    /// Whether a recovery that was cut off had left a fence, and may have stopped consumers behind it.
    pub found_fenced: bool,
    /// Whether the flow back was started; nothing if that was not come to.
    pub flow_back: Option<FlowStarted>,
    /// How the target was opened, if it was.
    pub opened: Option<Opened>,
    /// The pair's ledger, if it answered.
    pub ledger: Option<Ledger>,
    /// Why the target could not be left again by a move that is planned, if that is so.
    pub stays: Option<String>,
    /// What people are told to type.
    pub typing: Typing,
}

/// Gathers.
pub fn gather(world: &World, request: &EvidenceRequest, ledger: Option<&Ledger>) -> Evidence {
    let mut reading = Reading {
        world,
        unread: Vec::new(),
    };
    let start = &request.start;
    let execution = start.execution.to_string();
    let order: Option<Order> = reading.one(&keys::order(&execution));
    let found_fenced = order.as_ref().is_some_and(|order| order.found_fenced);
    let (source, target) = match order {
        Some(order) => (order.source, order.target),
        None => ends(world, start, ledger),
    };
    let mut steps: Vec<StepRecord> = reading.all(&format!("{}/steps/", folder_of(&execution)));
    steps.sort_by_key(|it| (it.began_at_ms, it.ended_at_ms, it.step, it.part));
    let assessment: Option<Assessment> = reading.one(&keys::assessment(&execution));
    let plan: Option<Plan> = reading.one(&keys::plan(&execution));
    let mut approvals: Vec<ApprovalRecord> = reading.all(&keys::answers(&execution));
    approvals.sort_by_key(|it| it.at_ms);
    let tail: Option<TailSurvey> = reading.one(&keys::survey(&execution));
    let renewed: Option<keys::Renewed> = reading.one(&keys::renewed(&execution));
    let cut: Option<Cut> = reading.one(&keys::cut(&execution));
    let verified: Option<Places> = reading.one(&keys::places_verified(&execution));
    let places = verified.or_else(|| reading.one(&keys::places(&execution)));
    let loss: Option<LossBound> = reading.one(&keys::loss(&execution));
    let loss = loss
        .or_else(|| cut.as_ref().map(|cut| cut.loss(cut.at_ms, None, |_| None)))
        .or_else(|| {
            let flow = assessment.as_ref()?.flow.as_ref()?;
            start.leash.is_leashed().then_some(flow.loss)
        });
    let clients = clients(&mut reading, &execution);
    let returned = moved(&mut reading, &execution, &source);
    let moved = moved(&mut reading, &execution, &target);
    let flow_back: Option<FlowStarted> = reading.one(&keys::flow_started(&execution));
    let since = |at: i64| at.saturating_sub(start.wished_at_ms).max(0);
    let opened_after_ms = ended(&steps, Step::OpenTarget).map(since);
    let opened: Option<Opened> = reading.one(&keys::opened(&execution));
    let waves = plan.as_ref().map_or(0, |plan| plan.waves.len());
    let all_back =
        !clients.is_empty() && clients.len() >= waves && clients.iter().all(|wave| wave.all_back);
    let clients_back_after_ms = ended(&steps, Step::VerifyClients)
        .filter(|_| all_back)
        .map(since);
    // Where the target was open before this recovery, writers had somewhere to write, however old the fence is.
    let was_active = opened.as_ref().is_some_and(|opened| opened.was_active);
    let fenced_since_ms = ledger
        .filter(|_| !was_active)
        .and_then(|ledger| ledger.fences.get(&source))
        .and_then(|fence| fence.since_ms);
    let mut evidence = Evidence {
        schema: SCHEMA,
        execution: start.execution.clone(),
        mode: start.mode,
        leash: start.leash,
        epoch: start.execution.epoch(),
        source,
        target,
        wish: start.wish.clone(),
        ended: request.ended.clone(),
        error: request.error.as_ref().and_then(why),
        started_at_ms: start.wished_at_ms,
        ended_at_ms: world.clock.now_ms(),
        steps,
        assessment,
        plan,
        approval: approvals.pop(),
        tail,
        cut,
        loss,
        places,
        opened_after_ms,
        fenced_since_ms,
        clients_back_after_ms,
        unknown: Vec::new(),
        next: Vec::new(),
    };
    let stays = world.pair.fencing.can_close(&evidence.target).err();
    let seen = Seen {
        clients,
        moved,
        returned,
        put_aside: renewed.as_ref().map_or(0, |it| it.put_aside),
        merged: renewed.map_or(0, |it| it.merged),
        tails: world.pair.tails.clone(),
        found_fenced,
        flow_back,
        opened,
        ledger: ledger.cloned(),
        stays,
        typing: Typing::of(world),
    };
    evidence.unknown = unknown::unknown(&evidence, &seen);
    evidence.unknown.append(&mut reading.unread);
    evidence.next = next::next(&evidence, &seen);
    evidence
}

/// Applications as last seen. Beside them lies what other steps remember of applications.
fn clients(reading: &mut Reading<'_>, execution: &str) -> Vec<ClientsSeen> {
    let keys = reading.keys(&format!("{}/clients/", folder_of(execution)));
    let waves = keys.iter().filter_map(|key| {
        let name = key.rsplit('/').next()?.strip_suffix(".json")?;
        name.parse::<u32>().ok()
    });
    let waves: BTreeSet<u32> = waves.collect();
    waves
        .into_iter()
        .filter_map(|wave| reading.one(&keys::clients_seen(execution, wave)))
        .collect()
}

fn moved(reading: &mut Reading<'_>, execution: &str, target: &Alias) -> BTreeSet<String> {
    let prefix = format!("{}/clients/moved-{target}.", folder_of(execution));
    let waves: Vec<Vec<String>> = reading.all(&prefix);
    waves.into_iter().flatten().collect()
}

/// The clusters that were to be left and activated, where the claim did not come to say so.
fn ends(world: &World, start: &Start, ledger: Option<&Ledger>) -> (Alias, Alias) {
    let home = &world.pair.home;
    let active = ledger.map_or(home, |ledger| &ledger.active);
    let other = world.pair.other(active).unwrap_or(active);
    match start.mode {
        Mode::Failback if active != home => (active.clone(), home.clone()),
        Mode::Failover | Mode::Switchover | Mode::Failback => (active.clone(), other.clone()),
    }
}

/// When a step last did its work.
fn ended(steps: &[StepRecord], step: Step) -> Option<i64> {
    let of = steps.iter().filter(|it| it.step == step);
    of.filter(|it| it.error.is_none())
        .map(|it| it.ended_at_ms)
        .max()
}

/// Step Functions' error in words: its `Cause` is often JSON of the function's own.
fn why(error: &Value) -> Option<String> {
    if error.is_null() {
        return None;
    }
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let name = text("Error");
    let cause = text("Cause").map(|cause| {
        let inner: Option<Value> = serde_json::from_str(cause).ok();
        let message = inner
            .as_ref()
            .and_then(|it| it.get("errorMessage")?.as_str());
        message.unwrap_or(cause).to_owned()
    });
    match (name, cause) {
        (Some(name), Some(cause)) if cause.is_empty() => Some(name.to_owned()),
        (Some(name), Some(cause)) => Some(format!("{name}: {cause}")),
        (Some(name), None) => Some(name.to_owned()),
        (None, Some(cause)) => Some(cause),
        (None, None) => Some(error.to_string()),
    }
}

struct Reading<'a> {
    world: &'a World,
    unread: Vec<String>,
}

impl Reading<'_> {
    fn one<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match load(self.world, key) {
            Ok(value) => value,
            Err(error) => {
                self.unread
                    .push(format!("{key} could not be read: {}", error.text));
                None
            }
        }
    }

    fn keys(&mut self, prefix: &str) -> Vec<String> {
        match self.world.store.list(prefix) {
            Ok(keys) => keys,
            Err(error) => {
                self.unread
                    .push(format!("{prefix} could not be listed: {error}"));
                Vec::new()
            }
        }
    }

    fn all<T: DeserializeOwned>(&mut self, prefix: &str) -> Vec<T> {
        let keys = self.keys(prefix);
        keys.iter().filter_map(|key| self.one(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_reads_as_its_function_said_it() {
        let said = |error| why(&error);
        assert_eq!(said(Value::Null), None);
        let cause = r#"{"errorType":"StaleEpoch","errorMessage":"not going on: superseded"}"#;
        assert_eq!(
            said(json!({"Error": "StaleEpoch", "Cause": cause})).as_deref(),
            Some("StaleEpoch: not going on: superseded")
        );
        assert_eq!(
            said(json!({"Error": "States.Timeout", "Cause": ""})).as_deref(),
            Some("States.Timeout")
        );
        assert_eq!(said(json!("odd")).as_deref(), Some("\"odd\""));
    }
}
