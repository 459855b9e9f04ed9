//! One partition's records in their order, from one offset up to another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ffi::reader::{Fetched, Reader, Record};
use crate::{Endpoint, Fault, Operation};
use rdkafka::config::ClientConfig;
use understudy_domain::TopicPartition;

/// How long it may bring nothing before it is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one look waits for the first record.
const LOOK: Duration = Duration::from_millis(200);

/// A part of one partition, as a reader with the given properties sees it.
pub struct LogRange {
    // Order of fields is order of drop: records go before the client that fetched them.
    waiting: VecDeque<Record>,
    reader: Reader,
    name: TopicPartition,
    end: i64,
    finished: bool,
}

impl LogRange {
    /// The records of `name` from `from` up to and without `end`.
    ///
    /// # Errors
    /// The client refuses.
    pub fn open(
        config: ClientConfig,
        endpoint: &Endpoint,
        name: &TopicPartition,
        from: i64,
        end: i64,
    ) -> Result<Self, Fault> {
        let mut reader = Reader::new(&config, endpoint.watch.clone())?;
        if from < end {
            reader.start(name, from)?;
        }
        Ok(Self {
            waiting: VecDeque::new(),
            reader,
            name: name.clone(),
            end,
            finished: from >= end,
        })
    }

    /// The next record; none once all of them came. A record must be dropped before the range is.
    ///
    /// # Errors
    /// What the broker answered, or nothing came for too long.
    pub fn next_record(&mut self) -> Result<Option<Record>, Fault> {
        let limit = Instant::now() + SILENCE;
        let mut fetched = Vec::new();
        while self.waiting.is_empty() && !self.finished {
            if Instant::now() > limit {
                return Err(Fault::TimedOut {
                    operation: Operation::Fetch,
                    subject: self.name.to_string(),
                    within: SILENCE,
                });
            }
            self.reader.poll(LOOK, &mut fetched);
            for item in fetched.drain(..) {
                match item {
                    Fetched::Record(_, record) if record.offset() < self.end => {
                        self.waiting.push_back(record)
                    }
                    Fetched::Record(..) => self.finished = true,
                    Fetched::End(_, at) => self.finished |= at.get() >= self.end,
                    Fetched::Fault(_, code, reason) => {
                        return Err(Fault::code(
                            Operation::Fetch,
                            &self.name.to_string(),
                            code,
                            reason,
                        ));
                    }
                }
            }
        }
        Ok(self.waiting.pop_front())
    }
}
