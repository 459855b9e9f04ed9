//! Why a tail is neither surveyed nor put aside.

use std::path::PathBuf;

use understudy_domain::TopicPartition;
use understudy_kafka::Fault;

use understudy_flow::config::Flow;
use understudy_flow::explain::explain;
use understudy_flow::flow_record::FlowError;
use understudy_flow::stored_state::StateError;
use understudy_flow::tool::ToolError;

/// Why a tail is neither surveyed nor put aside.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// A cluster or the flow's state did not answer.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Its workers still copy what there is.
    #[error(
        "flow {flow} is {state}, not sealed: its workers copy what the source holds, so nothing there is a tail; a recovery seals it, or `understudy seal FLOW.toml --epoch N`"
    )]
    NotSealed {
        /// The flow.
        flow: String,
        /// What it is.
        state: &'static str,
    },
    /// Somebody changed the flow meanwhile.
    #[error(
        "flow {flow} was sealed at e{epoch} when this began and is {state} at e{now} now; what was seen does not count, run it again"
    )]
    Changed {
        /// The flow.
        flow: String,
        /// The epoch at which it was sealed.
        epoch: u64,
        /// What it is now.
        state: &'static str,
        /// Since which epoch.
        now: u64,
    },
    /// What lies beyond the cut are copies.
    #[error(
        "flow {back} copies {topics} onto {source_alias} since: what lies beyond the cut there are its copies, which are on the active cluster; nothing is surveyed or put aside"
    )]
    FlowBack {
        /// The flow the other way round.
        back: String,
        /// What it copies.
        topics: String,
        /// The cluster that came back.
        source_alias: String,
    },
    /// The cluster behind the source's address is another one.
    #[error(
        "the source {source_alias} is cluster {found}, the flow's was {expected}: nothing of it is this flow's tail; check bootstrap.servers"
    )]
    OtherCluster {
        /// The source's alias.
        source_alias: String,
        /// The id that the flow knows.
        expected: String,
        /// The id that was found.
        found: String,
    },
    /// A topic that was named and never mirrored.
    #[error(
        "flow {flow} mirrors no topic {topic} of the source; `understudy salvage FLOW.toml survey --json` names those that it does"
    )]
    NoTopic {
        /// The flow.
        flow: String,
        /// As given.
        topic: String,
    },
    /// The target did not do it.
    #[error("{0}; what was put aside so far stands, run it again: it goes on where it was")]
    Unfinished(String),
    /// A topic of the name that the tail's takes is there already.
    #[error(
        "{tail} on {target_alias} is where this tail is put aside, and it {found}; or delete it. Then start again: nothing was put into it"
    )]
    InTheWay {
        /// The topic that takes the tail.
        tail: String,
        /// The target's alias.
        target_alias: String,
        /// What it is like, and what to do.
        found: String,
    },
    /// Somebody else wrote behind a tail while keys were put right.
    #[error(
        "somebody wrote to {partition} at offset {offset}, behind what was put aside, while keys were put right there"
    )]
    WrittenSince {
        /// On the source.
        partition: TopicPartition,
        /// The first such record.
        offset: i64,
    },
    /// More keys than are remembered.
    #[error(
        "the tail of {partition} has more than {bytes} bytes of keys, too many to tell which of them are newer elsewhere: put it aside, and restore the topic"
    )]
    TooManyKeys {
        /// On the source.
        partition: TopicPartition,
        /// How many are remembered.
        bytes: usize,
    },
    /// The target does not take a record.
    #[error(
        "{tail} does not take the record at {partition} offset {offset}: {reason}; raise max.message.bytes of {tail} if it is too large, then run it again: it goes on where it was"
    )]
    Refused {
        /// The topic that takes the tail.
        tail: String,
        /// Topic and partition, on the source.
        partition: TopicPartition,
        /// The record's offset there, or that of one before it in its batch.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// A file cannot be written.
    #[error("could not write {}; the records themselves are put aside on the active cluster", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl SalvageError {
    /// The source did not answer.
    pub fn source(flow: &Flow, fault: &Fault) -> Self {
        Self::Tool(ToolError::Source(explain(&flow.source, fault)))
    }

    /// The target did not answer.
    pub fn target(flow: &Flow, fault: &Fault) -> Self {
        Self::Tool(ToolError::Target(explain(&flow.target, fault)))
    }

    /// The target did not take what was to be put aside in `tail`.
    pub fn unfinished(flow: &Flow, tail: &str, fault: Fault) -> Self {
        match fault {
            Fault::RecordRefused {
                partition,
                offset,
                reason,
                ..
            } => Self::Refused {
                tail: tail.to_owned(),
                partition,
                offset: offset.get(),
                reason,
            },
            Fault::Fenced { .. } => Self::Unfinished(format!(
                "another `understudy salvage export` or `merge` of flow {} took over, or a transaction was not ended in time",
                flow.name
            )),
            fault => Self::Unfinished(explain(&flow.target, &fault)),
        }
    }
}

impl From<FlowError> for SalvageError {
    fn from(error: FlowError) -> Self {
        Self::Tool(error.into())
    }
}

impl From<StateError> for SalvageError {
    fn from(error: StateError) -> Self {
        Self::Tool(error.into())
    }
}
