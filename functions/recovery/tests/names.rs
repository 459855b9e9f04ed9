//! Names of executions, steps and errors are what machines match.

use proptest::prelude::*;
use understudy_recovery::{
    Alias, Epoch, ErrorName, ExecutionName, ExecutionNameError, Leash, Mode, PairName, Step,
};

fn mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(Mode::ALL.to_vec())
}

fn leash() -> impl Strategy<Value = Leash> {
    proptest::sample::select(vec![Leash::Acting, Leash::Leashed])
}

proptest! {
    #[test]
    fn an_executions_name_can_be_read_again(
        pair in "[0-9A-Za-z_-]{1,40}", epoch in any::<u64>(), mode in mode(), leash in leash(),
        attempt in any::<u32>(),
    ) {
        let pair = PairName::new(&pair).expect("a name");
        let name = ExecutionName::new(pair.clone(), Epoch::new(epoch), mode, leash, attempt);
        let text = name.to_string();
        let read: ExecutionName = text.parse().expect("it is a name");
        prop_assert_eq!(&read, &name);
        prop_assert_eq!(read.to_string(), text);
        prop_assert_eq!(
            (read.pair(), read.epoch(), read.mode(), read.leash(), read.attempt()),
            (&pair, Epoch::new(epoch), mode, leash, attempt)
        );
        let json = serde_json::to_value(&name).expect("a name is JSON");
        prop_assert!(json.is_string());
        prop_assert_eq!(serde_json::from_value::<ExecutionName>(json).ok(), Some(name));
    }

    #[test]
    fn names_that_people_see_fit_step_functions(
        pair in "[0-9A-Za-z_-]{40}", epoch in 0..1_000_000_u64, mode in mode(), leash in leash(),
        attempt in 0..10_000_u32,
    ) {
        let pair = PairName::new(&pair).expect("a name");
        let text = ExecutionName::new(pair, Epoch::new(epoch), mode, leash, attempt).to_string();
        prop_assert!(text.len() <= 80, "{} has {} characters", text, text.len());
        prop_assert!(text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_'));
    }

    #[test]
    fn no_text_breaks_the_reader(text in ".{0,60}") {
        if let Ok(name) = text.parse::<ExecutionName>() {
            let again: ExecutionName = name.to_string().parse().expect("it is a name");
            prop_assert_eq!(again, name);
        }
    }
}

#[test]
fn an_execution_reads_as_it_is_spelt() {
    let name: ExecutionName = "a-pair-e7-switchover-2-drill".parse().expect("a name");
    assert_eq!(name.pair().as_str(), "a-pair");
    assert_eq!(name.epoch(), Epoch::new(7));
    assert_eq!(name.mode(), Mode::Switchover);
    assert_eq!((name.attempt(), name.leash()), (2, Leash::Leashed));
    for text in [
        "",
        "orders",
        "orders-e7-failover",
        "orders-7-failover-1",
        "orders-e7-drill-1",
        "orders-e7-failover-x",
        "orders-e-1-failover-1",
        "orders-e7-failover-1-leashed",
    ] {
        assert!(
            matches!(
                text.parse::<ExecutionName>(),
                Err(ExecutionNameError::Shape(_))
            ),
            "{text:?}"
        );
    }
    assert!(matches!(
        "or ders-e7-failover-1".parse::<ExecutionName>(),
        Err(ExecutionNameError::Pair(_))
    ));
}

#[test]
fn names_of_pairs_and_clusters_are_bounded() {
    assert!(Alias::new("use1").is_ok());
    for name in ["", "a b", "a.b", "ä", &"a".repeat(41)] {
        assert!(PairName::new(name).is_err(), "{name:?}");
        assert!(
            serde_json::from_value::<Alias>(name.into()).is_err(),
            "{name:?}"
        );
    }
    assert_eq!(
        PairName::new("a b").map_err(|error| error.to_string()),
        Err(r#"pair "a b" must be 1 to 40 letters, digits, '-' or '_'"#.to_owned())
    );
}

#[test]
fn an_epoch_rises_and_never_turns_over() {
    assert_eq!(Epoch::ZERO.next(), Epoch::new(1));
    assert_eq!(Epoch::new(u64::MAX).next(), Epoch::new(u64::MAX));
    assert_eq!(Epoch::new(7).to_string(), "e7");
}

#[test]
fn steps_and_errors_are_spelt_once() {
    for step in Step::ALL {
        assert_eq!(Step::named(step.name()), Some(step));
        assert_eq!(serde_json::to_value(step).ok(), Some(step.name().into()));
    }
    assert_eq!(Step::named("destroy-everything"), None);
    for error in ErrorName::ALL {
        assert_eq!(serde_json::to_value(error).ok(), Some(error.name().into()));
    }
}
