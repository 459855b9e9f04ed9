//! The order of the seal, what a repetition finds, and what is said of the loss.

use understudy_domain::{FlowState, TopicPartition};
use understudy_fakes::Stage;
use understudy_recovery::assessment::{Assessment, ClusterSeen, FlowSeen};
use understudy_recovery::contract::JustOrder;
use understudy_recovery::cut::Cut;
use understudy_recovery::health::{Health, HealthVerdict};
use understudy_recovery::places::PlacesSummary;
use understudy_recovery::{Alias, Consent, Epoch, ErrorName, Leash, LossBound, Mode};
use understudy_shell::step::{must_load, save};
use understudy_shell::world::Ends;
use understudy_shell::{PortErrorKind, keys};

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn stage() -> Stage {
    let stage = Stage::new();
    stage.mirror("orders", 0, 100, 110);
    stage.mirror("orders", 1, 50, 55);
    stage
}

fn source_ends(stage: &Stage, ends: [i64; 2]) {
    let mut scene = stage.scene();
    let cluster = scene.cluster("use1");
    for (partition, end) in (0..).zip(ends) {
        let ends = Ends {
            last_stable: end,
            high_watermark: end,
        };
        let place = TopicPartition::new("orders", partition);
        cluster.ends.insert(place, ends);
    }
}

#[test]
fn the_record_is_sealed_first_then_ids_are_taken_then_positions_are_the_cut() -> Outcome {
    let stage = stage();
    source_ends(&stage, [100, 50]);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    let sealed = handle(&stage.world(), JustOrder { order })?;
    assert!(sealed.within_consent && sealed.question.is_none());
    assert_eq!(
        (sealed.partitions, sealed.loss.records_at_most),
        (2, Some(0))
    );
    let cut: Cut = must_load(&stage.world(), &sealed.cut)?;
    let ends: Vec<_> = cut
        .partitions
        .iter()
        .map(|it| (it.source_offset, it.target_offset))
        .collect();
    assert_eq!(ends, [(100, 110), (50, 55)]);
    let log = stage.scene().log.clone();
    assert_eq!(
        log,
        [
            "seal forward.toml e1",
            "ledger 2",
            "fence forward.toml",
            "want_workers forward.toml 0"
        ]
    );
    Ok(())
}

#[test]
fn sealing_again_gives_the_same_cut_at_the_same_time() -> Outcome {
    let stage = stage();
    let order = stage.order(Mode::Failover, Leash::Acting);
    let world = stage.world();
    let first = handle(
        &world,
        JustOrder {
            order: order.clone(),
        },
    )?;
    let cut: Cut = must_load(&world, &first.cut)?;
    stage.scene().now_ms += 5_000;
    let again = handle(&world, JustOrder { order })?;
    assert_eq!(must_load::<Cut>(&world, &again.cut)?, cut);
    assert_eq!(again, first);
    Ok(())
}

#[test]
fn killed_after_any_call_it_ends_the_same_when_repeated() -> Outcome {
    for broken in [
        "fence_workers",
        "fence",
        "positions",
        "put",
        "write",
        "want_workers",
    ] {
        let stage = stage();
        let order = stage.order(Mode::Failover, Leash::Acting);
        let world = stage.world();
        stage
            .scene()
            .failing
            .insert(broken.to_owned(), PortErrorKind::TimedOut);
        let _failed = handle(
            &world,
            JustOrder {
                order: order.clone(),
            },
        );
        stage.scene().failing.clear();
        let sealed = handle(&world, JustOrder { order })?;
        assert_eq!(sealed.partitions, 2, "{broken}");
        let record = stage.scene().flow("forward.toml").record.clone();
        assert_eq!(
            record.map(|it| it.state),
            Some(FlowState::Sealed),
            "{broken}"
        );
        let ledger = stage.scene().ledger.clone();
        let sealed = ledger.and_then(|it| it.running().map(|running| running.sealed));
        assert_eq!(sealed, Some(true), "{broken}");
    }
    Ok(())
}

#[test]
fn a_leashed_seal_writes_nothing_and_says_where_the_cut_would_be() -> Outcome {
    let stage = stage();
    let order = stage.order(Mode::Failover, Leash::Leashed);
    let sealed = handle(&stage.world(), JustOrder { order })?;
    assert_eq!(sealed.partitions, 2);
    assert!(stage.scene().log.is_empty(), "{:?}", stage.scene().log);
    Ok(())
}

#[test]
fn a_flow_sealed_by_a_newer_epoch_is_left_alone() -> Outcome {
    let stage = stage();
    let order = stage.order(Mode::Failover, Leash::Acting);
    if let Some(record) = &mut stage.scene().flow("forward.toml").record {
        record.epoch = 9;
    }
    let refused = handle(&stage.world(), JustOrder { order }).err();
    assert_eq!(refused.map(|error| error.name), Some(ErrorName::StaleEpoch));
    Ok(())
}

#[test]
fn a_loss_beyond_the_consent_is_a_question_with_its_numbers() -> Outcome {
    let mut stage = stage();
    source_ends(&stage, [107, 50]);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    let sealed = handle(
        &stage.world(),
        JustOrder {
            order: order.clone(),
        },
    )?;
    assert!(!sealed.within_consent);
    let question = sealed.question.unwrap_or_default();
    assert!(question.contains("7 records"), "{question}");
    // An unknown age is never within a consent, and nothing lost always is.
    stage.pair.consent = Consent {
        max_lost_records: 1_000,
        max_age_seconds: 60,
    };
    let sealed = handle(&stage.world(), JustOrder { order })?;
    assert!(!sealed.within_consent);
    Ok(())
}

#[test]
fn a_silent_source_bounds_the_loss_by_the_last_look_and_the_rate_before() -> Outcome {
    let stage = stage();
    let order = stage.order(Mode::Failover, Leash::Acting);
    {
        let mut scene = stage.scene();
        let kind = PortErrorKind::Unreachable;
        scene.failing.insert("use1.ends".to_owned(), kind);
        scene.now_ms += 4_000;
    }
    let sealed = handle(&stage.world(), JustOrder { order })?;
    // Without a rate nothing bounds it above, and the age is that of the last look.
    assert_eq!(sealed.loss.records_at_most, None);
    assert_eq!(sealed.loss.seconds_at_most, Some(4.0));
    assert!(!sealed.within_consent);
    Ok(())
}

#[test]
fn what_a_flow_lost_that_ended_before_is_bounded_by_nothing() -> Outcome {
    let stage = stage();
    source_ends(&stage, [100, 50]);
    let order = stage.order(Mode::Failover, Leash::Acting);
    let flow = FlowSeen {
        flow: "use1-usw2".to_owned(),
        state: "sealed".to_owned(),
        epoch: Epoch::ZERO,
        partitions: 2,
        gaps: 0,
        loss: LossBound::default(),
        records_per_second: Some(0.0),
    };
    let seen = |alias: &str| -> Result<ClusterSeen, Box<dyn std::error::Error>> {
        Ok(ClusterSeen {
            alias: Alias::new(alias)?,
            verdict: HealthVerdict {
                health: Health::Healthy,
                reasons: Vec::new(),
            },
            cluster_id: None,
            brokers: None,
        })
    };
    let assessment = Assessment {
        at_ms: 0,
        source: seen("use1")?,
        target: seen("usw2")?,
        flow: Some(flow),
        places: PlacesSummary::default(),
        live_groups: Vec::new(),
        reasons: Vec::new(),
    };
    let world = stage.world();
    save(
        &world,
        &keys::assessment(&order.execution.to_string()),
        &assessment,
    )?;
    let sealed = handle(&world, JustOrder { order })?;
    assert_eq!(sealed.loss, LossBound::default());
    assert!(!sealed.within_consent);
    Ok(())
}
