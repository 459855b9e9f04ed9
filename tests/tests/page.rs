//! What people and machines see of a worker, and who may see it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use understudy_tests::{
    Cluster, FlowFile, Listener, Pair, Port, Worker, Workload, understudy, understudy_binary,
    wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-nobody-guesses-4711";

#[test]
fn the_page_says_whether_a_failover_could_start_and_what_it_would_lose() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("seen", 3, &[])?;
    Workload::orders(source.client(), "seen")
        .records(300)
        .run()?;
    // The one flow of this file that goes over the link, which is cut below.
    let file = FlowFile::new(source, target)
        .named("seen")
        .topics(["seen"])
        .slots(2);
    let worker = Worker::start(&file, "seen-1")?;
    worker.wait_copied(source, "seen", LIMIT)?;
    let status = worker.wait_status("a ready verdict", LIMIT, |status| {
        verdict(status) == "ready"
    })?;
    let readiness = at(&status, "readiness");
    assert_eq!(*at(readiness, "lost_records_at_least"), 0, "{readiness}");
    assert!(
        at(readiness, "lost_records_at_most").is_u64(),
        "{readiness}"
    );
    assert!(
        at(readiness, "lost_seconds_at_most")
            .as_f64()
            .is_some_and(|seconds| seconds < 11.0)
    );
    assert_eq!(at(&status, "flow_state"), "running");
    let html = worker.get("/")?.body;
    for words in [
        "<title>READY: seen</title>",
        "A failover could start now.",
        "data-key=\"seen\"",
        "2 of 2 held here",
        "Last warnings and errors",
    ] {
        assert!(html.contains(words), "{words} is not in\n{html}");
    }
    // Nothing comes from elsewhere, and the browser is told to fetch nothing from there.
    assert!(
        !html.contains("http://")
            || !html
                .replace("http://www.w3.org/2000/svg", "")
                .contains("http://")
    );
    assert!(!html.contains("https://"), "{html}");
    let (head, _) = ask(worker.http(), "/", &[])?;
    let head = head.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "{head}");
    }
    for path in ["/page.css", "/page.js"] {
        assert_eq!(worker.get(path)?.code, 200);
    }
    let metrics = worker.metrics()?;
    for line in [
        "understudy_readiness{verdict=\"ready\"} 1",
        "understudy_copied_records_total 300",
        "understudy_lag_records{topic=\"seen\",partition=\"0\"} 0",
        "understudy_partitions{state=\"copying\"} 3",
        "understudy_slots_configured 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    source.link().cut()?;
    let status = worker.wait_status("an unknown verdict", LIMIT, |status| {
        verdict(status) == "unknown"
    })?;
    assert_eq!(
        *at(at(&status, "readiness"), "lost_records_at_most"),
        serde_json::Value::Null
    );
    let seen = wait_for("the page to say that the source is not seen", LIMIT, || {
        let html = worker.get("/").map_err(|error| error.to_string())?.body;
        let all = [
            "UNKNOWN: seen",
            "source not seen for",
            "In the way",
            "it may hold more",
        ];
        if all.iter().all(|words| html.contains(words)) {
            Ok(html)
        } else {
            Err(html)
        }
    })?;
    assert!(!seen.contains("A failover could start now."));
    let metrics = worker.metrics()?;
    assert!(
        metrics.contains("understudy_readiness{verdict=\"unknown\"} 1"),
        "{metrics}"
    );

    // What was written meanwhile is seen, counted and copied once the link is back.
    Workload::orders(source.client(), "seen")
        .producer("q")
        .records(100)
        .run()?;
    source.link().heal()?;
    worker.wait_copied(source, "seen", LIMIT)?;
    worker.wait_status("a ready verdict", LIMIT, |status| {
        verdict(status) == "ready" && status["errors"].as_array().is_some_and(|it| !it.is_empty())
    })?;
    assert!(
        worker
            .get("/")?
            .body
            .contains("<td class=\"warn\">WARN</td>")
    );
    Ok(())
}

#[test]
fn every_line_of_a_log_for_machines_is_an_object_with_time_level_and_message() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("logged", 1, &[])?;
    let port = Port::reserve()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let file = beside(source, target, "logged").topics(["logged"]);
    let path = file.write("logged", address)?;
    let log = path.with_extension("log");
    let arguments = [
        "replicate".as_ref(),
        path.as_os_str(),
        "--log".as_ref(),
        "json".as_ref(),
    ];
    let mut worker = understudy_tests::Process::start(
        "logged",
        understudy_binary()?,
        arguments,
        // Names and values of every kind are among the details.
        &[("UNDERSTUDY_LOG".to_owned(), "debug".to_owned())],
        &log,
    )?;
    serving(|| ask(address, "/healthz", &[]))?;
    Workload::orders(source.client(), "logged")
        .records(50)
        .run()?;
    wait_for("a slot to be taken over", LIMIT, || {
        let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        text.contains("slot taken over").then_some(()).ok_or(text)
    })?;
    worker.terminate()?;
    assert_eq!(worker.wait(LIMIT)?.code(), Some(0));
    let text = std::fs::read_to_string(&log)?;
    let mut taken_over = 0;
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
        for field in ["timestamp", "level", "target", "message"] {
            assert!(at(&line, field).is_string(), "no {field}: {line}");
        }
        if at(&line, "message") == "slot taken over" {
            taken_over += 1;
            assert!(
                at(&line, "seconds").is_f64() && !at(&line, "slot").is_null(),
                "{line}"
            );
        }
    }
    assert!(taken_over > 0, "{text}");
    Ok(())
}

#[test]
fn a_transaction_that_stays_open_is_seen_although_it_makes_no_lag() -> Outcome {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("held", 1, &[])?;
    let file = beside(source, target, "held").topics(["held"]);
    let worker = Worker::start(&file, "held-1")?;
    worker.wait_copied(source, "held", LIMIT)?;
    let writer: BaseProducer = source.client().set("transactional.id", "held").create()?;
    writer.init_transactions(LIMIT)?;
    writer.begin_transaction()?;
    writer
        .send(BaseRecord::to("held").key("k").payload("v"))
        .map_err(|(error, _)| error)?;
    writer.flush(LIMIT)?;
    let status = worker.wait_status("an open transaction", LIMIT, |status| {
        status["open_transaction_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 2.0)
    })?;
    assert_eq!(*at(&status, "lag_records"), 0, "{status}");
    assert!(
        worker.metrics()?.contains(
            "understudy_partition_open_transaction_seconds{topic=\"held\",partition=\"0\"}"
        )
    );
    writer.commit_transaction(LIMIT)?;
    worker.wait_status("no open transaction", LIMIT, |status| {
        status["open_transaction_seconds"] == 0.0
    })?;
    Ok(())
}

#[test]
fn only_who_knows_the_token_sees_more_than_that_it_runs() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("guarded", 1, &[])?;
    let port = Port::reserve()?;
    let local = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let everywhere = SocketAddr::from(([0, 0, 0, 0], port.number()));
    let file = beside(source, target, "guarded").topics(["guarded"]);
    let open = file.write("guarded-open", everywhere)?;
    let output = understudy(["replicate".as_ref(), open.as_os_str()], LIMIT)?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.contains("beyond loopback") && words.contains("http.token"),
        "{words}"
    );

    let path = with_http(
        &file,
        "guarded",
        everywhere,
        &format!("token = \"{TOKEN}\"\npartition_metrics = false"),
    )?;
    let process = start(&path)?;
    serving(|| ask(local, "/healthz", &[]))?;
    for path in ["/", "/status.json", "/metrics"] {
        let (head, body) = ask(local, path, &[])?;
        assert!(head.starts_with("HTTP/1.1 401"), "{path}: {head}");
        assert!(!body.contains("guarded"), "{path}: {body}");
        let (head, _) = ask(local, path, &[&format!("Authorization: Bearer {TOKEN}x")])?;
        assert!(head.starts_with("HTTP/1.1 401"), "{path}: {head}");
        let (head, body) = ask(local, path, &[&format!("Authorization: Bearer {TOKEN}")])?;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}\n{body}");
    }
    let (head, body) = ask(local, "/", &[])?;
    assert!(
        body.contains("<form") && head.contains("Bearer"),
        "{head}\n{body}"
    );
    // Whether it is ready is for everybody; why not is not.
    let (_, body) = ask(local, "/readyz", &[])?;
    assert!(
        ["ready\n", "not ready\n"].contains(&body.as_str()),
        "{body}"
    );
    let (head, body) = post(local, "token=wrong")?;
    assert!(
        head.starts_with("HTTP/1.1 401") && body.contains("not the token"),
        "{head}\n{body}"
    );
    let (head, _) = post(local, &format!("token={TOKEN}\r\n"))?;
    assert!(
        head.starts_with("HTTP/1.1 303") && !head.contains(TOKEN),
        "{head}"
    );
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .and_then(|line| line.split(';').next())
        .ok_or("no cookie")?;
    let (head, body) = ask(local, "/", &[&format!("Cookie: {cookie}")])?;
    assert!(
        head.starts_with("HTTP/1.1 200") && body.contains("hero"),
        "{head}"
    );
    let (_, metrics) = ask(local, "/metrics", &[&format!("Cookie: {cookie}")])?;
    assert!(!metrics.contains("partition=\""), "{metrics}");
    drop(process);
    Ok(())
}

#[test]
fn over_tls_a_certificate_lets_in_and_a_foreign_one_does_not() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("certified", 1, &[])?;
    let dir = target.dir();
    let (ours, foreign) = (Authority::new()?, Authority::new()?);
    let file_of = |name: &str| dir.join(name);
    let (certificate, key) = ours.sign()?;
    std::fs::write(file_of("page-ca.pem"), ours.certificate.pem())?;
    std::fs::write(file_of("page.pem"), &certificate)?;
    std::fs::write(file_of("page.key"), &key)?;
    let port = Port::reserve()?;
    let local = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let lines = format!(
        "tls_certificate = {:?}\ntls_key = {:?}\ntls_client_ca = {:?}",
        file_of("page.pem"),
        file_of("page.key"),
        file_of("page-ca.pem")
    );
    let file = beside(source, target, "certified").topics(["certified"]);
    let path = with_http(
        &file,
        "certified",
        SocketAddr::from(([0, 0, 0, 0], port.number())),
        &lines,
    )?;
    let process = start(&path)?;
    let nobody = || ours.client(None);
    serving(|| ask_tls(local, "/healthz", nobody()?))?;
    let (head, _) = ask_tls(local, "/status.json", nobody()?)?;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let (head, body) = ask_tls(local, "/status.json", ours.client(Some(ours.sign()?))?)?;
    assert!(
        head.starts_with("HTTP/1.1 200") && body.contains("certified"),
        "{head}"
    );
    let refused = ask_tls(local, "/status.json", ours.client(Some(foreign.sign()?))?);
    assert!(refused.is_err(), "{refused:?}");
    // Somebody who does not speak TLS holds up nobody.
    let silent = TcpStream::connect(local)?;
    let (head, _) = ask_tls(local, "/healthz", nobody()?)?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop((silent, process));
    // A key that is not one is named, and nothing runs.
    std::fs::write(file_of("page.key"), "not a key")?;
    let output = understudy(["replicate".as_ref(), path.as_os_str()], LIMIT)?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && words.contains("http.tls_key"),
        "{words}"
    );
    Ok(())
}

#[test]
fn the_terminal_says_what_the_page_says_and_follows() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    source.create_topic("followed", 2, &[])?;
    Workload::orders(source.client(), "followed")
        .records(50)
        .run()?;
    let file = beside(source, target, "followed").topics(["followed"]);
    let worker = Worker::start(&file, "followed-1")?;
    worker.wait_copied(source, "followed", LIMIT)?;
    let output = understudy(["status".as_ref(), worker.flow().as_os_str()], LIMIT)?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words}");
    for expected in [
        "READY: A failover could start now.",
        "would be lost now  nothing",
        "followed",
    ] {
        assert!(words.contains(expected), "{words}");
    }
    let arguments = [
        "status".as_ref(),
        worker.flow().as_os_str(),
        "--json".as_ref(),
    ];
    let output = understudy(arguments, LIMIT)?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(verdict(&status), "ready", "{status}");
    let mut child = std::process::Command::new(understudy_binary()?)
        .arg("status")
        .arg(worker.flow())
        .arg("--follow")
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.stdout.take().ok_or("no output")?,
    ));
    let (first, second) = (
        lines.next().ok_or("no line")??,
        lines.next().ok_or("one line")??,
    );
    child.kill()?;
    child.wait()?;
    for line in [first, second] {
        assert!(
            line.contains("followed running, READY: lost now nothing"),
            "{line}"
        );
    }
    Ok(())
}

/// The readiness verdict of a worker's status.
fn verdict(status: &serde_json::Value) -> &serde_json::Value {
    at(at(status, "readiness"), "verdict")
}

/// A field; null if there is none.
fn at<'a>(value: &'a serde_json::Value, field: &str) -> &'a serde_json::Value {
    value.get(field).unwrap_or(&serde_json::Value::Null)
}

/// A flow that does not go over the link.
fn beside(source: &Cluster, target: &Cluster, name: &str) -> FlowFile {
    let clients = [source, target].map(|cluster| cluster.client_properties(Listener::Plaintext));
    let [source_client, target_client] = clients;
    FlowFile::with_clients(
        (source.alias(), source_client),
        (target.alias(), target_client),
        target.dir(),
    )
    .named(name)
    .slots(2)
}

/// Writes a flow whose `[http]` says more than where to listen.
fn with_http(
    file: &FlowFile,
    name: &str,
    address: SocketAddr,
    lines: &str,
) -> Result<PathBuf, Box<dyn Error>> {
    let listen = format!("listen = \"{address}\"");
    let text = file
        .render(address)?
        .replace(&listen, &format!("{listen}\n{lines}"));
    let path = file.dir().join(format!("{name}.toml"));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn start(path: &Path) -> Result<understudy_tests::Process, Box<dyn Error>> {
    let arguments = ["replicate".as_ref(), path.as_os_str()];
    let log = path.with_extension("log");
    Ok(understudy_tests::Process::start(
        "worker",
        understudy_binary()?,
        arguments,
        &[],
        &log,
    )?)
}

type Reply = Result<(String, String), Box<dyn Error>>;

fn serving(ask: impl Fn() -> Reply) -> Outcome {
    wait_for("the worker to serve", LIMIT, || match ask() {
        Ok((head, _)) if head.starts_with("HTTP/1.1 200") => Ok(()),
        Ok((head, _)) => Err(head),
        Err(error) => Err(error.to_string()),
    })?;
    Ok(())
}

fn ask(address: SocketAddr, path: &str, headers: &[&str]) -> Reply {
    let mut lines = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        lines.push_str(&format!("{header}\r\n"));
    }
    say(TcpStream::connect(address)?, &(lines + "\r\n"))
}

fn post(address: SocketAddr, body: &str) -> Reply {
    let length = body.len();
    let text = format!(
        "POST /login HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    say(TcpStream::connect(address)?, &text)
}

fn ask_tls(address: SocketAddr, path: &str, config: ClientConfig) -> Reply {
    let name = ServerName::try_from("localhost")?;
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, socket);
    let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    say(stream, &text)
}

/// Sends a request; head and body of the answer.
fn say(mut stream: impl Read + Write, text: &str) -> Reply {
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that closes without TLS's goodbye has said what it had to.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Who signs servers and clients.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self, Box<dyn Error>> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        Ok(Self {
            certificate: params.self_signed(&key)?,
            issuer: Issuer::new(params, key),
        })
    }

    /// A certificate for `localhost` and its key, as PEM.
    fn sign(&self) -> Result<(String, String), Box<dyn Error>> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok((
            params.signed_by(&key, &self.issuer)?.pem(),
            key.serialize_pem(),
        ))
    }

    /// A client that trusts this authority.
    fn client(&self, shown: Option<(String, String)>) -> Result<ClientConfig, Box<dyn Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(key.as_bytes())?,
            )?,
        })
    }
}
