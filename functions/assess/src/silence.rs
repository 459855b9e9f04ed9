//! A prober that has gone silent: each look of it that is overdue says so.
//!
//! When a Region goes dark, its own prober says nothing; that is a signal, but only where the prober is known to exist and
//! the place that it reports to is known to work: another looker's fresh signal lies there.

use understudy_recovery::health::{Damping, Saw, Signal, Vantage};

/// How far apart a prober's looks are thought to be, in milliseconds, where its signals do not tell.
const USUAL_MS: i64 = 20_000;
/// The least distance that is believed: two looks of one moment say nothing of a schedule.
const LEAST_MS: i64 = 1_000;

/// The looks that vantages other than ours owe.
pub fn overdue(signals: &[Signal], now_ms: i64, damping: &Damping) -> Vec<Signal> {
    let fresh_ms = i64::from(damping.fresh_seconds).saturating_mul(1_000);
    let mut owed = Vec::new();
    for vantage in [Vantage::Active, Vantage::ControlPlane] {
        let times = times(signals, vantage);
        // Never heard of: there is no such prober.
        let Some(last) = times.last() else { continue };
        let path_proven = signals.iter().any(|signal| {
            signal.vantage != vantage && now_ms.saturating_sub(signal.at_ms) <= fresh_ms
        });
        let every = times
            .iter()
            .zip(times.iter().skip(1))
            .map(|(before, after)| after.saturating_sub(*before))
            .filter(|apart| *apart >= LEAST_MS)
            .min()
            .unwrap_or(USUAL_MS);
        // One late look is nothing yet.
        let mut due = last.saturating_add(every.saturating_mul(2));
        due = due.max(now_ms.saturating_sub(fresh_ms));
        while due <= now_ms && owed.len() < 64 {
            owed.push(Signal {
                vantage,
                saw: Saw::Silence,
                at_ms: due,
                path_proven,
            });
            due = due.saturating_add(every);
        }
    }
    owed
}

fn times(signals: &[Signal], vantage: Vantage) -> Vec<i64> {
    let of = signals.iter().filter(|signal| signal.vantage == vantage);
    let mut times: Vec<i64> = of.map(|signal| signal.at_ms).collect();
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(vantage: Vantage, at_s: i64) -> Signal {
        Signal {
            vantage,
            saw: Saw::Serves,
            at_ms: at_s * 1_000,
            path_proven: true,
        }
    }

    #[test]
    fn a_prober_that_was_never_heard_of_owes_nothing() {
        let signals = [signal(Vantage::Standby, 100)];
        assert_eq!(overdue(&signals, 110_000, &Damping::default()), []);
    }

    #[test]
    fn one_late_look_is_nothing_and_each_later_one_is_silence() {
        let heard = [
            signal(Vantage::Active, 80),
            signal(Vantage::Active, 100),
            signal(Vantage::Standby, 150),
        ];
        let damping = Damping::default();
        assert_eq!(overdue(&heard, 139_000, &damping), []);
        let at: Vec<i64> = overdue(&heard, 165_000, &damping)
            .iter()
            .map(|it| it.at_ms)
            .collect();
        assert_eq!(at, [140_000, 160_000]);
    }

    #[test]
    fn silence_proves_nothing_where_nothing_else_arrives() {
        let heard = [signal(Vantage::Active, 80), signal(Vantage::Active, 100)];
        let owed = overdue(&heard, 165_000, &Damping::default());
        assert!(!owed.is_empty());
        assert!(owed.iter().all(|it| !it.path_proven));
    }
}
