//! `understudy salvage FLOW.toml export` and `merge`: what the tail holds is carried to the active cluster, into topics of
//! its own or into those of the copies, and what was done is said last: that it holds is said only after what was put
//! aside was read back and came to the same.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use understudy_domain::tail::{Loss, Missing, Tail, TailDigest, TailProgress};
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_flow::config::Flow;
use understudy_flow::report::Report;
use understudy_flow::words;

use crate::SalvageError;
use crate::carrier::{Carrier, Rule};
use crate::ground::Ground;
use crate::look::{Found, look, moved};
use crate::mergeable;
use crate::read_back::read_back;
use crate::survey::lost;

/// What is done with a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// All of it is put aside.
    PutAside,
    /// It goes into the topics of the copies, but for what must not; that is put aside.
    Merge,
}

/// What was put aside.
#[derive(Serialize)]
pub struct Export {
    flow: String,
    /// The epoch at which the flow was sealed.
    epoch: u64,
    source: String,
    target: String,
    /// Everything that the source holds beyond the cut is put aside, and was read back.
    holds: bool,
    /// Records that are put aside, by this run and those before.
    records: u64,
    /// By this run.
    records_now: u64,
    /// Records that were merged into the topics of the copies, by this run and those before.
    merged: u64,
    /// Records that were left out of that.
    left_out: u64,
    partitions: Vec<Line>,
}

/// One partition.
#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    /// The topic of the target that takes it, if there is anything.
    tail_topic: Option<String>,
    /// Where the tail begins on the source.
    begins: i64,
    /// The first source offset that is not put aside.
    source_offset: i64,
    /// Where readers of committed records end on the source.
    end: Option<i64>,
    records: u64,
    records_now: u64,
    /// Records that were merged into the topic of the copies.
    merged: u64,
    /// Records that were left out of that, and are put aside.
    left_out: u64,
    /// What the records come to.
    digest: Option<TailDigest>,
    /// What the source deleted before it could be read.
    missing: Vec<Missing>,
    /// Offsets behind the end that open transactions hold back.
    held_back_offsets: u64,
    /// Its end moved meanwhile.
    moved: bool,
    /// What the cluster lost.
    loss: Option<Loss>,
    /// Why it does not hold.
    faults: Vec<String>,
    /// The file that holds the same records.
    file: Option<String>,
}

/// Puts aside what the cluster that came back holds beyond the cut, of these topics or of all; with a folder, writes it
/// to files as well.
///
/// # Errors
/// The flow is not sealed, a cluster does not answer, or the target does not take it.
pub fn export(
    flow: &Flow,
    topics: &[String],
    folder: Option<&Path>,
) -> Result<Export, SalvageError> {
    carry(flow, topics, folder, How::PutAside)
}

/// Merges what it holds of these topics into the topics of their copies, behind what is there; what must not rise there
/// over something newer, and what cannot be judged, is put aside.
///
/// # Errors
/// As [`export`].
pub fn merge(flow: &Flow, topics: &[String]) -> Result<Export, SalvageError> {
    carry(flow, topics, None, How::Merge)
}

fn carry(
    flow: &Flow,
    topics: &[String],
    folder: Option<&Path>,
    how: How,
) -> Result<Export, SalvageError> {
    let mut ground = Ground::open(flow)?;
    if !ground.is_own_source() {
        return Err(SalvageError::OtherCluster {
            source_alias: flow.source.alias.clone(),
            expected: ground.record.source_cluster_id.clone(),
            found: ground.source_id.clone(),
        });
    }
    ground.keep(topics)?;
    let found = look(&ground)?;
    let mut stored = ground.put_aside()?;
    let before = stored.clone();
    if ground.cut.keys().any(|name| {
        let key = ground.tail_key(name);
        is_left(&found, name, stored.get(&key), how).is_some()
    }) {
        let mut carrier = Carrier::take_over(&ground)?;
        carry_all(&mut carrier, &ground, &found, how)?;
        stored = carrier.stored;
    }
    let mut lines = Vec::new();
    for (name, position) in &ground.cut {
        let key = ground.tail_key(name);
        let (progress, known) = (stored.get(&key), before.get(&key));
        let cut = position.as_ref().map(|position| position.source_offset);
        let mut line = Line::of(name, cut, &found, progress, known);
        if let Some(progress) = progress.filter(|it| it.records > 0) {
            let back = read_back(&ground, name, progress, folder)?;
            line.faults.extend(back.faults);
            line.file = back.file.map(|file| file.display().to_string());
        }
        lines.push(line);
    }
    for name in moved(&ground, &found.tails)? {
        let mut own = lines.iter_mut();
        let line = own.find(|it| it.topic == *name.topic && it.partition == name.partition);
        if let Some(line) = line {
            line.moved = true;
        }
    }
    ground.still_stands()?;
    Ok(Export {
        flow: flow.name.to_string(),
        epoch: ground.record.epoch,
        source: flow.source.alias.clone(),
        target: flow.target.alias.clone(),
        holds: lines.iter().all(Line::holds),
        records: lines.iter().map(|line| line.records).sum(),
        records_now: lines.iter().map(|line| line.records_now).sum(),
        merged: lines.iter().map(|line| line.merged).sum(),
        left_out: lines.iter().map(|line| line.left_out).sum(),
        partitions: lines,
    })
}

/// Carries what is left, topic by topic.
fn carry_all(
    carrier: &mut Carrier<'_>,
    ground: &Ground<'_>,
    found: &Found,
    how: How,
) -> Result<(), SalvageError> {
    for topic in ground.topics() {
        let own = ground.cut.iter().filter(|(name, _)| *name.topic == *topic);
        for (name, position) in own {
            let progress = carrier.stored.get(&ground.tail_key(name));
            let Some(tail) = is_left(found, name, progress, how) else {
                continue;
            };
            let rule = match how {
                How::PutAside => Rule::PutAside,
                How::Merge => {
                    // To find out takes long: no transaction is open meanwhile.
                    carrier.commit()?;
                    mergeable::rule(ground, name, position.as_ref(), tail)?
                }
            };
            carrier.carry(found, name, tail, rule)?;
        }
        carrier.commit()?;
    }
    Ok(())
}

/// The tail of a partition of which something is left to be read, with what stands of it.
fn is_left<'f>(
    found: &'f Found,
    name: &TopicPartition,
    stored: Option<&TailProgress>,
    how: How,
) -> Option<&'f Tail> {
    let tail = found.tails.get(name)?.as_ref().ok()?;
    let read = stored.map(|progress| match how {
        How::PutAside => progress.source_offset,
        How::Merge => progress.merged().source_offset,
    });
    let from = read.unwrap_or(tail.first);
    let is_same = stored.is_none_or(|progress| progress.is_of(found.topic_id(name)));
    (from < tail.end && is_same).then_some(tail)
}

impl Line {
    fn of(
        name: &TopicPartition,
        cut: Option<SourceOffset>,
        found: &Found,
        progress: Option<&TailProgress>,
        before: Option<&TailProgress>,
    ) -> Self {
        let tail = found.tails.get(name).and_then(|tail| tail.as_ref().ok());
        let cut = cut.or(tail.map(|tail| tail.begins)).unwrap_or_default();
        let mut line = Self {
            topic: name.topic.to_string(),
            partition: name.partition,
            tail_topic: progress
                .filter(|it| it.records > 0)
                .map(|it| it.tail_topic.clone()),
            begins: progress.map_or(cut, |it| it.begins_at).get(),
            source_offset: progress.map_or(cut, |it| it.source_offset).get(),
            end: None,
            records: progress.map_or(0, |it| it.records),
            records_now: 0,
            merged: progress.map_or(0, |it| it.merged().records),
            left_out: progress.map_or(0, |it| it.merged().left_out),
            digest: progress.map(|it| it.digest),
            missing: progress.map(|it| it.missing.clone()).unwrap_or_default(),
            held_back_offsets: 0,
            moved: false,
            loss: None,
            faults: Vec::new(),
            file: None,
        };
        let known = before.map_or(0, |it| it.records);
        line.records_now = line.records.saturating_sub(known);
        match found.tails.get(name) {
            Some(Ok(tail)) => {
                line.end = (!tail.is_gone()).then(|| tail.end.get());
                line.held_back_offsets = tail.held_back;
                line.loss.clone_from(&tail.loss);
                if progress.is_none() && tail.first > tail.begins {
                    line.missing.push(Missing {
                        start: tail.begins,
                        end: tail.first,
                    });
                }
                if let Some(progress) = progress
                    && !progress.is_of(found.topic_id(name))
                {
                    line.faults.push(format!(
                        "the topic was made again on the source since; what it holds now is not mixed with what {} holds",
                        progress.tail_topic
                    ));
                }
            }
            Some(Err(reason)) => line.faults.push(format!("not known: {reason}")),
            None => line.faults.push("it was not looked at".to_owned()),
        }
        line
    }

    /// Whether all of it is put aside, and was read back.
    fn holds(&self) -> bool {
        self.faults.is_empty()
            && self.missing.is_empty()
            && self.held_back_offsets == 0
            && !self.moved
    }

    /// What of it is not put aside and could be; not what the source had deleted before.
    fn unsettled(&self) -> Option<String> {
        let name = format!("{}-{}", self.topic, self.partition);
        if let Some(fault) = self.faults.first() {
            return Some(format!("{name}: {fault}"));
        }
        if self.held_back_offsets > 0 {
            return Some(format!("{name}: an open transaction holds records back"));
        }
        let moved = || format!("{name}: somebody wrote to it meanwhile");
        self.moved.then(moved)
    }

    /// What else is to be said of it.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        let deleted = |loss: &&Loss| !matches!(loss, Loss::Deleted { .. });
        let cut = self.begins;
        notes.extend(
            self.loss
                .as_ref()
                .filter(deleted)
                .map(|loss| lost(loss, cut)),
        );
        notes.extend(self.missing.iter().map(|range| {
            format!(
                "MISSING: the source deleted offsets {} to {} before they could be read",
                range.start,
                range.end.get().saturating_sub(1)
            )
        }));
        notes.extend(
            self.faults
                .iter()
                .map(|fault| format!("DOES NOT HOLD: {fault}")),
        );
        if self.held_back_offsets > 0 {
            notes.push(format!(
                "{} more offsets are held back by an open transaction on the source: run it again once that has ended",
                words::count(self.held_back_offsets)
            ));
        }
        if self.moved {
            notes.push(
                "its end moved while this ran: fence the source's writers, and run it again"
                    .to_owned(),
            );
        }
        if self.merged > 0 || self.left_out > 0 {
            notes.push(format!(
                "merged into the topic: {}; left out of it: {}",
                words::counted(self.merged, "record"),
                words::count(self.left_out)
            ));
        }
        notes.extend(self.file.as_ref().map(|file| format!("also in {file}")));
        notes
    }
}

/// Where the records of tails are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// In topics of their own.
    pub put_aside: u64,
    /// In the topics of the copies.
    pub merged: u64,
}

impl Export {
    /// Where the records are, once everything is that the source still holds.
    ///
    /// # Errors
    /// What is not, in words, partition by partition.
    pub fn settled(&self) -> Result<Settled, Vec<String>> {
        let unsettled: Vec<String> = self.partitions.iter().filter_map(Line::unsettled).collect();
        if unsettled.is_empty() {
            Ok(Settled {
                put_aside: self.records,
                merged: self.merged,
            })
        } else {
            Err(unsettled)
        }
    }
}

impl Report for Export {
    fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "flow {}, sealed at e{}: what {} holds beyond the cut is put aside on {}\n",
            self.flow, self.epoch, self.source, self.target
        )?;
        let shown = || {
            let lines = self.partitions.iter();
            lines.filter(|line| line.tail_topic.is_some() || !line.notes().is_empty())
        };
        let wide = shown().map(|line| line.topic.chars().count()).max();
        let wide = wide.unwrap_or_default().max("topic".len());
        if shown().next().is_some() {
            writeln!(
                f,
                "{:wide$}  partition          from         up to      records   of this run  topic",
                "topic"
            )?;
        }
        for line in shown() {
            writeln!(
                f,
                "{:wide$}  {:>9}  {:>12}  {:>12}  {:>11}  {:>12}  {}",
                line.topic,
                line.partition,
                line.begins,
                line.source_offset,
                words::count(line.records),
                words::count(line.records_now),
                line.tail_topic.as_deref().unwrap_or("-"),
            )?;
            for note in line.notes() {
                writeln!(f, "    {note}")?;
            }
        }
        let records = words::counted(self.records, "record");
        let now = words::count(self.records_now);
        if self.merged > 0 || self.left_out > 0 {
            writeln!(
                f,
                "\n{} merged into the topics themselves; {} left out of them and put aside: a newer value of the key may be there, or the flow had not begun with the partition",
                words::counted(self.merged, "record"),
                words::count(self.left_out)
            )?;
        }
        if self.holds {
            writeln!(
                f,
                "\nit holds: {records} put aside, {now} of them by this run; all were read back and came to the same"
            )
        } else {
            writeln!(
                f,
                "\nIT DOES NOT HOLD: {records} put aside, {now} of them by this run; see above for what is not"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found(tail: Tail) -> Found {
        let name = TopicPartition::new("orders", 3);
        Found {
            tails: BTreeMap::from([(name, Ok(tail))]),
            topic_ids: BTreeMap::from([("orders".to_owned(), "id".to_owned())]),
        }
    }

    fn tail(first: i64, end: i64) -> Tail {
        let at = SourceOffset::new;
        Tail {
            begins: at(100),
            first: at(first),
            end: at(end),
            held_back: 0,
            loss: (first > 100).then(|| Loss::Deleted { until: at(first) }),
        }
    }

    fn progress(up_to: i64) -> TailProgress {
        let at = SourceOffset::new;
        let mut progress =
            TailProgress::new("orders.tail.e7".to_owned(), Some("id".to_owned()), at(100));
        progress.pass(at(up_to));
        progress
    }

    #[test]
    fn what_is_put_aside_is_not_read_again() {
        let name = TopicPartition::new("orders", 3);
        let found = found(tail(100, 130));
        let is_left =
            |stored: Option<&TailProgress>| is_left(&found, &name, stored, How::PutAside).is_some();
        assert!(is_left(None));
        assert!(is_left(Some(&progress(120))));
        assert!(!is_left(Some(&progress(130))));
        let mut of_another = progress(120);
        of_another.source_topic_id = Some("other".to_owned());
        assert!(!is_left(Some(&of_another)), "two topics are not mixed");
        let cut = Some(SourceOffset::new(100));
        let line = Line::of(&name, cut, &found, Some(&of_another), None);
        assert!(!line.holds() && line.notes().concat().contains("made again"));
    }

    #[test]
    fn what_the_source_deleted_is_missing_on_every_run() {
        let name = TopicPartition::new("orders", 3);
        let cut = Some(SourceOffset::new(100));
        let gone = Line::of(&name, cut, &found(tail(150, 150)), None, None);
        assert!(!gone.holds());
        assert!(
            gone.notes().concat().contains("100 to 149"),
            "{:?}",
            gone.notes()
        );
        let mut stored = progress(120);
        stored.meet_start(SourceOffset::new(150));
        let later = Line::of(
            &name,
            cut,
            &found(tail(150, 150)),
            Some(&stored),
            Some(&stored),
        );
        assert!(
            later.notes().concat().contains("120 to 149"),
            "{:?}",
            later.notes()
        );
        assert!(!later.holds());
    }

    #[test]
    fn a_partition_that_is_put_aside_whole_holds() {
        let name = TopicPartition::new("orders", 3);
        let cut = Some(SourceOffset::new(100));
        let found = found(tail(100, 130));
        let line = Line::of(&name, cut, &found, Some(&progress(130)), None);
        assert!(line.holds() && line.notes().is_empty());
        let nothing = Line::of(&name, cut, &self::found(tail(100, 100)), None, None);
        assert!(nothing.holds() && nothing.tail_topic.is_none());
    }
}
