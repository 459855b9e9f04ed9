//! What a recovery asks of a flow: its state on its target, and the tail that its source came back with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::{
    Acl, FlowRecord, Position, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_recovery::Epoch;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{Carried, TailSurvey};

use crate::PortError;
use crate::turn::TailTurn;

/// Flows: their state on their target.
pub trait Flows: Send + Sync {
    /// The flow's name.
    ///
    /// # Errors
    /// Its file cannot be used.
    fn name(&self, flow: &FlowOfPair) -> Result<String, PortError>;

    /// The flow's record on its target; nothing if it never ran.
    ///
    /// # Errors
    /// The target did not answer, or holds a record that cannot be read.
    fn record(&self, flow: &FlowOfPair) -> Result<Option<FlowRecord>, PortError>;

    /// Writes that the flow is sealed at `epoch`, acknowledged by all replicas. A flow sealed at a newer epoch is
    /// [`crate::PortErrorKind::Conflict`].
    ///
    /// # Errors
    /// The target did not take it, or there is no such flow.
    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<FlowRecord, PortError>;

    /// Takes every transactional id of the flow over, which ends its open transactions and refuses its workers.
    ///
    /// # Errors
    /// The target did not do it for all of them.
    fn fence_workers(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<(), PortError>;

    /// Every position, committed ones only.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn positions(&self, flow: &FlowOfPair, record: &FlowRecord)
    -> Result<Vec<Mirrored>, PortError>;

    /// Whether the flow mirrors a topic of the source.
    ///
    /// # Errors
    /// Its file cannot be used.
    fn selects_topic(&self, flow: &FlowOfPair, topic: &str) -> Result<bool, PortError>;

    /// Every partition of the source that the flow mirrors, whether it has begun with it or not.
    ///
    /// # Errors
    /// The source did not name them within `within`.
    fn partitions(
        &self,
        flow: &FlowOfPair,
        within: Duration,
    ) -> Result<BTreeSet<TopicPartition>, PortError>;

    /// The same, and where the log of each begins.
    ///
    /// # Errors
    /// The source did not answer.
    fn selected(&self, flow: &FlowOfPair) -> Result<BTreeMap<TopicPartition, i64>, PortError>;

    /// How many partitions are halted by gaps that nobody dealt with.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn halted(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<u32, PortError>;

    /// Where places on the source lie on the target. Those from before a cut at which the flow began are told by the flow
    /// the other way, whose state lies on the source; it is asked if `ask_source`.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn translate(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
        ask_source: bool,
    ) -> Result<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>, PortError>;

    /// Where places in copies lie on the source; partitions named as on the source.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn translate_back(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, TargetOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, TargetOffset), Translation<SourceOffset>>, PortError>;

    /// Whether the flow mirrors a group.
    ///
    /// # Errors
    /// Its file cannot be used.
    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Result<bool, PortError>;

    /// ACLs that mirroring withheld, about writing and as they would be on the target; without those of `fence`, which
    /// stands on the source. The source itself is asked if `ask_source`, and what it told before counts otherwise.
    ///
    /// # Errors
    /// The target did not answer, or holds state that cannot be read.
    fn withheld_acls(
        &self,
        flow: &FlowOfPair,
        ask_source: bool,
        fence: &[Acl],
    ) -> Result<Vec<Acl>, PortError>;

    /// Writes that a sealed flow may run again from `epoch` on.
    ///
    /// # Errors
    /// The target did not take it.
    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<(), PortError>;

    /// What the source of a sealed flow, which came back, holds beyond the cut. It ends in time: what of a long tail is not
    /// counted by then is told as offsets.
    ///
    /// # Errors
    /// [`crate::PortErrorKind::Refused`] where a person has to choose: the flow is not sealed, or another one has copied
    /// back since; or one of its clusters did not answer.
    fn survey_tail(&self, flow: &FlowOfPair) -> Result<TailSurvey, PortError>;

    /// Puts the tails of these topics of the source aside on the target, and reads them back. Done again it goes on where
    /// it was; a long one takes several turns. Answers where the records are by now.
    ///
    /// # Errors
    /// [`crate::PortErrorKind::Conflict`] if somebody wrote meanwhile; or one of its clusters did not answer.
    fn put_tail_aside(
        &self,
        flow: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Result<Carried, PortError>;

    /// Merges the tails of these topics into those of the copies on the target, behind what is there; what must not rise
    /// over something newer is put aside. Done again it goes on where it was; a long one takes several turns. Answers where
    /// the records are by now.
    ///
    /// # Errors
    /// As [`Flows::put_tail_aside`].
    fn merge_tail(
        &self,
        flow: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Result<Carried, PortError>;

    /// Puts keys of compacted topics right on the source of a sealed flow, as the flow `back` writes there: where a key
    /// was last written in the tail, it gets the value that the target had at the cut, behind the tail. Done again it comes
    /// to the same. Answers where each partition that was written to ends now; nothing while another turn is needed.
    ///
    /// # Errors
    /// [`crate::PortErrorKind::Conflict`] if somebody else wrote there meanwhile; or one of the clusters did not answer, or the
    /// source does not take it.
    fn renew_keys(
        &self,
        flow: &FlowOfPair,
        back: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Result<Option<BTreeMap<TopicPartition, i64>>, PortError>;

    /// Lets a flow that does not run begin at these places, from `epoch` on: behind what it copied before, and behind
    /// what the flow the other way copied. Partitions that are not named stay where they stand. Done again it is no
    /// change. Answers how many partitions begin so.
    ///
    /// # Errors
    /// One of its clusters did not answer, or the target holds state that cannot be read.
    fn begin_at(
        &self,
        flow: &FlowOfPair,
        epoch: Epoch,
        begins: &[Begin],
    ) -> Result<u32, PortError> {
        let _nowhere = begins;
        Err(PortError::new(
            crate::PortErrorKind::Refused,
            format!(
                "flow {} cannot be told where to begin at {epoch}",
                flow.file
            ),
        ))
    }
}

/// Where a flow begins with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The partition on the flow's source.
    pub source: TopicPartition,
    /// The first record that is copied.
    pub source_offset: SourceOffset,
    /// The partition on its target.
    pub target: TopicPartition,
    /// Where the target ends: the copies come behind.
    pub target_offset: TargetOffset,
}

/// A partition that a flow mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The partition on the source.
    pub source: TopicPartition,
    /// Its copy on the target.
    pub target: TopicPartition,
    /// Where it stands.
    pub position: Position,
}
