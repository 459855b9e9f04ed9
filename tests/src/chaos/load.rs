//! What applications write meanwhile: keyed orders, payments in transactions, a compacted topic.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::Result;
use crate::cluster::Cluster;
use crate::error::{Result as LabResult, chain};
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
        let payments = payments
            .transactional(PAYMENTS_IN_TRANSACTION, ABORT_EVERY)
            // A source that is long away must not end the producer.
            .property("transaction.timeout.ms", "300000")
            .property("message.timeout.ms", "120000");
        let all = [
            workload(&self.orders, self.rate),
            payments,
            customers.compacted(500, 40),
        ];
        let applications: LabResult<Vec<_>> = all.into_iter().map(Application::start).collect();
        Ok(Load(Mutex::new(applications?)))
    }
}

/// Applications that write. Stops when dropped.
#[derive(Debug)]
pub struct Load(
    /// Written by `tend`, which replaces an application that gave up.
    Mutex<Vec<Application>>,
);

#[derive(Debug)]
struct Application {
    workload: Workload,
    running: RunningWorkload,
    refused: Vec<String>,
}

impl Application {
    fn start(workload: Workload) -> LabResult<Self> {
        Ok(Self {
            running: workload.clone().start()?,
            workload,
            refused: Vec::new(),
        })
    }
}

impl Load {
    /// Records handed to the producers so far, those of aborted transactions included.
    pub fn written(&self) -> u64 {
        self.applications()
            .iter()
            .map(|application| application.running.written())
            .sum()
    }

    /// Starts a producer again that gave up: a killed source makes librdkafka's transactional
    /// producer lose count at times. Under the same transactional id, so that nothing stays open.
    pub fn tend(&self) -> Result<()> {
        for application in self.applications().iter_mut() {
            if application.running.is_finished() {
                let next = application.workload.clone().start()?;
                let last = std::mem::replace(&mut application.running, next);
                let why = last.stop().map_or_else(
                    |error| chain(&error),
                    |produced| format!("it ended after {} records", produced.committed_total()),
                );
                application.refused.push(why);
            }
        }
        Ok(())
    }

    /// Stops; returns what the source's brokers acknowledged.
    pub fn stop(self) -> Stopped {
        let mut stopped = Stopped::default();
        let applications = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        for application in applications {
            stopped.refused.extend(application.refused);
            match application.running.stop() {
                Ok(produced) => {
                    stopped.committed += produced.committed_total();
                    stopped.aborted += produced.aborted_total();
                }
                Err(error) => stopped.refused.push(chain(&error)),
            }
        }
        stopped
    }

    fn applications(&self) -> MutexGuard<'_, Vec<Application>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
