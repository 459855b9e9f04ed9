//! Moves a wave of applications. One that cannot be moved holds up no other: it is named, for a person.
//!
//! With the order turned round it brings them back to where they were.

use std::time::Duration;

use understudy_recovery::client::{Application, Pointer};
use understudy_recovery::contract::{ClientTrouble, Order, Reconfigured, WaveRequest};
use understudy_recovery::plan::Plan;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::step::{Part, carry_out, folder, load, must_load, save};
use understudy_shell::{Done, PortError, PortErrorKind, World, reach};

/// How long after the others one is tried again whose adapter was not answered.
const SECOND_TRY: Duration = Duration::from_secs(1);

/// Moves each application of the wave, or of all waves.
///
/// # Errors
/// The order is stale, there is no such plan or wave, nobody knows where clients bootstrap from, or the store does not
/// answer. An application that could not be moved is an answer.
pub fn handle(world: &World, request: WaveRequest) -> Result<Reconfigured, StepError> {
    let order = &request.order;
    carry_out(
        world,
        Step::ReconfigureClients,
        Part::of_wave(request.wave),
        order,
        || {
            let names = wave(world, &request)?;
            move_all(world, order, request.wave, names)
        },
    )
}

fn wave(world: &World, request: &WaveRequest) -> Result<Vec<String>, StepError> {
    let plan: Plan = must_load(world, &request.plan)?;
    let waves: Vec<_> = plan
        .waves
        .into_iter()
        .filter(|wave| request.wave.is_none_or(|number| wave.number == number))
        .collect();
    if let (true, Some(number)) = (waves.is_empty(), request.wave) {
        return Err(StepError::new(
            ErrorName::BadRequest,
            format!("plan {} has no wave {number}", request.plan),
        ));
    }
    Ok(waves.into_iter().flat_map(|it| it.applications).collect())
}

fn move_all(
    world: &World,
    order: &Order,
    wave: Option<u32>,
    names: Vec<String>,
) -> Result<Done<Reconfigured>, StepError> {
    let pointer = reach::pointer(world, order)?;
    let part = wave.map_or_else(|| "all".to_owned(), |wave| wave.to_string());
    // An application that was restarted is not restarted again because this step is.
    let key = format!(
        "{}/clients/moved-{}.{part}.json",
        folder(order),
        order.target
    );
    let mut moved: Vec<String> = load(world, &key)?.unwrap_or_default();
    let (mut failed, mut did) = (Vec::new(), Vec::new());
    let mut left = names;
    for is_last in [false, true] {
        if is_last && !left.is_empty() {
            world.clock.sleep(SECOND_TRY);
        }
        for name in std::mem::take(&mut left) {
            if moved.contains(&name) {
                did.push(format!("{name} was moved before"));
                continue;
            }
            let application = world.pair.applications.iter().find(|it| it.name == name);
            let Some(application) = application else {
                let reason = "the pair has no such application any more".to_owned();
                failed.push(ClientTrouble {
                    application: name,
                    reason,
                });
                continue;
            };
            if order.leash.is_leashed() {
                let plan = |adapter| world.clients.plan(adapter, &pointer);
                let adapters = application.adapters.iter();
                did.extend(adapters.map(|adapter| format!("would {}: {name}", plan(adapter))));
                moved.push(name);
                continue;
            }
            match move_one(world, application, &pointer, &mut did) {
                Ok(()) => {
                    moved.push(name);
                    save(world, &key, &moved)?;
                }
                Err(error) if !is_last && may_pass(&error) => {
                    did.push(format!(
                        "{name} could not be moved: {error}; it is tried once more"
                    ));
                    left.push(name);
                }
                Err(error) => {
                    did.push(format!("{name} could not be moved: {error}"));
                    failed.push(ClientTrouble {
                        application: name,
                        reason: error.to_string(),
                    });
                }
            }
        }
    }
    Ok(Done::new(Reconfigured { moved, failed }, did))
}

/// Whether the same call may be answered a moment later.
fn may_pass(error: &PortError) -> bool {
    match error.kind {
        PortErrorKind::Unreachable | PortErrorKind::TimedOut | PortErrorKind::Conflict => true,
        PortErrorKind::NotPermitted
        | PortErrorKind::Missing
        | PortErrorKind::Malformed
        | PortErrorKind::Refused => false,
    }
}

/// Its adapters, in order; what comes behind one that failed is left alone.
fn move_one(
    world: &World,
    application: &Application,
    pointer: &Pointer,
    did: &mut Vec<String>,
) -> Result<(), PortError> {
    for adapter in &application.adapters {
        let what = world.clients.apply(adapter, pointer)?;
        did.push(format!("{}: {what}", application.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
