//! What a flow file says, and what is refused.

use super::*;

fn parse(text: &str) -> Result<Flow, String> {
    let environment = |name: &str| (name == "PASSWORD").then(|| "hush".to_owned());
    Flow::parse(
        text,
        Path::new("flow.toml"),
        &environment,
        FirstRead::WithTheFile,
    )
    .map_err(|error| error.to_string())
}

fn with(lines: &str) -> String {
    format!(
        "[source]\nalias = \"use1\"\n\"bootstrap.servers\" = \"a:1\"\n{lines}\n\
         [target]\nalias = \"usw2\"\nbootstrap.servers = \"b:1\"\n"
    )
}

#[test]
fn a_minimal_flow_takes_the_documented_defaults() -> Result<(), String> {
    let flow = parse(&with(""))?;
    assert_eq!(flow.name.as_str(), "use1-usw2");
    assert_eq!(flow.slots.get(), 4);
    assert_eq!(flow.commit_interval, Duration::from_millis(100));
    assert_eq!(flow.topic_discovery_interval, Duration::from_secs(2));
    assert_eq!(flow.start, Start::Earliest);
    assert_eq!(flow.target.bootstrap(), "b:1");
    Ok(())
}

#[test]
fn a_secret_that_aws_holds_is_asked_for_when_logging_in_if_so_wanted()
-> Result<(), Box<dyn std::error::Error>> {
    let text = "[source]\nalias = \"use1\"\n\"bootstrap.servers\" = \"a:1\"\n\
         \"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
         \"sasl.username\" = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:AmazonMSK_a-AbCdEf:username}\"\n\
         \"sasl.password\" = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:AmazonMSK_a-AbCdEf:password}\"\n\
         [target]\nalias = \"usw2\"\n\"bootstrap.servers\" = \"b:1\"\n\
         [http]\ntoken = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:page-AbCdEf}\"\n";
    let flow = Flow::parse(
        text,
        Path::new("flow.toml"),
        &|_| None,
        FirstRead::WhenLoggingIn,
    )?;
    let lacking: Vec<&str> = flow
        .renewal
        .source
        .access
        .lacking
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(lacking, ["sasl.password", "sasl.username"]);
    assert!(flow.renewal.target.access.lacking.is_empty());
    // The target's clients wait for nobody; the source's for the secret, and then have it.
    assert_eq!(flow.target.admin().get("bootstrap.servers"), Some("b:1"));
    let source = flow.source.clone();
    let opened = std::thread::spawn(move || source.admin().get("sasl.username").map(str::to_owned));
    let mut whole = flow.renewal.source.access.properties.clone();
    whole.insert("sasl.username".to_owned(), "mirror".to_owned());
    flow.source.renew(whole, false);
    assert_eq!(
        opened.join().map_err(|_| "panicked")?,
        Some("mirror".to_owned())
    );
    // What cannot be had is waited for no more, and told.
    let flow = Flow::parse(
        text,
        Path::new("flow.toml"),
        &|_| None,
        FirstRead::WhenLoggingIn,
    )?;
    flow.source
        .lack("Secrets Manager was not reached".to_owned());
    assert_eq!(flow.source.admin().get("sasl.username"), None);
    assert_eq!(
        flow.source.lacks().as_deref(),
        Some("Secrets Manager was not reached")
    );
    Ok(())
}

#[test]
fn a_wrong_key_or_value_is_named_with_what_to_do() {
    for (lines, expected) in [
        (
            "\"bootstrap.server\" = \"a:1\"",
            "source.bootstrap.server is not a known key; did you mean \"source.bootstrap.servers\"?",
        ),
        (
            "\"isolation.level\" = \"read_uncommitted\"",
            "source.isolation.level is set by understudy, exactness depends on it; remove it",
        ),
        (
            "\"ssl.truststore.location\" = \"x\"",
            "source.ssl.truststore.location is a property of Java clients; use \"ssl.ca.location\" (a PEM file)",
        ),
        (
            "[mirorr]",
            "mirorr is not a known key; did you mean \"mirror\"?",
        ),
        (
            "[mirror]\nslot = 1",
            "mirror.slot is not a known key; did you mean \"mirror.slots\"?",
        ),
        ("[mirror]\nslots = 0", "mirror.slots: "),
        (
            "[mirror]\nreplication_factor = 0",
            "mirror.replication_factor: ",
        ),
        (
            "[mirror]\ncommit_interval = \"soon\"",
            "mirror.commit_interval: must be a time with a unit, like 100ms or 2s",
        ),
        (
            "[mirror]\ntopics = [\"orders[\"]",
            "mirror.topics: \"orders[\" is not a valid pattern",
        ),
        (
            "[mirror]\nsync_acl = true",
            "mirror.sync_acl is not a known key; did you mean \"mirror.sync_acls\"?",
        ),
        (
            "[mirror]\nconfig_exclude = [\"x(\"]",
            "mirror.config_exclude: \"x(\" is not a valid pattern",
        ),
        ("[mirror]\nacl_write = \"yes\"", "mirror.acl_write: "),
        (
            "[mirror]\nconfig_sync_interval = \"1ms\"",
            "mirror.config_sync_interval: must be a time with a unit between",
        ),
        (
            "[mirror.principals]\n\"a\" = \"User:b\"",
            "mirror.principals: \"a\" has no type; write \"User:a\"",
        ),
        (
            "[mirror.mm2]\nheartbeat = true",
            "mirror.mm2: unknown field `heartbeat`",
        ),
        (
            "[mirror.mm2]\ncheckpoint_interval = \"1ms\"",
            "mirror.mm2.checkpoint_interval: must be a time with a unit between",
        ),
        (
            "[http]\nlisten = \"8080\"",
            "http.listen: must be an address and a port",
        ),
        (
            "\"sasl.password\" = \"${env:NOWHERE}\"",
            "source.sasl.password",
        ),
        (
            "\"security.protocol\" = \"TLS\"",
            "source.security.protocol: ",
        ),
    ] {
        let message = parse(&with(lines)).err().unwrap_or_default();
        assert!(
            message.starts_with(expected),
            "{lines}\n{message}\n{expected}"
        );
    }
}

#[test]
fn heartbeats_that_the_flow_writes_itself_are_not_mirrored() -> Result<(), String> {
    let flow = parse(&with(""))?;
    let (source, target) = (&flow.source.alias, &flow.target.alias);
    for own in [
        "heartbeats".to_owned(),
        format!("{source}.heartbeats"),
        format!("{target}.heartbeats"),
    ] {
        assert!(!flow.selects(&own), "{own}");
    }
    assert!(flow.selects("device.heartbeats"));
    let other = parse(&with("[mirror.mm2]\nheartbeats = false"))?;
    assert!(other.selects("heartbeats"));
    Ok(())
}

#[test]
fn a_secret_is_never_shown() -> Result<(), String> {
    let flow = parse(&with(
        "\"sasl.username\" = \"u\"\n\"sasl.password\" = \"${env:PASSWORD}\"",
    ))?;
    assert!(!format!("{flow:?}").contains("hush"));
    let broken = parse(&with("\"sasl.password\" = \"hush\nx"));
    assert!(!broken.err().unwrap_or_default().contains("hush"));
    Ok(())
}
