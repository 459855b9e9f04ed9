//! Puts aside what only a cluster that came back holds, or merges it: topic by topic, as the pair's policy has it. Exactly
//! once, however often it is asked, and nothing is deleted.

use understudy_recovery::contract::{JustOrder, Order, TailPutAside};
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{Carried, TailSurvey, Verdict};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::keys::Renewed;
use understudy_shell::step::{Part, at_target, carry_out, load, must_load, save};
use understudy_shell::{Done, PortError, PortErrorKind, World, keys, reach};

/// Puts it aside, and reads it back.
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
    let answer = |carried: Carried| TailPutAside {
        topics: count,
        records: carried.put_aside,
        merged: carried.merged,
    };
    if with_records.is_empty() {
        let did = "there is nothing to be put aside".to_owned();
        return Ok(Done::new(answer(Carried::default()), [did]));
    }
    if order.leash.is_leashed() {
        return Ok(would(&survey, order, (&aside, &merge), answer));
    }
    let came = reach::reverse(world, order)?;
    let key = keys::renewed(&order.execution.to_string());
    let before: Option<Renewed> = load(world, &key)?;
    if let Some(done) = before.as_ref().filter(|it| it.ends.is_some()) {
        let did = format!(
            "{} records were put aside before, and read back; {} were merged",
            done.put_aside, done.merged
        );
        return Ok(Done::new(answer(carried(done)), [did]));
    }
    // Behind the mark, what is beyond the cut is no longer the tail alone.
    let done = match &before {
        Some(begun) => carried(begun),
        None => carry_all(world, came, (&aside, &merge))?,
    };
    let Carried { put_aside, merged } = done;
    let mut renewed = Renewed {
        put_aside,
        merged,
        ends: None,
    };
    save(world, &key, &renewed)?;
    let ends = world
        .flows
        .renew_keys(came, reach::forward(world, order)?, &with_records);
    let ends = ends.map_err(|error| at_target(&error))?;
    let ends = ends
        .into_iter()
        .map(|(at, end)| (at.topic.to_string(), at.partition, end));
    let ends: Vec<_> = ends.collect();
    let left = survey.records().saturating_sub(put_aside + merged);
    let mut did = Vec::new();
    if merged > 0 {
        did.push(format!(
            "{merged} records of {} are merged into the topics on {}",
            merge.join(", "),
            order.source
        ));
    }
    if put_aside > 0 {
        let of: Vec<&str> = aside.iter().chain(&merge).map(String::as_str).collect();
        did.push(format!(
            "{put_aside} records of {} are put aside on {}, and were read back",
            of.join(", "),
            order.source
        ));
    }
    if left > 0 {
        did.push(format!(
            "{left} records are left where they are, on {} alone",
            order.target
        ));
    }
    if !ends.is_empty() {
        did.push(format!(
            "keys of compacted topics were put right behind the tail, in {} partitions of {}",
            ends.len(),
            order.target
        ));
    }
    renewed.ends = Some(ends);
    save(world, &key, &renewed)?;
    Ok(Done::new(answer(done), did))
}

/// What would be done, in a drill.
fn would(
    survey: &TailSurvey,
    order: &Order,
    (aside, merge): (&[String], &[String]),
    answer: impl Fn(Carried) -> TailPutAside,
) -> Done<TailPutAside> {
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
    };
    Done::new(answer(would), did)
}

const fn carried(renewed: &Renewed) -> Carried {
    Carried {
        put_aside: renewed.put_aside,
        merged: renewed.merged,
    }
}

fn carry_all(
    world: &World,
    came: &FlowOfPair,
    (aside, merge): (&[String], &[String]),
) -> Result<Carried, StepError> {
    let trouble = |error: PortError| match error.kind {
        PortErrorKind::Conflict => StepError::new(
            ErrorName::PlanChanged,
            format!("what was surveyed is not what is there any more: {error}"),
        ),
        _ => at_target(&error),
    };
    let mut done = Carried::default();
    if !aside.is_empty() {
        let put = world.flows.put_tail_aside(came, aside);
        done.put_aside = put.map_err(trouble)?;
    }
    if !merge.is_empty() {
        let merged = world.flows.merge_tail(came, merge).map_err(trouble)?;
        done.put_aside += merged.put_aside;
        done.merged = merged.merged;
    }
    Ok(done)
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
