//! What a cluster that came back holds beyond the cut of its flow: surveyed and put aside as `understudy salvage` does.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_domain::tail::{Loss, TailMarks};
use understudy_flow::config::Flow;
use understudy_recovery::tail::{
    Carried, KeysOfTail, Lost, PlaceOfCut, TailOfPartition, TailSurvey,
};
use understudy_salvage::{
    Export, Line, SalvageError, Turn, Within, export_for, lost, merge_for, renew, survey,
};
use understudy_shell::turn::TailTurn;
use understudy_shell::{PortError, PortErrorKind};

/// How long a survey reads tails, and what was written since: whatever there is, an answer comes well within a step's time.
/// Of what it does not come to, offsets are told, and what is put aside is counted then.
const SURVEY_WITHIN: Within = Within {
    tails: Some(Duration::from_secs(120)),
    keys: Duration::from_secs(20),
};

/// Surveys it.
///
/// # Errors
/// The flow is not sealed, or a cluster does not answer.
pub fn look(flow: &Flow) -> Result<TailSurvey, PortError> {
    let found = survey(flow, SURVEY_WITHIN).map_err(|error| trouble(&error))?;
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
    // A topic that was made again, got a new name and is left out since is nothing of the flow's any more.
    let partitions = (found.partitions.iter())
        .filter(|line| line.topic == line.copies || flow.selects(&line.topic));
    Ok(TailSurvey {
        groups: groups.collect(),
        flow: found.flow,
        epoch: found.epoch,
        other_cluster: other,
        partitions: partitions.map(partition).collect(),
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
        uncounted: line.uncounted_offsets,
        first_timestamp_ms: line.tally.first_timestamp_ms,
        last_timestamp_ms: line.tally.last_timestamp_ms,
        keys: line.keys.as_ref().map(|keys| KeysOfTail {
            distinct: keys.distinct,
            on_both: keys.on_both,
            exact: keys.exact,
        }),
        lost: line.loss.as_ref().map(|loss| Lost {
            of_copies: !matches!(loss, Loss::Deleted { .. }),
            gone: matches!(loss, Loss::TopicGone),
            text: lost(loss, line.cut.unwrap_or(line.begins)),
        }),
        moved: line.moved,
        unknown: line.unknown.clone(),
    }
}

/// Puts these topics' tails aside, for one turn; where the records are.
///
/// # Errors
/// [`PortErrorKind::Conflict`] if not all of it is that is there; or a cluster does not answer.
pub fn put_aside(
    flow: &Flow,
    topics: &[String],
    turn: &mut TailTurn,
) -> Result<Carried, PortError> {
    if topics.is_empty() {
        return Ok(Carried::default());
    }
    let goes_on = |marks: &TailMarks| turn.asker.go_on(marks).map_err(|error| error.to_string());
    let mut turn = Turn::within(turn.within, &mut turn.marks).asking(&goes_on);
    let done = export_for(flow, topics, &mut turn).map_err(|error| trouble(&error))?;
    settled(&done)
}

/// Merges these topics' tails into the topics of the copies, for one turn; where the records are.
///
/// # Errors
/// As [`put_aside`].
pub fn merge_into(
    flow: &Flow,
    topics: &[String],
    turn: &mut TailTurn,
) -> Result<Carried, PortError> {
    if topics.is_empty() {
        return Ok(Carried::default());
    }
    let goes_on = |marks: &TailMarks| turn.asker.go_on(marks).map_err(|error| error.to_string());
    let mut turn = Turn::within(turn.within, &mut turn.marks).asking(&goes_on);
    let done = merge_for(flow, topics, &mut turn).map_err(|error| trouble(&error))?;
    settled(&done)
}

fn settled(done: &Export) -> Result<Carried, PortError> {
    let settled = done.settled();
    let settled =
        settled.map_err(|left| PortError::new(PortErrorKind::Conflict, left.join("; ")))?;
    Ok(Carried {
        put_aside: settled.put_aside,
        merged: settled.merged,
        is_cut_off: settled.is_cut_off,
    })
}

/// Puts right what compaction would keep of these topics' tails, for one turn; where each partition that was written to ends
/// now, once all are.
///
/// # Errors
/// [`PortErrorKind::Conflict`] if somebody else wrote there meanwhile; or a cluster does not answer, or does not take it.
pub fn renew_keys(
    flow: &Flow,
    back: &Flow,
    topics: &[String],
    turn: &mut TailTurn,
) -> Result<Option<BTreeMap<TopicPartition, i64>>, PortError> {
    if topics.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let goes_on = |marks: &TailMarks| turn.asker.go_on(marks).map_err(|error| error.to_string());
    let mut turn = Turn::within(turn.within, &mut turn.marks).asking(&goes_on);
    renew(flow, back, topics, &mut turn).map_err(|error| trouble(&error))
}

fn trouble(error: &SalvageError) -> PortError {
    let kind = match error {
        SalvageError::Tool(_) | SalvageError::Unfinished(_) => PortErrorKind::Unreachable,
        SalvageError::Changed { .. } | SalvageError::WrittenSince { .. } => PortErrorKind::Conflict,
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
