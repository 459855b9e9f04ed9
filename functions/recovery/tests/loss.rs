//! What is lost at a cut, what may be lost without asking, and how groups stand, counted.

use proptest::prelude::*;
use understudy_recovery::cut::{Cut, PartitionCut};
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_recovery::{Consent, Epoch, LossBound};

const SEEN: i64 = 1_790_000_000_000;

fn partition(source_offset: i64, end: Option<i64>, seen_at_ms: Option<i64>) -> PartitionCut {
    PartitionCut {
        topic: "orders".to_owned(),
        partition: 0,
        target_topic: "orders".to_owned(),
        source_offset,
        target_offset: source_offset,
        incarnation: 0,
        source_end_offset: end,
        source_end_seen_at_ms: seen_at_ms,
    }
}

/// Nobody tells the times of copies.
fn untold(_: &PartitionCut) -> Option<i64> {
    None
}

/// The newest copies are of half a second before the last look.
fn told(_: &PartitionCut) -> Option<i64> {
    Some(SEEN - 500)
}

fn cut(partitions: Vec<PartitionCut>) -> Cut {
    Cut {
        flow: "use1-usw2".to_owned(),
        epoch: Epoch::new(7),
        at_ms: SEEN + 10_000,
        partitions,
    }
}

#[test]
fn what_was_seen_beyond_the_cut_is_lost_and_what_came_since_may_be() {
    let cut = cut(vec![
        partition(100, Some(130), Some(SEEN)),
        partition(50, Some(50), Some(SEEN + 1_500)),
    ]);
    assert_eq!(
        cut.loss(SEEN + 2_000, Some(10.0), told),
        LossBound {
            records_at_least: 30,
            records_at_most: Some(50),
            // The thirty came behind the newest copy, which is older than the last look.
            seconds_at_most: Some(2.5),
        }
    );
    assert_eq!(cut.loss(SEEN + 2_000, None, told).records_at_most, None);
    assert_eq!(
        cut.loss(SEEN + 2_000, Some(10.0), untold).seconds_at_most,
        None
    );
    // Whoever was seen after it fell silent had nothing more to give.
    assert_eq!(
        cut.loss(SEEN - 5_000, Some(10.0), told),
        LossBound {
            records_at_least: 30,
            records_at_most: Some(30),
            seconds_at_most: Some(0.0),
        }
    );
}

#[test]
fn a_partition_that_was_never_seen_bounds_nothing() {
    let cut = cut(vec![
        partition(100, Some(130), Some(SEEN)),
        partition(50, None, None),
    ]);
    assert_eq!(
        cut.loss(SEEN + 2_000, Some(10.0), told),
        LossBound {
            records_at_least: 30,
            records_at_most: None,
            seconds_at_most: None,
        }
    );
}

#[test]
fn a_source_that_is_drained_and_fenced_loses_nothing() {
    let drained = cut(vec![partition(100, Some(100), Some(SEEN))]);
    let loss = drained.loss(SEEN, Some(1_000.0), untold);
    assert_eq!(loss, LossBound::NONE);
    assert!(Consent::default().covers(&loss));
    assert_eq!(
        cut(Vec::new()).loss(SEEN, Some(1.0), untold),
        LossBound::NONE
    );
}

#[test]
fn a_copy_ahead_of_what_was_seen_is_no_negative_loss() {
    assert_eq!(partition(130, Some(100), Some(SEEN)).lost_at_least(), 0);
}

fn any_partition() -> impl Strategy<Value = PartitionCut> {
    (
        0..1_000_i64,
        proptest::option::weighted(0.9, (0..1_000_i64, 0..60_000_i64)),
    )
        .prop_map(|(offset, end)| {
            partition(
                offset,
                end.map(|(more, _)| offset + more),
                end.map(|(_, ago)| SEEN - ago),
            )
        })
}

proptest! {
    #[test]
    fn the_truth_lies_within_the_bounds(
        partitions in proptest::collection::vec((any_partition(), 0..500_i64), 1..9),
        silent_after_ms in 0..60_000_i64,
    ) {
        // Each partition took `more` records after it was last seen, at no more than the rate that is known.
        let silent = SEEN + silent_after_ms;
        let truth: i64 = partitions
            .iter()
            .map(|(it, more)| it.source_end_offset.unwrap_or(it.source_offset) - it.source_offset + more)
            .sum();
        let more: i64 = partitions.iter().map(|(_, more)| more).sum();
        let oldest = partitions.iter().filter_map(|(it, _)| it.source_end_seen_at_ms).min();
        let seconds = f64::from(i32::try_from(silent - oldest.unwrap_or(silent)).unwrap_or(i32::MAX)) / 1_000.0;
        prop_assume!(seconds > 0.0);
        let rate = f64::from(i32::try_from(more).unwrap_or(i32::MAX)) / seconds;
        let every_seen = partitions.iter().all(|(it, _)| it.source_end_seen_at_ms.is_some());
        let loss = cut(partitions.into_iter().map(|(it, _)| it).collect()).loss(silent, Some(rate), |_| Some(SEEN - 60_000));
        prop_assert!(i64::try_from(loss.records_at_least).is_ok_and(|least| least <= truth));
        match loss.records_at_most {
            Some(most) => prop_assert!(i64::try_from(most).is_ok_and(|most| most >= truth)),
            None => prop_assert!(!every_seen),
        }
        prop_assert_eq!(loss.seconds_at_most.is_some(), every_seen);
    }

    #[test]
    fn no_rate_turns_a_bound_round(
        partitions in proptest::collection::vec(any_partition(), 0..5),
        silent in any::<i64>(), rate in proptest::option::of(any::<f64>()),
    ) {
        let loss = cut(partitions).loss(silent, rate, told);
        prop_assert!(loss.records_at_most.is_none_or(|most| most >= loss.records_at_least));
        prop_assert!(loss.seconds_at_most.is_none_or(|seconds| seconds >= 0.0));
    }

    #[test]
    fn consent_covers_only_what_is_known_and_within(
        records in 0..100_u64, seconds in 0..100_u64,
        most in proptest::option::of(0..200_u64), age in proptest::option::of(0.0..200.0_f64),
    ) {
        let consent = Consent { max_lost_records: records, max_age_seconds: seconds };
        let loss = LossBound { records_at_least: 0, records_at_most: most, seconds_at_most: age };
        #[expect(clippy::cast_precision_loss, reason = "seconds below 100")]
        let within = most.is_some_and(|most| most <= records)
            && age.is_some_and(|age| age <= seconds as f64);
        prop_assert_eq!(consent.covers(&loss), within || most == Some(0));
        // More consent never covers less.
        let more = Consent { max_lost_records: records + 1, max_age_seconds: seconds + 1 };
        prop_assert!(!consent.covers(&loss) || more.covers(&loss));
    }
}

#[test]
fn without_a_word_nothing_may_be_lost() {
    let one = LossBound {
        records_at_least: 0,
        records_at_most: Some(1),
        seconds_at_most: Some(0.0),
    };
    assert!(!Consent::default().covers(&one));
    assert!(!Consent::default().covers(&LossBound::default()));
    let not_a_number = LossBound {
        seconds_at_most: Some(f64::NAN),
        ..one
    };
    let much = Consent {
        max_lost_records: u64::MAX,
        max_age_seconds: u64::MAX,
    };
    assert!(!much.covers(&not_a_number));
}

fn place(group: &str, state: PlaceIs, reread_records: Option<u64>) -> GroupPlace {
    GroupPlace {
        group: group.to_owned(),
        topic: "orders".to_owned(),
        partition: 0,
        source_offset: None,
        target_offset: None,
        state,
        reread_records,
        reason: None,
    }
}

#[test]
fn places_are_counted_by_how_they_stand() {
    let mut places: Vec<GroupPlace> = PlaceIs::ALL
        .into_iter()
        .map(|state| place("a", state, None))
        .collect();
    places.push(place("b", PlaceIs::AtLeast, Some(7)));
    places.push(place("c", PlaceIs::AtLeast, Some(5)));
    let summary = Places { places }.summary();
    assert_eq!(
        serde_json::to_value(summary).ok(),
        Some(serde_json::json!({
            "groups": 3, "exact": 2, "last_known": 1, "at_least": 3, "live": 1, "unknown": 1, "beyond": 1, "reread_records": 12
        }))
    );
    assert_eq!(Places::default().summary(), Default::default());
}

proptest! {
    #[test]
    fn every_place_is_counted_once(
        places in proptest::collection::vec(
            ("[a-c]", proptest::sample::select(PlaceIs::ALL.to_vec()), proptest::option::of(any::<u64>()))
                .prop_map(|(group, state, reread)| place(&group, state, reread)),
            0..40,
        ),
    ) {
        let count = places.len() as u64;
        let summary = Places { places }.summary();
        prop_assert_eq!(
            summary.exact
                + summary.last_known
                + summary.at_least
                + summary.live
                + summary.unknown
                + summary.beyond,
            count
        );
        prop_assert!(summary.groups <= 3 && summary.groups <= count);
    }
}
