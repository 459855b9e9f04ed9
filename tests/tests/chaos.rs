//! A worker and a broker on each side killed, a zombie, a cut link, under load, while topics come, grow and change, passwords
//! rotate and groups move: nothing is lost, doubled, reordered or altered, and every group stands at its very next record.
//! `scripts/chaos` goes on from here: three brokers on the target, every way to disturb, as often as told.

use std::collections::BTreeSet;
use std::error::Error;

use understudy_tests::chaos::{Change, Interrupt, Kind, Plan, run};

#[test]
fn five_disturbances_at_five_changes_lose_nothing_and_double_nothing() -> Result<(), Box<dyn Error>>
{
    let plan = Plan {
        rate: 40,
        target_brokers: 1,
        ..Plan::new(5, 53_624)
    };
    let kinds: BTreeSet<Kind> = plan.disturbances().map(|what| what.kind).collect();
    let wanted = BTreeSet::from([
        Kind::KillWorker,
        Kind::PauseWorker,
        Kind::KillSourceBroker,
        Kind::KillTargetBroker,
        Kind::CutLink,
    ]);
    assert_eq!(kinds, wanted, "another seed is needed");
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
