//! Starts a flow: the one back, once applications have moved; the one that a recovery had stopped; or the one onto a
//! cluster that came back.
//!
//! Invariants:
//! a. a flow never copies back what the other one copied: it begins where that one ended, at the cut;
//! b. a flow back is started only if nothing lies beyond the cut: what does is surveyed first, by a failback;
//! c. onto a cluster that came back it begins behind everything that was surveyed there, and not at all if that is not
//!    what is there any more, nor before all of that is put aside and put right;
//! d. it is not begun anew behind the seal: what it copied is what the recovery stands on;
//! e. the target of a flow back is open by now, so trouble here is an answer, not an error;
//! f. with prefixed names both flows run: the one there goes on behind its cut, for its copies have topics of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::{FlowRecord, FlowState, SourceOffset, TargetOffset, TopicPartition};
use understudy_recovery::contract::{Direction, FlowRequest, FlowStarted, Order};
use understudy_recovery::cut::Cut;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::TailSurvey;
use understudy_recovery::{LossBound, Step, StepError};
use understudy_shell::keys::Renewed;
use understudy_shell::step::{Part, at_target, carry_out, load, must_hold, must_load, save};
use understudy_shell::world::Begin;
use understudy_shell::{Done, PortError, PortErrorKind, World, keys, reach};

/// How long the cluster that came back has to say where it ends.
const WITHIN: Duration = Duration::from_secs(5);

/// Starts it.
///
/// # Errors
/// The order is stale, the pair has no such flow, or the store does not answer.
pub fn handle(world: &World, request: FlowRequest) -> Result<FlowStarted, StepError> {
    let order = &request.order;
    let returned = request.direction == Direction::Return;
    carry_out(
        world,
        Step::StartFlow,
        Part::on_return(returned),
        order,
        || {
            let done = start(world, order, request.direction)?;
            let execution = order.execution.to_string();
            let key = match request.direction {
                Direction::Return => keys::flow_returned(&execution),
                Direction::Forward | Direction::Reverse => keys::flow_started(&execution),
            };
            save(world, &key, &done.answer)?;
            Ok(done)
        },
    )
}

fn start(
    world: &World,
    order: &Order,
    direction: Direction,
) -> Result<Done<FlowStarted>, StepError> {
    let flow = match direction {
        Direction::Forward | Direction::Return => reach::forward(world, order)?,
        Direction::Reverse => reach::reverse(world, order)?,
    };
    let name = world.flows.name(flow).map_err(|error| at_target(&error))?;
    let begins = match direction {
        Direction::Forward => Vec::new(),
        Direction::Reverse => match begins(world, order)? {
            Ok(begins) => begins,
            Err(reason) => return Ok(not_started(name, reason)),
        },
        Direction::Return => {
            if !order.leash.is_leashed() && must_hold(world, order)?.unfinished().is_some() {
                let did = format!(
                    "flow {name} has copied what this recovery stands on: it is left as it is"
                );
                return Ok(Done::new(started(name), [did]));
            }
            let record = world
                .flows
                .record(flow)
                .map_err(|error| at_target(&error))?;
            let own =
                |it: &FlowRecord| it.epoch == order.epoch.get() && it.state != FlowState::Sealed;
            if record.as_ref().is_some_and(own) && !order.leash.is_leashed() {
                // This order began it before; it may have copied something since.
                return Ok(match world.workers.want(flow, flow.workers) {
                    Ok(()) => {
                        let did = format!("flow {name} runs, with {} workers", flow.workers);
                        Done::new(started(name), [did])
                    }
                    Err(error) => not_started(name, error.to_string()),
                });
            }
            match returns(world, order)? {
                Ok(begins) => begins,
                Err(reason) => return Ok(not_started(name, reason)),
            }
        }
    };
    if order.leash.is_leashed() {
        let did = format!(
            "would start flow {name} with {} workers, at the cut of {} partitions",
            flow.workers,
            begins.len()
        );
        return Ok(Done::new(started(name), [did]));
    }
    let run = run(world, order, flow, &begins).and_then(|mut did| {
        did.push(format!(
            "flow {name} was told to run with {} workers",
            flow.workers
        ));
        if direction == Direction::Reverse {
            did.extend(there_too(world, order)?);
        }
        Ok(did)
    });
    match run {
        Ok(did) => Ok(Done::new(started(name), did)),
        Err(error) => Ok(not_started(name, error.to_string())),
    }
}

const fn started(flow: String) -> FlowStarted {
    FlowStarted {
        flow,
        started: true,
        reason: None,
    }
}

fn not_started(flow: String, reason: String) -> Done<FlowStarted> {
    let did = format!("flow {flow} was not started: {reason}");
    Done::new(
        FlowStarted {
            flow,
            started: false,
            reason: Some(reason),
        },
        [did],
    )
}

fn run(
    world: &World,
    order: &Order,
    flow: &FlowOfPair,
    begins: &[Begin],
) -> Result<Vec<String>, PortError> {
    let mut did = Vec::new();
    // Places first: a worker that comes before they are written still finds a sealed flow, or none of its partitions.
    if !begins.is_empty() {
        let count = world.flows.begin_at(flow, order.epoch, begins)?;
        did.push(format!("{count} partitions begin at the cut"));
    }
    match world.flows.reopen(flow, order.epoch) {
        // It never ran: it is made when it first does.
        Err(error) if error.kind == PortErrorKind::Missing => {}
        reopened => reopened?,
    }
    world.workers.want(flow, flow.workers)?;
    Ok(did)
}

/// The flow there goes on as well where its copies have topics of their own. What was done, if so.
fn there_too(world: &World, order: &Order) -> Result<Option<String>, PortError> {
    let refused = |error: StepError| PortError::new(PortErrorKind::Refused, error.text);
    let cut: Option<Cut> =
        load(world, &keys::cut(&order.execution.to_string())).map_err(refused)?;
    let partitions = cut.iter().flat_map(|cut| &cut.partitions);
    let mut names = partitions.map(|it| it.topic != it.target_topic).peekable();
    if names.peek().is_none() || !names.all(|other| other) {
        return Ok(None);
    }
    let flow = reach::forward(world, order).map_err(refused)?;
    let name = world.flows.name(flow)?;
    world.flows.reopen(flow, order.epoch)?;
    world.workers.want(flow, flow.workers)?;
    let did = format!(
        "flow {name} was told to go on behind its cut: its copies have topics of their own"
    );
    Ok(Some(did))
}

/// Where the flow back begins: where the flow there ended. In words why it may not.
///
/// Copies under a prefixed name are none of the flow back's topics; there is nothing to begin behind.
fn begins(world: &World, order: &Order) -> Result<Result<Vec<Begin>, String>, StepError> {
    let execution = order.execution.to_string();
    let Some(cut) = load::<Cut>(world, &keys::cut(&execution))? else {
        return Ok(Err("no cut was taken".to_owned()));
    };
    let loss: Option<LossBound> = load(world, &keys::loss(&execution))?;
    if loss.is_none_or(|loss| loss.records_at_most != Some(0)) {
        return Ok(Err(format!(
            "{} may hold records beyond the cut; a failback surveys them before anything is copied there",
            order.source
        )));
    }
    let begins = cut
        .partitions
        .iter()
        .filter(|it| it.topic == it.target_topic)
        .map(|it| Begin {
            source: TopicPartition::new(it.target_topic.as_str(), it.partition),
            source_offset: SourceOffset::new(it.target_offset),
            target: TopicPartition::new(it.topic.as_str(), it.partition),
            target_offset: TargetOffset::new(it.source_offset),
        });
    Ok(Ok(begins.collect()))
}

/// Where the flow onto a cluster that came back begins: at the cut, and behind the tail. In words why it may not.
fn returns(world: &World, order: &Order) -> Result<Result<Vec<Begin>, String>, StepError> {
    let survey: TailSurvey = must_load(world, &keys::survey(&order.execution.to_string()))?;
    let renewed: Option<Renewed> = load(world, &keys::renewed(&order.execution.to_string()))?;
    let renewed = renewed.and_then(|it| it.ends);
    // A machine from before tails were carried in turns does not ask whether that was all.
    if renewed.is_none() && !order.leash.is_leashed() && survey.with_records().next().is_some() {
        return Ok(Err(format!(
            "what {} alone holds is not all put aside yet; start again, it goes on where it was",
            order.target
        )));
    }
    let renewed = renewed.unwrap_or_default();
    let renewed_end = |topic: &str, partition: i32| {
        let own = renewed.iter().find(|it| it.0 == topic && it.1 == partition);
        own.map(|it| it.2)
    };
    let begins: Vec<Begin> = (survey.partitions.iter())
        .filter(|it| it.topic == it.copies)
        .filter_map(|it| {
            let (active, returned) = it.begin()?;
            Some(Begin {
                source: TopicPartition::new(it.copies.as_str(), it.partition),
                source_offset: SourceOffset::new(active),
                target: TopicPartition::new(it.topic.as_str(), it.partition),
                target_offset: TargetOffset::new(
                    renewed_end(&it.topic, it.partition).unwrap_or(returned),
                ),
            })
        })
        .collect();
    if order.leash.is_leashed() {
        return Ok(Ok(begins));
    }
    // Those that the flow begins with, and those that it never had: what was written there since is in no survey.
    let expected: BTreeMap<TopicPartition, i64> = (survey.partitions.iter())
        .map(|it| {
            let surveyed = if it.is_gone() { 0 } else { it.end };
            let end = renewed_end(&it.topic, it.partition).unwrap_or(surveyed);
            (TopicPartition::new(it.topic.as_str(), it.partition), end)
        })
        .collect();
    let names = expected.keys().cloned().collect();
    let ends = reach::target(world, order)?.ends(&names, WITHIN);
    let ends = ends.map_err(|error| at_target(&error))?;
    let moved = expected.iter().find_map(|(partition, expected)| {
        // What is gone is made by the flow's workers.
        let end = ends.get(partition).map_or(0, |ends| ends.high_watermark);
        (end != *expected).then(|| {
            format!(
                "{partition} ends at {end} on {}, and ended at {expected} when it was surveyed: somebody wrote to it since; \
                 start again",
                order.target
            )
        })
    });
    Ok(match moved {
        Some(moved) => Err(moved),
        None => Ok(begins),
    })
}

#[cfg(test)]
mod tests {
    use understudy_fakes::Stage;
    use understudy_recovery::cut::PartitionCut;
    use understudy_recovery::tail::TailOfPartition;
    use understudy_recovery::{Epoch, Leash, Mode};
    use understudy_shell::world::Ends;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn sealed(leash: Leash, lost: u64) -> Result<(Stage, FlowRequest), StepError> {
        let stage = Stage::new();
        let order = stage.order(Mode::Switchover, leash);
        let world = stage.world();
        let partition = |target_topic: &str, partition| PartitionCut {
            topic: "orders".to_owned(),
            partition,
            target_topic: target_topic.to_owned(),
            source_offset: 100,
            target_offset: 110,
            incarnation: 0,
            source_end_offset: None,
            source_end_seen_at_ms: None,
        };
        let cut = Cut {
            flow: "use1-usw2".to_owned(),
            epoch: Epoch::new(1),
            at_ms: 0,
            partitions: vec![partition("orders", 0), partition("use1.orders", 1)],
        };
        let loss = LossBound {
            records_at_least: lost,
            records_at_most: Some(lost),
            seconds_at_most: Some(0.0),
        };
        let execution = order.execution.to_string();
        save(&world, &keys::cut(&execution), &cut)?;
        save(&world, &keys::loss(&execution), &loss)?;
        let direction = Direction::Reverse;
        Ok((stage, FlowRequest { order, direction }))
    }

    #[test]
    fn the_flow_back_begins_where_the_flow_there_ended() -> Outcome {
        let (stage, request) = sealed(Leash::Acting, 0)?;
        assert!(handle(&stage.world(), request)?.started);
        let mut scene = stage.scene();
        let flow = scene.flow("reverse.toml");
        let begins: Vec<_> = flow
            .begins
            .iter()
            .map(|it| (it.source_offset.get(), it.target_offset.get()))
            .collect();
        // Copies under another name are not copied back.
        assert_eq!((begins, flow.workers), (vec![(110, 100)], Some(2)));
        let log = &scene.log;
        assert!(
            log.first().is_some_and(|it| it.starts_with("begin_at")),
            "{log:?}"
        );
        Ok(())
    }

    #[test]
    fn with_records_beyond_the_cut_it_waits_for_a_failback() -> Outcome {
        let (stage, request) = sealed(Leash::Acting, 3)?;
        let answer = handle(&stage.world(), request)?;
        assert!(!answer.started && answer.reason.is_some());
        assert!(stage.scene().log.is_empty());
        Ok(())
    }

    #[test]
    fn no_flow_begins_onto_a_tail_that_is_half_put_aside() -> Outcome {
        let stage = Stage::new();
        let order = stage.order(Mode::Failback, Leash::Acting);
        let world = stage.world();
        let tail = TailOfPartition {
            topic: "orders".to_owned(),
            copies: "orders".to_owned(),
            end: 13,
            records: 3,
            ..TailOfPartition::default()
        };
        let survey = TailSurvey {
            partitions: vec![tail],
            ..TailSurvey::default()
        };
        let execution = order.execution.to_string();
        save(&world, &keys::survey(&execution), &survey)?;
        let ends = Ends {
            last_stable: 13,
            high_watermark: 13,
        };
        let target = order.target.to_string();
        let orders = TopicPartition::new("orders", 0);
        stage.scene().cluster(&target).ends.insert(orders, ends);
        let mut renewed = Renewed {
            put_aside: 2,
            merged: 0,
            ends: None,
        };
        assert!(returns(&world, &order)?.is_err());
        save(&world, &keys::renewed(&execution), &renewed)?;
        let reason = returns(&world, &order)?.err().unwrap_or_default();
        assert!(reason.contains("not all put aside"), "{reason}");
        renewed.ends = Some(Vec::new());
        save(&world, &keys::renewed(&execution), &renewed)?;
        assert!(returns(&world, &order)?.is_ok());
        Ok(())
    }

    #[test]
    fn trouble_is_an_answer_and_a_drill_starts_nothing() -> Outcome {
        let (stage, request) = sealed(Leash::Acting, 0)?;
        let kind = PortErrorKind::Unreachable;
        stage.scene().failing.insert("begin_at".to_owned(), kind);
        assert!(!handle(&stage.world(), request)?.started);
        let (stage, request) = sealed(Leash::Leashed, 0)?;
        assert!(handle(&stage.world(), request)?.started);
        assert!(stage.scene().log.is_empty());
        Ok(())
    }
}
