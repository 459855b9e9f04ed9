//! Cannot tell is not unhealthy.

use proptest::prelude::*;
use understudy_recovery::health::{Damping, Health, Layer, Saw, Signal, Vantage, judge};

const NOW: i64 = 1_790_000_000_000;
/// One look every fifteen seconds: four are fresh at a time.
const PERIOD: i64 = 15_000;

fn fails(layer: Layer) -> Saw {
    Saw::Fails {
        layer,
        reason: "no answer".to_owned(),
    }
}

fn signal(vantage: Vantage, saw: Saw, age: i64, path_proven: bool) -> Signal {
    Signal {
        vantage,
        saw,
        at_ms: NOW - age * PERIOD,
        path_proven,
    }
}

/// Three fresh looks of a vantage, all the same, with a proven path.
fn thrice(vantage: Vantage, saw: &Saw) -> Vec<Signal> {
    (0..3)
        .map(|age| signal(vantage, saw.clone(), age, true))
        .collect()
}

fn verdict(signals: &[Signal]) -> Health {
    judge(signals, NOW, &Damping::default()).health
}

fn saw() -> impl Strategy<Value = Saw> {
    prop_oneof![
        3 => Just(Saw::Serves),
        4 => proptest::sample::select(Layer::ALL.to_vec()).prop_map(fails),
        2 => Just(Saw::Silence),
    ]
}

fn vantage() -> impl Strategy<Value = Vantage> {
    proptest::sample::select(Vantage::ALL.to_vec())
}

fn any_signal() -> impl Strategy<Value = Signal> {
    (vantage(), saw(), -1..8_i64, any::<bool>())
        .prop_map(|(vantage, saw, age, proven)| signal(vantage, saw, age, proven))
}

fn any_signals() -> impl Strategy<Value = Vec<Signal>> {
    proptest::collection::vec(any_signal(), 0..24)
}

fn damping() -> impl Strategy<Value = Damping> {
    (0..90_u32, 0..5_u32, 0..5_u32).prop_map(|(fresh_seconds, of, bad)| Damping {
        fresh_seconds,
        of,
        bad,
    })
}

/// How much a look says against a cluster; more is worse.
fn weight(signal: &Signal) -> u32 {
    match (&signal.saw, signal.path_proven) {
        (Saw::Serves, _) => 0,
        (Saw::Silence | Saw::Fails { .. }, false) => 1,
        (Saw::Silence, true) => 3,
        (Saw::Fails { layer, .. }, true) => match layer {
            Layer::Authenticate => 1,
            Layer::Resolve | Layer::Connect | Layer::Metadata => 3,
            Layer::Controller | Layer::InSync | Layer::Produce | Layer::Consume => 2,
        },
    }
}

const fn rank(health: Health) -> u32 {
    match health {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Unhealthy => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_proves_nothing_is_never_unhealthy(signals in any_signals(), damping in damping()) {
        let nothing: Vec<Signal> = signals
            .into_iter()
            .map(|it| match it.saw {
                Saw::Fails { layer: Layer::Authenticate, .. } => it,
                _ => Signal { path_proven: false, ..it },
            })
            .collect();
        prop_assert_ne!(judge(&nothing, NOW, &damping).health, Health::Unhealthy);
    }

    #[test]
    fn one_bad_vantage_is_never_unhealthy(
        signals in any_signals(), damping in damping(), only in vantage(),
    ) {
        // Whatever one of them says; the others are silent, unproven, or at odds with their login.
        let one: Vec<Signal> = signals
            .into_iter()
            .filter(|it| it.vantage == only || weight(it) <= 1)
            .collect();
        prop_assert_ne!(judge(&one, NOW, &damping).health, Health::Unhealthy);
    }

    #[test]
    fn a_vantage_that_last_saw_it_serve_forbids_unhealthy(
        signals in any_signals(), damping in damping(), lucky in vantage(),
    ) {
        // Whatever it saw before.
        let mut signals: Vec<Signal> =
            signals.into_iter().filter(|it| it.vantage != lucky || it.at_ms < NOW).collect();
        signals.push(signal(lucky, Saw::Serves, 0, false));
        prop_assert_ne!(judge(&signals, NOW, &damping).health, Health::Unhealthy);
    }

    #[test]
    fn a_worse_look_never_makes_a_better_verdict(
        signals in proptest::collection::vec(any_signal(), 1..24), damping in damping(),
        which in any::<prop::sample::Index>(),
        saw in saw(), proven in any::<bool>(),
    ) {
        let (mut better, mut worse) = (signals.clone(), signals.clone());
        let index = which.index(signals.len());
        let look = signals.get(index).expect("the index is within").clone();
        let other = Signal { saw, path_proven: proven, ..look.clone() };
        let changed = if weight(&other) < weight(&look) { &mut better } else { &mut worse };
        *changed.get_mut(index).expect("the index is within") = other;
        let (before, after) = (judge(&better, NOW, &damping), judge(&worse, NOW, &damping));
        prop_assert!(rank(after.health) >= rank(before.health), "{:?} then {:?}", before, after);
    }

    #[test]
    fn what_is_stale_is_as_if_it_had_not_been(signals in any_signals(), damping in damping()) {
        let fresh_ms = i64::from(damping.fresh_seconds) * 1_000;
        let fresh: Vec<Signal> = signals
            .iter()
            .filter(|it| (NOW - it.at_ms).abs() <= fresh_ms)
            .cloned()
            .collect();
        let silent: Vec<Signal> = signals
            .iter()
            .map(|it| if (NOW - it.at_ms).abs() <= fresh_ms {
                it.clone()
            } else {
                Signal { saw: Saw::Silence, ..it.clone() }
            })
            .collect();
        let verdict = judge(&signals, NOW, &damping);
        prop_assert_eq!(&verdict, &judge(&fresh, NOW, &damping));
        prop_assert_eq!(&verdict, &judge(&silent, NOW, &damping));
    }

    #[test]
    fn neither_order_nor_repetition_matters(
        (signals, shuffled) in any_signals().prop_flat_map(|signals| {
            let twice = [signals.clone(), signals.clone()].concat();
            (Just(signals), Just(twice).prop_shuffle())
        }),
    ) {
        let damping = Damping::default();
        prop_assert_eq!(
            judge(&signals, NOW, &damping).health,
            judge(&shuffled, NOW, &damping).health
        );
    }

    #[test]
    fn every_vantage_has_a_reason(signals in any_signals(), damping in damping()) {
        prop_assert_eq!(judge(&signals, NOW, &damping).reasons.len(), Vantage::ALL.len());
    }
}

#[test]
fn no_word_from_anybody_is_unknown() {
    let verdict = judge(&[], NOW, &Damping::default());
    assert_eq!(verdict.health, Health::Unknown);
    assert_eq!(
        verdict.reasons.first().map(String::as_str),
        Some("from the standby Region: no look of the last 60 s")
    );
}

/// What it is, who saw what, and what is said.
type Row<'a> = (&'a str, Vec<(Vantage, &'a Saw)>, Health);

#[test]
fn the_truth_table() {
    use Vantage::{Active, ControlPlane, Standby};
    let gone = fails(Layer::Connect);
    let grey = fails(Layer::Produce);
    let rows: [Row<'_>; 9] = [
        (
            "both see it serve",
            vec![(Active, &Saw::Serves), (Standby, &Saw::Serves)],
            Health::Healthy,
        ),
        (
            "the path between the Regions is broken, and it serves",
            vec![
                (Active, &Saw::Serves),
                (Standby, &gone),
                (ControlPlane, &Saw::Serves),
            ],
            Health::Unknown,
        ),
        (
            "the prober beside it is broken, and it serves",
            vec![(Active, &gone), (Standby, &Saw::Serves)],
            Health::Unknown,
        ),
        (
            "both see it gone",
            vec![(Active, &gone), (Standby, &gone)],
            Health::Unhealthy,
        ),
        (
            "and so does AWS",
            vec![(Active, &gone), (Standby, &gone), (ControlPlane, &gone)],
            Health::Unhealthy,
        ),
        (
            "the Region is dark: nothing comes, over a path that is proven",
            vec![(Active, &Saw::Silence), (Standby, &gone)],
            Health::Unhealthy,
        ),
        (
            "both see that it takes no record, for the whole window",
            vec![(Active, &grey), (Standby, &grey)],
            Health::Unhealthy,
        ),
        (
            "two see it gone and a third sees it serve",
            vec![
                (Active, &gone),
                (Standby, &gone),
                (ControlPlane, &Saw::Serves),
            ],
            Health::Unknown,
        ),
        (
            "only one looks, and sees it gone",
            vec![(Standby, &gone)],
            Health::Unknown,
        ),
    ];
    for (what, looks, expected) in rows {
        let signals: Vec<Signal> = looks
            .iter()
            .flat_map(|(vantage, saw)| thrice(*vantage, saw))
            .collect();
        assert_eq!(verdict(&signals), expected, "{what}");
    }
}

#[test]
fn our_own_login_is_never_the_clusters_fault() {
    let refused = fails(Layer::Authenticate);
    let signals = [
        thrice(Vantage::Active, &refused),
        thrice(Vantage::Standby, &refused),
        thrice(Vantage::ControlPlane, &refused),
    ]
    .concat();
    let verdict = judge(&signals, NOW, &Damping::default());
    assert_eq!(verdict.health, Health::Unknown);
    assert!(
        verdict
            .reasons
            .iter()
            .all(|reason| reason.contains("our login failed")),
        "{:?}",
        verdict.reasons
    );
}

#[test]
fn flapping_is_damped() {
    let gone = fails(Layer::Connect);
    // Newest first: one bad look of three is none.
    let hiccup = |vantage| {
        [&gone, &Saw::Serves, &Saw::Serves]
            .into_iter()
            .zip(0..)
            .map(move |(saw, age)| signal(vantage, saw.clone(), age, true))
            .collect::<Vec<_>>()
    };
    let both = [hiccup(Vantage::Active), hiccup(Vantage::Standby)].concat();
    assert_eq!(verdict(&both), Health::Unknown);
    // Another one sees it serve all the while, and one bad look contradicts nobody.
    let mixed = [
        hiccup(Vantage::Active),
        thrice(Vantage::Standby, &Saw::Serves),
    ]
    .concat();
    assert_eq!(verdict(&mixed), Health::Healthy);
    // It serves again, after two bad looks: not bad any more, not yet good.
    let back = |vantage| {
        [&Saw::Serves, &gone, &gone]
            .into_iter()
            .zip(0..)
            .map(move |(saw, age)| signal(vantage, saw.clone(), age, true))
            .collect::<Vec<_>>()
    };
    let both = [back(Vantage::Active), back(Vantage::Standby)].concat();
    assert_eq!(verdict(&both), Health::Unknown);
}

#[test]
fn a_cluster_that_answers_but_takes_nothing_is_given_longer() {
    let grey = fails(Layer::InSync);
    let look = |vantage, worst: i64| {
        (0..3).map(move |age| {
            let saw = if age < worst {
                fails(Layer::InSync)
            } else {
                Saw::Serves
            };
            signal(vantage, saw, age, true)
        })
    };
    let two_of_three: Vec<Signal> = look(Vantage::Active, 2)
        .chain(look(Vantage::Standby, 2))
        .collect();
    assert_eq!(verdict(&two_of_three), Health::Unknown);
    let all = [
        thrice(Vantage::Active, &grey),
        thrice(Vantage::Standby, &grey),
    ]
    .concat();
    assert_eq!(verdict(&all), Health::Unhealthy);
}

#[test]
fn a_verdict_travels_as_json() {
    let verdict = judge(
        &thrice(Vantage::Standby, &Saw::Serves),
        NOW,
        &Damping::default(),
    );
    let json = serde_json::to_string(&verdict).expect("a verdict is JSON");
    assert!(json.contains(r#""health":"healthy""#), "{json}");
    let signal = signal(Vantage::ControlPlane, fails(Layer::InSync), 1, true);
    let json = serde_json::to_value(&signal).expect("a signal is JSON");
    assert_eq!(
        serde_json::from_value::<Signal>(json).expect("and back"),
        signal
    );
}
