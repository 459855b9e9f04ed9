//! What a person types.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use understudy_tests::{DEFAULT_VERSION, Kafka, LabError, Result, become_host};

use crate::control::{self, BrokerAction, LinkChange, Request};
use crate::status::Status;
use crate::{daemon, units};

/// Two real Kafka clusters on this machine, and the distance between them.
#[derive(Debug, Parser)]
#[command(name = "lab")]
pub(crate) struct Lab {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The source cluster use1 and the target cluster usw2.
    #[command(subcommand)]
    Clusters(Command),
    /// A JVM that takes in brokers of tests, until standard input ends.
    #[command(hide = true)]
    Host {
        /// The Unix socket to be asked at; the folder takes what the JVM unpacks.
        socket: PathBuf,
        /// How large its heap may grow, in bytes.
        #[arg(long)]
        heap_bytes: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start both clusters in the background; print how to reach them.
    Up(UpOptions),
    /// Stop them and remove their data.
    Down,
    /// Print how to reach them and how they are.
    Status {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Change the way from the other Region.
    Link(LinkOptions),
    /// Kill, pause, terminate or start a broker.
    Broker {
        /// The cluster: use1 or usw2.
        cluster: String,
        /// The node id, from 1.
        node: usize,
        /// What to do.
        action: BrokerAction,
    },
    /// Run one of Kafka's tools: topics, configs, acls, groups, offsets, produce, consume, perf, or a class.
    #[command(disable_help_flag = true)]
    Tool {
        /// The tool or class.
        tool: String,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The process behind `up`.
    #[command(hide = true)]
    Serve(UpOptions),
}

/// What the clusters are to be like.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpOptions {
    /// Brokers of each cluster: 1 or 3.
    #[arg(long, default_value_t = 1)]
    pub(crate) brokers: usize,
    /// Kafka's version on both sides.
    #[arg(long, default_value = DEFAULT_VERSION)]
    pub(crate) version: String,
    /// Kafka's version on the source.
    #[arg(long)]
    pub(crate) source_version: Option<String>,
    /// Kafka's version on the target.
    #[arg(long)]
    pub(crate) target_version: Option<String>,
    /// Round trip between the Regions, such as 60ms.
    #[arg(long, default_value = "0s", value_parser = units::delay)]
    pub(crate) delay: Duration,
    /// Bytes a second between the Regions in each direction, such as 10MB; 0: no limit.
    #[arg(long, default_value = "0", value_parser = units::rate)]
    pub(crate) rate: u64,
    /// Refuse whoever has no ACL, unlike MSK's default.
    #[arg(long)]
    pub(crate) deny_without_acl: bool,
}

impl UpOptions {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--brokers={}", self.brokers),
            format!("--version={}", self.version),
        ];
        arguments.extend(
            self.source_version
                .iter()
                .map(|version| format!("--source-version={version}")),
        );
        arguments.extend(
            self.target_version
                .iter()
                .map(|version| format!("--target-version={version}")),
        );
        arguments.push(format!(
            "--delay={}",
            humantime::format_duration(self.delay)
        ));
        arguments.push(format!("--rate={}", self.rate));
        arguments.extend(
            self.deny_without_acl
                .then(|| "--deny-without-acl".to_owned()),
        );
        arguments
    }
}

#[derive(Debug, Args)]
struct LinkOptions {
    /// Only the way to this cluster; both without it.
    #[arg(long)]
    to: Option<String>,
    /// Round trip, such as 60ms.
    #[arg(long, value_parser = units::delay)]
    delay: Option<Duration>,
    /// Bytes a second in each direction, such as 10MB; 0: no limit.
    #[arg(long, value_parser = units::rate)]
    rate: Option<u64>,
    /// Close every connection and refuse new ones.
    #[arg(long, group = "state")]
    cut: bool,
    /// Let nothing pass and close nothing.
    #[arg(long, group = "state")]
    blackhole: bool,
    /// Let everything pass again.
    #[arg(long, group = "state")]
    heal: bool,
}

impl LinkOptions {
    fn request(self) -> Request {
        let states = [
            (self.cut, LinkChange::Cut),
            (self.blackhole, LinkChange::Blackhole),
            (self.heal, LinkChange::Heal),
        ];
        Request::Link {
            to: self.to,
            round_trip_micros: self
                .delay
                .map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)),
            rate: self.rate,
            change: states
                .into_iter()
                .find_map(|(asked, change)| asked.then_some(change)),
        }
    }
}

pub(crate) fn run(lab: Lab) -> Result<ExitCode> {
    let command = match lab.part {
        Part::Clusters(command) => command,
        Part::Host { socket, heap_bytes } => {
            become_host(&socket, heap_bytes)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    match command {
        Command::Up(options) => println!("{}", daemon::up(&options.arguments())?),
        Command::Serve(options) => daemon::serve(&options)?,
        Command::Down => println!("{}", daemon::down()?),
        Command::Status { json } => return show(json),
        Command::Link(options) => println!("{}", control::ask(&options.request())?),
        Command::Broker {
            cluster,
            node,
            action,
        } => {
            println!(
                "{}",
                control::ask(&Request::Broker {
                    cluster,
                    node,
                    action
                })?
            );
        }
        Command::Tool { tool, args } => return Err(exec(&tool, &args)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(json: bool) -> Result<ExitCode> {
    if !daemon::is_up()? {
        println!(
            "{}",
            if json {
                "null"
            } else {
                "no clusters are up; start them with: scripts/clusters up"
            }
        );
        return Ok(ExitCode::FAILURE);
    }
    let status: Status = control::ask(&Request::Status)?;
    match json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(&status).unwrap_or_default()
        ),
        false => println!("{status}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Becomes the tool; returns only if that failed.
fn exec(tool: &str, args: &[String]) -> Result<LabError> {
    let class = match tool {
        "topics" => "org.apache.kafka.tools.TopicCommand",
        "configs" => "kafka.admin.ConfigCommand",
        "acls" => "org.apache.kafka.tools.AclCommand",
        "groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "offsets" => "org.apache.kafka.tools.GetOffsetShell",
        "produce" => "org.apache.kafka.tools.ConsoleProducer",
        "consume" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "perf" => "org.apache.kafka.tools.ProducerPerformance",
        class => class,
    };
    let source = Kafka::fetch(DEFAULT_VERSION)?
        .tool_command(class)?
        .args(args)
        .exec();
    Ok(LabError::Io {
        action: format!("start java for {class}"),
        source,
    })
}

impl ValueEnum for BrokerAction {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Kill,
            Self::Pause,
            Self::Resume,
            Self::Terminate,
            Self::Start,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Kill => ("kill", "SIGKILL"),
            Self::Pause => ("pause", "SIGSTOP"),
            Self::Resume => ("resume", "SIGCONT"),
            Self::Terminate => ("terminate", "SIGTERM"),
            Self::Start => ("start", "start it again in the same place"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}
