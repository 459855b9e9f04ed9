//! A pair's flows, by their state on their targets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{
    Acl, FlowRecord, FlowState, Slot, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_flow::before_cut::look_back;
use understudy_flow::config::Flow;
use understudy_flow::flow_record::{self, FlowError};
use understudy_flow::map_state::{Known, Question, answer_all_from};
use understudy_flow::rotation;
use understudy_flow::stop::Stop;
use understudy_flow::stored_state::{StateError, read_gaps, read_positions};
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::{Cluster as Connection, Endpoint, Fault};
use understudy_recovery::Epoch;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{Carried, TailSurvey};
use understudy_shell::turn::TailTurn;
use understudy_shell::world::{Begin, Flows, Mirrored};
use understudy_shell::{PortError, PortErrorKind, bounded};

use crate::pair_file::PairFile;
use crate::trouble::{of_fault, of_flow, of_state};
use crate::{begin, tails, withheld};

/// How long taking over one id may take; eight are taken over at once.
const FENCE_WITHIN: Duration = Duration::from_secs(20);
/// How long the source has to name its topics.
const SOURCE_WITHIN: Duration = Duration::from_secs(5);
/// How long the source has, all in all, to say where places from before a cut lie: writers may be waiting, and a recovery
/// goes on without.
const LOOK_BACK_WITHIN: Duration = Duration::from_secs(5);
/// How many slots are read at once; each takes a client of its own.
const AT_ONCE: usize = 8;
/// How often the record is changed again because somebody else was at it.
const CHANGES: usize = 5;

/// The flows of a pair.
#[derive(Clone)]
pub struct KafkaFlows {
    known: BTreeMap<String, Arc<Flow>>,
    _logins: Arc<Logins>,
}

/// Lets the threads go that keep logins fresh.
struct Logins(Arc<Stop>);

impl Drop for Logins {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl KafkaFlows {
    /// Those of a pair; what their clients log in with is kept fresh for as long as this lives.
    ///
    /// # Errors
    /// The machine refuses a thread.
    pub fn new(file: &PairFile) -> Result<Self, PortError> {
        let stop = Arc::<Stop>::default();
        for flow in file.flows.values().chain(file.proofs.values()) {
            rotation::log_in(flow, stop.clone()).map_err(|error| {
                let text = format!(
                    "nothing keeps the logins of flow {} fresh: {error}",
                    flow.name
                );
                PortError::new(PortErrorKind::Refused, text)
            })?;
        }
        Ok(Self {
            known: file.flows.clone(),
            _logins: Arc::new(Logins(stop)),
        })
    }

    fn flow(&self, of_pair: &FlowOfPair) -> Result<&Arc<Flow>, PortError> {
        self.known.get(&of_pair.file).ok_or_else(|| {
            let text = format!("the pair has no flow file {}", of_pair.file);
            PortError::new(PortErrorKind::Missing, text)
        })
    }

    /// Changes the record; how, is said again if somebody else changed it meanwhile.
    fn change(&self, flow: &Flow, how: impl Fn(&mut FlowRecord)) -> Result<FlowRecord, PortError> {
        let target = open(flow)?;
        for _ in 0..CHANGES {
            match flow_record::change(&target, flow, &how) {
                Err(FlowError::Fault(Fault::Fenced { .. })) => {}
                changed => return changed.map_err(|error| of_flow(&flow.target, &error)),
            }
        }
        // Not a conflict: that would mean a newer epoch.
        let text = format!(
            "somebody else keeps changing the record of flow {}",
            flow.name
        );
        Err(PortError::new(PortErrorKind::TimedOut, text))
    }
}

fn open(flow: &Flow) -> Result<Connection, PortError> {
    Connection::open(&flow.target).map_err(|fault| of_fault(&flow.target, &fault))
}

/// A client that reads state for good once the flow is sealed and its writers are fenced. Before that it is looked at
/// only: as committed by now, because a worker that died holds a transaction open for a while.
fn open_state(record: &FlowRecord, target: &Endpoint) -> Result<Connection, Fault> {
    let connection = Connection::open(target)?;
    Ok(match record.state {
        FlowState::Sealed => connection,
        _ => connection.committed_by_now(),
    })
}

/// Every partition that the source names and the flow mirrors.
fn partitions(
    flow: &Flow,
    source: &Connection,
    within: Duration,
) -> Result<Vec<TopicPartition>, Fault> {
    let topics = source.topics(within)?;
    let selected = topics.iter().filter(|topic| flow.selects(&topic.name));
    let partitions = selected.flat_map(|topic| {
        (0..topic.partitions).map(|it| TopicPartition::new(topic.name.as_str(), it))
    });
    Ok(partitions.collect())
}

/// A newer epoch holds the flow.
fn newer(flow: &Flow, record: &FlowRecord, epoch: Epoch) -> PortError {
    let text = format!(
        "flow {} is {} since epoch e{}, which is newer than {epoch}",
        flow.name,
        record.state.name(),
        record.epoch
    );
    PortError::new(PortErrorKind::Conflict, text)
}

/// Reads every home of a flow's state, side by side.
fn read_homes<T: Send>(
    flow: &Flow,
    record: &FlowRecord,
    read: impl Fn(&Connection, Slot) -> Result<T, StateError> + Sync,
) -> Result<Vec<T>, PortError> {
    let homes: Vec<Slot> = record.homes().collect();
    // Each thread takes its share with one client.
    let share = homes.len().div_ceil(AT_ONCE).max(1);
    let read_share = |slots: &[Slot]| -> Result<Vec<T>, StateError> {
        let cluster = open_state(record, &flow.target)?;
        slots.iter().map(|slot| read(&cluster, *slot)).collect()
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = homes
            .chunks(share)
            .map(|slots| scope.spawn(|| read_share(slots)))
            .collect();
        running.into_iter().map(|thread| thread.join()).collect()
    });
    let mut all = Vec::new();
    for answer in answers {
        let answer = answer.map_err(|_panic| {
            let text = format!("reading the state of flow {} failed", flow.name);
            PortError::new(PortErrorKind::Refused, text)
        })?;
        all.extend(answer.map_err(|error| of_state(&flow.target, &error))?);
    }
    Ok(all)
}

/// What the map answers. While the number of slots is being changed, a partition's state lies in its slot by either number.
fn answers(
    flow: &Flow,
    record: &FlowRecord,
    questions: Vec<Question>,
) -> Result<BTreeMap<Question, Known>, PortError> {
    let ask = |slots, questions: &[Question]| {
        answer_all_from(flow, slots, questions, |target| open_state(record, target))
            .map_err(|error| of_state(&flow.target, &error))
    };
    let mut known = ask(record.slots, &questions)?;
    if let Some(slots) = record.changing_to {
        let moved: Vec<Question> = known
            .iter()
            .filter(|(_, known)| matches!(known, Known::Nothing))
            .map(|(question, _)| question.clone())
            .collect();
        known.extend(ask(slots, &moved)?);
    }
    Ok(known)
}

/// The same, and what the flow the other way tells in time. What it does not tell stays as the flow's own map has it.
fn with_look_back(flow: &Arc<Flow>, own: BTreeMap<Question, Known>) -> BTreeMap<Question, Known> {
    let (asked, mut told) = (Arc::clone(flow), own.clone());
    let look = move || {
        look_back(&asked, &mut told);
        told
    };
    let Some(mut told) = bounded::within(LOOK_BACK_WITHIN, look) else {
        tracing::warn!(flow = %flow.name, "the source does not tell in time what was copied the other way before");
        return own;
    };
    for (question, own) in own {
        let untold = match told.get(&question) {
            Some(Known::Unreadable(reason)) if !matches!(own, Known::Unreadable(_)) => reason,
            _ => continue,
        };
        tracing::warn!(flow = %flow.name, reason = untold, "a place was not told");
        told.insert(question, own);
    }
    told
}

impl Flows for KafkaFlows {
    fn name(&self, flow: &FlowOfPair) -> Result<String, PortError> {
        Ok(self.flow(flow)?.name.to_string())
    }

    fn record(&self, flow: &FlowOfPair) -> Result<Option<FlowRecord>, PortError> {
        let flow = self.flow(flow)?;
        let target = open(flow)?;
        match flow_record::read(&target, flow) {
            Ok(record) => Ok(record),
            Err(error) => match of_flow(&flow.target, &error) {
                // Its topics are made when it first runs.
                error if error.kind == PortErrorKind::Missing => Ok(None),
                error => Err(error),
            },
        }
    }

    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<FlowRecord, PortError> {
        let flow = self.flow(flow)?;
        let record = self.change(flow, |record| {
            if record.epoch <= epoch.get() {
                record.epoch = epoch.get();
                record.state = FlowState::Sealed;
            }
        })?;
        if record.epoch > epoch.get() {
            return Err(newer(flow, &record, epoch));
        }
        Ok(record)
    }

    fn fence_workers(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<(), PortError> {
        let flow = self.flow(flow)?;
        flow_record::fence_slots(flow, record, FENCE_WITHIN)
            .map_err(|error| of_flow(&flow.target, &error))
    }

    fn positions(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
    ) -> Result<Vec<Mirrored>, PortError> {
        let flow = self.flow(flow)?;
        let homes = read_homes(flow, record, |cluster, slot| {
            read_positions(cluster, &flow.state, slot)
        })?;
        let mut positions = BTreeMap::new();
        for (source, position) in homes.into_iter().flatten() {
            // On its way from slot to slot a partition stands in both for a moment, and only one of them moves on.
            let further = positions.get(&source).is_none_or(|other| {
                let at = |it: &understudy_domain::Position| (it.incarnation, it.source_offset);
                at(other) < at(&position)
            });
            if further {
                positions.insert(source, position);
            }
        }
        let mirrored = positions.into_iter().map(|(source, position)| Mirrored {
            target: flow.copies_of(&source, &position),
            source,
            position,
        });
        Ok(mirrored.collect())
    }

    fn selects_topic(&self, flow: &FlowOfPair, topic: &str) -> Result<bool, PortError> {
        Ok(self.flow(flow)?.selects(topic))
    }

    fn partitions(
        &self,
        flow: &FlowOfPair,
        within: Duration,
    ) -> Result<BTreeSet<TopicPartition>, PortError> {
        let flow = self.flow(flow)?;
        let at_source = |fault: Fault| of_fault(&flow.source, &fault);
        let source = Connection::open(&flow.source).map_err(at_source)?;
        let selected = partitions(flow, &source, within).map_err(at_source)?;
        Ok(selected.into_iter().collect())
    }

    fn selected(&self, flow: &FlowOfPair) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
        let flow = self.flow(flow)?;
        let at_source = |fault: Fault| of_fault(&flow.source, &fault);
        let source = Connection::open(&flow.source).map_err(at_source)?;
        let partitions = partitions(flow, &source, SOURCE_WITHIN).map_err(at_source)?;
        let starts = source.edges(&partitions, Edge::Earliest, SOURCE_WITHIN);
        let starts = starts.map_err(at_source)?;
        // One that is not told holds something, as far as is known.
        let start = |it: TopicPartition| match starts.get(&it) {
            Some(Ok(start)) => (it, *start),
            Some(Err(_)) | None => (it, 0),
        };
        Ok(partitions.into_iter().map(start).collect())
    }

    fn halted(&self, flow: &FlowOfPair, record: &FlowRecord) -> Result<u32, PortError> {
        let flow = self.flow(flow)?;
        let homes = read_homes(flow, record, |cluster, slot| {
            read_gaps(cluster, &flow.state, slot)
        })?;
        let open = homes.into_iter().flatten().filter(|(_, gap)| gap.is_open());
        let halted: BTreeSet<TopicPartition> = open.map(|(key, _)| key.partition).collect();
        Ok(u32::try_from(halted.len()).unwrap_or(u32::MAX))
    }

    fn translate(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
        ask_source: bool,
    ) -> Result<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>, PortError>
    {
        let flow = self.flow(flow)?;
        let question =
            |place: &(TopicPartition, SourceOffset)| Question::Forward(place.0.clone(), place.1);
        let mut known = answers(flow, record, places.iter().map(question).collect())?;
        if ask_source {
            known = with_look_back(flow, known);
        }
        let found = known.into_iter().filter_map(|(question, known)| {
            let Question::Forward(place, offset) = question else {
                return None;
            };
            let translation = match known {
                Known::Target(_, translation) => translation,
                Known::Source(..) | Known::Nothing => Translation::NoSync,
                Known::Unreadable(reason) => {
                    tracing::warn!(flow = %flow.name, %place, reason, "place not translated");
                    Translation::NotReady
                }
            };
            Some(((place, offset), translation))
        });
        Ok(found.collect())
    }

    fn translate_back(
        &self,
        flow: &FlowOfPair,
        record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, TargetOffset)>,
    ) -> Result<BTreeMap<(TopicPartition, TargetOffset), Translation<SourceOffset>>, PortError>
    {
        let flow = self.flow(flow)?;
        let question =
            |place: &(TopicPartition, TargetOffset)| Question::Reverse(place.0.clone(), place.1);
        let known = answers(flow, record, places.iter().map(question).collect())?;
        let found = known.into_iter().filter_map(|(question, known)| {
            let Question::Reverse(place, offset) = question else {
                return None;
            };
            let translation = match known {
                Known::Source(_, translation) => translation,
                Known::Target(..) | Known::Nothing => Translation::NoSync,
                Known::Unreadable(reason) => {
                    tracing::warn!(flow = %flow.name, %place, reason, "place not translated back");
                    Translation::NotReady
                }
            };
            Some(((place, offset), translation))
        });
        Ok(found.collect())
    }

    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Result<bool, PortError> {
        Ok(self.flow(flow)?.groups.selects(group))
    }

    fn withheld_acls(
        &self,
        flow: &FlowOfPair,
        ask_source: bool,
        fence: &[Acl],
    ) -> Result<Vec<Acl>, PortError> {
        withheld::acls(self.flow(flow)?, ask_source, fence)
    }

    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Result<(), PortError> {
        let flow = self.flow(flow)?;
        let target = open(flow)?;
        let read = flow_record::read(&target, flow);
        let read = read.map_err(|error| of_flow(&flow.target, &error))?;
        let record = read.ok_or_else(|| {
            let text = format!("there is no flow {} yet", flow.name);
            PortError::new(PortErrorKind::Missing, text)
        })?;
        if record.epoch == epoch.get() && record.state != FlowState::Sealed {
            return Ok(());
        }
        let record = self.change(flow, |record| {
            if record.epoch <= epoch.get() {
                record.epoch = epoch.get();
                if record.state == FlowState::Sealed {
                    record.state = FlowState::Running;
                }
            }
        })?;
        if record.epoch > epoch.get() {
            return Err(newer(flow, &record, epoch));
        }
        Ok(())
    }

    fn survey_tail(&self, flow: &FlowOfPair) -> Result<TailSurvey, PortError> {
        tails::look(self.flow(flow)?)
    }

    fn put_tail_aside(
        &self,
        flow: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Result<Carried, PortError> {
        tails::put_aside(self.flow(flow)?, topics, turn)
    }

    fn merge_tail(
        &self,
        flow: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Result<Carried, PortError> {
        tails::merge_into(self.flow(flow)?, topics, turn)
    }

    fn renew_keys(
        &self,
        flow: &FlowOfPair,
        back: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Result<Option<BTreeMap<TopicPartition, i64>>, PortError> {
        tails::renew_keys(self.flow(flow)?, self.flow(back)?, topics, turn)
    }

    fn begin_at(
        &self,
        flow: &FlowOfPair,
        epoch: Epoch,
        begins: &[Begin],
    ) -> Result<u32, PortError> {
        begin::begin_at(self.flow(flow)?, epoch, begins)
    }
}
