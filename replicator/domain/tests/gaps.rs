//! What is done about gaps.

use proptest::prelude::*;
use understudy_domain::{
    GapCause, GapPolicy, GapRecord, GapState, LostPolicy, RecreatedPolicy, Resolution,
};

const CAUSES: [GapCause; 5] = [
    GapCause::Deleted,
    GapCause::Truncated,
    GapCause::Recreated,
    GapCause::Refused,
    GapCause::CopiesLost,
];

fn gap(cause: GapCause, state: GapState, resolution: Option<Resolution>) -> GapRecord {
    GapRecord {
        end: None,
        cause,
        reason: String::new(),
        found_at_ms: 0,
        state,
        resolution,
    }
}

fn resolution() -> impl Strategy<Value = Resolution> {
    prop_oneof![
        Just(Resolution::Skip),
        Just(Resolution::Park),
        Just(Resolution::Retry),
        Just(Resolution::ContinueInSame),
        Just(Resolution::NewTopic),
    ]
}

fn policy() -> impl Strategy<Value = GapPolicy> {
    let lost = prop_oneof![
        Just(LostPolicy::Halt),
        Just(LostPolicy::SkipAndRecord),
        Just(LostPolicy::Park),
    ];
    let recreated = prop_oneof![
        Just(RecreatedPolicy::Halt),
        Just(RecreatedPolicy::ContinueInSame),
        Just(RecreatedPolicy::NewTopic),
    ];
    (lost, recreated).prop_map(|(lost, recreated)| GapPolicy { lost, recreated })
}

#[test]
fn unless_told_otherwise_every_gap_halts_its_partition() {
    for cause in CAUSES {
        assert_eq!(GapPolicy::default().of(cause), None, "{}", cause.name());
    }
}

#[test]
fn what_was_lost_on_the_target_waits_for_a_person_whatever_the_policy() {
    let all = GapPolicy {
        lost: LostPolicy::SkipAndRecord,
        recreated: RecreatedPolicy::ContinueInSame,
    };
    assert_eq!(all.of(GapCause::CopiesLost), None);
    assert!(all.of(GapCause::Deleted).is_some() && all.of(GapCause::Recreated).is_some());
}

proptest! {
    #[test]
    fn what_is_done_always_fits_the_cause(
        cause in prop::sample::select(CAUSES.to_vec()),
        asked in prop::option::of(resolution()),
        policy in policy(),
    ) {
        let next = gap(cause, GapState::Halted, asked).next(&policy);
        prop_assert!(next.is_none_or(|next| cause.resolutions().contains(&next)));
        if let Some(asked) = asked.filter(|asked| cause.resolutions().contains(asked)) {
            prop_assert_eq!(next, Some(asked), "an operator's word goes before the policy");
        }
    }

    #[test]
    fn what_was_done_is_not_done_again(
        cause in prop::sample::select(CAUSES.to_vec()),
        done in resolution(),
        asked in prop::option::of(resolution()),
        policy in policy(),
    ) {
        prop_assert_eq!(gap(cause, done.outcome(), asked).next(&policy), None);
    }
}
