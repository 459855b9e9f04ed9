//! When it opens, and what it grants.

use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};
use understudy_fakes::Stage;
use understudy_recovery::contract::{JustOrder, Order};
use understudy_recovery::fence::{FenceAcl, FenceRecord, FenceState};
use understudy_recovery::{Epoch, ErrorName, Leash, Mode};
use understudy_shell::PortErrorKind;
use understudy_shell::step::change_ledger;

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn acl(principal: &str, permission: AclPermission) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: "orders".to_owned(),
        pattern: AclPattern::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::Write,
        permission,
    }
}

/// A sealed flow; an old fence on the target, a new one on the source; writing withheld.
fn stage(leash: Leash) -> Result<(Stage, Order), Box<dyn std::error::Error>> {
    let mut stage = Stage::new();
    stage.pair.fencing.writers = vec!["User:shop".to_owned()];
    let order = stage.order(Mode::Switchover, leash);
    let fence = FenceRecord {
        epoch: Epoch::ZERO,
        state: FenceState::Proven,
        since_ms: None,
        added: vec![FenceAcl {
            topic: "orders".to_owned(),
            principal: "User:shop".to_owned(),
            operation: "WRITE".to_owned(),
            deny: true,
        }],
    };
    stage.scene().flow("forward.toml").withheld = vec![
        acl("User:shop", AclPermission::Allow),
        acl("User:shop", AclPermission::Deny),
        acl("User:intern", AclPermission::Deny),
    ];
    if !leash.is_leashed() {
        change_ledger(&stage.world(), |ledger| {
            let sealed = ledger.sealed(&order.execution)?;
            let on_source = sealed.with_fence(&order.source, Some(fence.clone()));
            let mut both = on_source;
            both.fences.insert(order.target.clone(), fence.clone());
            Ok(both)
        })?;
        stage.scene().log.clear();
    }
    Ok((stage, order))
}

#[test]
fn an_old_fence_is_lifted_then_writing_is_granted_then_the_ledger_says_so() -> Outcome {
    let (stage, order) = stage(Leash::Acting)?;
    let opened = handle(
        &stage.world(),
        JustOrder {
            order: order.clone(),
        },
    )?;
    assert_eq!((opened.fences_lifted, opened.writes_granted), (1, 1));
    let log = stage.scene().log.clone();
    let acls: Vec<_> = log
        .iter()
        .filter(|it| it.starts_with("usw2"))
        .cloned()
        .collect();
    // The denial that a fence on the source is made of does not follow the writers.
    assert_eq!(
        acls,
        [
            "usw2 remove deny User:shop WRITE on topic orders",
            "usw2 add deny User:intern WRITE on topic orders",
            "usw2 add allow User:shop WRITE on topic orders",
        ]
    );
    let ledger = stage.scene().ledger.clone().ok_or("no ledger")?;
    assert_eq!(ledger.active, order.target);
    assert!(!ledger.fences.contains_key(&order.target));
    assert!(ledger.fences.contains_key(&order.source));
    // Again: nothing is left to be lifted.
    let again = handle(&stage.world(), JustOrder { order })?;
    assert_eq!(again.fences_lifted, 0);
    assert!(!opened.was_active && again.was_active);
    Ok(())
}

#[test]
fn what_is_not_sealed_is_not_opened() -> Outcome {
    let stage = Stage::new();
    let order = stage.order(Mode::Failover, Leash::Acting);
    let refused = handle(&stage.world(), JustOrder { order }).err();
    assert_eq!(refused.map(|it| it.name), Some(ErrorName::BadRequest));
    assert!(stage.scene().log.is_empty());
    Ok(())
}

#[test]
fn what_was_withheld_being_unknown_stops_nothing() -> Outcome {
    let (stage, order) = stage(Leash::Acting)?;
    let kind = PortErrorKind::Unreachable;
    let failing = "forward.toml.withheld_acls".to_owned();
    stage.scene().failing.insert(failing, kind);
    let opened = handle(&stage.world(), JustOrder { order })?;
    assert_eq!(opened.writes_granted, 0);
    Ok(())
}

#[test]
fn a_drill_grants_nothing() -> Outcome {
    let (stage, order) = stage(Leash::Leashed)?;
    let opened = handle(&stage.world(), JustOrder { order })?;
    assert_eq!(opened.writes_granted, 1);
    assert!(stage.scene().log.is_empty());
    Ok(())
}
