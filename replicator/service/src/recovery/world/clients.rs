//! Applications that are moved without AWS: a file that they follow, a command, a person.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_recovery::Alias;
use understudy_recovery::client::{Adapter, Pointer};
use understudy_shell::world::{Clients, People};
use understudy_shell::{PortError, PortErrorKind};

/// How long a command may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Adapters of one pair; relative paths are beside its file.
pub struct LocalClients {
    folder: PathBuf,
    people: Arc<dyn People>,
}

impl LocalClients {
    /// Those of a pair whose file lies in this folder; `people` are told what they have to do.
    pub fn new(folder: &Path, people: Arc<dyn People>) -> Self {
        Self {
            folder: folder.to_path_buf(),
            people,
        }
    }

    fn write(&self, path: &str, pointer: &Pointer) -> Result<String, PortError> {
        let path = self.folder.join(path);
        let seen = std::fs::read(&path).ok();
        let seen: Option<Pointer> = seen.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(seen) = seen.filter(|seen| seen.epoch > pointer.epoch) {
            return Err(PortError::new(
                PortErrorKind::Conflict,
                format!(
                    "{} is at epoch {}, which is newer",
                    path.display(),
                    seen.epoch
                ),
            ));
        }
        let text = serde_json::to_vec_pretty(pointer)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, error.to_string()))?;
        let half = path.with_extension("half");
        std::fs::write(&half, text)
            .and_then(|()| std::fs::rename(&half, &path))
            .map_err(|error| {
                PortError::new(
                    PortErrorKind::Unreachable,
                    format!("{}: {error}", path.display()),
                )
            })?;
        Ok(format!("{} names {}", path.display(), pointer.active))
    }

    fn tell(&self, subject: &str, text: &str) -> Result<String, PortError> {
        self.people.tell(subject, text)?;
        Ok(format!("a person was told: {text}"))
    }

    fn run(&self, command: &[String], step: &str, pointer: &Pointer) -> Result<String, PortError> {
        let words = command.join(" ");
        let trouble = |kind, what: String| PortError::new(kind, format!("{words}: {what}"));
        let Some((program, arguments)) = command.split_first() else {
            return Err(trouble(
                PortErrorKind::Refused,
                "no program is named".to_owned(),
            ));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(if self.folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &self.folder
            })
            .env("UNDERSTUDY_STEP", step)
            .env("UNDERSTUDY_ACTIVE", &pointer.active)
            .env("UNDERSTUDY_BOOTSTRAP", &pointer.bootstrap)
            .env("UNDERSTUDY_EPOCH", pointer.epoch.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| trouble(PortErrorKind::Refused, error.to_string()))?;
        let until = Instant::now() + COMMAND_WITHIN;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(format!("{words}: done")),
                Ok(Some(status)) => {
                    return Err(trouble(PortErrorKind::Refused, status.to_string()));
                }
                Ok(None) if Instant::now() >= until => {
                    let _ended = child.kill().and_then(|()| child.wait());
                    let limit = format!("did not end within {} s", COMMAND_WITHIN.as_secs());
                    return Err(trouble(PortErrorKind::TimedOut, limit));
                }
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => return Err(trouble(PortErrorKind::Unreachable, error.to_string())),
            }
        }
    }
}

impl Clients for LocalClients {
    fn quiesce(
        &self,
        adapter: &Adapter,
        pointer: &Pointer,
        _source: &Alias,
    ) -> Result<String, PortError> {
        match adapter {
            Adapter::File { path } => Ok(format!("{path} stays as it is until applications move")),
            Adapter::Command { command } => self.run(command, "quiesce", pointer),
            Adapter::Notify { text } => self.tell("stop it", text),
            other => Err(needs_aws(other)),
        }
    }

    fn apply(&self, adapter: &Adapter, pointer: &Pointer) -> Result<String, PortError> {
        match adapter {
            Adapter::File { path } => self.write(path, pointer),
            Adapter::Command { command } => self.run(command, "apply", pointer),
            Adapter::Notify { text } => self.tell(&format!("now on {}", pointer.active), text),
            other => Err(needs_aws(other)),
        }
    }

    fn plan(&self, adapter: &Adapter, pointer: &Pointer) -> String {
        match adapter {
            Adapter::File { path } => format!("let {path} name {}", pointer.active),
            Adapter::Command { command } => format!("run {}", command.join(" ")),
            Adapter::Notify { text } => format!("tell a person: {text}"),
            other => needs_aws(other).text,
        }
    }
}

fn needs_aws(adapter: &Adapter) -> PortError {
    let kind = match adapter {
        Adapter::SsmParameter { .. } => "ssm-parameter",
        Adapter::EcsService { .. } => "ecs-service",
        Adapter::LambdaEventSource { .. } => "lambda-event-source",
        Adapter::Route53Record { .. } => "route53-record",
        Adapter::Secret { .. } => "secret",
        Adapter::File { .. } | Adapter::Command { .. } | Adapter::Notify { .. } => "this",
    };
    PortError::new(
        PortErrorKind::Refused,
        format!(
            "an adapter of kind {kind} needs AWS, and this recovery runs without: move that application by hand"
        ),
    )
}
