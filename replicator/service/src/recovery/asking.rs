//! Questions of a recovery that runs in this process, and who answers them: a person at this terminal, a person at
//! another one, `--yes`, or nobody.
//!
//! Every answer takes the way of `answer-approval`, so that the first one stays and the evidence names who gave it. Tokens
//! are files, so that another process can answer them: a token is worth something while its file is there.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use understudy_machines::{TaskError, Tokens};
use understudy_recovery::contract::Start;
use understudy_recovery::{ExecutionName, Step};
use understudy_shell::keys::{self, Waiting};
use understudy_shell::step::load;
use understudy_shell::world::Machines;
use understudy_shell::{PortError, PortErrorKind, World};
use understudy_steps::invoke;

use super::home;
use super::live::Live;
use crate::stop::Stop;

/// How often is looked whether somebody answered.
const LOOK: Duration = Duration::from_millis(100);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// A person at this terminal; or at another one, if that is faster.
    Terminal,
    /// A person at another one, with `understudy approve`.
    Elsewhere,
    /// Yes, beforehand.
    Yes,
    /// Nobody: no terminal, and no word beforehand. The answer is no.
    Nobody,
}

/// The tokens of one execution.
pub struct LocalTokens<'a> {
    /// Everything outside.
    pub world: World,
    /// The pair's folder.
    pub state: PathBuf,
    /// The pair file, for what is to be typed.
    pub pair_file: PathBuf,
    /// The execution.
    pub execution: ExecutionName,
    /// Who answers.
    pub answerer: Answerer,
    /// In whose name.
    pub person: String,
    /// What is shown meanwhile.
    pub live: &'a Live,
    /// Set when somebody interrupts.
    pub stop: Arc<Stop>,
    /// What the person at this terminal types, once somebody asked; and the question that is in view.
    pub typed: Mutex<Option<Typed>>,
}

/// What a person types.
pub struct Typed {
    lines: Receiver<String>,
    /// The digest of the question in view.
    shown: String,
}

impl Tokens for LocalTokens<'_> {
    fn issue(&self) -> String {
        let half = || RandomState::new().hash_one(0_u8);
        let token = format!("{:016x}{:016x}", half(), half());
        // Without its file the token cannot be answered, and the question ends by its deadline.
        let _made = make(&self.state, &token);
        token
    }

    fn wait(&self, token: &str, timeout: Duration) -> Result<Value, TaskError> {
        let until = Instant::now() + timeout;
        let answer = self.wait_until(token, until);
        // Whoever answers from now on is told that nobody waits.
        let _gone = std::fs::remove_file(waiting_file(&self.state, token));
        let _read = std::fs::remove_file(answer_file(&self.state, token));
        answer
    }
}

impl LocalTokens<'_> {
    fn wait_until(&self, token: &str, until: Instant) -> Result<Value, TaskError> {
        let execution = self.execution.to_string();
        let waiting: Option<Waiting> = load(&self.world, &keys::waiting(&execution))
            .map_err(|error| TaskError::new(error.name.name(), error.text))?;
        let mut said = false;
        loop {
            if let Some(answer) = read_answer(&self.state, token) {
                self.live.resume();
                return answer;
            }
            if self.stop.is_set() {
                return Err(TaskError::timeout("interrupted"));
            }
            if Instant::now() >= until {
                return Err(TaskError::timeout("nobody answered in time"));
            }
            if let Some(waiting) = &waiting {
                match self.answerer {
                    Answerer::Yes if !said => {
                        said = true;
                        self.live
                            .note(&format!("{}\nyes, said beforehand", waiting.question));
                        self.say(waiting, true, "said beforehand, with --yes");
                    }
                    Answerer::Nobody if !said => {
                        said = true;
                        self.nobody(waiting);
                    }
                    Answerer::Terminal => self.at_terminal(waiting),
                    Answerer::Elsewhere if !said => {
                        said = true;
                        self.live.note(&self.question(waiting));
                    }
                    Answerer::Yes | Answerer::Nobody | Answerer::Elsewhere => {}
                }
            }
            self.stop.wait(LOOK);
        }
    }

    fn question(&self, waiting: &Waiting) -> String {
        format!(
            "{}\nat another terminal: understudy approve {} {} --local --yes   (or --no)",
            waiting.question,
            self.pair_file.display(),
            self.execution
        )
    }

    fn nobody(&self, waiting: &Waiting) {
        self.live.note(&format!(
            "{}\nnobody can be asked here: this is no terminal. Start again on one, with --yes to approve beforehand, or \
             with --wait to be answered by `understudy approve`",
            waiting.question
        ));
        self.say(
            waiting,
            false,
            "nobody could be asked: no terminal, and neither --yes nor --wait",
        );
    }

    /// Shows the question once, and takes a line if there is one.
    fn at_terminal(&self, waiting: &Waiting) {
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        let typed = typed.get_or_insert_with(|| Typed {
            lines: lines(),
            shown: String::new(),
        });
        if typed.shown != waiting.digest {
            typed.shown.clone_from(&waiting.digest);
            // What was typed before the question was seen answers something else.
            while typed.lines.try_recv().is_ok() {}
            self.live.pause();
            self.live.note(&self.question(waiting));
            prompt();
        }
        match typed.lines.try_recv() {
            Ok(line) => match line.trim().to_ascii_lowercase().as_str() {
                "yes" | "y" => self.say(waiting, true, "said at the terminal"),
                "no" | "n" => self.say(waiting, false, "said at the terminal"),
                _other => prompt(),
            },
            Err(TryRecvError::Empty) => {}
            // Whoever sat here is gone: another terminal, or the deadline, answers.
            Err(TryRecvError::Disconnected) => {}
        }
    }

    fn say(&self, waiting: &Waiting, approve: bool, note: &str) {
        let request = json!({
            "execution": self.execution,
            "digest": waiting.digest,
            "approve": approve,
            "by": self.person,
            "note": note,
        });
        if let Err(error) = invoke(&self.world, Step::AnswerApproval, request) {
            self.live
                .note(&format!("the answer was not taken: {}", error.text));
        }
    }
}

fn prompt() {
    let mut out = io::stderr().lock();
    // A terminal that takes no prompt takes no answer either.
    let _shown = write!(out, "yes or no? ").and_then(|()| out.flush());
}

/// Lines of standard input, from a thread of their own: nothing else can wait for them and for another terminal at once.
fn lines() -> Receiver<String> {
    let (sender, receiver) = sync_channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// State machines of this folder: runs of `understudy failover --local` and its like.
pub struct LocalMachines {
    state: PathBuf,
}

impl LocalMachines {
    /// Those of a pair's folder.
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_path_buf(),
        }
    }
}

impl Machines for LocalMachines {
    fn start(&self, start: &Start) -> Result<bool, PortError> {
        Err(PortError::new(
            PortErrorKind::Refused,
            format!(
                "{} is not started by an event where there is no AWS; start it with `understudy {} PAIR.toml --local`",
                start.execution, start.mode
            ),
        ))
    }

    fn answer(&self, token: &str, answer: &Value) -> Result<(), PortError> {
        let missing = |text: &str| PortError::new(PortErrorKind::Missing, text);
        if !is_token(token) || !waiting_file(&self.state, token).exists() {
            return Err(missing("nobody waits for this answer any more"));
        }
        let file = answer_file(&self.state, token);
        let half = file.with_extension("half");
        let kept = std::fs::write(&half, answer.to_string())
            // A link is there whole or not at all, and the first one stays.
            .and_then(|()| std::fs::hard_link(&half, &file));
        let _half = std::fs::remove_file(&half);
        match kept {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(missing("it was answered already"))
            }
            Err(error) => Err(PortError::new(
                PortErrorKind::Unreachable,
                format!("{} cannot be written: {error}", file.display()),
            )),
        }
    }

    fn is_running(&self, execution: &ExecutionName) -> Result<Option<bool>, PortError> {
        Ok(home::is_running(&self.state, execution))
    }
}

/// Tokens become names of files; nothing else may.
fn is_token(token: &str) -> bool {
    token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn folder(state: &Path) -> PathBuf {
    state.join("tokens")
}

fn waiting_file(state: &Path, token: &str) -> PathBuf {
    folder(state).join(format!("{token}.waiting"))
}

fn answer_file(state: &Path, token: &str) -> PathBuf {
    folder(state).join(format!("{token}.json"))
}

fn make(state: &Path, token: &str) -> io::Result<()> {
    std::fs::create_dir_all(folder(state))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options.open(waiting_file(state, token)).map(|_file| ())
}

fn read_answer(state: &Path, token: &str) -> Option<Result<Value, TaskError>> {
    let bytes = std::fs::read(answer_file(state, token)).ok()?;
    Some(serde_json::from_slice(&bytes).map_err(|error| {
        TaskError::new(
            "Internal",
            format!("the answer to a question cannot be read: {error}"),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_once_and_only_while_somebody_waits()
    -> Result<(), Box<dyn std::error::Error>> {
        let state = std::env::temp_dir().join(format!("understudy-tokens-{}", std::process::id()));
        let machines = LocalMachines::new(&state);
        let token = "00112233445566778899aabbccddeeff";
        let kind = |answer: Result<(), PortError>| answer.map_err(|error| error.kind);
        assert_eq!(
            kind(machines.answer(token, &json!(1))),
            Err(PortErrorKind::Missing)
        );
        make(&state, token)?;
        assert_eq!(kind(machines.answer(token, &json!(1))), Ok(()));
        assert_eq!(
            kind(machines.answer(token, &json!(2))),
            Err(PortErrorKind::Missing)
        );
        assert_eq!(read_answer(&state, token), Some(Ok(json!(1))));
        assert_eq!(
            kind(machines.answer("../../etc/passwd", &json!(1))),
            Err(PortErrorKind::Missing)
        );
        std::fs::remove_dir_all(&state)?;
        Ok(())
    }
}
