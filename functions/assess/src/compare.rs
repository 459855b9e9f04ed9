//! Where groups stand on the target, beside where they stand on the source if it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::{SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::StepError;
use understudy_recovery::contract::Order;
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_shell::reach;
use understudy_shell::step::{at_source, at_target};
use understudy_shell::world::{Presence, World};

use crate::flow::State;

/// How long each of two questions in a row may take on the source.
const EACH: Duration = Duration::from_millis(1_500);
/// And on the target.
const EACH_ON_TARGET: Duration = Duration::from_secs(3);

type At = BTreeMap<(String, TopicPartition), i64>;

/// Groups that the flow mirrors, on the target.
pub struct OnTarget {
    presence: BTreeMap<String, Presence>,
    places: At,
}

impl OnTarget {
    /// Groups that somebody is in.
    pub fn live(&self) -> Vec<String> {
        let live = self.presence.iter();
        live.filter(|(_, presence)| **presence == Presence::Live)
            .map(|(group, _)| group.clone())
            .collect()
    }

    fn is_live(&self, group: &str) -> bool {
        self.presence.get(group) == Some(&Presence::Live)
    }
}

/// Reads the target's groups.
pub fn on_target(world: &World, order: &Order) -> Result<OnTarget, StepError> {
    let cluster = reach::target(world, order)?;
    let groups = cluster
        .groups(EACH_ON_TARGET)
        .map_err(|error| at_target(&error))?;
    let presence = selected(world, order, groups)?;
    let names = presence.keys().cloned().collect();
    let places = cluster
        .places(&names, EACH_ON_TARGET)
        .map_err(|error| at_target(&error))?;
    Ok(OnTarget { presence, places })
}

fn selected(
    world: &World,
    order: &Order,
    groups: BTreeMap<String, Presence>,
) -> Result<BTreeMap<String, Presence>, StepError> {
    let flow = reach::forward(world, order)?;
    let mut selected = BTreeMap::new();
    for (group, presence) in groups {
        let selects = world.flows.selects_group(flow, &group);
        if selects.map_err(|error| at_target(&error))? {
            selected.insert(group, presence);
        }
    }
    Ok(selected)
}

/// Holds both sides against each other.
pub fn with_source(
    world: &World,
    order: &Order,
    state: &State,
    on_target: &OnTarget,
) -> Result<Places, StepError> {
    let cluster = reach::source(world, order)?;
    let groups = cluster.groups(EACH).map_err(|error| at_source(&error))?;
    let names: BTreeSet<String> = selected(world, order, groups)?.into_keys().collect();
    let stands = cluster
        .places(&names, EACH)
        .map_err(|error| at_source(&error))?;
    let copies: BTreeMap<&TopicPartition, &TopicPartition> = state
        .mirrored
        .iter()
        .map(|mirrored| (&mirrored.source, &mirrored.target))
        .collect();
    let wanted: BTreeSet<(TopicPartition, SourceOffset)> = stands
        .iter()
        .filter(|((_, partition), _)| copies.contains_key(partition))
        .map(|((_, partition), offset)| (partition.clone(), SourceOffset::new(*offset)))
        .collect();
    let lies = world
        .flows
        .translate(&state.flow, &state.record, &wanted, order.mode.is_planned())
        .map_err(|error| at_target(&error))?;
    let mut places = Vec::new();
    for ((group, partition), offset) in &stands {
        let Some(copy) = copies.get(partition) else {
            continue;
        };
        let lies = lies.get(&(partition.clone(), SourceOffset::new(*offset)));
        let stands = on_target.places.get(&(group.clone(), (*copy).clone()));
        let stands = stands.copied();
        let (is, reread_records) = if on_target.is_live(group) {
            (PlaceIs::Live, None)
        } else {
            how(lies, stands)
        };
        places.push(place(
            group,
            copy,
            Some(*offset),
            stands,
            is,
            reread_records,
        ));
    }
    Ok(Places { places })
}

/// How a group that stands at `stands` does, if it belongs where `lies` says.
fn how(lies: Option<&Translation<TargetOffset>>, stands: Option<i64>) -> (PlaceIs, Option<u64>) {
    let Some(stands) = stands else {
        return (PlaceIs::Unknown, None);
    };
    let behind = |place: &TargetOffset| {
        let behind = place.get().saturating_sub(stands);
        u64::try_from(behind).ok().filter(|behind| *behind > 0)
    };
    match lies {
        Some(Translation::Exact(place)) if stands == place.get() => (PlaceIs::Exact, None),
        Some(Translation::Exact(place) | Translation::AtLeast(place)) => {
            if stands > place.get() {
                (PlaceIs::Beyond, None)
            } else {
                (PlaceIs::AtLeast, behind(place))
            }
        }
        // The group has read what is not copied yet: nothing that is here is read again.
        Some(Translation::Ahead) => (PlaceIs::AtCut, None),
        Some(Translation::BeforeHistory | Translation::NoSync | Translation::NotReady) | None => {
            (PlaceIs::Unknown, None)
        }
    }
}

/// What the target alone tells: places are where mirroring last brought them.
pub fn alone(on_target: &OnTarget, state: &State) -> Places {
    let copies: BTreeSet<&TopicPartition> = state
        .mirrored
        .iter()
        .map(|mirrored| &mirrored.target)
        .collect();
    let here = on_target.places.iter();
    let places = here
        .filter(|((_, partition), _)| copies.contains(partition))
        .map(|((group, partition), offset)| {
            let is = if on_target.is_live(group) {
                PlaceIs::Live
            } else {
                PlaceIs::LastKnown
            };
            place(group, partition, None, Some(*offset), is, None)
        });
    Places {
        places: places.collect(),
    }
}

fn place(
    group: &str,
    copy: &TopicPartition,
    source_offset: Option<i64>,
    target_offset: Option<i64>,
    state: PlaceIs,
    reread_records: Option<u64>,
) -> GroupPlace {
    GroupPlace {
        group: group.to_owned(),
        topic: copy.topic.to_string(),
        partition: copy.partition,
        source_offset,
        target_offset,
        state,
        reread_records,
        reason: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_against_where_it_belongs() {
        let exact = Translation::Exact(TargetOffset::new(10));
        assert_eq!(how(Some(&exact), Some(10)), (PlaceIs::Exact, None));
        assert_eq!(how(Some(&exact), Some(7)), (PlaceIs::AtLeast, Some(3)));
        assert_eq!(how(Some(&exact), Some(11)), (PlaceIs::Beyond, None));
        assert_eq!(how(Some(&exact), None), (PlaceIs::Unknown, None));
        assert_eq!(
            how(Some(&Translation::Ahead), Some(10)),
            (PlaceIs::AtCut, None)
        );
        assert_eq!(
            how(Some(&Translation::NotReady), Some(10)),
            (PlaceIs::Unknown, None)
        );
    }
}
