//! A cluster judged from its signals, with what is owed by probers that have gone silent.
//!
//! When a Region goes dark, its own prober says nothing; that is a signal, but only where the prober is known to exist and
//! the place that it reports to is known to work: another looker's fresh signal lies there.

use understudy_recovery::health::{Damping, HealthVerdict, Saw, Signal, Vantage, judge};

/// How far apart a prober's looks are thought to be, in milliseconds, where its signals do not tell.
const USUAL_MS: i64 = 20_000;
/// How far apart a deployment's looks are.
const SCHEDULED_MS: i64 = 60_000;
/// The least distance that is believed: two looks of one moment say nothing of a schedule.
const LEAST_MS: i64 = 1_000;
/// The largest: what is further apart was a pause, or comes of a prober that is believed for no longer.
const MOST_MS: i64 = 300_000;
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

/// How far apart looks are, by their times: as half of them are at least. A look that is late and the next one, which is
/// not, or two by one event that was told twice, are close to each other, and no schedule; two distances do not tell which of
/// them that is, and one alone tells little.
fn every(times: &[i64]) -> Option<i64> {
    let pairs = times.iter().zip(times.iter().skip(1));
    let mut apart: Vec<i64> = pairs
        .map(|(before, after)| after.saturating_sub(*before))
        .filter(|apart| *apart >= LEAST_MS)
        .collect();
    apart.sort_unstable();
    let within = apart.partition_point(|apart| *apart <= MOST_MS);
    match apart.get(..within)? {
        [] => apart.first().map(|_| MOST_MS),
        [one] => Some((*one).max(USUAL_MS)),
        [one, other] => Some((*other).min(SCHEDULED_MS).max(*one)),
        more => more.get(more.len() / 2).copied(),
    }
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
        // Three minutes after the last look of the one that went dark, which docs/alarms.md says.
        assert_eq!(verdict(signals.clone(), 419_000).health, Health::Unknown);
        assert_eq!(verdict(signals.clone(), 420_000).health, Health::Unhealthy);
        assert_eq!(verdict(signals, 485_000).health, Health::Unhealthy);
    }

    #[test]
    fn two_looks_in_close_order_make_no_schedule() {
        // A look each minute, one of them told twice, and the Region in which they are made is dark for an hour once.
        let at = [0, 60, 61, 120, 180, 240, 3_840, 3_900, 3_960, 4_020];
        let times: Vec<i64> = at.iter().map(|at| at * 1_000).collect();
        assert_eq!(every(&times), Some(60_000));
        assert_eq!(every(&[0, 1_100, 2_200, 9_000, 10_100]), Some(1_100));
        assert_eq!(every(&[0, 5, 900]), None);
        assert_eq!(every(&[5_000]), None);
        // Few looks: one that came late, one that was told twice, or a schedule.
        assert_eq!(every(&[0, 200_000, 260_000]), Some(60_000));
        assert_eq!(every(&[0, 60_000, 61_000]), Some(60_000));
        assert_eq!(every(&[0, 120_000, 240_000]), Some(120_000));
        assert_eq!(every(&[0, 1_100, 2_200]), Some(1_100));
        assert_eq!(every(&[0, 600_000, 601_200]), Some(USUAL_MS));
    }

    #[test]
    fn a_prober_that_looks_seldom_is_not_silent_between_its_looks() {
        for apart in [300_100, 600_000, 3_600_000] {
            let times: Vec<i64> = (0..4).map(|look| look * apart).collect();
            assert_eq!(every(&times), Some(MOST_MS), "{apart}");
            assert_eq!(every(&[0, apart]), Some(MOST_MS), "{apart}");
        }
    }

    #[test]
    fn a_prober_that_is_silent_while_ours_sees_the_cluster_serve_fails_nothing_over() {
        let mut signals = vec![signal(Vantage::Active, 0), signal(Vantage::Active, 60)];
        signals.extend((0..9).map(|minute| signal(Vantage::Standby, minute * 60)));
        let health = verdict(signals, 485_000).health;
        assert_ne!(health, Health::Unhealthy);
    }
}
