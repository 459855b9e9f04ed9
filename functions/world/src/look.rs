//! One look at a cluster, layer by layer; each stands on the ones before.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use understudy_domain::words::limit;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_domain::TopicPartition;
use understudy_kafka::ffi::reader::Reader;
use understudy_kafka::probe::{Reached, probe};
use understudy_kafka::{Cluster as Connection, Endpoint, Fault};
use understudy_recovery::health::Layer;
use understudy_shell::bounded;
use understudy_shell::world::Probe;

use crate::canary;
use crate::clock::Until;
use crate::trouble::of_fault;

/// How much later than its own bound a look is given up.
const GRACE: Duration = Duration::from_millis(200);
/// Up to how many brokers are tried.
const BROKERS: usize = 3;
/// Whose records nobody reads but a look; made by whoever wants it looked at.
const CANARY: &str = "understudy.canary";
/// What the controller is asked about; nothing is made.
const ASKED: &str = "understudy.probe";

/// What did not hold, and why.
type Failed = (Layer, String);

/// Looks, for no longer than `within` as a whole.
pub fn look(endpoint: &Endpoint, within: Duration) -> Probe {
    let until = Until::within(within);
    let asked = endpoint.clone();
    let looked = bounded::within(within + GRACE, move || {
        let mut found = Probe {
            cluster_id: None,
            brokers: None,
            failed: None,
        };
        found.failed = layers(&asked, until, &mut found).err();
        found
    });
    looked.unwrap_or_else(|| {
        let text = format!(
            "cluster {} did not answer within {}",
            endpoint.alias,
            limit(within)
        );
        Probe {
            cluster_id: None,
            brokers: None,
            failed: Some((Layer::Connect, text)),
        }
    })
}

fn layers(endpoint: &Endpoint, until: Until, found: &mut Probe) -> Result<(), Failed> {
    reach(endpoint, until)?;
    let at = |layer: Layer| move |fault: Fault| (layer, of_fault(endpoint, &fault).text);
    let cluster = Connection::open(endpoint).map_err(at(Layer::Authenticate))?;
    let told = cluster
        .describe(until.left())
        .map_err(at(Layer::Metadata))?;
    found.cluster_id = told.id;
    found.brokers = u32::try_from(told.brokers.len()).ok();
    // In KRaft it is the controller that answers this, whatever it answers.
    let asked = [(ASKED.to_owned(), 1)];
    let answers = cluster
        .could_create(&asked, -1, until.left())
        .map_err(at(Layer::Controller))?;
    for answer in answers.into_values() {
        if let Err(
            code @ (Code::NotController | Code::RequestTimedOut | Code::BrokerNotAvailable),
        ) = answer
        {
            let text = format!(
                "cluster {}: its controller does not answer: {code}",
                endpoint.alias
            );
            return Err((Layer::Controller, text));
        }
    }
    let has_canary = in_sync(endpoint, &cluster, until)?;
    if has_canary {
        canary_sings(endpoint, &cluster, until)?;
    }
    Ok(())
}

/// Whether a broker lets us in: several are tried side by side, and the one that comes furthest is told of.
fn reach(endpoint: &Endpoint, until: Until) -> Result<(), Failed> {
    let bootstrap = endpoint.bootstrap();
    let addresses = bootstrap.split(',').map(str::trim);
    let addresses = addresses.filter(|it| !it.is_empty()).take(BROKERS);
    let (told, answers) = mpsc::channel();
    for address in addresses {
        let (told, endpoint, address) = (told.clone(), endpoint.clone(), address.to_owned());
        let named = thread::Builder::new().name("look".to_owned());
        // Without a thread there is no answer of this one.
        let _thread = named.spawn(move || {
            let reached = probe(&endpoint, bare(&address), until.left()).reached;
            // Nobody hears it once another one answered.
            let _heard = told.send((address, reached));
        });
    }
    drop(told);
    let nothing = format!("cluster {}: no broker answered in time", endpoint.alias);
    let mut furthest = (Layer::Connect, nothing);
    let mut any = false;
    while let Ok((address, reached)) = answers.recv_timeout(until.left()) {
        let came = match reached {
            Reached::Answered => return Ok(()),
            Reached::Unresolved(reason) => (Layer::Resolve, reason),
            Reached::Unreachable(reason) => (Layer::Connect, reason),
            Reached::Silent => (
                Layer::Metadata,
                "something listens there and says nothing".to_owned(),
            ),
            Reached::Refused { reason, advice } => {
                (Layer::Authenticate, format!("{reason}; {advice}"))
            }
        };
        if !any || came.0 > furthest.0 {
            let text = format!("cluster {} at {address}: {}", endpoint.alias, came.1);
            furthest = (came.0, text);
            any = true;
        }
    }
    Err(furthest)
}

/// Brokers may be listed as `PROTOCOL://host:port`.
fn bare(address: &str) -> &str {
    address.rsplit_once("://").map_or(address, |(_, bare)| bare)
}

/// Whether every partition has a leader and as many replicas in sync as its topic asks for; and whether there is a
/// canary.
fn in_sync(endpoint: &Endpoint, cluster: &Connection, until: Until) -> Result<bool, Failed> {
    let at_metadata = |fault: &Fault| (Layer::Metadata, of_fault(endpoint, fault).text);
    let reader = Reader::new(&endpoint.reader_to_end(), endpoint.watch.clone())
        .map_err(|fault| at_metadata(&fault))?;
    let answer = reader.client().fetch_metadata(None, until.left());
    reader.serve();
    let metadata = answer.map_err(|error| {
        let operation = understudy_kafka::Operation::Metadata;
        at_metadata(&Fault::kafka(operation, &endpoint.alias, error))
    })?;
    let fails = |text: String| Err((Layer::InSync, format!("cluster {}: {text}", endpoint.alias)));
    // Topic, partition, replicas in sync: of those that lack some.
    let mut lacking: Vec<(&str, i32, usize)> = Vec::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            if partition.leader() < 0 {
                return fails(format!("{}-{} has no leader", topic.name(), partition.id()));
            }
            if partition.isr().len() < partition.replicas().len() {
                lacking.push((topic.name(), partition.id(), partition.isr().len()));
            }
        }
    }
    let mut names: Vec<String> = lacking.iter().map(|it| it.0.to_owned()).collect();
    names.dedup();
    if !names.is_empty() {
        let configs = cluster
            .describe_configs(&names, until.left())
            .map_err(|fault| at_metadata(&fault))?;
        for (topic, partition, in_sync) in lacking {
            let least = configs
                .get(topic)
                .and_then(|configs| configs.get("min.insync.replicas"))
                .and_then(|least| least.parse::<usize>().ok())
                // What may not be read is the brokers' default.
                .unwrap_or(1);
            if in_sync < least {
                return fails(format!(
                    "{topic}-{partition} has {in_sync} replicas in sync and takes no write with less than {least}"
                ));
            }
        }
    }
    let topics = metadata.topics().iter();
    Ok(topics.into_iter().any(|topic| topic.name() == CANARY))
}

/// Whether a record is taken by all replicas, and read back.
fn canary_sings(endpoint: &Endpoint, cluster: &Connection, until: Until) -> Result<(), Failed> {
    let place = TopicPartition::new(CANARY, 0);
    let mut config = endpoint.plain_writer();
    config.set(
        "message.timeout.ms",
        until.left().as_millis().max(1).to_string(),
    );
    let places = BTreeSet::from([place.clone()]);
    let written = canary::write(endpoint, &config, places, b"canary", until.left());
    let written = written.map_err(|fault| (Layer::Produce, of_fault(endpoint, &fault).text))?;
    let offset = match written.get(&place).copied().unwrap_or(Err(Code::Fail)) {
        Ok(offset) => offset,
        Err(code) => {
            let text = format!("cluster {}: {place} took no record: {code}", endpoint.alias);
            return Err((Layer::Produce, text));
        }
    };
    let read = cluster.read_one(&place, offset, until.left());
    match read {
        Ok(Some(_record)) => Ok(()),
        Ok(None) => {
            let text = format!(
                "cluster {}: the record at {place} offset {offset} is not there",
                endpoint.alias
            );
            Err((Layer::Consume, text))
        }
        Err(fault) => Err((Layer::Consume, of_fault(endpoint, &fault).text)),
    }
}
