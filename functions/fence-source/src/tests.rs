//! What is remembered, added, proved; and what is said where it cannot be.

use std::collections::BTreeSet;

use understudy_domain::TopicPartition;
use understudy_fakes::Stage;
use understudy_recovery::contract::{FenceRequest, Fenced, FencesKept, KeepFencesRequest, Order};
use understudy_recovery::fence::FenceState;
use understudy_recovery::pair::WithoutAcls;
use understudy_recovery::{Alias, ErrorName, Leash, Mode, StepError};
use understudy_shell::step::change_ledger;
use understudy_shell::world::Ends;
use understudy_shell::{PortErrorKind, reach};

use super::{handle, keep, under_another_name};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.fence_shop();
    stage.mirror("orders", 0, 10, 10);
    let ends = Ends {
        last_stable: 10,
        high_watermark: 10,
    };
    {
        let mut scene = stage.scene();
        let source = scene.cluster("use1");
        source.ends.insert(TopicPartition::new("orders", 0), ends);
        source.open_to_writer = Some(BTreeSet::new());
    }
    stage
}

fn order(stage: &Stage) -> Order {
    stage.order(Mode::Switchover, Leash::Acting)
}

fn fence(stage: &Stage, order: &Order, required: bool) -> Result<Fenced, StepError> {
    let order = order.clone();
    handle(
        &stage.world(),
        FenceRequest {
            order,
            required,
            returned: false,
        },
    )
}

fn state(stage: &Stage) -> Option<(FenceState, usize)> {
    let alias = Alias::new("use1").ok()?;
    let scene = stage.scene();
    let fence = scene.ledger.as_ref()?.fences.get(&alias)?;
    Some((fence.state, fence.added.len()))
}

#[test]
fn nobody_is_shut_out_where_copies_have_topics_of_their_own() -> Outcome {
    let stage = stage();
    {
        let mut scene = stage.scene();
        let forward = scene.flow("forward.toml").clone();
        let back = scene.flow("reverse.toml");
        (back.positions, back.record) = (forward.positions, forward.record);
        for it in &mut back.positions {
            it.target = TopicPartition::new("usw2.orders", it.source.partition);
        }
    }
    let order = stage.order(Mode::Failback, Leash::Acting);
    let asked = FenceRequest {
        order,
        required: true,
        returned: true,
    };
    let world = stage.world();
    let refused = handle(&world, asked.clone()).err();
    let refused = refused.ok_or("it is fenced")?;
    assert_eq!(refused.name, ErrorName::BadRequest);
    assert!(
        refused.text.contains("usw2.orders") && refused.text.contains("resume"),
        "{}",
        refused.text
    );
    let fences = stage.scene().ledger.clone().ok_or("no ledger")?.fences;
    assert!(fences.is_empty(), "{fences:?}");
    // What is left out since is in nobody's way.
    let orders = "orders".to_owned();
    stage.scene().flow("reverse.toml").leaves_out.insert(orders);
    let back = reach::reverse(&world, &asked.order)?;
    assert_eq!(under_another_name(&world, back)?, None);
    Ok(())
}

#[test]
fn the_fence_covers_what_the_flow_has_not_begun_with() -> Outcome {
    let stage = stage();
    let order = order(&stage);
    let ends = Ends {
        last_stable: 3,
        high_watermark: 3,
    };
    let late = TopicPartition::new("late", 0);
    stage.scene().cluster("use1").ends.insert(late, ends);
    let fenced = fence(&stage, &order, true)?;
    assert!(fenced.set && fenced.proven, "{fenced:?}");
    let log = stage.scene().log.clone();
    let barred = |it: &String| it.contains(" add ") && it.contains("late");
    assert!(log.iter().any(barred), "{log:?}");
    Ok(())
}

#[test]
fn a_fence_that_is_not_required_is_set_although_topics_are_not_named() -> Outcome {
    let stage = stage();
    let order = order(&stage);
    let kind = PortErrorKind::TimedOut;
    let failing = "use1.selected".to_owned();
    stage.scene().failing.insert(failing, kind);
    let fenced = fence(&stage, &order, false)?;
    assert!(fenced.set && !fenced.proven, "{fenced:?}");
    // It is proved once it is known what there is.
    assert_eq!(state(&stage), Some((FenceState::Set, 1)));
    assert!(fence(&stage, &order, true).is_err());
    Ok(())
}

#[test]
fn what_is_added_is_remembered_before_and_proved_after() -> Outcome {
    let stage = stage();
    let order = order(&stage);
    let fenced = fence(&stage, &order, true)?;
    assert!(fenced.set && fenced.proven, "{fenced:?}");
    assert_eq!(state(&stage), Some((FenceState::Proven, 1)));
    let log = stage.scene().log.clone();
    let added = log.iter().position(|it| it.starts_with("use1 add deny"));
    let remembered = log.iter().position(|it| it == "ledger 3");
    assert!(remembered < added && remembered.is_some(), "{log:?}");
    // Again: nothing is added twice.
    fence(&stage, &order, true)?;
    let adds = stage
        .scene()
        .log
        .iter()
        .filter(|it| it.contains(" add "))
        .count();
    assert_eq!(adds, 1);
    assert_eq!(state(&stage).map(|it| it.1), Some(1));
    Ok(())
}

#[test]
fn where_everyone_is_admitted_present_use_is_allowed_first() -> Outcome {
    let stage = stage();
    let order = order(&stage);
    stage.scene().cluster("use1").admits_everyone = Some(true);
    fence(&stage, &order, true)?;
    let log = stage.scene().log.clone();
    let acls: Vec<_> = log.iter().filter(|it| it.contains(" add ")).collect();
    assert!(
        matches!(acls.as_slice(), [allow, deny] if allow.contains("allow User:*") && deny.contains("deny User:shop")),
        "{acls:?}"
    );
    Ok(())
}

#[test]
fn a_required_fence_that_is_not_proved_is_an_error() -> Outcome {
    for case in ["taken", "no login", "grows", "open"] {
        let stage = stage();
        let order = order(&stage);
        {
            let mut scene = stage.scene();
            let source = scene.cluster("use1");
            let orders = TopicPartition::new("orders", 0);
            match case {
                "taken" => source.open_to_writer = Some(["orders".to_owned()].into()),
                "no login" => source.open_to_writer = None,
                "grows" => {
                    source.growing.insert(orders);
                }
                _ => {
                    let open = Ends {
                        last_stable: 5,
                        high_watermark: 10,
                    };
                    source.ends.insert(orders, open);
                }
            }
        }
        let error = fence(&stage, &order, true).err().ok_or(case)?;
        assert_eq!(error.name, ErrorName::FenceUnproven, "{case}: {error}");
        assert_eq!(state(&stage), Some((FenceState::Set, 1)), "{case}");
        // Where it is not required it is an answer.
        let fenced = fence(&stage, &order, false)?;
        assert!(
            fenced.set && !fenced.proven && fenced.reason.is_some(),
            "{case}"
        );
    }
    Ok(())
}

#[test]
fn a_single_topic_that_takes_a_write_is_named() -> Outcome {
    let stage = stage();
    stage.mirror("payments", 0, 10, 10);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    {
        let mut scene = stage.scene();
        let source = scene.cluster("use1");
        let stands = source.ends.get(&TopicPartition::new("orders", 0)).copied();
        let payments = TopicPartition::new("payments", 0);
        source.ends.insert(payments, stands.ok_or("no ends")?);
        source.open_to_writer = Some(["payments".to_owned()].into());
    }
    let error = fence(&stage, &order, true).err().ok_or("it is proven")?;
    assert_eq!(error.name, ErrorName::FenceUnproven);
    assert!(error.text.contains("a write to payments"), "{error}");
    Ok(())
}

#[test]
fn a_silent_source_stays_to_be_fenced() -> Outcome {
    let stage = stage();
    let order = order(&stage);
    let kind = PortErrorKind::Unreachable;
    stage.scene().failing.insert("use1.acls".to_owned(), kind);
    let fenced = fence(&stage, &order, false)?;
    assert!(!fenced.set && !fenced.proven);
    assert_eq!(state(&stage), Some((FenceState::Wanted, 0)));
    let error = fence(&stage, &order, true).err();
    assert_eq!(error.map(|it| it.name), Some(ErrorName::SourceUnreachable));
    Ok(())
}

#[test]
fn without_acls_idleness_counts_only_if_the_pair_says_so() -> Outcome {
    let mut stage = stage();
    let order = order(&stage);
    stage.scene().cluster("use1").acls = None;
    let error = fence(&stage, &order, true).err();
    assert_eq!(error.map(|it| it.name), Some(ErrorName::FenceUnproven));
    stage.pair.fencing.without_acls = WithoutAcls::AcceptIdle;
    let fenced = fence(&stage, &order, true)?;
    assert!(!fenced.set && !fenced.proven);
    Ok(())
}

#[test]
fn nobody_is_shut_out_where_nothing_could_prove_it() -> Outcome {
    let mut stage = stage();
    stage.pair.fencing.proof.remove(&Alias::new("use1")?);
    for leash in [Leash::Leashed, Leash::Acting] {
        let error = fence(&stage, &stage.order(Mode::Switchover, leash), true).err();
        let error = error.ok_or("it is fenced")?;
        assert_eq!(error.name, ErrorName::FenceUnproven);
        assert!(error.text.contains("fencing.proof.use1"), "{error}");
        assert_eq!(state(&stage), None);
    }
    // What was lost is fenced as well as may be.
    let order = stage.order(Mode::Failover, Leash::Acting);
    stage.scene().cluster("use1").open_to_writer = None;
    assert!(fence(&stage, &order, false)?.set);
    Ok(())
}

#[test]
fn a_drill_adds_nothing_and_remembers_nothing() -> Outcome {
    let stage = stage();
    let fenced = fence(&stage, &stage.order(Mode::Switchover, Leash::Leashed), true)?;
    assert!(fenced.set && fenced.proven);
    assert!(stage.scene().log.is_empty());
    Ok(())
}

/// A failover that could not reach its source has ended.
fn left_behind() -> Result<(Stage, Order), Box<dyn std::error::Error>> {
    let stage = stage();
    let order = stage.order(Mode::Failover, Leash::Acting);
    let kind = PortErrorKind::Unreachable;
    stage.scene().failing.insert("use1.acls".to_owned(), kind);
    change_ledger(&stage.world(), |ledger| ledger.activated(&order.execution))?;
    fence(&stage, &order, false)?;
    change_ledger(&stage.world(), |ledger| {
        ledger.ended(&order.execution, false)
    })?;
    Ok((stage, order))
}

fn kept(stage: &Stage) -> Result<FencesKept, StepError> {
    let pair = stage.pair.name.clone();
    keep(&stage.world(), KeepFencesRequest { pair })
}

fn of_use1(kept: &FencesKept) -> Option<(bool, bool)> {
    let (_, fenced) = kept
        .fences
        .iter()
        .find(|(alias, _)| alias.as_str() == "use1")?;
    Some((fenced.set, fenced.proven))
}

#[test]
fn a_cluster_that_was_left_is_fenced_once_it_answers_and_people_are_told_once() -> Outcome {
    let (stage, _) = left_behind()?;
    assert_eq!(of_use1(&kept(&stage)?), Some((false, false)));
    assert_eq!(state(&stage), Some((FenceState::Wanted, 0)));
    stage.scene().failing.clear();
    assert_eq!(of_use1(&kept(&stage)?), Some((true, true)));
    assert_eq!(state(&stage), Some((FenceState::Proven, 1)));
    // What is proven is left alone.
    let log = stage.scene().log.clone();
    assert_eq!(kept(&stage)?, FencesKept::default());
    assert_eq!(stage.scene().log, log);
    let told = log.iter().filter(|it| it.contains("answers again")).count();
    assert_eq!(told, 1, "{log:?}");
    Ok(())
}

#[test]
fn fences_of_another_pair_are_refused() -> Outcome {
    let (stage, _) = left_behind()?;
    let pair = understudy_recovery::PairName::new("payments")?;
    let refused = keep(&stage.world(), KeepFencesRequest { pair }).err();
    assert_eq!(refused.map(|it| it.name), Some(ErrorName::BadRequest));
    Ok(())
}

#[test]
fn a_recovery_under_way_and_an_active_cluster_are_left_alone() -> Outcome {
    let (stage, order) = left_behind()?;
    stage.scene().failing.clear();
    // The next recovery goes back to it.
    let (home, away) = (order.source.clone(), order.target.clone());
    change_ledger(&stage.world(), |ledger| {
        let execution = ledger.next_execution(Mode::Switchover, Leash::Acting);
        ledger.claim(&execution, &home, false, 0)
    })?;
    assert_eq!(kept(&stage)?, FencesKept::default());
    change_ledger(&stage.world(), |ledger| {
        let execution = ledger.running().map(|it| it.execution.clone());
        ledger.activated(&execution.expect("one is under way"))
    })?;
    change_ledger(&stage.world(), |ledger| {
        let execution = ledger.running().map(|it| it.execution.clone());
        ledger.ended(&execution.expect("one is under way"), false)
    })?;
    assert_eq!(kept(&stage)?, FencesKept::default());
    assert_ne!(home, away);
    assert!(!stage.scene().log.iter().any(|it| it.contains(" add ")));
    Ok(())
}
