//! One look at applications, in a form that a store keeps, and what two of them tell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use understudy_domain::TopicPartition;
use understudy_recovery::client::Application;
use understudy_recovery::cut::Cut;
use understudy_shell::world::{Ends, Presence};

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Groups that somebody is in.
    live: BTreeSet<String>,
    /// Where groups stand.
    stands: Vec<Stand>,
    /// Where partitions end, for readers of committed records.
    ends: Vec<End>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    group: String,
    topic: String,
    partition: i32,
    offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    topic: String,
    partition: i32,
    last_stable: i64,
}

/// The groups among these that somebody is in.
pub fn live(groups: &BTreeSet<String>, presence: &BTreeMap<String, Presence>) -> BTreeSet<String> {
    let is_live = |group: &&String| presence.get(*group) == Some(&Presence::Live);
    groups.iter().filter(is_live).cloned().collect()
}

/// The partitions on the target that a topic of the source may be written to: its copies, and, with prefixed names, the
/// topic of its own name beside them.
pub fn names_on_target(topic: &str, cut: Option<&Cut>) -> BTreeSet<TopicPartition> {
    let partitions = cut.into_iter().flat_map(|cut| &cut.partitions);
    let mut names: BTreeSet<TopicPartition> = partitions
        .filter(|it| it.topic == topic)
        .flat_map(|it| {
            let names = [it.target_topic.as_str(), topic];
            names.map(|name| TopicPartition::new(name, it.partition))
        })
        .collect();
    if names.is_empty() {
        names.insert(TopicPartition::new(topic, 0));
    }
    names
}

impl Look {
    /// Puts it together.
    pub fn new(
        live: BTreeSet<String>,
        stands: &BTreeMap<(String, TopicPartition), i64>,
        ends: &BTreeMap<TopicPartition, Ends>,
    ) -> Self {
        let stand = |((group, at), offset): (&(String, TopicPartition), &i64)| Stand {
            group: group.clone(),
            topic: at.topic.to_string(),
            partition: at.partition,
            offset: *offset,
        };
        let end = |(at, ends): (&TopicPartition, &Ends)| End {
            topic: at.topic.to_string(),
            partition: at.partition,
            last_stable: ends.last_stable,
        };
        Self {
            live,
            stands: stands.iter().map(stand).collect(),
            ends: ends.iter().map(end).collect(),
        }
    }

    /// What an application lacks to be at work, held against the first look; nothing if it is.
    pub fn missing(
        &self,
        application: &Application,
        first: &Self,
        cut: Option<&Cut>,
    ) -> Option<String> {
        for group in &application.groups {
            if !self.live.contains(group) {
                return Some(format!("nobody is in group {group} yet"));
            }
            if !self.moves(group, first) {
                return Some(format!("group {group} is live and does not move yet"));
            }
        }
        if application.topics.is_empty() || self.grows(application, first, cut) {
            return None;
        }
        Some(format!(
            "nothing new in {} yet",
            application.topics.join(", ")
        ))
    }

    /// Whether a group has moved since, or has nothing to read.
    fn moves(&self, group: &str, first: &Self) -> bool {
        let of = |look: &Self| -> Vec<Stand> {
            let stands = look.stands.iter().filter(|it| it.group == group);
            stands.cloned().collect()
        };
        let now = of(self);
        let at_end = now.iter().all(|stand| {
            let end = self.end_of(&stand.topic, stand.partition);
            end.is_none_or(|end| stand.offset >= end)
        });
        at_end || now != of(first)
    }

    /// Whether one of an application's topics has grown since.
    fn grows(&self, application: &Application, first: &Self, cut: Option<&Cut>) -> bool {
        let topics = application.topics.iter();
        let mut partitions = topics.flat_map(|topic| names_on_target(topic, cut));
        partitions.any(|it| {
            let now = self.end_of(&it.topic, it.partition);
            let before = first.end_of(&it.topic, it.partition);
            now.is_some_and(|now| now > before.unwrap_or(0))
        })
    }

    fn end_of(&self, topic: &str, partition: i32) -> Option<i64> {
        let end = self
            .ends
            .iter()
            .find(|end| end.topic == topic && end.partition == partition);
        end.map(|end| end.last_stable)
    }
}
