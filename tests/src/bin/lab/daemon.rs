//! The process that owns the clusters. When it ends, by whatever means, so do they.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use understudy_tests::{
    Cluster, FlowFile, LabError, Port, Result, Stat, cache_dir, chain, wait_for,
};

use crate::client_files;
use crate::commands::UpOptions;
use crate::control::{self, BrokerAction, LIMIT, LinkChange, Request, Response, socket};
use crate::status::{ClusterStatus, Status};

/// The first start may fetch two versions of Kafka.
const UP_LIMIT: Duration = Duration::from_secs(900);
const DOWN_LIMIT: Duration = Duration::from_secs(30);

/// Who the daemon is: a process id may be another's by now, together with the start time it may not.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Identity {
    id: u32,
    started_ticks: u64,
}

impl Identity {
    fn is_alive(self) -> bool {
        Stat::of(self.id)
            .is_some_and(|stat| !stat.is_zombie && stat.started_ticks == self.started_ticks)
    }
}

/// Where the clusters live.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = cache_dir()?.join("clusters");
    fs::create_dir_all(&folder)
        .map_err(|source| io(format!("create {}", folder.display()), source))?;
    Ok(folder)
}

/// Whether a daemon runs.
pub(crate) fn is_up() -> Result<bool> {
    Ok(identity()?.is_some_and(Identity::is_alive))
}

/// Starts the daemon and waits until its clusters serve.
pub(crate) fn up(arguments: &[String]) -> Result<Status> {
    if is_up()? {
        return Err(LabError::Usage(
            "clusters are up already; see them with: scripts/clusters status".to_owned(),
        ));
    }
    let log = folder()?.join("daemon.log");
    let output =
        File::create(&log).map_err(|source| io(format!("create {}", log.display()), source))?;
    let errors = output
        .try_clone()
        .map_err(|source| io("share a log", source))?;
    let myself = std::env::current_exe().map_err(|source| io("find this program", source))?;
    let mut daemon = Command::new(myself)
        .args(["clusters", "serve"])
        .args(arguments)
        // Ctrl-C at the terminal is not meant for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|source| io("start the daemon", source))?;
    let socket = socket()?;
    wait_for("the clusters to serve", UP_LIMIT, || {
        match daemon.try_wait() {
            Ok(None) if UnixStream::connect(&socket).is_ok() => Ok(Ok(())),
            Ok(None) => Err(String::new()),
            Ok(Some(_)) => Ok(Err(LabError::ToolFailed {
                program: "the daemon".to_owned(),
                output: fs::read_to_string(&log).unwrap_or_default(),
            })),
            Err(error) => Err(error.to_string()),
        }
    })??;
    control::ask(&Request::Status)
}

/// Stops the daemon, by force if it does not answer, and removes what it left.
pub(crate) fn down() -> Result<&'static str> {
    let running = identity()?.filter(|identity| identity.is_alive());
    if let Some(identity) = running {
        let asked = control::ask(&Request::Down);
        let gone = wait_for("the daemon to end", DOWN_LIMIT, || {
            if identity.is_alive() {
                Err(String::new())
            } else {
                Ok(())
            }
        });
        if asked.is_err() || gone.is_err() {
            kill(identity)?;
        }
    }
    let folder = folder()?;
    fs::remove_dir_all(&folder)
        .map_err(|source| io(format!("remove {}", folder.display()), source))?;
    Ok(if running.is_some() {
        "the clusters are down"
    } else {
        "no clusters were up"
    })
}

/// Opened first, looked at second: the signal reaches the process that was looked at, or nobody.
fn kill(identity: Identity) -> Result<()> {
    let Some(pid) = i32::try_from(identity.id).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    if identity.is_alive() {
        pidfd_send_signal(process, Signal::KILL)
            .map_err(|error| io("kill the daemon", error.into()))?;
    }
    wait_for("the daemon to end", DOWN_LIMIT, || {
        if identity.is_alive() {
            Err(String::new())
        } else {
            Ok(())
        }
    })
}

fn identity() -> Result<Option<Identity>> {
    let path = folder()?.join("daemon.json");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(None);
    };
    // Half a file is that of a daemon that died writing it.
    Ok(serde_json::from_str(&text).ok())
}

/// The daemon's life.
pub(crate) fn serve(options: &UpOptions) -> Result<()> {
    let folder = folder()?;
    // Held until we end: a second daemon gives up here.
    let only = File::create(folder.join("daemon.lock"))
        .map_err(|source| io("create the daemon's lock", source))?;
    only.try_lock()
        .map_err(|_| LabError::Usage("another daemon is starting or running".to_owned()))?;
    let id = std::process::id();
    let identity = Identity {
        id,
        started_ticks: Stat::of(id).map_or(0, |stat| stat.started_ticks),
    };
    let text = serde_json::to_string(&identity).unwrap_or_default();
    fs::write(folder.join("daemon.json"), text)
        .map_err(|source| io("write daemon.json", source))?;

    let lab = Clusters::start(options)?;
    let socket = socket()?;
    // One that a killed daemon left would be in the way.
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)
        .map_err(|source| io(format!("listen on {}", socket.display()), source))?;
    for stream in listener.incoming().flatten() {
        // Whoever went away does not get an answer; nothing else suffers.
        if let Ok(Request::Down) = lab.answer(stream) {
            break;
        }
    }
    Ok(())
}

/// Both clusters and the flow between them.
struct Clusters {
    source: Cluster,
    target: Cluster,
    flow: PathBuf,
    /// Reserved for whoever runs the flow file.
    _http: Port,
}

impl Clusters {
    fn start(options: &UpOptions) -> Result<Self> {
        let build = |alias: &str, version: &Option<String>| {
            let dir = folder()?.join(alias);
            Cluster::builder(alias)
                .own_processes()
                .brokers(options.brokers)
                .version(version.as_ref().unwrap_or(&options.version))
                .allow_everyone_if_no_acl(!options.deny_without_acl)
                .dir(dir)
                .start()
        };
        let (source, target) = std::thread::scope(|scope| {
            let source = scope.spawn(|| build("use1", &options.source_version));
            let target = build("usw2", &options.target_version);
            (source.join(), target)
        });
        let source = source.map_err(|_| LabError::NotRunning {
            name: "cluster use1".to_owned(),
        })??;
        let target = target?;
        for cluster in [&source, &target] {
            cluster.link().set_round_trip(options.delay);
            cluster.link().set_rate(options.rate);
            client_files::write(cluster)?;
        }
        let http = Port::reserve()?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, http.number()));
        let flow = FlowFile::new(&source, &target)
            .in_folder(folder()?)
            .write("FLOW", listen)?;
        Ok(Self {
            source,
            target,
            flow,
            _http: http,
        })
    }

    /// Reads one request, answers it, and returns it.
    fn answer(&self, mut stream: UnixStream) -> std::io::Result<Request> {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let request: Request = serde_json::from_str(&line)?;
        let response: Response = self
            .carry_out(&request)
            .map_err(|error| chain(&error))
            .map(|()| self.status());
        writeln!(stream, "{}", serde_json::to_string(&response)?)?;
        Ok(request)
    }

    fn carry_out(&self, request: &Request) -> Result<()> {
        match request {
            Request::Status | Request::Down => Ok(()),
            Request::Link {
                to,
                round_trip_micros,
                rate,
                change,
            } => {
                for cluster in self.chosen(to.as_deref())? {
                    let link = cluster.link();
                    round_trip_micros
                        .map(Duration::from_micros)
                        .into_iter()
                        .for_each(|delay| link.set_round_trip(delay));
                    rate.iter().for_each(|rate| link.set_rate(*rate));
                    match change {
                        Some(LinkChange::Cut) => link.cut()?,
                        Some(LinkChange::Blackhole) => link.blackhole()?,
                        Some(LinkChange::Heal) => link.heal()?,
                        None => {}
                    }
                }
                Ok(())
            }
            Request::Broker {
                cluster,
                node,
                action,
            } => {
                let broker = self
                    .chosen(Some(cluster))?
                    .into_iter()
                    .next()
                    .map(|cluster| cluster.broker(*node));
                let Some(broker) = broker.transpose()? else {
                    return Ok(());
                };
                match action {
                    BrokerAction::Kill => broker.kill(),
                    BrokerAction::Pause => broker.pause(),
                    BrokerAction::Resume => broker.resume(),
                    BrokerAction::Terminate => broker.terminate(),
                    BrokerAction::Start => broker.start(),
                }
            }
        }
    }

    /// The cluster of this alias, or both.
    fn chosen(&self, alias: Option<&str>) -> Result<Vec<&Cluster>> {
        let all = [&self.source, &self.target];
        let chosen: Vec<&Cluster> = all
            .into_iter()
            .filter(|cluster| alias.is_none_or(|alias| cluster.alias() == alias))
            .collect();
        if chosen.is_empty() {
            let alias = alias.unwrap_or_default();
            return Err(LabError::Usage(format!(
                "no cluster {alias}; there are use1 and usw2"
            )));
        }
        Ok(chosen)
    }

    fn status(&self) -> Status {
        let clusters = vec![
            ClusterStatus::of("source", &self.source),
            ClusterStatus::of("target", &self.target),
        ];
        Status {
            clusters,
            flow: self.flow.clone(),
        }
    }
}

fn io(action: impl Into<String>, source: std::io::Error) -> LabError {
    LabError::Io {
        action: action.into(),
        source,
    }
}
