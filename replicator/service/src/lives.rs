//! Which life of a topic its partitions were copied in, and where new partitions of it go.
//!
//! A topic that was deleted and made again under its name is another one, with another id (KIP-516). Each partition that
//! was copied tells that by a gap of its own, and waits for an answer. What the topic has more of than before was never
//! copied and has no gap: it waits for the answer of the others, and goes where they go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{Position, ReplicationPolicy, TopicPartition};
use understudy_kafka::cluster::Topic;

use crate::growth::Stored;

/// For how long stored positions are read at every look once a topic was made again: a policy answers at once.
const PROMPT: Duration = Duration::from_secs(30);
/// How often afterwards: a person may take days.
const SELDOM: Duration = Duration::from_secs(10);

/// Stored positions.
type Positions = BTreeMap<TopicPartition, Position>;

/// What is to be known of a topic before anything is done in its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The topic that its copies go to since it was made again, if that is not the policy's; where its partitions were
    /// answered for differently, that of the first.
    pub moved_to: Option<Arc<str>>,
    /// How often its first partition has begun anew; see [`Position::incarnation`].
    pub incarnation: u32,
    /// It was made again, and partitions of it still wait for an answer, or it cannot be told just now whether it was:
    /// nothing else may happen to its copies.
    pub undecided: bool,
    /// Of one that was made again: how many of its partitions were copied, by the highest of them.
    pub copied: Option<i32>,
}

impl Life {
    /// The topic that copies of this one go to, where the flow meets them for the first time.
    pub fn copy(&self, topic: &str, policy: &ReplicationPolicy) -> String {
        let moved = self.moved_to.as_deref().map(str::to_owned);
        moved.unwrap_or_else(|| policy.target_topic(topic))
    }
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// The ids under which its partitions were copied.
    ids: BTreeSet<String>,
    first: Option<Life>,
    copied: Option<i32>,
    /// How many partitions it had when its positions were read last.
    seen: Option<i32>,
    /// Since when it has another id than one of these, or none.
    undecided_since: Option<Instant>,
}

/// The lives of all topics, as stored positions tell them.
#[derive(Debug, Default)]
pub struct Lives {
    known: BTreeMap<Arc<str>, Known>,
    /// Whether all positions were taken in since the last look.
    is_fresh: bool,
    read_again: Option<Instant>,
}

impl Known {
    /// Takes in a partition; the first of a topic comes first.
    fn add(&mut self, position: &Position) {
        self.ids.extend(position.source_topic_id.clone());
        self.first.get_or_insert_with(|| Life {
            moved_to: position.target_topic.as_deref().map(Arc::from),
            incarnation: position.incarnation,
            ..Life::default()
        });
    }

    fn is_of_another_life(&self, id: &str) -> bool {
        self.ids.iter().any(|known| known != id)
    }

    /// What the stored positions tell of a topic with that id and so many partitions. Those that it has no more have gaps
    /// of their own, which nothing follows.
    fn of(positions: &Positions, topic: &Arc<str>, partitions: i32, id: &str) -> Self {
        let at = |number| TopicPartition::new(topic.clone(), number);
        let mut known = Self {
            seen: Some(partitions),
            ..Self::default()
        };
        let mut copied = 0;
        for (partition, position) in positions.range(at(0)..at(partitions.max(0))) {
            known.add(position);
            copied = partition.partition.saturating_add(1);
        }
        if known.ids.is_empty() {
            known.ids.insert(id.to_owned());
        }
        known.copied = known.is_of_another_life(id).then_some(copied);
        known
    }
}

impl Lives {
    /// Takes in what stored positions tell, of all their topics.
    pub fn learn(&mut self, stored: &Stored) {
        self.is_fresh = stored.is_whole;
        let mut last: Option<&Arc<str>> = None;
        for (partition, position) in &stored.positions {
            let known = self.known.entry(partition.topic.clone()).or_default();
            if last.replace(&partition.topic) != Some(&partition.topic) {
                known.first = None;
            }
            known.add(position);
        }
    }

    /// Looks whether topics have other ids than those that were copied. `read` reads the stored positions of partitions: of
    /// topics that were made again, which go on once all have been answered for, and of those that are new or have grown.
    ///
    /// # Errors
    /// As `read`; the topics that it was asked about are undecided then.
    pub fn look<E>(
        &mut self,
        topics: &[Topic],
        ids: &BTreeMap<String, String>,
        now: Instant,
        read: impl FnOnce(&[TopicPartition]) -> Result<Stored, E>,
    ) -> Result<(), E> {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let is_seldom = self.read_again.is_none_or(|at| now >= at);
        let mut asked = Vec::new();
        for topic in topics {
            let name: Arc<str> = topic.name.as_str().into();
            let known = self.known.entry(name.clone()).or_default();
            let Some(id) = ids.get(&topic.name) else {
                // What tells of its partitions and what tells of its id need not be the same broker.
                if !known.ids.is_empty() {
                    known.undecided_since.get_or_insert(now);
                }
                continue;
            };
            let is_another = known.is_of_another_life(id);
            let since = known.undecided_since.filter(|_| is_another);
            known.undecided_since = is_another.then(|| since.unwrap_or(now));
            let has_more = known.seen.is_none_or(|seen| seen < topic.partitions);
            let is_due = match known.undecided_since {
                Some(since) => is_seldom || now.saturating_duration_since(since) < PROMPT,
                None => has_more && !is_fresh,
            };
            if is_due {
                asked.push((name, topic.partitions, id));
            } else if has_more && !is_another {
                known.seen = Some(topic.partitions);
                known.ids.insert(id.clone());
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        if is_seldom {
            self.read_again = Some(now + SELDOM);
        }
        let partitions: Vec<_> = asked
            .iter()
            .flat_map(|(name, partitions, _)| {
                (0..*partitions).map(|number| TopicPartition::new(name.clone(), number))
            })
            .collect();
        let told = read(&partitions);
        for (name, partitions, id) in asked {
            let known = self.known.entry(name.clone()).or_default();
            match &told {
                Ok(stored) if stored.is_whole => {
                    let since = known.undecided_since.unwrap_or(now);
                    *known = Known::of(&stored.positions, &name, partitions, id);
                    known.undecided_since = known.copied.map(|_| since);
                }
                // One that was made again stays undecided, any other is what it was taken for.
                Ok(_) => {
                    if known.undecided_since.is_none() {
                        known.seen = Some(partitions);
                        known.ids.insert(id.clone());
                    }
                }
                Err(_) => {
                    known.undecided_since.get_or_insert(now);
                }
            }
        }
        told.map(drop)
    }

    /// A topic's.
    pub fn of(&self, topic: &str) -> Life {
        let Some(known) = self.known.get(topic) else {
            return Life::default();
        };
        Life {
            undecided: known.undecided_since.is_some(),
            copied: known.copied,
            ..known.first.clone().unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use understudy_domain::{MapCursor, Origin, SourceOffset, TargetOffset};

    use super::*;

    const ORIGIN: Origin = Origin {
        source: SourceOffset::new(0),
        target: TargetOffset::new(0),
    };

    fn position(id: &str, moved_to: Option<&str>, incarnation: u32) -> Position {
        Position {
            source_offset: ORIGIN.source,
            source_leader_epoch: None,
            source_topic_id: Some(id.to_owned()),
            target_offset: ORIGIN.target,
            source_end_offset: None,
            source_end_seen_at_ms: None,
            started_at: ORIGIN,
            incarnation,
            target_topic: moved_to.map(str::to_owned),
            flow_epoch: 0,
            map: MapCursor {
                first: 0,
                chunk: 0,
                delta: 0,
                from: 0,
            },
            records: 0,
            former: Vec::new(),
        }
    }

    fn positions(of: &[(i32, Position)]) -> Stored {
        let named = of.iter().map(|(number, position)| {
            let name = TopicPartition::new("orders", *number);
            (name, position.clone())
        });
        Stored {
            positions: named.collect(),
            is_whole: true,
        }
    }

    fn copy(stored: &Stored) -> Stored {
        Stored {
            positions: stored.positions.clone(),
            ..*stored
        }
    }

    /// Looks at a topic of so many partitions.
    fn look(
        lives: &mut Lives,
        (id, partitions): (Option<&str>, i32),
        now: Instant,
        read: impl FnOnce() -> Option<Stored>,
    ) -> Life {
        let topic = Topic {
            name: "orders".to_owned(),
            partitions,
            led: true,
        };
        let ids = id.map(|id| ("orders".to_owned(), id.to_owned()));
        let ids = ids.into_iter().collect();
        // What cannot be read is told by what is of the topic.
        let _unread = lives.look(&[topic], &ids, now, |_| read().ok_or(()));
        lives.of("orders")
    }

    fn never() -> Option<Stored> {
        unreachable!("nothing asks for positions to be read")
    }

    #[test]
    fn a_topic_made_again_is_undecided_until_all_of_its_partitions_go_on() {
        let now = Instant::now();
        let mut lives = Lives::default();
        let (old, new) = (position("a", None, 0), position("b", Some("orders.1"), 1));
        lives.learn(&positions(&[(0, old.clone()), (1, old.clone())]));
        let life = look(&mut lives, (Some("a"), 2), now, never);
        assert_eq!(life, Life::default());
        for (first, second, copied) in [
            (&old, &old, Some(2)),
            (&new, &old, Some(2)),
            (&new, &new, None),
        ] {
            let stored = positions(&[(0, first.clone()), (1, second.clone())]);
            let life = look(&mut lives, (Some("b"), 4), now, || Some(stored));
            assert_eq!((life.undecided, life.copied), (copied.is_some(), copied));
        }
        let moved = Life {
            moved_to: Some("orders.1".into()),
            incarnation: 1,
            undecided: false,
            copied: None,
        };
        assert_eq!(look(&mut lives, (Some("b"), 4), now, never), moved);
        // And once more.
        let stored = positions(&[(0, new)]);
        let life = look(&mut lives, (Some("c"), 4), now, || Some(stored));
        assert_eq!((life.undecided, life.copied), (true, Some(1)));
    }

    #[test]
    fn partitions_that_a_topic_has_no_more_are_waited_for_only_when_it_has_them_again() {
        let now = Instant::now();
        let (old, new) = (position("a", None, 0), position("b", None, 1));
        let stored = positions(&[(0, new.clone()), (1, new), (2, old)]);
        let mut lives = Lives::default();
        lives.learn(&stored);
        let life = look(&mut lives, (Some("b"), 2), now, || Some(copy(&stored)));
        assert_eq!((life.undecided, life.incarnation), (false, 1));
        assert_eq!(look(&mut lives, (Some("b"), 2), now, never), life);
        let life = look(&mut lives, (Some("b"), 3), now, || Some(stored));
        assert_eq!((life.undecided, life.copied), (true, Some(3)));
    }

    #[test]
    fn a_topic_that_was_never_copied_has_nothing_to_decide() {
        let now = Instant::now();
        let none = || Some(positions(&[]));
        let mut lives = Lives::default();
        for (id, read) in [("a", 1), ("b", 1), ("b", 0)] {
            let reads = Cell::new(0);
            let life = look(&mut lives, (Some(id), 2), now, || {
                reads.set(reads.get() + 1);
                none()
            });
            assert_eq!((life, reads.get()), (Life::default(), read), "{id}");
        }
        // What was copied without an id, from brokers that told none, is taken for what it is now.
        let mut lives = Lives::default();
        let without = Position {
            source_topic_id: None,
            ..position("", None, 0)
        };
        lives.learn(&positions(&[(0, without)]));
        assert_eq!(
            look(&mut lives, (Some("a"), 1), now, never),
            Life::default()
        );
    }

    #[test]
    fn what_cannot_be_told_just_now_is_undecided_until_it_can() {
        let now = Instant::now();
        let mut lives = Lives::default();
        let stored = positions(&[(0, position("a", None, 0))]);
        lives.learn(&stored);
        assert!(!look(&mut lives, (Some("a"), 1), now, never).undecided);
        assert!(look(&mut lives, (None, 2), now, never).undecided);
        assert!(look(&mut lives, (Some("a"), 2), now, || None).undecided);
        let life = look(&mut lives, (Some("a"), 2), now, || Some(stored));
        assert_eq!(life, Life::default());
        // A slot that cannot be read keeps nothing from being decided but what was made again.
        let part = || {
            Some(Stored {
                is_whole: false,
                ..positions(&[])
            })
        };
        assert_eq!(look(&mut lives, (Some("a"), 3), now, part), Life::default());
        assert_eq!(
            look(&mut lives, (Some("a"), 3), now, never),
            Life::default()
        );
        assert!(look(&mut lives, (Some("b"), 3), now, part).undecided);
        // A source that tells no ids has none to miss.
        let mut lives = Lives::default();
        assert_eq!(look(&mut lives, (None, 1), now, never), Life::default());
    }

    #[test]
    fn a_topic_that_grew_goes_on_in_the_life_that_its_first_partition_is_in_now() {
        let now = Instant::now();
        let mut lives = Lives::default();
        lives.learn(&positions(&[(0, position("a", None, 0))]));
        assert_eq!(look(&mut lives, (Some("a"), 1), now, never).incarnation, 0);
        // Its copies were lost meanwhile, and copied again.
        let stored = positions(&[(0, position("a", None, 1))]);
        let life = look(&mut lives, (Some("a"), 2), now, || Some(stored));
        assert_eq!((life.undecided, life.incarnation), (false, 1));
    }

    #[test]
    fn positions_are_read_less_often_the_longer_an_answer_is_out() {
        let begun = Instant::now();
        let stored = positions(&[(0, position("a", None, 0))]);
        let mut lives = Lives::default();
        lives.learn(&stored);
        let reads = Cell::new(0);
        let mut after = |seconds: u64| {
            let now = begun + Duration::from_secs(seconds);
            let life = look(&mut lives, (Some("b"), 1), now, || {
                reads.set(reads.get() + 1);
                Some(copy(&stored))
            });
            assert!(life.undecided);
            reads.replace(0)
        };
        let first: u32 = (0..30).map(&mut after).sum();
        assert_eq!(first, 30);
        let later: u32 = (30..130).map(&mut after).sum();
        assert_eq!(later, 10);
    }
}
