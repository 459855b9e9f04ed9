//! Whether a recovery is carried out, put to a person, or refused.
//!
//! Invariants:
//! a. an alarm fails over only what is known to be unhealthy: unknown never fails over by itself;
//! b. nothing goes to a cluster that is not fit, whoever wishes it;
//! c. a loss beyond the consent is a person's decision;
//! d. only a person switches over.
//!
//! A leash changes nothing here: a drill decides as the real one would.

use super::will::{names, will};
use super::{Decision, Plan, Wish, waves};
use crate::assessment::{Assessment, FlowSeen};
use crate::contract::Order;
use crate::health::{Health, HealthVerdict};
use crate::pair::{Automation, EarlyClients, Pair};
use crate::{Consent, LossBound, Mode};

/// What would be done, and whether it is.
///
/// `consent` is what the person who wishes it consents to lose, beyond the pair's own; an alarm's is not heard.
pub fn decide(
    pair: &Pair,
    order: &Order,
    wish: &Wish,
    consent: Option<Consent>,
    assessment: &Assessment,
) -> (Plan, Decision) {
    let plan = plan(pair, order, assessment);
    let case = Case {
        pair,
        order,
        wish,
        consent,
        assessment,
        plan: &plan,
    };
    let decision = case.decision();
    (plan, decision)
}

fn plan(pair: &Pair, order: &Order, assessment: &Assessment) -> Plan {
    let flow = assessment.flow.as_ref();
    let loss = match order.mode {
        Mode::Failover => flow.map_or_else(LossBound::default, |flow| flow.loss),
        // What is fenced and drained loses nothing.
        Mode::Switchover | Mode::Failback => LossBound::NONE,
    };
    let mut live_groups = assessment.live_groups.clone();
    live_groups.sort();
    live_groups.dedup();
    let mut plan = Plan {
        mode: order.mode,
        epoch: order.epoch,
        source: order.source.clone(),
        target: order.target.clone(),
        flow: flow.map_or_else(
            || format!("{}-{}", order.source, order.target),
            |flow| flow.flow.clone(),
        ),
        loss: LossBound {
            seconds_at_most: loss.seconds_at_most.map(whole_milliseconds),
            ..loss
        },
        waves: waves(&pair.applications),
        live_groups,
        will: Vec::new(),
    };
    plan.will = will(&plan, pair, &assessment.places);
    plan
}

/// Rounded up. A plan is stored as JSON, and its digest must be the same when it is read again.
fn whole_milliseconds(seconds: f64) -> f64 {
    (seconds * 1_000.0).ceil() / 1_000.0
}

struct Case<'a> {
    pair: &'a Pair,
    order: &'a Order,
    wish: &'a Wish,
    consent: Option<Consent>,
    assessment: &'a Assessment,
    plan: &'a Plan,
}

/// `Err` is a refusal: why it is not done.
type Held = Result<(), String>;

impl Case<'_> {
    fn decision(&self) -> Decision {
        let no = match self.order.mode {
            Mode::Failover => "not failing over",
            Mode::Switchover => "not switching over",
            Mode::Failback => "not failing back",
        };
        let checked = self
            .order_fits()
            .and_then(|()| self.wish_is_enough())
            .and_then(|()| self.target_is_fit())
            .and_then(|flow| self.flow_is_ours(flow).map(|()| flow))
            .and_then(|flow| self.nothing_would_be_lost(flow).map(|()| flow));
        match checked {
            Err(reason) => Decision::Refuse {
                reason: format!("{no}: {reason}"),
            },
            Ok(flow) => match self.questions(flow) {
                doubts if doubts.is_empty() => Decision::Proceed,
                doubts => Decision::Ask {
                    question: self.question(&doubts),
                },
            },
        }
    }

    fn order_fits(&self) -> Held {
        let Self {
            pair,
            order,
            assessment,
            ..
        } = self;
        if order.pair != pair.name {
            return Err(format!(
                "the order is for pair {}, not {}",
                order.pair, pair.name
            ));
        }
        if order.source == order.target || !pair.clusters.contains_key(&order.target) {
            return Err(format!(
                "pair {} has no way from {} to {}",
                pair.name, order.source, order.target
            ));
        }
        if assessment.source.alias != order.source || assessment.target.alias != order.target {
            return Err(format!(
                "what was assessed is {} to {}, what is ordered is {} to {}; assess again",
                assessment.source.alias, assessment.target.alias, order.source, order.target
            ));
        }
        Ok(())
    }

    fn wish_is_enough(&self) -> Held {
        let source = &self.assessment.source;
        match (self.order.mode, self.wish) {
            (Mode::Failover, Wish::Person { .. }) => Ok(()),
            (Mode::Failover, Wish::Alarm { alarm }) => {
                if self.pair.automation == Automation::ObserveOnly {
                    return Err(format!(
                        "alarm {alarm} is only a notice, as pair {} observes only; a person may start a failover",
                        self.pair.name
                    ));
                }
                match source.verdict.health {
                    Health::Unhealthy => Ok(()),
                    Health::Unknown => Err(format!(
                        "alarm {alarm} stands, but whether {} serves cannot be told ({}); a person may decide",
                        source.alias,
                        why(&source.verdict)
                    )),
                    Health::Healthy => Err(format!(
                        "alarm {alarm} stands, but {} serves ({})",
                        source.alias,
                        why(&source.verdict)
                    )),
                }
            }
            (Mode::Switchover | Mode::Failback, Wish::Alarm { alarm }) => {
                Err(format!("alarm {alarm} asks for it, and only a person may"))
            }
            (Mode::Switchover | Mode::Failback, Wish::Person { .. }) => {
                match source.verdict.health {
                    Health::Healthy => Ok(()),
                    Health::Unknown | Health::Unhealthy => Err(format!(
                        "{} is {} ({}), and both clusters must be healthy; a failover needs only the target",
                        source.alias,
                        name(source.verdict.health),
                        why(&source.verdict)
                    )),
                }
            }
        }
    }

    fn target_is_fit(&self) -> Result<&FlowSeen, String> {
        let target = &self.assessment.target;
        let Some(flow) = &self.assessment.flow else {
            return Err(format!(
                "{} holds no flow from {}: nothing was mirrored, or it cannot be read",
                target.alias, self.order.source
            ));
        };
        if self.assessment.target_is_fit() {
            return Ok(flow);
        }
        Err(format!(
            "{} cannot take over: it is {} ({})",
            target.alias,
            name(target.verdict.health),
            why(&target.verdict)
        ))
    }

    fn flow_is_ours(&self, flow: &FlowSeen) -> Held {
        if flow.epoch > self.order.epoch {
            return Err(format!(
                "flow {} was {} at {}, and this recovery is {}: a newer one has been here",
                flow.flow, flow.state, flow.epoch, self.order.epoch
            ));
        }
        match (self.order.mode, flow.state.as_str()) {
            (Mode::Failover, "running" | "paused" | "sealed")
            | (Mode::Switchover | Mode::Failback, "running") => Ok(()),
            // An earlier recovery sealed it and got stuck: it is finished, if nothing came behind its cut.
            (Mode::Switchover | Mode::Failback, "sealed")
                if flow.loss.records_at_most == Some(0) =>
            {
                Ok(())
            }
            (Mode::Switchover | Mode::Failback, state @ ("paused" | "sealed")) => Err(format!(
                "flow {} is {state}: what {} holds would not be copied",
                flow.flow, self.order.source
            )),
            (_, state) => Err(format!(
                "flow {} is {state:?}, which this version does not know",
                flow.flow
            )),
        }
    }

    /// What a recovery that loses nothing needs besides.
    fn nothing_would_be_lost(&self, flow: &FlowSeen) -> Held {
        match self.order.mode {
            Mode::Failover => Ok(()),
            Mode::Switchover | Mode::Failback if flow.gaps > 0 => Err(format!(
                "{} halted by gaps of flow {} that nobody dealt with; see `understudy gaps`",
                halted(flow.gaps),
                flow.flow
            )),
            // Said before anybody is shut out.
            Mode::Switchover | Mode::Failback => self.pair.fencing.can_close(&self.order.source),
        }
    }

    /// What a person has to know and accept; nothing if nobody has to be asked.
    fn questions(&self, flow: &FlowSeen) -> Vec<String> {
        let mut doubts = Vec::new();
        let Self { assessment, .. } = self;
        if self.order.mode == Mode::Failover {
            let source = &assessment.source;
            match (self.wish, source.verdict.health) {
                (Wish::Person { .. }, Health::Healthy) => doubts.push(format!(
                    "{} is healthy ({}): a switchover would lose nothing",
                    source.alias,
                    why(&source.verdict)
                )),
                (Wish::Alarm { alarm }, _) if self.pair.automation != Automation::Automatic => {
                    doubts.push(format!(
                        "alarm {alarm} stands, {} is {} ({}), and pair {} asks first",
                        source.alias,
                        name(source.verdict.health),
                        why(&source.verdict),
                        self.pair.name
                    ));
                }
                (Wish::Person { .. } | Wish::Alarm { .. }, _) => {}
            }
            if flow.ended_before(self.order) {
                let (source, target) = (&self.order.source, &self.order.target);
                doubts.push(format!(
                    "{target} does not stand by: flow {} ended at {}, and what {source} took since is not there. If \
                     {source} answers, a failback with --standby-only lets {target} stand by first",
                    flow.flow, flow.epoch
                ));
            }
            let beyond = !self.consented(&flow.loss);
            if beyond || !doubts.is_empty() {
                let held = if beyond {
                    ", beyond what is consented to"
                } else {
                    ""
                };
                doubts.push(format!("{}{held}", lost(&flow.loss)));
            }
            if flow.gaps > 0 {
                doubts.push(format!(
                    "{} halted by gaps that nobody dealt with: what lies behind them is not on {}",
                    halted(flow.gaps),
                    assessment.target.alias
                ));
            }
        }
        if flow.partitions == 0 {
            doubts.push(format!(
                "flow {} has not copied any partition yet",
                flow.flow
            ));
        }
        if self.pair.early_clients == EarlyClients::Ask && !self.plan.live_groups.is_empty() {
            doubts.push(format!(
                "somebody is already in {} on {}: those groups keep their own places",
                names(&self.plan.live_groups),
                assessment.target.alias
            ));
        }
        if assessment.places.beyond > 0 {
            doubts.push(format!(
                "{} places of groups on {} would skip records",
                assessment.places.beyond, assessment.target.alias
            ));
        }
        doubts
    }

    fn question(&self, doubts: &[String]) -> String {
        let verb = match self.order.mode {
            Mode::Failover => "Fail over",
            Mode::Switchover => "Switch over",
            Mode::Failback => "Fail back",
        };
        format!(
            "{verb} from {} to {}? {}.",
            self.order.source,
            self.order.target,
            doubts.join(". ")
        )
    }

    fn consented(&self, loss: &LossBound) -> bool {
        let persons = match self.wish {
            Wish::Person { .. } => self.consent,
            Wish::Alarm { .. } => None,
        };
        self.pair.consent.covers(loss) || persons.is_some_and(|consent| consent.covers(loss))
    }
}

const fn name(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unknown => "unknown",
        Health::Unhealthy => "unhealthy",
    }
}

fn why(verdict: &HealthVerdict) -> String {
    if verdict.reasons.is_empty() {
        return "nothing was seen".to_owned();
    }
    verdict.reasons.join("; ")
}

fn halted(partitions: u32) -> String {
    match partitions {
        1 => "1 partition is".to_owned(),
        more => format!("{more} partitions are"),
    }
}

fn lost(loss: &LossBound) -> String {
    let records = match loss.records_at_most {
        Some(most) if most == loss.records_at_least => format!("{most} records are lost"),
        Some(most) => format!("{} to {most} records are lost", loss.records_at_least),
        None => format!(
            "at least {} records are lost, and nothing tells how many more",
            loss.records_at_least
        ),
    };
    match loss.seconds_at_most {
        Some(seconds) => format!("{records}, none older than {seconds:.1} s"),
        None => format!("{records}, of unknown age"),
    }
}
