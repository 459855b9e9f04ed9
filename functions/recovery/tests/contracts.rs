//! The committed examples of requests and responses, and the evidence's schema, are what the types say.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use understudy_recovery::Step;
use understudy_recovery::contract::{
    AnswerRequest, ApprovalRequest, Approved, Asked, Assessed, ClaimRequest, Claimed, ClientsSeen,
    Drained, EvidenceRequest, FenceRequest, Fenced, FencesKept, FlowRequest, FlowStarted,
    JustOrder, KeepFencesRequest, Notified, NotifyRequest, Opened, Placed, PlacesRequest,
    PlanRequest, Planned, ProbeRequest, Probed, Quiesced, Reconfigured, Recorded, Sealed,
    TailPutAside, TailSurveyed, Triggered, Unfenced, WaveRequest,
};
use understudy_recovery::evidence::{Evidence, SCHEMA};

/// From the package's folder, where tests run: a path that is compiled in may be that of another clone.
fn folder() -> PathBuf {
    PathBuf::from("../../statemachines/contracts")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name))
        .unwrap_or_else(|error| format!("{name} cannot be read: {error}"))
}

fn example(name: &str) -> Value {
    let text = text(name);
    serde_json::from_str(&text).expect("an example is JSON")
}

/// The example is exactly what its type reads and writes.
fn same<T: DeserializeOwned + Serialize>(name: &str) {
    let example = example(name);
    let read: Result<T, _> = serde_json::from_value(example.clone());
    let again = read.map(|read| serde_json::to_value(read).expect("a contract is JSON"));
    assert_eq!(
        again.map_err(|error| error.to_string()),
        Ok(example),
        "{name}"
    );
}

/// Wherever a field more is put into a request, it is refused.
fn strict<T: DeserializeOwned>(name: &str) {
    let example = example(name);
    for path in objects(&example, String::new()) {
        // What people say and what Step Functions says travels as it is.
        if path.starts_with("/error") {
            continue;
        }
        let mut more = example.clone();
        let object = more
            .pointer_mut(&path)
            .and_then(Value::as_object_mut)
            .expect("the path leads to an object");
        object.insert("enchanted".to_owned(), json!(true));
        assert!(
            serde_json::from_value::<T>(more).is_err(),
            "{name} takes an unknown field at {path:?}"
        );
    }
}

/// Where there are objects in a value.
fn objects(value: &Value, path: String) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let mut found = vec![path.clone()];
            for (name, field) in fields {
                found.extend(objects(field, format!("{path}/{name}")));
            }
            found
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(at, item)| objects(item, format!("{path}/{at}")))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn contract<Q: DeserializeOwned + Serialize, A: DeserializeOwned + Serialize>(step: Step) {
    let request = format!("{step}.request.json");
    same::<Q>(&request);
    strict::<Q>(&request);
    same::<A>(&format!("{step}.response.json"));
}

#[test]
fn every_step_has_its_contract() {
    for step in Step::ALL {
        match step {
            Step::ProbeHealth => contract::<ProbeRequest, Probed>(step),
            // Others' events come in here as well; what it understands is its own test.
            Step::TriggerRecovery => same::<Triggered>("trigger-recovery.response.json"),
            Step::ClaimEpoch => contract::<ClaimRequest, Claimed>(step),
            Step::Assess => contract::<JustOrder, Assessed>(step),
            Step::PlanRecovery => contract::<PlanRequest, Planned>(step),
            Step::RequestApproval => contract::<ApprovalRequest, Asked>(step),
            Step::AnswerApproval => contract::<AnswerRequest, Approved>(step),
            Step::FenceSource => contract::<FenceRequest, Fenced>(step),
            Step::UnfenceSource => contract::<JustOrder, Unfenced>(step),
            Step::KeepFences => contract::<KeepFencesRequest, FencesKept>(step),
            Step::AwaitDrain => contract::<JustOrder, Drained>(step),
            Step::QuiesceClients => contract::<WaveRequest, Quiesced>(step),
            Step::SealFlow => contract::<JustOrder, Sealed>(step),
            Step::CommitGroupOffsets | Step::VerifyOffsets => {
                contract::<PlacesRequest, Placed>(step);
            }
            Step::OpenTarget => contract::<JustOrder, Opened>(step),
            Step::ReconfigureClients => contract::<WaveRequest, Reconfigured>(step),
            Step::VerifyClients => contract::<WaveRequest, ClientsSeen>(step),
            Step::SurveyTail => contract::<JustOrder, TailSurveyed>(step),
            Step::PutAsideTail => contract::<JustOrder, TailPutAside>(step),
            Step::StartFlow => contract::<FlowRequest, FlowStarted>(step),
            Step::RecordEvidence => contract::<EvidenceRequest, Recorded>(step),
            Step::Notify => contract::<NotifyRequest, Notified>(step),
        }
        assert!(
            example(&format!("{step}.request.json")).is_object(),
            "{step} is asked with an object"
        );
    }
}

#[test]
fn nothing_else_lies_among_the_contracts() {
    let entries = fs::read_dir(folder()).expect("the folder is there");
    for entry in entries {
        let name = entry.expect("it can be listed").file_name();
        let name = name.to_string_lossy();
        let step = name
            .strip_suffix(".request.json")
            .or_else(|| name.strip_suffix(".response.json"));
        let known = step.is_some_and(|step| Step::named(step).is_some())
            || matches!(&*name, "evidence.schema.json" | "evidence.example.json");
        assert!(known, "{name} belongs to no step");
    }
}

#[test]
fn contracts_fit_into_an_execution_many_times_over() {
    for step in Step::ALL {
        for side in ["request", "response"] {
            let bytes = text(&format!("{step}.{side}.json")).len();
            assert!(bytes < 2_048, "{step}.{side}.json has {bytes} bytes");
        }
    }
}

#[test]
fn every_decision_has_its_form() {
    let planned = example("plan-recovery.response.json");
    let planned = planned.as_object().expect("a response is an object");
    let with = |decision: Value| {
        let mut planned = planned.clone();
        planned.remove("decision");
        planned.remove("question");
        planned.extend(decision.as_object().cloned().unwrap_or_default());
        serde_json::from_value::<Planned>(Value::Object(planned)).map(|planned| planned.decision)
    };
    for decision in [
        json!({"decision": "proceed"}),
        json!({"decision": "ask", "question": "Fail over?"}),
        json!({"decision": "refuse", "reason": "not failing over: usw2 cannot take over"}),
    ] {
        let read = with(decision.clone()).expect("it is a decision");
        assert_eq!(serde_json::to_value(&read).ok(), Some(decision));
    }
    assert!(with(json!({"decision": "perhaps"})).is_err());
    assert!(with(json!({})).is_err());
}

// ---- the evidence's schema ----

/// As much of JSON Schema as the evidence's schema uses. A keyword that is not known here is an error, and so is a
/// property of a value that the schema does not name: readers may ignore one, this test may not.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fields = schema.as_object().ok_or(format!("{at}: no schema"))?;
    for (keyword, wanted) in fields {
        let holds = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let path = wanted.as_str().unwrap_or_default().trim_start_matches('#');
                let target = root.pointer(path).ok_or(format!("{at}: no {path}"))?;
                return check(root, target, value, at);
            }
            "type" => wanted.as_str() == Some(type_of(value)) || is_number(wanted, value),
            "const" => wanted == value,
            "enum" => wanted.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => value.as_f64() >= wanted.as_f64(),
            "minItems" => length(value) >= wanted.as_u64(),
            "maxItems" => length(value) <= wanted.as_u64(),
            // Patterns are for others; the types check what they check.
            "pattern" => value.is_string(),
            "anyOf" => {
                let all = wanted.as_array().ok_or(format!("{at}: anyOf"))?;
                let tries: Vec<_> = all.iter().map(|it| check(root, it, value, at)).collect();
                match tries.iter().any(Result::is_ok) {
                    true => true,
                    false => return tries.into_iter().next().unwrap_or(Ok(())),
                }
            }
            "oneOf" => {
                let all = wanted.as_array().ok_or(format!("{at}: oneOf"))?;
                let fits = |it: &&Value| check(root, it, value, at).is_ok();
                all.iter().filter(fits).count() == 1
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, item, &format!("{at}/{number}"))?;
                }
                true
            }
            "required" => {
                let names = wanted.as_array().into_iter().flatten();
                for name in names.filter_map(Value::as_str) {
                    if value.get(name).is_none() {
                        return Err(format!("{at}: {name} is missing"));
                    }
                }
                true
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    let known = wanted
                        .get(name)
                        .ok_or(format!("{at}: {name} is not in the schema"))?;
                    check(root, known, field, &format!("{at}/{name}"))?;
                }
                true
            }
            unknown => return Err(format!("{at}: keyword {unknown} is not known to this test")),
        };
        if !holds {
            return Err(format!("{at}: {value} does not hold {keyword} {wanted}"));
        }
    }
    Ok(())
}

fn length(value: &Value) -> Option<u64> {
    value
        .as_array()
        .and_then(|items| u64::try_from(items.len()).ok())
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_number(wanted: &Value, value: &Value) -> bool {
    wanted == "integer" && (value.is_i64() || value.is_u64())
}

fn valid(value: &Value) -> Result<(), String> {
    let schema = example("evidence.schema.json");
    check(&schema, &schema, value, "")
}

fn fields(value: &Value, path: &str) -> Vec<String> {
    let object = value.pointer(path).and_then(Value::as_object);
    object.into_iter().flat_map(Map::keys).cloned().collect()
}

#[test]
fn the_evidences_schema_holds_the_example_and_the_example_is_evidence() {
    same::<Evidence>("evidence.example.json");
    let example = example("evidence.example.json");
    assert_eq!(valid(&example), Ok(()));
    assert_eq!(example.get("schema"), Some(&json!(SCHEMA)));
}

#[test]
fn evidence_of_a_recovery_that_never_began_holds_too() {
    let mut bare = example("evidence.example.json");
    let object = bare.as_object_mut().expect("evidence is an object");
    for optional in [
        "error",
        "assessment",
        "plan",
        "approval",
        "tail",
        "cut",
        "loss",
        "places",
        "opened_after_ms",
        "fenced_since_ms",
        "clients_back_after_ms",
    ] {
        object.insert(optional.to_owned(), Value::Null);
    }
    for list in ["steps", "unknown", "next"] {
        object.insert(list.to_owned(), json!([]));
    }
    assert_eq!(valid(&bare), Ok(()));
    let read: Evidence = serde_json::from_value(bare.clone()).expect("it is evidence");
    assert_eq!(serde_json::to_value(read).ok(), Some(bare));
}

#[test]
fn the_evidences_schema_knows_every_field_and_misses_every_one_that_is_gone() {
    let example = example("evidence.example.json");
    for path in objects(&example, String::new()) {
        for name in fields(&example, &path) {
            let mut less = example.clone();
            if let Some(object) = less.pointer_mut(&path).and_then(Value::as_object_mut) {
                object.remove(&name);
            }
            assert!(valid(&less).is_err(), "{path}/{name} may be missing");
        }
        let mut more = example.clone();
        if let Some(object) = more.pointer_mut(&path).and_then(Value::as_object_mut) {
            object.insert("enchanted".to_owned(), json!(1));
        }
        assert!(
            valid(&more).is_err(),
            "{path} has a field that nobody knows"
        );
    }
}

#[test]
fn the_evidences_schema_names_steps_and_states_as_the_types_do() {
    let schema = example("evidence.schema.json");
    let steps: Vec<&str> = Step::ALL.into_iter().map(Step::name).collect();
    assert_eq!(
        schema.pointer("/$defs/step/properties/step/enum"),
        Some(&json!(steps))
    );
    let states: Vec<&str> = understudy_recovery::places::PlaceIs::ALL
        .into_iter()
        .map(understudy_recovery::places::PlaceIs::name)
        .collect();
    assert_eq!(
        schema.pointer("/$defs/place/properties/state/enum"),
        Some(&json!(states))
    );
}
