//! `understudy seal`: ends a flow by hand and reads its exact cut, whether its workers run, wait, or are gone.
//!
//! The order is the proof, as in a recovery: the flow's record says that it is sealed, so that whoever takes an id back
//! reads that first; every id is taken over, so that whoever held one is refused; and only then positions are read.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use understudy_domain::{FlowState, Position, TopicPartition};
use understudy_recovery::Epoch;
use understudy_recovery::cut::{Cut, PartitionCut};

use crate::Report;
use crate::clock::now_ms;
use crate::config::Flow;
use crate::flow_record::{self, FlowError};
use crate::stored_state::read_positions;
use crate::tool::{ToolError, open_target};

/// How long taking over one id may take.
const FENCE_WITHIN: Duration = Duration::from_secs(20);

/// A flow that is sealed, or is not, because somebody newer has been there.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Seal {
    /// It is.
    Sealed(Cut),
    /// A newer epoch holds the flow; nothing was changed.
    Newer {
        /// The flow.
        flow: String,
        /// The epoch that was asked for.
        asked: u64,
        /// The epoch that last changed it.
        epoch: u64,
        /// What it is since then.
        state: &'static str,
    },
}

/// Seals the flow.
///
/// # Errors
/// The target does not answer, holds no such flow, or holds state that cannot be read.
pub fn run(flow: &Flow, epoch: u64) -> Result<Seal, ToolError> {
    let target = open_target(flow)?;
    // An older epoch leaves the record as it stands.
    let record = flow_record::change(&target, flow, |record| {
        if record.epoch <= epoch {
            record.epoch = epoch;
            record.state = FlowState::Sealed;
        }
    })
    .map_err(|error| match error {
        FlowError::NoFlow(name) => ToolError::NoFlow(name),
        other => ToolError::Flow(other),
    })?;
    if record.epoch > epoch {
        return Ok(Seal::Newer {
            flow: flow.name.to_string(),
            asked: epoch,
            epoch: record.epoch,
            state: record.state.name(),
        });
    }
    flow_record::fence_slots(flow, &record, FENCE_WITHIN)?;
    let mut partitions = Vec::new();
    for slot in record.homes() {
        let positions = read_positions(&target, &flow.state, slot)?;
        partitions.extend(positions.iter().map(|(name, it)| cut_of(flow, name, it)));
    }
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(Seal::Sealed(Cut {
        flow: flow.name.to_string(),
        epoch: Epoch::new(epoch),
        at_ms: now_ms(),
        partitions,
    }))
}

fn cut_of(flow: &Flow, source: &TopicPartition, position: &Position) -> PartitionCut {
    PartitionCut {
        topic: source.topic.to_string(),
        partition: source.partition,
        target_topic: flow.copies_of(source, position).topic.to_string(),
        source_offset: position.source_offset.get(),
        target_offset: position.target_offset.get(),
        incarnation: position.incarnation,
        source_end_offset: position.source_end_offset.map(|end| end.get()),
        source_end_seen_at_ms: position.source_end_seen_at_ms,
    }
}

impl Report for Seal {
    fn holds(&self) -> bool {
        match self {
            Self::Sealed(_) => true,
            Self::Newer { .. } => false,
        }
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(cut) => table(f, cut),
            Self::Newer {
                flow,
                asked,
                epoch,
                state,
            } => writeln!(
                f,
                "not sealing flow {flow} at e{asked}: it is {state} since e{epoch}, which is newer; seal it at e{epoch} or \
                 later if that is what you mean"
            ),
        }
    }
}

fn table(f: &mut fmt::Formatter<'_>, cut: &Cut) -> fmt::Result {
    writeln!(
        f,
        "flow {} is sealed at {}: the brokers refuse its workers, and what is copied is exactly this\n",
        cut.flow, cut.epoch
    )?;
    let topic = |it: &PartitionCut| {
        if it.topic == it.target_topic {
            it.topic.clone()
        } else {
            format!("{} → {}", it.topic, it.target_topic)
        }
    };
    let names: Vec<String> = cut.partitions.iter().map(topic).collect();
    let wide = names.iter().map(|name| name.chars().count()).max();
    let wide = wide.unwrap_or_default().max("topic".len());
    writeln!(
        f,
        "{:wide$}  {:>9}  {:>14}  {:>14}  {:>14}",
        "topic", "partition", "source up to", "target up to", "not copied ≥"
    )?;
    for (name, it) in names.iter().zip(&cut.partitions) {
        writeln!(
            f,
            "{name:wide$}  {:>9}  {:>14}  {:>14}  {:>14}",
            it.partition,
            it.source_offset,
            it.target_offset,
            it.lost_at_least()
        )?;
    }
    let least: u64 = cut.partitions.iter().map(PartitionCut::lost_at_least).sum();
    writeln!(
        f,
        "\n{} partitions; {least} records were seen on the source beyond the cut, and more may have come since it was last seen",
        cut.partitions.len()
    )?;
    writeln!(
        f,
        "if nobody uses the target, `understudy resume FLOW.toml --epoch {}` lets the flow go on from here",
        cut.epoch.get()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut() -> Cut {
        Cut {
            flow: "use1-usw2".to_owned(),
            epoch: Epoch::new(7),
            at_ms: 0,
            partitions: vec![PartitionCut {
                topic: "orders".to_owned(),
                partition: 3,
                target_topic: "use1.orders".to_owned(),
                source_offset: 1_200,
                target_offset: 1_205,
                incarnation: 0,
                source_end_offset: Some(1_230),
                source_end_seen_at_ms: Some(1),
            }],
        }
    }

    #[test]
    fn a_cut_says_where_each_side_ends_and_what_is_known_to_be_missing() {
        let text = Seal::Sealed(cut()).to_string();
        for part in [
            "sealed at e7",
            "orders → use1.orders",
            "1200",
            "1205",
            "30 records",
            "--epoch 7",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn machines_read_the_cut_beside_the_outcome() -> Result<(), serde_json::Error> {
        let value: serde_json::Value = serde_json::from_str(&Seal::Sealed(cut()).json()?)?;
        let at = |path: &str| value.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/outcome"), "sealed");
        assert_eq!(at("/epoch"), 7);
        assert_eq!(at("/partitions/0/target_offset"), 1_205);
        Ok(())
    }

    #[test]
    fn an_older_epoch_is_refused_with_what_to_do() {
        let newer = Seal::Newer {
            flow: "use1-usw2".to_owned(),
            asked: 3,
            epoch: 5,
            state: "sealed",
        };
        assert!(!newer.holds());
        assert!(
            newer
                .to_string()
                .contains("not sealing flow use1-usw2 at e3: it is sealed since e5")
        );
    }
}
