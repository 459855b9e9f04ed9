//! Where each group is to stand, and how good that is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use understudy_domain::{SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::cut::{Cut, PartitionCut};
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_shell::world::{Ends, Presence};

/// A group and a partition on the target.
type Key = (String, TopicPartition);

/// Where a group stood on the source, and what that is on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stood {
    /// As committed on the source.
    pub source_offset: i64,
    /// Where it is to stand; nothing if that cannot be told.
    pub target_offset: Option<i64>,
    /// How good that is.
    pub state: PlaceIs,
    /// Why it is no better.
    pub reason: Option<String>,
}

/// Places, held against a cut.
pub struct Placing<'a> {
    by_source: BTreeMap<TopicPartition, &'a PartitionCut>,
    by_target: BTreeMap<TopicPartition, &'a PartitionCut>,
    /// The topics of the source that the flow mirrors.
    topics: BTreeSet<&'a str>,
    judged: BTreeMap<Key, Judged>,
}

struct Judged {
    place: GroupPlace,
    /// Where it stands now.
    now: Option<i64>,
    /// Whether the source said where it is to stand.
    told: bool,
}

impl<'a> Placing<'a> {
    /// Nothing judged yet.
    pub fn new(cut: &'a Cut) -> Self {
        let of = |topic: &str, it: &PartitionCut| TopicPartition::new(topic, it.partition);
        let all = || cut.partitions.iter();
        Self {
            by_source: all().map(|it| (of(&it.topic, it), it)).collect(),
            by_target: all().map(|it| (of(&it.target_topic, it), it)).collect(),
            topics: all().map(|it| it.topic.as_str()).collect(),
            judged: BTreeMap::new(),
        }
    }

    /// What has to be translated: every place on the source up to the cut.
    pub fn questions(
        &self,
        stands: &BTreeMap<Key, i64>,
    ) -> BTreeSet<(TopicPartition, SourceOffset)> {
        let asked = |((_, partition), offset): (&Key, &i64)| {
            let cut = self.by_source.get(partition)?;
            let question = (partition.clone(), SourceOffset::new(*offset));
            (*offset <= cut.source_offset).then_some(question)
        };
        stands.iter().filter_map(asked).collect()
    }

    /// What the source's places are on the target, by group and partition there. Topics that the flow does not mirror are
    /// none of its business.
    pub fn stood(
        &self,
        stands: &BTreeMap<Key, i64>,
        answers: &BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>,
    ) -> BTreeMap<Key, Stood> {
        let mut stood = BTreeMap::new();
        for ((group, partition), offset) in stands {
            let Some(cut) = self.by_source.get(partition) else {
                if self.topics.contains(&*partition.topic) {
                    let place = unknown(*offset, "no record of this partition was ever copied");
                    stood.insert((group.clone(), partition.clone()), place);
                }
                continue;
            };
            let place = if *offset > cut.source_offset {
                Stood {
                    source_offset: *offset,
                    target_offset: Some(cut.target_offset),
                    state: PlaceIs::AtCut,
                    reason: Some(format!(
                        "it had read to {offset}, beyond the cut at {}",
                        cut.source_offset
                    )),
                }
            } else {
                let asked = (partition.clone(), SourceOffset::new(*offset));
                translated(*offset, answers.get(&asked).copied())
            };
            let target = TopicPartition::new(cut.target_topic.as_str(), partition.partition);
            stood.insert((group.clone(), target), place);
        }
        stood
    }

    /// Judges every place. `stood` is the source's word, if it gave one.
    pub fn judge(
        &mut self,
        presence: &BTreeMap<String, Presence>,
        stands: &BTreeMap<Key, i64>,
        stood: Option<&BTreeMap<Key, Stood>>,
    ) {
        self.judged.clear();
        let mut keys: BTreeSet<&Key> = stands
            .keys()
            .filter(|(_, partition)| self.by_target.contains_key(partition))
            .collect();
        keys.extend(stood.into_iter().flatten().map(|(key, _)| key));
        for key in keys {
            let (group, partition) = key;
            let now = stands.get(key).copied();
            let told = stood.and_then(|stood| stood.get(key));
            let mut place = GroupPlace {
                group: group.clone(),
                topic: partition.topic.to_string(),
                partition: partition.partition,
                source_offset: told.map(|told| told.source_offset),
                target_offset: now,
                state: PlaceIs::Unknown,
                reread_records: None,
                reason: None,
            };
            if presence.get(group) == Some(&Presence::Live) {
                place.state = PlaceIs::Live;
                place.reason = Some("somebody is in the group on the target".to_owned());
            } else if let Some(told) = told {
                place.state = told.state;
                place.reason.clone_from(&told.reason);
                // Without an answer it stays where a worker brought it.
                place.target_offset = told.target_offset.or(now);
                let cut = self.by_target.get(partition);
                let is_placed = now
                    .zip(cut)
                    .is_some_and(|(now, cut)| now <= cut.target_offset);
                if told.state == PlaceIs::Unknown && is_placed {
                    place.state = PlaceIs::LastKnown;
                }
            } else if let (Some(now), Some(cut)) = (now, self.by_target.get(partition)) {
                (place.state, place.reason) = as_last_known(now, cut, stood.is_some());
            }
            let judged = Judged {
                place,
                now,
                told: told.is_some_and(|told| told.target_offset.is_some()),
            };
            self.judged.insert(key.clone(), judged);
        }
    }

    /// Whether a place lies behind the last copy, so that the target's ends have to tell what is there.
    pub fn beyond_needs_ends(&self) -> bool {
        self.judged
            .values()
            .any(|it| it.place.state == PlaceIs::Beyond)
    }

    /// Every partition on the target.
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        self.by_target.keys().cloned().collect()
    }

    /// Behind the last copy lie marks of transactions, aborted copies, and what clients wrote that came early: a place
    /// among these skips nothing. A place outside of the log is beyond.
    pub fn look_at_ends(&mut self, ends: &BTreeMap<TopicPartition, Ends>) {
        for ((_, partition), judged) in &mut self.judged {
            let (Some(now), Some(ends)) = (judged.now, ends.get(partition)) else {
                continue;
            };
            if judged.place.state == PlaceIs::Beyond && now <= ends.high_watermark {
                judged.place.state = PlaceIs::AtCut;
                judged.place.reason = Some(
                    "it stands behind the last copy, where somebody who was in it early left it"
                        .to_owned(),
                );
            }
        }
    }

    /// What is to be committed: where the source's word leads elsewhere than the group stands.
    pub fn due(&self) -> BTreeMap<Key, i64> {
        let due = |(key, judged): (&Key, &Judged)| {
            let wanted = judged.place.target_offset?;
            let empty = judged.place.state != PlaceIs::Live;
            let other = judged.now != Some(wanted);
            (judged.told && empty && other).then(|| (key.clone(), wanted))
        };
        self.judged.iter().filter_map(due).collect()
    }

    /// What came of it.
    pub fn into_places(self) -> Places {
        Places {
            places: self.judged.into_values().map(|it| it.place).collect(),
        }
    }
}

fn unknown(source_offset: i64, reason: &str) -> Stood {
    Stood {
        source_offset,
        target_offset: None,
        state: PlaceIs::Unknown,
        reason: Some(reason.to_owned()),
    }
}

fn translated(source_offset: i64, answer: Option<Translation<TargetOffset>>) -> Stood {
    let at = |offset: TargetOffset, state, reason: Option<&str>| Stood {
        source_offset,
        target_offset: Some(offset.get()),
        state,
        reason: reason.map(ToOwned::to_owned),
    };
    match answer {
        Some(Translation::Exact(offset)) => at(offset, PlaceIs::Exact, None),
        Some(Translation::AtLeast(offset)) => at(
            offset,
            PlaceIs::AtLeast,
            Some("part of the offset map is lost; what lies between is read again"),
        ),
        Some(Translation::BeforeHistory) => unknown(
            source_offset,
            "it lies before what the offset map holds, and the flow the other way did not tell",
        ),
        Some(Translation::Ahead) => unknown(source_offset, "replication had not reached it"),
        Some(Translation::NoSync) => unknown(source_offset, "the partition was never mirrored"),
        Some(Translation::NotReady) | None => {
            unknown(source_offset, "the offset map could not be read")
        }
    }
}

/// A place that a worker committed. `source_told`: the source answered, and does not know the group there any more.
fn as_last_known(now: i64, cut: &PartitionCut, source_told: bool) -> (PlaceIs, Option<String>) {
    if now > cut.target_offset {
        let reason = format!(
            "it stands at {now}, and the last copy ends at {}",
            cut.target_offset
        );
        return (PlaceIs::Beyond, Some(reason));
    }
    let (state, reason) = match source_told {
        true => (
            PlaceIs::Exact,
            "the source has no place of it any more; it stays where it was last",
        ),
        false => (
            PlaceIs::LastKnown,
            "the source does not tell; what the group read since a worker last looked is read again",
        ),
    };
    (state, Some(reason.to_owned()))
}
