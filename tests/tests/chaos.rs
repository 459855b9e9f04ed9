//! Every way to disturb, at least once, under load: nothing is lost, doubled, reordered or altered.

use std::collections::BTreeSet;
use std::error::Error;

use understudy_tests::chaos::{Interrupt, Kind, Plan, run};

#[test]
fn ten_disturbances_of_every_kind_lose_nothing_and_double_nothing() -> Result<(), Box<dyn Error>> {
    let plan = Plan::new(10, 52);
    let kinds: BTreeSet<Kind> = plan.disturbances().map(|what| what.kind).collect();
    assert_eq!(kinds.len(), Kind::ALL.len(), "another seed is needed");
    let outcome = run(&plan, &Interrupt::never(), &mut |line| println!("{line}"))?;
    assert!(outcome.holds(), "{outcome}");
    assert_eq!(outcome.found.copied, outcome.acknowledged, "{outcome}");
    assert_eq!(outcome.found.copied, outcome.verified, "{outcome}");
    Ok(())
}
