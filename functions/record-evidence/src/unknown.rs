//! What could not be known, said plainly.

use understudy_recovery::Mode;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::fence::FenceState;

use crate::gather::Seen;

/// What could not be known.
pub fn unknown(evidence: &Evidence, seen: &Seen) -> Vec<String> {
    let mut unknown = Vec::new();
    loss(evidence, &mut unknown);
    if let Some(places) = &evidence.places {
        let summary = places.summary();
        if summary.unknown > 0 {
            unknown.push(format!(
                "Where {} places of groups belong: these groups do what their auto.offset.reset says.",
                summary.unknown
            ));
        }
        if summary.last_known > 0 {
            unknown.push(format!(
                "How much is read again from {} places that are as last known: where their groups stood after a worker \
                 had placed them could not be told.",
                summary.last_known
            ));
        }
    } else if evidence.opened_after_ms.is_some() {
        unknown.push(format!("Where groups stand on {}.", evidence.target));
    }
    if let Some(gaps) = gaps(evidence) {
        unknown.push(gaps);
    }
    if evidence.assessment.is_none() && evidence.cut.is_some() {
        unknown.push("What was found before anything was done: it was not kept.".to_owned());
    }
    if evidence.opened_after_ms.is_some() && !evidence.leash.is_leashed() {
        let fence = seen
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.fences.get(&evidence.source));
        let proven = fence.is_some_and(|fence| fence.state == FenceState::Proven);
        if !proven {
            unknown.push(format!(
                "Whether {} still takes writes: no fence on it is proven.",
                evidence.source
            ));
        }
    }
    unknown
}

fn loss(evidence: &Evidence, unknown: &mut Vec<String>) {
    let (Some(cut), Some(loss)) = (&evidence.cut, &evidence.loss) else {
        return;
    };
    if evidence.mode != Mode::Failover {
        return;
    }
    let source = &evidence.source;
    let never = cut
        .partitions
        .iter()
        .filter(|it| it.source_end_seen_at_ms.is_none())
        .count();
    if never > 0 {
        unknown.push(format!(
            "The ends of {never} partitions of {source}: they were never seen."
        ));
    }
    match loss.records_at_most {
        None => unknown.push(format!(
            "How many records {source} took after its ends were last seen: nothing bounds it. It becomes exact when \
             {source} is back and surveyed."
        )),
        Some(most) if most > loss.records_at_least => unknown.push(format!(
            "Which of {} to {most} records {source} holds beyond the cut. It becomes exact when {source} is back and \
             surveyed.",
            loss.records_at_least
        )),
        Some(_) => {}
    }
}

fn gaps(evidence: &Evidence) -> Option<String> {
    let flow = evidence.assessment.as_ref()?.flow.as_ref()?;
    (flow.gaps > 0).then(|| {
        format!(
            "What {} partitions hold behind gaps that nobody dealt with: `understudy gaps` lists them.",
            flow.gaps
        )
    })
}
