//! What somebody should do next, most urgent first.

use understudy_evidence_page::count;
use understudy_recovery::client::Role;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::fence::FenceState;
use understudy_recovery::places::PlaceIs;
use understudy_recovery::tail::{Handling, TailPolicy, TailSurvey};
use understudy_recovery::{Mode, Step};

use crate::gather::Seen;

/// What to do next.
pub fn next(evidence: &Evidence, seen: &Seen) -> Vec<String> {
    let mut next = Vec::new();
    if evidence.leash.is_leashed() {
        drill(evidence, &mut next);
        return next;
    }
    match evidence.ended.as_str() {
        "TargetActive" => {
            writers(evidence, seen, &mut next);
            applications(evidence, seen, &mut next);
            groups(evidence, &mut next);
            fence(evidence, seen, &mut next);
            tail(evidence, seen, &mut next);
            home(evidence, seen, &mut next);
        }
        "StandbyReady" => stands_by(evidence, seen, &mut next),
        "SourceStillActive" => stayed(evidence, seen, &mut next),
        "Superseded" => next.push(superseded(seen)),
        _ => {
            person(evidence, seen, &mut next);
            writers(evidence, seen, &mut next);
            applications(evidence, seen, &mut next);
            groups(evidence, &mut next);
            if evidence.opened_after_ms.is_some() {
                fence(evidence, seen, &mut next);
            } else {
                stopped(evidence, seen, &mut next);
            }
        }
    }
    next
}

fn drill(evidence: &Evidence, next: &mut Vec<String>) {
    next.push("Nothing has to be undone: nothing was changed.".to_owned());
    if let Some(error) = &evidence.error {
        next.push(format!("In earnest this would have stopped it: {error}"));
    }
    if let Some(assessment) = &evidence.assessment {
        next.extend(
            assessment
                .reasons
                .iter()
                .map(|reason| format!("Before it is meant: {reason}.")),
        );
    }
}

/// Writers that are not let in, because nobody knows who they are.
fn writers(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let unknown = seen.opened.as_ref();
    if let Some(reason) = unknown.and_then(|it| it.withheld_unknown.as_ref()) {
        next.push(format!(
            "Let writers in on {} by hand, where ACLs bar them: what mirroring withheld is not known; {reason}.",
            evidence.target
        ));
    }
}

/// Applications that are not where they should be.
fn applications(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let opened = evidence.opened_after_ms.is_some();
    let waves = evidence.plan.iter().flat_map(|plan| &plan.waves);
    let left: Vec<&String> = waves
        .flat_map(|wave| &wave.applications)
        .filter(|name| opened && !seen.moved.contains(*name))
        .collect();
    next.extend(left.iter().map(|name| {
        format!(
            "Move {name} to {} by hand: it was not moved; see `reconfigure-clients` below.",
            evidence.target
        )
    }));
    for trouble in seen.clients.iter().flat_map(|wave| &wave.waiting) {
        if !left.contains(&&trouble.application) {
            next.push(format!(
                "Look at {}: it is not back; {}.",
                trouble.application, trouble.reason
            ));
        }
    }
}

/// Consumers that were told to stop and not to start again, where the target was not opened.
fn stopped(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let mut steps = evidence.steps.iter();
    if !seen.found_fenced && !steps.any(|it| it.step == Step::QuiesceClients) {
        return;
    }
    let waves = evidence.plan.iter().flat_map(|plan| &plan.waves);
    let consumers = waves.filter(|wave| wave.role == Role::Consumer);
    let names = consumers.flat_map(|wave| &wave.applications);
    next.extend(names.filter(|name| !seen.returned.contains(*name)).map(|name| {
        format!(
            "{name} {} told to stop, and not to start again: if nothing takes over from here, start it on {} by hand.",
            if seen.found_fenced { "may have been" } else { "was" },
            evidence.source
        )
    }));
}

fn groups(evidence: &Evidence, next: &mut Vec<String>) {
    let Some(places) = &evidence.places else {
        return;
    };
    let named = |state: PlaceIs| {
        let of = places.places.iter().filter(|place| place.state == state);
        let mut names: Vec<&str> = of.map(|place| place.group.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let more = names.len().saturating_sub(10);
        names.truncate(10);
        let mut text = names.join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let summary = places.summary();
    if summary.beyond > 0 {
        next.push(format!(
            "Stop {}: they stand beyond the record to be read next and would skip some. Reset them with \
             `kafka-consumer-groups --reset-offsets` before they run.",
            named(PlaceIs::Beyond)
        ));
    }
    if summary.live > 0 {
        next.push(format!(
            "Check {}: somebody was in them on {} already, so their places were left alone.",
            named(PlaceIs::Live),
            evidence.target
        ));
    }
    if summary.unknown > 0 {
        next.push(format!(
            "Decide where {} begin: no place is known for them.",
            named(PlaceIs::Unknown)
        ));
    }
}

fn fence(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let source = &evidence.source;
    let fence = seen
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.fences.get(source));
    next.push(match fence.map(|fence| fence.state) {
        Some(FenceState::Proven) => return,
        Some(FenceState::Set) => format!(
            "Writers are shut out of {source} by ACLs, which no refused write has proved: make sure that nobody writes \
             there."
        ),
        Some(FenceState::Wanted) => format!(
            "{source} is not fenced: it did not answer. Keep writers away from it. Where a schedule keeps fences, it is \
             fenced within a minute of its return; elsewhere by `{} --wait`, started now.",
            seen.typing.command("fence", &evidence.target)
        ),
        Some(FenceState::Lifting) | None => format!(
            "{source} is not fenced: keep writers away from it."
        ),
    });
}

fn home(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let (source, target) = (&evidence.source, &evidence.target);
    let stays = match &seen.stays {
        Some(reason) => {
            format!(" As the pair file stands, no application can move there: {reason}.")
        }
        None => String::new(),
    };
    let runs = seen.flow_back.as_ref().is_some_and(|it| it.started);
    match evidence.mode {
        Mode::Failover if has_own_copies(evidence) => next.push(format!(
            "When {source} is back and fenced: let the flow there go on, `understudy resume FLOW.toml --epoch {}`. What \
             {source} holds from the cut's source offsets on is then copied behind the cut: copies have topics of their own, \
             so nothing lies in their way. The flow back goes on by itself. Until then {target} has no standby.",
            evidence.epoch.get()
        )),
        Mode::Failover => next.push(format!(
            "Until {source} is back, {target} has no standby. When it is: `{} --standby-only` puts aside what only {source} \
             holds, from the cut's source offsets on, and lets it stand by; without the option applications move home as \
             well. Nothing deletes anything.{stays}",
            seen.typing.command("failback", source)
        )),
        Mode::Switchover if runs => next.push(format!(
            "The flow from {target} to {source} runs. To move back: `{}`.{stays}",
            seen.typing.command("switchover", source)
        )),
        Mode::Failback if runs => next.push(format!(
            "The flow from {target} to {source} runs: {source} stands by again."
        )),
        Mode::Switchover | Mode::Failback => next.push(format!(
            "The flow from {target} to {source} does not run, so {source} falls behind: start its workers."
        )),
    }
}

/// Whether copies have other names than their records' topics: then nobody else writes there.
fn has_own_copies(evidence: &Evidence) -> bool {
    let partitions = || evidence.cut.iter().flat_map(|cut| &cut.partitions);
    partitions().next().is_some() && partitions().all(|it| it.topic != it.target_topic)
}

fn stayed(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let source = &evidence.source;
    let fenced = seen
        .ledger
        .as_ref()
        .is_some_and(|ledger| ledger.fences.contains_key(source));
    if fenced {
        next.push(format!(
            "Writers are still shut out of {source}, which is active: lift the fence by carrying `unfence-source` out again."
        ));
    }
    applications(evidence, seen, next);
    match &evidence.error {
        Some(_) => next.push(
            "Nothing was moved. See to the reason above; whoever or whatever asked may ask again."
                .to_owned(),
        ),
        None => next.push("Nothing was moved.".to_owned()),
    }
}

/// Records that only the cluster that came back holds.
fn tail(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let Some(survey) = evidence
        .tail
        .as_ref()
        .filter(|it| it.records() + it.uncounted() > 0)
    else {
        return;
    };
    let (records, put_aside, merged) = (survey.records(), seen.put_aside, seen.merged);
    let (source, target) = (&evidence.source, &evidence.target);
    let all = match survey.uncounted() {
        0 => count(records),
        more => format!("{} to {}", count(records), count(records + more)),
    };
    let mut text = format!("{all} records lay on {target} alone when it came back. ");
    if merged > 0 {
        text.push_str(&format!(
            "{} of them are merged into the topics on {source}. ",
            count(merged)
        ));
    }
    if put_aside > 0 {
        text.push_str(&format!(
            "{} are put aside on {source}, in topics that end in .tail.e{}: whoever answers for them decides what is still \
             wanted. ",
            count(put_aside),
            survey.epoch
        ));
    }
    if let Some(left) = left(survey, &seen.tails) {
        text.push_str(&format!(
            "{left} of them are nowhere else: the pair leaves them there. "
        ));
    }
    text.push_str(&format!(
        "All of them still lie in the topics of {target}, before what was copied since."
    ));
    next.push(text);
}

/// How many records the pair's policy leaves where they are, in words; nothing if none.
fn left(survey: &TailSurvey, policy: &TailPolicy) -> Option<String> {
    let left = || {
        let own = survey.with_records();
        own.filter(|it| policy.of(&it.topic) == Handling::Leave)
    };
    left().next()?;
    let records = count(left().map(|it| it.records).sum());
    Some(match left().any(|it| it.uncounted > 0) {
        true => format!("At least {records}"),
        false => records,
    })
}

fn stands_by(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    tail(evidence, seen, next);
    next.push(format!(
        "Applications stay on {}. When they are to move to {}: `{}`.",
        evidence.source,
        evidence.target,
        seen.typing.command("switchover", &evidence.target)
    ));
}

fn superseded(seen: &Seen) -> String {
    let running = seen.ledger.as_ref().and_then(|ledger| ledger.running());
    match running {
        Some(running) => format!("See {}, which holds the pair now.", running.execution),
        None => "See the evidence of the recovery that took over.".to_owned(),
    }
}

fn person(evidence: &Evidence, seen: &Seen, next: &mut Vec<String>) {
    let (source, target) = (&evidence.source, &evidence.target);
    let again = seen.typing.command(evidence.mode.name(), target);
    let approval_said_no = evidence.approval.as_ref().is_some_and(|it| !it.approved);
    let text = if evidence.opened_after_ms.is_some() {
        format!(
            "{target} is active and takes writes. What is left, see below, is done by hand; the pair is free for another \
             recovery."
        )
    } else if evidence.cut.is_some() && approval_said_no {
        format!(
            "The flow is sealed and the loss was not accepted: neither does {target} take writes nor is anything copied. \
             Bring {source} back, or accept it: `{again}` takes over from here and asks again."
        )
    } else if evidence.cut.is_some() {
        format!(
            "The flow is sealed and {target} takes no writes yet. Mend the reason above, then `{again}`: it \
             takes over from here."
        )
    } else {
        format!(
            "Mend the reason above, then `{again}`: it takes over from here. {source} was not left."
        )
    };
    next.push(text);
}

#[cfg(test)]
mod tests {
    use understudy_recovery::tail::TailOfPartition;

    use super::*;

    #[test]
    fn what_the_pair_leaves_is_told_also_where_not_all_was_counted() {
        let partition = |topic: &str, records, uncounted| TailOfPartition {
            topic: topic.to_owned(),
            records,
            uncounted,
            ..TailOfPartition::default()
        };
        let mut survey = TailSurvey {
            partitions: vec![partition("orders", 900, 50), partition("audit", 7, 0)],
            ..TailSurvey::default()
        };
        let mut policy = TailPolicy::default();
        assert_eq!(left(&survey, &policy), None);
        policy.topics.insert("audit".to_owned(), Handling::Leave);
        assert_eq!(left(&survey, &policy).as_deref(), Some("7"));
        survey.partitions.push(partition("audit", 0, 5));
        assert_eq!(left(&survey, &policy).as_deref(), Some("At least 7"));
    }
}
