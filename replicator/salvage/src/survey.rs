//! `understudy salvage FLOW.toml survey`: what the cluster that came back holds beyond the cut, and what it lost.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_domain::tail::{KeyCount, Loss, Tail, TailProgress, tail_topic};
use understudy_domain::{Position, TopicPartition};

use crate::SalvageError;
use crate::ground::Ground;
use crate::groups::{Groups, groups};
use crate::keys::count;
use crate::look::{look, moved};
use crate::tally::Tally;
use understudy_flow::config::Flow;
use understudy_flow::report::Report;
use understudy_flow::words;

/// What was found.
#[derive(Serialize)]
pub struct Survey {
    /// The flow.
    pub flow: String,
    /// The epoch at which the flow was sealed.
    pub epoch: u64,
    /// The alias of the cluster that came back.
    pub source: String,
    /// The alias of the active one.
    pub target: String,
    /// Nothing lies beyond the cut, and nothing was lost.
    pub holds: bool,
    /// The cluster behind the source's address, if it is not the one that was mirrored: nothing else was looked at then.
    pub other_cluster: Option<OtherCluster>,
    /// Ends moved while this looked: the source's writers are not fenced, and numbers are lower bounds.
    pub moved: bool,
    /// Committed records beyond the cut, all partitions together.
    pub records: u64,
    /// Each partition.
    pub partitions: Vec<Line>,
    /// What groups have read.
    pub groups: Groups,
}

/// Another cluster than the one that was mirrored.
#[derive(Serialize)]
pub struct OtherCluster {
    /// The id that the flow knows.
    pub expected: String,
    /// The id that was found.
    pub found: String,
}

/// One partition.
#[derive(Serialize)]
pub struct Line {
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The topic of its copies.
    pub copies: String,
    /// The first source offset that was not copied; null where the flow had not begun with the partition.
    pub cut: Option<i64>,
    /// One past the last copy; null where there is no cut.
    pub copies_end: Option<i64>,
    /// The first offset that the target still holds of the topic of the copies; null where it has none.
    pub copies_begin: Option<i64>,
    /// Where the tail begins: at the cut, unless the log is another one than what was copied.
    pub begins: i64,
    /// Where readers of committed records end.
    pub end: i64,
    /// What such a reader meets in between.
    #[serde(flatten)]
    pub tally: Tally,
    /// Offsets behind the end that open transactions hold back.
    pub held_back_offsets: u64,
    /// Null while there is none.
    pub keys: Option<Keys>,
    /// What the cluster lost.
    pub loss: Option<Loss>,
    /// Its end moved meanwhile.
    pub moved: bool,
    /// Why nothing is known, if nothing is.
    pub unknown: Option<String>,
    /// What was put aside by now.
    pub put_aside: Option<PutAside>,
}

/// Keys of a tail.
#[derive(Serialize)]
pub struct Keys {
    /// Different keys in the tail.
    pub distinct: u64,
    /// Those of them that were written on the active cluster since the cut.
    pub on_both: u64,
    /// Otherwise there are at least so many.
    pub exact: bool,
}

/// What was put aside of a partition.
#[derive(Serialize)]
pub struct PutAside {
    /// Where.
    pub topic: String,
    /// How much.
    pub records: u64,
    /// The first source offset that is not put aside yet.
    pub source_offset: i64,
    /// How many records were merged into the topic of the copies.
    pub merged: u64,
    /// How many were left out of that, and are put aside.
    pub left_out: u64,
}

/// Looks at the cluster that came back, and at what was written on the active one since, for at most `keys_within`.
///
/// # Errors
/// The flow is not sealed, or a cluster does not answer.
pub fn survey(flow: &Flow, keys_within: Duration) -> Result<Survey, SalvageError> {
    let ground = Ground::open(flow)?;
    let mut survey = Survey {
        flow: flow.name.to_string(),
        epoch: ground.record.epoch,
        source: flow.source.alias.clone(),
        target: flow.target.alias.clone(),
        holds: false,
        other_cluster: None,
        moved: false,
        records: 0,
        partitions: Vec::new(),
        groups: Groups::default(),
    };
    if !ground.is_own_source() {
        survey.other_cluster = Some(OtherCluster {
            expected: ground.record.source_cluster_id.clone(),
            found: ground.source_id.clone(),
        });
        return Ok(survey);
    }
    let tails = look(&ground)?.tails;
    let known: BTreeMap<&TopicPartition, &Tail> = (tails.iter())
        .filter_map(|(name, tail)| Some((name, tail.as_ref().ok()?)))
        .collect();
    let mut counted = count_all(&ground, &known, keys_within)?;
    survey.groups = groups(&ground, &known);
    let put_aside = ground.put_aside()?;
    let begins = ground.copies_begin()?;
    let moved = moved(&ground, &tails)?;
    ground.still_stands()?;
    for (name, position) in &ground.cut {
        let tail = tails.get(name);
        let copies = ground.copies_of(name, position.as_ref());
        let mut line = Line::of(name, position.as_ref(), tail);
        line.copies_begin = begins.get(&copies).copied();
        line.copies = copies.topic.to_string();
        if let Some((tally, keys)) = counted.remove(name) {
            (line.tally, line.keys) = (tally, keys);
        }
        line.moved = moved.contains(name);
        let own = put_aside.get(&ground.tail_key(name));
        line.put_aside = own.map(PutAside::of);
        survey.partitions.push(line);
    }
    survey.moved = !moved.is_empty();
    survey.records = survey.partitions.iter().map(|it| it.tally.records).sum();
    survey.holds = survey.partitions.iter().all(Line::is_nothing);
    Ok(survey)
}

type Counted = BTreeMap<TopicPartition, (Tally, Option<Keys>)>;

/// Counts the tails, topic by topic.
fn count_all(
    ground: &Ground<'_>,
    tails: &BTreeMap<&TopicPartition, &Tail>,
    keys_within: Duration,
) -> Result<Counted, SalvageError> {
    let limit = Instant::now() + keys_within;
    let mut counted = Counted::new();
    for topic in ground.topics() {
        let own: Vec<_> = (tails.iter())
            .filter(|(name, tail)| *name.topic == *topic && !tail.is_empty())
            .map(|(name, tail)| (*name, *tail))
            .collect();
        if own.is_empty() {
            continue;
        }
        let found = count(ground, topic, &own, limit)?;
        let mut keys = found.census.counts();
        for (partition, tally) in found.tallies {
            let KeyCount { distinct, on_both } = keys.remove(&partition).unwrap_or_default();
            let exact = found.census.is_exact();
            let keys = (tally.records > tally.without_key).then_some(Keys {
                distinct,
                on_both,
                exact,
            });
            counted.insert(TopicPartition::new(topic, partition), (tally, keys));
        }
    }
    Ok(counted)
}

impl Line {
    fn of(
        name: &TopicPartition,
        position: Option<&Position>,
        tail: Option<&Result<Tail, String>>,
    ) -> Self {
        let cut = position.map(|position| position.source_offset.get());
        let begins = cut.unwrap_or_default();
        let mut line = Self {
            topic: name.topic.to_string(),
            partition: name.partition,
            copies: name.topic.to_string(),
            cut,
            copies_end: position.map(|position| position.target_offset.get()),
            copies_begin: None,
            begins,
            end: begins,
            tally: Tally::default(),
            held_back_offsets: 0,
            keys: None,
            loss: None,
            moved: false,
            unknown: None,
            put_aside: None,
        };
        match tail {
            Some(Ok(tail)) => {
                (line.begins, line.end) = (tail.begins.get(), tail.end.get());
                line.held_back_offsets = tail.held_back;
                line.loss.clone_from(&tail.loss);
            }
            Some(Err(reason)) => line.unknown = Some(reason.clone()),
            None => line.unknown = Some("it was not looked at".to_owned()),
        }
        line
    }

    /// Whether there is no tail, nothing was lost, and that is known.
    fn is_nothing(&self) -> bool {
        self.tally.records == 0
            && self.held_back_offsets == 0
            && self.loss.is_none()
            && !self.moved
            && self.unknown.is_none()
    }

    /// What else is to be said of it.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cut.is_none() {
            notes.push(
                "never copied: the flow ended before it began with this partition".to_owned(),
            );
        }
        let cut = self.cut.unwrap_or(self.begins);
        notes.extend(self.loss.as_ref().map(|loss| lost(loss, cut)));
        notes.extend(self.unknown.as_ref().map(|why| format!("not known: {why}")));
        if self.held_back_offsets > 0 {
            notes.push(format!(
                "{} more offsets are held back by an open transaction: what becomes of them shows once it has ended",
                words::count(self.held_back_offsets)
            ));
        }
        if self.moved {
            notes.push("its end moved while this looked".to_owned());
        }
        if let Some(it) = &self.put_aside {
            let records = words::counted(it.records, "record");
            let PutAside {
                topic,
                source_offset,
                ..
            } = it;
            if it.records > 0 || it.merged + it.left_out == 0 {
                notes.push(format!(
                    "put aside in {topic}: {records}, up to source offset {source_offset}"
                ));
            }
            if it.merged + it.left_out > 0 {
                notes.push(format!(
                    "merged into {}: {}; left out of it and put aside: {}",
                    self.copies,
                    words::counted(it.merged, "record"),
                    words::count(it.left_out)
                ));
            }
        }
        notes
    }
}

impl PutAside {
    fn of(progress: &TailProgress) -> Self {
        Self {
            topic: progress.tail_topic.clone(),
            records: progress.records,
            source_offset: progress.source_offset.get(),
            merged: progress.merged().records,
            left_out: progress.merged().left_out,
        }
    }
}

/// What a cluster lost, in words.
pub fn lost(loss: &Loss, cut: i64) -> String {
    match loss {
        Loss::TopicGone => {
            "the topic is gone from the source, and what it held beyond the cut with it".to_owned()
        }
        Loss::PartitionGone => {
            "the topic has fewer partitions on the source than were mirrored: it was made again"
                .to_owned()
        }
        Loss::Recreated { topic_id } => format!(
            "the topic was deleted and made again on the source (id {topic_id} now): everything in it is counted, what the old one held beyond the cut is lost"
        ),
        Loss::Forked { at } => format!(
            "the source's log was cut at {at}, below what was copied, and has grown again: everything in it from there on is counted"
        ),
        Loss::Shortened { end } => format!(
            "the source's log ends at {end}, below the cut at {cut}: it lost records that the active cluster holds"
        ),
        Loss::Deleted { until } => format!(
            "the source has deleted offsets {cut} to {} (retention, or DeleteRecords): they are lost",
            until.get().saturating_sub(1)
        ),
    }
}

impl Report for Survey {
    fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flow,
            epoch,
            source,
            target,
            ..
        } = self;
        if let Some(OtherCluster { expected, found }) = &self.other_cluster {
            return write!(
                f,
                "flow {flow}, sealed at e{epoch}: the source {source} is cluster {found} now, the flow's was {expected}\n\
                 It is another cluster altogether: nothing that the flow's held beyond the cut can be found there. Check bootstrap.servers."
            );
        }
        writeln!(
            f,
            "flow {flow}, sealed at e{epoch}: what {source} holds beyond the cut, and {target} does not\n"
        )?;
        let shown = || self.partitions.iter().filter(|line| !line.is_nothing());
        let wide = shown().map(|line| line.topic.chars().count()).max();
        let wide = wide.unwrap_or_default().max("topic".len());
        if shown().next().is_some() {
            writeln!(
                f,
                "{:wide$}  partition           cut      records  first offset   last offset         keys      on both  earliest and latest",
                "topic"
            )?;
        }
        for line in shown() {
            let number = |number: Option<i64>| {
                number.map_or_else(|| "-".to_owned(), |number| number.to_string())
            };
            let keys = |pick: fn(&Keys) -> u64| {
                line.keys.as_ref().map_or_else(
                    || "-".to_owned(),
                    |keys| {
                        let least = if keys.exact { "" } else { "≥ " };
                        format!("{least}{}", words::count(pick(keys)))
                    },
                )
            };
            let times = line
                .tally
                .first_timestamp_ms
                .zip(line.tally.last_timestamp_ms);
            let times = times.map_or_else(
                || "-".to_owned(),
                |(first, last)| format!("{} to {}", words::moment(first), words::moment(last)),
            );
            writeln!(
                f,
                "{:wide$}  {:>9}  {:>12}  {:>11}  {:>12}  {:>12}  {:>11}  {:>11}  {times}",
                line.topic,
                line.partition,
                line.cut
                    .map_or_else(|| "never".to_owned(), |cut| cut.to_string()),
                words::count(line.tally.records),
                number(line.tally.first_offset),
                number(line.tally.last_offset),
                keys(|keys| keys.distinct),
                keys(|keys| keys.on_both),
            )?;
            for note in line.notes() {
                writeln!(f, "    {note}")?;
            }
        }
        self.tell_groups(f)?;
        self.tell_end(f)
    }
}

impl Survey {
    fn tell_groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Groups {
            beyond,
            unreadable,
            unknown,
        } = &self.groups;
        if !beyond.is_empty() {
            writeln!(
                f,
                "\ngroups that have read records which only {} holds:",
                self.source
            )?;
        }
        for place in beyond {
            let how = if place.read_all {
                "all that is committed"
            } else {
                "a part"
            };
            writeln!(
                f,
                "    {}: {}-{} up to {}, {how} of what lies beyond {}",
                place.group, place.topic, place.partition, place.source_offset, place.tail_begins
            )?;
        }
        for (group, reason) in unreadable {
            writeln!(f, "    {group}: not known: {reason}")?;
        }
        if let Some(reason) = unknown {
            writeln!(f, "\nwhat groups have read is not known: {reason}")?;
        }
        Ok(())
    }

    fn tell_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = self.partitions.iter().filter(|line| line.is_nothing());
        let (all, nothing) = (self.partitions.len(), nothing.count());
        writeln!(
            f,
            "\n{} beyond the cut, as a reader of committed records meets them (those of aborted transactions are not counted); {nothing} of {all} partitions have none and lost nothing",
            words::counted(self.records, "record")
        )?;
        if self.partitions.iter().any(|line| line.moved) {
            writeln!(
                f,
                "THE ENDS MOVED while this looked: somebody writes to {}, and the numbers are lower bounds. Fence its writers (`understudy fence PAIR.toml`, docs/recovery.md) and look again.",
                self.source
            )?;
        } else {
            writeln!(
                f,
                "No end moved while this looked. That proves no fence: fence the writers of {} before you rely on it.",
                self.source
            )?;
        }
        if self.records > 0 {
            writeln!(
                f,
                "`understudy salvage FLOW.toml export` puts these records aside on {}, in topics such as {}; `merge` puts those of a topic into the topic itself.",
                self.target,
                tail_topic("TOPIC", self.epoch)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use understudy_domain::SourceOffset;

    use super::*;

    fn line(records: u64) -> Line {
        Line {
            topic: "orders".to_owned(),
            partition: 3,
            copies: "orders".to_owned(),
            cut: Some(1_200),
            copies_end: Some(1_300),
            copies_begin: Some(0),
            begins: 1_200,
            end: 1_230,
            tally: Tally {
                records,
                without_key: 0,
                first_offset: Some(1_200),
                last_offset: Some(1_228),
                first_timestamp_ms: Some(1_795_481_247_000),
                last_timestamp_ms: Some(1_795_481_248_000),
            },
            held_back_offsets: 0,
            keys: Some(Keys {
                distinct: 12,
                on_both: 5,
                exact: false,
            }),
            loss: None,
            moved: false,
            unknown: None,
            put_aside: None,
        }
    }

    fn survey_of(partitions: Vec<Line>) -> Survey {
        Survey {
            flow: "use1-usw2".to_owned(),
            epoch: 7,
            source: "use1".to_owned(),
            target: "usw2".to_owned(),
            holds: partitions.iter().all(Line::is_nothing),
            other_cluster: None,
            moved: partitions.iter().any(|line| line.moved),
            records: partitions.iter().map(|line| line.tally.records).sum(),
            partitions,
            groups: Groups::default(),
        }
    }

    #[test]
    fn people_read_how_much_lies_where_and_what_to_do() {
        let survey = survey_of(vec![line(28)]);
        assert!(!survey.holds());
        let text = survey.to_string();
        for part in [
            "sealed at e7",
            "1200",
            "28",
            "1228",
            "≥ 12",
            "≥ 5",
            "2026-11-24 00:47:27 UTC to 2026-11-24 00:47:28 UTC",
            "28 records beyond the cut",
            "aborted transactions are not counted",
            "fence the writers of use1",
            "export",
            "TOPIC.tail.e7",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn machines_read_counts_beside_the_place_and_losses_by_kind() -> Result<(), serde_json::Error> {
        let mut lost = line(0);
        lost.loss = Some(Loss::Shortened {
            end: SourceOffset::new(1_100),
        });
        let value: serde_json::Value = serde_json::from_str(&survey_of(vec![lost]).json()?)?;
        let at = |path: &str| value.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/holds"), false);
        assert_eq!(at("/partitions/0/records"), 0);
        assert_eq!(at("/partitions/0/first_offset"), 1_200);
        assert_eq!(at("/partitions/0/loss/kind"), "shortened");
        assert_eq!(at("/partitions/0/loss/end"), 1_100);
        assert_eq!(at("/partitions/0/keys/on_both"), 5);
        Ok(())
    }

    #[test]
    fn only_a_source_without_a_tail_or_a_loss_that_stands_still_holds() {
        assert!(survey_of(vec![line(0)]).holds());
        let spoil: [fn(&mut Line); 4] = [
            |line| line.moved = true,
            |line| line.held_back_offsets = 1,
            |line| line.unknown = Some("no leader".to_owned()),
            |line| line.loss = Some(Loss::TopicGone),
        ];
        for spoil in spoil {
            let mut spoilt = line(0);
            spoil(&mut spoilt);
            assert!(!spoilt.notes().is_empty());
            assert!(!survey_of(vec![spoilt]).holds());
        }
    }

    #[test]
    fn what_was_never_copied_is_told_apart() {
        let mut never = line(3);
        never.cut = None;
        let text = survey_of(vec![never]).to_string();
        assert!(text.contains("never copied"), "{text}");
    }

    #[test]
    fn writers_that_are_not_fenced_are_told_loudly() {
        let mut moving = line(3);
        moving.moved = true;
        let text = survey_of(vec![moving]).to_string();
        assert!(text.contains("THE ENDS MOVED") && text.contains("understudy fence"));
    }

    #[test]
    fn another_cluster_is_named_with_both_ids() {
        let mut survey = survey_of(Vec::new());
        survey.other_cluster = Some(OtherCluster {
            expected: "Old".to_owned(),
            found: "New".to_owned(),
        });
        let text = survey.to_string();
        assert!(
            text.contains("cluster New now, the flow's was Old"),
            "{text}"
        );
    }
}
