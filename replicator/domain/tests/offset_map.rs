//! The offset map against a list of every record and its copy.

use proptest::prelude::*;
use understudy_domain::{
    OffsetMap, Origin, Replicated, Run, RunError, Runs, SourceOffset, TargetOffset, Translation,
};

/// What a partition may go through.
#[derive(Clone, Copy, Debug)]
enum Step {
    Copy(i64),
    SourceHole(i64),
    TargetHole(i64),
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..5_i64).prop_map(Step::Copy),
        (1..4_i64).prop_map(Step::SourceHole),
        (1..4_i64).prop_map(Step::TargetHole),
        Just(Step::Commit),
    ]
}

/// Every record and its copy, one by one, and the map made of them.
struct Model {
    origin: (i64, i64),
    copies: Vec<(i64, i64)>,
    reached: (i64, i64),
    map: OffsetMap,
}

impl Model {
    fn new(origin: (i64, i64), steps: &[Step]) -> Result<Self, RunError> {
        let mut map = OffsetMap::new(Origin {
            source: SourceOffset::new(origin.0),
            target: TargetOffset::new(origin.1),
        });
        let mut copies = Vec::new();
        let mut runs = Runs::new();
        let (mut source, mut target) = origin;
        for step in steps {
            match step {
                Step::Copy(records) => {
                    for _ in 0..*records {
                        runs.push(SourceOffset::new(source), TargetOffset::new(target))?;
                        copies.push((source, target));
                        source += 1;
                        target += 1;
                    }
                }
                Step::SourceHole(places) => source += places,
                Step::TargetHole(places) => target += places,
                Step::Commit => map.extend(&runs.take())?,
            }
        }
        map.extend(&runs.take())?;
        let target_end = copies.last().map_or(origin.1, |copy| copy.1 + 1);
        let reached = (source, target_end);
        Ok(Self {
            origin,
            copies,
            reached,
            map,
        })
    }

    fn replicated(&self) -> Replicated {
        Replicated {
            source: SourceOffset::new(self.reached.0),
            target_end: TargetOffset::new(self.reached.1),
        }
    }

    fn forward(&self, offset: i64) -> Translation<TargetOffset> {
        let next = self.copies.iter().find(|copy| copy.0 >= offset);
        match next {
            _ if offset < self.origin.0 => Translation::BeforeHistory,
            Some(copy) => Translation::Exact(TargetOffset::new(copy.1)),
            None if offset <= self.reached.0 => {
                Translation::Exact(TargetOffset::new(self.reached.1))
            }
            None => Translation::Ahead,
        }
    }

    fn reverse(&self, offset: i64) -> Translation<SourceOffset> {
        let next = self.copies.iter().find(|copy| copy.1 >= offset);
        match next {
            _ if offset < self.origin.1 => Translation::BeforeHistory,
            Some(copy) => Translation::Exact(SourceOffset::new(copy.0)),
            None if offset <= self.reached.1 => {
                Translation::Exact(SourceOffset::new(self.reached.0))
            }
            None => Translation::Ahead,
        }
    }
}

proptest! {
    #[test]
    fn both_directions_agree_with_a_list_of_every_record(
        origin in (0..50_i64, 0..50_i64),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let model = Model::new(origin, &steps)?;
        for offset in origin.0 - 3..model.reached.0 + 4 {
            let answer = model.map.forward(SourceOffset::new(offset), model.replicated());
            prop_assert_eq!(answer, model.forward(offset), "source offset {}", offset);
        }
        for offset in origin.1 - 3..model.reached.1 + 4 {
            let answer = model.map.reverse(TargetOffset::new(offset), model.replicated());
            prop_assert_eq!(answer, model.reverse(offset), "target offset {}", offset);
        }
    }

    #[test]
    fn every_copy_translates_there_and_back(
        origin in (0..50_i64, 0..50_i64),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let model = Model::new(origin, &steps)?;
        for (source, target) in &model.copies {
            let (source, target) = (SourceOffset::new(*source), TargetOffset::new(*target));
            prop_assert_eq!(model.map.forward(source, model.replicated()), Translation::Exact(target));
            prop_assert_eq!(model.map.reverse(target, model.replicated()), Translation::Exact(source));
        }
    }

    #[test]
    fn copies_are_counted(
        origin in (0..50_i64, 0..50_i64),
        steps in prop::collection::vec(step(), 0..60),
        start in 0..200_i64,
        length in 0..200_i64,
    ) {
        let model = Model::new(origin, &steps)?;
        prop_assert_eq!(model.map.copied(), model.copies.len() as u64);
        let between = start..start + length;
        let counted = model.copies.iter().filter(|copy| between.contains(&copy.0)).count() as u64;
        let range = SourceOffset::new(between.start)..SourceOffset::new(between.end);
        prop_assert_eq!(model.map.copied_between(range), counted);
    }

    #[test]
    fn runs_are_maximal_and_rise(
        origin in (0..50_i64, 0..50_i64),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let model = Model::new(origin, &steps)?;
        let runs = model.map.runs();
        for (run, next) in runs.iter().zip(runs.iter().skip(1)) {
            prop_assert!(next.source >= run.source_end() && next.target >= run.target_end());
            prop_assert!(next.source > run.source_end() || next.target > run.target_end());
        }
    }

    #[test]
    fn no_run_and_no_question_panics(
        runs in prop::collection::vec((any::<i64>(), any::<i64>(), any::<u64>()), 0..20),
        offset in any::<i64>(),
        reached in any::<(i64, i64)>(),
    ) {
        let mut map = OffsetMap::without_origin();
        for (source, target, length) in runs {
            let run = Run { source: SourceOffset::new(source), target: TargetOffset::new(target), length };
            let held = map.copied();
            match map.extend(&[run]) {
                Ok(()) => prop_assert_eq!(map.copied(), held + length),
                Err(_) => prop_assert_eq!(map.copied(), held),
            }
        }
        let replicated = Replicated {
            source: SourceOffset::new(reached.0),
            target_end: TargetOffset::new(reached.1),
        };
        map.forward(SourceOffset::new(offset), replicated);
        map.reverse(TargetOffset::new(offset), replicated);
        map.copied_between(SourceOffset::new(offset)..SourceOffset::new(reached.0));
    }
}

const fn run(source: i64, target: i64, length: u64) -> Run {
    Run {
        source: SourceOffset::new(source),
        target: TargetOffset::new(target),
        length,
    }
}

const fn reached(source: i64, target_end: i64) -> Replicated {
    Replicated {
        source: SourceOffset::new(source),
        target_end: TargetOffset::new(target_end),
    }
}

#[test]
fn a_partition_never_replicated_has_no_sync() {
    let map = OffsetMap::without_origin();
    let answer = map.forward(SourceOffset::ZERO, reached(0, 0));
    assert_eq!(answer, Translation::NoSync);
    assert_eq!(
        map.reverse(TargetOffset::ZERO, reached(0, 0)),
        Translation::NoSync
    );
}

#[test]
fn a_group_ahead_of_replication_waits() -> Result<(), RunError> {
    let mut map = OffsetMap::without_origin();
    map.extend(&[run(10, 4, 4)])?;
    assert_eq!(
        map.forward(SourceOffset::new(15), reached(14, 8)),
        Translation::Ahead
    );
    let caught_up = map.forward(SourceOffset::new(15), reached(15, 8));
    assert_eq!(caught_up, Translation::Exact(TargetOffset::new(8)));
    Ok(())
}

#[test]
fn a_map_without_its_beginning_answers_only_from_its_first_run() -> Result<(), RunError> {
    let mut map = OffsetMap::without_origin();
    map.extend(&[run(10, 4, 4)])?;
    assert_eq!(
        map.forward(SourceOffset::new(9), reached(14, 8)),
        Translation::BeforeHistory
    );
    assert_eq!(
        map.reverse(TargetOffset::new(3), reached(14, 8)),
        Translation::BeforeHistory
    );
    Ok(())
}

#[test]
fn a_run_that_goes_back_is_refused_and_nothing_is_kept() -> Result<(), RunError> {
    let mut map = OffsetMap::without_origin();
    map.extend(&[run(10, 4, 4)])?;
    let refused = map.extend(&[run(20, 9, 1), run(20, 10, 1)]);
    let error = RunError::OutOfOrder {
        run: run(20, 10, 1),
        source_end: SourceOffset::new(21),
        target_end: TargetOffset::new(10),
    };
    assert_eq!(refused, Err(error));
    let refused = map.extend(&[run(14, 7, 1)]);
    let error = RunError::OutOfOrder {
        run: run(14, 7, 1),
        source_end: SourceOffset::new(14),
        target_end: TargetOffset::new(8),
    };
    assert_eq!(refused, Err(error));
    assert_eq!(map.runs(), [run(10, 4, 4)]);
    Ok(())
}

#[test]
fn a_run_outside_the_offsets_of_kafka_is_refused() {
    for run in [
        run(0, 0, 0),
        run(-1, 0, 1),
        run(0, -1, 1),
        run(i64::MAX, 0, 1),
        run(0, 0, u64::MAX),
    ] {
        assert_eq!(Runs::new().push_run(run), Err(RunError::OutOfRange { run }));
    }
}

#[test]
fn translations_are_named_in_kebab_case() {
    let names = [
        Translation::Exact(TargetOffset::ZERO),
        Translation::Ahead,
        Translation::BeforeHistory,
        Translation::NoSync,
    ]
    .map(|translation| translation.name());
    assert_eq!(names, ["exact", "ahead", "before-history", "no-sync"]);
}
