//! One cluster's copy of a pair's ledger: the last record of a compacted topic of one partition.
//!
//! Who changes it takes a transactional id over, which fences whoever did so before and ends what they had begun; then
//! reads the topic to its end; then writes, in a transaction. So a commit that the brokers take proves that nobody wrote
//! since the read: brokers, not clocks, keep two from changing it at once.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use serde::{Deserialize, Serialize};
use understudy_domain::TopicPartition;
use understudy_flow::replication::Replicas;
use understudy_flow::state_topics::wait_led;
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster, Fault, Operation};
use understudy_recovery::{Alias, Ledger, PairName};
use understudy_shell::{PortError, PortErrorKind, bounded};

use crate::clock::Until;
use crate::connections::Connections;
use crate::ledger_on_both::{LedgerCopy, LedgerOnBoth};
use crate::pair_file::PairFile;
use crate::trouble::of_fault;

/// How long a change may take, from the first call to the last.
const CHANGE_WITHIN: Duration = Duration::from_secs(8);
/// How often it is tried where the brokers do not tell what became of it.
const TRIES: u32 = 3;

/// One cluster's copy.
pub struct LedgerTopic {
    pair: PairName,
    connections: Connections,
    /// What the flow file says of replicas.
    replication_factor: Option<NonZeroU16>,
}

impl LedgerTopic {
    /// The ledger of a pair on both of its clusters, each reached as the flow reaches it that writes to it. Connects to
    /// nothing.
    pub fn on_both(file: &PairFile) -> LedgerOnBoth {
        let copies = file.pair.flows.iter().filter_map(|of_pair| {
            let flow = file.flows.get(&of_pair.file)?;
            let copy = Self {
                pair: file.pair.name.clone(),
                connections: Connections::new(flow.target.clone()),
                replication_factor: flow.replication_factor,
            };
            let copy: Arc<dyn LedgerCopy> = Arc::new(copy);
            Some((of_pair.target.clone(), copy))
        });
        let copies: std::collections::BTreeMap<Alias, _> = copies.collect();
        LedgerOnBoth::new(Arc::clone(&file.pair), copies)
    }

    fn topic(&self) -> String {
        format!("understudy.{}.ledger", self.pair)
    }

    fn transactional_id(&self) -> String {
        format!("understudy-{}-ledger", self.pair)
    }

    /// The last record, of all that was committed by now. To the end also while somebody changes it: a commit that was
    /// answered may not have come to the topic yet.
    fn last(&self, cluster: &Cluster, until: Until) -> Result<Option<Vec<u8>>, Fault> {
        let mut last = None;
        let place = TopicPartition::new(self.topic(), 0);
        cluster.read_to_end(&place, 0, until.left(), |(key, value, _)| {
            if key == self.pair.as_str().as_bytes() {
                last = value;
            }
        })?;
        Ok(last)
    }

    fn held(&self, bytes: Option<Vec<u8>>) -> Result<Option<Ledger>, PortError> {
        let Some(bytes) = bytes else { return Ok(None) };
        decode(&bytes).map(Some).map_err(|reason| {
            let text = format!(
                "topic {} on {} holds no ledger that can be used: {reason}",
                self.topic(),
                self.connections.endpoint.alias
            );
            PortError::new(PortErrorKind::Malformed, text)
        })
    }

    fn make(&self, cluster: &Cluster) -> Result<(), Fault> {
        let topic = self.topic();
        let replicas = Replicas::on(cluster, self.replication_factor)?;
        replicas.create_own(cluster, &topic, 1, &[("cleanup.policy", "compact")])?;
        wait_led(cluster, &topic, 1)
    }

    /// Takes the id over, and puts `next` behind what is there if `may` says so. The inner result is the brokers' answer.
    fn take_over(
        &self,
        may: &dyn Fn(Option<&Ledger>) -> Result<(), PortError>,
        next: &[u8],
        until: Until,
    ) -> Result<Result<(), Fault>, PortError> {
        let endpoint = &self.connections.endpoint;
        let at_cluster = |fault: Fault| of_fault(endpoint, &fault);
        let config = endpoint.writer(&self.transactional_id());
        let mut writer =
            Writer::new(&config, endpoint.watch.clone(), usize::MAX).map_err(at_cluster)?;
        let changed = writer
            .init(until.left())
            .map_err(at_cluster)
            .and_then(|()| {
                // A broker that does not know the topic yet does not know that nothing stands in it.
                let last = self.connections.ask(|cluster| self.last(cluster, until));
                let last = last.map_err(|error| match error.kind {
                    PortErrorKind::Missing => {
                        PortError::new(PortErrorKind::Unreachable, error.text)
                    }
                    _ => error,
                })?;
                may(self.held(last)?.as_ref())?;
                Ok(self.put(&mut writer, next, until))
            });
        // To let go of a client may take as long as its last connection.
        let _letting_go = bounded::start(move || drop(writer));
        changed
    }

    fn put(&self, writer: &mut Writer, next: &[u8], until: Until) -> Result<(), Fault> {
        writer.begin()?;
        let place = TopicPartition::new(self.topic(), 0);
        writer.put(0, &place, self.pair.as_str().as_bytes(), Some(next))?;
        writer.commit(until.left())
    }
}

impl LedgerCopy for LedgerTopic {
    fn read(&self, within: Duration) -> Result<Option<Ledger>, PortError> {
        let until = Until::within(within);
        let last = self.connections.ask(|cluster| {
            match cluster.topic(&self.topic(), until.left())? {
                Some(_) => self.last(cluster, until),
                None => Ok(None),
            }
        })?;
        self.held(last)
    }

    fn change(
        &self,
        may: &dyn Fn(Option<&Ledger>) -> Result<(), PortError>,
        next: &Ledger,
    ) -> Result<(), PortError> {
        let until = Until::within(CHANGE_WITHIN);
        let endpoint = &self.connections.endpoint;
        let bytes = encode(next).map_err(|error| {
            let text = format!("the ledger of {} cannot be written: {error}", next.pair);
            PortError::new(PortErrorKind::Malformed, text)
        })?;
        self.connections.ask(
            |cluster| match cluster.topic(&self.topic(), until.left())? {
                Some(_) => Ok(()),
                None => self.make(cluster),
            },
        )?;
        let mut tries = 1;
        loop {
            let fault = match self.take_over(may, &bytes, until)? {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if !is_untold(&fault) || tries == TRIES {
                return Err(of_fault(endpoint, &fault));
            }
            tries += 1;
        }
    }
}

/// Whether the brokers said nothing of what became of a commit. Kafka 4.1 answers so ("unknown server error") to who is
/// fenced at that very moment: what stands there is read again, and refused as it would have been. If that is our own, it is
/// refused as well: another one, who says the same at the same moment, may have put it there, and two would hold the pair.
const fn is_untold(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Kafka {
            operation: Operation::CommitTransaction,
            code: Some(RDKafkaErrorCode::Unknown),
            ..
        }
    )
}

/// The version of what is stored.
const VERSION: u64 = 1;

/// What is stored, and what is understood of a newer version.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    version: u64,
    ledger: T,
}

fn encode(ledger: &Ledger) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Stored {
        version: VERSION,
        ledger,
    })
}

fn decode(bytes: &[u8]) -> Result<Ledger, String> {
    let other = |error: serde_json::Error| format!("{error}; nobody but Understudy writes it");
    let stored: Stored<serde_json::Value> = serde_json::from_slice(bytes).map_err(other)?;
    if stored.version > VERSION {
        return Err("it was written by a newer Understudy; upgrade this one".to_owned());
    }
    serde_json::from_value(stored.ledger).map_err(other)
}

#[cfg(test)]
mod tests {
    use understudy_recovery::{Leash, Mode};

    use super::*;

    #[test]
    fn what_is_stored_is_what_the_formats_say() -> Result<(), Box<dyn std::error::Error>> {
        let begin = Ledger::new(PairName::new("orders")?, Alias::new("use1")?);
        let named = begin.next_execution(Mode::Failover, Leash::Acting);
        let ledger = begin.claim(&named, &Alias::new("usw2")?, false, 1_767_225_600_000)?;
        let stored = String::from_utf8(encode(&ledger)?)?;
        let formats = include_str!("../../../docs/formats.md");
        assert!(formats.contains(&stored), "{stored}");
        assert_eq!(decode(stored.as_bytes())?, ledger);
        let newer = stored.replacen("\"version\":1", "\"version\":2", 1);
        let refused = decode(newer.as_bytes()).err().unwrap_or_default();
        assert!(refused.contains("upgrade"), "{refused}");
        assert!(decode(b"{}").is_err());
        Ok(())
    }

    #[test]
    fn only_a_commit_that_nobody_tells_of_is_looked_at_again() {
        let fault = |operation, code| Fault::Kafka {
            operation,
            subject: "understudy-orders-ledger".to_owned(),
            code,
            reason: "so it was".to_owned(),
        };
        let commit = Operation::CommitTransaction;
        assert!(is_untold(&fault(commit, Some(RDKafkaErrorCode::Unknown))));
        for told in [Some(RDKafkaErrorCode::InvalidTransactionalState), None] {
            assert!(!is_untold(&fault(commit, told)), "{told:?}");
        }
        let begin = Operation::BeginTransaction;
        assert!(!is_untold(&fault(begin, Some(RDKafkaErrorCode::Unknown))));
    }
}
