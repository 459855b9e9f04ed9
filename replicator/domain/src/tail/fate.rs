//! What became of a partition of a cluster that came back.

use std::ops::Range;

use serde::Serialize;

use crate::{Position, SourceOffset};

/// One partition of the cluster that came back, as a look found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnedLog {
    /// It is there.
    Held(HeldLog),
    /// The cluster has no such topic.
    NoTopic,
    /// The topic has fewer partitions.
    NoPartition,
}

/// A log that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLog {
    /// The topic's id, where the cluster tells it.
    pub topic_id: Option<String>,
    /// Where the log begins.
    pub start: SourceOffset,
    /// Where a reader of committed records ends.
    pub last_stable: SourceOffset,
    /// Where every reader ends. Beyond the last stable offset while a transaction is open.
    pub high_watermark: SourceOffset,
    /// Where it begins to hold other records than those that were copied, if leader epochs show that it does.
    pub forked_at: Option<SourceOffset>,
}

/// What the cluster lost of what it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Loss {
    /// The topic is gone.
    TopicGone,
    /// The topic is there with fewer partitions.
    PartitionGone,
    /// The topic was deleted and made again: nothing in it was ever copied.
    Recreated {
        /// Its id now.
        topic_id: String,
    },
    /// The log was cut below what was copied and has grown again: it holds other records than the copies from there on.
    Forked {
        /// From where on.
        at: SourceOffset,
    },
    /// The log ends before what was copied does.
    Shortened {
        /// Where it ends.
        end: SourceOffset,
    },
    /// Records beyond the cut were deleted before anybody looked (retention, or `DeleteRecords`).
    Deleted {
        /// Up to where.
        until: SourceOffset,
    },
}

/// What a partition holds beyond its cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Where it begins: the cut, or where another log than the one that was copied begins.
    pub begins: SourceOffset,
    /// The first offset of it that the log still holds.
    pub first: SourceOffset,
    /// Where a reader of committed records ends; never before `first`.
    pub end: SourceOffset,
    /// Offsets behind that which open transactions hold back.
    pub held_back: u64,
    /// What the cluster lost.
    pub loss: Option<Loss>,
}

impl Tail {
    /// The tail of a partition whose flow ended at `position`.
    pub fn of(position: &Position, log: &ReturnedLog) -> Self {
        let cut = position.source_offset;
        let nothing = |loss| Self {
            begins: cut,
            first: cut,
            end: cut,
            held_back: 0,
            loss: Some(loss),
        };
        let log = match log {
            ReturnedLog::NoTopic => return nothing(Loss::TopicGone),
            ReturnedLog::NoPartition => return nothing(Loss::PartitionGone),
            ReturnedLog::Held(log) => log,
        };
        let forked_at = log.forked_at.filter(|at| *at < cut);
        let (begins, loss) = match (&position.source_topic_id, &log.topic_id, forked_at) {
            (Some(known), Some(now), _) if known != now => {
                let topic_id = now.clone();
                (SourceOffset::ZERO, Some(Loss::Recreated { topic_id }))
            }
            (_, _, Some(at)) => (at, Some(Loss::Forked { at })),
            (_, _, None) if log.high_watermark < cut => {
                let end = log.high_watermark;
                (cut, Some(Loss::Shortened { end }))
            }
            (_, _, None) if log.start > cut => (cut, Some(Loss::Deleted { until: log.start })),
            (_, _, None) => (cut, None),
        };
        Self::from(begins, log, loss)
    }

    /// The tail of a partition that the flow had not begun with when it ended: everything from `from` on.
    pub fn never_copied(from: SourceOffset, log: &HeldLog) -> Self {
        Self::from(from.max(log.start), log, None)
    }

    /// What the log holds from where the tail begins.
    fn from(begins: SourceOffset, log: &HeldLog, loss: Option<Loss>) -> Self {
        let first = begins.max(log.start);
        let end = log.last_stable.max(first);
        let held_back = log.high_watermark.get().saturating_sub(end.get());
        Self {
            begins,
            first,
            end,
            held_back: u64::try_from(held_back).unwrap_or_default(),
            loss,
        }
    }

    /// Whether the log holds nothing of it that a reader of committed records can have. Where it does hold offsets,
    /// there may still be no record: control records and aborted ones have offsets too.
    pub fn is_empty(&self) -> bool {
        self.first >= self.end
    }

    /// Whether there is no log that could tell.
    pub const fn is_gone(&self) -> bool {
        matches!(self.loss, Some(Loss::TopicGone | Loss::PartitionGone))
    }

    /// What the log held of it and holds no more.
    pub fn deleted(&self) -> Range<SourceOffset> {
        self.begins..self.first
    }
}
