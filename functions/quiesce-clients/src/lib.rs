//! Stops consumers on the cluster that is left, and says who still is in a group there. Asked again until nobody is.

use std::collections::BTreeSet;
use std::time::Duration;

use understudy_recovery::client::{Application, Role};
use understudy_recovery::contract::{Order, Quiesced, WaveRequest};
use understudy_recovery::plan::Plan;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::step::{Part, at_source, carry_out, folder, load, must_load, save};
use understudy_shell::world::Presence;
use understudy_shell::{Done, World, reach};

/// How long the source has to say who is in its groups.
const WITHIN: Duration = Duration::from_secs(5);

/// Tells each application once, and looks.
///
/// # Errors
/// The order is stale, there is no such plan or wave, the source does not answer, or an application could not be told
/// (`ClientFailed`; the others were).
pub fn handle(world: &World, request: WaveRequest) -> Result<Quiesced, StepError> {
    let order = &request.order;
    carry_out(
        world,
        Step::QuiesceClients,
        Part::of_wave(request.wave),
        order,
        || {
            let applications = asked(world, &request)?;
            quiesce(world, order, &applications)
        },
    )
}

/// The applications of a wave, or all that only read.
fn asked<'a>(world: &'a World, request: &WaveRequest) -> Result<Vec<&'a Application>, StepError> {
    let plan: Plan = must_load(world, &request.plan)?;
    let names: BTreeSet<&String> = match request.wave {
        None => {
            let readers = plan.waves.iter().filter(|wave| wave.role == Role::Consumer);
            readers.flat_map(|wave| &wave.applications).collect()
        }
        Some(number) => {
            let wave = plan.waves.iter().find(|wave| wave.number == number);
            let wave = wave.ok_or_else(|| {
                let text = format!("plan {} has no wave {number}", request.plan);
                StepError::new(ErrorName::BadRequest, text)
            })?;
            wave.applications.iter().collect()
        }
    };
    let all = world.pair.applications.iter();
    Ok(all.filter(|it| names.contains(&it.name)).collect())
}

fn quiesce(
    world: &World,
    order: &Order,
    applications: &[&Application],
) -> Result<Done<Quiesced>, StepError> {
    let leashed = order.leash.is_leashed();
    let mut did = Vec::new();
    let failed = if leashed {
        let names = applications.iter().map(|it| it.name.as_str());
        did.extend(names.map(|name| format!("would stop {name}")));
        Vec::new()
    } else {
        tell(world, order, applications, &mut did)?
    };
    if !failed.is_empty() {
        return Err(StepError::new(
            ErrorName::ClientFailed,
            format!("could not be stopped: {}", failed.join("; ")),
        ));
    }
    let source = reach::source(world, order)?;
    let groups = source.groups(WITHIN).map_err(|error| at_source(&error))?;
    let ours: BTreeSet<&String> = applications.iter().flat_map(|it| &it.groups).collect();
    let live = |group: &&String| groups.get(*group) == Some(&Presence::Live);
    let live_groups: Vec<String> = ours.into_iter().filter(live).cloned().collect();
    if leashed {
        did.push(format!(
            "{} of their groups are live now",
            live_groups.len()
        ));
        let would = Quiesced {
            quiesced: true,
            live_groups: Vec::new(),
        };
        return Ok(Done::new(would, did));
    }
    did.push(if live_groups.is_empty() {
        "nobody is in their groups".to_owned()
    } else {
        format!("somebody still is in {}", live_groups.join(", "))
    });
    let quiesced = live_groups.is_empty();
    Ok(Done::new(
        Quiesced {
            quiesced,
            live_groups,
        },
        did,
    ))
}

/// Tells those that were not told yet; who could not be told.
fn tell(
    world: &World,
    order: &Order,
    applications: &[&Application],
    did: &mut Vec<String>,
) -> Result<Vec<String>, StepError> {
    let key = format!("{}/clients/quiesced.json", folder(order));
    let mut told: BTreeSet<String> = load(world, &key)?.unwrap_or_default();
    let pointer = reach::pointer(world, order)?;
    let mut failed = Vec::new();
    for application in applications {
        if told.contains(&application.name) {
            did.push(format!("{} was told before", application.name));
            continue;
        }
        let mut well = true;
        for adapter in &application.adapters {
            match world.clients.quiesce(adapter, &pointer, &order.source) {
                Ok(what) => did.push(format!("{}: {what}", application.name)),
                Err(error) => {
                    failed.push(format!("{} ({error})", application.name));
                    well = false;
                    break;
                }
            }
        }
        if well {
            told.insert(application.name.clone());
            save(world, &key, &told)?;
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests;
