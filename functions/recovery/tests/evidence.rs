//! How long nobody could write, as evidence tells it.

use understudy_recovery::evidence::Evidence;
use understudy_recovery::{Mode, Step};

const OPENED_AFTER_MS: i64 = 9_000;

/// Of a move whose target was opened nine seconds after it was wanted, and whose own fence came two seconds after.
fn moved(mode: Mode, own_fence: bool, fenced_since_ms: Option<i64>) -> Evidence {
    let example = include_str!("../../../statemachines/contracts/evidence.example.json");
    let mut evidence: Evidence = serde_json::from_str(example).expect("the example is evidence");
    let mut fence = evidence.steps.first().cloned().expect("it has steps");
    fence.step = Step::FenceSource;
    fence.returned = false;
    fence.began_at_ms = evidence.started_at_ms + 2_000;
    evidence.mode = mode;
    evidence.opened_after_ms = Some(OPENED_AFTER_MS);
    evidence.steps = if own_fence { vec![fence] } else { Vec::new() };
    evidence.fenced_since_ms = fenced_since_ms.map(|since| evidence.started_at_ms + since);
    evidence
}

#[test]
fn nobody_could_write_since_the_first_fence_whoever_set_it() {
    let pause = |mode, own, since| moved(mode, own, since).write_pause_ms();
    assert_eq!(pause(Mode::Switchover, true, None), Some(7_000));
    assert_eq!(pause(Mode::Switchover, true, Some(2_100)), Some(7_000));
    // It finishes one that ended half-way, a minute before.
    assert_eq!(pause(Mode::Switchover, true, Some(-60_000)), Some(69_000));
    assert_eq!(pause(Mode::Failover, false, Some(-60_000)), Some(69_000));
    // A failover's own fence comes beside it: writers were at work until they were lost.
    assert_eq!(pause(Mode::Failover, true, Some(2_000)), None);
    assert_eq!(pause(Mode::Failover, false, None), None);
}
