//! What a flow needs to be allowed, how that is granted, and what ACLs say about it.

use std::error::Error;
use std::path::Path;

use proptest::prelude::*;
use understudy_domain::acl::{
    Access, Acl, AclOperation as Op, Pattern, Resource, ResourceKind as Kind, access,
};
use understudy_domain::grants::{MskCluster, acl_commands, iam_statements};
use understudy_domain::permissions::{End, FlowScope, Need, Part, Purpose, covering, needs, table};
use understudy_domain::{
    ApiVersions, FlowName, Metadata, ReplicationPolicy, StateTopics, not_after,
};

type TestResult = Result<(), Box<dyn Error>>;

const ME: &str = "User:understudy";

fn of(policy: &ReplicationPolicy, topics: &[&str]) -> Result<Vec<Need>, Box<dyn Error>> {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Ok(needs(&FlowScope {
        state: &StateTopics::new(FlowName::new("use1-usw2")?),
        policy,
        topics: &topics,
        groups: &["readers".to_owned()],
        renews: false,
        parking: Some("parking"),
        mm2: &[
            "heartbeats".to_owned(),
            "use1.checkpoints.internal".to_owned(),
        ],
        mm2_on_source: &[],
        purposes: &Purpose::ALL,
    }))
}

/// The ACLs that the commands for these needs would make.
fn acls(needs: &[Need], principal: &str) -> Vec<Acl> {
    acl_commands(needs)
        .into_iter()
        .flat_map(|command| {
            command.operations.into_iter().map(move |operation| Acl {
                principal: principal.to_owned(),
                host: "*".to_owned(),
                operation,
                allow: true,
                resource: command.resource.clone(),
            })
        })
        .collect()
}

#[test]
fn no_permission_includes_another_and_nothing_is_written_on_the_source() -> TestResult {
    let needs = of(&ReplicationPolicy::Identity, &[".*"])?;
    for one in &needs {
        for other in &needs {
            let same = one.end == other.end && one.resources == other.resources && one != other;
            assert!(
                !(same && one.operation.includes(other.operation)),
                "{one:?} includes {other:?}"
            );
        }
        if one.end == End::Source {
            let reads = matches!(one.operation, Op::Read | Op::Describe | Op::DescribeConfigs);
            assert!(reads, "{one:?}");
            // READ on a group is a right to commit.
            assert!(one.part == Part::MirroredTopics || one.operation == Op::Describe);
        }
    }
    Ok(())
}

#[test]
fn a_flow_without_a_purpose_does_without_its_permissions() -> TestResult {
    let state = StateTopics::new(FlowName::new("f")?);
    let scope = FlowScope {
        state: &state,
        policy: &ReplicationPolicy::Identity,
        topics: &[".*".to_owned()],
        groups: &[".*".to_owned()],
        renews: false,
        parking: None,
        mm2: &[],
        mm2_on_source: &[],
        purposes: &[Purpose::Records],
    };
    let least = needs(&scope);
    assert!(!least.is_empty());
    assert!(least.iter().all(|need| need.part != Part::Cluster));
    assert!(least.iter().all(|need| need.part != Part::MirroredGroups));
    for (purpose, part, end) in [
        (Purpose::Growth, Part::MirroredTopics, End::Target),
        (Purpose::Configs, Part::MirroredTopics, End::Target),
        (Purpose::Places, Part::MirroredGroups, End::Source),
        (Purpose::Acls, Part::Cluster, End::Source),
        (Purpose::Parking, Part::ParkingTopic, End::Target),
        (Purpose::Mm2, Part::Mm2Topics, End::Target),
        (Purpose::SourceHeartbeats, Part::Mm2Topics, End::Source),
    ] {
        let with = needs(&FlowScope {
            parking: Some("aside"),
            mm2: &["heartbeats".to_owned()],
            mm2_on_source: &["heartbeats".to_owned()],
            purposes: &[Purpose::Records, purpose],
            ..scope
        });
        let more: Vec<_> = with.iter().filter(|need| !least.contains(need)).collect();
        assert!(!more.is_empty() && more.iter().all(|need| need.purpose == purpose));
        let named = more
            .iter()
            .any(|need| (need.part, need.end) == (part, end) && !need.resources.is_empty());
        assert!(named, "{more:?}");
    }
    // Nothing to ask for where nothing is named.
    let nothing = needs(&FlowScope {
        groups: &[],
        purposes: &[
            Purpose::Places,
            Purpose::Parking,
            Purpose::Mm2,
            Purpose::SourceHeartbeats,
        ],
        ..scope
    });
    assert!(
        nothing.iter().all(|need| need.part == Part::MirroredTopics),
        "{nothing:?}"
    );
    Ok(())
}

#[test]
fn topics_of_their_own_for_what_was_made_again_are_among_the_copies() -> TestResult {
    let state = StateTopics::new(FlowName::new("f")?);
    let needs = needs(&FlowScope {
        state: &state,
        policy: &ReplicationPolicy::Identity,
        topics: &["orders".to_owned(), "pay\\..*".to_owned()],
        groups: &[],
        renews: true,
        parking: None,
        mm2: &[],
        mm2_on_source: &[],
        purposes: &[Purpose::Records],
    });
    for need in needs
        .iter()
        .filter(|need| need.part == Part::MirroredTopics)
    {
        let covers = |name: &str| {
            let mut resources = need.resources.iter();
            resources.any(|resource| resource.covers(Kind::Topic, name))
        };
        assert!(covers("orders") && covers("pay.x.1") && !covers("ordersx"));
        assert_eq!(covers("orders.1"), need.end == End::Target);
    }
    Ok(())
}

#[test]
fn tails_need_rights_of_their_own_only_where_those_on_copies_do_not_cover_them() -> TestResult {
    let prefixed = ReplicationPolicy::Prefixed {
        alias: "use1".to_owned(),
        separator: ".".to_owned(),
    };
    for (policy, tails) in [
        (&ReplicationPolicy::Identity, "orders.tail."),
        (&prefixed, "use1.orders.tail."),
    ] {
        let needs = of(policy, &["orders", "pay\\..*"])?;
        let of_tails = needs.iter().filter(|need| need.part == Part::TailTopics);
        let operations: Vec<_> = of_tails
            .map(|need| {
                assert_eq!((need.end, need.purpose), (End::Target, Purpose::Salvage));
                let patterns: Vec<_> = need.resources.iter().map(|it| &it.pattern).collect();
                assert_eq!(patterns, [&Pattern::Prefixed(tails.to_owned())]);
                need.operation
            })
            .collect();
        assert_eq!(operations, [Op::Create, Op::Write, Op::Read]);
    }
    let whole = of(&ReplicationPolicy::Identity, &[".*"])?;
    assert!(whole.iter().all(|need| need.part != Part::TailTopics));
    Ok(())
}

#[test]
fn commands_name_operations_resources_and_quote_for_the_shell() -> TestResult {
    let needs = of(&ReplicationPolicy::Identity, &["orders", "pay\\..*"])?;
    let lines: Vec<String> = acl_commands(needs.iter().filter(|need| need.end == End::Source))
        .iter()
        .map(|command| command.line("b-1:9096,b-2:9096", "User:it's"))
        .collect();
    let begin = "kafka-acls --bootstrap-server b-1:9096,b-2:9096 --command-config admin.properties --add --allow-principal 'User:it'\\''s'";
    assert_eq!(
        lines,
        [
            format!("{begin} --operation Describe --cluster"),
            format!(
                "{begin} --operation Read --operation DescribeConfigs --topic orders --resource-pattern-type literal"
            ),
            format!(
                "{begin} --operation Read --operation DescribeConfigs --topic pay. --resource-pattern-type prefixed"
            ),
            format!("{begin} --operation Describe --group readers --resource-pattern-type literal"),
        ]
    );
    Ok(())
}

#[test]
fn copies_under_the_prefixed_policy_are_granted_by_their_prefix() -> TestResult {
    let prefixed = ReplicationPolicy::Prefixed {
        alias: "use1".to_owned(),
        separator: ".".to_owned(),
    };
    for (pattern, expected) in [
        (".*", Pattern::Prefixed("use1.".to_owned())),
        ("orders", Pattern::Literal("use1.orders".to_owned())),
        ("pay.*", Pattern::Prefixed("use1.pay".to_owned())),
    ] {
        let needs = of(&prefixed, &[pattern])?;
        let copies = needs
            .iter()
            .find(|need| need.end == End::Target && need.part == Part::MirroredTopics)
            .ok_or("no copies")?;
        let found: Vec<_> = copies.resources.iter().map(|r| &r.pattern).collect();
        assert_eq!(found, [&expected], "{pattern}");
    }
    Ok(())
}

#[test]
fn a_policy_statement_names_every_action_and_fills_in_what_the_host_name_tells() -> TestResult {
    let needs = of(&ReplicationPolicy::Identity, &["orders"])?;
    let cluster = MskCluster::from_bootstrap(
        "b-1.shop.a1b2c3.c2.kafka.us-west-2.amazonaws.com:9098,b-2.shop.a1b2c3.c2.kafka.us-west-2.amazonaws.com:9098",
    );
    let statements = iam_statements(
        needs.iter().filter(|need| need.end == End::Target),
        &cluster,
    );
    let text = serde_json::to_string(&statements)?;
    for part in [
        "arn:aws:kafka:us-west-2:<account>:topic/shop/<cluster-uuid>/orders",
        "arn:aws:kafka:us-west-2:<account>:topic/shop/<cluster-uuid>/understudy.use1-usw2.*",
        "arn:aws:kafka:us-west-2:<account>:transactional-id/shop/<cluster-uuid>/understudy-use1-usw2-*",
        "arn:aws:kafka:us-west-2:<account>:group/shop/<cluster-uuid>/understudy-use1-usw2",
        "arn:aws:kafka:us-west-2:<account>:cluster/shop/<cluster-uuid>",
        "kafka-cluster:Connect",
        "kafka-cluster:AlterTransactionalId",
        "kafka-cluster:WriteDataIdempotently",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    for statement in &statements {
        for action in statement["Action"].as_array().into_iter().flatten() {
            let action = action.as_str().unwrap_or_default();
            assert!(
                action.starts_with("kafka-cluster:") && !action.contains('*'),
                "{action}"
            );
        }
    }
    let unknown = MskCluster::from_bootstrap("localhost:9092");
    let text = serde_json::to_string(&iam_statements(&needs, &unknown))?;
    assert!(
        text.contains("arn:aws:kafka:<region>:<account>:cluster/<cluster-name>/<cluster-uuid>")
    );
    Ok(())
}

#[test]
fn acls_are_judged_as_kafka_does() {
    let acl = |principal: &str, operation, allow, pattern: Pattern| Acl {
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation,
        allow,
        resource: Resource {
            kind: Kind::Topic,
            pattern,
        },
    };
    let any = || Pattern::Any;
    let prefix = || Pattern::Prefixed("or".to_owned());
    let mut elsewhere = acl(ME, Op::Read, true, any());
    elsewhere.host = "10.0.0.1".to_owned();
    let cases = [
        (vec![], Op::Read, Access::NoAcl),
        (
            vec![acl(ME, Op::Read, true, prefix())],
            Op::Read,
            Access::Allowed,
        ),
        (
            vec![acl(ME, Op::Read, true, prefix())],
            Op::Describe,
            Access::Allowed,
        ),
        (
            vec![acl(ME, Op::Read, true, prefix())],
            Op::Write,
            Access::Refused,
        ),
        (
            vec![acl(ME, Op::AlterConfigs, true, any())],
            Op::DescribeConfigs,
            Access::Allowed,
        ),
        (
            vec![acl(ME, Op::AlterConfigs, true, any())],
            Op::Describe,
            Access::Refused,
        ),
        (
            vec![acl("User:*", Op::All, true, any())],
            Op::Write,
            Access::Allowed,
        ),
        (
            vec![acl("User:other", Op::All, true, any())],
            Op::Write,
            Access::Refused,
        ),
        (
            vec![
                acl(ME, Op::All, true, any()),
                acl("User:*", Op::Write, false, prefix()),
            ],
            Op::Write,
            Access::Refused,
        ),
        (
            vec![
                acl(ME, Op::All, true, any()),
                acl(ME, Op::Write, false, prefix()),
            ],
            Op::Describe,
            Access::Allowed,
        ),
        (vec![elsewhere], Op::Read, Access::ByHost),
    ];
    for (acls, operation, expected) in cases {
        assert_eq!(
            access(&acls, ME, operation, Kind::Topic, "orders"),
            expected,
            "{operation} by {acls:?}"
        );
    }
}

/// Patterns as people write them, and worse.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-c_-]{1,3}",
        Just(".".to_owned()),
        Just("\\.".to_owned()),
        Just(".*".to_owned()),
        Just("b*".to_owned()),
        Just("a?".to_owned()),
        Just("c{0,2}".to_owned()),
        Just("(a|b)".to_owned()),
        Just("(a|b)?".to_owned()),
        Just("[ab]".to_owned()),
        Just("|".to_owned()),
        Just("a|".to_owned()),
        Just("\\|".to_owned()),
        Just("(?i)".to_owned()),
        Just("\\w+".to_owned()),
        Just("^".to_owned()),
        Just("$".to_owned()),
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_a_pattern_matches_is_covered(pattern in pattern(), name in "[abcA_.-]{1,6}") {
        let Ok(regex) = regex::Regex::new(&format!("^(?:{pattern})$")) else {
            return Ok(());
        };
        if regex.is_match(&name) {
            let covered = covering(&pattern).into_iter().any(|pattern| {
                Resource { kind: Kind::Topic, pattern }.covers(Kind::Topic, &name)
            });
            prop_assert!(covered, "{pattern} matches {name}");
        }
    }

    #[test]
    fn what_is_granted_allows_every_need_and_one_grant_less_does_not(left_out in 0_usize..22, topic in "[a-z]{1,8}") {
        let needs = of(&ReplicationPolicy::Identity, &[&topic]).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(needs.len(), 22);
        for end in [End::Source, End::Target] {
            let here: Vec<Need> = needs.iter().filter(|need| need.end == end).cloned().collect();
            let but_one: Vec<Need> = needs
                .iter()
                .enumerate()
                .filter(|(at, need)| need.end == end && *at != left_out)
                .map(|(_, need)| need.clone())
                .collect();
            let missing = |acls: &[Acl]| -> Vec<Need> {
                let lacks = |need: &&Need| need.resources.iter().any(|resource| {
                    let name = match &resource.pattern {
                        Pattern::Literal(name) | Pattern::Prefixed(name) => name.clone(),
                        Pattern::Any => "some-other-name".to_owned(),
                    };
                    access(acls, ME, need.operation, resource.kind, &name) != Access::Allowed
                });
                here.iter().filter(lacks).cloned().collect()
            };
            prop_assert_eq!(missing(&acls(&here, ME)), vec![]);
            let gone: Vec<Need> = needs.get(left_out).filter(|need| need.end == end).cloned().into_iter().collect();
            prop_assert_eq!(missing(&acls(&but_one, ME)), gone);
        }
    }

    #[test]
    fn any_bytes_are_a_certificate_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = not_after(&bytes);
    }

    #[test]
    fn a_damaged_certificate_is_read_or_refused(at in 0_usize..CERTIFICATE.len(), value in any::<u8>()) {
        let mut bytes = CERTIFICATE.to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let _either = not_after(&bytes);
    }
}

/// The parts of a certificate up to its validity, which ends at 2031-03-04 05:06:07 UTC.
const CERTIFICATE: &[u8] =
    b"\x30\x36\x30\x34\xa0\x03\x02\x01\x02\x02\x01\x05\x30\x03\x06\x01\x2a\x30\x03\x06\x01\x2a\x30\x20\x17\x0d210304050607Z\x18\x0f20310304050607Z";

#[test]
fn the_end_of_a_certificate_is_read() {
    assert_eq!(not_after(CERTIFICATE), Ok(1_930_367_167));
    let mut cut = CERTIFICATE.to_vec();
    cut.truncate(40);
    assert!(not_after(&cut).is_err());
}

#[test]
fn releases_are_told_by_their_apis() {
    let apis = |list: &[(i16, i16)]| {
        let mut apis = ApiVersions::default();
        for (api, to) in list {
            apis.insert(*api, 0, *to);
        }
        apis
    };
    let new = apis(&[(0, 13), (1, 18), (25, 4), (26, 5), (55, 2)]);
    assert_eq!(new.release(), Some("4.1"));
    assert_eq!(new.metadata(), Metadata::KRaft);
    assert!(new.transactions_v2() && new.topic_ids() && new.leader_epochs());
    let old = apis(&[(0, 9), (1, 12), (4, 5), (25, 3), (26, 3), (60, 0)]);
    assert_eq!(old.release(), Some("2.8"));
    assert_eq!(old.metadata(), Metadata::ZooKeeper);
    assert!(old.transactions() && !old.transactions_v2() && !old.topic_ids());
    assert_eq!(ApiVersions::default().release(), None);
}

/// Set `UNDERSTUDY_WRITE_DOCS` to write the table instead of comparing it.
#[test]
fn the_document_has_the_table_of_the_code() -> TestResult {
    const FROM: &str = "from replicator/domain/src/permissions.rs -->\n";
    const TO: &str = "<!-- end of permissions -->";
    // From the package's folder, where tests run: a path that is compiled in may be that of another clone.
    let path = Path::new("../../docs/permissions.md");
    let text = std::fs::read_to_string(path)?;
    let (before, rest) = text.split_once(FROM).ok_or("no beginning")?;
    let (found, after) = rest.split_once(TO).ok_or("no end")?;
    let wanted = format!("\n{}\n", table());
    if std::env::var_os("UNDERSTUDY_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{FROM}{wanted}{TO}{after}"))?;
    } else {
        assert_eq!(found, wanted, "run this test with UNDERSTUDY_WRITE_DOCS=1");
    }
    Ok(())
}
