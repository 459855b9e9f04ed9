//! `understudy salvage FLOW.toml export` and `merge`: what the tail holds is carried to the active cluster, into topics of
//! its own or into those of the copies, and what was done is said last: that it holds is said only after what was put
//! aside was read back and came to the same.

mod line;
mod told;

use std::path::Path;

use serde::Serialize;
use understudy_domain::TopicPartition;
use understudy_domain::tail::{Tail, TailMarks, TailProgress};
use understudy_flow::config::Flow;
use understudy_flow::report::Report;

use crate::SalvageError;
use crate::carrier::{Carrier, Rule};
use crate::ground::Ground;
use crate::look::{Found, look, moved};
use crate::mergeable;
use crate::read_back::read_back;
use crate::turn::Turn;

use line::Line;

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
    /// Transactions of this run that were made again, because somebody wrote keys of theirs before them.
    made_again: u64,
    partitions: Vec<Line>,
    /// The turn was over before all was carried and read back.
    #[serde(skip)]
    is_cut_off: bool,
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
    let mut marks = TailMarks::default();
    carry(
        flow,
        topics,
        folder,
        How::PutAside,
        &mut Turn::whole(&mut marks),
    )
}

/// As [`export`], for one turn.
///
/// # Errors
/// As [`export`].
pub fn export_for(
    flow: &Flow,
    topics: &[String],
    turn: &mut Turn<'_>,
) -> Result<Export, SalvageError> {
    carry(flow, topics, None, How::PutAside, turn)
}

/// Merges what it holds of these topics into the topics of their copies, behind what is there; what must not rise there
/// over something newer, and what cannot be judged, is put aside.
///
/// # Errors
/// As [`export`].
pub fn merge(flow: &Flow, topics: &[String]) -> Result<Export, SalvageError> {
    let mut marks = TailMarks::default();
    merge_for(flow, topics, &mut Turn::whole(&mut marks))
}

/// As [`merge`], for one turn.
///
/// # Errors
/// As [`export`].
pub fn merge_for(
    flow: &Flow,
    topics: &[String],
    turn: &mut Turn<'_>,
) -> Result<Export, SalvageError> {
    carry(flow, topics, None, How::Merge, turn)
}

fn carry(
    flow: &Flow,
    topics: &[String],
    folder: Option<&Path>,
    how: How,
    turn: &mut Turn<'_>,
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
    let (mut is_cut_off, mut made_again) = (false, 0);
    if ground.cut.keys().any(|name| {
        let key = ground.tail_key(name);
        is_left(&found, name, stored.get(&key), how).is_some()
    }) {
        let mut carrier = Carrier::take_over(&ground)?;
        is_cut_off = !carry_all(&mut carrier, &ground, &found, how, turn)?;
        (stored, made_again) = (carrier.stored, carrier.made_again);
    }
    let mut lines = Vec::new();
    for (name, position) in &ground.cut {
        let key = ground.tail_key(name);
        let (progress, known) = (stored.get(&key), before.get(&key));
        let cut = position.as_ref().map(|position| position.source_offset);
        let mut line = Line::of(name, cut, &found, progress, known);
        if let Some(progress) = progress.filter(|it| it.records > 0 && !is_cut_off) {
            let back = read_back(&ground, name, progress, folder, turn)?;
            is_cut_off = back.is_cut_off;
            line.faults.extend(back.faults);
            line.file = back.file.map(|file| file.display().to_string());
        }
        lines.push(line);
    }
    let moved = moved(&ground, &found.tails)?;
    for (name, tail) in &found.tails {
        if let Ok(tail) = tail
            && !is_cut_off
            && !moved.contains(name)
        {
            turn.marks.note_known_to(name, tail.end);
        }
    }
    for name in moved {
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
        holds: !is_cut_off && lines.iter().all(Line::holds),
        records: lines.iter().map(|line| line.records).sum(),
        records_now: lines.iter().map(|line| line.records_now).sum(),
        merged: lines.iter().map(|line| line.merged).sum(),
        left_out: lines.iter().map(|line| line.left_out).sum(),
        made_again,
        partitions: lines,
        is_cut_off,
    })
}

/// Carries what is left, topic by topic, for as long as the turn lasts; whether that was all.
fn carry_all(
    carrier: &mut Carrier<'_>,
    ground: &Ground<'_>,
    found: &Found,
    how: How,
    turn: &mut Turn<'_>,
) -> Result<bool, SalvageError> {
    for topic in ground.topics() {
        let own = ground.cut.iter().filter(|(name, _)| *name.topic == *topic);
        for (name, position) in own {
            let progress = carrier.stored.get(&ground.tail_key(name));
            let Some(tail) = is_left(found, name, progress, how) else {
                continue;
            };
            if !turn.may_begin() {
                carrier.commit()?;
                return Ok(false);
            }
            let from = progress.map_or(tail.first, |it| it.merged().source_offset.max(tail.first));
            let rule = match how {
                How::PutAside => Rule::PutAside,
                How::Merge => {
                    // To find out takes long: no transaction is open meanwhile.
                    carrier.commit()?;
                    mergeable::rule(ground, name, position.as_ref(), (tail, from))?
                }
            };
            if !carrier.carry(found, name, tail, rule, turn)? {
                return Ok(false);
            }
        }
        carrier.commit()?;
    }
    Ok(true)
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

/// Where the records of tails are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// In topics of their own.
    pub put_aside: u64,
    /// In the topics of the copies.
    pub merged: u64,
    /// The turn was over before all of them were carried and read back.
    pub is_cut_off: bool,
}

impl Export {
    /// Where the records are, once everything is that the source still holds, or the turn is over.
    ///
    /// # Errors
    /// What is not, in words, partition by partition.
    pub fn settled(&self) -> Result<Settled, Vec<String>> {
        let unsettled: Vec<String> = self.partitions.iter().filter_map(Line::unsettled).collect();
        if unsettled.is_empty() {
            Ok(Settled {
                put_aside: self.records,
                merged: self.merged,
                is_cut_off: self.is_cut_off,
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

#[cfg(test)]
mod tests;
