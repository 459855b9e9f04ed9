//! A pair that cannot be used is refused, and says why.

use serde_json::{Value, json};
use understudy_recovery::client::{Adapter, Role};
use understudy_recovery::pair::{Automation, EarlyClients, Pair, Silence, WithoutAcls};
use understudy_recovery::{Alias, Consent};

fn file() -> Value {
    json!({
        "name": "orders",
        "clusters": {"use1": {"region": "us-east-1"}, "usw2": {"region": "us-west-2"}},
        "flows": [
            {"source": "use1", "target": "usw2", "file": "use1-usw2.toml", "service": "dr/forward"},
            {"source": "usw2", "target": "use1", "file": "usw2-use1.toml", "workers": 3}
        ],
        "home": "use1",
        "fencing": {"writers": ["User:shop"]},
        "applications": [
            {"name": "shop", "role": "producer", "adapters": [
                {"kind": "ssm-parameter", "parameter": "/orders/kafka"},
                {"kind": "ecs-service", "services": {"use1": "apps/shop", "usw2": "apps/shop"}, "desired": 2}
            ], "topics": ["orders"]},
            {"name": "billing", "role": "consumer", "wave": 1, "groups": ["billing"], "adapters": [
                {"kind": "lambda-event-source", "mappings": {"use1": "uuid-1", "usw2": "uuid-2"}}
            ]}
        ]
    })
}

fn pair(file: Value) -> Pair {
    serde_json::from_value(file).expect("it has the form of a pair")
}

/// The pair with another value at a place, or one more at the end of a list.
fn with(path: &str, value: Value) -> Value {
    let mut file = file();
    let (parent, name) = path.rsplit_once('/').expect("a path");
    let place = file.pointer_mut(parent).expect("a place in the file");
    match place {
        Value::Object(fields) => {
            fields.insert(name.to_owned(), value);
        }
        Value::Array(items) => items.push(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    file
}

fn wrong(file: Value) -> String {
    pair(file)
        .check()
        .map_err(|error| error.to_string())
        .err()
        .unwrap_or_else(|| "nothing is wrong".to_owned())
}

#[test]
fn a_pair_says_little_and_means_the_careful_thing() {
    let pair = pair(file());
    assert_eq!(pair.check(), Ok(()));
    assert_eq!(pair.automation, Automation::AskFirst);
    assert_eq!(pair.consent, Consent::default());
    assert_eq!(
        (pair.approval.deadline_seconds, pair.approval.silence),
        (1_800, Silence::Reject)
    );
    assert_eq!(pair.early_clients, EarlyClients::Keep);
    assert_eq!(pair.fencing.without_acls, WithoutAcls::Refuse);
    let (use1, usw2) = (alias("use1"), alias("usw2"));
    assert_eq!(pair.other(&use1), Some(&usw2));
    assert_eq!(pair.other(&usw2), Some(&use1));
    let back = pair.flow_from(&usw2).expect("a flow each way");
    assert_eq!((&back.target, back.workers), (&use1, 3));
    let roles: Vec<Role> = pair.applications.iter().map(|it| it.role).collect();
    assert_eq!(roles, [Role::Producer, Role::Consumer]);
    assert!(matches!(
        pair.applications
            .first()
            .and_then(|shop| shop.adapters.last()),
        Some(Adapter::EcsService { desired: 2, .. })
    ));
}

fn alias(name: &str) -> Alias {
    Alias::new(name).expect("an alias")
}

#[test]
fn what_is_wrong_is_named() {
    let cluster = json!({"region": "eu-west-1"});
    let flow = |source: &str, target: &str| json!({"source": source, "target": target, "file": "more.toml"});
    let mut lonely = file();
    if let Some(clusters) = lonely
        .pointer_mut("/clusters")
        .and_then(Value::as_object_mut)
    {
        clusters.remove("usw2");
    }
    let mut one_way = file();
    if let Some(flows) = one_way.pointer_mut("/flows").and_then(Value::as_array_mut) {
        flows.pop();
    }
    let mut same_way = file();
    if let Some(flows) = same_way.pointer_mut("/flows").and_then(Value::as_array_mut) {
        flows.pop();
        flows.push(flow("use1", "usw2"));
    }
    for (file, reason) in [
        (lonely, "it names 1 clusters; a pair has two"),
        (
            with("/clusters/euw1", cluster),
            "it names 3 clusters; a pair has two",
        ),
        (
            with("/home", json!("euw1")),
            "home is euw1, which is not one of its clusters",
        ),
        (
            with("/flows/-", flow("use1", "euw1")),
            "flow more.toml names cluster euw1, which is not one of its clusters",
        ),
        (
            with("/flows/-", flow("use1", "usw2")),
            "2 flows leave use1; a pair has one flow for each direction",
        ),
        (
            one_way,
            "1 flows leave use1; a pair has one flow for each direction",
        ),
        (
            same_way,
            "2 flows leave use1; a pair has one flow for each direction",
        ),
        (
            with("/flows/-", flow("usw2", "use1")),
            "1 flows leave use1; a pair has one flow for each direction",
        ),
        (
            with("/fencing/writers", json!(["User:shop", "User:*"])),
            "fencing.writers has User:*: it would shut out the reverse flow too; name each writer",
        ),
        (
            with(
                "/applications/-",
                json!({"name": "shop", "role": "consumer", "adapters": []}),
            ),
            "application shop is named twice",
        ),
    ] {
        assert_eq!(wrong(file), format!("pair orders: {reason}"));
    }
}

#[test]
fn a_flow_that_leads_back_to_its_own_cluster_is_no_way() {
    let mut circle = file();
    if let Some(flow) = circle.pointer_mut("/flows/1/target") {
        *flow = json!("usw2");
    }
    assert_eq!(
        wrong(circle),
        "pair orders: flow usw2-use1.toml leads from usw2 to itself"
    );
}

#[test]
fn unknown_keys_are_refused() {
    for path in [
        "/enchanted",
        "/clusters/use1/enchanted",
        "/flows/0/enchanted",
        "/fencing/enchanted",
        "/applications/0/enchanted",
        "/applications/0/adapters/0/enchanted",
    ] {
        let file = with(path, json!(true));
        assert!(serde_json::from_value::<Pair>(file).is_err(), "{path}");
    }
    for (path, value) in [
        ("/consent", json!({"max_lost": 1})),
        ("/approval", json!({"deadline": 1})),
        ("/automation", json!("sometimes")),
        ("/name", json!("no spaces please")),
    ] {
        let file = with(path, value);
        assert!(serde_json::from_value::<Pair>(file).is_err(), "{path}");
    }
}
