//! A `read_committed` application on the target: what arrives, how old it is, and when each
//! partition flows again after something was killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::latency::Latency;
use crate::cluster::Cluster;
use crate::error::{Doing, Result};

/// A topic and the number of one of its partitions.
pub type Place = (String, i32);

/// How long a partition may bring nothing before it counts as silent.
const SILENT_MS: i64 = 1_000;

/// How long a partition may bring nothing before another client goes on. What a librdkafka client had of a partition's
/// leader when the broker was killed can keep it from asking ever again; that is not what is tried here.
const DEAF_AFTER: Duration = Duration::from_secs(20);

/// A reader of some topics on the target. Ends when dropped.
#[derive(Debug)]
pub struct Tail {
    heard: Arc<Mutex<Heard>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Written by the reader's thread record by record, and by `mark` and `set_calm`.
#[derive(Debug, Default)]
struct Heard {
    records: u64,
    places: BTreeMap<Place, Flow>,
    /// Records are counted as undisturbed.
    calm: bool,
    undisturbed: Latency,
    disturbed: Latency,
    marked_ms: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    /// One past the last record that came.
    next: i64,
    /// When the last record came.
    last_ms: i64,
    /// How old that record was then.
    age_ms: u64,
    /// When the first record came that was produced after the mark.
    resumed_ms: Option<i64>,
}

impl Flow {
    fn is_deaf(&self, now: i64) -> bool {
        u128::try_from(now - self.last_ms).is_ok_and(|silent| silent > DEAF_AFTER.as_millis())
    }
}

/// A client that goes on where these places stand.
fn open(client: &ClientConfig, places: &BTreeMap<Place, Flow>) -> Result<BaseConsumer> {
    let mut client = client.clone();
    let consumer: BaseConsumer = client
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.error.backoff.ms", "50")
        // What comes again is not counted again; what is passed over would be missed.
        .set("auto.offset.reset", "earliest")
        // Never a member of it; the client wants one to assign by hand.
        .set("group.id", "lab-tail")
        .create()
        .doing("create a reader")?;
    let mut list = TopicPartitionList::new();
    for ((topic, partition), flow) in places {
        list.add_partition_offset(topic, *partition, Offset::Offset(flow.next))
            .doing("name a partition")?;
    }
    consumer.assign(&list).doing("read the target")?;
    Ok(consumer)
}

impl Tail {
    /// Reads these topics, which must exist on the target, from their beginnings.
    pub fn start(target: &Cluster, topics: &[&str]) -> Result<Self> {
        let client = target.client();
        let mut heard = Heard::default();
        for topic in topics {
            for partition in 0..target.partitions(topic)?.unwrap_or_default() {
                let flow = Flow {
                    last_ms: now_ms(),
                    ..Flow::default()
                };
                heard.places.insert(((*topic).to_owned(), partition), flow);
            }
        }
        let mut consumer = open(&client, &heard.places)?;
        let heard = Arc::new(Mutex::new(heard));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&heard), Arc::clone(&stop));
        let read = move || {
            let mut opened = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                // Errors are brokers that come and go; silence shows in what was heard.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    lock(&shared).hear(&message);
                }
                if opened.elapsed() > DEAF_AFTER {
                    opened = Instant::now();
                    let places = lock(&shared).places.clone();
                    if places.values().any(|flow| flow.is_deaf(now_ms()))
                        && let Ok(another) = open(&client, &places)
                    {
                        consumer = another;
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("tail".to_owned())
            .spawn(read)
            .doing("start a thread")?;
        Ok(Self {
            heard,
            stop,
            thread: Some(thread),
        })
    }

    /// Records that arrived so far.
    pub fn records(&self) -> u64 {
        lock(&self.heard).records
    }

    /// Every partition that is read.
    pub fn places(&self) -> Vec<Place> {
        lock(&self.heard).places.keys().cloned().collect()
    }

    /// From now on, [`Self::resumed`] speaks of records produced from now on.
    pub fn mark(&self) {
        let mut heard = lock(&self.heard);
        heard.marked_ms = now_ms();
        for flow in heard.places.values_mut() {
            flow.resumed_ms = None;
        }
    }

    /// How long after the mark the last of these partitions brought a record produced after it.
    /// `Err` counts those that have not yet.
    pub fn resumed(&self, places: &[Place]) -> Result<Duration, usize> {
        let heard = lock(&self.heard);
        let flow = |place: &Place| heard.places.get(place).and_then(|flow| flow.resumed_ms);
        let waiting = places.iter().filter(|place| flow(place).is_none()).count();
        if waiting > 0 {
            return Err(waiting);
        }
        let last = places.iter().filter_map(flow).max();
        let after = last.map_or(0, |last| last - heard.marked_ms);
        Ok(Duration::from_millis(after.try_into().unwrap_or_default()))
    }

    /// How many partitions bring nothing just now, and for how long the most silent of them has.
    pub fn silent(&self) -> (usize, Duration) {
        let now = now_ms();
        let heard = lock(&self.heard);
        let silences = heard.places.values().map(|flow| now - flow.last_ms);
        let silent: Vec<i64> = silences.filter(|ms| *ms > SILENT_MS).collect();
        let longest = silent.iter().max().copied().unwrap_or_default();
        let longest = Duration::from_millis(longest.try_into().unwrap_or_default());
        (silent.len(), longest)
    }

    /// The age of the newest record of the partition that is furthest behind.
    pub fn age(&self) -> Duration {
        let now = now_ms();
        let heard = lock(&self.heard);
        let silence = |flow: &Flow| u64::try_from(now - flow.last_ms).unwrap_or_default();
        let ages = heard
            .places
            .values()
            .map(|flow| flow.age_ms + silence(flow));
        Duration::from_millis(ages.max().unwrap_or_default())
    }

    /// Whether records that arrive from now on count as undisturbed.
    pub fn set_calm(&self, calm: bool) {
        lock(&self.heard).calm = calm;
    }

    /// Ages of records that arrived undisturbed, and of those that did not.
    pub fn latencies(&self) -> (Latency, Latency) {
        let heard = lock(&self.heard);
        (heard.undisturbed.clone(), heard.disturbed.clone())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was already reported.
            let _ = thread.join();
        }
    }
}

impl Heard {
    fn hear(&mut self, message: &BorrowedMessage<'_>) {
        let now = now_ms();
        let produced = message.timestamp().to_millis().unwrap_or(now);
        let place = (message.topic().to_owned(), message.partition());
        let flow = self.places.entry(place).or_default();
        if message.offset() < flow.next {
            return;
        }
        flow.next = message.offset() + 1;
        self.records += 1;
        let age = u64::try_from(now - produced).unwrap_or_default();
        match self.calm {
            true => self.undisturbed.add(age),
            false => self.disturbed.add(age),
        }
        let marked = self.marked_ms;
        flow.last_ms = now;
        flow.age_ms = age;
        if produced > marked && flow.resumed_ms.is_none() {
            flow.resumed_ms = Some(now);
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis().try_into().unwrap_or(i64::MAX)
}
