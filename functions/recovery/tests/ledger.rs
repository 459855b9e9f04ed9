//! One recovery at a time, and late ones lose: the ledger against a model, over a store that compares versions.

use std::cell::Cell;

use proptest::prelude::*;
use understudy_recovery::fence::{FenceRecord, FenceState};
use understudy_recovery::{
    Alias, Epoch, ExecutionName, Leash, Ledger, Mode, PairName, Phase, Refusal,
};

fn alias(name: &str) -> Alias {
    Alias::new(name).expect("an alias")
}

fn pair() -> PairName {
    PairName::new("orders").expect("a name")
}

fn steady() -> Ledger {
    Ledger::new(pair(), alias("use1"))
}

fn execution(epoch: u64, mode: Mode, attempt: u32) -> ExecutionName {
    ExecutionName::new(pair(), Epoch::new(epoch), mode, Leash::Acting, attempt)
}

/// A ledger that `execution` holds, moving to usw2.
fn held(execution: &ExecutionName) -> Ledger {
    steady()
        .claim(execution, &alias("usw2"), false, 1)
        .expect("nobody is in the way")
}

/// What an execution may ask of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Claim { supersede: bool },
    Sealed,
    Activated,
    Ended { stuck: bool },
}

impl Ask {
    fn of(
        self,
        ledger: &Ledger,
        execution: &ExecutionName,
        target: &Alias,
    ) -> Result<Ledger, Refusal> {
        match self {
            Self::Claim { supersede } => ledger.claim(execution, target, supersede, 1),
            Self::Sealed => ledger.sealed(execution),
            Self::Activated => ledger.activated(execution),
            Self::Ended { stuck } => ledger.ended(execution, stuck),
        }
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => any::<bool>().prop_map(|supersede| Ask::Claim { supersede }),
        2 => Just(Ask::Sealed),
        2 => Just(Ask::Activated),
        2 => any::<bool>().prop_map(|stuck| Ask::Ended { stuck }),
    ]
}

/// One move of one of several executions. It reads, and writes on condition, now or after others did: what it read may
/// be stale by then.
#[derive(Clone, Debug)]
struct Move {
    who: usize,
    ask: Ask,
    to_usw2: bool,
    /// How many versions ago it read.
    late: usize,
}

fn any_move() -> impl Strategy<Value = Move> {
    let late = prop_oneof![3 => Just(0_usize), 1 => 1..4_usize];
    (0..12_usize, ask(), any::<bool>(), late).prop_map(|(who, ask, to_usw2, late)| Move {
        who,
        ask,
        to_usw2,
        late,
    })
}

/// Executions of three epochs, three modes, several attempts.
fn executions() -> Vec<ExecutionName> {
    (0..12_u32)
        .map(|number| {
            let mode = Mode::ALL
                .into_iter()
                .cycle()
                .nth(usize::try_from(number).unwrap_or_default())
                .unwrap_or(Mode::Failover);
            execution(u64::from(number / 4) + 1, mode, number % 4 + 1)
        })
        .collect()
}

/// What a store holds now, and everything it ever held.
struct Store(Vec<Ledger>);

impl Store {
    fn now(&self) -> &Ledger {
        self.0.last().expect("there is always one")
    }

    fn ago(&self, versions: usize) -> &Ledger {
        let at = self.0.len().saturating_sub(1).saturating_sub(versions);
        self.0.get(at).expect("there is always one")
    }

    /// Whether the condition held.
    fn write(&mut self, before: &Ledger, next: &Ledger) -> bool {
        if self.now().version != before.version {
            return false;
        }
        self.0.push(next.clone());
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn at_most_one_holds_the_pair_and_the_epoch_never_falls(
        moves in proptest::collection::vec(any_move(), 0..60),
    ) {
        let executions = executions();
        let mut store = Store(vec![steady()]);
        // Who holds the pair, by what was claimed and ended.
        let mut holder: Option<ExecutionName> = None;
        for it in moves {
            let execution = executions.get(it.who).expect("who is below 12");
            let target = if it.to_usw2 { alias("usw2") } else { alias("use1") };
            let read = store.ago(it.late).clone();
            let Ok(next) = it.ask.of(&read, execution, &target) else { continue };
            if next == read {
                continue;
            }
            prop_assert_eq!(next.version, read.version + 1, "each change is one version");
            prop_assert!(next.epoch >= read.epoch);
            let before = store.now().clone();
            if !store.write(&read, &next) {
                continue;
            }
            match it.ask {
                Ask::Claim { .. } => {
                    prop_assert_eq!(next.epoch, before.epoch.next(), "a claim is a new epoch");
                    prop_assert_eq!(next.epoch, execution.epoch());
                    if let Some(held) = &holder {
                        let failover =
                            execution.mode() == Mode::Failover && held.mode() != Mode::Failover;
                        let asked = matches!(it.ask, Ask::Claim { supersede: true });
                        prop_assert!(failover || asked, "{} took over from {}", execution, held);
                    }
                    holder = Some(execution.clone());
                }
                Ask::Sealed | Ask::Activated => {
                    prop_assert_eq!(Some(execution), holder.as_ref(), "only the holder changes roles");
                }
                Ask::Ended { stuck } => {
                    let stuck_before = matches!(&before.phase, Phase::Stuck(_));
                    prop_assert!(holder.as_ref() == Some(execution) || (stuck_before && !stuck));
                    holder = None;
                }
            }
            prop_assert_eq!(next.epoch, store.0.iter().map(|it| it.epoch).max().unwrap_or_default());
            if next.active != before.active {
                prop_assert_eq!(it.ask, Ask::Activated, "nothing else changes roles");
            }
            // Late ones lose: whoever does not hold the pair is refused every step.
            for other in &executions {
                let holds = holder.as_ref() == Some(other);
                prop_assert_eq!(next.held_by(other).is_ok(), holds);
                prop_assert_eq!(next.sealed(other).is_ok(), holds);
                prop_assert_eq!(next.activated(other).is_ok(), holds);
            }
        }
    }

    #[test]
    fn the_same_change_twice_is_one(
        moves in proptest::collection::vec(any_move(), 0..60),
    ) {
        let executions = executions();
        let mut ledger = steady();
        for it in moves {
            let execution = executions.get(it.who).expect("who is below 12");
            let target = if it.to_usw2 { alias("usw2") } else { alias("use1") };
            let Ok(once) = it.ask.of(&ledger, execution, &target) else { continue };
            let again = it.ask.of(&once, execution, &target);
            // A recovery that ended stuck has ended: its claim is late, not repeated.
            prop_assert_eq!(again, Ok(once.clone()), "{:?}", it.ask);
            ledger = once;
        }
    }

    #[test]
    fn ten_alarms_are_one_claim(order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle()) {
        // All read the same ledger and are told the same name, or the next one.
        let mut store = Store(vec![steady()]);
        let names: Vec<ExecutionName> = (0..10)
            .map(|_alarm| {
                let read = store.now().clone();
                let name = read.next_execution(Mode::Failover, Leash::Acting);
                store.write(&read, &read.attempted());
                name
            })
            .collect();
        let claims = Cell::new(0);
        for at in order {
            let name = names.get(at).expect("ten names");
            let read = store.now().clone();
            match read.claim(name, &alias("usw2"), false, 1) {
                Ok(next) => {
                    prop_assert!(store.write(&read, &next));
                    claims.set(claims.get() + 1);
                }
                Err(refusal) => prop_assert!(
                    matches!(refusal, Refusal::Stale { .. } | Refusal::InProgress { .. }),
                    "{}", refusal
                ),
            }
        }
        prop_assert_eq!(claims.get(), 1);
        prop_assert_eq!(store.now().epoch, Epoch::new(1));
        prop_assert_eq!(store.now().attempts, 0);
    }
}

#[test]
fn a_storm_that_reads_at_once_is_told_one_name() {
    let ledger = steady();
    let names: Vec<ExecutionName> = (0..10)
        .map(|_alarm| ledger.next_execution(Mode::Failover, Leash::Acting))
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name.to_string() == "orders-e1-failover-1"),
        "{names:?}"
    );
}

#[test]
fn a_failover_takes_over_from_a_switchover_which_is_then_late_everywhere() {
    let planned = execution(1, Mode::Switchover, 1);
    let sealed = held(&planned).sealed(&planned).expect("it holds the pair");
    let failover = execution(2, Mode::Failover, 1);
    let taken = sealed
        .claim(&failover, &alias("usw2"), false, 2)
        .expect("a failover takes over");
    assert_eq!(taken.epoch, Epoch::new(2));
    for late in [
        taken.sealed(&planned),
        taken.activated(&planned),
        taken.ended(&planned, true),
        taken.ended(&planned, false),
        taken.claim(&planned, &alias("usw2"), true, 3),
        taken.held_by(&planned).map(|_running| taken.clone()),
    ] {
        assert!(matches!(late, Err(Refusal::Stale { .. })), "{late:?}");
    }
    // And not the other way round.
    let second = execution(3, Mode::Switchover, 1);
    assert!(matches!(
        taken.claim(&second, &alias("usw2"), false, 3),
        Err(Refusal::InProgress { .. })
    ));
    let another = execution(3, Mode::Failover, 1);
    assert!(matches!(
        taken.claim(&another, &alias("usw2"), false, 3),
        Err(Refusal::InProgress { .. })
    ));
    assert!(taken.claim(&another, &alias("usw2"), true, 3).is_ok());
}

#[test]
fn what_got_stuck_after_the_target_was_opened_can_be_finished() {
    let first = execution(1, Mode::Failover, 1);
    let stuck = held(&first)
        .sealed(&first)
        .and_then(|it| it.activated(&first))
        .and_then(|it| it.ended(&first, true))
        .expect("it holds the pair");
    assert_eq!(stuck.active, alias("usw2"));
    let second = execution(2, Mode::Failover, 1);
    let again = stuck
        .claim(&second, &alias("usw2"), false, 2)
        .expect("what is stuck can be finished");
    let done = again
        .activated(&second)
        .and_then(|it| it.ended(&second, false))
        .expect("it holds the pair");
    assert_eq!(
        (&done.active, &done.phase),
        (&alias("usw2"), &Phase::Steady)
    );
    // It may also be led home.
    let home = execution(2, Mode::Switchover, 1);
    assert!(stuck.claim(&home, &alias("use1"), false, 2).is_ok());
    // Who died without a word is superseded, and finished as well.
    let dead = held(&first)
        .sealed(&first)
        .and_then(|it| it.activated(&first))
        .expect("it holds the pair");
    assert!(dead.claim(&second, &alias("usw2"), true, 2).is_ok());
}

#[test]
fn nobody_turns_back_behind_the_seal() {
    // Sealed towards usw2 and stuck there: use1 is still active, and going "to" it is no way out.
    let first = execution(1, Mode::Switchover, 1);
    let stuck = held(&first)
        .sealed(&first)
        .and_then(|it| it.ended(&first, true))
        .expect("it holds the pair");
    let back = execution(2, Mode::Failover, 1);
    assert_eq!(
        stuck.claim(&back, &alias("use1"), false, 2),
        Err(Refusal::AlreadyActive {
            alias: alias("use1")
        })
    );
    assert_eq!(stuck.unfinished(), Some(&alias("usw2")));
    // Whoever goes on with it and gives up, whatever it says itself, leaves it to a person.
    let second = stuck
        .claim(&back, &alias("usw2"), false, 2)
        .expect("it may be gone on with");
    assert_eq!(second.unfinished(), Some(&alias("usw2")));
    let given_up = second.ended(&back, false).expect("it holds the pair");
    assert!(matches!(given_up.phase, Phase::Stuck(_)));
    assert_eq!(given_up.unfinished(), Some(&alias("usw2")));
}

#[test]
fn what_ended_is_late() {
    let first = execution(1, Mode::Failover, 1);
    let stuck = held(&first).ended(&first, true).expect("it holds the pair");
    assert!(stuck.held_by(&first).is_err());
    assert!(matches!(
        stuck.claim(&first, &alias("usw2"), false, 2),
        Err(Refusal::Stale { .. })
    ));
    // A person who saw to it may end it well.
    let steady = stuck.ended(&first, false).expect("it may end again");
    assert_eq!(steady.phase, Phase::Steady);
    assert_eq!(steady.ended(&first, false), Ok(steady.clone()));
}

#[test]
fn foreign_and_early_executions_are_refused() {
    let foreign = ExecutionName::new(
        PairName::new("payments").expect("a name"),
        Epoch::new(1),
        Mode::Failover,
        Leash::Acting,
        1,
    );
    for name in [
        foreign,
        execution(0, Mode::Failover, 1),
        execution(2, Mode::Failover, 1),
    ] {
        assert!(matches!(
            steady().claim(&name, &alias("usw2"), true, 1),
            Err(Refusal::Stale { .. })
        ));
    }
    assert_eq!(
        steady()
            .claim(&execution(1, Mode::Failover, 1), &alias("use1"), true, 1)
            .map_err(|refusal| refusal.to_string()),
        Err("not starting: use1 is active already".to_owned())
    );
}

#[test]
fn a_drill_takes_nothing_and_stands_in_nobodys_way() {
    let drill = ExecutionName::new(pair(), Epoch::new(1), Mode::Failover, Leash::Leashed, 1);
    let after = steady()
        .claim(&drill, &alias("usw2"), false, 1)
        .expect("a drill is always welcome");
    assert_eq!(after, steady());
    let real = execution(1, Mode::Failover, 1);
    let held = after
        .claim(&real, &alias("usw2"), false, 1)
        .expect("the drill holds nothing");
    assert_eq!(
        held.claim(&drill, &alias("usw2"), true, 2),
        Ok(held.clone())
    );
    assert!(held.held_by(&drill).is_err());
}

#[test]
fn a_fence_is_remembered_and_forgotten_beside_whatever_goes_on() {
    let fence = FenceRecord {
        epoch: Epoch::new(1),
        state: FenceState::Wanted,
        added: Vec::new(),
        since_ms: Some(1),
    };
    let ledger = steady().with_fence(&alias("use1"), Some(fence.clone()));
    assert_eq!(ledger.fences.get(&alias("use1")), Some(&fence));
    let json = serde_json::to_string(&ledger).expect("a ledger is JSON");
    assert_eq!(
        serde_json::from_str::<Ledger>(&json).expect("and back"),
        ledger
    );
    let lifted = ledger.with_fence(&alias("use1"), None);
    assert!(lifted.fences.is_empty());
    assert_eq!(lifted.version, 2);
}
