//! Whether every broker of a cluster answers us, and what the brokers can do.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use understudy_domain::permissions::End;
use understudy_kafka::probe::{Probe, Reached, probe};
use understudy_kafka::{Cluster, Endpoint};

use crate::check::Limits;
use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::explain::explain;

/// How many addresses are looked at together.
const AT_ONCE: usize = 8;
/// Certificates that end sooner are worth a word.
const CERTIFICATE_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;

/// Looks at every bootstrap server and at every broker that the cluster advertises.
pub fn look(endpoint: &Endpoint, end: End, limits: Limits) -> (Option<Facts>, Vec<Finding>) {
    let mut findings = Vec::new();
    let bootstrap: Vec<String> = endpoint
        .bootstrap()
        .split(',')
        .map(|address| address.trim().to_owned())
        .filter(|address| !address.is_empty())
        .collect();
    let mut probes = probe_all(endpoint, &bootstrap, limits);
    let answered = probes.iter().any(is_answer);
    let advertised: BTreeSet<String> = probes
        .iter()
        .flat_map(|probe| probe.advertised.iter().cloned())
        .collect();
    for probe in &probes {
        let spare = answered && !advertised.contains(&probe.address);
        findings.push(reached(end, "bootstrap server", probe, spare));
    }
    if !answered {
        return (None, findings);
    }
    let others: Vec<String> = advertised
        .into_iter()
        .filter(|address| !bootstrap.contains(address))
        .collect();
    let advertised = probe_all(endpoint, &others, limits);
    for probe in &advertised {
        findings.push(reached(end, "advertised broker", probe, false));
    }
    probes.extend(advertised);
    findings.extend(certificates(end, &probes));
    let described = Cluster::open(endpoint).and_then(|cluster| {
        // The client may pick a silent broker once.
        let description = cluster
            .describe(limits.call())
            .or_else(|_| cluster.describe(limits.call()))?;
        Ok((cluster, description))
    });
    let (cluster, description) = match described {
        Ok(both) => both,
        Err(fault) => {
            findings.push(Finding::fails(
                end,
                "cluster",
                explain(endpoint, &fault),
                "see the lines above",
            ));
            return (None, findings);
        }
    };
    let facts = Facts::new(cluster, description, limits);
    findings.extend(features(end, &probes, &facts));
    (Some(facts), findings)
}

fn probe_all(endpoint: &Endpoint, addresses: &[String], limits: Limits) -> Vec<Probe> {
    addresses
        .chunks(AT_ONCE)
        .flat_map(|some| {
            std::thread::scope(|scope| {
                let looks: Vec<_> = some
                    .iter()
                    .map(|address| scope.spawn(|| probe(endpoint, address, limits.call())))
                    .collect();
                // A panic in one was already reported.
                looks
                    .into_iter()
                    .filter_map(|look| look.join().ok())
                    .collect::<Vec<_>>()
            })
        })
        .collect()
}

fn is_answer(probe: &Probe) -> bool {
    probe.reached == Reached::Answered
}

/// A bootstrap server that is down while another one answers (`spare`) is a matter for tomorrow; a broker that the
/// cluster advertises holds partitions.
fn reached(end: End, kind: &str, probe: &Probe, spare: bool) -> Finding {
    let what = format!("{kind} {}", probe.address);
    let millis = |took: Option<Duration>| took.unwrap_or_default().as_millis();
    let connected = format!("connected in {} ms", millis(probe.connected_in));
    let (found, advice) = match &probe.reached {
        Reached::Answered => {
            let answered = millis(probe.answered_in);
            return Finding::ok(
                end,
                &what,
                format!("{connected}, let us in and answered in {answered} ms"),
            );
        }
        Reached::Unresolved(reason) => (
            format!("its name has no address ({reason})"),
            "check the name and the resolver",
        ),
        Reached::Unreachable(reason) => (
            format!("no connection: {reason}"),
            "check that the broker runs, and routes and security groups to it",
        ),
        Reached::Refused { reason, advice } => (format!("{connected}, then: {reason}"), *advice),
        Reached::Silent => (
            format!("{connected}, then no answer"),
            "check security.protocol and that the broker is well",
        ),
    };
    if spare {
        Finding::warning(end, &what, found, advice)
    } else {
        Finding::fails(end, &what, found, advice)
    }
}

fn certificates(end: End, probes: &[Probe]) -> Option<Finding> {
    let soonest = probes
        .iter()
        .filter_map(|probe| Some((probe.certificate_ends?, &probe.address)))
        .min()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = i64::try_from(now.as_secs()).ok()?;
    let days = (soonest.0 - now).div_euclid(DAY_SECONDS);
    let found = format!("the first one ends in {days} days, at {}", soonest.1);
    let what = "certificates";
    Some(if soonest.0 <= now {
        let found = format!("one has ended, at {}", soonest.1);
        Finding::fails(end, what, found, "renew it")
    } else if days < CERTIFICATE_DAYS {
        Finding::warning(end, what, found, "renew it in time")
    } else {
        Finding::ok(end, what, found)
    })
}

/// A number of brokers, in words.
pub fn brokers(count: usize) -> String {
    match count {
        1 => "1 broker".to_owned(),
        count => format!("{count} brokers"),
    }
}

fn features(end: End, probes: &[Probe], facts: &Facts) -> Vec<Finding> {
    let told: Vec<_> = probes
        .iter()
        .filter(|probe| is_answer(probe) && !probe.apis.is_empty())
        .map(|probe| &probe.apis)
        .collect();
    let Some(apis) = told.first() else {
        return vec![Finding::unknown(
            end,
            "version",
            "the brokers did not tell their APIs",
        )];
    };
    let release = apis.release().map_or_else(
        || "older than Kafka 2.7".to_owned(),
        |release| format!("Kafka {release} or newer"),
    );
    let mut findings = vec![Finding::ok(
        end,
        "version",
        format!(
            "{release} by its APIs, {}, {}, cluster id {}",
            apis.metadata().name(),
            brokers(facts.brokers),
            facts.id.as_deref().unwrap_or("unknown")
        ),
    )];
    if told.iter().any(|other| other != apis) {
        findings.push(Finding::warning(
            end,
            "version",
            "the brokers offer different APIs",
            "finish the upgrade that is under way",
        ));
    }
    findings.push(match end {
        End::Target if !apis.transactions() => Finding::fails(
            end,
            "transactions",
            "the brokers offer none",
            "upgrade the target to Kafka 2.5 or newer",
        ),
        End::Target if apis.transactions_v2() => Finding::ok(
            end,
            "transactions",
            "offered, version 2 (KIP-890) too; whether transaction.version = 2 is switched on, the client library does not tell",
        ),
        End::Target => Finding::ok(
            end,
            "transactions",
            "offered, of version 1; Kafka 4.0 brings version 2 (KIP-890)",
        ),
        End::Source if !apis.topic_ids() => Finding::warning(
            end,
            "log identity",
            "topic ids are not told (they came with Kafka 2.8, KIP-516): a topic that is deleted, made again and written to beyond what was copied before anybody looks is taken for the same one",
            "upgrade the source, or make no topic again under its name while it is mirrored",
        ),
        End::Source => {
            let word = |has: bool| if has { "told" } else { "not told" };
            Finding::ok(
                end,
                "log identity",
                format!(
                    "leader epochs are {} (a truncated log is noticed by them), topic ids are told (a topic made anew is)",
                    word(apis.leader_epochs())
                ),
            )
        }
    });
    findings
}
