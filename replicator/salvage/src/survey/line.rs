//! What a survey tells of one partition.

use serde::Serialize;
use understudy_domain::tail::{Loss, Tail, TailProgress};
use understudy_domain::{Position, TopicPartition};
use understudy_flow::words;

use crate::tally::Tally;

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
    /// Offsets of the tail that were not read, because that takes longer than was given: at most so many records come on
    /// top.
    pub uncounted_offsets: u64,
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

impl Line {
    /// What a look found of a partition; nothing is counted yet.
    pub fn of(
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
            uncounted_offsets: 0,
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
    pub fn is_nothing(&self) -> bool {
        self.tally.records == 0
            && self.uncounted_offsets == 0
            && self.held_back_offsets == 0
            && self.loss.is_none()
            && !self.moved
            && self.unknown.is_none()
    }

    /// What else is to be said of it.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cut.is_none() {
            notes.push(
                "never copied: the flow ended before it began with this partition".to_owned(),
            );
        }
        let cut = self.cut.unwrap_or(self.begins);
        notes.extend(self.loss.as_ref().map(|loss| lost(loss, cut)));
        notes.extend(self.unknown.as_ref().map(|why| format!("not known: {why}")));
        if self.uncounted_offsets > 0 {
            notes.push(format!(
                "{} more offsets were not read: at most so many records come on top",
                words::count(self.uncounted_offsets)
            ));
        }
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
    /// What stands of a partition's tail.
    pub fn of(progress: &TailProgress) -> Self {
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
