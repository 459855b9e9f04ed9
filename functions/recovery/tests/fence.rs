//! A fence shuts out the writers and nobody else, and leaves nothing behind.

use std::collections::BTreeSet;

use proptest::prelude::*;
use understudy_domain::acl::{self, Access};
use understudy_domain::{Acl, AclOperation, AclPattern, AclPermission, AclResource};
use understudy_recovery::fence::{
    FenceAcl, FenceImpossible, plan_fence, to_add, to_remove, unbarred, without,
};

const PRINCIPALS: [&str; 5] = [
    "User:shop",
    "User:till",
    "User:search",
    "User:flow",
    "User:ops",
];
const TOPICS: [&str; 4] = ["a", "ab", "b", "other"];
const OPERATIONS: [AclOperation; 9] = [
    AclOperation::All,
    AclOperation::Read,
    AclOperation::Write,
    AclOperation::Create,
    AclOperation::Delete,
    AclOperation::Alter,
    AclOperation::Describe,
    AclOperation::DescribeConfigs,
    AclOperation::AlterConfigs,
];

/// As the domain's rules of Kafka's authorizer take it.
fn judged(acl: &Acl) -> acl::Acl {
    let pattern = match acl.pattern {
        AclPattern::Literal if acl.name == "*" => acl::Pattern::Any,
        AclPattern::Literal => acl::Pattern::Literal(acl.name.clone()),
        AclPattern::Prefixed => acl::Pattern::Prefixed(acl.name.clone()),
    };
    acl::Acl {
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: operation(acl.operation),
        allow: acl.permission == AclPermission::Allow,
        resource: acl::Resource {
            kind: match acl.resource {
                AclResource::Topic => acl::ResourceKind::Topic,
                AclResource::Group => acl::ResourceKind::Group,
                AclResource::TransactionalId => acl::ResourceKind::TransactionalId,
            },
            pattern,
        },
    }
}

const fn operation(operation: AclOperation) -> acl::AclOperation {
    match operation {
        AclOperation::All => acl::AclOperation::All,
        AclOperation::Read => acl::AclOperation::Read,
        AclOperation::Write => acl::AclOperation::Write,
        AclOperation::Create => acl::AclOperation::Create,
        AclOperation::Delete => acl::AclOperation::Delete,
        AclOperation::Alter => acl::AclOperation::Alter,
        AclOperation::Describe => acl::AclOperation::Describe,
        AclOperation::DescribeConfigs => acl::AclOperation::DescribeConfigs,
        AclOperation::AlterConfigs => acl::AclOperation::AlterConfigs,
    }
}

/// What everybody may do to every topic, by Kafka's own rules.
type May = Vec<(&'static str, &'static str, AclOperation, Access)>;

fn may(acls: &[Acl], admits_everyone: bool) -> May {
    let acls: Vec<acl::Acl> = acls.iter().map(judged).collect();
    let mut found = Vec::new();
    for principal in PRINCIPALS {
        for topic in TOPICS {
            // Nobody asks for ALL; being allowed it is being allowed each of the others.
            for asked in OPERATIONS.into_iter().skip(1) {
                let kind = acl::ResourceKind::Topic;
                let access = match acl::access(&acls, principal, operation(asked), kind, topic) {
                    Access::NoAcl if admits_everyone => Access::Allowed,
                    Access::NoAcl => Access::Refused,
                    access => access,
                };
                found.push((principal, topic, asked, access));
            }
        }
    }
    found
}

fn added(present: &[Acl], more: &[Acl]) -> Vec<Acl> {
    let mut acls = present.to_vec();
    acls.extend(more.iter().filter(|acl| !present.contains(acl)).cloned());
    acls
}

fn removed(present: &[Acl], less: &[Acl]) -> Vec<Acl> {
    present
        .iter()
        .filter(|acl| !less.contains(acl))
        .cloned()
        .collect()
}

fn acl(principal: &str, operation: AclOperation, permission: AclPermission, name: &str) -> Acl {
    Acl {
        resource: AclResource::Topic,
        name: name.to_owned(),
        pattern: AclPattern::Literal,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    }
}

fn any_acl() -> impl Strategy<Value = Acl> {
    let principal = proptest::sample::select([&PRINCIPALS[..], &["User:*"]].concat());
    let name = proptest::sample::select(vec!["a", "ab", "b", "*", "other"]);
    let resource = prop_oneof![5 => Just(AclResource::Topic), 1 => Just(AclResource::Group)];
    let host = prop_oneof![5 => Just("*"), 1 => Just("10.0.0.7")];
    (
        (resource, name, any::<bool>(), principal),
        (
            host,
            proptest::sample::select(OPERATIONS.to_vec()),
            any::<bool>(),
        ),
    )
        .prop_map(
            |((resource, name, prefixed, principal), (host, operation, allow))| Acl {
                resource,
                name: name.to_owned(),
                pattern: if prefixed && name != "*" {
                    AclPattern::Prefixed
                } else {
                    AclPattern::Literal
                },
                principal: principal.to_owned(),
                host: host.to_owned(),
                operation,
                permission: if allow {
                    AclPermission::Allow
                } else {
                    AclPermission::Deny
                },
            },
        )
}

fn any_acls() -> impl Strategy<Value = Vec<Acl>> {
    proptest::collection::btree_set(any_acl(), 0..6).prop_map(|acls| acls.into_iter().collect())
}

fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(names.to_vec(), 1..=names.len())
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn writers() -> impl Strategy<Value = Vec<String>> {
    some_of(&["User:shop", "User:till"])
}

fn topics() -> impl Strategy<Value = BTreeSet<String>> {
    some_of(&["a", "ab", "b"]).prop_map(|topics| topics.into_iter().collect())
}

/// What a cluster is, and what it tells.
fn setting() -> impl Strategy<Value = (bool, Option<bool>)> {
    proptest::sample::select(vec![(true, Some(true)), (false, Some(false)), (true, None)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_writer_writes_and_everybody_else_does_as_before(
        writers in writers(), topics in topics(), present in any_acls(),
        (admits, told) in setting(),
    ) {
        let fence = plan_fence(&writers, &topics, &present, told).expect("it can be fenced");
        let [first, second] = to_add(&fence).expect("its operations are known");
        let before = may(&present, admits);
        let between = added(&present, &first);
        let fenced = added(&between, &second);
        prop_assert_eq!(&may(&between, admits), &before, "nobody is shut out on the way");
        for (was, is) in before.iter().zip(may(&fenced, admits)) {
            let (principal, topic, operation, _) = is;
            let barred = operation == AclOperation::Write
                && writers.iter().any(|it| it == principal)
                && topics.contains(topic);
            if barred {
                prop_assert_eq!(is.3, Access::Refused, "{:?}", is);
            } else {
                prop_assert_eq!(was, &is);
            }
        }
        prop_assert_eq!(unbarred(&writers, &topics, &fenced, told), vec![]);

        let [first, second] = to_remove(&fence).expect("its operations are known");
        let between = removed(&fenced, &first);
        prop_assert_eq!(&may(&between, admits), &before, "nobody is shut out on the way back");
        prop_assert_eq!(removed(&between, &second), present, "the inverse is exact");
    }

    #[test]
    fn a_fence_that_was_begun_is_planned_the_same_again(
        writers in writers(), topics in topics(), present in any_acls(),
        (_, told) in setting(), part in any::<prop::sample::Index>(),
    ) {
        let fence = plan_fence(&writers, &topics, &present, told).expect("it can be fenced");
        let [first, second] = to_add(&fence).expect("its operations are known");
        let all = [first, second].concat();
        let some = all.iter().take(part.index(all.len() + 1)).cloned().collect::<Vec<_>>();
        let halfway = added(&present, &some);
        prop_assert_eq!(without(&halfway, &fence), present.clone());
        let again = plan_fence(&writers, &topics, &without(&halfway, &fence), told);
        prop_assert_eq!(again.as_ref(), Ok(&fence));
        // And one that stands needs nothing more.
        let whole = added(&present, &all);
        prop_assert_eq!(plan_fence(&writers, &topics, &whole, told), Ok(vec![]));
    }

    #[test]
    fn what_a_cluster_does_not_tell_still_fences_the_writers(
        writers in writers(), topics in topics(), present in any_acls(), admits in any::<bool>(),
    ) {
        let fence = plan_fence(&writers, &topics, &present, None).expect("it can be fenced");
        let [first, second] = to_add(&fence).expect("its operations are known");
        let fenced = added(&added(&present, &first), &second);
        for (principal, topic, operation, access) in may(&fenced, admits) {
            if operation == AclOperation::Write
                && writers.iter().any(|it| it == principal)
                && topics.contains(topic)
            {
                prop_assert_eq!(access, Access::Refused);
            }
        }
        prop_assert!(!fence.iter().any(|acl| acl.deny && acl.principal == "User:*"));
    }

    #[test]
    fn whoever_may_still_write_is_found(
        topics in topics(), present in any_acls(), (admits, told) in setting(),
    ) {
        let everybody: Vec<String> = PRINCIPALS.iter().map(|it| (*it).to_owned()).collect();
        let found = unbarred(&everybody, &topics, &present, told);
        for (principal, topic, operation, access) in may(&present, admits) {
            if operation != AclOperation::Write || !topics.contains(topic) {
                continue;
            }
            let free = found.iter().any(|it| it.writer == principal && it.topic == topic);
            prop_assert_eq!(free, access != Access::Refused, "{} on {}", principal, topic);
        }
    }

    #[test]
    fn a_stored_acl_is_the_same_acl(acl in any_acl()) {
        match FenceAcl::of(&acl) {
            Some(stored) => prop_assert_eq!(stored.acl(), Ok(acl)),
            None => prop_assert!(
                acl.pattern == AclPattern::Prefixed
                    || acl.host != "*"
                    || acl.resource != AclResource::Topic
            ),
        }
    }
}

#[test]
fn an_open_topic_keeps_everybody_but_the_writers() {
    let fence = plan_fence(
        &["User:shop".to_owned()],
        &BTreeSet::from(["a".to_owned()]),
        &[],
        Some(true),
    )
    .expect("it can be fenced");
    let [first, second] = to_add(&fence).expect("its operations are known");
    assert_eq!(
        first,
        [acl("User:*", AclOperation::All, AclPermission::Allow, "a")]
    );
    assert_eq!(
        second,
        [acl(
            "User:shop",
            AclOperation::Write,
            AclPermission::Deny,
            "a"
        )]
    );
}

#[test]
fn what_was_there_is_not_the_fences_to_remove() {
    let own = acl("User:shop", AclOperation::Write, AclPermission::Deny, "a");
    let fence = plan_fence(
        &["User:shop".to_owned()],
        &BTreeSet::from(["a".to_owned(), "b".to_owned()]),
        &[own],
        Some(false),
    )
    .expect("it can be fenced");
    let topics: Vec<&str> = fence.iter().map(|acl| acl.topic.as_str()).collect();
    assert_eq!(topics, ["b"]);
}

#[test]
fn what_cannot_be_fenced_says_why() {
    let topics = BTreeSet::from(["a".to_owned()]);
    let of = |writers: &[&str], topics: &BTreeSet<String>| {
        let writers: Vec<String> = writers.iter().map(|it| (*it).to_owned()).collect();
        plan_fence(&writers, topics, &[], Some(true))
    };
    assert_eq!(of(&[], &topics), Err(FenceImpossible::NoWriters));
    assert_eq!(
        of(&["User:shop", "User:*"], &topics),
        Err(FenceImpossible::Everyone)
    );
    for writer in ["shop", "User:", ":shop", ""] {
        assert!(
            matches!(
                of(&[writer], &topics),
                Err(FenceImpossible::NoPrincipal { .. })
            ),
            "{writer:?}"
        );
    }
    let every = BTreeSet::from(["*".to_owned()]);
    assert!(matches!(
        of(&["User:shop"], &every),
        Err(FenceImpossible::NoTopic { .. })
    ));
    assert_eq!(of(&["User:shop"], &BTreeSet::new()), Ok(vec![]));
}

#[test]
fn an_operation_from_elsewhere_is_refused() {
    let stored = FenceAcl {
        topic: "a".to_owned(),
        principal: "User:shop".to_owned(),
        operation: "ENCHANT".to_owned(),
        deny: true,
    };
    assert!(to_remove(&[stored]).is_err());
}
