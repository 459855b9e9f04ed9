//! What a cluster that came back holds beyond the cut of its flow: surveyed and put aside as `understudy salvage` does.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_domain::tail::Loss;
use understudy_flow::config::Flow;
use understudy_recovery::tail::{Carried, Lost, PlaceOfCut, TailOfPartition, TailSurvey};
use understudy_salvage::{Export, Line, SalvageError, Settled, export, lost, merge, renew, survey};
use understudy_shell::{PortError, PortErrorKind};

/// Surveys it. Keys that were written on both sides are not counted: that takes as long as the active cluster is read.
///
/// # Errors
/// The flow is not sealed, or a cluster does not answer.
pub fn look(flow: &Flow) -> Result<TailSurvey, PortError> {
    let found = survey(flow, Duration::ZERO).map_err(|error| trouble(&error))?;
    let other = found.other_cluster.as_ref().map(|it| {
        format!(
            "the address of {} leads to cluster {}, and flow {} was made for {}",
            found.source, it.found, found.flow, it.expected
        )
    });
    let groups = found.groups.beyond.iter().map(|it| {
        format!(
            "group {} has read {}-{} up to {}, beyond {}",
            it.group, it.topic, it.partition, it.source_offset, it.tail_begins
        )
    });
    Ok(TailSurvey {
        groups: groups.collect(),
        flow: found.flow,
        epoch: found.epoch,
        other_cluster: other,
        partitions: found.partitions.iter().map(partition).collect(),
    })
}

fn partition(line: &Line) -> TailOfPartition {
    let cut = line.cut.zip(line.copies_end);
    TailOfPartition {
        topic: line.topic.clone(),
        partition: line.partition,
        copies: line.copies.clone(),
        cut: cut.map(|(returned, active)| PlaceOfCut { returned, active }),
        end: line.end,
        held_back: line.held_back_offsets,
        copies_begin: line.copies_begin.unwrap_or_default(),
        records: line.tally.records,
        lost: line.loss.as_ref().map(|loss| Lost {
            of_copies: !matches!(loss, Loss::Deleted { .. }),
            gone: matches!(loss, Loss::TopicGone),
            text: lost(loss, line.cut.unwrap_or(line.begins)),
        }),
        moved: line.moved,
        unknown: line.unknown.clone(),
    }
}

/// Puts these topics' tails aside; how many records are.
///
/// # Errors
/// [`PortErrorKind::Conflict`] if not all of it is that is there; or a cluster does not answer.
pub fn put_aside(flow: &Flow, topics: &[String]) -> Result<u64, PortError> {
    if topics.is_empty() {
        return Ok(0);
    }
    let done = export(flow, topics, None).map_err(|error| trouble(&error))?;
    Ok(settled(&done)?.put_aside)
}

/// Merges these topics' tails into the topics of the copies; where the records are.
///
/// # Errors
/// As [`put_aside`].
pub fn merge_into(flow: &Flow, topics: &[String]) -> Result<Carried, PortError> {
    if topics.is_empty() {
        return Ok(Carried::default());
    }
    let done = merge(flow, topics).map_err(|error| trouble(&error))?;
    let settled = settled(&done)?;
    Ok(Carried {
        put_aside: settled.put_aside,
        merged: settled.merged,
    })
}

fn settled(done: &Export) -> Result<Settled, PortError> {
    let settled = done.settled();
    settled.map_err(|left| PortError::new(PortErrorKind::Conflict, left.join("; ")))
}

/// Puts right what compaction would keep of these topics' tails; where each partition that was written to ends now.
///
/// # Errors
/// A cluster does not answer, or does not take it.
pub fn renew_keys(
    flow: &Flow,
    back: &Flow,
    topics: &[String],
) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    renew(flow, back, topics).map_err(|error| trouble(&error))
}

fn trouble(error: &SalvageError) -> PortError {
    let kind = match error {
        SalvageError::Tool(_) | SalvageError::Unfinished(_) => PortErrorKind::Unreachable,
        SalvageError::Changed { .. } => PortErrorKind::Conflict,
        SalvageError::NotSealed { .. }
        | SalvageError::FlowBack { .. }
        | SalvageError::OtherCluster { .. }
        | SalvageError::NoTopic { .. }
        | SalvageError::InTheWay { .. }
        | SalvageError::TooManyKeys { .. }
        | SalvageError::Refused { .. }
        | SalvageError::File { .. } => PortErrorKind::Refused,
    };
    PortError::new(kind, error.to_string())
}
