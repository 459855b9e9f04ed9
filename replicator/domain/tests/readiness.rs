//! A verdict is never better than what was seen.

use proptest::prelude::*;
use understudy_domain::{
    Condition, FlowState, GapLook, GroupLook, Look, Objectives, PartitionLook, PlaceState,
    Readiness, Reason, Verdict,
};

fn seconds() -> impl Strategy<Value = Option<f64>> {
    proptest::option::weighted(
        0.9,
        (0_u32..1_000).prop_map(|tenths| f64::from(tenths) / 10.0),
    )
}

fn partition() -> impl Strategy<Value = PartitionLook> {
    let condition = prop_oneof![
        8 => Just(Condition::Copying),
        1 => Just(Condition::Waiting),
        1 => Just(Condition::Paused),
        1 => Just(Condition::Halted),
    ];
    let lag = prop_oneof![Just(0_u64), 1..10_000_u64, Just(u64::MAX)];
    (lag, seconds(), seconds(), condition).prop_map(
        |(lag_records, lag_seconds, seen_seconds, condition)| PartitionLook {
            lag_records,
            lag_seconds,
            seen_seconds,
            condition,
        },
    )
}

fn verdict() -> impl Strategy<Value = Verdict> {
    proptest::sample::select(Verdict::ALL.to_vec())
}

fn group() -> impl Strategy<Value = GroupLook> {
    let state = proptest::sample::select(PlaceState::ALL.to_vec());
    ("[abc]", state, proptest::option::of(0..1_000_u64)).prop_map(
        |(group, state, reread_records)| GroupLook {
            group,
            state,
            reread_records,
        },
    )
}

fn look() -> impl Strategy<Value = Look> {
    let flow = proptest::sample::select(vec![
        Some(FlowState::Running),
        Some(FlowState::Running),
        Some(FlowState::Paused),
        Some(FlowState::Sealed),
        None,
    ]);
    let gap =
        (0..100_u64, any::<bool>()).prop_map(|(records, resolved)| GapLook { records, resolved });
    let reason = (verdict(), "[a-z ]{1,9}").prop_map(|(verdict, text)| Reason { verdict, text });
    (
        0..4_u32,
        flow,
        proptest::collection::vec(partition(), 0..6),
        proptest::collection::vec(group(), 0..6),
        proptest::collection::vec(gap, 0..3),
        proptest::collection::vec(reason, 0..3),
        0..600_u32,
        0..1_000_u32,
    )
        .prop_map(
            |(slots, flow, partitions, groups, gaps, reasons, open, rate)| Look {
                slots,
                flow,
                partitions,
                groups,
                gaps,
                reasons,
                open_transaction_seconds: f64::from(open),
                records_per_second: f64::from(rate),
            },
        )
}

fn of(look: &Look) -> Readiness {
    Readiness::of(look, &Objectives::default())
}

fn healthy() -> Look {
    Look {
        slots: 1,
        flow: Some(FlowState::Running),
        partitions: vec![PartitionLook {
            lag_records: 0,
            lag_seconds: Some(0.0),
            seen_seconds: Some(1.0),
            condition: Condition::Copying,
        }],
        ..Look::default()
    }
}

proptest! {
    #[test]
    fn the_verdict_is_the_worst_obstacle_and_the_worst_comes_first(look in look()) {
        let readiness = of(&look);
        let worst = readiness.in_the_way.iter().map(|obstacle| obstacle.verdict).max();
        prop_assert_eq!(readiness.verdict, worst.unwrap_or(Verdict::Ready));
        prop_assert!(readiness.in_the_way.is_sorted_by_key(|obstacle| std::cmp::Reverse(obstacle.verdict)));
        prop_assert!(readiness.in_the_way.iter().all(|obstacle| !obstacle.reason.is_empty()));
    }

    #[test]
    fn ready_means_seen_bounded_and_nothing_in_the_way(look in look()) {
        let readiness = of(&look);
        if readiness.verdict == Verdict::Ready {
            prop_assert!(readiness.in_the_way.is_empty());
            prop_assert!(readiness.lost_records_at_most.is_some());
            prop_assert_eq!(readiness.missing_records, 0);
            prop_assert!(look.partitions.iter().all(|it| it.condition == Condition::Copying));
            prop_assert_eq!(look.flow, Some(FlowState::Running));
        }
    }

    #[test]
    fn an_upper_bound_is_only_given_with_sight_and_never_below_the_lower(look in look()) {
        let readiness = of(&look);
        let sight = Objectives::default().sight_seconds;
        let in_sight = look.slots > 0
            && !look.partitions.is_empty()
            && look.partitions.iter().all(|it| it.seen_seconds.is_some_and(|seen| seen <= sight));
        prop_assert_eq!(readiness.lost_records_at_most.is_some(), in_sight);
        if let Some(at_most) = readiness.lost_records_at_most {
            prop_assert!(at_most >= readiness.lost_records_at_least);
        } else {
            prop_assert!(readiness.verdict >= Verdict::Unknown);
        }
    }

    #[test]
    fn not_seeing_is_never_worse_than_unknown(seen in seconds(), lag in 0..100_u64) {
        let mut look = healthy();
        for partition in &mut look.partitions {
            partition.seen_seconds = seen;
            partition.lag_records = lag;
        }
        prop_assert!(of(&look).verdict <= Verdict::Unknown);
    }

    #[test]
    fn more_trouble_never_makes_it_better(look in look(), more in partition(), other in look()) {
        let before = of(&look);
        let mut worse = look;
        // Without a partition nothing is in sight: the first one is news, not trouble.
        if !worse.partitions.is_empty() {
            worse.partitions.push(more);
        }
        worse.gaps.extend(other.gaps);
        worse.groups.extend(other.groups);
        worse.reasons.extend(other.reasons);
        let after = of(&worse);
        prop_assert!(after.verdict >= before.verdict);
        prop_assert!(after.lost_records_at_least >= before.lost_records_at_least);
        prop_assert!(after.missing_records >= before.missing_records);
        prop_assert!(after.groups_rereading >= before.groups_rereading);
        if let (Some(before), Some(after)) = (before.lost_seconds_at_most, after.lost_seconds_at_most) {
            prop_assert!(after >= before);
        }
    }

    #[test]
    fn a_group_is_counted_once_and_an_unknown_amount_is_not_made_up(look in look()) {
        let readiness = of(&look);
        let mut names: Vec<_> = readiness.rereading.iter().map(|group| &group.group).collect();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), readiness.groups_rereading);
        let unknown = look.groups.iter().any(|place| match place.state {
            PlaceState::Unknown => true,
            PlaceState::AtLeast => place.reread_records.is_none(),
            PlaceState::Exact | PlaceState::Ahead => false,
        });
        prop_assert_eq!(readiness.reread_records_at_most.is_none(), unknown);
    }
}

#[test]
fn a_caught_up_flow_that_is_in_sight_is_ready_and_loses_nothing_old() {
    let readiness = of(&healthy());
    assert_eq!(readiness.verdict, Verdict::Ready);
    assert_eq!(readiness.lost_records_at_most, Some(0));
    // What was written since the look could be lost: the age of the look is the bound.
    assert_eq!(readiness.lost_seconds_at_most, Some(1.0));
}

#[test]
fn what_the_source_may_have_taken_since_it_was_seen_counts() {
    let mut look = healthy();
    look.records_per_second = 2_000.0;
    for partition in &mut look.partitions {
        partition.seen_seconds = Some(1.5);
        partition.lag_records = 10;
        partition.lag_seconds = Some(1.5);
    }
    let readiness = of(&look);
    assert_eq!(
        (
            readiness.lost_records_at_least,
            readiness.lost_records_at_most
        ),
        (10, Some(3_010))
    );
}

#[test]
fn a_silent_source_is_unknown_with_a_lower_bound_and_says_for_how_long() {
    let mut look = healthy();
    for partition in &mut look.partitions {
        partition.seen_seconds = Some(42.0);
        partition.lag_records = 7;
        partition.lag_seconds = Some(43.0);
    }
    let readiness = of(&look);
    assert_eq!(readiness.verdict, Verdict::Unknown);
    assert_eq!(readiness.lost_records_at_least, 7);
    assert_eq!(readiness.lost_records_at_most, None);
    assert_eq!(readiness.lost_seconds_at_most, Some(43.0));
    assert!(
        readiness
            .in_the_way
            .iter()
            .any(|it| it.reason.contains("for 42 s")),
        "{readiness:?}"
    );
}

#[test]
fn a_halted_partition_is_in_the_way_even_out_of_sight() {
    let mut look = healthy();
    for partition in &mut look.partitions {
        partition.seen_seconds = None;
        partition.condition = Condition::Halted;
    }
    assert_eq!(of(&look).verdict, Verdict::NotReady);
}

#[test]
fn what_somebody_dealt_with_is_no_longer_in_the_way() {
    let mut look = healthy();
    look.gaps = vec![GapLook {
        records: 5,
        resolved: true,
    }];
    assert_eq!(of(&look).verdict, Verdict::Ready);
    look.gaps.push(GapLook {
        records: 3,
        resolved: false,
    });
    let readiness = of(&look);
    assert_eq!(
        (readiness.verdict, readiness.missing_records),
        (Verdict::NotReady, 3)
    );
}
