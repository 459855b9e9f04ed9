//! `understudy import-mm2` as an operator runs it, and a flow that runs from the property file itself.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde_json::Value;
use understudy_tests::{
    Cluster, Judge, Listener, Pair, Process, Workload, understudy, understudy_binary, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_property_file_runs_as_it_is_and_as_the_flow_file_made_of_it() -> Outcome {
    let Pair { source, target } = &Pair::start(
        |source| source.user("mm2", "correct-horse"),
        |target| target,
    )?;
    for topic in ["orders", "noise"] {
        source.create_topic(topic, 2, &[])?;
        Workload::orders(source.client(), topic)
            .records(200)
            .run()?;
    }
    let dir = target.dir().join("import");
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("mm2.properties");
    std::fs::write(&file, properties(source, target))?;
    let out = dir.join("flows");

    // The flow file made of it is one that understudy takes.
    let (code, report) = run(&["import-mm2", &shown(&file), "--out", &shown(&out), "--json"])?;
    let report: Value = serde_json::from_str(&report)?;
    assert_eq!(code, 0, "{report}");
    let made = report
        .pointer("/flows/0/file")
        .and_then(Value::as_str)
        .ok_or("no file")?;
    let text = std::fs::read_to_string(made)?;
    assert!(
        !text.contains("correct-horse") && !report.to_string().contains("correct-horse"),
        "{text}"
    );
    let (code, words) = run(&["import-mm2", &shown(&file), "--out", &shown(&out)])?;
    assert!(
        code == 2 && words.contains("cannot write"),
        "what somebody edited is kept: {words}"
    );
    let (code, words) = run(&["status", made])?;
    assert!(
        code == 2 && words.contains("USE1_SASL_PASSWORD is not set"),
        "{words}"
    );

    // The password is in the property file, so that runs by itself.
    let log = dir.join("worker.log");
    let arguments = ["replicate", &shown(&file), "--flow", "use1->usw2"].map(str::to_owned);
    let mut worker = Process::start(
        "from-properties",
        understudy_binary()?,
        arguments,
        &[],
        &log,
    )?;
    let client: ClientConfig = target.client();
    let mut judge = Judge::with_clients((source.client(), "orders"), (client, "use1.orders"));
    wait_for("the copies", LIMIT, || {
        worker
            .expect_running()
            .map_err(|error| understudy_tests::chain(&error))?;
        if target.partitions("use1.orders").ok().flatten().is_none() {
            return Err("no topic yet".to_owned());
        }
        let seen = judge
            .compare()
            .map_err(|error| understudy_tests::chain(&error))?;
        if seen.is_exact() && seen.copied == 200 {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })?;
    worker.terminate()?;
    worker.wait(LIMIT)?;
    assert_eq!(target.partitions("use1.noise")?, None);
    assert!(!std::fs::read_to_string(&log)?.contains("correct-horse"));
    let (code, answer) = run(&[
        "translate",
        &shown(&file),
        "--topic",
        "orders",
        "--partition",
        "1",
        "--offset",
        "0",
        "--json",
    ])?;
    let answer: Value = serde_json::from_str(&answer)?;
    let at = |field: &str| answer.get(field).cloned().unwrap_or_default();
    assert_eq!(code, 0, "{answer}");
    assert_eq!(
        (at("target_offset"), at("target_topic")),
        (Value::from(0), Value::from("use1.orders"))
    );
    let (code, words) = run(&["status", &shown(&file), "--flow", "usw2->use1"])?;
    assert!(
        code == 2 && words.contains("no enabled flow usw2->use1; enabled: use1->usw2"),
        "{words}"
    );
    let (code, words) = run(&["status", made, "--flow", "use1->usw2"])?;
    assert!(code == 2 && words.contains("is none"), "{words}");
    Ok(())
}

#[test]
fn what_cannot_be_imported_is_named_and_the_file_is_not_quoted() -> Outcome {
    let dir = tempfile::tempdir()?;
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).map(|()| shown(&path))
    };
    let broken = write("broken.json", "{\"name\": \"x\", \"password\": hush}")?;
    let (code, words) = run(&["import-mm2", &broken])?;
    assert!(
        code == 2 && words.contains("is none: line 1") && !words.contains("hush"),
        "{words}"
    );
    let (code, words) = run(&["import-mm2", &shown(&dir.path().join("nothing"))])?;
    assert!(code == 2 && words.contains("cannot read"), "{words}");
    let none = write("none.properties", "clusters = a, b\na->b.enabled = false\n")?;
    let (code, words) = run(&["import-mm2", &none])?;
    assert!(
        code == 1 && words.contains("WRONG: no flow is enabled"),
        "{words}"
    );
    let noise: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let path = dir.path().join("noise.properties");
    std::fs::write(&path, noise)?;
    let (code, _) = run(&["import-mm2", &shown(&path)])?;
    assert_eq!(code, 1);
    let both = write(
        "both.properties",
        "clusters=a,b\na.bootstrap.servers=a:1\nb.bootstrap.servers=b:1\na->b.enabled=true\nb->a.enabled=true\nreplication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n",
    )?;
    for tool in ["status", "verify", "replicate"] {
        let (code, words) = run(&[tool, &both, "--flow", "a->b"])?;
        assert!(
            code == 2 && words.contains("back and forth for ever"),
            "{words}"
        );
    }
    let (code, words) = run(&["status", &both])?;
    assert!(
        code == 2 && words.contains("say which with --flow"),
        "{words}"
    );
    Ok(())
}

/// As people have it, with a user for the source.
fn properties(source: &Cluster, target: &Cluster) -> String {
    let client = source.client_properties_of("mm2", "correct-horse");
    let value = |name: &str| {
        let found = client.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let plain = target.client_properties(Listener::Plaintext);
    let plain = plain
        .first()
        .map(|(_, value)| value.clone())
        .unwrap_or_default();
    format!(
        "clusters = use1, usw2\n\
         use1.bootstrap.servers = {}\n\
         use1.security.protocol = SASL_SSL\n\
         use1.sasl.mechanism = SCRAM-SHA-512\n\
         use1.sasl.jaas.config = org.apache.kafka.common.security.scram.ScramLoginModule required \\\n\
         \x20   username=\"mm2\" password=\"correct-horse\";\n\
         use1.ssl.truststore.location = {}\n\
         use1.ssl.truststore.type = PEM\n\
         usw2.bootstrap.servers = {plain}\n\
         use1->usw2.enabled = true\n\
         use1->usw2.topics = ord.*\n\
         usw2->use1.enabled = false\n\
         replication.factor = 1\n\
         tasks.max = 4\n",
        value("bootstrap.servers"),
        value("ssl.ca.location"),
    )
}

/// Runs understudy; its exit status and what it printed.
fn run(arguments: &[&str]) -> Result<(i32, String), Box<dyn Error>> {
    let output = understudy(arguments, LIMIT)?;
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let code = output.status.code().ok_or("killed")?;
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
