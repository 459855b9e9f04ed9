//! Reads every group's place back from the target, and compares it with where it was to be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_recovery::contract::{Order, Placed, PlacesRequest};
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::step::{Part, at_target, carry_out, must_load, save};
use understudy_shell::world::Presence;
use understudy_shell::{Done, World, keys, reach};

/// How long the target has for one answer.
const WITHIN: Duration = Duration::from_secs(10);
/// How many wrong places an error names; the others are counted.
const NAMED: usize = 5;

/// Compares, and keeps what was seen.
///
/// # Errors
/// The order is stale, there are no such places, the target does not answer, or a group would skip records or has no
/// place where one was committed (`PlacesUnverified`).
pub fn handle(world: &World, request: PlacesRequest) -> Result<Placed, StepError> {
    let order = &request.order;
    carry_out(world, Step::VerifyOffsets, Part::Whole, order, || {
        verify(world, order, request.places.as_deref())
    })
}

fn verify(world: &World, order: &Order, key: Option<&str>) -> Result<Done<Placed>, StepError> {
    let execution = order.execution.to_string();
    let committed = keys::places(&execution);
    let mut places: Places = must_load(world, key.unwrap_or(&committed))?;
    let target = reach::target(world, order)?;
    let groups: BTreeSet<String> = places.places.iter().map(|it| it.group.clone()).collect();
    let presence = target.groups(WITHIN).map_err(|error| at_target(&error))?;
    let stands = target.places(&groups, WITHIN);
    let stands = stands.map_err(|error| at_target(&error))?;
    let mut wrong = Vec::new();
    for place in &mut places.places {
        // In a drill nothing was committed: what stands there is none of its places.
        if !order.leash.is_leashed() {
            compare(place, &presence, &stands);
        }
        if place.state == PlaceIs::Beyond {
            wrong.push(named(place));
        }
    }
    let verified = keys::places_verified(&execution);
    save(world, &verified, &places)?;
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(NAMED);
        wrong.truncate(NAMED);
        let more = if more > 0 {
            format!(", and {more} more")
        } else {
            String::new()
        };
        return Err(StepError::new(
            ErrorName::PlacesUnverified,
            format!(
                "groups do not stand where they must on {}: {}{more}; look who moved them, set them right with \
                 kafka-consumer-groups --reset-offsets, and start the recovery again",
                order.target,
                wrong.join(", ")
            ),
        ));
    }
    let summary = places.summary();
    let did = format!(
        "{} places of {} groups {} back from {}: {} exact, {} as last known, {} before theirs, {} of live groups, {} not known",
        places.places.len(),
        summary.groups,
        if order.leash.is_leashed() {
            "would be read"
        } else {
            "were read"
        },
        order.target,
        summary.exact,
        summary.last_known,
        summary.at_least,
        summary.live,
        summary.unknown
    );
    Ok(Done::new(
        Placed {
            places: verified,
            summary,
        },
        [did],
    ))
}

fn compare(
    place: &mut GroupPlace,
    presence: &BTreeMap<String, Presence>,
    stands: &BTreeMap<(String, TopicPartition), i64>,
) {
    let partition = TopicPartition::new(place.topic.as_str(), place.partition);
    let now = stands.get(&(place.group.clone(), partition)).copied();
    if presence.get(&place.group) == Some(&Presence::Live) {
        place.state = PlaceIs::Live;
        place.target_offset = now;
        return;
    }
    let Some(wanted) = place.target_offset else {
        return;
    };
    match place.state {
        PlaceIs::Unknown => {}
        PlaceIs::Exact
        | PlaceIs::AtCut
        | PlaceIs::LastKnown
        | PlaceIs::AtLeast
        | PlaceIs::Live
        | PlaceIs::Beyond => match now {
            Some(now) if now == wanted => {}
            Some(now) if now < wanted => {
                place.state = PlaceIs::AtLeast;
                place.reason = Some(format!("it stands at {now}, before {wanted}"));
                place.target_offset = Some(now);
            }
            Some(now) => {
                place.state = PlaceIs::Beyond;
                place.reason = Some(format!("it stands at {now}, beyond {wanted}"));
                place.target_offset = Some(now);
            }
            None => {
                place.state = PlaceIs::Beyond;
                place.reason = Some(format!("it has no place, where {wanted} was to be"));
                place.target_offset = None;
            }
        },
    }
}

fn named(place: &GroupPlace) -> String {
    format!(
        "{} in {}-{} ({})",
        place.group,
        place.topic,
        place.partition,
        place.reason.as_deref().unwrap_or("beyond the last copy")
    )
}

#[cfg(test)]
mod tests;
