//! Every way to log in copies records on both ends, and what is rotated is taken up without a restart: nothing lost,
//! nothing doubled.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use understudy_recovery::Alias;
use understudy_shell::world::Clusters as _;
use understudy_tests::aws::{Api, Ministack};
use understudy_tests::{
    ClientProperties, FlowFile, Judge, LabError, Listener, Login, Pair, Worker, Workload,
    local_pair, understudy, unsecured_token, wait_for,
};
use understudy_world::{KafkaClusters, PairFile};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(90);
const USER: &str = "mirror";
/// One whose password lies in Secrets Manager.
const MANAGED: &str = "managed";
/// The user whose password changes.
const ROTATED: &str = "rotated";
const PASSWORD: &str = "first-horse";
/// How long brokers let a client go on before it must log in again (KIP-368).
const REAUTH_MS: &str = "3000";

#[test]
fn every_way_to_log_in_copies_records_on_both_ends() -> Outcome {
    let Pair { source, target } = pair()?;
    let certificates = (
        source.client_certificate("every-source")?,
        target.client_certificate("every-target")?,
    );
    let token = unsecured_token(USER, Duration::from_secs(3600));
    let kept = target.dir().join("long-token");
    put(&kept, &token)?;
    let kept = format!("${{file:{}}}", kept.display());
    let ways: [(&str, Login<'_>, Login<'_>); 6] = [
        ("ssl", Login::Ssl, Login::Ssl),
        (
            "mtls",
            Login::Mtls(&certificates.0),
            Login::Mtls(&certificates.1),
        ),
        ("plain", Login::Plain, Login::Plain),
        (
            "scram256",
            Login::Scram256(USER, PASSWORD),
            Login::Scram256(USER, PASSWORD),
        ),
        (
            "scram512",
            Login::Scram512(USER, PASSWORD),
            Login::Scram512(USER, PASSWORD),
        ),
        ("oauthbearer", Login::Token(&kept), Login::Token(&kept)),
    ];
    let mut workers = Vec::new();
    for (name, at_source, at_target) in ways {
        source.create_topic(name, 2, &[])?;
        Workload::orders(source.client(), name).records(100).run()?;
        let file = flow(name, source.login(at_source)?, target.login(at_target)?)?;
        workers.push((name, Worker::start(&file, &format!("{name}-1"))?));
    }
    for (name, worker) in &workers {
        let comparison = Judge::new(source, target, name).wait_exact(LIMIT)?;
        assert!(
            comparison.is_exact(),
            "{name}: {comparison}\n{}",
            worker.log()
        );
        worker.wait_ready(LIMIT)?;
        let text = worker.log() + &worker.get("/status.json")?.body;
        assert!(!text.contains(PASSWORD) && !text.contains(&token), "{text}");
    }
    for (name, worker) in &workers {
        let status = understudy(["verify".as_ref(), worker.flow().as_os_str()], LIMIT)?;
        let text = String::from_utf8_lossy(&status.stderr);
        assert_eq!(status.status.code(), Some(0), "{name}: {text}");
    }
    Ok(())
}

#[test]
fn a_rotated_password_is_taken_up_and_a_revoked_one_is_named_until_then() -> Outcome {
    let Pair { source, target } = pair()?;
    let secret = target.dir().join("rotated-password");
    put(&secret, PASSWORD)?;
    source.create_topic("rotated", 4, &[])?;
    let reference = format!("${{file:{}}}", secret.display());
    let file = flow(
        "rotated",
        source.login(Login::Scram512(ROTATED, &reference))?,
        target.login(Login::Scram512(ROTATED, &reference))?,
    )?;
    let load = Workload::orders(source.client(), "rotated")
        .rate(500)
        .records(u64::MAX)
        .start()?;
    let worker = Worker::start(&file, "rotated-1")?;
    worker.wait_ready(LIMIT)?;
    set_password(ROTATED, "second-horse")?;
    put(&secret, "second-horse")?;
    wait_logged(&worker, "credentials changed", 2)?;
    let mut judge = Judge::new(source, target, "rotated");
    // Longer than any connection may go on with the first password.
    wait_copied_for(&worker, Duration::from_secs(5))?;
    // The password is gone, and nobody has told us the new one.
    set_password(ROTATED, "third-horse")?;
    worker.wait_reason(&["sasl.password", "Authentication failed"], LIMIT)?;
    put(&secret, "third-horse")?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}\n{}", worker.log());
    for word in [PASSWORD, "second-horse", "third-horse"] {
        assert!(!worker.log().contains(word), "{}", worker.log());
    }
    Ok(())
}

#[test]
fn a_password_in_secrets_manager_is_rotated_under_load() -> Outcome {
    let Pair { source, target } = pair()?;
    let region = "us-west-2";
    let ministack = Ministack::start("secrets", region, target.dir())?;
    let api = Api::new(ministack.address(), region);
    let login = |password: &str| json!({"username": MANAGED, "password": password}).to_string();
    let secret = json!({"Name": "AmazonMSK_managed", "SecretString": login(PASSWORD)});
    let created = api.json("secretsmanager", "secretsmanager.CreateSecret", &secret)?;
    let arn = created.get("ARN").and_then(serde_json::Value::as_str);
    let arn = arn.ok_or("a secret without an ARN")?;
    source.create_topic("managed", 4, &[])?;
    let reference = format!("${{secretsmanager:{arn}:password}}");
    let file = flow(
        "managed",
        source.login(Login::Scram512(MANAGED, &reference))?,
        target.login(Login::Scram512(MANAGED, &reference))?,
    )?
    .environment("AWS_ENDPOINT_URL", ministack.url())
    .environment("AWS_ACCESS_KEY_ID", "test")
    .environment("AWS_SECRET_ACCESS_KEY", "test");
    let load = Workload::orders(source.client(), "managed")
        .rate(500)
        .records(u64::MAX)
        .start()?;
    let worker = Worker::start(&file, "managed-1")?;
    worker.wait_ready(LIMIT)?;
    let mut judge = Judge::new(source, target, "managed");
    set_password(MANAGED, "managed-horse")?;
    let changed = json!({"SecretId": arn, "SecretString": login("managed-horse")});
    api.json("secretsmanager", "secretsmanager.PutSecretValue", &changed)?;
    wait_logged(&worker, "credentials changed", 2)?;
    // Longer than any connection may go on with the first password.
    wait_copied_for(&worker, Duration::from_secs(5))?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}\n{}", worker.log());
    for word in [PASSWORD, "managed-horse"] {
        assert!(!worker.log().contains(word), "{}", worker.log());
    }
    Ok(())
}

#[test]
fn a_client_certificate_is_replaced_under_load_and_an_expired_one_is_named() -> Outcome {
    let Pair { source, target } = pair()?;
    let (at_source, at_target) = (
        source.client_certificate("replaced-source")?,
        target.expired_client_certificate("replaced-target")?,
    );
    source.create_topic("replaced", 4, &[])?;
    let file = flow(
        "replaced",
        source.login(Login::Mtls(&at_source))?,
        target.login(Login::Mtls(&at_target))?,
    )?;
    let load = Workload::orders(source.client(), "replaced")
        .rate(500)
        .records(u64::MAX)
        .start()?;
    let worker = Worker::start(&file, "replaced-1")?;
    worker.wait_reason(&["usw2", "client certificate", "has expired"], LIMIT)?;
    target.client_certificate("replaced-target")?;
    worker.wait_ready(LIMIT)?;
    let other = Worker::start(&file, "replaced-2")?;
    let mut judge = Judge::new(source, target, "replaced");
    for worker in [&worker, &other] {
        wait_slots(worker, 1)?;
        worker.wait_ready(LIMIT)?;
    }
    source.client_certificate("replaced-source")?;
    target.client_certificate("replaced-target")?;
    for worker in [&worker, &other] {
        wait_logged(worker, "credentials changed", 2)?;
        worker.wait_ready(LIMIT)?;
    }
    other.terminate()?;
    assert_eq!(other.wait(LIMIT)?.code(), Some(0));
    wait_copied_for(&worker, Duration::from_secs(1))?;

    // One half of a rotation disturbs nobody.
    let half = source.client_certificate("half")?;
    fs::copy(&half.certificate, &at_source.certificate)?;
    worker.wait_reason(&["credentials of use1", "cannot be used"], LIMIT)?;
    wait_copied_for(&worker, Duration::from_secs(1))?;
    fs::copy(&half.key, &at_source.key)?;
    worker.wait_ready(LIMIT)?;

    target.expired_client_certificate("replaced-target")?;
    worker.wait_reason(&["usw2", "client certificate", "has expired"], LIMIT)?;
    target.client_certificate("replaced-target")?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let comparison = judge.wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}\n{}", worker.log());
    Ok(())
}

#[test]
fn a_token_is_replaced_before_it_ends_and_an_ended_one_is_named() -> Outcome {
    let Pair { source, target } = pair()?;
    let secret = target.dir().join("short-token");
    let lives = Duration::from_secs(8);
    let renewal = Renewal::start(&secret, lives)?;
    source.create_topic("short", 2, &[])?;
    let reference = format!("${{file:{}}}", secret.display());
    let file = flow(
        "short",
        source.login(Login::Token(&reference))?,
        target.login(Login::Token(&reference))?,
    )?;
    let load = Workload::orders(source.client(), "short")
        .rate(200)
        .records(u64::MAX)
        .start()?;
    let worker = Worker::start(&file, "short-1")?;
    worker.wait_ready(LIMIT)?;
    // Longer than one token lives.
    wait_copied_for(&worker, lives + lives / 2)?;
    // A client that nobody polls: topics are created by the admin client, whose token is the latest as well.
    source.create_topic("short-late", 1, &[])?;
    Workload::orders(source.client(), "short-late")
        .records(50)
        .run()?;
    let comparison = Judge::new(source, target, "short-late").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}\n{}", worker.log());
    renewal.stop()?;
    worker.wait_reason(
        &["credentials of", "sasl.oauthbearer.token has expired"],
        LIMIT,
    )?;
    put(
        &secret,
        &unsecured_token("short", Duration::from_secs(3600)),
    )?;
    worker.wait_ready(LIMIT)?;
    load.stop()?;
    let comparison = Judge::new(source, target, "short").wait_exact(LIMIT)?;
    assert!(comparison.is_exact(), "{comparison}\n{}", worker.log());
    Ok(())
}

/// No MSK here: what can be shown is that the signed token reaches a broker, which does not know its kind.
#[test]
fn a_token_for_iam_is_signed_and_shown_to_the_broker_or_its_absence_is_named() -> Outcome {
    let Pair { source, target } = pair()?;
    let with_iam = |name: &str| -> Result<FlowFile, Box<dyn Error>> {
        let at_source = source.login(Login::Token("")).map(|properties| {
            let ours = |(key, _): &(String, String)| !key.ends_with("token");
            properties.into_iter().filter(ours).collect()
        })?;
        let file = flow(name, at_source, target.login(Login::Ssl)?)?
            .source("sasl.mechanism", "AWS_MSK_IAM")
            .source("aws.region", "eu-west-1");
        let nowhere = [
            ("AWS_CONFIG_FILE", "/nowhere"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        Ok(nowhere
            .iter()
            .fold(file, |file, (name, value)| file.environment(*name, *value)))
    };
    let nobody = Worker::start(
        &with_iam("iam-nobody")?.environment("AWS_ACCESS_KEY_ID", ""),
        "iam-nobody-1",
    )?;
    let signing = with_iam("iam-signing")?
        .environment("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .environment("AWS_SECRET_ACCESS_KEY", "hush-key")
        .environment("UNDERSTUDY_LOG", "debug");
    let signing = Worker::start(&signing, "iam-signing-1")?;
    nobody.wait_reason(&["credentials of use1", "no AWS credentials"], LIMIT)?;
    signing.wait_reason(
        &["source: ", "invalid_token", "kafka-cluster:Connect"],
        LIMIT,
    )?;
    assert!(!signing.log().contains("hush-key"), "{}", signing.log());
    assert!(
        !signing.log().contains("X-Amz-Signature"),
        "{}",
        signing.log()
    );
    Ok(())
}

#[test]
fn a_login_that_cannot_be_is_refused_with_what_to_use() -> Outcome {
    let folder = tempfile::tempdir()?;
    let nowhere = |alias: &'static str| {
        let properties = vec![("bootstrap.servers".to_owned(), "localhost:1".to_owned())];
        (alias, properties)
    };
    let file = || {
        FlowFile::with_clients(nowhere("use1"), nowhere("usw2"), folder.path())
            .source("security.protocol", "SASL_SSL")
    };
    let broken = folder.path().join("broken.pem");
    put(&broken, "not a certificate")?;
    let cases: [(&str, FlowFile, &[&str]); 13] = [
        (
            "unknown-mechanism",
            file().source("sasl.mechanism", "SCRAM-SHA512"),
            &["source.sasl.mechanism", "did you mean \"SCRAM-SHA-512\"?"],
        ),
        (
            "kerberos",
            file().source("sasl.mechanism", "GSSAPI"),
            &["source.sasl.mechanism", "Kerberos", "SCRAM-SHA-512"],
        ),
        (
            "java-property",
            file().source(
                "sasl.jaas.config",
                "software.amazon.msk.auth.iam.IAMLoginModule required;",
            ),
            &["source.sasl.jaas.config", "sasl.username", "AWS_MSK_IAM"],
        ),
        (
            "java-handler",
            file().source(
                "sasl.client.callback.handler.class",
                "software.amazon.msk.auth.iam.IAMClientCallbackHandler",
            ),
            &["source.sasl.client.callback.handler.class", "AWS_MSK_IAM"],
        ),
        (
            "java-class",
            file().source(
                "sasl.kerberos.service.name",
                "org.apache.kafka.common.security.plain.PlainLoginModule",
            ),
            &["source.sasl.kerberos.service.name", "Java class"],
        ),
        (
            "no-mechanism",
            file(),
            &["source.\"sasl.mechanism\" is missing"],
        ),
        (
            "no-password",
            file()
                .source("sasl.mechanism", "PLAIN")
                .source("sasl.username", "u"),
            &["source.\"sasl.password\" is missing"],
        ),
        (
            "no-token",
            file().source("sasl.mechanism", "OAUTHBEARER"),
            &[
                "source.sasl.mechanism",
                "sasl.oauthbearer.token",
                "AWS_MSK_IAM",
            ],
        ),
        (
            "opaque-token",
            file()
                .source("sasl.mechanism", "OAUTHBEARER")
                .source("sasl.oauthbearer.token", "s3cret"),
            &["source.sasl.oauthbearer.token", "not a JSON Web Token"],
        ),
        (
            "oidc",
            file()
                .source("sasl.mechanism", "OAUTHBEARER")
                .source("sasl.oauthbearer.method", "oidc"),
            &["source.sasl.oauthbearer.method", "not built in"],
        ),
        (
            "iam-region",
            file().source("sasl.mechanism", "AWS_MSK_IAM"),
            &["source.sasl.mechanism", "aws.region"],
        ),
        (
            "no-tls",
            file()
                .source("security.protocol", "PLAINTEXT")
                .source("sasl.mechanism", "PLAIN"),
            &["source.sasl.mechanism", "no effect", "SASL_SSL"],
        ),
        (
            "broken-pem",
            file()
                .source("security.protocol", "SSL")
                .source("ssl.certificate.location", broken.display().to_string()),
            &["source", "ssl.certificate.location"],
        ),
    ];
    for (name, file, words) in cases {
        let path = file.write(name, ([127, 0, 0, 1], 1).into())?;
        let refused = understudy(["replicate".as_ref(), path.as_os_str()], LIMIT)?;
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{name}: {text}");
        for word in words {
            assert!(text.contains(word), "{name}: no {word:?} in: {text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
    Ok(())
}

/// What a prober measures while a cluster is still well: brokers' certificates as they show them, and our own.
#[test]
fn who_looks_at_a_cluster_knows_which_certificate_ends_first() -> Outcome {
    let Pair { source, target } = pair()?;
    let valid = target.client_certificate("looker")?;
    let ended = target.expired_client_certificate("looker-of-old")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let ends = |name: &str, login: Option<Login<'_>>| -> Result<Option<i64>, Box<dyn Error>> {
        let folder = target.dir().join(name);
        fs::create_dir_all(&folder)?;
        let looked_at = match login {
            Some(login) => target.login(login)?,
            None => target.client_properties(Listener::Plaintext),
        };
        let here = source.client_properties(Listener::Plaintext);
        for (file, from, to) in [
            (
                "forward",
                ("use1", here.clone()),
                ("usw2", looked_at.clone()),
            ),
            ("reverse", ("usw2", looked_at), ("use1", here)),
        ] {
            FlowFile::with_clients(from, to, &folder).write(file, ([127, 0, 0, 1], 0).into())?;
        }
        let file = folder.join("pair.toml");
        fs::write(&file, local_pair(source, target))?;
        let cluster =
            KafkaClusters::new(&PairFile::read(&file, &|_| None)?).get(&Alias::new("usw2")?)?;
        Ok(cluster.certificate_ends(LIMIT))
    };
    let far = |end: Option<i64>| end.is_some_and(|end| end > now.cast_signed() + 365 * 86_400);
    let brokers = ends("look-ssl", Some(Login::Ssl))?;
    assert!(far(brokers), "{brokers:?}");
    let scram = ends("look-scram", Some(Login::Scram512(USER, PASSWORD)))?;
    assert_eq!(scram, brokers);
    let both = ends("look-mtls", Some(Login::Mtls(&valid)))?;
    assert!(far(both) && both <= brokers, "{both:?} after {brokers:?}");
    let first = ends("look-ended", Some(Login::Mtls(&ended)))?;
    assert!(
        first.is_some_and(|end| end < now.cast_signed()),
        "{first:?}"
    );
    assert_eq!(ends("look-plain", None)?, None, "nothing ends without TLS");
    Ok(())
}

/// A pair of its own: with every way to log in, and connections that must log in again soon.
fn pair() -> Result<&'static Pair, &'static LabError> {
    static PAIR: OnceLock<understudy_tests::Result<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        Pair::start(
            |source| {
                source
                    .every_login()
                    .user(USER, PASSWORD)
                    .user(ROTATED, PASSWORD)
                    .user(MANAGED, PASSWORD)
                    .property("connections.max.reauth.ms", REAUTH_MS)
            },
            |target| {
                target
                    .every_login()
                    .user(USER, PASSWORD)
                    .user(ROTATED, PASSWORD)
                    .user(MANAGED, PASSWORD)
                    .property("connections.max.reauth.ms", REAUTH_MS)
            },
        )
    })
    .as_ref()
}

/// A flow of the topics that begin with its name, which looks for new secrets all the time.
fn flow(
    name: &str,
    source: ClientProperties,
    target: ClientProperties,
) -> Result<FlowFile, Box<dyn Error>> {
    let dir = pair()?.target.dir();
    Ok(
        FlowFile::with_clients(("use1", source), ("usw2", target), dir)
            .named(name)
            .topics([name.to_owned(), format!("{name}-.*")])
            .slots(2)
            .mirror("topic_discovery_interval", "500ms")
            .section("secrets", "refresh_interval", "200ms"),
    )
}

/// Replaces a file as agents do: whole, by renaming.
/// Somebody who replaces a token again and again, long before it ends, however slow the test is.
struct Renewal {
    ended: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Renewal {
    /// The first token is there when this returns.
    fn start(secret: &Path, lives: Duration) -> Result<Self, Box<dyn Error>> {
        put(secret, &unsecured_token("short", lives))?;
        let (ended, end) = mpsc::channel();
        let secret = secret.to_owned();
        let thread = std::thread::spawn(move || {
            while end.recv_timeout(lives / 4) == Err(mpsc::RecvTimeoutError::Timeout) {
                put(&secret, &unsecured_token("short", lives)).map_err(|e| e.to_string())?;
            }
            Ok(())
        });
        Ok(Self { ended, thread })
    }

    fn stop(self) -> Outcome {
        drop(self.ended);
        let ended = self
            .thread
            .join()
            .map_err(|_panic| "the renewal panicked")?;
        Ok(ended?)
    }
}

fn put(path: &Path, text: &str) -> Outcome {
    let aside: PathBuf = path.with_extension("new");
    fs::write(&aside, format!("{text}\n"))?;
    fs::rename(&aside, path)?;
    Ok(())
}

/// Gives the user another password on both clusters.
fn set_password(user: &str, password: &str) -> Outcome {
    let Pair { source, target } = pair()?;
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| source.set_password(user, password));
        let at_target = target.set_password(user, password);
        changing.join().map_err(|_panic| "changing it panicked")??;
        Ok(at_target?)
    })
}

fn wait_slots(worker: &Worker, slots: usize) -> Outcome {
    worker.wait_status(&format!("{slots} slots"), LIMIT, |status| {
        let held = status.get("slots").and_then(|held| held.as_array());
        held.is_some_and(|held| {
            let copying = |slot: &&serde_json::Value| slot["state"] == "copying";
            held.iter().filter(copying).count() == slots
        })
    })?;
    Ok(())
}

fn wait_logged(worker: &Worker, words: &str, times: usize) -> Outcome {
    wait_for(
        &format!("{times} times {words:?} in the log"),
        LIMIT,
        || {
            let log = worker.log();
            match log.matches(words).count() {
                found if found >= times => Ok(()),
                found => Err(format!("{found} times\n{log}")),
            }
        },
    )?;
    Ok(())
}

/// Waits until a worker went on copying for so long.
fn wait_copied_for(worker: &Worker, time: Duration) -> Outcome {
    let copied = || -> Result<i64, String> {
        let status = worker.status().map_err(|error| error.to_string())?;
        let lines = status
            .get("partitions")
            .and_then(|lines| lines.as_array())
            .cloned()
            .unwrap_or_default();
        Ok(lines
            .iter()
            .filter_map(|line| line["source_offset"].as_i64())
            .sum())
    };
    let since = Instant::now();
    let mut before = copied()?;
    while since.elapsed() < time {
        wait_for("more copies", LIMIT, || match copied()? {
            now if now > before => {
                before = now;
                Ok(())
            }
            now => Err(format!("{now} copied")),
        })?;
    }
    Ok(())
}
