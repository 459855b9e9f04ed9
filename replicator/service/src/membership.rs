//! Which slots this worker holds: decided by a consumer group on the target.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use understudy_domain::Slot;
use understudy_kafka::watch::Watch;
use understudy_kafka::{Fault, Operation};

use crate::board::Part;
use crate::config::Flow;
use crate::explain::explain;
use crate::opening::{Opening, PATIENCE};
use crate::slot::{Context, SlotTask};
use crate::stop::Stop;

/// How long one wait for group events lasts.
const POLL: Duration = Duration::from_millis(250);

/// What a worker does until the group has answered it.
pub const JOINING: &str = "joining the group that shares out slots";

struct Held {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

/// Starts and stops slots as the group says. Clones share the slots: one for each consumer, one after the other.
#[derive(Clone)]
struct Slots {
    context: Context,
    /// Whether the worker is leaving.
    stop: Arc<Stop>,
    watch: Watch,
    /// Written in rebalance callbacks and at the end, all on the membership's thread; a mutex because callbacks only
    /// get a shared reference.
    held: Arc<Mutex<BTreeMap<Slot, Held>>>,
    /// Whether the membership leaves only to join again at once: what runs goes on. Written and read on its thread.
    rejoining: Arc<AtomicBool>,
}

impl Slots {
    fn assign(&self, slots: &[Slot]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            if held.contains_key(slot) {
                continue;
            }
            let stop = Arc::new(Stop::default());
            let task = SlotTask::new(self.context.clone(), *slot, stop.clone());
            match std::thread::Builder::new()
                .name(format!("slot-{slot}"))
                .spawn(move || task.run())
            {
                Ok(thread) => {
                    held.insert(*slot, Held { stop, thread });
                }
                Err(error) => {
                    self.context
                        .board
                        .not_ready(Part::Slot(*slot), &format!("no thread for it: {error}"));
                }
            }
        }
    }

    /// Stops slots and waits until each has ended its transaction.
    fn revoke(&self, slots: &[Slot]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in slots {
            if let Some(held) = held.get(slot) {
                held.stop.set();
            }
        }
        self.context.bell.ring_for(slots);
        for slot in slots {
            if let Some(held) = held.remove(slot) {
                // Its thread leaves its loops within their time limits; a panic in it was already reported.
                drop(held.thread.join());
            }
        }
    }

    /// What the group says is ours after it had lost us: everything else stops.
    fn keep_only(&self, slots: &[Slot]) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<Slot> = held
            .keys()
            .copied()
            .filter(|slot| !slots.contains(slot))
            .collect();
        drop(held);
        self.revoke(&others);
    }

    fn revoke_all(&self) {
        let all: Vec<Slot> = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect();
        self.revoke(&all);
    }
}

impl ClientContext for Slots {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Slots {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            // The group's coordinator may be what was lost, and nobody may have claimed the slots: what runs goes on
            // until the brokers fence it or the group answers.
            Rebalance::Revoke(list) if consumer.assignment_lost() => {
                self.context.lost.store(true, Ordering::Relaxed);
                let slots = text_of(&slots_of(list, self.context.slots));
                tracing::warn!(%slots, "the group lost this worker; its slots go on until it answers");
                self.context.board.not_ready(
                    Part::Membership,
                    "the group lost this worker; joining it again",
                );
            }
            // As after a loss: what runs goes on until the brokers fence it or the group answers.
            Rebalance::Revoke(_) if self.rejoining.load(Ordering::Relaxed) => {
                self.context.lost.store(true, Ordering::Relaxed);
            }
            Rebalance::Revoke(list) => {
                let slots = slots_of(list, self.context.slots);
                if !slots.is_empty() && !self.stop.is_set() {
                    tracing::info!(slots = %text_of(&slots), "slots revoked");
                }
                self.revoke(&slots);
            }
            Rebalance::Assign(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let slots = slots_of(list, self.context.slots);
            if !slots.is_empty() {
                tracing::info!(slots = %text_of(&slots), "slots assigned");
            }
            if self.context.lost.load(Ordering::Relaxed) {
                self.keep_only(&slots);
                self.context.lost.store(false, Ordering::Relaxed);
            }
            self.context.board.ready(&Part::Membership);
            if !self.stop.is_set() {
                self.assign(&slots);
            }
        }
    }
}

/// Takes part in the group until `stop`, then releases every slot and leaves at once.
///
/// # Errors
/// A property that librdkafka refuses.
pub fn run(context: Context, stop: &Arc<Stop>) -> Result<(), Fault> {
    let flow = context.flow.clone();
    let board = context.board.clone();
    let group = flow.state.group_id();
    let slots = Slots {
        context,
        stop: stop.clone(),
        watch: flow.target.watch.clone(),
        held: Arc::default(),
        rejoining: Arc::default(),
    };
    board.not_ready_yet(Part::Membership, JOINING);
    loop {
        let generation = flow.target.generation();
        // What runs goes on, however long new credentials are of no use.
        let patience = if slots.rejoining.load(Ordering::Relaxed) {
            Duration::MAX
        } else {
            PATIENCE
        };
        let opening = Opening {
            board: &board,
            part: Part::Membership,
            then: JOINING,
            patience,
        };
        let say = |fault: &Fault| explain(&flow.target, fault);
        let joined = || join(&flow, &group, &slots);
        let Some(consumer) = opening.run(stop, say, joined)? else {
            break;
        };
        slots.rejoining.store(false, Ordering::Relaxed);
        // Before the consumer is dropped, it is taken from those that get new logins.
        let enlisted = flow.target.watch.logins().enlist(consumer.client());
        // Said once for each loss: the library's words hold counts that change.
        let mut said = false;
        while !stop.is_set() && flow.target.generation() == generation {
            if let Some(Err(error)) = consumer.poll(POLL) {
                let fault = Fault::kafka(Operation::JoinGroup, &group, error);
                let lost = slots.context.lost.load(Ordering::Relaxed);
                if lost && !said || matches!(fault, Fault::Denied { .. }) {
                    said = lost;
                    board.not_ready(Part::Membership, &explain(&flow.target, &fault));
                }
            }
            said &= slots.context.lost.load(Ordering::Relaxed);
        }
        drop(enlisted);
        if stop.is_set() {
            slots.revoke_all();
            // Dropping the consumer leaves the group, so that others need not wait for our session to end.
            drop(consumer);
            break;
        }
        tracing::info!("joining the group again, with new credentials");
        slots.rejoining.store(true, Ordering::Relaxed);
        slots.context.lost.store(true, Ordering::Relaxed);
        drop(consumer);
    }
    slots.revoke_all();
    Ok(())
}

fn join(flow: &Flow, group: &str, slots: &Slots) -> Result<BaseConsumer<Slots>, Fault> {
    let consumer: BaseConsumer<Slots> = flow
        .target
        .member(group)
        .create_with_context(slots.clone())
        .map_err(|error| Fault::kafka(Operation::JoinGroup, group, error))?;
    consumer
        .subscribe(&[&flow.state.slots()])
        .map_err(|error| Fault::kafka(Operation::JoinGroup, group, error))?;
    Ok(consumer)
}

/// The flow's slots among these partitions. The slot topic may have more partitions than the flow has slots, from when
/// it had more; nobody holds those.
fn slots_of(list: &TopicPartitionList, slots: NonZeroU32) -> Vec<Slot> {
    list.elements()
        .iter()
        .filter_map(|place| u32::try_from(place.partition()).ok())
        .filter(|slot| *slot < slots.get())
        .map(Slot::new)
        .collect()
}

fn text_of(slots: &[Slot]) -> String {
    slots
        .iter()
        .map(Slot::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
