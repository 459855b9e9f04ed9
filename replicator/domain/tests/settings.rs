//! Settings follow the source's, and nothing of others is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use proptest::prelude::*;
use understudy_domain::{
    Acl, AclAdded, AclOperation, AclPattern, AclPermission, AclPlan, AclResource, AclRules,
    AclWrite, ConfigEntries, ConfigEntry, ConfigOrigin, ConfigPlan, ConfigRules, ConfigsSet,
    DecodeError, DefaultsFrom, FirstAcl, ReplicationPolicy, SettingKey, SettingsMade,
    creation_configs, plan_acls, plan_configs,
};

type TestResult = Result<(), Box<dyn Error>>;
type Remembered = BTreeMap<String, String>;

fn entry(value: &str, origin: ConfigOrigin) -> ConfigEntry {
    ConfigEntry {
        value: Some(value.to_owned()),
        origin,
        read_only: false,
        sensitive: false,
    }
}

fn entries(list: &[(&str, &str, ConfigOrigin)]) -> ConfigEntries {
    list.iter()
        .map(|(key, value, origin)| ((*key).to_owned(), entry(value, *origin)))
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Remembered {
    list.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn excluded(key: &str) -> bool {
    key == "x"
}

fn plan(
    source: &ConfigEntries,
    target: &ConfigEntries,
    remembered: &Remembered,
    defaults_from: DefaultsFrom,
) -> ConfigPlan {
    plan_configs(
        source,
        target,
        remembered,
        &ConfigRules {
            defaults_from,
            excluded: &excluded,
        },
    )
}

#[test]
fn what_the_source_sets_is_set_and_what_others_set_stays() {
    use ConfigOrigin::{Kafka, Topic};
    let source = entries(&[
        ("a", "1", Topic),
        ("b", "1", Kafka),
        ("c", "1", Topic),
        ("x", "1", Topic),
        ("new", "1", Topic),
    ]);
    let target = entries(&[
        ("a", "2", Topic),
        ("b", "9", Topic),
        ("c", "1", Kafka),
        ("x", "2", Topic),
    ]);
    let plan = plan(&source, &target, &Remembered::new(), DefaultsFrom::Target);
    assert_eq!(
        plan.changes,
        BTreeMap::from([
            ("a".to_owned(), Some("1".to_owned())),
            ("c".to_owned(), Some("1".to_owned())),
        ])
    );
    assert_eq!(plan.remember, pairs(&[("a", "1"), ("c", "1")]));
    assert_eq!(plan.unknown, BTreeSet::from(["new".to_owned()]));
}

#[test]
fn what_we_set_goes_with_the_source_unless_somebody_changed_it() {
    use ConfigOrigin::{Kafka, Topic};
    let source = entries(&[("a", "0", Kafka), ("b", "0", Kafka), ("c", "0", Kafka)]);
    let target = entries(&[("a", "1", Topic), ("b", "2", Topic), ("c", "3", Topic)]);
    let remembered = pairs(&[("a", "1"), ("b", "1")]);
    let plan = plan(&source, &target, &remembered, DefaultsFrom::Target);
    assert_eq!(plan.changes, BTreeMap::from([("a".to_owned(), None)]));
    assert_eq!(plan.remember, Remembered::new());
}

#[test]
fn with_the_sources_defaults_what_is_in_force_there_is_in_force_here() {
    use ConfigOrigin::{Cluster, Kafka, Topic};
    let source = entries(&[("a", "1", Kafka), ("b", "1", Cluster), ("c", "1", Kafka)]);
    let target = entries(&[("a", "2", Topic), ("b", "2", Kafka), ("c", "1", Kafka)]);
    let plan = plan(&source, &target, &Remembered::new(), DefaultsFrom::Source);
    let wanted = pairs(&[("a", "1"), ("b", "1")]);
    assert_eq!(plan.remember, wanted);
    assert_eq!(plan.changes.len(), 2);
}

#[test]
fn a_copy_is_made_with_what_the_topic_sets_and_its_cleanup_policy() {
    use ConfigOrigin::{Cluster, Kafka, Topic};
    let source = entries(&[
        ("a", "1", Topic),
        ("b", "1", Cluster),
        ("c", "1", Kafka),
        ("cleanup.policy", "delete", Kafka),
        ("x", "1", Topic),
    ]);
    let made = |defaults_from| {
        creation_configs(
            &source,
            &ConfigRules {
                defaults_from,
                excluded: &excluded,
            },
        )
    };
    assert_eq!(
        made(DefaultsFrom::Target),
        pairs(&[("a", "1"), ("cleanup.policy", "delete")])
    );
    assert_eq!(
        made(DefaultsFrom::Source),
        pairs(&[("a", "1"), ("b", "1"), ("cleanup.policy", "delete")])
    );
}

/// The target after a plan; what was deleted falls back to a default.
fn after(target: &ConfigEntries, plan: &ConfigPlan) -> ConfigEntries {
    let mut after = target.clone();
    for (key, value) in &plan.changes {
        let entry = match value {
            Some(value) => entry(value, ConfigOrigin::Topic),
            None => entry("default", ConfigOrigin::Kafka),
        };
        after.insert(key.clone(), entry);
    }
    after
}

const KEYS: &[&str] = &["a", "b", "c", "x"];

fn some_entries() -> impl Strategy<Value = ConfigEntries> {
    let origin = prop_oneof![
        Just(ConfigOrigin::Topic),
        Just(ConfigOrigin::Cluster),
        Just(ConfigOrigin::Kafka)
    ];
    let one = (
        proptest::option::weighted(0.9, "[12]"),
        origin,
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(value, origin, read_only, sensitive)| ConfigEntry {
            value,
            origin,
            read_only,
            sensitive,
        });
    proptest::collection::btree_map(
        proptest::sample::select(KEYS).prop_map(str::to_owned),
        one,
        0..5,
    )
}

fn some_remembered() -> impl Strategy<Value = Remembered> {
    proptest::collection::btree_map(
        proptest::sample::select(KEYS).prop_map(str::to_owned),
        "[12]",
        0..4,
    )
}

fn binding(text: (&str, &str, AclOperation, AclPermission)) -> Acl {
    let (name, principal, operation, permission) = text;
    let (name, pattern) = match name.strip_suffix('~') {
        Some(prefix) => (prefix, AclPattern::Prefixed),
        None => (name, AclPattern::Literal),
    };
    Acl {
        resource: AclResource::Topic,
        name: name.to_owned(),
        pattern,
        principal: format!("User:{principal}"),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

fn some_acls(resource: AclResource) -> impl Strategy<Value = BTreeSet<Acl>> {
    let one = (
        proptest::sample::select(
            &[
                "orders",
                "orders-eu",
                "orders~",
                "orders-~",
                "*",
                "*~",
                "payments",
                "p~",
                "us.orders",
                "us.orders~",
                "us.~",
                "understudy-x",
            ][..],
        ),
        proptest::sample::select(&["a", "b", "c"][..]),
        proptest::sample::select(
            &[
                AclOperation::All,
                AclOperation::Read,
                AclOperation::Write,
                AclOperation::Describe,
            ][..],
        ),
        proptest::sample::select(&[AclPermission::Allow, AclPermission::Deny][..]),
    )
        .prop_map(move |text| Acl {
            resource,
            ..binding(text)
        });
    proptest::collection::btree_set(one, 0..6)
}

fn some_world() -> impl Strategy<Value = BTreeSet<Acl>> {
    (some_acls(AclResource::Topic), some_acls(AclResource::Group))
        .prop_map(|(topics, groups)| topics.into_iter().chain(groups).collect())
}

#[derive(Clone, Debug)]
struct Rules {
    policy: ReplicationPolicy,
    principals: BTreeMap<String, String>,
    write: AclWrite,
    first: FirstAcl,
    open: bool,
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let policy = prop_oneof![
        Just(ReplicationPolicy::Identity),
        Just(ReplicationPolicy::Prefixed {
            alias: "us".to_owned(),
            separator: ".".to_owned()
        })
    ];
    (policy, any::<[bool; 4]>()).prop_map(|(policy, [mapped, withhold, refuse, open])| Rules {
        policy,
        principals: if mapped {
            pairs(&[("User:a", "User:b")])
        } else {
            BTreeMap::new()
        },
        write: if withhold {
            AclWrite::Withhold
        } else {
            AclWrite::Include
        },
        first: if refuse {
            FirstAcl::Refuse
        } else {
            FirstAcl::Allow
        },
        open,
    })
}

fn plan_with(
    rules: &Rules,
    source: &BTreeSet<Acl>,
    target: &BTreeSet<Acl>,
    remembered: &BTreeSet<Acl>,
) -> AclPlan {
    let topics = ["orders", "orders-eu", "payments", "__consumer_offsets"];
    plan_acls(
        source,
        target,
        remembered,
        &AclRules {
            policy: &rules.policy,
            principals: &rules.principals,
            write: rules.write,
            first: rules.first,
            open: rules.open,
            selects_topic: &|topic| topic.starts_with("orders"),
            selects_group: &|_| true,
            source_topics: &topics.map(str::to_owned).into_iter().collect(),
        },
    )
}

fn usual() -> Rules {
    Rules {
        policy: ReplicationPolicy::Identity,
        principals: BTreeMap::new(),
        write: AclWrite::Withhold,
        first: FirstAcl::Allow,
        open: true,
    }
}

fn set(list: &[(&str, &str, AclOperation, AclPermission)]) -> BTreeSet<Acl> {
    list.iter().map(|text| binding(*text)).collect()
}

#[test]
fn writing_stays_away_and_all_becomes_reading() {
    use AclOperation::{All, Read, Write};
    use AclPermission::{Allow, Deny};
    let source = set(&[
        ("orders", "a", Write, Allow),
        ("orders", "b", All, Allow),
        ("orders", "c", Write, Deny),
        ("orders", "c", All, Deny),
        ("payments", "a", Read, Allow),
    ]);
    let plan = plan_with(&usual(), &source, &BTreeSet::new(), &BTreeSet::new());
    assert_eq!(
        plan.add,
        set(&[("orders", "b", Read, Allow), ("orders", "c", All, Deny)])
    );
    assert_eq!(
        plan.withheld,
        set(&[
            ("orders", "a", Write, Allow),
            ("orders", "b", All, Allow),
            ("orders", "c", Write, Deny)
        ])
    );
}

#[test]
fn a_prefix_is_mirrored_only_if_all_of_its_topics_are() {
    use AclOperation::Read;
    use AclPermission::Allow;
    let mut rules = usual();
    rules.policy = ReplicationPolicy::Prefixed {
        alias: "us".to_owned(),
        separator: ".".to_owned(),
    };
    let source = set(&[
        ("orders-~", "a", Read, Allow),
        ("*", "a", Read, Allow),
        ("p~", "a", Read, Allow),
        ("q~", "a", Read, Allow),
    ]);
    let plan = plan_with(&rules, &source, &BTreeSet::new(), &BTreeSet::new());
    assert_eq!(plan.add, set(&[("us.orders-~", "a", Read, Allow)]));
    assert_eq!(plan.partial, set(&[("*", "a", Read, Allow)]));
}

#[test]
fn neither_the_first_acl_comes_nor_the_last_one_goes_on_an_open_cluster() {
    use AclOperation::{Read, Write};
    use AclPermission::Allow;
    let mut rules = usual();
    rules.first = FirstAcl::Refuse;
    let wanted = set(&[("orders", "a", Read, Allow)]);
    let none = BTreeSet::new();
    let plan = plan_with(&rules, &wanted, &none, &none);
    assert_eq!((&plan.add, &plan.refused), (&none, &wanted));
    let by_hand = set(&[("*", "z", Read, Allow)]);
    assert_eq!(plan_with(&rules, &wanted, &by_hand, &none).add, wanted);

    // The source still protects the topic, only its writers are withheld.
    let writers = set(&[("orders", "w", Write, Allow)]);
    let plan = plan_with(&rules, &writers, &wanted, &wanted);
    assert_eq!((&plan.remove, &plan.kept), (&none, &wanted));
    // The source is as open.
    assert_eq!(plan_with(&rules, &none, &wanted, &wanted).remove, wanted);
    rules.open = false;
    assert_eq!(plan_with(&rules, &writers, &wanted, &wanted).remove, wanted);
}

proptest! {
    #[test]
    fn a_config_plan_carried_out_leaves_nothing_to_do(
        source in some_entries(),
        target in some_entries(),
        remembered in some_remembered(),
        from_source in any::<bool>(),
    ) {
        let defaults_from = if from_source { DefaultsFrom::Source } else { DefaultsFrom::Target };
        let first = plan(&source, &target, &remembered, defaults_from);
        for (key, change) in &first.changes {
            prop_assert!(!excluded(key));
            if change.is_none() {
                let there = target.get(key).and_then(|entry| entry.value.as_ref());
                prop_assert!(remembered.contains_key(key) && remembered.get(key) == there);
            } else if !from_source {
                prop_assert_eq!(source.get(key).map(|entry| entry.origin), Some(ConfigOrigin::Topic));
            }
        }
        for (key, value) in &first.remember {
            let wanted = source.get(key).and_then(|entry| entry.value.as_ref());
            prop_assert_eq!(wanted, Some(value));
        }
        let second = plan(&source, &after(&target, &first), &first.remember, defaults_from);
        prop_assert!(second.changes.is_empty(), "{:?}", second);
        prop_assert_eq!(second.remember, first.remember);
    }

    #[test]
    fn an_acl_plan_carried_out_leaves_nothing_to_do(
        source in some_world(),
        target in some_world(),
        known in some_world(),
        rules in some_rules(),
    ) {
        // Some of what is there is ours.
        let remembered: BTreeSet<Acl> = target.iter().filter(|acl| acl.principal != "User:a")
            .chain(&known).cloned().collect();
        let plan = plan_with(&rules, &source, &target, &remembered);
        prop_assert!(plan.remove.is_subset(&remembered) && plan.remove.is_subset(&target));
        prop_assert!(plan.forget.is_subset(&remembered) && plan.forget.is_disjoint(&target));
        prop_assert!(plan.add.is_disjoint(&target));
        for acl in &plan.add {
            if acl.resource == AclResource::Topic && rules.write == AclWrite::Withhold {
                prop_assert!(acl.operation != AclOperation::Write);
                prop_assert!(acl.permission == AclPermission::Deny || acl.operation != AclOperation::All);
            }
            if rules.open && rules.first == FirstAcl::Refuse {
                prop_assert!(target.iter().any(|there| there.covers(acl)), "{}", acl);
            }
            prop_assert!(!rules.principals.contains_key(&acl.principal));
        }
        let target: BTreeSet<Acl> = target.union(&plan.add).filter(|acl| !plan.remove.contains(acl)).cloned().collect();
        let remembered: BTreeSet<Acl> = remembered.union(&plan.add)
            .filter(|acl| !plan.remove.contains(acl) && !plan.forget.contains(acl)).cloned().collect();
        let again = plan_with(&rules, &source, &target, &remembered);
        prop_assert!(again.is_empty(), "{:?}", again);
        prop_assert_eq!(again.refused, plan.refused);
        prop_assert_eq!(again.kept, plan.kept);
    }

    #[test]
    fn what_was_made_comes_back_as_it_was(
        before in some_world(), now in some_world(),
        configs_before in some_remembered(), configs_now in some_remembered(),
    ) {
        let made = |acls: &BTreeSet<Acl>, set: &Remembered| SettingsMade {
            acls: acls.clone(),
            withheld: acls.iter().filter(|acl| acl.operation == AclOperation::Write).cloned().collect(),
            configs: if set.is_empty() { BTreeMap::new() } else { BTreeMap::from([("orders".to_owned(), set.clone())]) },
        };
        let (before, now) = (made(&before, &configs_before), made(&now, &configs_now));
        let mut read = SettingsMade::default();
        for (key, value) in SettingsMade::default().records_to(&before, 3).into_iter().chain(before.records_to(&now, 4)) {
            read.fold(&key, value.as_deref())?;
        }
        prop_assert_eq!(&read, &now);
        prop_assert!(now.records_to(&read, 5).is_empty());
    }

    #[test]
    fn any_bytes_are_a_setting_or_a_named_error(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        let mut made = SettingsMade::default();
        if made.fold(&key, Some(&value)).is_err() {
            prop_assert_eq!(made, SettingsMade::default());
        }
    }
}

#[test]
fn the_settings_format_is_fixed() -> TestResult {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    let configs = SettingKey::Configs {
        topic: "orders".to_owned(),
    };
    assert_eq!(text(configs.encode())?, r#"{"configs":{"topic":"orders"}}"#);
    let set = ConfigsSet {
        flow_epoch: 7,
        set: pairs(&[("cleanup.policy", "compact"), ("retention.ms", "1000")]),
    };
    let golden =
        r#"{"version":1,"flow_epoch":7,"set":{"cleanup.policy":"compact","retention.ms":"1000"}}"#;
    assert_eq!(text(set.encode())?, golden);
    assert_eq!(ConfigsSet::decode(golden.as_bytes())?, set);

    let acl = SettingKey::Acl(Acl {
        resource: AclResource::TransactionalId,
        name: "orders-".to_owned(),
        pattern: AclPattern::Prefixed,
        principal: "User:a".to_owned(),
        host: "*".to_owned(),
        operation: AclOperation::DescribeConfigs,
        permission: AclPermission::Allow,
    });
    let golden = concat!(
        r#"{"acl":{"resource":"transactional-id","name":"orders-","pattern":"prefixed","#,
        r#""principal":"User:a","host":"*","operation":"describe-configs","permission":"allow"}}"#,
    );
    assert_eq!(text(acl.encode())?, golden);
    assert_eq!(SettingKey::decode(golden.as_bytes())?, acl);
    let golden = r#"{"version":1,"flow_epoch":7}"#;
    assert_eq!(text(AclAdded { flow_epoch: 7 }.encode())?, golden);
    let newer = br#"{"version":2,"flow_epoch":7}"#;
    assert!(matches!(
        AclAdded::decode(newer),
        Err(DecodeError::NewerVersion { .. })
    ));
    Ok(())
}
