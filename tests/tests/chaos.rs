//! Every way to disturb, at least once, under load, while topics come, grow and change, passwords rotate and groups
//! move: nothing is lost, doubled, reordered or altered, and every group stands at its very next record.

use std::collections::BTreeSet;
use std::error::Error;

use understudy_tests::chaos::{Change, Interrupt, Kind, Plan, run};

#[test]
fn ten_disturbances_of_every_kind_lose_nothing_and_double_nothing() -> Result<(), Box<dyn Error>> {
    let plan = Plan::new(10, 52);
    let kinds: BTreeSet<Kind> = plan.disturbances().map(|what| what.kind).collect();
    assert_eq!(kinds.len(), Kind::ALL.len(), "another seed is needed");
    let changes: BTreeSet<Change> = plan.disturbances().map(|what| what.change).collect();
    assert_eq!(changes.len(), Change::ALL.len(), "another seed is needed");
    let outcome = run(&plan, &Interrupt::never(), &mut |line| println!("{line}"))?;
    assert!(outcome.holds(), "{outcome}");
    // What a producer gave up on a broken source may have been written or not; notes tell of it.
    if outcome.notes.is_empty() {
        assert_eq!(outcome.found.copied, outcome.acknowledged, "{outcome}");
    }
    assert_eq!(outcome.found.copied, outcome.verified, "{outcome}");
    assert_eq!(outcome.places_wrong, 0, "{outcome}");
    assert!(
        outcome.places_checked > 0 && outcome.places_translated > 0,
        "{outcome}"
    );
    assert!(
        outcome.topics_created > 0 && outcome.partitions_grown > 0,
        "{outcome}"
    );
    assert!(
        outcome.configs_changed > 0 && outcome.rotations > 0,
        "{outcome}"
    );
    Ok(())
}
