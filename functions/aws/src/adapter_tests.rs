//! Adapters against something that answers in AWS's stead.

use std::collections::BTreeMap;
use std::error::Error;

use understudy_recovery::client::Pointer;
use understudy_recovery::contract::Start;
use understudy_recovery::plan::Wish;
use understudy_recovery::{Alias, Leash, Ledger, Mode, PairName};
use understudy_shell::PortErrorKind;
use understudy_shell::world::{LedgerStore, Machines};

use crate::ledger::DynamoLedger;
use crate::machines::{MachineNames, StepFunctions};
use crate::parameters::Parameters;
use crate::regions::Regions;
use crate::stand_in::StandIn;

type Outcome = Result<(), Box<dyn Error>>;

const CONFLICT: (u16, &str) = (
    400,
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#,
);
const DENIED: (u16, &str) = (
    400,
    r#"{"__type":"AccessDeniedException","message":"not authorized to perform: dynamodb:GetItem"}"#,
);

fn ledger() -> Result<Ledger, Box<dyn Error>> {
    Ok(Ledger::new(PairName::new("orders")?, Alias::new("use1")?))
}

fn item(ledger: &Ledger) -> Result<String, Box<dyn Error>> {
    let document = serde_json::to_string(ledger)?;
    let value = serde_json::json!({ "Item": { "document": { "S": document } } });
    Ok(value.to_string())
}

#[test]
fn nothing_stored_is_a_pair_before_its_first_recovery() -> Outcome {
    let (session, asked) = StandIn::saying(&[(200, "{}")])?;
    let store = DynamoLedger::new(&session, "ledger", None);
    assert_eq!(store.read(&PairName::new("orders")?)?, None);
    let asked = asked.asked().join("");
    assert!(asked.contains(r#""ConsistentRead":true"#), "{asked}");
    assert!(asked.contains("ledger#orders"), "{asked}");
    Ok(())
}

#[test]
fn a_write_is_on_condition_of_the_version_that_was_read() -> Outcome {
    let next = ledger()?.attempted();
    let (session, asked) = StandIn::saying(&[(200, "{}")])?;
    DynamoLedger::new(&session, "ledger", None).write(0, &next)?;
    let asked = asked.asked().join("");
    let condition = "attribute_not_exists(#key) OR #version = :before";
    assert!(asked.contains(condition), "{asked}");
    assert!(asked.contains(r#"":before":{"N":"0"}"#), "{asked}");
    Ok(())
}

#[test]
fn what_somebody_else_wrote_is_a_conflict_and_what_we_wrote_ourselves_is_none() -> Outcome {
    let next = ledger()?.attempted();
    let ours = item(&next)?;
    let (session, _) = StandIn::saying(&[CONFLICT, (200, &ours)])?;
    DynamoLedger::new(&session, "ledger", None).write(0, &next)?;

    let theirs = item(&next.attempted())?;
    let (session, _) = StandIn::saying(&[CONFLICT, (200, &theirs)])?;
    let refused = DynamoLedger::new(&session, "ledger", None).write(0, &next);
    assert_eq!(
        refused.err().map(|error| error.kind),
        Some(PortErrorKind::Conflict)
    );
    Ok(())
}

#[test]
fn a_refusal_says_what_was_asked_and_what_was_answered() -> Outcome {
    let (session, _) = StandIn::saying(&[DENIED])?;
    let refused = DynamoLedger::new(&session, "ledger", None).read(&PairName::new("orders")?);
    let error = refused.err().ok_or("it was answered")?;
    assert_eq!(error.kind, PortErrorKind::NotPermitted);
    assert_eq!(
        error.text,
        "reading the ledger of orders: AccessDeniedException: not authorized to perform: dynamodb:GetItem"
    );
    Ok(())
}

#[test]
fn a_service_that_is_ill_is_asked_twice_and_then_unreachable() -> Outcome {
    let (session, asked) = StandIn::saying(&[])?;
    let refused = DynamoLedger::new(&session, "ledger", None).read(&PairName::new("orders")?);
    assert_eq!(
        refused.err().map(|error| error.kind),
        Some(PortErrorKind::Unreachable)
    );
    assert_eq!(asked.asked().len(), 2);
    Ok(())
}

fn pointer(epoch: u64, active: &str) -> Pointer {
    Pointer {
        schema: 1,
        pair: "orders".to_owned(),
        epoch,
        active: active.to_owned(),
        bootstrap: format!("{active}:9096"),
    }
}

fn parameter(value: &str) -> String {
    serde_json::json!({ "Parameter": { "Name": "/apps/shop", "Value": value } }).to_string()
}

#[test]
fn a_pointer_of_a_newer_epoch_stays() -> Outcome {
    let newer = parameter(&serde_json::to_string(&pointer(8, "use1"))?);
    let (session, asked) = StandIn::saying(&[(200, &newer)])?;
    let refused = Parameters::new(&session).point("/apps/shop", &pointer(7, "usw2"));
    assert_eq!(
        refused.err().map(|error| error.kind),
        Some(PortErrorKind::Conflict)
    );
    assert_eq!(asked.asked().len(), 1, "nothing was written");
    Ok(())
}

#[test]
fn what_no_recovery_wrote_is_pointed_and_what_points_already_is_left() -> Outcome {
    let placeholder = parameter(r#"{"schema":0,"note":"not pointed yet"}"#);
    let (session, asked) = StandIn::saying(&[(200, &placeholder), (200, "{}")])?;
    Parameters::new(&session).point("/apps/shop", &pointer(7, "usw2"))?;
    let asked = asked.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .last()
            .is_some_and(|it| it.contains(r#""Overwrite":true"#))
    );

    let same = parameter(&serde_json::to_string(&pointer(7, "usw2"))?);
    let (session, asked) = StandIn::saying(&[(200, &same)])?;
    Parameters::new(&session).point("/apps/shop", &pointer(7, "usw2"))?;
    assert_eq!(asked.asked().len(), 1);
    Ok(())
}

#[test]
fn a_name_that_is_taken_starts_nothing() -> Outcome {
    let taken = r#"{"__type":"ExecutionAlreadyExists","message":"Execution Already Exists"}"#;
    let (session, asked) = StandIn::saying(&[(400, taken)])?;
    let prefix = "arn:aws:states:us-west-2:1:stateMachine:understudy-orders-";
    let names = MachineNames::parse(prefix, None).ok_or("no names")?;
    let machines = StepFunctions::new(&Regions::new(session, BTreeMap::new()), names);
    let start = Start {
        pair: PairName::new("orders")?,
        execution: ledger()?.next_execution(Mode::Failover, Leash::Acting),
        mode: Mode::Failover,
        leash: Leash::Acting,
        wish: Wish::Alarm {
            alarm: "understudy-orders-use1-unhealthy".to_owned(),
        },
        wished_at_ms: 0,
        consent: None,
        supersede: false,
        standby_only: false,
    };
    assert!(!machines.start(&start)?);
    let asked = asked.asked().join("");
    assert!(
        asked.contains("stateMachine:understudy-orders-failover"),
        "{asked}"
    );
    assert!(
        asked.contains(r#""name":"orders-e1-failover-1""#),
        "{asked}"
    );
    Ok(())
}
