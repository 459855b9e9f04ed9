//! A transactional producer whose delivery reports arrive in batches, each with its record's source offset.
//!
//! ```text
//! forward ─▶ librdkafka's queue ─▶ broker ─▶ delivery reports ─▶ poller thread ─▶ Book (runs by partition)
//!                                                                                  ▲ taken by `settle`
//! ```
//! The poller thread exists because librdkafka's flush and commit wait for reports that somebody else must serve;
//! the safe crate serves them itself, in steps of 100 ms.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;
use rdkafka_sys as rdsys;
use understudy_domain::{Runs, TopicPartition};

use super::acks::{Acks, Page, STATE, millis, poll};
use super::login::Enlisted;
use super::reader::Index;
use super::topic::Topic;
use crate::endpoint::BATCH_BYTES;
use crate::fault::{Fault, Operation};
use crate::watch::Watch;

mod outcome;
mod producing;

/// Whether whoever runs a writer wants it to end.
pub type GiveUp = Arc<dyn Fn() -> bool + Send + Sync>;

/// Tells the compression of a topic, as `compression.type` spells it.
pub type CodecOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

struct Destination {
    /// Whose copies go there.
    source: TopicPartition,
    partition: TopicPartition,
    topic: *mut rdsys::rd_kafka_topic_t,
}

/// One transactional producer: at most one transaction at a time, fenced by its transactional id.
pub struct Writer {
    // Order of fields is order of drop: the poller ends before topics and client go.
    _enlisted: Enlisted<'static>,
    poller: Option<JoinHandle<()>>,
    destinations: Vec<Option<Destination>>,
    /// By partition number: the first source offset since the last `settle`; what tags count from.
    bases: Vec<Option<i64>>,
    /// By partition number: key and value bytes forwarded, and how many of them are known to be reported.
    sent: Vec<(u64, u64)>,
    topics: HashMap<Arc<str>, Topic>,
    acks: Arc<Acks>,
    in_transaction: bool,
    transactional_id: String,
    bytes_in_flight_max: usize,
    /// A batch of a partition that holds so many key and value bytes leaves.
    batch_bytes: u64,
    codec_of: Option<CodecOf>,
    give_up: Option<GiveUp>,
    /// Brokers refuse whole batches; then the first record of one is named.
    one_record_a_batch: bool,
    client: Arc<Client<Watch>>,
}

// SAFETY: the topic pointers in `destinations` belong to `topics`, which moves along; librdkafka handles may be used
// from any thread.
unsafe impl Send for Writer {}

impl Writer {
    /// A producer with the given properties, which name its `transactional.id`; at most `bytes_in_flight_max` bytes
    /// wait for acknowledgement.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn new(
        config: &ClientConfig,
        watch: Watch,
        bytes_in_flight_max: usize,
    ) -> Result<Self, Fault> {
        let open = |error: KafkaError| Fault::kafka(Operation::OpenClient, "writer", error);
        let native_config = config.create_native_config().map_err(open)?;
        // SAFETY: the configuration is live.
        unsafe {
            rdsys::rd_kafka_conf_set_events(
                native_config.ptr(),
                rdsys::RD_KAFKA_EVENT_DR | rdsys::RD_KAFKA_EVENT_ERROR,
            );
        }
        let client = Arc::new(
            Client::new(config, native_config, RDKafkaType::RD_KAFKA_PRODUCER, watch)
                .map_err(open)?,
        );
        // SAFETY: the writer drops this before its own hold on the client.
        let enlisted = unsafe { client.context().logins().enlist_native(client.native_ptr()) };
        let acks = Arc::new(Acks::default());
        let poller = std::thread::Builder::new()
            .name("acks".to_owned())
            .spawn({
                let (client, acks) = (client.clone(), acks.clone());
                move || poll(&client, &acks)
            })
            .map_err(|error| Fault::Kafka {
                operation: Operation::OpenClient,
                subject: "writer".to_owned(),
                code: None,
                reason: error.to_string(),
            })?;
        Ok(Self {
            _enlisted: enlisted,
            poller: Some(poller),
            destinations: Vec::new(),
            bases: Vec::new(),
            sent: Vec::new(),
            batch_bytes: config
                .get("batch.size")
                .and_then(|size| size.parse().ok())
                .unwrap_or(BATCH_BYTES as u64),
            topics: HashMap::new(),
            codec_of: None,
            give_up: None,
            one_record_a_batch: config.get("batch.num.messages") == Some("1"),
            acks,
            in_transaction: false,
            transactional_id: config
                .get("transactional.id")
                .or(config.get("client.id"))
                .unwrap_or_default()
                .to_owned(),
            bytes_in_flight_max,
            client,
        })
    }

    /// Waits for brokers no longer than a few seconds once `give_up` is true.
    pub fn give_up_when(&mut self, give_up: Option<GiveUp>) {
        self.give_up = give_up;
    }

    /// Compresses topics as `codec_of` says from now on, others as the client's properties do.
    pub fn compress_with(&mut self, codec_of: Option<CodecOf>) {
        self.codec_of = codec_of;
    }

    /// Takes the transactional id over: fences whoever held it and ends their open transaction.
    ///
    /// # Errors
    /// No answer within `within`, or a refusal.
    pub fn init(&mut self, within: Duration) -> Result<(), Fault> {
        self.connect(within);
        // SAFETY: the client is live.
        let answer = unsafe { rdsys::rd_kafka_init_transactions(self.native(), millis(within)) };
        self.judge(Operation::InitTransactions, within, answer)
    }

    /// Waits for a connection. librdkafka looks for the coordinator at once if a broker is connected, and after half a
    /// second or more if none is yet.
    fn connect(&self, within: Duration) {
        let mut metadata = ptr::null();
        // SAFETY: the client is live, `metadata` is a valid place, and what is put there is destroyed once. Asks for the
        // brokers only.
        unsafe {
            let answer = rdsys::rd_kafka_metadata(
                self.native(),
                0,
                ptr::null_mut(),
                &raw mut metadata,
                millis(within),
            );
            if answer == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                rdsys::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    /// Opens a transaction, unless one is open.
    ///
    /// # Errors
    /// The producer was fenced or is otherwise beyond use.
    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.in_transaction {
            return Ok(());
        }
        // SAFETY: the client is live.
        let answer = unsafe { rdsys::rd_kafka_begin_transaction(self.native()) };
        self.judge(Operation::BeginTransaction, Duration::ZERO, answer)?;
        let mut book = self.acks.book();
        for page in &mut book.pages {
            page.runs = Runs::new();
        }
        book.failed = None;
        drop(book);
        self.bases.fill(None);
        self.in_transaction = true;
        Ok(())
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Names where records of the source partition `index` go.
    ///
    /// # Errors
    /// The topic cannot be opened, or there are more partitions than a slot can number.
    pub fn aim(
        &mut self,
        index: Index,
        source: &TopicPartition,
        destination: &TopicPartition,
    ) -> Result<(), Fault> {
        if index.0 >= STATE {
            return Err(Fault::Kafka {
                operation: Operation::OpenTopic,
                subject: destination.to_string(),
                code: None,
                reason: format!(
                    "a slot numbers at most {STATE} partitions between two take-overs; use more slots"
                ),
            });
        }
        let topic = self.topic(&destination.topic)?;
        let at = index.0 as usize;
        if self.destinations.len() <= at {
            self.destinations.resize_with(at + 1, || None);
        }
        if let Some(place) = self.destinations.get_mut(at) {
            *place = Some(Destination {
                source: source.clone(),
                partition: destination.clone(),
                topic,
            });
        }
        if self.bases.len() <= at {
            self.bases.resize(at + 1, None);
            self.sent.resize(at + 1, (0, 0));
        }
        let mut book = self.acks.book();
        if book.pages.len() <= at {
            book.pages.resize_with(at + 1, Page::default);
        }
        Ok(())
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<*mut rdsys::rd_kafka_topic_t, Fault> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(topic.ptr());
        }
        let codec = self.codec_of.as_ref().and_then(|codec_of| codec_of(name));
        let topic = Topic::compressed(self.native(), name, codec.as_deref())?;
        let pointer = topic.ptr();
        self.topics.insert(name.clone(), topic);
        Ok(pointer)
    }

    fn native(&self) -> *mut rdsys::rd_kafka_t {
        self.client.native_ptr()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the client is live. What is still queued belongs to a transaction that nobody will commit.
        unsafe {
            rdsys::rd_kafka_purge(
                self.native(),
                rdsys::RD_KAFKA_PURGE_F_QUEUE | rdsys::RD_KAFKA_PURGE_F_INFLIGHT,
            );
        }
        self.acks.stop.store(true, Ordering::Relaxed);
        // SAFETY: the client is live; the queue got here is destroyed here. Wakes the poller.
        unsafe {
            let queue = rdsys::rd_kafka_queue_get_main(self.native());
            rdsys::rd_kafka_queue_yield(queue);
            rdsys::rd_kafka_queue_destroy(queue);
        }
        if let Some(poller) = self.poller.take() {
            drop(poller.join());
        }
    }
}
