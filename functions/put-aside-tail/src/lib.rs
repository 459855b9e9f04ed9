//! Puts aside what only a cluster that came back holds: topic by topic, as the pair's policy has it. Exactly once, however
//! often it is asked, and nothing is deleted.

use understudy_recovery::contract::{JustOrder, Order, TailPutAside};
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{TailSurvey, Verdict};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::keys::Renewed;
use understudy_shell::step::{Part, at_target, carry_out, load, must_load, save};
use understudy_shell::{Done, PortErrorKind, World, keys, reach};

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
    let topics = match survey.verdict(&world.pair.tails, order.target.as_str()) {
        Verdict::Proceed { quarantine } => quarantine,
        Verdict::Wait { reason } | Verdict::Refuse { reason } => {
            return Err(StepError::new(ErrorName::PlanChanged, reason));
        }
    };
    let mut with_records: Vec<String> = survey.with_records().map(|it| it.topic.clone()).collect();
    with_records.dedup();
    let count = u32::try_from(topics.len()).unwrap_or(u32::MAX);
    let answer = |records| TailPutAside {
        topics: count,
        records,
    };
    if with_records.is_empty() {
        let did = "there is nothing to be put aside".to_owned();
        return Ok(Done::new(answer(0), [did]));
    }
    if order.leash.is_leashed() {
        let did = format!(
            "would put aside what {} holds of {}",
            order.target,
            topics.join(", ")
        );
        return Ok(Done::new(answer(survey.records()), [did]));
    }
    let came = reach::reverse(world, order)?;
    let key = keys::renewed(&order.execution.to_string());
    let before: Option<Renewed> = load(world, &key)?;
    if let Some(done) = before.as_ref().filter(|it| it.ends.is_some()) {
        let did = format!(
            "{} records were put aside before, and read back",
            done.put_aside
        );
        return Ok(Done::new(answer(done.put_aside), [did]));
    }
    // Behind the mark, what is beyond the cut is no longer the tail alone.
    let records = match before {
        Some(begun) => begun.put_aside,
        None => put_all_aside(world, came, &topics)?,
    };
    let put_aside = records;
    save(
        world,
        &key,
        &Renewed {
            put_aside,
            ends: None,
        },
    )?;
    let ends = world
        .flows
        .renew_keys(came, reach::forward(world, order)?, &with_records);
    let ends = ends.map_err(|error| at_target(&error))?;
    let ends = ends
        .into_iter()
        .map(|(at, end)| (at.topic.to_string(), at.partition, end));
    let ends: Vec<_> = ends.collect();
    let left = survey.records().saturating_sub(records);
    let mut did = Vec::new();
    if records > 0 {
        did.push(format!(
            "{records} records of {} are put aside on {}, and were read back",
            topics.join(", "),
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
    let ends = Some(ends);
    save(world, &key, &Renewed { put_aside, ends })?;
    Ok(Done::new(answer(records), did))
}

fn put_all_aside(world: &World, came: &FlowOfPair, topics: &[String]) -> Result<u64, StepError> {
    if topics.is_empty() {
        return Ok(0);
    }
    let put = world.flows.put_tail_aside(came, topics);
    put.map_err(|error| match error.kind {
        PortErrorKind::Conflict => StepError::new(
            ErrorName::PlanChanged,
            format!("what was surveyed is not what is there any more: {error}"),
        ),
        _ => at_target(&error),
    })
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
