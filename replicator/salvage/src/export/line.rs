//! What became of one partition.

use serde::Serialize;
use understudy_domain::tail::{Loss, Missing, TailDigest, TailProgress};
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_flow::words;

use crate::look::Found;
use crate::survey::lost;

/// One partition.
#[derive(Serialize)]
pub struct Line {
    /// The topic on the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The topic of the target that takes it, if there is anything.
    pub tail_topic: Option<String>,
    /// Where the tail begins on the source.
    pub begins: i64,
    /// The first source offset that is not put aside.
    pub source_offset: i64,
    /// Where readers of committed records end on the source.
    pub end: Option<i64>,
    /// Records that are put aside.
    pub records: u64,
    /// By this run.
    pub records_now: u64,
    /// Records that were merged into the topic of the copies.
    pub merged: u64,
    /// Records that were left out of that, and are put aside.
    pub left_out: u64,
    /// What the records come to.
    pub digest: Option<TailDigest>,
    /// What the source deleted before it could be read.
    pub missing: Vec<Missing>,
    /// Offsets behind the end that open transactions hold back.
    pub held_back_offsets: u64,
    /// Its end moved meanwhile.
    pub moved: bool,
    /// What the cluster lost.
    pub loss: Option<Loss>,
    /// Why it does not hold.
    pub faults: Vec<String>,
    /// The file that holds the same records.
    pub file: Option<String>,
}

impl Line {
    /// What was looked at and carried of a partition, by this run and those before.
    pub fn of(
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
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
            && self.missing.is_empty()
            && self.held_back_offsets == 0
            && !self.moved
    }

    /// What of it is not put aside and could be; not what the source had deleted before.
    pub fn unsettled(&self) -> Option<String> {
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
    pub fn notes(&self) -> Vec<String> {
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
