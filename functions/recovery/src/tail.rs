//! What a cluster that came back holds beyond the cut, and whether the active one may be copied onto it again.
//!
//! Nothing here deletes anything. Records that only the cluster that came back holds are put aside first, or left where
//! they are because somebody chose that; what the flow back copies comes behind them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What is done with records that only the cluster that came back holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handling {
    /// They are copied to a topic of their own on the active cluster, `<topic>.tail.e<epoch>`, and read back.
    #[default]
    Quarantine,
    /// They go into the topic on the active cluster, behind what is there. What must not rise over something newer there is
    /// put aside, and so is what cannot be judged.
    Merge,
    /// They stay where they are, and are copied nowhere.
    Leave,
    /// As quarantine; and where the cluster that came back has lost copies, the topic is copied anew as a whole, once
    /// somebody has deleted it there: nothing here does.
    Restore,
}

/// Where the records of tails are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// In topics of their own.
    pub put_aside: u64,
    /// In the topics of the copies.
    pub merged: u64,
    /// More is to be carried or read back, by another turn.
    pub is_cut_off: bool,
}

/// What is done with tails, as a pair has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TailPolicy {
    /// Where nothing else is said.
    pub otherwise: Handling,
    /// By topic, as the cluster that came back calls it.
    pub topics: BTreeMap<String, Handling>,
}

impl TailPolicy {
    /// What is done with a topic's tail.
    pub fn of(&self, topic: &str) -> Handling {
        self.topics.get(topic).copied().unwrap_or(self.otherwise)
    }
}

/// What a look at the cluster that came back found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailSurvey {
    /// The flow whose source came back.
    pub flow: String,
    /// The epoch at which it was sealed.
    pub epoch: u64,
    /// In words, if another cluster answers in its place: nothing else was looked at then.
    pub other_cluster: Option<String>,
    /// Every partition that the flow mirrored or was to mirror.
    pub partitions: Vec<TailOfPartition>,
    /// Groups that have read beyond the cut, in words.
    pub groups: Vec<String>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailOfPartition {
    /// The topic on the cluster that came back.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The topic of the copies on the active cluster.
    pub copies: String,
    /// Where the flow ended; nothing where it had not begun with the partition.
    pub cut: Option<PlaceOfCut>,
    /// Where readers of committed records end on the cluster that came back.
    pub end: i64,
    /// Offsets behind that which open transactions hold back.
    pub held_back: u64,
    /// Where the copies begin on the active cluster.
    pub copies_begin: i64,
    /// Committed records beyond the cut.
    pub records: u64,
    /// Offsets of the tail that there was no time to read: at most so many records come on top.
    #[serde(default)]
    pub uncounted: u64,
    /// The earliest timestamp of the records that were counted, in milliseconds since 1970.
    #[serde(default)]
    pub first_timestamp_ms: Option<i64>,
    /// The latest one.
    #[serde(default)]
    pub last_timestamp_ms: Option<i64>,
    /// Their keys; nothing where they have none.
    #[serde(default)]
    pub keys: Option<KeysOfTail>,
    /// What the cluster lost.
    pub lost: Option<Lost>,
    /// Its end moved while it was looked at.
    pub moved: bool,
    /// Why nothing is known, if nothing is.
    pub unknown: Option<String>,
}

/// Keys of a partition's tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysOfTail {
    /// Different ones.
    pub distinct: u64,
    /// Those of them that were written on the active cluster since the cut.
    pub on_both: u64,
    /// Otherwise there are at least so many.
    pub exact: bool,
}

/// Where a flow ended with a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOfCut {
    /// The first offset that was not copied, on the cluster that came back.
    pub returned: i64,
    /// One past the last copy, on the active cluster.
    pub active: i64,
}

/// What a cluster lost of what it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Whether it is part of what was copied, so that the copies' origin is not what lies there now.
    pub of_copies: bool,
    /// Whether the partition is not there at all.
    pub gone: bool,
    /// In words.
    pub text: String,
}

/// What follows from a survey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The flow back may begin once these topics' tails are put aside, or merged.
    Proceed {
        /// Topics, as the cluster that came back calls them.
        quarantine: Vec<String>,
        /// Topics whose tails are merged.
        merge: Vec<String>,
    },
    /// It settles by itself: look again.
    Wait {
        /// What is waited for.
        reason: String,
    },
    /// A person has to choose.
    Refuse {
        /// What was found, and the choices.
        reason: String,
    },
}

/// How many things are named in one sentence.
const NAMED: usize = 5;

impl TailSurvey {
    /// Committed records beyond the cut, all partitions together; at least so many, where some are not counted.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(|it| it.records).sum()
    }

    /// Offsets that were not read: at most so many records come on top.
    pub fn uncounted(&self) -> u64 {
        self.partitions.iter().map(|it| it.uncounted).sum()
    }

    /// How many records, in words.
    pub fn counted(&self) -> String {
        let records = self.records();
        match self.uncounted() {
            0 => records.to_string(),
            more => format!(
                "{records} to {} (there was no time to count all; what is put aside is counted)",
                records.saturating_add(more)
            ),
        }
    }

    /// Partitions that hold any, or may.
    pub fn with_records(&self) -> impl Iterator<Item = &TailOfPartition> {
        self.partitions
            .iter()
            .filter(|it| it.records > 0 || it.uncounted > 0)
    }

    /// What follows, under a policy. `returned` is the alias of the cluster that came back.
    pub fn verdict(&self, policy: &TailPolicy, returned: &str) -> Verdict {
        if let Some(reason) = self.refused(policy, returned) {
            return Verdict::Refuse { reason };
        }
        let moved: Vec<_> = self.partitions.iter().filter(|it| it.moved).collect();
        if !moved.is_empty() {
            return Verdict::Wait {
                reason: format!(
                    "somebody still writes to {returned}: {} grew while it was looked at, though its writers are fenced. Name \
                     that writer in fencing.writers, or stop it, and start again",
                    named(&moved)
                ),
            };
        }
        let held: Vec<_> = self
            .partitions
            .iter()
            .filter(|it| it.held_back > 0)
            .collect();
        if !held.is_empty() {
            return Verdict::Wait {
                reason: format!(
                    "open transactions on {returned} hold records back in {}; they end by themselves when their time is over",
                    named(&held)
                ),
            };
        }
        let unknown: Vec<_> = self
            .partitions
            .iter()
            .filter(|it| it.unknown.is_some())
            .collect();
        if let Some(why) = unknown.iter().find_map(|it| it.unknown.as_ref()) {
            return Verdict::Wait {
                reason: format!(
                    "what {returned} holds of {} is not known: {why}",
                    named(&unknown)
                ),
            };
        }
        let topics = |wanted: fn(Handling) -> bool| {
            let own = self.with_records().map(|it| it.topic.clone());
            let own: BTreeSet<String> = own.filter(|it| wanted(policy.of(it))).collect();
            own.into_iter().collect()
        };
        Verdict::Proceed {
            quarantine: topics(|it| matches!(it, Handling::Quarantine | Handling::Restore)),
            merge: topics(|it| it == Handling::Merge),
        }
    }

    fn refused(&self, policy: &TailPolicy, returned: &str) -> Option<String> {
        if let Some(other) = &self.other_cluster {
            return Some(format!(
                "{other}. If that is an error, correct bootstrap.servers; if the old cluster is gone for good, give both \
                 flow files a new `name`: the flow back then begins from the beginning of what is retained"
            ));
        }
        if self.partitions.is_empty() {
            // Nothing ever came from there.
            return None;
        }
        let known = |topic: &String| self.partitions.iter().any(|it| &it.topic == topic);
        if let Some(topic) = policy.topics.keys().find(|topic| !known(topic)) {
            return Some(format!(
                "the pair says what to do with the tail of {topic}, which flow {} does not mirror: correct tails.topics",
                self.flow
            ));
        }
        let renamed = self.partitions.iter().filter(|it| it.topic != it.copies);
        let renamed = renamed.map(|it| (&*it.topic, it.partition, &*it.copies));
        if let Some(reason) = under_another_name(&self.flow, returned, renamed) {
            return Some(reason);
        }
        let lost: Vec<_> = (self.partitions.iter())
            .filter(|it| it.lost.as_ref().is_some_and(|lost| lost.of_copies))
            .filter(|it| !(it.is_gone() && policy.of(&it.topic) == Handling::Restore))
            .collect();
        if let Some(first) = lost.first() {
            let text = first.lost.as_ref().map(|it| it.text.clone());
            return Some(format!(
                "{returned} does not hold any more what was copied from it: {} ({}). Choose for each topic: bring {returned} \
                 back from elsewhere; or put its tail aside (`understudy salvage`), delete the topic on {returned}, say \
                 tails.topics.{} = \"restore\" in the pair, and start again: it is then copied anew as a whole",
                named(&lost),
                text.unwrap_or_default(),
                first.topic
            ));
        }
        None
    }
}

impl TailOfPartition {
    /// Whether the partition is not there at all.
    pub fn is_gone(&self) -> bool {
        self.lost.as_ref().is_some_and(|lost| lost.gone)
    }

    /// Where the flow back begins with it: on the active cluster, and on the one that came back. Nothing where it begins
    /// as any new partition does.
    pub fn begin(&self) -> Option<(i64, i64)> {
        if self.is_gone() {
            return Some((self.copies_begin, 0));
        }
        self.cut.map(|cut| (cut.active, self.end))
    }
}

/// Why nothing is failed back where copies have another name than what they are copies of: `renamed` is each such partition
/// as `returned` calls it, and the topic of its copies. Nothing if there is none.
pub fn under_another_name<'a>(
    flow: &str,
    returned: &str,
    renamed: impl Iterator<Item = (&'a str, i32, &'a str)>,
) -> Option<String> {
    let renamed: Vec<_> = renamed.collect();
    let (_, _, copies) = renamed.first()?;
    let names = renamed.iter();
    let names = names.map(|(topic, partition, _)| format!("{topic}-{partition}"));
    Some(format!(
        "flow {flow} copies {} under another name ({copies}), so nothing that lies on {returned} is in the way of a flow, and \
         nothing is put aside: what only {returned} holds is copied when that flow goes on. Under mirror.policy = \
         \"prefixed\", shut its old writers out (`understudy fence PAIR.toml`), let the flow go on (`understudy resume \
         FLOW.toml --epoch N`, with the epoch of its seal), and move applications home with `understudy switchover`. A topic \
         that was made again and got a new name has to be left out of both flows first (mirror.topics_exclude)",
        listed(names.collect())
    ))
}

fn named(partitions: &[&TailOfPartition]) -> String {
    let names = partitions.iter();
    let names = names.map(|it| format!("{}-{}", it.topic, it.partition));
    listed(names.collect())
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more == 0 {
        return names.join(", ");
    }
    format!("{} and {more} more partitions", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, records: u64) -> TailOfPartition {
        TailOfPartition {
            topic: topic.to_owned(),
            copies: topic.to_owned(),
            cut: Some(PlaceOfCut {
                returned: 10,
                active: 12,
            }),
            end: 10 + i64::try_from(records).unwrap_or(0),
            records,
            ..TailOfPartition::default()
        }
    }

    fn survey(partitions: Vec<TailOfPartition>) -> TailSurvey {
        TailSurvey {
            flow: "use1-usw2".to_owned(),
            epoch: 7,
            partitions,
            ..TailSurvey::default()
        }
    }

    fn policy(topics: &[(&str, Handling)]) -> TailPolicy {
        TailPolicy {
            otherwise: Handling::Quarantine,
            topics: topics
                .iter()
                .map(|(name, it)| ((*name).to_owned(), *it))
                .collect(),
        }
    }

    fn lost(gone: bool) -> Option<Lost> {
        Some(Lost {
            of_copies: true,
            gone,
            text: "the topic is gone".to_owned(),
        })
    }

    #[test]
    fn what_only_the_returned_cluster_holds_is_put_aside_unless_it_is_left() {
        let found = survey(vec![
            partition("orders", 3),
            partition("audit", 2),
            partition("empty", 0),
        ]);
        let proceed = |policy: &TailPolicy| match found.verdict(policy, "use1") {
            Verdict::Proceed { quarantine, .. } => quarantine,
            Verdict::Wait { reason } | Verdict::Refuse { reason } => vec![reason],
        };
        assert_eq!(proceed(&TailPolicy::default()), ["audit", "orders"]);
        assert_eq!(proceed(&policy(&[("audit", Handling::Leave)])), ["orders"]);
        let merged = found.verdict(&policy(&[("orders", Handling::Merge)]), "use1");
        let expected = Verdict::Proceed {
            quarantine: vec!["audit".to_owned()],
            merge: vec!["orders".to_owned()],
        };
        assert_eq!(merged, expected);
    }

    #[test]
    fn what_there_was_no_time_to_count_is_a_tail_too() {
        let mut long = partition("orders", 0);
        long.uncounted = 5;
        let found = survey(vec![long, partition("audit", 2)]);
        let expected = Verdict::Proceed {
            quarantine: vec!["audit".to_owned(), "orders".to_owned()],
            merge: Vec::new(),
        };
        assert_eq!(found.verdict(&TailPolicy::default(), "use1"), expected);
        let words = found.counted();
        assert!(words.starts_with("2 to 7 ("), "{words}");
    }

    #[test]
    fn the_flow_back_begins_at_the_cut_and_behind_the_tail() {
        assert_eq!(partition("orders", 3).begin(), Some((12, 13)));
        let mut never = partition("late", 3);
        never.cut = None;
        assert_eq!(never.begin(), None);
        let mut gone = partition("orders", 0);
        (gone.lost, gone.copies_begin) = (lost(true), 4);
        assert_eq!(gone.begin(), Some((4, 0)));
    }

    #[test]
    fn what_does_not_settle_by_itself_is_a_persons_choice() {
        let refused = |spoil: fn(&mut TailSurvey), policy: &TailPolicy| {
            let mut found = survey(vec![partition("orders", 3)]);
            spoil(&mut found);
            match found.verdict(policy, "use1") {
                Verdict::Refuse { reason } => reason,
                other => format!("it does not refuse: {other:?}"),
            }
        };
        let usual = TailPolicy::default();
        let text = refused(
            |it| it.other_cluster = Some("use1 is cluster B now".to_owned()),
            &usual,
        );
        assert!(
            text.contains("cluster B") && text.contains("new `name`"),
            "{text}"
        );
        let text = refused(
            |it| {
                for partition in &mut it.partitions {
                    partition.copies = "use1.orders".to_owned();
                }
            },
            &usual,
        );
        assert!(text.contains("under another name"), "{text}");
        let text = refused(
            |it| it.partitions.iter_mut().for_each(|it| it.lost = lost(true)),
            &usual,
        );
        assert!(text.contains("restore"), "{text}");
        let unknown = policy(&[("nothing", Handling::Leave)]);
        let text = refused(|_| {}, &unknown);
        assert!(text.contains("nothing"), "{text}");
    }

    #[test]
    fn a_topic_that_somebody_deleted_is_restored_where_that_was_chosen() {
        let mut gone = partition("orders", 0);
        gone.lost = lost(true);
        let verdict = survey(vec![gone]).verdict(&policy(&[("orders", Handling::Restore)]), "use1");
        assert_eq!(
            verdict,
            Verdict::Proceed {
                quarantine: Vec::new(),
                merge: Vec::new(),
            }
        );
    }

    #[test]
    fn what_settles_by_itself_is_waited_for() {
        let spoil: [fn(&mut TailOfPartition); 3] = [
            |it| it.moved = true,
            |it| it.held_back = 2,
            |it| it.unknown = Some("no leader".to_owned()),
        ];
        for spoil in spoil {
            let mut spoilt = partition("orders", 3);
            spoil(&mut spoilt);
            let verdict = survey(vec![spoilt]).verdict(&TailPolicy::default(), "use1");
            assert!(matches!(verdict, Verdict::Wait { .. }), "{verdict:?}");
        }
    }

    #[test]
    fn what_retention_took_beyond_the_cut_stops_nothing() {
        let mut deleted = partition("orders", 3);
        deleted.lost = Some(Lost {
            of_copies: false,
            gone: false,
            text: "retention".to_owned(),
        });
        let verdict = survey(vec![deleted]).verdict(&TailPolicy::default(), "use1");
        assert!(matches!(verdict, Verdict::Proceed { .. }), "{verdict:?}");
    }
}
