//! Whether everything that the source holds has been copied, and nothing more comes. Only looks; asked again until it is so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_recovery::contract::{Drained, JustOrder, Order};
use understudy_recovery::{ErrorName, Mode, Step, StepError};
use understudy_shell::step::{Part, at_source, at_target, carry_out};
use understudy_shell::{Done, World, reach};

/// How long the source has to say where it ends.
const WITHIN: Duration = Duration::from_secs(5);

/// Looks.
///
/// # Errors
/// The order is stale, one of the clusters does not answer, or there is no such flow.
pub fn handle(world: &World, request: JustOrder) -> Result<Drained, StepError> {
    let order = &request.order;
    carry_out(world, Step::AwaitDrain, Part::Whole, order, || {
        look(world, order)
    })
}

fn look(world: &World, order: &Order) -> Result<Done<Drained>, StepError> {
    let flow = reach::forward(world, order)?;
    let flows = &world.flows;
    let source = reach::source(world, order)?;
    let selected = flows.selected(flow).map_err(|error| at_source(&error))?;
    let record = flows.record(flow).map_err(|error| at_target(&error))?;
    // Positions before ends: what has passed an end that was told later has nothing left.
    let positions = match &record {
        Some(record) => flows
            .positions(flow, record)
            .map_err(|error| at_target(&error))?,
        // Onto a wholly new cluster: the flow's workers make it.
        None if order.mode == Mode::Failback => Vec::new(),
        None => {
            return Err(StepError::new(
                ErrorName::FlowUnreadable,
                format!("the target has no flow of {}; it never ran", flow.file),
            ));
        }
    };
    let known = positions.iter().map(|it| it.source.clone());
    let partitions: BTreeSet<TopicPartition> = known.chain(selected.keys().cloned()).collect();
    let ends = source.ends(&partitions, WITHIN);
    let ends = ends.map_err(|error| at_source(&error))?;
    let (mut left, mut lag, mut gone) = (0_u32, 0_u64, 0_u32);
    let mut left_out = ends;
    for mirrored in &positions {
        let Some(ends) = left_out.remove(&mirrored.source) else {
            // Deleted on the source since: nothing of it can come any more.
            gone = gone.saturating_add(1);
            continue;
        };
        let at = mirrored.position.source_offset.get();
        if at < ends.last_stable || ends.last_stable != ends.high_watermark {
            left = left.saturating_add(1);
        }
        let behind = ends.high_watermark.saturating_sub(at);
        lag = lag.saturating_add(u64::try_from(behind).unwrap_or(0));
    }
    // What the flow mirrors and has not begun with is on the source alone.
    let mut not_begun = BTreeMap::new();
    for (partition, ends) in left_out {
        let start = selected.get(&partition).copied().unwrap_or(0);
        let held = u64::try_from(ends.high_watermark.saturating_sub(start)).unwrap_or(0);
        if held > 0 {
            left = left.saturating_add(1);
            lag = lag.saturating_add(held);
            not_begun.insert(partition, held);
        }
    }
    let count = positions.len().saturating_add(not_begun.len());
    let drained = Drained {
        drained: left == 0,
        partitions_left: left,
        lag_records: lag,
        not_begun: not_begun.first_key_value().map(|(it, _)| it.to_string()),
    };
    let mut did = vec![if drained.drained {
        format!("all {count} partitions are copied to their ends")
    } else {
        format!("{left} of {count} partitions are not there yet, {lag} records")
    }];
    if let Some((first, _)) = not_begun.first_key_value() {
        did.push(format!(
            "the flow has not begun with {} of them, such as {first}",
            not_begun.len()
        ));
    }
    if gone > 0 {
        did.push(format!("{gone} partitions are not on the source any more"));
    }
    Ok(Done::new(drained, did))
}

#[cfg(test)]
mod tests {
    use understudy_fakes::Stage;
    use understudy_recovery::{Leash, Mode};
    use understudy_shell::PortErrorKind;
    use understudy_shell::world::Ends;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn drained(last_stable: i64, high_watermark: i64) -> Result<Drained, StepError> {
        let stage = Stage::new();
        stage.mirror("orders", 0, 10, 10);
        let ends = Ends {
            last_stable,
            high_watermark,
        };
        let place = TopicPartition::new("orders", 0);
        stage.scene().cluster("use1").ends.insert(place, ends);
        let order = stage.order(Mode::Switchover, Leash::Acting);
        handle(&stage.world(), JustOrder { order })
    }

    #[test]
    fn lag_and_open_transactions_are_waited_for() -> Outcome {
        assert!(drained(10, 10)?.drained);
        let behind = drained(17, 17)?;
        assert_eq!(
            (behind.drained, behind.partitions_left, behind.lag_records),
            (false, 1, 7)
        );
        assert!(!drained(10, 12)?.drained);
        Ok(())
    }

    #[test]
    fn what_the_flow_has_not_begun_with_is_waited_for() -> Outcome {
        let stage = Stage::new();
        stage.mirror("orders", 0, 10, 10);
        let ends = |end| Ends {
            last_stable: end,
            high_watermark: end,
        };
        for (topic, end) in [("orders", 10), ("payments", 3), ("empty", 0)] {
            let place = TopicPartition::new(topic, 0);
            let mut scene = stage.scene();
            scene.cluster("use1").ends.insert(place, ends(end));
        }
        let order = stage.order(Mode::Switchover, Leash::Acting);
        let found = handle(&stage.world(), JustOrder { order })?;
        assert_eq!(
            (found.drained, found.partitions_left, found.lag_records),
            (false, 1, 3)
        );
        assert_eq!(found.not_begun.as_deref(), Some("payments-0"));
        Ok(())
    }

    #[test]
    fn a_flow_that_its_workers_have_yet_to_make_has_copied_nothing() -> Outcome {
        let stage = Stage::new();
        stage.scene().flow("forward.toml").record = None;
        let ends = Ends {
            last_stable: 20_000,
            high_watermark: 20_000,
        };
        let place = TopicPartition::new("orders", 0);
        stage.scene().cluster("use1").ends.insert(place, ends);
        let of = |mode| {
            let order = stage.order(mode, Leash::Acting);
            handle(&stage.world(), JustOrder { order })
        };
        assert_eq!(of(Mode::Failback)?.lag_records, 20_000);
        let error = of(Mode::Switchover).err();
        assert_eq!(error.map(|it| it.name), Some(ErrorName::FlowUnreadable));
        Ok(())
    }

    #[test]
    fn a_silent_source_is_no_drained_one() -> Outcome {
        let stage = Stage::new();
        stage.mirror("orders", 0, 10, 10);
        let kind = PortErrorKind::TimedOut;
        stage.scene().failing.insert("use1.ends".to_owned(), kind);
        let order = stage.order(Mode::Switchover, Leash::Acting);
        let error = handle(&stage.world(), JustOrder { order }).err();
        assert_eq!(error.map(|it| it.name), Some(ErrorName::SourceUnreachable));
        Ok(())
    }
}
