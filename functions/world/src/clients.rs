//! Applications that are moved without AWS: a file that they follow, a command, a person.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use understudy_recovery::Alias;
use understudy_recovery::client::{Adapter, Pointer};
use understudy_shell::world::{Clients, People};
use understudy_shell::{PortError, PortErrorKind};

use crate::command::Run;
use crate::files;

/// How long a command may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// Applications of a pair on this machine; relative paths are beside the pair file.
#[derive(Clone)]
pub struct LocalClients {
    folder: PathBuf,
    people: Arc<dyn People>,
}

impl LocalClients {
    /// Those of a pair whose file lies in this folder; `people` are told where an adapter says so.
    pub fn new(folder: &Path, people: Arc<dyn People>) -> Self {
        Self {
            folder: folder.to_path_buf(),
            people,
        }
    }

    /// Lets a file name the active cluster. A pointer with a newer epoch stays.
    fn point(&self, path: &str, pointer: &Pointer) -> Result<String, PortError> {
        let path = self.folder.join(path);
        // Whatever else is there is no pointer that anybody could follow.
        let seen: Option<Pointer> =
            files::read(&path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match seen {
            Some(seen) if seen.epoch > pointer.epoch => {
                let text = format!(
                    "file {} points to {} since epoch {}, which is newer than {}",
                    path.display(),
                    seen.active,
                    seen.epoch,
                    pointer.epoch
                );
                return Err(PortError::new(PortErrorKind::Conflict, text));
            }
            Some(seen) if seen == *pointer => {
                return Ok(format!(
                    "file {} points to {} already",
                    path.display(),
                    pointer.active
                ));
            }
            Some(_) | None => {}
        }
        let bytes = serde_json::to_vec_pretty(pointer).map_err(|error| {
            let text = format!("a pointer cannot be written: {error}");
            PortError::new(PortErrorKind::Malformed, text)
        })?;
        files::put(&path, &bytes)?;
        Ok(format!(
            "file {} points to {}",
            path.display(),
            pointer.active
        ))
    }

    fn run(&self, command: &[String], step: &str, pointer: &Pointer) -> Result<String, PortError> {
        let run = Run {
            command,
            folder: &self.folder,
            step,
            pointer,
            within: COMMAND_WITHIN,
        };
        run.to_its_end()?;
        Ok(format!("command {} ({step}) did it", name(command)))
    }

    fn notify(&self, subject: &str, text: &str) -> Result<String, PortError> {
        let told = self.people.tell(subject, text)?;
        Ok(format!("{told} told: {text}"))
    }
}

impl Clients for LocalClients {
    fn quiesce(
        &self,
        adapter: &Adapter,
        pointer: &Pointer,
        source: &Alias,
    ) -> Result<String, PortError> {
        match adapter {
            Adapter::File { path } => Ok(format!(
                "clients that follow file {path} stop by themselves or not at all"
            )),
            Adapter::Command { command } => self.run(command, "quiesce", pointer),
            Adapter::Notify { text } => self.notify(&format!("stop on {source}"), text),
            Adapter::SsmParameter { .. }
            | Adapter::EcsService { .. }
            | Adapter::LambdaEventSource { .. }
            | Adapter::Route53Record { .. }
            | Adapter::Secret { .. } => Err(needs_aws(adapter)),
        }
    }

    fn apply(&self, adapter: &Adapter, pointer: &Pointer) -> Result<String, PortError> {
        match adapter {
            Adapter::File { path } => self.point(path, pointer),
            Adapter::Command { command } => self.run(command, "apply", pointer),
            Adapter::Notify { text } => self.notify(&format!("move to {}", pointer.active), text),
            Adapter::SsmParameter { .. }
            | Adapter::EcsService { .. }
            | Adapter::LambdaEventSource { .. }
            | Adapter::Route53Record { .. }
            | Adapter::Secret { .. } => Err(needs_aws(adapter)),
        }
    }

    fn plan(&self, adapter: &Adapter, pointer: &Pointer) -> String {
        match adapter {
            Adapter::File { path } => format!("point file {path} to {}", pointer.active),
            Adapter::Command { command } => format!("run command {}", name(command)),
            Adapter::Notify { text } => format!("tell people: {text}"),
            Adapter::SsmParameter { .. }
            | Adapter::EcsService { .. }
            | Adapter::LambdaEventSource { .. }
            | Adapter::Route53Record { .. }
            | Adapter::Secret { .. } => format!("nothing: {}", needs_aws(adapter)),
        }
    }
}

/// Arguments may hold secrets; the program does not.
fn name(command: &[String]) -> &str {
    command.first().map_or("", String::as_str)
}

fn needs_aws(adapter: &Adapter) -> PortError {
    let what = match adapter {
        Adapter::SsmParameter { parameter } => format!("parameter {parameter}"),
        Adapter::EcsService { .. } => "an ECS service".to_owned(),
        Adapter::LambdaEventSource { .. } => "an event source mapping".to_owned(),
        Adapter::Route53Record { record, .. } => format!("record {record}"),
        Adapter::Secret { secret, .. } => format!("secret {secret}"),
        Adapter::File { .. } | Adapter::Command { .. } | Adapter::Notify { .. } => "it".to_owned(),
    };
    let text = format!(
        "needs AWS: {what} is not changed by a recovery that runs without; move that application by hand"
    );
    PortError::new(PortErrorKind::Refused, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    struct Nobody;

    impl People for Nobody {
        fn tell(&self, _subject: &str, _text: &str) -> Result<u32, PortError> {
            Ok(0)
        }
    }

    fn pointer(epoch: u64) -> Pointer {
        Pointer {
            schema: 1,
            pair: "orders".to_owned(),
            epoch,
            active: "usw2".to_owned(),
            bootstrap: "b:9092".to_owned(),
        }
    }

    fn command(script: &str) -> Adapter {
        Adapter::Command {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn a_pointer_moves_forward_only() -> Outcome {
        let folder = tempfile::tempdir()?;
        let clients = LocalClients::new(folder.path(), Arc::new(Nobody));
        let file = Adapter::File {
            path: "pointer.json".to_owned(),
        };
        clients.apply(&file, &pointer(7))?;
        assert!(clients.apply(&file, &pointer(7))?.contains("already"));
        let older = clients
            .apply(&file, &pointer(6))
            .map_err(|error| error.kind);
        assert_eq!(older, Err(PortErrorKind::Conflict));
        let bytes = std::fs::read(folder.path().join("pointer.json"))?;
        assert_eq!(serde_json::from_slice::<Pointer>(&bytes)?, pointer(7));
        Ok(())
    }

    #[test]
    fn a_command_is_told_what_to_do_and_an_error_shows_its_last_line_only() -> Outcome {
        let folder = tempfile::tempdir()?;
        let clients = LocalClients::new(folder.path(), Arc::new(Nobody));
        let told = command(
            "echo $UNDERSTUDY_STEP $UNDERSTUDY_ACTIVE $UNDERSTUDY_BOOTSTRAP $UNDERSTUDY_EPOCH > told",
        );
        clients.quiesce(&told, &pointer(7), &Alias::new("use1")?)?;
        let text = std::fs::read_to_string(folder.path().join("told"))?;
        assert_eq!(text, "quiesce usw2 b:9092 7\n");
        let fails = command("echo password; echo; echo no such service >&2; exit 3");
        let Err(error) = clients.apply(&fails, &pointer(7)) else {
            return Err("it went well".into());
        };
        assert_eq!(error.kind, PortErrorKind::Refused);
        assert!(error.text.ends_with("no such service"), "{error}");
        assert!(!error.text.contains("password"), "{error}");
        Ok(())
    }

    #[test]
    fn a_command_that_does_not_end_is_ended_with_what_it_started() -> Outcome {
        let folder = tempfile::tempdir()?;
        let began = std::time::Instant::now();
        let script = ["sh", "-c", "sleep 60 & sleep 60"].map(str::to_owned);
        let run = Run {
            command: &script,
            folder: folder.path(),
            step: "apply",
            pointer: &pointer(7),
            within: Duration::from_millis(200),
        };
        let ended = run.to_its_end().map_err(|error| error.kind);
        assert_eq!(ended, Err(PortErrorKind::TimedOut));
        assert!(began.elapsed() < Duration::from_secs(10));
        Ok(())
    }

    #[test]
    fn what_needs_aws_is_named() -> Outcome {
        let clients = LocalClients::new(Path::new(""), Arc::new(Nobody));
        let adapter = Adapter::SsmParameter {
            parameter: "/orders/active".to_owned(),
        };
        let Err(error) = clients.apply(&adapter, &pointer(7)) else {
            return Err("it went well".into());
        };
        assert!(
            error
                .text
                .starts_with("needs AWS: parameter /orders/active"),
            "{error}"
        );
        Ok(())
    }
}
