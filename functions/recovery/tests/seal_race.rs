//! The seal's race, explored whole: a sealer ends a flow while workers take its slots at any moment and one that was
//! replaced does not know it yet.
//!
//! The claim: once the sealer has read a slot's positions, no commit to that slot succeeds, and what it read is what
//! stays. It rests on an order on each side. The sealer writes the seal, *then* takes every id over, *then* reads. A
//! worker takes its id over, *then* reads the flow's record, *then* its state. The same search finds what goes wrong with
//! any two of these the other way round, which is how we know that it looks at all.
//!
//! The brokers' rules, as Kafka's transaction coordinator has them: taking an id over aborts its open transaction and
//! raises its epoch; whatever carries an older epoch is refused; a commit is decided in one moment and seen by readers in
//! a later one, and until then its id can be neither taken over nor written under.

use std::collections::{HashMap, VecDeque};
use std::fmt;

/// Commits that one slot may see; more are like the second.
const COMMITS: u8 = 2;
/// How often a worker takes its slot over; a refused one tries again.
const TAKE_OVERS: u8 = 2;

/// What a worker does to a slot, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    TakeOver,
    ReadFlow,
    ReadState,
    Produce,
    Commit,
}

/// As `slot.rs` has it: fence first, flow next, state last.
const RIGHT: [Work; 5] = [
    Work::TakeOver,
    Work::ReadFlow,
    Work::ReadState,
    Work::Produce,
    Work::Commit,
];

/// What the sealer does, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Seal {
    Write,
    TakeOver(usize),
    Read(usize),
}

/// As `seal-flow` has it.
fn sealer(slots: usize) -> Vec<Seal> {
    let mut steps = vec![Seal::Write];
    steps.extend((0..slots).map(Seal::TakeOver));
    steps.extend((0..slots).map(Seal::Read));
    steps
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Slot {
    /// The id's epoch at the coordinator.
    epoch: u8,
    /// The position in the open transaction, if there is one.
    open: Option<u8>,
    /// The position of a commit that is decided and not yet seen.
    decided: Option<u8>,
    /// The committed position: how many commits succeeded.
    committed: u8,
    /// What the sealer read.
    cut: Option<u8>,
    workers: Vec<Worker>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Worker {
    /// Which step comes next; nothing if it has stopped for good.
    next: Option<usize>,
    /// The epoch that it was given.
    epoch: u8,
    /// The position that it goes on from.
    position: u8,
    take_overs: u8,
}

impl Worker {
    const fn waiting() -> Self {
        Self {
            next: Some(0),
            epoch: 0,
            position: 0,
            take_overs: 0,
        }
    }

    /// After a refusal or any doubt everything is dropped, and the slot is taken over again.
    fn again(&mut self) {
        self.next = (self.take_overs < TAKE_OVERS).then_some(0);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct State {
    sealed: bool,
    sealer: usize,
    slots: Vec<Slot>,
}

/// Two slots or one, with so many workers each.
fn start(slots: usize, workers: usize) -> State {
    State {
        sealed: false,
        sealer: 0,
        slots: vec![
            Slot {
                epoch: 0,
                open: None,
                decided: None,
                committed: 0,
                cut: None,
                workers: vec![Worker::waiting(); workers],
            };
            slots
        ],
    }
}

/// What happened, to tell a counterexample.
#[derive(Clone, Debug)]
enum Event {
    Sealer(Seal),
    Worker(usize, usize, Work),
    /// A commit that was decided is seen by readers.
    Seen(usize),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealer(step) => write!(f, "sealer: {step:?}"),
            Self::Seen(slot) => write!(f, "brokers: the commit to slot {slot} is seen"),
            Self::Worker(slot, who, work) => write!(f, "worker {who} of slot {slot}: {work:?}"),
        }
    }
}

struct Model {
    sealer: Vec<Seal>,
    work: [Work; 5],
    /// Whether an id is taken over only when a commit under it is seen, as brokers do.
    waits: bool,
}

impl Model {
    /// Every state that may come next. `Err` if the step that leads there breaks the claim.
    fn after(&self, state: &State) -> Vec<(Event, Result<State, &'static str>)> {
        let mut found = Vec::new();
        if let Some(step) = self.sealer.get(state.sealer)
            && let Some(next) = self.seal(state, *step)
        {
            found.push((Event::Sealer(*step), Ok(next)));
        }
        for (at, slot) in state.slots.iter().enumerate() {
            if let Some(position) = slot.decided {
                let mut next = state.clone();
                if let Some(slot) = next.slots.get_mut(at) {
                    slot.decided = None;
                    slot.committed = position;
                }
                found.push((Event::Seen(at), Ok(next)));
            }
            for (who, worker) in slot.workers.iter().enumerate() {
                let Some(work) = worker.next.and_then(|next| self.work.get(next)) else {
                    continue;
                };
                let mut next = state.clone();
                let result = next
                    .slots
                    .get_mut(at)
                    .and_then(|slot| self.work(slot, who, *work, state.sealed));
                match result {
                    Some(Ok(())) => found.push((Event::Worker(at, who, *work), Ok(next))),
                    Some(Err(broken)) => found.push((Event::Worker(at, who, *work), Err(broken))),
                    None => {}
                }
            }
        }
        found
    }

    /// One step of the sealer. Nothing if it has to wait.
    fn seal(&self, state: &State, step: Seal) -> Option<State> {
        let mut next = state.clone();
        next.sealer += 1;
        match step {
            Seal::Write => next.sealed = true,
            Seal::TakeOver(slot) => {
                let slot = next.slots.get_mut(slot)?;
                if slot.decided.is_some() && self.waits {
                    return None;
                }
                slot.epoch += 1;
                slot.open = None;
            }
            Seal::Read(slot) => {
                let slot = next.slots.get_mut(slot)?;
                slot.cut = Some(slot.committed);
            }
        }
        Some(next)
    }

    /// One step of a worker. Nothing if it cannot move: the bound is reached.
    fn work(
        &self,
        slot: &mut Slot,
        who: usize,
        work: Work,
        sealed: bool,
    ) -> Option<Result<(), &'static str>> {
        let Slot {
            epoch,
            open,
            decided,
            committed,
            cut,
            workers,
        } = slot;
        let worker = workers.get_mut(who)?;
        let following = worker.next.map(|next| next + 1);
        match work {
            Work::TakeOver if decided.is_some() && self.waits => return None,
            Work::TakeOver => {
                *epoch += 1;
                *open = None;
                worker.epoch = *epoch;
                worker.take_overs += 1;
                worker.next = following;
            }
            Work::ReadFlow if sealed => worker.next = None,
            Work::ReadFlow => worker.next = following,
            Work::ReadState => {
                worker.position = *committed;
                worker.next = following;
            }
            Work::Produce if *committed >= COMMITS => return None,
            Work::Produce if worker.epoch == *epoch && decided.is_some() => return None,
            Work::Produce | Work::Commit if worker.epoch != *epoch => worker.again(),
            Work::Produce => {
                *open = Some(worker.position + 1);
                worker.next = following;
            }
            Work::Commit => {
                let position = open.take()?;
                if position != *committed + 1 {
                    return Some(Err("a record was copied twice, or left out"));
                }
                *decided = Some(position);
                worker.position = position;
                // The next transaction.
                worker.next = self.work.iter().position(|it| *it == Work::Produce);
                if cut.is_some() {
                    return Some(Err(
                        "a commit succeeded after the sealer had read the positions",
                    ));
                }
            }
        }
        Some(Ok(()))
    }
}

/// What a search found.
#[derive(Debug)]
struct Found {
    /// States that were reached.
    states: usize,
    /// Runs in which everybody has stopped: what was read against what was committed in the end.
    ends: usize,
    /// The shortest way to something that must not be.
    broken: Option<(Vec<String>, &'static str)>,
}

/// Every state that can be reached, nearest first.
fn explore(model: &Model, start: State) -> Found {
    let mut numbers = HashMap::from([(start.clone(), 0_usize)]);
    let mut ways: Vec<Option<(usize, Event)>> = vec![None];
    let mut waiting = VecDeque::from([(0_usize, start)]);
    let mut ends = 0;
    while let Some((number, state)) = waiting.pop_front() {
        let after = model.after(&state);
        if after.is_empty() {
            ends += 1;
            let kept = state
                .slots
                .iter()
                .all(|slot| slot.cut == Some(slot.committed));
            if !kept {
                let broken = Some((way(&ways, number), "what was read is not what stayed"));
                return Found {
                    states: ways.len(),
                    ends,
                    broken,
                };
            }
        }
        for (event, next) in after {
            match next {
                Err(reason) => {
                    let mut events = way(&ways, number);
                    events.push(event.to_string());
                    let broken = Some((events, reason));
                    return Found {
                        states: ways.len(),
                        ends,
                        broken,
                    };
                }
                Ok(next) if !numbers.contains_key(&next) => {
                    let new = ways.len();
                    numbers.insert(next.clone(), new);
                    ways.push(Some((number, event)));
                    waiting.push_back((new, next));
                }
                Ok(_known) => {}
            }
        }
    }
    Found {
        states: ways.len(),
        ends,
        broken: None,
    }
}

/// How a state was reached.
fn way(ways: &[Option<(usize, Event)>], mut number: usize) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(Some((before, event))) = ways.get(number) {
        events.push(event.to_string());
        number = *before;
    }
    events.reverse();
    events
}

#[test]
fn after_the_cut_no_commit_succeeds_whoever_takes_the_slot_and_when() {
    let model = Model {
        sealer: sealer(1),
        work: RIGHT,
        waits: true,
    };
    // Three workers of one slot: a holder, one that was replaced, one that comes back.
    let found = explore(&model, start(1, 3));
    assert!(found.broken.is_none(), "{:#?}", found.broken);
    assert!(found.ends > 0 && found.states > 10_000, "{found:?}");
}

#[test]
fn and_with_several_slots_each_is_cut_where_it_stands() {
    let model = Model {
        sealer: sealer(2),
        work: RIGHT,
        waits: true,
    };
    let found = explore(&model, start(2, 1));
    assert!(found.broken.is_none(), "{:#?}", found.broken);
    assert!(found.ends > 0 && found.states > 1_000, "{found:?}");
}

#[test]
fn a_sealer_that_died_halfway_is_repeated_whole() {
    let mut steps = vec![Seal::Write, Seal::TakeOver(0)];
    steps.extend(sealer(1));
    let model = Model {
        sealer: steps,
        work: RIGHT,
        waits: true,
    };
    let found = explore(&model, start(1, 2));
    assert!(found.broken.is_none(), "{:#?}", found.broken);
}

#[test]
fn ids_taken_over_before_the_seal_is_written_are_taken_back() {
    let model = Model {
        sealer: vec![Seal::TakeOver(0), Seal::Write, Seal::Read(0)],
        work: RIGHT,
        waits: true,
    };
    let found = explore(&model, start(1, 2));
    let (way, reason) = found.broken.expect("this order has a hole");
    assert_eq!(
        reason,
        "a commit succeeded after the sealer had read the positions"
    );
    // A worker took its id back and read the flow's record between the two.
    assert!(
        way.last()
            .is_some_and(|last| last.ends_with("of slot 0: Commit")),
        "{way:#?}"
    );
    assert!(
        way.len() <= 9,
        "the search finds the shortest way: {way:#?}"
    );
}

#[test]
fn positions_read_before_the_ids_are_taken_over_are_too_early() {
    let model = Model {
        sealer: vec![Seal::Write, Seal::Read(0), Seal::TakeOver(0)],
        work: RIGHT,
        waits: true,
    };
    let found = explore(&model, start(1, 1));
    assert!(found.broken.is_some(), "{found:?}");
}

#[test]
fn a_seal_that_takes_no_id_over_leaves_the_holder_writing() {
    let model = Model {
        sealer: vec![Seal::Write, Seal::Read(0)],
        work: RIGHT,
        waits: true,
    };
    let found = explore(&model, start(1, 1));
    assert!(found.broken.is_some(), "{found:?}");
}

#[test]
fn a_worker_that_reads_the_flow_before_it_takes_the_id_over_misses_the_seal() {
    let model = Model {
        sealer: sealer(1),
        work: [
            Work::ReadFlow,
            Work::TakeOver,
            Work::ReadState,
            Work::Produce,
            Work::Commit,
        ],
        waits: true,
    };
    let found = explore(&model, start(1, 1));
    let (_, reason) = found.broken.expect("this order has a hole");
    assert_eq!(
        reason,
        "a commit succeeded after the sealer had read the positions"
    );
}

#[test]
fn a_worker_that_reads_its_state_before_it_takes_the_id_over_copies_twice() {
    let model = Model {
        sealer: sealer(1),
        work: [
            Work::ReadFlow,
            Work::ReadState,
            Work::TakeOver,
            Work::Produce,
            Work::Commit,
        ],
        waits: true,
    };
    let found = explore(&model, start(1, 2));
    assert!(found.broken.is_some(), "{found:?}");
}

#[test]
fn brokers_that_gave_an_id_away_before_its_commit_is_seen_would_hide_it() {
    let model = Model {
        sealer: sealer(1),
        work: RIGHT,
        waits: false,
    };
    let found = explore(&model, start(1, 1));
    let (_, reason) = found.broken.expect("the brokers' rule is needed");
    assert_eq!(reason, "what was read is not what stayed");
}
