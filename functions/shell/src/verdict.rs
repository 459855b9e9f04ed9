//! A cluster judged from its signals, with what is owed by probers that have gone silent.
//!
//! When a Region goes dark, its own prober says nothing; that is a signal, but only where the prober is known to exist and
//! the place that it reports to is known to work: another looker's fresh signal lies there.

use understudy_recovery::health::{Damping, HealthVerdict, Saw, Signal, Vantage, judge};

/// How far apart a prober's looks are thought to be, in milliseconds, where its signals do not tell.
const USUAL_MS: i64 = 20_000;
/// The least distance that is believed: two looks of one moment say nothing of a schedule.
const LEAST_MS: i64 = 1_000;
/// No signal is fresh for longer than this, in seconds, however seldom its prober looks.
const FRESH_SECONDS_MOST: u32 = 300;

/// What is said of a cluster at a moment.
pub fn verdict(mut signals: Vec<Signal>, now_ms: i64) -> HealthVerdict {
    let damping = damping(&signals);
    signals.extend(overdue(&signals, now_ms, &damping));
    judge(&signals, now_ms, &damping)
}

/// The usual damping, in which as many looks of the slowest prober are fresh as are held against each other.
fn damping(signals: &[Signal]) -> Damping {
    let usual = Damping::default();
    let slowest = Vantage::ALL
        .into_iter()
        .filter_map(|vantage| every(&times(signals, vantage)))
        .max()
        .unwrap_or(0);
    let window = slowest.saturating_mul(i64::from(usual.of)) / 1_000;
    let window = u32::try_from(window).unwrap_or(FRESH_SECONDS_MOST);
    Damping {
        fresh_seconds: window.min(FRESH_SECONDS_MOST).max(usual.fresh_seconds),
        ..usual
    }
}

/// The looks that vantages other than ours owe.
fn overdue(signals: &[Signal], now_ms: i64, damping: &Damping) -> Vec<Signal> {
    let fresh_ms = i64::from(damping.fresh_seconds).saturating_mul(1_000);
    let mut owed = Vec::new();
    for vantage in [Vantage::Active, Vantage::ControlPlane] {
        let times = times(signals, vantage);
        // Never heard of: there is no such prober.
        let Some(last) = times.last() else { continue };
        let path_proven = signals.iter().any(|signal| {
            signal.vantage != vantage && now_ms.saturating_sub(signal.at_ms) <= fresh_ms
        });
        let every = every(&times).unwrap_or(USUAL_MS);
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

/// How far apart looks are, by their times.
fn every(times: &[i64]) -> Option<i64> {
    times
        .iter()
        .zip(times.iter().skip(1))
        .map(|(before, after)| after.saturating_sub(*before))
        .filter(|apart| *apart >= LEAST_MS)
        .min()
}

fn times(signals: &[Signal], vantage: Vantage) -> Vec<i64> {
    let of = signals.iter().filter(|signal| signal.vantage == vantage);
    let mut times: Vec<i64> = of.map(|signal| signal.at_ms).collect();
    times.sort_unstable();
    times
}

#[cfg(test)]
mod tests {
    use understudy_recovery::health::{Health, Layer};

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

    #[test]
    fn a_region_that_goes_dark_is_unhealthy_with_probers_that_look_each_minute() {
        let mut signals: Vec<Signal> = (0..5)
            .map(|minute| signal(Vantage::Active, minute * 60))
            .collect();
        for minute in 5..9 {
            let mut look = signal(Vantage::Standby, minute * 60);
            look.saw = Saw::Fails {
                layer: Layer::Connect,
                reason: "no answer".to_owned(),
            };
            signals.push(look);
        }
        assert_eq!(verdict(signals.clone(), 300_000).health, Health::Unknown);
        assert_eq!(verdict(signals, 485_000).health, Health::Unhealthy);
    }

    #[test]
    fn a_prober_that_is_silent_while_ours_sees_the_cluster_serve_fails_nothing_over() {
        let mut signals = vec![signal(Vantage::Active, 0), signal(Vantage::Active, 60)];
        signals.extend((0..9).map(|minute| signal(Vantage::Standby, minute * 60)));
        let health = verdict(signals, 485_000).health;
        assert_ne!(health, Health::Unhealthy);
    }
}
