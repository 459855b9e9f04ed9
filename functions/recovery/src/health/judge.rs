//! From looks to a verdict. Decides only; whoever acts on it looks again first.
//!
//! Invariants:
//! a. only what a proven path says counts against a cluster, and a login that is refused never does;
//! b. one vantage is never enough, and one that sees the cluster serve is enough against all others;
//! c. a worse look never makes a better verdict;
//! d. what is stale is as if it had not been.

use std::collections::BTreeMap;

use super::{Damping, Health, HealthVerdict, Layer, Saw, Signal, Vantage};

/// What is said of a cluster, from the signals of all vantages, in any order.
///
/// A vantage is *bad* if enough of its newest looks are, and the newest that says anything is; *good* if the newest that
/// says anything saw the cluster serve and too few before it were bad. Unhealthy: two vantages are bad and none saw it
/// serve last. Healthy: one is good and none is bad. Anything else, a contradiction above all, is unknown.
pub fn judge(signals: &[Signal], now_ms: i64, damping: &Damping) -> HealthVerdict {
    let mut verdict = HealthVerdict {
        health: Health::Unknown,
        reasons: Vec::new(),
    };
    let (mut good, mut back, mut bad) = (0_u32, 0_u32, 0_u32);
    for vantage in Vantage::ALL {
        let seen = Seen::of(vantage, signals, now_ms, damping);
        match seen.stand {
            Stand::Good => good = good.saturating_add(1),
            Stand::Back => back = back.saturating_add(1),
            Stand::Unsettled => {}
            Stand::Bad => bad = bad.saturating_add(1),
        }
        verdict
            .reasons
            .push(format!("{}: {}", vantage.words(), seen.words));
    }
    verdict.health = match (good, back, bad) {
        (0, 0, 2..) => Health::Unhealthy,
        (1.., _, 0) => Health::Healthy,
        (_, _, _) => Health::Unknown,
    };
    verdict
}

/// How much a look says against the cluster. The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// It serves.
    Good,
    /// Nothing: the looker's own path or login is at fault, or may be.
    Nothing,
    /// It answers but does not do its work. It may be about to again, so every look of the window must say so.
    Grey,
    /// It does not answer.
    Gone,
}

/// What a vantage says, its looks taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Good,
    /// It serves again, after too many bad looks to be taken at its word.
    Back,
    Unsettled,
    Bad,
}

struct Seen {
    stand: Stand,
    words: String,
}

impl Seen {
    fn of(vantage: Vantage, signals: &[Signal], now_ms: i64, damping: &Damping) -> Self {
        let enough = usize::try_from(damping.bad.max(1)).unwrap_or(usize::MAX);
        let window = usize::try_from(damping.of)
            .unwrap_or(usize::MAX)
            .max(enough);
        let looks = newest(vantage, signals, now_ms, damping, window);
        let Some((newest, _)) = looks.first() else {
            return Self {
                stand: Stand::Unsettled,
                words: format!("no look of the last {} s", damping.fresh_seconds),
            };
        };
        let count = |weight: Weight| looks.iter().filter(|(_, it)| *it == weight).count();
        let (gone, grey) = (count(Weight::Gone), count(Weight::Grey));
        let not_well = gone.saturating_add(grey);
        let reached = gone >= enough || not_well >= window;
        let telling = looks
            .iter()
            .find(|(_, weight)| *weight != Weight::Nothing)
            .map(|(_, weight)| *weight);
        let stand = match telling {
            Some(Weight::Good) if reached => Stand::Back,
            Some(Weight::Good) => Stand::Good,
            Some(Weight::Grey | Weight::Gone) if reached => Stand::Bad,
            Some(_) | None => Stand::Unsettled,
        };
        let tally = match not_well {
            0 => String::new(),
            bad => format!("; {bad} of its {} newest looks were bad", looks.len()),
        };
        Self {
            stand,
            words: format!("{}{tally}", words(newest)),
        }
    }
}

/// The fresh looks of a vantage, newest first, at most as many as its window takes. A look that was published twice is
/// one look.
fn newest<'a>(
    vantage: Vantage,
    signals: &'a [Signal],
    now_ms: i64,
    damping: &Damping,
    window: usize,
) -> Vec<(&'a Signal, Weight)> {
    let fresh_ms = i64::from(damping.fresh_seconds).saturating_mul(1_000);
    let mut by_time = BTreeMap::<i64, (&Signal, Weight)>::new();
    for signal in signals {
        // A clock that runs ahead is as wrong as one that runs behind.
        let away_ms = now_ms.saturating_sub(signal.at_ms).saturating_abs();
        if signal.vantage != vantage || away_ms > fresh_ms {
            continue;
        }
        let weight = weigh(signal);
        by_time
            .entry(signal.at_ms)
            .and_modify(|known| {
                if weight < known.1 {
                    *known = (signal, weight);
                }
            })
            .or_insert((signal, weight));
    }
    by_time.into_values().rev().take(window).collect()
}

fn weigh(signal: &Signal) -> Weight {
    match (&signal.saw, signal.path_proven) {
        (Saw::Serves, _) => Weight::Good,
        (Saw::Fails { .. } | Saw::Silence, false) => Weight::Nothing,
        (Saw::Silence, true) => Weight::Gone,
        (Saw::Fails { layer, .. }, true) => match layer {
            Layer::Authenticate => Weight::Nothing,
            Layer::Resolve | Layer::Connect | Layer::Metadata => Weight::Gone,
            Layer::Controller | Layer::InSync | Layer::Produce | Layer::Consume => Weight::Grey,
        },
    }
}

fn words(signal: &Signal) -> String {
    match (&signal.saw, signal.path_proven) {
        (Saw::Serves, _) => "it serves".to_owned(),
        (
            Saw::Fails {
                layer: Layer::Authenticate,
                reason,
            },
            _,
        ) => format!("our login failed, which says nothing of the cluster: {reason}"),
        (Saw::Fails { layer, reason }, true) => format!("{} failed: {reason}", layer.name()),
        (Saw::Fails { layer, reason }, false) => format!(
            "{} failed, but nothing else answers on this path either: {reason}",
            layer.name()
        ),
        (Saw::Silence, true) => "nothing comes, though its path is proven".to_owned(),
        (Saw::Silence, false) => "nothing comes, and nothing proves its path".to_owned(),
    }
}
