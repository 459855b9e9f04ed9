//! Puts aside what only a cluster that came back holds, or merges it: topic by topic, as the pair's policy has it. Exactly
//! once, however often it is asked, and nothing is deleted.
//!
//! A tail may be longer than a function may run. So it is carried in turns: each ends in time, says whether that was all,
//! and keeps how far it came. What was carried stands in the transactions of the copies; what was read back, in the store.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use understudy_domain::tail::TailMarks;
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_recovery::contract::{JustOrder, Order, TailPutAside};
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{Carried, TailSurvey, Verdict};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::keys::Renewed;
use understudy_shell::step::{Part, at_target, carry_out, load, must_hold, must_load, save};
use understudy_shell::turn::{Asker, TailTurn};
use understudy_shell::{Done, PortError, PortErrorKind, World, keys, reach};

/// How long one turn takes, but for what it has begun by then: well below the state's own limit.
const TURN_MS: i64 = 240_000;

/// Puts it aside and reads it back, for one turn.
///
/// # Errors
/// The order is stale, the survey does not hold any more (`PlanChanged`), or one of the clusters or the store does not
/// answer.
pub fn handle(world: &World, request: JustOrder) -> Result<TailPutAside, StepError> {
    let order = &request.order;
    carry_out(world, Step::PutAsideTail, Part::Whole, order, || {
        put_aside(world, order)
    })
}

fn put_aside(world: &World, order: &Order) -> Result<Done<TailPutAside>, StepError> {
    let until_ms = world.clock.now_ms().saturating_add(TURN_MS);
    let survey: TailSurvey = must_load(world, &keys::survey(&order.execution.to_string()))?;
    let (aside, merge) = match survey.verdict(&world.pair.tails, order.target.as_str()) {
        Verdict::Proceed { quarantine, merge } => (quarantine, merge),
        Verdict::Wait { reason } | Verdict::Refuse { reason } => {
            return Err(StepError::new(ErrorName::PlanChanged, reason));
        }
    };
    let mut with_records: Vec<String> = survey.with_records().map(|it| it.topic.clone()).collect();
    with_records.dedup();
    let count = u32::try_from(aside.len() + merge.len()).unwrap_or(u32::MAX);
    let answer = |carried: Carried, done| TailPutAside {
        topics: count,
        records: carried.put_aside,
        merged: carried.merged,
        done,
    };
    if with_records.is_empty() {
        let did = "there is nothing to be put aside".to_owned();
        return Ok(Done::new(answer(Carried::default(), true), [did]));
    }
    if order.leash.is_leashed() {
        let (would, did) = would(&survey, order, &aside, &merge);
        return Ok(Done::new(answer(would, true), did));
    }
    let came = reach::reverse(world, order)?;
    let key = keys::renewed(&order.execution.to_string());
    let before: Option<Renewed> = load(world, &key)?;
    let all_done = |it: &Renewed| {
        let did = format!(
            "{} records were put aside before, and read back; {} were merged",
            it.put_aside, it.merged
        );
        Done::new(answer(carried(it), true), [did])
    };
    if let Some(done) = before.as_ref().filter(|it| it.ends.is_some()) {
        return Ok(all_done(done));
    }
    let mut turn = Turn::begin(world, order, &survey, until_ms)?;
    // Behind the mark, what is beyond the cut is no longer the tail alone.
    let done = match &before {
        Some(begun) => carried(begun),
        None => {
            let done = turn.carry_all(came, &aside, &merge)?;
            if done.is_cut_off {
                return Ok(Done::new(answer(done, false), [so_far(done)]));
            }
            done
        }
    };
    let Carried {
        put_aside, merged, ..
    } = done;
    let mut renewed = Renewed {
        put_aside,
        merged,
        ends: None,
    };
    // Another call of this execution may have come further meanwhile.
    match load::<Renewed>(world, &key)? {
        Some(done) if done.ends.is_some() => return Ok(all_done(&done)),
        Some(_) => {}
        None => save(world, &key, &renewed)?,
    }
    let Some(ends) = turn.renew_keys(came, reach::forward(world, order)?, &with_records)? else {
        return Ok(Done::new(answer(done, false), [so_far(done)]));
    };
    let did = in_words(&survey, order, (&aside, &merge), done, ends.len());
    renewed.ends = Some(ends);
    save(world, &key, &renewed)?;
    Ok(Done::new(answer(done, true), did))
}

/// What is done within one call.
struct Turn<'a> {
    world: &'a World,
    order: &'a Order,
    until_ms: i64,
    /// Where marks are kept.
    key: String,
    marks: TailMarks,
}

impl<'a> Turn<'a> {
    fn begin(
        world: &'a World,
        order: &'a Order,
        survey: &TailSurvey,
        until_ms: i64,
    ) -> Result<Self, StepError> {
        let key = keys::tail_marks(&order.execution.to_string());
        let mut marks: TailMarks = load(world, &key)?.unwrap_or_default();
        // What is written behind that is met, unless it is put aside as well.
        for it in survey.partitions.iter().filter(|it| !it.is_gone()) {
            let name = TopicPartition::new(it.topic.as_str(), it.partition);
            marks.known(&name, SourceOffset::new(it.end));
        }
        Ok(Self {
            world,
            order,
            until_ms,
            key,
            marks,
        })
    }

    /// Does a part of it, and keeps how far that came; not on behalf of an execution that was superseded, before or meanwhile.
    fn part<T>(
        &mut self,
        act: impl FnOnce(&World, &mut TailTurn) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        must_hold(self.world, self.order)?;
        let left_ms = self.until_ms.saturating_sub(self.world.clock.now_ms());
        let mut turn = TailTurn {
            within: Duration::from_millis(u64::try_from(left_ms).unwrap_or_default()),
            marks: self.marks.clone(),
            asker: self.asker(),
        };
        let done = act(self.world, &mut turn);
        // If it was superseded, that is why.
        must_hold(self.world, self.order)?;
        let done = done?;
        if turn.marks != self.marks {
            self.marks = turn.marks;
            save(self.world, &self.key, &self.marks)?;
        }
        Ok(done)
    }

    /// Asked while a part is done, which takes minutes.
    fn asker(&self) -> Asker {
        let (world, order, key) = (self.world.clone(), self.order.clone(), self.key.clone());
        let kept = Mutex::new(self.marks.clone());
        let trouble = |error: StepError| PortError::new(PortErrorKind::Unreachable, error.text);
        Asker::new(move |marks| {
            must_hold(&world, &order).map_err(trouble)?;
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if *kept != *marks {
                save(&world, &key, marks).map_err(trouble)?;
                kept.clone_from(marks);
            }
            Ok(())
        })
    }

    fn carry_all(
        &mut self,
        came: &FlowOfPair,
        aside: &[String],
        merge: &[String],
    ) -> Result<Carried, StepError> {
        let mut done = Carried::default();
        if !aside.is_empty() {
            done = self.part(|world, turn| {
                let put = world.flows.put_tail_aside(came, aside, turn);
                put.map_err(trouble)
            })?;
        }
        if !merge.is_empty() && !done.is_cut_off {
            let merged = self.part(|world, turn| {
                let merged = world.flows.merge_tail(came, merge, turn);
                merged.map_err(trouble)
            })?;
            done.put_aside += merged.put_aside;
            done.merged = merged.merged;
            done.is_cut_off = merged.is_cut_off;
        }
        Ok(done)
    }

    /// Where partitions end since, once all of them were put right.
    fn renew_keys(
        &mut self,
        came: &FlowOfPair,
        back: &FlowOfPair,
        topics: &[String],
    ) -> Result<Option<Ends>, StepError> {
        let ends = self.part(|world, turn| {
            let ends = world.flows.renew_keys(came, back, topics, turn);
            ends.map_err(trouble)
        })?;
        let place = |(at, end): (TopicPartition, i64)| (at.topic.to_string(), at.partition, end);
        Ok(ends.map(|ends| ends.into_iter().map(place).collect()))
    }
}

/// Topics, partitions, and where these end.
type Ends = Vec<(String, i32, i64)>;

fn trouble(error: PortError) -> StepError {
    match error.kind {
        PortErrorKind::Conflict => StepError::new(
            ErrorName::PlanChanged,
            format!("what was surveyed is not what is there any more: {error}"),
        ),
        _ => at_target(&error),
    }
}

fn so_far(done: Carried) -> String {
    format!(
        "{} records are put aside and {} merged so far, and more is to be carried, read back or put right: it goes on",
        done.put_aside, done.merged
    )
}

/// What was done, for the evidence.
fn in_words(
    survey: &TailSurvey,
    order: &Order,
    (aside, merge): (&[String], &[String]),
    done: Carried,
    renewed: usize,
) -> Vec<String> {
    let mut did = Vec::new();
    if done.merged > 0 {
        did.push(format!(
            "{} records of {} are merged into the topics on {}",
            done.merged,
            merge.join(", "),
            order.source
        ));
    }
    if done.put_aside > 0 {
        let of: Vec<&str> = aside.iter().chain(merge).map(String::as_str).collect();
        did.push(format!(
            "{} records of {} are put aside on {}, and were read back",
            done.put_aside,
            of.join(", "),
            order.source
        ));
    }
    let counted: u64 = (survey.with_records())
        .filter(|it| aside.contains(&it.topic) || merge.contains(&it.topic))
        .map(|it| it.records)
        .sum();
    let gone = counted.saturating_sub(done.put_aside + done.merged);
    if gone > 0 {
        did.push(format!(
            "{gone} records that were counted were not there any more to be put aside: {} deleted them meanwhile",
            order.target
        ));
    }
    let is_left = |topic: &String| !aside.contains(topic) && !merge.contains(topic);
    let left = || survey.with_records().filter(|it| is_left(&it.topic));
    if left().next().is_some() {
        let records: u64 = left().map(|it| it.records).sum();
        let least = match left().any(|it| it.uncounted > 0) {
            true => "at least ",
            false => "",
        };
        did.push(format!(
            "{least}{records} records are left where they are, on {} alone",
            order.target
        ));
    }
    if renewed > 0 {
        did.push(format!(
            "keys of compacted topics were put right behind the tail, in {renewed} partitions of {}",
            order.target
        ));
    }
    did
}

/// What would be done, in a drill.
fn would(
    survey: &TailSurvey,
    order: &Order,
    aside: &[String],
    merge: &[String],
) -> (Carried, Vec<String>) {
    let target = &order.target;
    let mut did = Vec::new();
    if !aside.is_empty() {
        let topics = aside.join(", ");
        did.push(format!("would put aside what {target} holds of {topics}"));
    }
    if !merge.is_empty() {
        let topics = merge.join(", ");
        did.push(format!("would merge what {target} holds of {topics}"));
    }
    let of = |topics: &[String]| {
        let own = survey
            .with_records()
            .filter(|it| topics.contains(&it.topic));
        own.map(|it| it.records).sum()
    };
    let would = Carried {
        put_aside: of(aside),
        merged: of(merge),
        is_cut_off: false,
    };
    (would, did)
}

const fn carried(renewed: &Renewed) -> Carried {
    Carried {
        put_aside: renewed.put_aside,
        merged: renewed.merged,
        is_cut_off: false,
    }
}

#[cfg(test)]
mod tests {
    use understudy_fakes::Stage;
    use understudy_recovery::tail::{Handling, TailOfPartition};
    use understudy_recovery::{Leash, Mode};
    use understudy_shell::step::save;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn asked(stage: &Stage, leash: Leash, moved: bool) -> Result<TailPutAside, StepError> {
        let order = stage.order(Mode::Failback, leash);
        let survey = TailSurvey {
            partitions: vec![TailOfPartition {
                topic: "orders".to_owned(),
                copies: "orders".to_owned(),
                records: 3,
                moved,
                ..TailOfPartition::default()
            }],
            ..TailSurvey::default()
        };
        let key = keys::survey(&order.execution.to_string());
        save(&stage.world(), &key, &survey)?;
        handle(&stage.world(), JustOrder { order })
    }

    fn was_put_aside(stage: &Stage) -> bool {
        stage
            .scene()
            .log
            .iter()
            .any(|it| it.starts_with("put aside"))
    }

    fn was_merged(stage: &Stage) -> bool {
        stage.scene().log.iter().any(|it| it.starts_with("merge "))
    }

    #[test]
    fn a_topic_with_a_tail_is_put_aside_and_one_that_is_left_is_not() -> Outcome {
        let mut stage = Stage::new();
        assert_eq!(asked(&stage, Leash::Acting, false)?.topics, 1);
        assert!(was_put_aside(&stage));
        stage = Stage::new();
        stage.pair.tails.otherwise = Handling::Leave;
        assert_eq!(asked(&stage, Leash::Acting, false)?.topics, 0);
        assert!(!was_put_aside(&stage));
        Ok(())
    }

    #[test]
    fn a_topic_that_is_merged_is_not_put_aside() -> Outcome {
        let mut stage = Stage::new();
        stage.pair.tails.otherwise = Handling::Merge;
        assert_eq!(asked(&stage, Leash::Leashed, false)?.merged, 3);
        assert!(!was_merged(&stage));
        assert_eq!(asked(&stage, Leash::Acting, false)?.topics, 1);
        assert!(was_merged(&stage) && !was_put_aside(&stage));
        Ok(())
    }

    #[test]
    fn a_long_tail_takes_several_turns_and_each_goes_on_where_the_last_one_was() -> Outcome {
        for (handling, expected) in [(Handling::Quarantine, (3, 0)), (Handling::Merge, (0, 3))] {
            let mut stage = Stage::new();
            stage.pair.tails.otherwise = handling;
            stage.mirror("orders", 0, 10, 12);
            {
                let mut scene = stage.scene();
                scene.tail_turn = Some(2);
                let forward = scene.flow("forward.toml");
                let positions = std::mem::take(&mut forward.positions);
                scene.flow("reverse.toml").positions = positions;
                let place = TopicPartition::new("orders", 0);
                let log = (0..13).map(Some).collect();
                scene.cluster("usw2").log.insert(place, log);
            }
            let first = asked(&stage, Leash::Acting, false)?;
            assert_eq!((first.done, first.records + first.merged), (false, 2));
            let second = asked(&stage, Leash::Acting, false)?;
            assert!(second.done, "{second:?}");
            assert_eq!((second.records, second.merged), expected);
            // Done again it is no change.
            assert_eq!(asked(&stage, Leash::Acting, false)?, second);
            let turns = stage.scene().turns.clone();
            let most = Duration::from_millis(u64::try_from(TURN_MS)?);
            assert!(turns.len() > 2 && turns.iter().all(|within| *within == most));
        }
        Ok(())
    }

    #[test]
    fn what_is_left_of_a_turn_is_all_that_its_second_half_has() -> Outcome {
        let stage = Stage::new();
        let order = stage.order(Mode::Failback, Leash::Acting);
        let world = stage.world();
        let until_ms = world.clock.now_ms() + TURN_MS;
        let mut turn = Turn::begin(&world, &order, &TailSurvey::default(), until_ms)?;
        let within = |turn: &mut Turn<'_>| turn.part(|_, turn| Ok(turn.within));
        assert_eq!(within(&mut turn)?, Duration::from_mins(4));
        stage.scene().pass(Duration::from_mins(3));
        assert_eq!(within(&mut turn)?, Duration::from_mins(1));
        stage.scene().pass(Duration::from_mins(3));
        assert_eq!(within(&mut turn)?, Duration::ZERO);
        Ok(())
    }

    #[test]
    fn a_turn_that_was_superseded_meanwhile_writes_nothing_more() -> Outcome {
        let stage = Stage::new();
        let order = stage.order(Mode::Failback, Leash::Acting);
        let world = stage.world();
        let mut turn = Turn::begin(&world, &order, &TailSurvey::default(), i64::MAX)?;
        let mut asked = Vec::new();
        let told = turn.part(|world, turn| {
            asked.push(turn.asker.go_on(&turn.marks).is_ok());
            let known = TopicPartition::new("orders", 0);
            turn.marks.renewed(&known);
            asked.push(turn.asker.go_on(&turn.marks).is_ok());
            let kept: Option<TailMarks> =
                load(world, &keys::tail_marks(&order.execution.to_string()))?;
            assert!(kept.is_some_and(|it| it.is_renewed(&known)));
            stage.scene().ledger = None;
            asked.push(turn.asker.go_on(&turn.marks).is_ok());
            Ok(())
        });
        assert_eq!(asked, [true, true, false]);
        assert_eq!(told.err().map(|it| it.name), Some(ErrorName::StaleEpoch));
        // Nor does another part begin.
        assert!(turn.part(|_, _| Ok(())).is_err());
        Ok(())
    }

    #[test]
    fn a_drill_puts_nothing_aside() -> Outcome {
        let stage = Stage::new();
        assert_eq!(asked(&stage, Leash::Leashed, false)?.records, 3);
        assert!(!was_put_aside(&stage));
        Ok(())
    }

    #[test]
    fn a_survey_that_does_not_hold_is_not_acted_on() {
        let stage = Stage::new();
        let error = asked(&stage, Leash::Acting, true).err();
        assert_eq!(error.map(|it| it.name), Some(ErrorName::PlanChanged));
        assert!(!was_put_aside(&stage));
    }
}
