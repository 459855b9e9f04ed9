//! What applications write meanwhile: keyed orders, payments in transactions, a compacted topic.

use super::error::Result;
use crate::cluster::Cluster;
use crate::error::chain;
use crate::workload::{RunningWorkload, Workload};

/// How much is written, and to which topics.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Keyed orders with headers.
    pub orders: String,
    /// Payments in transactions, some aborted.
    pub payments: String,
    /// A compacted topic: few keys, tombstones.
    pub customers: String,
    /// Orders a second; a quarter as many payments, a sixth as many customers.
    pub rate: u64,
    /// The size of a value.
    pub value_bytes: usize,
}

/// Each so many transactions of payments, one is aborted.
pub const ABORT_EVERY: u64 = 8;
const PARTITIONS: [i32; 3] = [6, 4, 3];
const PAYMENTS_IN_TRANSACTION: u64 = 20;

impl LoadPlan {
    /// A load on topics with this suffix.
    pub fn new(suffix: &str, rate: u64, value_bytes: usize) -> Self {
        Self {
            orders: format!("orders{suffix}"),
            payments: format!("payments{suffix}"),
            customers: format!("customers{suffix}"),
            rate,
            value_bytes,
        }
    }

    /// Every topic.
    pub fn topics(&self) -> [&str; 3] {
        [&self.orders, &self.payments, &self.customers]
    }

    /// Partitions over all topics.
    pub fn partitions(&self) -> i32 {
        PARTITIONS.iter().sum()
    }

    /// Creates the topics on the source; on the target, that is for the workers to do.
    pub fn create_topics(&self, source: &Cluster) -> Result<()> {
        for (topic, partitions) in self.topics().into_iter().zip(PARTITIONS) {
            let compacted: &[(&str, &str)] = match topic == self.customers {
                true => &[("cleanup.policy", "compact")],
                false => &[],
            };
            source.create_topic(topic, partitions, compacted)?;
        }
        Ok(())
    }

    /// Payments a second.
    pub fn payments_rate(&self) -> u64 {
        (self.rate / 4).max(1)
    }

    /// Customers a second.
    pub fn customers_rate(&self) -> u64 {
        (self.rate / 6).max(1)
    }

    /// Starts to write, until stopped.
    pub fn start(&self, source: &Cluster) -> Result<Load> {
        let workload = |topic: &str, rate: u64| {
            Workload::orders(source.client(), topic)
                .producer(topic)
                .value_bytes(self.value_bytes)
                .records(u64::MAX)
                .rate(rate)
        };
        let payments = workload(&self.payments, self.payments_rate());
        let customers = workload(&self.customers, self.customers_rate());
        Ok(Load(vec![
            workload(&self.orders, self.rate).start()?,
            payments
                .transactional(PAYMENTS_IN_TRANSACTION, ABORT_EVERY)
                // A source that is long away must not end the producer.
                .property("transaction.timeout.ms", "600000")
                .property("message.timeout.ms", "300000")
                .start()?,
            customers.compacted(500, 40).start()?,
        ]))
    }
}

/// Applications that write. Stops when dropped.
#[derive(Debug)]
pub struct Load(Vec<RunningWorkload>);

impl Load {
    /// Records handed to the producers so far, those of aborted transactions included.
    pub fn written(&self) -> u64 {
        self.0.iter().map(RunningWorkload::written).sum()
    }

    /// Stops; returns what the source's brokers acknowledged.
    pub fn stop(self) -> Stopped {
        let mut stopped = Stopped::default();
        for ended in self.0.into_iter().map(RunningWorkload::stop) {
            match ended {
                Ok(produced) => {
                    stopped.committed += produced.committed_total();
                    stopped.aborted += produced.aborted_total();
                }
                Err(error) => stopped.refused.push(chain(&error)),
            }
        }
        stopped
    }
}

/// What applications have written in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Records acknowledged as committed.
    pub committed: u64,
    /// Records of aborted transactions.
    pub aborted: u64,
    /// Why a producer cannot say; its records are missing above. No fault of the mirror's.
    pub refused: Vec<String>,
}
