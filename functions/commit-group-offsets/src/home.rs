//! Groups that go home from copies which have topics of their own: in an active-active pair `use1.orders` on usw2 is
//! `orders` on use1, and no flow carries places from the one to the other. The flow that made the copies knows what each of
//! them is a copy of. Its state lies on the cluster that is left, so this is for planned moves.

use std::collections::{BTreeMap, BTreeSet};

use understudy_domain::{SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::StepError;
use understudy_recovery::contract::Order;
use understudy_recovery::places::PlaceIs;
use understudy_shell::step::at_source;
use understudy_shell::{World, reach};

use crate::Stands;
use crate::placing::Stood;

/// Where groups that stand in such copies are to stand at home, by group and partition there. Nothing where copies have
/// the names of their source: there the flow that is sealed knows.
///
/// # Errors
/// The cluster that is left does not answer, or holds state that cannot be read.
pub fn places(
    world: &World,
    order: &Order,
    stands: &Stands,
) -> Result<BTreeMap<(String, TopicPartition), Stood>, StepError> {
    let flow = reach::reverse(world, order)?;
    let flows = &world.flows;
    let Some(record) = flows.record(flow).map_err(|error| at_source(&error))? else {
        return Ok(BTreeMap::new());
    };
    let positions = flows.positions(flow, &record);
    let positions = positions.map_err(|error| at_source(&error))?;
    let homes: BTreeMap<TopicPartition, TopicPartition> = positions
        .into_iter()
        .filter(|it| it.source.topic != it.target.topic)
        .map(|it| (it.target, it.source))
        .collect();
    let stand = |((group, copy), offset): (&(String, TopicPartition), &i64)| {
        let home = homes.get(copy)?.clone();
        Some((group.clone(), home, TargetOffset::new(*offset)))
    };
    let stand: Vec<_> = stands.iter().filter_map(stand).collect();
    let questions: BTreeSet<_> = stand
        .iter()
        .map(|(_, home, offset)| (home.clone(), *offset))
        .collect();
    if questions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answers = flows.translate_back(flow, &record, &questions);
    let answers = answers.map_err(|error| at_source(&error))?;
    let stood = |(group, home, offset): (String, TopicPartition, TargetOffset)| {
        let answer = answers.get(&(home.clone(), offset)).copied();
        ((group, home), at_home(offset, answer))
    };
    Ok(stand.into_iter().map(stood).collect())
}

fn at_home(stands: TargetOffset, answer: Option<Translation<SourceOffset>>) -> Stood {
    let (target_offset, state, reason) = match answer {
        Some(Translation::Exact(offset)) => (Some(offset), PlaceIs::Exact, None),
        Some(Translation::AtLeast(offset)) => (
            Some(offset),
            PlaceIs::AtLeast,
            Some("part of the offset map is lost; what lies between is read again"),
        ),
        Some(
            Translation::BeforeHistory
            | Translation::Ahead
            | Translation::NoSync
            | Translation::NotReady,
        )
        | None => (
            None,
            PlaceIs::Unknown,
            Some(
                "what it stands at in the copies is not told by the map; it stays where it stood at home",
            ),
        ),
    };
    Stood {
        source_offset: stands.get(),
        target_offset: target_offset.map(SourceOffset::get),
        state,
        reason: reason.map(str::to_owned),
    }
}
