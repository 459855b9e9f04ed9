//! A ledger of which each cluster holds a copy: whoever reaches whom, and whoever dies between two steps, what it says is
//! one chain of changes, and copies never contradict each other.

mod orders;

use std::collections::BTreeMap;

use orders::{alias, pair};
use proptest::prelude::*;
use understudy_recovery::{Alias, ExecutionName, Leash, Ledger, LedgerCopies, Mode};

/// One step of one of three processes, and which clusters it reaches at that moment.
#[derive(Clone, Debug)]
struct Move {
    who: usize,
    step: Step,
    reaches: [bool; 2],
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asks both clusters what they hold, and makes up its mind.
    Look(Ask),
    /// Changes the copy that has the last word: what brokers let one of two do.
    Change,
    /// Lets the other one follow.
    Follow,
    /// Is killed; another process goes on in its place.
    Die,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Claim { supersede: bool, failover: bool },
    Sealed,
    Activated,
    Ended { stuck: bool },
    Attempted,
}

fn any_move() -> impl Strategy<Value = Move> {
    let ask = prop_oneof![
        3 => any::<(bool, bool)>().prop_map(|(supersede, failover)| Ask::Claim { supersede, failover }),
        3 => Just(Ask::Sealed),
        3 => Just(Ask::Activated),
        3 => any::<bool>().prop_map(|stuck| Ask::Ended { stuck }),
        1 => Just(Ask::Attempted),
    ];
    let step = prop_oneof![
        6 => ask.prop_map(Step::Look),
        6 => Just(Step::Change),
        3 => Just(Step::Follow),
        1 => Just(Step::Die),
    ];
    let reaches = prop_oneof![
        4 => Just([true, true]),
        2 => Just([true, false]),
        2 => Just([false, true]),
    ];
    (0..3_usize, step, reaches).prop_map(|(who, step, reaches)| Move { who, step, reaches })
}

/// What a process is about to do.
#[derive(Clone, Debug, Default)]
enum Mind {
    #[default]
    Nothing,
    /// It read this, and wants that instead.
    Change { read: Ledger, next: Ledger },
    /// It has changed the copy with the last word.
    Follow { next: Ledger },
}

fn wanted(read: &Ledger, ask: Ask, who: usize, target: &Alias) -> Option<Ledger> {
    let held = read.running().map(|running| running.execution.clone());
    let next = match ask {
        Ask::Claim {
            supersede,
            failover,
        } => {
            let mode = if failover {
                Mode::Failover
            } else {
                Mode::Switchover
            };
            let attempt = u32::try_from(who).unwrap_or_default() + 1;
            let named = ExecutionName::new(
                read.pair.clone(),
                read.epoch.next(),
                mode,
                Leash::Acting,
                attempt,
            );
            read.claim(&named, target, supersede, 1).ok()?
        }
        Ask::Sealed => read.sealed(&held?).ok()?,
        Ask::Activated => read.activated(&held?).ok()?,
        Ask::Ended { stuck } => read.ended(&held?, stuck).ok()?,
        Ask::Attempted => read.attempted(),
    };
    (&next != read).then_some(next)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_two_copies_say_is_one_chain_whoever_reaches_whom(
        moves in proptest::collection::vec(any_move(), 0..80),
    ) {
        let pair = pair();
        let begin = Ledger::new(pair.name.clone(), pair.home.clone());
        let names = [alias("use1"), alias("usw2")];
        let mut copies: BTreeMap<Alias, Option<Ledger>> =
            names.iter().map(|name| (name.clone(), None)).collect();
        let mut chain = vec![begin.clone()];
        let mut minds: Vec<Mind> = vec![Mind::Nothing; 3];
        for it in moves {
            let reached: Vec<&Alias> = names
                .iter()
                .zip(it.reaches)
                .filter_map(|(name, reached)| reached.then_some(name))
                .collect();
            let mind = minds.get_mut(it.who).expect("who is below 3");
            *mind = match (it.step, std::mem::take(mind)) {
                (Step::Look(ask), _) => {
                    let told = reached.iter().map(|name| {
                        let held = copies.get(*name).cloned().flatten();
                        ((*name).clone(), held)
                    });
                    let told = LedgerCopies::new(&pair, told.collect());
                    let newest = told.newest();
                    prop_assert!(newest.is_ok(), "{newest:?}");
                    let read = newest.ok().flatten().cloned().unwrap_or_else(|| begin.clone());
                    let target = match read.unfinished() {
                        Some(target) => target.clone(),
                        None => pair.other(&read.active).expect("there are two").clone(),
                    };
                    match wanted(&read, ask, it.who, &target) {
                        Some(next) => Mind::Change { read, next },
                        None => Mind::Nothing,
                    }
                }
                (Step::Change, Mind::Change { read, next }) => {
                    let none = LedgerCopies::new(&pair, BTreeMap::new());
                    let last = none.last_word(&read).expect("one has it").clone();
                    let held = copies.get(&last).cloned().flatten();
                    let passed = held.is_some_and(|held| {
                        held.version > read.version || (held.version == read.version && held != read)
                    });
                    if passed || !reached.contains(&&last) {
                        Mind::Nothing
                    } else {
                        prop_assert_eq!(chain.last(), Some(&read), "two changes of the same");
                        chain.push(next.clone());
                        copies.insert(last, Some(next.clone()));
                        Mind::Follow { next }
                    }
                }
                (Step::Follow, Mind::Follow { next }) => {
                    for name in reached {
                        let held = copies.get(name).cloned().flatten();
                        if held.is_none_or(|held| held.version < next.version) {
                            copies.insert(name.clone(), Some(next.clone()));
                        }
                    }
                    Mind::Nothing
                }
                (Step::Die, _) => Mind::Nothing,
                (Step::Change | Step::Follow, other) => other,
            };
        }
        // Who reaches both reads the newest, or may change nothing: its last word is elsewhere.
        let told = LedgerCopies::new(&pair, copies);
        let newest = told.newest().map(|it| it.cloned());
        prop_assert_eq!(newest, Ok(chain.last().cloned().filter(|last| last.version > 0)));
    }
}
