//! Groups that have read in the tail: they have seen records that the active cluster does not hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use understudy_domain::TopicPartition;
use understudy_domain::tail::Tail;
use understudy_kafka::Fault;
use understudy_kafka::ffi::groups::Told;

use crate::ground::{Ground, WITHIN};
use understudy_flow::explain::explain;

/// A group's place on the source that lies beyond the cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlaceBeyond {
    /// The group.
    pub group: String,
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next record that it would read there.
    pub source_offset: i64,
    /// Where the tail begins.
    pub tail_begins: i64,
    /// Whether it has read all of it that is committed.
    pub read_all: bool,
}

/// What groups were found to have read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Groups {
    /// Places beyond the cut.
    pub beyond: Vec<PlaceBeyond>,
    /// Groups that the source does not tell of, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Why groups are not known at all, if they are not.
    pub unknown: Option<String>,
}

/// Looks for places of groups in these tails.
pub fn groups(ground: &Ground<'_>, tails: &BTreeMap<&TopicPartition, &Tail>) -> Groups {
    let mut found = Groups::default();
    if tails.is_empty() || ground.flow.groups.include().is_empty() {
        return found;
    }
    if let Err(fault) = read(ground, tails, &mut found) {
        found.unknown = Some(explain(&ground.flow.source, &fault));
    }
    (found.beyond)
        .sort_by(|a, b| (&a.group, &a.topic, a.partition).cmp(&(&b.group, &b.topic, b.partition)));
    found
}

fn read(
    ground: &Ground<'_>,
    tails: &BTreeMap<&TopicPartition, &Tail>,
    found: &mut Groups,
) -> Result<(), Fault> {
    let listed = ground.source.group_states(WITHIN)?;
    let is_known = |group: &str| listed.contains_key(group) || !ground.flow.groups.selects(group);
    // Those of newer protocols have places of the same kind, or none.
    let others = ground.source.other_groups(&is_known, WITHIN)?;
    let names: BTreeSet<&String> = (listed.keys())
        .filter(|group| ground.flow.groups.selects(group))
        .chain(others.keys())
        .collect();
    let names: Vec<&String> = names.into_iter().collect();
    let mut silent: BTreeSet<usize> = (0..names.len()).collect();
    ground
        .source
        .tell_group_places(&names, WITHIN, &mut |number, told| {
            let Some(group) = names.get(number) else {
                return;
            };
            match told {
                Told::Place(topic, partition, Ok(offset), _) => {
                    let name = TopicPartition::new(topic, partition);
                    found.beyond.extend(beyond(group, &name, offset, tails));
                }
                Told::Place(topic, partition, Err(code), _) => {
                    let reason = format!("its place on {topic}-{partition} is not told: {code}");
                    found.unreadable.insert((*group).clone(), reason);
                }
                Told::End(answer) => {
                    silent.remove(&number);
                    if let Err(fault) = answer
                        && listed.contains_key(*group)
                    {
                        let reason = explain(&ground.flow.source, &fault);
                        found.unreadable.insert((*group).clone(), reason);
                    }
                }
            }
        })?;
    for group in silent.iter().filter_map(|number| names.get(*number)) {
        let reason = "the source did not tell its places in time".to_owned();
        found.unreadable.insert((*group).clone(), reason);
    }
    Ok(())
}

fn beyond(
    group: &str,
    name: &TopicPartition,
    offset: i64,
    tails: &BTreeMap<&TopicPartition, &Tail>,
) -> Option<PlaceBeyond> {
    let tail = tails.get(name)?;
    (offset > tail.begins.get()).then(|| PlaceBeyond {
        group: group.to_owned(),
        topic: name.topic.to_string(),
        partition: name.partition,
        source_offset: offset,
        tail_begins: tail.begins.get(),
        read_all: offset >= tail.end.get(),
    })
}

#[cfg(test)]
mod tests {
    use understudy_domain::SourceOffset;

    use super::*;

    #[test]
    fn a_group_at_the_cut_has_read_nothing_of_the_tail() {
        let at = SourceOffset::new;
        let tail = Tail {
            begins: at(100),
            first: at(100),
            end: at(130),
            held_back: 0,
            loss: None,
        };
        let name = TopicPartition::new("orders", 3);
        let tails = BTreeMap::from([(&name, &tail)]);
        let read = |offset| beyond("billing", &name, offset, &tails).map(|it| it.read_all);
        assert_eq!(
            [90, 100, 101, 129, 130].map(read),
            [None, None, Some(false), Some(false), Some(true)]
        );
        let other = TopicPartition::new("orders", 4);
        assert_eq!(beyond("billing", &other, 130, &tails), None);
    }
}
