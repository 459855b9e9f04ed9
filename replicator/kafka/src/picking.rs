//! Single records out of a log, by offset: what a search needs, and little more.
//!
//! Fetches are kept small and one partition is read at one place at a time; different partitions go side by side.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use understudy_domain::TopicPartition;

use crate::endpoint::Endpoint;
use crate::fault::{Fault, Operation};
use crate::ffi::reader::{Fetched, Index, Reader, Record};

/// What one fetch may bring, in bytes as stored. A larger batch comes whole.
const FETCH_BYTES: &str = "16384";
/// How many records are looked through for one. More than a transaction of state and what aborted ones left.
const LOOK_THROUGH: usize = 4_000;

/// A record to be looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where.
    pub partition: TopicPartition,
    /// It stands here or a little later.
    pub at: i64,
    /// Its key; without one, whichever record is next.
    pub key: Option<Vec<u8>>,
}

/// What was found, in the order of what was wanted: offset and value.
pub type Picked = Vec<Option<(i64, Option<Vec<u8>>)>>;

/// Finds the first committed record of each wanted one. Nothing for one that is not there before the log's end, or
/// within the next 4,000 records.
///
/// # Errors
/// A time limit, or what a broker answered.
pub fn pick(endpoint: &Endpoint, wanted: &[Wanted], within: Duration) -> Result<Picked, Fault> {
    let mut picked: Picked = wanted.iter().map(|_| None).collect();
    let mut queues: BTreeMap<&TopicPartition, VecDeque<usize>> = BTreeMap::new();
    for (number, wanted) in wanted.iter().enumerate() {
        queues
            .entry(&wanted.partition)
            .or_default()
            .push_back(number);
    }
    if queues.is_empty() {
        return Ok(picked);
    }
    let deadline = Instant::now() + within;
    let mut config = endpoint.reader_to_end();
    config
        .set("fetch.message.max.bytes", FETCH_BYTES)
        .set("queued.min.messages", "1");
    let mut reader = Reader::new(&config, endpoint.watch.clone())?;
    let mut running: BTreeMap<Index, Running> = BTreeMap::new();
    for queue in queues.values_mut() {
        start_next(&mut reader, wanted, queue, &mut running)?;
    }
    let mut fetched = Vec::new();
    while !running.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let subject = wanted.first().map(|wanted| wanted.partition.to_string());
            return Err(Fault::TimedOut {
                operation: Operation::Fetch,
                subject: subject.unwrap_or_default(),
                within,
            });
        }
        reader.poll(left.min(Duration::from_millis(200)), &mut fetched);
        for item in fetched.drain(..) {
            let (index, found) = match &item {
                Fetched::Record(index, record) => (
                    *index,
                    running
                        .get_mut(index)
                        .map_or(Look::On, |running| running.look(wanted, record)),
                ),
                Fetched::End(index, _) => (*index, Look::Missing),
                Fetched::Fault(index, code, reason) => {
                    let subject = running
                        .get(index)
                        .and_then(|running| wanted.get(running.number));
                    let subject = subject.map(|wanted| wanted.partition.to_string());
                    return Err(Fault::code(
                        Operation::Fetch,
                        &subject.unwrap_or_default(),
                        *code,
                        reason.as_str(),
                    ));
                }
            };
            let result = match found {
                Look::On => continue,
                Look::Missing => None,
                Look::Found(record) => Some(record),
            };
            // A reader that was stopped may still hand over what it had.
            let Some(done) = running.remove(&index) else {
                continue;
            };
            if let Some(place) = picked.get_mut(done.number) {
                *place = result;
            }
            let Some(partition) = wanted.get(done.number).map(|wanted| &wanted.partition) else {
                continue;
            };
            reader.stop(partition);
            if let Some(queue) = queues.get_mut(partition) {
                start_next(&mut reader, wanted, queue, &mut running)?;
            }
        }
    }
    Ok(picked)
}

/// One search under way.
struct Running {
    number: usize,
    seen: usize,
}

enum Look {
    On,
    Missing,
    Found((i64, Option<Vec<u8>>)),
}

impl Running {
    fn look(&mut self, wanted: &[Wanted], record: &Record) -> Look {
        self.seen += 1;
        let key = wanted
            .get(self.number)
            .and_then(|wanted| wanted.key.as_deref());
        if key.is_none() || key == record.key() {
            return Look::Found((record.offset(), record.payload().map(<[u8]>::to_vec)));
        }
        match self.seen {
            0..LOOK_THROUGH => Look::On,
            _ => Look::Missing,
        }
    }
}

fn start_next(
    reader: &mut Reader,
    wanted: &[Wanted],
    queue: &mut VecDeque<usize>,
    running: &mut BTreeMap<Index, Running>,
) -> Result<(), Fault> {
    let Some(number) = queue.pop_front() else {
        return Ok(());
    };
    if let Some(next) = wanted.get(number) {
        let index = reader.start(&next.partition, next.at)?;
        running.insert(index, Running { number, seen: 0 });
    }
    Ok(())
}
