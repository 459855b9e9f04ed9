//! Places from before a flow began, where it began at the cut of a flow the other way: that one's map tells them.
//!
//! ```text
//! use1 ──── copied to usw2 ────▶│ cut │◀──── copied to use1 ──── usw2
//!       the flow there, sealed         the flow back, which is asked
//! ```
//! The map of the flow there lies on the source of the flow back. It counts only where both agree where the one ended
//! and the other began; else the same offsets may mean other records. Where the target was lost and came back, a tail
//! lies there between the two, which neither copied.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::{
    FlowName, FlowRecord, Position, SourceOffset, StateTopics, TargetOffset, Translation,
};
use understudy_kafka::{Cluster, Fault};

use crate::config::{Flow, Start};
use crate::flow_record::{self, FlowError};
use crate::map_state::{Foreign, Home, Known, Question, answer_at};
use crate::opposite::{Ends, Untold, flows_onto, record_of};
use crate::stored_state::StateError;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(5);

/// Whether another flow may know what lies before this position's beginning: recoveries have epochs from 1 on, and a
/// flow begins at a cut in one of them.
pub const fn may_have_begun_at_a_cut(position: &Position) -> bool {
    position.flow_epoch > 0
}

/// Answers what the flow's own map could not, because it lies before the cut at which the flow began. While the source
/// does not answer nobody can tell; where the other flow's state may not be read, the answers stay as they are.
pub fn look_back(flow: &Flow, known: &mut BTreeMap<Question, Known>) {
    let asked: BTreeMap<Question, Position> = known
        .iter()
        .filter_map(|(question, known)| Some((question.clone(), before_the_cut(question, known)?)))
        .filter(|(question, _)| flow.target_of(question.partition()) == *question.partition())
        .collect();
    if asked.is_empty() {
        return;
    }
    let told = of_flows_there(flow, &asked);
    known.extend(told.found);
    // What MirrorMaker 2 left behind answers without the source.
    if flow.start == Start::Mm2 {
        return;
    }
    let Some(trouble) = told.trouble else {
        return;
    };
    let reason = format!(
        "it lies before the place at which flow {} began, and the source does not tell what was copied the other way before: {trouble}",
        flow.name
    );
    for question in asked.into_keys() {
        if let Some(
            Known::Target(_, Translation::BeforeHistory)
            | Known::Source(_, Translation::BeforeHistory),
        ) = known.get(&question)
        {
            known.insert(question, Known::Unreadable(reason.clone()));
        }
    }
}

/// The position that an answer was held against, if another flow may know better.
fn before_the_cut(question: &Question, known: &Known) -> Option<Position> {
    let (position, is_before) = match (question, known) {
        (Question::Forward(_, offset), Known::Target(position, Translation::BeforeHistory)) => {
            (position, *offset < position.started_at.source)
        }
        (Question::Reverse(_, offset), Known::Source(position, Translation::BeforeHistory)) => {
            (position, *offset < position.started_at.target)
        }
        _ => return None,
    };
    (is_before && may_have_begun_at_a_cut(position)).then(|| position.clone())
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Untold(#[from] Untold),
    #[error("flow {0} is being given another number of slots")]
    Moving(FlowName),
    #[error("of flow {0}: {1}")]
    Unreadable(FlowName, String),
}

impl Trouble {
    /// Whether it may not be read: waiting changes nothing then.
    const fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Fault(Fault::Denied { .. })
                | Self::State(StateError::Fault(Fault::Denied { .. }))
                | Self::Untold(Untold::Fault {
                    fault: Fault::Denied { .. },
                    ..
                })
        )
    }
}

/// What flows the other way tell.
#[derive(Default)]
struct Told {
    found: BTreeMap<Question, Known>,
    /// Why one of them does not tell just now.
    trouble: Option<Trouble>,
}

impl Told {
    fn note(&mut self, trouble: Trouble) {
        match trouble.is_denied() {
            true => {
                tracing::debug!(%trouble, "what was copied the other way before may not be read")
            }
            false => self.trouble = Some(trouble),
        }
    }
}

/// Asks each of them by itself: one that does not tell is not in another one's way.
fn of_flows_there(flow: &Flow, asked: &BTreeMap<Question, Position>) -> Told {
    let mut told = Told::default();
    let (source, own, names) = match flows_there(flow) {
        Ok(Some(found)) => found,
        Ok(None) => return told,
        Err(trouble) => {
            told.note(trouble);
            return told;
        }
    };
    for name in names {
        if let Err(trouble) = of_flow(flow, &source, &name, &own, asked, &mut told) {
            told.note(trouble);
        }
    }
    told
}

/// Flows onto the source, and the clusters of this flow.
fn flows_there(flow: &Flow) -> Result<Option<(Cluster, FlowRecord, Vec<FlowName>)>, Trouble> {
    let target = Cluster::open(&flow.target)?;
    let Some(own) = flow_record::read(&target, flow)? else {
        return Ok(None);
    };
    let source = Cluster::open(&flow.source)?;
    let topics = source.topics(WITHIN)?;
    let names = flows_onto(topics.iter().map(|topic| topic.name.as_str()));
    Ok(Some((source, own, names)))
}

/// Adds what one of them tells, if it goes the other way.
fn of_flow(
    flow: &Flow,
    source: &Cluster,
    name: &FlowName,
    own: &FlowRecord,
    asked: &BTreeMap<Question, Position>,
    told: &mut Told,
) -> Result<(), Trouble> {
    let ends = Ends {
        source: &own.source_cluster_id,
        target: &own.target_cluster_id,
    };
    let record = record_of(name, source, WITHIN)?;
    let Some(record) = record.filter(|record| ends.is_opposite(record)) else {
        return Ok(());
    };
    if record.changing_to.is_some() {
        return Err(Trouble::Moving(name.clone()));
    }
    let state = StateTopics::new(name.clone());
    let home = Home {
        cluster: &flow.source,
        state: &state,
        foreign: Foreign::LeavesItsSlotOut,
    };
    let turned: BTreeMap<Question, &Question> = asked
        .keys()
        .map(|question| (question.turned(), question))
        .collect();
    let questions: Vec<Question> = turned.keys().cloned().collect();
    for (there, answer) in answer_at(home, record.slots, &questions, Cluster::open)? {
        let Some((question, own)) = turned
            .get(&there)
            .and_then(|question| asked.get_key_value(*question))
        else {
            continue;
        };
        // What lies between the cut and the flow back's beginning is a tail: nobody copied it.
        if let (Question::Forward(_, offset), Known::Target(position, _)) = (&there, &answer)
            && *offset >= position.source_offset
        {
            continue;
        }
        let known = match answer {
            Known::Target(position, translation) if ended_where(&position, own) => {
                let back = |at: TargetOffset| SourceOffset::new(at.get());
                Known::Source(own.clone(), translation.map(back))
            }
            Known::Source(position, translation) if ended_where(&position, own) => {
                let back = |at: SourceOffset| TargetOffset::new(at.get());
                Known::Target(own.clone(), translation.map(back))
            }
            Known::Target(..) | Known::Source(..) | Known::Nothing => continue,
            Known::Unreadable(reason) => {
                told.note(Trouble::Unreadable(name.clone(), reason));
                continue;
            }
        };
        told.found.insert(question.clone(), known);
    }
    Ok(())
}

/// Whether the flow there ended where the flow back began, and called the topic the same. A cluster that was lost and came
/// back holds a tail beyond the cut, behind which the flow back began.
fn ended_where(there: &Position, back: &Position) -> bool {
    let began = back.started_at;
    began.source.get() == there.target_offset.get()
        && began.target.get() >= there.source_offset.get()
        && there.target_topic.is_none()
        && back.target_topic.is_none()
}
