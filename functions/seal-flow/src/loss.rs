//! What a cut loses, in numbers and in words. Pure.

use understudy_recovery::contract::Order;
use understudy_recovery::cut::Cut;
use understudy_recovery::{Consent, LossBound};

/// Whether every end of the source was seen when or after the cut was read.
pub fn seen_after(cut: &Cut) -> bool {
    cut.partitions
        .iter()
        .all(|it| it.source_end_seen_at_ms.is_some_and(|at| at >= cut.at_ms))
}

/// What is lost if the source takes nothing more.
pub fn exact(cut: &Cut) -> LossBound {
    let lost = cut.partitions.iter().map(|it| it.lost_at_least());
    let lost = lost.fold(0, u64::saturating_add);
    if lost == 0 {
        return LossBound::NONE;
    }
    LossBound {
        records_at_least: lost,
        records_at_most: Some(lost),
        // Ends tell how many records, not how old they are.
        seconds_at_most: None,
    }
}

/// The most that several consents allow.
pub fn largest(consents: impl Iterator<Item = Consent>) -> Consent {
    consents.fold(Consent::default(), |most, it| Consent {
        max_lost_records: most.max_lost_records.max(it.max_lost_records),
        max_age_seconds: most.max_age_seconds.max(it.max_age_seconds),
    })
}

/// A loss, as a person reads it.
pub fn words(loss: &LossBound) -> String {
    let LossBound {
        records_at_least: least,
        records_at_most,
        seconds_at_most,
    } = *loss;
    let records = match records_at_most {
        Some(0) => return "nothing".to_owned(),
        Some(most) if most == least => format!("{least} records"),
        Some(most) => format!("between {least} and {most} records"),
        None => format!("at least {least} records, and nothing says how many at most"),
    };
    match seconds_at_most {
        Some(seconds) => format!("{records}, none written longer than {seconds:.1} s before"),
        None => format!("{records}, of an age that is not known"),
    }
}

/// What a person is asked.
pub fn question(order: &Order, cut: &Cut, loss: &LossBound, consent: &Consent) -> String {
    format!(
        "Flow {} is sealed at {}. Lost with {}: {}. Without asking, at most {} records and {} s may be lost. \
         Open {} with this loss?",
        cut.flow,
        order.epoch,
        order.source,
        words(loss),
        consent.max_lost_records,
        consent.max_age_seconds,
        order.target
    )
}
