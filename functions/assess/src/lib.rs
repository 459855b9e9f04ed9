//! Looks at both clusters, the flow between them and the groups, before anything is done. Reads only.
//!
//! Asked side by side: a look at each cluster, the flow's state and the groups on the target. Then, if the source serves,
//! its real ends and its groups' places. The source is best effort: no question to it is waited for longer than its bound,
//! and none that it does not answer is an error.

mod compare;
mod flow;
mod look;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use understudy_recovery::assessment::{Assessment, ClusterSeen};
use understudy_recovery::contract::{Assessed, JustOrder, Order};
use understudy_recovery::health::{Health, Saw};
use understudy_recovery::{Alias, Step, StepError};
use understudy_shell::step::{Part, carry_out, save};
use understudy_shell::{Done, World, bounded, keys};

/// How long any one question may take.
const BOUND: Duration = Duration::from_secs(3);
/// How long a question is waited for: a little longer, so that the adapter's own reason is heard.
const WAIT: Duration = Duration::from_millis(3_200);

/// How long the target's state is waited for: a recovery stands on it, and it lies on the side that survives.
const TARGET_WAIT: Duration = Duration::from_secs(8);

/// Looks, and keeps what was seen.
///
/// # Errors
/// The order is stale, or the ledger or the store does not answer. A cluster that does not answer is no error: that is
/// what was found.
pub fn handle(world: &World, request: JustOrder) -> Result<Assessed, StepError> {
    let order = &request.order;
    carry_out(world, Step::Assess, Part::Whole, order, || {
        let assessment = assess(world, order);
        let key = keys::assessment(&order.execution.to_string());
        save(world, &key, &assessment)?;
        let did = words(&assessment);
        let loss = assessment.flow.as_ref().map(|flow| flow.loss);
        let answer = Assessed {
            assessment: key,
            source_health: assessment.source.verdict.health,
            target_health: assessment.target.verdict.health,
            target_is_fit: assessment.target_is_fit(),
            loss: loss.unwrap_or_default(),
            reasons: assessment.reasons,
        };
        Ok(Done::new(answer, did))
    })
}

fn assess(world: &World, order: &Order) -> Assessment {
    let mut reasons = Vec::new();
    let source = look::start(world, &order.source);
    let target = look::start(world, &order.target);
    let state = start(world, order, flow::read);
    let groups = start(world, order, compare::on_target);
    let (source, target) = (source.ended(), target.ended());
    let state = heard(state.wait(TARGET_WAIT), "the flow's state", &mut reasons).map(Arc::new);
    let groups = heard(
        groups.wait(TARGET_WAIT),
        "groups on the target",
        &mut reasons,
    )
    .map(Arc::new);

    let mut ends = None;
    let mut places = None;
    if source.saw == Saw::Serves {
        let ask = state.clone().map(|state| {
            start(world, order, move |world, order| {
                flow::ends(world, order, &state)
            })
        });
        let ask_places = state.clone().zip(groups.clone()).map(|(state, groups)| {
            start(world, order, move |world, order| {
                compare::with_source(world, order, &state, &groups)
            })
        });
        ends = ask.and_then(|it| heard(it.wait(WAIT), "the source's ends", &mut reasons));
        places = ask_places
            .and_then(|it| heard(it.wait(WAIT), "groups' places on the source", &mut reasons));
    } else {
        reasons.push(format!(
            "{} does not serve: what it holds beyond the copies, and where its groups stand, is known from its last look \
             only",
            order.source
        ));
    }

    let now = world.clock.now_ms();
    let flow = state
        .as_ref()
        .map(|state| flow::seen(world, order, state, ends.as_ref(), now, &mut reasons));
    let live_groups = groups.as_ref().map(|it| it.live()).unwrap_or_default();
    let places = places.or_else(|| {
        let (groups, state) = groups.as_ref().zip(state.as_ref())?;
        Some(compare::alone(groups, state))
    });
    let source_answers = source.answers();
    let target_answers = target.answers();
    Assessment {
        at_ms: now,
        source: seen(world, &order.source, source, target_answers, &mut reasons),
        target: seen(world, &order.target, target, source_answers, &mut reasons),
        flow,
        places: places.unwrap_or_default().summary(),
        live_groups,
        reasons,
    }
}

/// Begins a question, in a thread of its own.
fn start<T: Send + 'static>(
    world: &World,
    order: &Order,
    ask: impl FnOnce(&World, &Order) -> T + Send + 'static,
) -> bounded::Pending<T> {
    let (world, order) = (world.clone(), order.clone());
    bounded::start(move || ask(&world, &order))
}

/// An answer, or why there is none among the reasons.
fn heard<T, E: Display>(
    answer: Option<Result<T, E>>,
    what: &str,
    reasons: &mut Vec<String>,
) -> Option<T> {
    match answer {
        Some(Ok(answer)) => Some(answer),
        Some(Err(error)) => {
            reasons.push(format!("{what} could not be read: {error}"));
            None
        }
        None => {
            reasons.push(format!("{what} did not come in time"));
            None
        }
    }
}

fn seen(
    world: &World,
    alias: &Alias,
    look: look::Look,
    path_proven: bool,
    reasons: &mut Vec<String>,
) -> ClusterSeen {
    let cluster_id = look.cluster_id.clone();
    let brokers = look.brokers;
    let verdict = look.verdict(world, alias, path_proven, reasons);
    ClusterSeen {
        alias: alias.clone(),
        verdict,
        cluster_id,
        brokers,
    }
}

fn words(assessment: &Assessment) -> Vec<String> {
    let cluster = |role: &str, seen: &ClusterSeen| {
        let health = match seen.verdict.health {
            Health::Healthy => "healthy",
            Health::Unknown => "not known to be healthy or unhealthy",
            Health::Unhealthy => "unhealthy",
        };
        format!("{role} {} is {health}", seen.alias)
    };
    let flow = assessment.flow.as_ref().map_or_else(
        || "the flow's state is not known".to_owned(),
        |flow| {
            format!(
                "flow {} is {} with {} partitions",
                flow.flow, flow.state, flow.partitions
            )
        },
    );
    vec![
        cluster("source", &assessment.source),
        cluster("target", &assessment.target),
        flow,
    ]
}
