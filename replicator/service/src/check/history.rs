//! The flow's own record, and flows the other way round.

use std::collections::BTreeSet;

use understudy_domain::permissions::End;
use understudy_domain::{FlowName, FlowState, ReplicationPolicy, StateTopics};
use understudy_kafka::Fault;

use crate::check::Limits;
use crate::check::facts::Facts;
use crate::check::finding::{Finding, Findings};
use crate::check::wanted::Wanted;
use crate::config::Flow;
use crate::flow_record;
use crate::opposite::{Ends, flows_onto, mirrored_back};

/// Judges what earlier runs left.
pub fn judge(
    flow: &Flow,
    source: &Facts,
    target: &Facts,
    wanted: &Wanted,
    limits: Limits,
    findings: &mut Findings,
) {
    findings.add(own(flow, source, target));
    findings.extend(reverse(flow, source, target, wanted, limits));
}

fn own(flow: &Flow, source: &Facts, target: &Facts) -> Finding {
    let what = format!("flow {}", flow.name);
    match target.topics.get(&flow.state.flow()) {
        Some(Ok(_)) => {}
        Some(Err(rdkafka::error::RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            return Finding::ok(End::Target, &what, "it has not run yet");
        }
        Some(Err(_)) | None => {
            return Finding::unknown(End::Target, &what, "its record may not be read");
        }
    }
    let record = match flow_record::read(&target.cluster, flow) {
        Ok(Some(record)) => record,
        Ok(None) => return Finding::ok(End::Target, &what, "it has not run yet"),
        Err(error) if error.may_heal() => {
            return Finding::unknown(End::Target, &what, error.to_string());
        }
        Err(error) => {
            return Finding::fails(
                End::Target,
                &what,
                error.to_string(),
                "use an Understudy that knows it",
            );
        }
    };
    let ids = [
        ("source", &source.id, &record.source_cluster_id),
        ("target", &target.id, &record.target_cluster_id),
    ];
    for (end, found, stored) in ids {
        if found.as_ref().is_some_and(|found| found != stored) {
            return Finding::fails(
                End::Target,
                &what,
                format!("it was made for the {end} cluster {stored}, this one is another"),
                "use another flow name for another cluster",
            );
        }
    }
    if let Some(to) = record.changing_to {
        return Finding::fails(
            End::Target,
            &what,
            format!("its slots are being changed from {} to {to}", record.slots),
            &format!("finish that: `understudy reslot` with mirror.slots = {to}"),
        );
    }
    if record.slots != flow.slots {
        return Finding::fails(
            End::Target,
            &what,
            format!(
                "it has {} slots, the configuration says {}",
                record.slots, flow.slots
            ),
            &format!(
                "set mirror.slots = {}, or give the flow another number with `understudy reslot`",
                record.slots
            ),
        );
    }
    let found = format!(
        "{}, epoch {}, generation {}, {} slots",
        record.state.name(),
        record.epoch,
        record.generation,
        record.slots
    );
    match record.state {
        FlowState::Running => Finding::ok(End::Target, &what, found),
        FlowState::Paused => Finding::fails(
            End::Target,
            &what,
            found,
            "resume it; its workers may not write",
        ),
        FlowState::Sealed => Finding::fails(
            End::Target,
            &what,
            found,
            "a recovery has taken its cut and its workers may not write; fail back, or use another flow name",
        ),
    }
}

/// That a flow the other way would not be seen. Brokers refuse a topic that may not be described, be it there or not, so
/// that its name does not get out; the name that such a flow has unless it is given another is asked for.
fn hidden(flow: &Flow, source: &Facts, limits: Limits) -> Option<Finding> {
    let name = format!("{}-{}", flow.target.alias, flow.source.alias);
    let topic = StateTopics::new(FlowName::new(&name).ok()?).flow();
    if flow.policy != ReplicationPolicy::Identity
        || !matches!(
            source.cluster.topic(&topic, limits.call()),
            Err(Fault::Denied { .. })
        )
    {
        return None;
    }
    Some(Finding::warning(
        End::Source,
        "flows the other way",
        format!(
            "{} may not see topics understudy.*, by which one would be found: with both flows going, each record would go round for ever",
            flow.source.principal()
        ),
        "grant READ on topics with the prefix understudy. there, or make sure that no flow mirrors these topics back",
    ))
}

/// Flows from the target to the source that would read what this one writes.
fn reverse(
    flow: &Flow,
    source: &Facts,
    target: &Facts,
    wanted: &Wanted,
    limits: Limits,
) -> Vec<Finding> {
    let Ok(topics) = source.cluster.topics(limits.call()) else {
        return vec![Finding::unknown(
            End::Source,
            "flows the other way",
            "the source did not list its topics in time",
        )];
    };
    let copies: BTreeSet<String> = wanted.copies().into_iter().collect();
    let (Some(source_id), Some(target_id)) = (&source.id, &target.id) else {
        return Vec::new();
    };
    let ends = Ends {
        source: source_id,
        target: target_id,
    };
    let flows = flows_onto(topics.iter().map(|topic| topic.name.as_str()));
    let mut findings = Vec::new();
    if flows.is_empty() {
        findings.extend(hidden(flow, source, limits));
    }
    for name in flows.into_iter().take_while(|_| !limits.is_over()) {
        let what = format!("flow {name} the other way");
        match mirrored_back(&name, &source.cluster, ends, &copies, limits.call()) {
            Ok(topics) if !topics.is_empty() => findings.push(Finding::fails(
                End::Source,
                &what,
                format!(
                    "it is running and mirrors {} back: {} to {} with both flows going, each record would go round for ever",
                    topics.join(", "),
                    flow.target.alias,
                    flow.source.alias
                ),
                "seal or stop that flow first, exclude those topics, or use mirror.policy = \"prefixed\" on both",
            )),
            Ok(_) => {}
            Err(reason) => findings.push(Finding::unknown(End::Source, &what, reason.to_string())),
        }
    }
    findings
}
