//! The mirroring process, from start to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use understudy_domain::FlowRecord;
use understudy_kafka::{Cluster, Fault};

use crate::access::Access;
use crate::answers::Answers;
use crate::bell::Bell;
use crate::board::{Board, Part};
use crate::catalog::Catalog;
use crate::chain::chain;
use crate::config::Flow;
use crate::discovery::{Discovery, Ended};
use crate::door::{self, Caller, Door, TlsError};
use crate::emf;
use crate::events::Events;
use crate::explain::explain;
use crate::flow_record::{self, FlowError};
use crate::gauges::Gauges;
use crate::history;
use crate::http::{Page, router};
use crate::keeper::Keeper;
use crate::log_starts::LogStarts;
use crate::looker::Looker;
use crate::membership;
use crate::metrics::Metrics;
use crate::mm2::Teller;
use crate::observer::Observer;
use crate::opening::{Opening, PATIENCE};
use crate::opposite::{self, Ends};
use crate::places::Places;
use crate::reslot;
use crate::rotation::Rotation;
use crate::slot::Context;
use crate::state_topics;
use crate::stop::Stop;
use crate::throttle::Throttle;

/// Time limit of one call while starting.
const WITHIN: Duration = Duration::from_secs(10);
/// What a worker does until it has reached both clusters.
const CONNECTING: &str = "connecting";
/// How long a change of the number of slots is left to whoever began it before this worker goes on with it.
const CHANGE_LEFT_ALONE: Duration = Duration::from_secs(5);

/// Why the process cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The page's address.
    #[error("cannot listen on {address}; choose another http.listen")]
    Listen {
        /// As configured.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The page's certificate or key.
    #[error("the page cannot be served over TLS")]
    Tls(#[from] TlsError),
    /// The machine refuses a thread or a signal handler.
    #[error("cannot start")]
    Start(#[source] std::io::Error),
    /// The flow does not fit what is there.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// A client could not be made.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Runs until SIGTERM or SIGINT. `events` holds the log's last warnings and errors, for the page.
///
/// # Errors
/// What no waiting will heal: the page's port is taken, or the flow does not fit the clusters.
pub fn replicate(flow: Flow, events: Events) -> Result<(), WorkerError> {
    let flow = Arc::new(flow);
    let board = Board::default();
    let stop = Arc::new(Stop::default());
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    board.not_ready_yet(Part::Start, CONNECTING);
    let observer = Observer::new(flow.clone(), board.clone(), metrics.clone(), events);
    registry.register_collector(Box::new(Gauges {
        observer: observer.clone(),
        by_partition: flow.http.partition_metrics,
    }));
    let page = Page {
        observer: observer.clone(),
        registry: Arc::new(registry),
        access: Access::new(&flow.http),
    };
    let tls = flow.http.tls.as_ref().map(door::acceptor).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WorkerError::Start)?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(flow.http.listen))
        .map_err(|source| WorkerError::Listen {
            address: flow.http.listen,
            source,
        })?;
    tracing::info!(flow = %flow.name, source = %flow.source.alias, target = %flow.target.alias, listen = %flow.http.listen, "worker started");
    let (done, finished) = tokio::sync::oneshot::channel();
    let mirror = std::thread::Builder::new()
        .name("mirror".to_owned())
        .spawn({
            let (flow, stop) = (flow.clone(), stop.clone());
            move || {
                let result = mirror(&flow, &board, metrics, &stop);
                // Nobody listens any more once the server has stopped.
                let _stopped = done.send(());
                result
            }
        })
        .map_err(WorkerError::Start)?;
    if flow.http.emf {
        let (observer, stop) = (observer, stop.clone());
        let pair = flow.http.emf_pair.clone();
        // Not joined: whoever reads standard output may have stopped doing so.
        std::thread::Builder::new()
            .name("emf".to_owned())
            .spawn(move || emf::run(&observer, pair.as_deref(), &stop))
            .map_err(WorkerError::Start)?;
    }
    let served = runtime.block_on(async {
        let door = Door::open(listener, tls)?;
        serve(door, page, finished).await
    });
    stop.set();
    let result = mirror.join().unwrap_or(Ok(()));
    tracing::info!(flow = %flow.name, "worker stopped");
    served.map_err(WorkerError::Start)?;
    result
}

/// Serves the page until a signal comes or the mirror has ended.
async fn serve(
    door: Door,
    page: Page,
    finished: tokio::sync::oneshot::Receiver<()>,
) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let observer = page.observer.clone();
    let callers = router(page).into_make_service_with_connect_info::<Caller>();
    let server = axum::serve(door, callers);
    tokio::select! {
        served = async { server.await } => served,
        () = remember(&observer) => Ok(()),
        _ = terminate.recv() => {
            tracing::info!(signal = "SIGTERM", "stopping");
            Ok(())
        }
        _ = interrupt.recv() => {
            tracing::info!(signal = "SIGINT", "stopping");
            Ok(())
        }
        _ = finished => Ok(()),
    }
}

/// Takes samples for the page's history; never ends.
async fn remember(observer: &Observer) {
    let mut ticks = tokio::time::interval(history::EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        observer.sample();
    }
}

/// Prepares the flow, then holds slots until `stop`.
fn mirror(
    flow: &Arc<Flow>,
    board: &Board,
    metrics: Metrics,
    stop: &Arc<Stop>,
) -> Result<(), WorkerError> {
    Rotation::new(flow, board.clone())
        .start(stop.clone())
        .map_err(WorkerError::Start)?;
    let throttle = Throttle::new(flow.max_bytes_per_second);
    while let Some(record) = prepare(flow, board, stop)? {
        let (catalog, answers) = (Catalog::default(), Answers::default());
        let (starts, bell) = (LogStarts::default(), Bell::default());
        let context = Context {
            flow: flow.clone(),
            generation: record.generation,
            slots: record.slots,
            bell,
            catalog,
            answers,
            places: Places::default(),
            starts,
            throttle: throttle.clone(),
            board: board.clone(),
            metrics: metrics.clone(),
            lost: Arc::default(),
        };
        let opened = starting(board, stop, || {
            Ok((
                Discovery::new(&context, &record)?,
                Keeper::new(&context)?,
                Looker::new(context.clone())?,
            ))
        })?;
        let Some((discovery, keeper, looker)) = opened else {
            return Ok(());
        };
        // Before the start is over, so that nobody sees a worker ready that holds nothing.
        board.not_ready_yet(Part::Membership, membership::JOINING);
        board.ready(&Part::Start);
        // Slots and discovery of one generation end together; the worker goes on with the next one.
        let generation_stop = stop.child();
        let looking = std::thread::Builder::new()
            .name("discovery".to_owned())
            .spawn({
                let (stop, generation_stop) = (stop.clone(), generation_stop.clone());
                move || {
                    let ended = discovery.run(&stop);
                    generation_stop.set();
                    ended
                }
            })
            .map_err(WorkerError::Start)?;
        let keeping = std::thread::Builder::new()
            .name("settings".to_owned())
            .spawn({
                let stop = generation_stop.clone();
                move || keeper.run(&stop)
            })
            .map_err(WorkerError::Start)?;
        let placing = std::thread::Builder::new()
            .name("places".to_owned())
            .spawn({
                let stop = generation_stop.clone();
                move || looker.run(&stop)
            })
            .map_err(WorkerError::Start)?;
        let teller = Teller::new(context.clone());
        let telling = std::thread::Builder::new()
            .name("mm2".to_owned())
            .spawn({
                let stop = generation_stop.clone();
                move || teller.run(&stop)
            })
            .map_err(WorkerError::Start)?;
        let held = membership::run(context, &generation_stop);
        if held.is_err() {
            stop.set();
        }
        generation_stop.set();
        // The threads end within their calls' time limits; a panic in one was already reported.
        drop(placing.join());
        drop(telling.join());
        let ended = looking.join().unwrap_or(Ended::Stopped);
        drop(keeping.join());
        held?;
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::OtherGeneration => {
                tracing::info!(
                    generation = record.generation,
                    "the flow has another generation"
                );
                board.not_ready(
                    Part::Start,
                    "the flow has another generation; starting over",
                );
            }
        }
    }
    Ok(())
}

/// Opens the clients that a worker starts with.
fn starting<T>(
    board: &Board,
    stop: &Stop,
    attempt: impl FnMut() -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let opening = Opening {
        board,
        part: Part::Start,
        then: CONNECTING,
        patience: PATIENCE,
    };
    opening.run(stop, Fault::to_string, attempt)
}

/// Reaches both clusters, makes the state topics and the flow's record; tries again for what may heal.
/// `None` when told to stop before that.
fn prepare(flow: &Flow, board: &Board, stop: &Stop) -> Result<Option<FlowRecord>, WorkerError> {
    let opened = starting(board, stop, || {
        Ok((Cluster::kept(&flow.source)?, Cluster::kept(&flow.target)?))
    })?;
    let Some((source, target)) = opened else {
        return Ok(None);
    };
    let mut wait = Duration::from_millis(250);
    let mut changing_since = None;
    while !stop.is_set() {
        match attempt(flow, board, &source, &target) {
            Ok(record) => return Ok(Some(record)),
            Err((_, error)) if !error.may_heal() => return Err(error.into()),
            Err((part, error)) => {
                if let FlowError::Changing { .. } = &error {
                    let since = *changing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= CHANGE_LEFT_ALONE {
                        changing_since = None;
                        go_on_with_change(&target, flow);
                    }
                }
                let end = if part == Part::Source {
                    &flow.source
                } else {
                    &flow.target
                };
                let reason = match &error {
                    FlowError::Fault(fault) => explain(end, fault),
                    other => other.to_string(),
                };
                board.not_ready(part, &reason);
            }
        }
        stop.wait(wait);
        wait = (wait * 2).min(Duration::from_secs(5));
    }
    Ok(None)
}

/// No running flow may mirror back what this one would write.
fn must_not_go_round(flow: &Flow, source: &Cluster, seen: &Seen<'_>) -> Result<(), FlowError> {
    must_be_free(
        flow,
        opposite::in_the_way(flow, source, seen.topics, seen.ends(), WITHIN),
    )
}

/// A flow that has never run does not begin by itself where a recovery has ended one the other way.
fn must_not_follow_a_recovery(
    flow: &Flow,
    source: &Cluster,
    seen: &Seen<'_>,
) -> Result<(), FlowError> {
    must_be_free(
        flow,
        opposite::left_by_a_recovery(flow, source, seen.topics, seen.ends(), WITHIN),
    )
}

fn must_be_free(flow: &Flow, hindrance: Option<String>) -> Result<(), FlowError> {
    match hindrance {
        None => Ok(()),
        Some(reason) => Err(FlowError::RoundTrip {
            flow: flow.name.to_string(),
            reason,
        }),
    }
}

/// What was seen of the clusters before anything is made.
struct Seen<'a> {
    /// The source's topics.
    topics: &'a [String],
    source_id: &'a str,
    target_id: &'a str,
}

impl Seen<'_> {
    const fn ends(&self) -> Ends<'_> {
        Ends {
            source: self.source_id,
            target: self.target_id,
        }
    }
}

/// Does what is left of a change of the number of slots. Where others are at it, or it does not go, the next attempt
/// sees so.
fn go_on_with_change(target: &Cluster, flow: &Flow) {
    if let Err(error) = reslot::finish(target, flow) {
        tracing::warn!(error = %chain(&error), "could not change the number of slots");
    }
}

fn attempt(
    flow: &Flow,
    board: &Board,
    source: &Cluster,
    target: &Cluster,
) -> Result<FlowRecord, (Part, FlowError)> {
    let source_id = source
        .id(WITHIN)
        .map_err(|fault| (Part::Source, fault.into()))?;
    board.ready(&Part::Source);
    board.hold().source_cluster_id = Some(source_id.clone());
    let at_target = |error: FlowError| (Part::Target, error);
    let target_id = target.id(WITHIN).map_err(|fault| at_target(fault.into()))?;
    board.hold().target_cluster_id = Some(target_id.clone());
    // Before anything is made: a flow onto itself must leave nothing behind.
    flow_record::must_differ(flow, &source_id, &target_id).map_err(at_target)?;
    // Nor one that would only go in circles.
    let at_source = |error: FlowError| (Part::Source, error);
    let topics = source
        .topics(WITHIN)
        .map_err(|fault| at_source(fault.into()))?;
    let topics: Vec<String> = topics.into_iter().map(|topic| topic.name).collect();
    let seen = Seen {
        topics: &topics,
        source_id: &source_id,
        target_id: &target_id,
    };
    must_not_go_round(flow, source, &seen).map_err(at_source)?;
    state_topics::make(flow, target).map_err(|fault| at_target(fault.into()))?;
    if flow_record::read(target, flow)
        .map_err(at_target)?
        .is_none()
    {
        must_not_follow_a_recovery(flow, source, &seen).map_err(at_source)?;
    }
    let record =
        flow_record::read_or_create(target, flow, &source_id, &target_id).map_err(at_target)?;
    board.hold().flow_state = Some(record.state);
    board.ready(&Part::Target);
    Ok(record)
}
