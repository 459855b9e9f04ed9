//! Looks at what a cluster that came back holds beyond the cut of the flow that once came from there, and says whether the
//! active one may be copied onto it again. Only looks; what it found is kept for the steps behind it and for people.

use understudy_domain::{FlowRecord, FlowState};
use understudy_recovery::contract::{JustOrder, Order, TailDecision, TailSurveyed};
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{TailSurvey, Verdict};
use understudy_recovery::{Step, StepError};
use understudy_shell::step::{Part, at_source, at_target, carry_out, save};
use understudy_shell::{Done, PortErrorKind, World, keys, reach};

/// How many partitions are named in one sentence.
const NAMED: usize = 5;

/// Looks.
///
/// # Errors
/// The order is stale, one of the clusters or the store does not answer, or the pair has no such flow.
pub fn handle(world: &World, request: JustOrder) -> Result<TailSurveyed, StepError> {
    let order = &request.order;
    carry_out(world, Step::SurveyTail, Part::Whole, order, || {
        look(world, order)
    })
}

fn look(world: &World, order: &Order) -> Result<Done<TailSurveyed>, StepError> {
    let came = reach::reverse(world, order)?;
    let back = reach::forward(world, order)?;
    let sealed = world.flows.record(came).map_err(|it| at_source(&it))?;
    let running = world.flows.record(back).map_err(|it| at_target(&it))?;
    let key = keys::survey(&order.execution.to_string());
    let answer = |(records, uncounted), decision, reason| TailSurveyed {
        survey: key.clone(),
        records,
        uncounted,
        decision,
        reason,
    };
    if runs_since(running.as_ref(), sealed.as_ref()) {
        let did = format!("{} is copied to {} already", order.source, order.target);
        return Ok(Done::new(answer((0, 0), TailDecision::Runs, None), [did]));
    }
    let refused = |reason: String| {
        let did = reason.clone();
        Done::new(answer((0, 0), TailDecision::Refuse, Some(reason)), [did])
    };
    if let Some(paused) = running.filter(|it| it.state == FlowState::Paused && it.epoch > 0) {
        let back = world.flows.name(back).map_err(|it| at_target(&it))?;
        return Ok(refused(format!(
            "flow {back} is {} since e{}: nothing is copied to {}; resume it (`understudy resume`), and start again",
            paused.state.name(),
            paused.epoch,
            order.target
        )));
    }
    let name = world.flows.name(came).map_err(|it| at_source(&it))?;
    let is_new = sealed.is_none();
    let mut survey = match sealed {
        // Nothing was ever copied from there: everything is copied to it.
        None => TailSurvey {
            flow: name,
            ..TailSurvey::default()
        },
        Some(record) if record.state != FlowState::Sealed => {
            return Ok(refused(format!(
                "flow {name} is {}, not sealed: no recovery has ended it, so nothing has come back",
                record.state.name()
            )));
        }
        Some(_) => match world.flows.survey_tail(came) {
            Err(error) if error.kind == PortErrorKind::Refused => return Ok(refused(error.text)),
            surveyed => surveyed.map_err(|it| at_target(&it))?,
        },
    };
    if order.leash.is_leashed() {
        // A drill fences nobody, so somebody may write.
        for partition in &mut survey.partitions {
            partition.moved = false;
        }
    }
    save(world, &key, &survey)?;
    let counted = (survey.records(), survey.uncounted());
    let mut did = if is_new {
        from_nothing(world, order, back)?
    } else {
        vec![format!(
            "{} holds {} records beyond the cut, in {} of {} partitions",
            order.target,
            survey.counted(),
            survey.with_records().count(),
            survey.partitions.len()
        )]
    };
    let lost = survey.partitions.iter().filter_map(|it| {
        let lost = it.lost.as_ref()?;
        Some(format!("{}-{}: {}", it.topic, it.partition, lost.text))
    });
    did.extend(lost);
    did.extend(survey.groups.iter().cloned());
    let answer = match survey.verdict(&world.pair.tails, order.target.as_str()) {
        Verdict::Proceed { .. } => answer(counted, TailDecision::Proceed, None),
        Verdict::Wait { reason } => answer(counted, TailDecision::Wait, Some(reason)),
        Verdict::Refuse { reason } => answer(counted, TailDecision::Refuse, Some(reason)),
    };
    did.extend(answer.reason.clone());
    Ok(Done::new(answer, did))
}

/// What a cluster that nothing ever came from gets, and what it will not have: the active one's retention took it.
fn from_nothing(world: &World, order: &Order, back: &FlowOfPair) -> Result<Vec<String>, StepError> {
    let selected = world.flows.selected(back).map_err(|it| at_source(&it))?;
    let mut did = vec![format!(
        "nothing was ever copied from {}: what {} retains is copied to it, {} partitions",
        order.target,
        order.source,
        selected.len()
    )];
    let short: Vec<_> = selected.iter().filter(|(_, start)| **start > 0).collect();
    if !short.is_empty() {
        let named = short.iter().take(NAMED);
        let named: Vec<String> = named
            .map(|(partition, start)| format!("{partition} from {start} on"))
            .collect();
        let more = match short.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        did.push(format!(
            "{} does not hold what came earlier, and {} will not have it: {}{more}",
            order.source,
            order.target,
            named.join(", ")
        ));
    }
    Ok(did)
}

/// Whether the flow back runs, and began when the other one had ended.
fn runs_since(back: Option<&FlowRecord>, came: Option<&FlowRecord>) -> bool {
    let Some(back) = back.filter(|it| it.state == FlowState::Running) else {
        return false;
    };
    came.is_none_or(|came| came.state == FlowState::Sealed && came.epoch <= back.epoch)
}

#[cfg(test)]
mod tests {
    use understudy_domain::TopicPartition;
    use understudy_fakes::Stage;
    use understudy_recovery::tail::Handling;
    use understudy_recovery::{Leash, Mode};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// `usw2` came back; the flow from there was sealed at 10, and it has 13 records.
    fn returned() -> Stage {
        let stage = Stage::new();
        stage.mirror("orders", 0, 10, 12);
        let mut scene = stage.scene();
        let forward = scene.flow("forward.toml");
        let positions = std::mem::take(&mut forward.positions);
        let mut record = forward.record.take();
        if let Some(record) = &mut record {
            record.state = FlowState::Sealed;
        }
        let came = scene.flow("reverse.toml");
        (came.positions, came.record) = (positions, record);
        let log = (0..13).map(Some).collect();
        let place = TopicPartition::new("orders", 0);
        scene.cluster("usw2").log.insert(place, log);
        drop(scene);
        stage
    }

    fn surveyed(stage: &Stage, leash: Leash) -> Result<TailSurveyed, StepError> {
        let order = stage.order(Mode::Failback, leash);
        handle(&stage.world(), JustOrder { order })
    }

    #[test]
    fn what_lies_beyond_the_cut_is_counted_and_kept() -> Outcome {
        let stage = returned();
        let found = surveyed(&stage, Leash::Acting)?;
        assert_eq!((found.records, found.decision), (3, TailDecision::Proceed));
        let kept = stage.scene().store.get(&found.survey).cloned();
        let kept: TailSurvey = serde_json::from_slice(&kept.ok_or("nothing is kept")?)?;
        let partition = kept.partitions.first().ok_or("no partition")?;
        assert_eq!((partition.end, partition.begin()), (13, Some((12, 13))));
        Ok(())
    }

    #[test]
    fn a_flow_back_that_runs_since_has_no_tail_behind_it() -> Outcome {
        let stage = returned();
        {
            let mut scene = stage.scene();
            let mut record = scene
                .flow("reverse.toml")
                .record
                .clone()
                .ok_or("no record")?;
            (record.state, record.epoch) = (FlowState::Running, 1);
            scene.flow("forward.toml").record = Some(record);
        }
        assert_eq!(
            surveyed(&stage, Leash::Acting)?.decision,
            TailDecision::Runs
        );
        Ok(())
    }

    #[test]
    fn a_flow_that_nobody_sealed_is_refused_with_its_state() -> Outcome {
        let stage = returned();
        if let Some(record) = &mut stage.scene().flow("reverse.toml").record {
            record.state = FlowState::Running;
        }
        let found = surveyed(&stage, Leash::Acting)?;
        assert_eq!(found.decision, TailDecision::Refuse);
        assert!(
            found
                .reason
                .is_some_and(|it| it.contains("is running, not sealed"))
        );
        Ok(())
    }

    #[test]
    fn a_policy_that_names_what_is_not_there_is_refused() -> Outcome {
        let mut stage = returned();
        let topics = &mut stage.pair.tails.topics;
        topics.insert("nothing".to_owned(), Handling::Leave);
        let found = surveyed(&stage, Leash::Acting)?;
        assert_eq!(found.decision, TailDecision::Refuse);
        Ok(())
    }

    #[test]
    fn where_nothing_ever_came_from_everything_is_copied() -> Outcome {
        let stage = Stage::new();
        stage.scene().flow("forward.toml").record = None;
        let found = surveyed(&stage, Leash::Acting)?;
        assert_eq!((found.records, found.decision), (0, TailDecision::Proceed));
        Ok(())
    }
}
