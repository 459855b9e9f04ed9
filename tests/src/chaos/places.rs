//! Groups whose places on the target must be exact: the judge knows which record each would read next.
//!
//! A place is right if as many copies lie before it as records lie before the group's place on the source: then the
//! group reads there what it would have read here. Fewer: it stands behind, which is right for as long as replication
//! is. More: it would skip, which is never right, unless the group has just gone back on the source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::disturbance::SplitMix;
use super::error::{ChaosError, Result};
use super::fleet::Fleet;
use super::interrupt::Interrupt;
use super::outcome::Outcome;
use crate::check::Judge;
use crate::cluster::Cluster;
use crate::error::chain;

/// With everything well again, a place has followed by then.
const FOLLOW_LIMIT: Duration = Duration::from_secs(120);
/// At the end; a little before it; up to half of the log behind; anywhere.
const GROUPS: [&str; 4] = ["at-end", "near", "half", "anywhere"];
const NEAR: u64 = 50;

/// Groups of one round.
#[derive(Debug)]
pub(super) struct Groups {
    prefix: String,
    judges: BTreeMap<String, Judge>,
    /// Where each stands on the source.
    places: BTreeMap<Spot, i64>,
    /// Those that went back since they were last found exact.
    gone_back: BTreeSet<Spot>,
}

/// A group, a topic, a partition.
type Spot = (String, String, i32);

impl Groups {
    /// Groups that read these topics; none has a place yet.
    pub(super) fn new(prefix: String, source: &Cluster, target: &Cluster, topics: &[&str]) -> Self {
        let judge = |topic: &&str| ((*topic).to_owned(), Judge::new(source, target, topic));
        Self {
            prefix,
            judges: topics.iter().map(judge).collect(),
            places: BTreeMap::new(),
            gone_back: BTreeSet::new(),
        }
    }

    /// The judge of a topic that groups read, with all that it has read.
    pub(super) fn take_judge(&mut self, topic: &str) -> Option<Judge> {
        self.judges.remove(topic)
    }

    /// Commits other places on the source.
    pub(super) fn commit(&mut self, source: &Cluster, draw: u64) -> Result<()> {
        let mut random = SplitMix::new(draw);
        for name in GROUPS {
            let group = format!("{}-{name}", self.prefix);
            for topic in self.judges.keys() {
                let ends = source.ends(topic)?;
                let mut places = Vec::new();
                for (partition, ends) in ends {
                    let end = ends.last_stable;
                    let length = u64::try_from(end).unwrap_or_default();
                    let behind = match name {
                        "at-end" => 0,
                        "near" => random.between([0, NEAR]),
                        "half" => random.between([0, length / 2]),
                        _ => random.between([0, length]),
                    };
                    let place = (end - i64::try_from(behind).unwrap_or_default()).max(0);
                    let spot = (group.clone(), topic.clone(), partition);
                    let before = self.places.insert(spot.clone(), place);
                    if before.is_some_and(|before| place < before) {
                        self.gone_back.insert(spot);
                    }
                    places.push((topic.as_str(), partition, place));
                }
                source.commit_group(&group, &places)?;
            }
        }
        Ok(())
    }

    /// Waits until each group stands exactly on the target, and then asks `understudy translate` for `asked` of them.
    /// Counts, and names what is wrong.
    pub(super) fn check(
        &mut self,
        target: &Cluster,
        fleet: &Fleet,
        interrupt: &Interrupt,
        asked: usize,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut beyond = BTreeSet::new();
        let mut waiting: BTreeSet<Spot> = self.places.keys().cloned().collect();
        let followed = interrupt.wait_for("groups to stand exactly", FOLLOW_LIMIT, || {
            self.look(target, &mut waiting, &mut beyond)
                .map_err(|error| chain(&error))?;
            match waiting.first() {
                None => Ok(()),
                Some((group, topic, partition)) => Err(format!(
                    "{} of {} do not, such as {group} in {topic}-{partition}",
                    waiting.len(),
                    self.places.len()
                )),
            }
        });
        match followed {
            Err(ChaosError::Interrupted) => return Err(ChaosError::Interrupted),
            Err(error) => outcome.violations.push(error.to_string()),
            Ok(()) => {}
        }
        outcome.places_checked += self.places.len() as u64;
        outcome.places_wrong += beyond.len() as u64 + waiting.len() as u64;
        outcome.violations.extend(beyond);
        for name in GROUPS
            .into_iter()
            .cycle()
            .skip(outcome.groups_moved as usize % GROUPS.len())
            .take(asked)
        {
            self.translated(&format!("{}-{name}", self.prefix), fleet, outcome)?;
        }
        Ok(())
    }

    /// Looks at each place that was not exact before; those that are leave `waiting`.
    fn look(
        &mut self,
        target: &Cluster,
        waiting: &mut BTreeSet<Spot>,
        beyond: &mut BTreeSet<String>,
    ) -> Result<()> {
        // Places first: whatever lies before them can be read by then.
        let mut found = BTreeMap::new();
        for (group, topic, _) in waiting.iter() {
            let key = (group.clone(), topic.clone());
            if let std::collections::btree_map::Entry::Vacant(vacant) = found.entry(key) {
                vacant.insert(target.group_places(group, topic)?);
            }
        }
        for judge in self.judges.values_mut() {
            judge.compare()?;
        }
        let mut exact = Vec::new();
        for spot in waiting.iter() {
            let (group, topic, partition) = spot;
            let stands = found
                .get(&(group.clone(), topic.clone()))
                .and_then(|places| places.get(partition));
            let (Some(judge), Some(stands), Some(place)) =
                (self.judges.get(topic), stands, self.places.get(spot))
            else {
                continue;
            };
            let (here, there) = judge.passed(*partition, *place, *stands);
            if here == there {
                exact.push(spot.clone());
            } else if there > here && !self.gone_back.contains(spot) {
                beyond.insert(format!(
                    "{group} stands at {place} of {topic}-{partition} behind {here} records, and at {stands} of its \
                     copy behind {there}: it would skip"
                ));
            }
        }
        for spot in exact {
            waiting.remove(&spot);
            self.gone_back.remove(&spot);
        }
        Ok(())
    }

    /// Asks `understudy translate --json` for a group, and compares with the judge's truth.
    fn translated(&self, group: &str, fleet: &Fleet, outcome: &mut Outcome) -> Result<()> {
        let lines = fleet.translate(group)?;
        let mut told = 0;
        for line in &lines {
            let topic = line["topic"].as_str().unwrap_or_default();
            let partition = line["partition"]
                .as_i64()
                .and_then(|number| number.try_into().ok());
            let (Some(judge), Some(partition)) = (self.judges.get(topic), partition) else {
                continue;
            };
            told += 1;
            let spot = (group.to_owned(), topic.to_owned(), partition);
            let place = self.places.get(&spot).copied();
            let offsets = (
                line["source_offset"].as_i64(),
                line["target_offset"].as_i64(),
            );
            let right = match offsets {
                (Some(source), Some(target)) if Some(source) == place => {
                    let (here, there) = judge.passed(partition, source, target);
                    here == there && line["translation"] == "exact"
                }
                _ => false,
            };
            if !right {
                outcome.places_wrong += 1;
                outcome.violations.push(format!(
                    "understudy translate for {group}, which stands at {place:?}: {}",
                    Value::to_string(line)
                ));
            }
        }
        outcome.places_translated += told;
        let wanted = self.places.keys().filter(|(of, _, _)| of == group).count() as u64;
        if told != wanted {
            outcome.violations.push(format!(
                "understudy translate told {told} of {wanted} places of {group}"
            ));
        }
        Ok(())
    }
}
