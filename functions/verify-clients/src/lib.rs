//! Whether a wave of applications is at work on the target, by what Kafka shows. Only looks; asked again until everybody
//! is back, or for long enough.
//!
//! A consumer is back when each of its groups is live there and has moved, or has nothing to read. A producer is back when
//! one of its topics has grown since the first look: marks of transactions alone cannot do that after the seal.

mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_recovery::client::Application;
use understudy_recovery::contract::{ClientTrouble, ClientsSeen, Order, WaveRequest};
use understudy_recovery::cut::Cut;
use understudy_recovery::plan::Plan;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::step::{Part, at_target, carry_out, folder, load, must_load, save};
use understudy_shell::{Done, World, keys, reach};

use crate::look::{Look, names_on_target};

/// How long the target has for one answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Looks.
///
/// # Errors
/// The order is stale, there is no such plan or wave, or the target or the store does not answer.
pub fn handle(world: &World, request: WaveRequest) -> Result<ClientsSeen, StepError> {
    let order = &request.order;
    carry_out(
        world,
        Step::VerifyClients,
        Part::of_wave(request.wave),
        order,
        || {
            let names = wave(world, &request)?;
            verify(world, order, request.wave, &names)
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

fn verify(
    world: &World,
    order: &Order,
    wave: Option<u32>,
    names: &[String],
) -> Result<Done<ClientsSeen>, StepError> {
    let applications: Vec<&Application> = world
        .pair
        .applications
        .iter()
        .filter(|it| names.contains(&it.name))
        .collect();
    let execution = order.execution.to_string();
    let cut: Option<Cut> = load(world, &keys::cut(&execution))?;
    let now = look(world, order, &applications, cut.as_ref())?;
    let part = wave.map_or_else(|| "all".to_owned(), |wave| wave.to_string());
    let key = format!("{}/clients/first-look.{part}.json", folder(order));
    let first = match load::<Look>(world, &key)? {
        Some(first) => first,
        None => {
            save(world, &key, &now)?;
            now.clone()
        }
    };
    let (mut back, mut waiting) = (Vec::new(), Vec::new());
    for name in names {
        let application = applications.iter().find(|it| &it.name == name);
        let missing = match application {
            Some(application) => now.missing(application, &first, cut.as_ref()),
            None => Some("the pair has no such application any more".to_owned()),
        };
        match missing {
            None => back.push(name.clone()),
            Some(reason) => waiting.push(ClientTrouble {
                application: name.clone(),
                reason,
            }),
        }
    }
    let seen = ClientsSeen {
        all_back: waiting.is_empty(),
        back,
        waiting,
    };
    if let Some(wave) = wave {
        save(world, &keys::clients_seen(&execution, wave), &seen)?;
    }
    let mut did = vec![format!(
        "{} of {} are at work",
        seen.back.len(),
        names.len()
    )];
    let waiting = seen.waiting.iter();
    did.extend(waiting.map(|it| format!("{}: {}", it.application, it.reason)));
    Ok(Done::new(seen, did))
}

/// What the target shows of these applications.
fn look(
    world: &World,
    order: &Order,
    applications: &[&Application],
    cut: Option<&Cut>,
) -> Result<Look, StepError> {
    let target = reach::target(world, order)?;
    let groups: BTreeSet<String> = applications
        .iter()
        .flat_map(|it| it.groups.iter().cloned())
        .collect();
    let (mut live, mut stands) = (BTreeSet::new(), BTreeMap::new());
    if !groups.is_empty() {
        let presence = target.groups(WITHIN).map_err(|error| at_target(&error))?;
        live = look::live(&groups, &presence);
        stands = target
            .places(&groups, WITHIN)
            .map_err(|error| at_target(&error))?;
    }
    let mut partitions: BTreeSet<TopicPartition> =
        stands.keys().map(|(_, it)| it.clone()).collect();
    for application in applications {
        for topic in &application.topics {
            partitions.extend(names_on_target(topic, cut));
        }
    }
    let ends = if partitions.is_empty() {
        BTreeMap::new()
    } else {
        let ends = target.ends(&partitions, WITHIN);
        ends.map_err(|error| at_target(&error))?
    };
    Ok(Look::new(live, &stands, &ends))
}

#[cfg(test)]
mod tests;
