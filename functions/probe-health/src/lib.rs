//! Looks at a cluster and publishes what it saw, for alarms and recoveries. A schedule asks for it, in both Regions.
//!
//! It proves its own path: beside the cluster it asks the other one, and if that is silent too, the ledger. Where nothing
//! answers, what it saw says something of the looker and nothing of the cluster.
//!
//! The one in the Region that stands by also measures what nobody else is there to measure: how long certificates last, and
//! whether a recovery is overdue. Only alarms hang on that.

use std::time::Duration;

use understudy_recovery::contract::{ProbeRequest, Probed};
use understudy_recovery::health::{Layer, Saw, Signal, Vantage};
use understudy_recovery::{Alias, ErrorName, StepError};
use understudy_shell::world::{Measured, Probe};
use understudy_shell::{PortErrorKind, World, bounded, rate};

/// How long one look may take.
const BOUND: Duration = Duration::from_secs(5);
/// How long it is waited for.
const WAIT: Duration = Duration::from_millis(5_200);
/// How long certificates are waited for, beside the look.
const CERTIFICATES: Duration = Duration::from_secs(3);
const DAY_SECONDS: i64 = 86_400;

/// Looks and publishes.
///
/// # Errors
/// The pair has no such cluster, or the signal could not be published: then whoever waits for it hears silence.
pub fn handle(world: &World, request: ProbeRequest) -> Result<Probed, StepError> {
    let about = &request.about;
    let other = match world.pair.other(about) {
        Some(other) if world.pair.clusters.contains_key(about) => other.clone(),
        Some(_) | None => {
            return Err(StepError::new(
                ErrorName::BadRequest,
                format!(
                    "pair {} has no cluster {about}; the schedule names one of its two",
                    world.pair.name
                ),
            ));
        }
    };
    let looking = look(world, about);
    let beside = look(world, &other);
    let certificates = (request.vantage == Vantage::Standby).then(|| certificates(world, about));
    let saw = saw(looking.wait(WAIT));
    let path_proven = answers(beside.wait(WAIT)) || world.ledger.read(&world.pair.name).is_ok();
    let signal = Signal {
        vantage: request.vantage,
        saw: saw.clone(),
        at_ms: world.clock.now_ms(),
        path_proven,
    };
    world.signals.publish(about, &signal).map_err(|error| {
        let name = match error.kind {
            PortErrorKind::NotPermitted => ErrorName::NotPermitted,
            PortErrorKind::Unreachable
            | PortErrorKind::TimedOut
            | PortErrorKind::Conflict
            | PortErrorKind::Missing
            | PortErrorKind::Malformed
            | PortErrorKind::Refused => ErrorName::StoreUnreachable,
        };
        StepError::new(
            name,
            format!("what was seen of {about} could not be published: {error}"),
        )
    })?;
    if request.vantage == Vantage::Standby {
        // Only a bound of a later loss hangs on this; it says itself when it has none.
        let _noted = note_rate(world, about);
    }
    if let Some(certificates) = certificates {
        measure(world, about, certificates);
    }
    Ok(Probed {
        about: request.about,
        saw,
        path_proven,
    })
}

fn look(world: &World, alias: &Alias) -> bounded::Pending<Result<Probe, String>> {
    let (clusters, alias) = (world.clusters.clone(), alias.clone());
    bounded::start(move || {
        let cluster = clusters.get(&alias).map_err(|error| error.text)?;
        Ok(cluster.probe(BOUND))
    })
}

fn certificates(world: &World, alias: &Alias) -> bounded::Pending<Option<i64>> {
    let (clusters, alias) = (world.clusters.clone(), alias.clone());
    bounded::start(move || clusters.get(&alias).ok()?.certificate_ends(CERTIFICATES))
}

/// Publishes what else was found out. What is missing here is missed by an alarm, or was told by the look.
fn measure(world: &World, about: &Alias, certificates: bounded::Pending<Option<i64>>) {
    let now_ms = world.clock.now_ms();
    let ends = certificates.wait(CERTIFICATES).flatten();
    let ledger = world.ledger.read(&world.pair.name).ok();
    let overdue = ledger.map(|ledger| {
        // None before the first recovery.
        ledger.map_or(0, |it| it.overdue_seconds(&world.pair.approval, now_ms))
    });
    let measured = Measured {
        certificate_days: ends.map(|ends| (ends - now_ms / 1_000).div_euclid(DAY_SECONDS)),
        recovery_overdue_seconds: overdue,
    };
    if let Err(error) = world.signals.measure(about, &measured) {
        tracing::warn!(reason = %error, "certificates and recovery not measured");
    }
}

fn saw(probe: Option<Result<Probe, String>>) -> Saw {
    let failed = match probe {
        Some(Ok(Probe { failed, .. })) => failed,
        // A configuration that cannot be used is our fault, as a login that is refused.
        Some(Err(text)) => Some((Layer::Authenticate, text)),
        None => Some((
            Layer::Connect,
            format!("no answer within {:.1} s", WAIT.as_secs_f64()),
        )),
    };
    match failed {
        None => Saw::Serves,
        Some((layer, reason)) => Saw::Fails { layer, reason },
    }
}

/// Whether a cluster answered at all, however ill it is.
fn answers(probe: Option<Result<Probe, String>>) -> bool {
    match probe {
        Some(Ok(probe)) => probe.failed.is_none() || probe.cluster_id.is_some(),
        Some(Err(_)) | None => false,
    }
}

/// How fast the cluster is written to, from what the flow out of it has seen.
fn note_rate(world: &World, about: &Alias) -> Result<(), StepError> {
    let at_flow = |error| understudy_shell::step::at_target(&error);
    let Some(flow) = world.pair.flow_from(about) else {
        return Ok(());
    };
    let name = world.flows.name(flow).map_err(at_flow)?;
    let Some(record) = world.flows.record(flow).map_err(at_flow)? else {
        return Ok(());
    };
    let mirrored = world.flows.positions(flow, &record).map_err(at_flow)?;
    rate::note(world, &name, &mirrored)
}
