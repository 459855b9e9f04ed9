use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::keys::{CLIENT_KEYS, FLOW_KEYS, Fate};
use super::*;
use crate::config::{Flow, Start};
use crate::secrets::FirstRead;

const TYPICAL: &str = r#"
# two clusters, one way
clusters = use1, usw2
use1.bootstrap.servers = b-1.use1:9096,b-2.use1:9096
use1.security.protocol = SASL_SSL
use1.sasl.mechanism = SCRAM-SHA-512
use1.sasl.jaas.config = org.apache.kafka.common.security.scram.ScramLoginModule required \
    username="mm2" password="hush-hush";
use1.ssl.truststore.location = /etc/kafka/truststore.jks
use1.ssl.truststore.password = changeit-secret
usw2.bootstrap.servers = b-1.usw2:9092
usw2.producer.compression.type = zstd
usw2.producer.acks = all
use1->usw2.enabled = true
use1->usw2.topics = orders, payments\\..*
use1->usw2.consumer.auto.offset.reset = latest
usw2->use1.enabled = false
usw2->use1.topics = nothing
topics.exclude = .*[\\-\\.]internal, .*\\.replica, __.*, noise
tasks.max = 24
replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy
replication.factor = 3
refresh.topics.interval.seconds = 5
sync.topic.acls.enabled = false
emit.checkpoints.interval.seconds = 20
offset-syncs.topic.replication.factor = 3
key.converter = org.apache.kafka.connect.converters.ByteArrayConverter
madeup.thing = 7
"#;

fn import_text(text: &str) -> (Vec<Imported>, Vec<Entry>, Vec<String>) {
    let mut contradictions = Vec::new();
    let (flows, keys) = import(&Properties::parse(text), &mut contradictions);
    (flows, keys, contradictions)
}

fn status(keys: &[Entry], key: &str) -> Option<Status> {
    keys.iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.status)
}

#[test]
fn a_typical_file_becomes_a_flow_and_every_key_is_told() -> Result<(), Box<dyn std::error::Error>> {
    let (flows, keys, contradictions) = import_text(TYPICAL);
    assert_eq!(contradictions, Vec::<String>::new());
    assert_eq!(flows.len(), 1);
    let imported = flows.first().ok_or("no flow")?;
    for line in [
        "alias = \"use1\"",
        "\"bootstrap.servers\" = \"b-1.use1:9096,b-2.use1:9096\"",
        "\"sasl.username\" = \"mm2\"",
        "\"sasl.password\" = \"${env:USE1_SASL_PASSWORD}\"",
        "# \"ssl.ca.location\" = …   # the authorities in /etc/kafka/truststore.jks as PEM",
        "\"compression.type\" = \"zstd\"",
        "policy = \"identity\"",
        "slots = 24",
        "start = \"latest\"",
        "topic_discovery_interval = \"5s\"",
        "topics_exclude = [\"noise\"]",
    ] {
        assert!(imported.toml.contains(line), "{line}\n{}", imported.toml);
    }
    assert!(!imported.toml.contains("hush") && !imported.toml.contains("changeit"));
    let report = Import {
        flows: Vec::new(),
        keys,
        contradictions,
    };
    let shown = format!("{report}{}", crate::report::Report::json(&report)?);
    assert!(
        !shown.contains("hush") && !shown.contains("changeit"),
        "{shown}"
    );
    let keys = report.keys;
    for (key, expected) in [
        ("use1->usw2.topics", Status::Translated),
        ("usw2->use1.topics", Status::Unused),
        ("clusters", Status::Instead),
        ("madeup.thing", Status::Look),
        ("sync.topic.acls.enabled", Status::Translated),
        ("use1.ssl.truststore.location", Status::Look),
        ("usw2.producer.acks", Status::Instead),
        ("use1.sasl.jaas.config", Status::Translated),
    ] {
        assert_eq!(status(&keys, key), Some(expected), "{key}");
    }
    assert_eq!(keys.len(), Properties::parse(TYPICAL).values.len());
    // It is a flow file that this version takes, and in memory the secret is the real one.
    let secrets = |name: &str| imported.secrets.get(name).cloned();
    let flow = Flow::parse(
        &imported.toml,
        Path::new("imported"),
        &secrets,
        FirstRead::WithTheFile,
    )?;
    assert_eq!(
        (flow.name.as_str(), flow.slots.get(), flow.start),
        ("use1-usw2", 24, Start::Latest)
    );
    assert!(flow.selects("payments.eu") && !flow.selects("noise"));
    assert_eq!(secrets("USE1_SASL_PASSWORD").as_deref(), Some("hush-hush"));
    Ok(())
}

#[test]
fn what_is_closer_to_the_flow_counts() {
    let (flows, keys, _) = import_text(
        "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\n\
         topics=everybody\na->b.topics=own\nsecurity.protocol=SSL\nb.security.protocol=PLAINTEXT\n\
         producer.linger.ms=1\nb.producer.linger.ms=2\na.producer.linger.ms=3\n",
    );
    let toml = flows
        .first()
        .map(|flow| flow.toml.clone())
        .unwrap_or_default();
    let (source, target) = toml.split_once("[target]").unwrap_or_default();
    assert!(toml.contains("topics = [\"own\"]"), "{toml}");
    assert!(source.contains("\"security.protocol\" = \"SSL\""), "{toml}");
    assert!(
        target.contains("\"security.protocol\" = \"PLAINTEXT\""),
        "{toml}"
    );
    assert!(
        target.contains("\"linger.ms\" = \"2\"") && !source.contains("linger"),
        "{toml}"
    );
    assert!(
        toml.contains("policy = \"prefixed\""),
        "MirrorMaker's default: {toml}"
    );
    assert_eq!(status(&keys, "topics"), Some(Status::Instead));
    assert_eq!(status(&keys, "a.producer.linger.ms"), Some(Status::Unused));
}

#[test]
fn contradictions_are_named() {
    let both = "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\nb->a.enabled=true\n";
    for (lines, expected) in [
        (
            "replication.policy.class=com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy",
            "keep names: copies would go back and forth",
        ),
        ("topics=(?!x).*", "is a pattern for Java only"),
        ("a->c.enabled=true", "c is not among the clusters"),
        ("topics=x\ntopics=y", "topics is there more than once"),
        (
            "a->b.source.cluster.bootstrap.servers=b:1",
            "have a bootstrap server in common",
        ),
        (
            "a.sasl.jaas.config=x.PlainLoginModule required username=u password=p;",
            "security.protocol is not SASL_SSL",
        ),
        (
            "b.sasl.mechanism=AWS_MSK_IAM",
            "cluster b is reached with AWS_MSK_IAM",
        ),
        ("a->b.enabled=perhaps", "neither true nor false"),
    ] {
        let (_, _, contradictions) = import_text(&format!("{both}{lines}\n"));
        assert!(
            contradictions.iter().any(|found| found.contains(expected)),
            "{lines}: {contradictions:?}"
        );
    }
    let (flows, _, contradictions) = import_text("clusters=a,b\n");
    assert!(
        flows.is_empty()
            && contradictions
                .iter()
                .any(|found| found.contains("no flow is enabled"))
    );
}

#[test]
fn policies_that_keep_names_are_known() {
    for (class, policy) in [
        (
            "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
            "identity",
        ),
        (
            "io.strimzi.kafka.connect.mirror.IdentityReplicationPolicy",
            "identity",
        ),
        (
            "com.amazonaws.kafka.samples.CustomMM2ReplicationPolicy",
            "identity",
        ),
        ("ch.example.NoPrefixReplicationPolicy", "identity"),
        ("com.kafka.mirror.PrefixlessReplicationPolicy", "identity"),
        (
            "com.instaclustr.kafka.connect.mirror.SimpleReplicationPolicy",
            "identity",
        ),
        (
            "org.apache.kafka.connect.mirror.DefaultReplicationPolicy",
            "prefixed",
        ),
    ] {
        let (flows, keys, _) = import_text(&format!(
            "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\nreplication.policy.class={class}\n"
        ));
        let toml = flows
            .first()
            .map(|flow| flow.toml.clone())
            .unwrap_or_default();
        assert!(
            toml.contains(&format!("policy = \"{policy}\"")),
            "{class} {toml}"
        );
        assert_eq!(
            status(&keys, "replication.policy.class"),
            Some(Status::Translated)
        );
    }
}

#[test]
fn a_policy_that_only_sounds_like_one_that_keeps_names_is_refused_with_what_to_write() {
    for class in [
        "x.Strange",
        "x.NoopAuditReplicationPolicy",
        "x.NoChangeOfSuffixReplicationPolicy",
        "x.IdentityReplicationPolicyWithSuffix",
        "x.SimpleReplicationPolicy",
    ] {
        let (flows, keys, contradictions) = import_text(&format!(
            "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\nreplication.policy.class={class}\n"
        ));
        assert_eq!(
            status(&keys, "replication.policy.class"),
            Some(Status::Look)
        );
        let named = contradictions.iter().any(|reason| {
            reason.contains(class) && reason.contains("mirror.IdentityReplicationPolicy")
        });
        assert!(named, "{contradictions:?}");
        // Nor may it be run as it is.
        assert!(flows.iter().all(|flow| !flow.contradictions.is_empty()));
    }
}

#[test]
fn connectors_become_the_same_flow() -> Result<(), Box<dyn std::error::Error>> {
    let document = serde_json::json!([
        {"name": "source", "config": {
            "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            "source.cluster.alias": "use1", "target.cluster.alias": "usw2",
            "source.cluster.bootstrap.servers": "s:1", "target.cluster.bootstrap.servers": "t:1",
            "topics": "orders", "tasks.max": 12, "replication.factor": 3,
            "producer.override.compression.type": "gzip",
            "source.consumer.max.partition.fetch.bytes": "33554432",
            "offset-syncs.topic.location": "target",
            "transforms": "drop"}},
        {"name": "checkpoint", "config": {
            "connector.class": "MirrorCheckpointConnector",
            "source.cluster.alias": "use1", "target.cluster.alias": "usw2",
            "source.cluster.bootstrap.servers": "other:1", "target.cluster.bootstrap.servers": "t:1",
            "tasks.max": "1", "groups": "billing"}},
        {"connector.class": "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector",
            "source.cluster.alias": "use1", "target.cluster.alias": "usw2"},
        {"name": "s3", "config": {"connector.class": "io.example.S3Sink"}},
        7
    ]);
    let mut connectors = Connectors::new();
    connectors.add(&document);
    let mut contradictions = connectors.contradictions;
    let (flows, keys) = import(&connectors.properties, &mut contradictions);
    let toml = flows
        .first()
        .map(|flow| flow.toml.clone())
        .ok_or("no flow")?;
    for line in [
        "\"compression.type\" = \"gzip\"",
        "\"fetch.message.max.bytes\" = \"33554432\"",
        "slots = 12",
        "topics = [\"orders\"]",
        "groups = [\"billing\"]",
        "mm2.connector = \"source\"",
        "mm2.offset_syncs = true",
        "# start = \"mm2\"",
        "# mm2.offsets_topic = ",
    ] {
        assert!(toml.contains(line), "{line}\n{toml}");
    }
    assert_eq!(status(&keys, "use1->usw2.transforms"), Some(Status::Look));
    for expected in [
        "use1.bootstrap.servers another value",
        "connector s3 is none",
        "not a JSON object",
    ] {
        assert!(
            contradictions.iter().any(|found| found.contains(expected)),
            "{expected}: {contradictions:?}"
        );
    }
    assert_eq!(contradictions.len(), 3, "{contradictions:?}");
    Ok(())
}

#[test]
fn configs_acls_and_groups_are_mirrored_as_before() -> Result<(), Box<dyn std::error::Error>> {
    let base = "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\n\
                replication.policy.class=DefaultReplicationPolicy\n";
    let of = |lines: &str| -> Result<(String, Flow, Vec<Entry>), Box<dyn std::error::Error>> {
        let (flows, keys, contradictions) = import_text(&format!("{base}{lines}\n"));
        assert_eq!(contradictions, Vec::<String>::new(), "{lines}");
        let toml = flows
            .first()
            .map(|flow| flow.toml.clone())
            .ok_or("no flow")?;
        let flow = Flow::parse(
            &toml,
            Path::new("imported"),
            &|_| None,
            FirstRead::WithTheFile,
        )?;
        Ok((toml, flow, keys))
    };
    let (toml, flow, keys) = of(
        "sync.topic.configs.enabled=false\nsync.topic.acls.enabled=true\n\
         sync.topic.acls.interval.seconds=30\nsync.topic.configs.interval.seconds=600\n\
         config.properties.exclude=retention\\\\..*, segment.bytes\nuse.defaults.from=source\n\
         sync.group.offsets.enabled=true\nsync.group.offsets.interval.seconds=5",
    )?;
    let settings = &flow.settings;
    assert_eq!((settings.configs, settings.acls), (false, true), "{toml}");
    assert_eq!(settings.interval, std::time::Duration::from_secs(30));
    assert!(settings.excludes("retention.ms") && settings.excludes("segment.bytes"));
    assert!(
        !settings.excludes("min.insync.replicas"),
        "the list is replaced, as in MirrorMaker 2"
    );
    assert_eq!(
        settings.defaults_from,
        understudy_domain::DefaultsFrom::Source
    );
    assert_eq!(flow.group_sync_interval, std::time::Duration::from_secs(5));
    assert!(toml.contains("# first_acl = \"allow\""), "{toml}");
    assert!(
        keys.iter().all(|entry| entry.status != Status::Look),
        "nothing is left to look at"
    );
    // Unless told otherwise: configs as before; ACLs are said to be off.
    let (toml, flow, _) = of("")?;
    assert!(flow.settings.configs && !flow.settings.acls);
    assert!(flow.settings.excludes("min.insync.replicas"));
    assert!(toml.contains("# sync_acls = true"), "{toml}");
    // An interval below zero switches it off in MirrorMaker 2, whatever the switch says.
    let (_, flow, _) =
        of("sync.topic.configs.enabled=true\nsync.topic.configs.interval.seconds=-1")?;
    assert!(!flow.settings.configs);
    let (_, flow, _) = of("sync.topic.acls.interval.seconds=9999999")?;
    assert_eq!(
        flow.settings.interval,
        std::time::Duration::from_secs(86_400)
    );
    for lines in [
        "use.defaults.from=elsewhere",
        "sync.topic.acls.enabled=perhaps",
        "sync.topic.configs.interval.seconds=often",
        "sync.group.offsets.enabled=false",
    ] {
        let (_, _, keys) = of(lines)?;
        let key = lines.split_once('=').map_or("", |(key, _)| key);
        assert_eq!(status(&keys, key), Some(Status::Look), "{lines}");
    }
    Ok(())
}

/// Values that MirrorMaker 2 would take for a key.
fn sample(name: &str) -> &'static str {
    match name {
        "replication.policy.class" => "DefaultReplicationPolicy",
        "tasks.max" => "16",
        "sasl.jaas.config" => "PlainLoginModule required username=u password=p;",
        "ssl.truststore.location" => "/ca.pem",
        "ssl.keystore.location" => "/own.p12",
        "auto.offset.reset" => "latest",
        "security.protocol" => "SASL_SSL",
        "sasl.mechanism" => "PLAIN",
        "groups" | "config.properties.exclude" | "config.properties.blacklist" => ".*",
        "use.defaults.from" => "source",
        "emit.heartbeats.enabled"
        | "emit.checkpoints.enabled"
        | "replication.policy.internal.topic.separator.enabled" => "false",
        "offset-syncs.topic.location" => "target",
        name if name.ends_with(".enabled") => "true",
        _ => "1",
    }
}

#[test]
fn what_the_table_says_is_carried_over_is() {
    let base =
        "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\n";
    let flow = FLOW_KEYS.iter().map(|key| (key, "a->b."));
    for (key, prefix) in flow.chain(CLIENT_KEYS.iter().map(|key| (key, "a.consumer."))) {
        let name = key.name.replace('*', "x");
        if matches!(name.as_str(), "clusters" | "enabled" | "bootstrap.servers") {
            continue;
        }
        let written = format!("{prefix}{name}");
        let (_, keys, _) = import_text(&format!("{base}{written}={}\n", sample(key.name)));
        let expected = match key.fate {
            Fate::To(_) => Status::Translated,
            Fate::Instead(_) => Status::Instead,
            Fate::Lost(_) => Status::Look,
        };
        assert_eq!(status(&keys, &written), Some(expected), "{written}");
    }
}

#[test]
fn the_flow_wanted_is_found_or_what_there_is_is_named() -> Result<(), Box<dyn std::error::Error>> {
    let path =
        std::env::temp_dir().join(format!("understudy-{}-mm2.properties", std::process::id()));
    std::fs::write(
        &path,
        format!(
            "{TYPICAL}\nusw2->use1.enabled = true\nreplication.policy.class = DefaultReplicationPolicy\n"
        ),
    )?;
    assert_eq!(one(&path, Some("use1 -> usw2"))?.flow, "use1->usw2");
    let several = one(&path, None)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(several.contains("use1->usw2, usw2->use1"), "{several}");
    let unknown = one(&path, Some("x->y"))
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(unknown.contains("no enabled flow x->y"), "{unknown}");
    std::fs::remove_file(&path)?;
    Ok(())
}

#[test]
fn stores_are_taken_for_what_their_type_says() {
    let base =
        "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\n";
    for (lines, expected) in [
        (
            "a.ssl.truststore.location=/x/trust\na.ssl.truststore.type=PEM",
            "\"ssl.ca.location\" = \"/x/trust\"",
        ),
        (
            "a.ssl.truststore.location=/x/trust.jks",
            "# \"ssl.ca.location\" = ",
        ),
        (
            "a.ssl.keystore.location=/x/own\na.ssl.keystore.type=PKCS12",
            "\"ssl.keystore.location\" = \"/x/own\"",
        ),
        (
            "a.ssl.keystore.location=/x/own\na.ssl.keystore.type=pem",
            "\"ssl.key.location\" = \"/x/own\"",
        ),
        (
            "a.ssl.keystore.location=/x/own.jks",
            "# \"ssl.keystore.location\" = ",
        ),
    ] {
        let (flows, _, _) = import_text(&format!("{base}{lines}\n"));
        let toml = flows
            .first()
            .map(|flow| flow.toml.clone())
            .unwrap_or_default();
        assert!(toml.contains(expected), "{lines}\n{toml}");
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "[ab]->[ab]\\.(enabled|topics|source\\.consumer\\.x|groups|tasks\\.max)",
        "[ab]\\.(bootstrap\\.servers|sasl\\.jaas\\.config|ssl\\.key\\.password|producer\\.linger\\.ms)",
        "(topics|groups|replication\\.policy\\.(class|separator)|refresh\\.topics\\.interval\\.seconds)",
        "\\PC{0,20}",
    ];
    let value = prop_oneof![
        Just("true".to_owned()),
        "[a-z\"'\\\\#=:;,\\[({*+?$\u{1}\u{7f}-]{0,30}",
        "\\PC{0,30}",
    ];
    prop::collection::vec((key, value), 0..25).prop_map(|pairs| {
        let lines: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("clusters=a,b\na->b.enabled=true\n{}", lines.join("\n"))
    })
}

proptest! {
    #[test]
    fn any_file_gives_flow_files_that_are_toml_and_tells_every_key(text in hostile()) {
        let (flows, keys, _) = import_text(&text);
        for flow in &flows {
            let table: Result<toml::Table, _> = flow.toml.parse();
            prop_assert!(table.is_ok(), "{}\n{:?}", flow.toml, table.err());
            // Whatever is wrong with it has a name.
            let _ = Flow::parse(&flow.toml, Path::new("imported"), &|name| flow.secrets.get(name).cloned(), FirstRead::WithTheFile);
        }
        let properties = Properties::parse(&text);
        let told: BTreeMap<&str, usize> = keys.iter().map(|entry| (entry.key.as_str(), 1)).collect();
        prop_assert_eq!(told.len(), keys.len());
        prop_assert!(properties.values.keys().all(|key| told.contains_key(key.as_str())));
    }

    #[test]
    fn a_password_never_gets_out(password in "[A-Za-z0-9]{12,20}") {
        let text = format!(
            "clusters=a,b\na->b.enabled=true\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\n\
             a.sasl.jaas.config=x.ScramLoginModule required username=u password=\"{password}\";\n\
             b.ssl.key.password={password}\nb.ssl.keystore.password={password}\nb.ssl.truststore.password={password}\n\
             consumer.sasl.jaas.config=OAuthBearerLoginModule required clientSecret=\"{password}\";\n",
        );
        let (flows, keys, contradictions) = import_text(&text);
        let flows = flows.into_iter().map(|flow| FlowText {
            flow: flow.flow,
            file: None,
            toml: flow.toml,
            environment: flow.secrets.into_keys().collect(),
        });
        let import = Import { flows: flows.collect(), keys, contradictions };
        let shown = format!("{import}{}", serde_json::to_string(&import).unwrap_or_default());
        prop_assert!(!shown.contains(&password), "{shown}");
    }
}
