//! The folder in which a pair's ledger, plans, questions and evidence lie, and which recovery runs in it.
//!
//! Whoever carries a recovery out holds a lock on a file of its name for as long as it lives. So a second process knows
//! whether the recovery that holds the pair still runs, or died and is to be taken over from; and two processes that
//! start at once never share a name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use understudy_recovery::{ErrorName, ExecutionName, Leash, Ledger, Mode, Step, StepError};
use understudy_shell::step::{change_ledger, load, read_ledger};
use understudy_shell::{World, keys};

use super::deployed::Deployed;
use super::world::{self, Reach};

/// Where ledger, plans and evidence lie unless somebody says otherwise: beside the pair file.
const FOLDER: &str = ".understudy";
/// How many names are passed by that earlier runs have used up.
const NAMES: u32 = 10_000;
/// How often an attempt is counted again when somebody else changes the ledger at the same time.
const COUNTS: u32 = 5;
/// How long before the second try; each later one waits as much longer.
const PAUSE: Duration = Duration::from_millis(40);

/// Why a recovery cannot be carried out here, or what is asked cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The pair file cannot be used.
    #[error("{0}")]
    Pair(String),
    /// The folder cannot be used.
    #[error("folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step's error.
    #[error("{0}")]
    Step(#[from] StepError),
    /// It is not so.
    #[error("{0}")]
    No(String),
    /// A defect of ours.
    #[error("{0}; this is a defect of Understudy: please report it")]
    Defect(String),
}

impl LocalError {
    /// Whether usage or configuration is wrong, rather than the answer no.
    pub const fn is_unusable(&self) -> bool {
        match self {
            Self::Pair(_) | Self::Folder { .. } | Self::Defect(_) => true,
            Self::Step(_) | Self::No(_) => false,
        }
    }
}

/// Where recoveries are carried out.
pub enum Place {
    /// In processes of this machine; what they leave lies in a folder.
    Here,
    /// In AWS.
    Deployed(Box<Deployed>),
}

/// Where a pair's recoveries leave what they leave, and everything that they reach.
pub struct Home {
    /// The pair file, as it was given; what people are told to type names it.
    pub pair_file: PathBuf,
    /// The folder, or the bucket.
    pub state: PathBuf,
    /// What steps reach.
    pub world: World,
    /// Where they are carried out.
    pub place: Place,
}

/// A recovery that runs in this process; another one cannot have its name while this lives.
pub struct Held {
    /// Its name.
    pub execution: ExecutionName,
    /// Locked until it is dropped, or the process ends.
    _lock: File,
}

impl Home {
    /// Reads the pair; connects to nothing.
    ///
    /// # Errors
    /// The pair file, one of its flow files, or the folder cannot be used.
    pub fn open(pair_file: &Path, state: Option<&Path>, reach: Reach) -> Result<Self, LocalError> {
        let beside = pair_file.parent().unwrap_or_else(|| Path::new(""));
        let state = state.map_or_else(|| beside.join(FOLDER), Path::to_path_buf);
        let world = world::local(pair_file, &state, reach)?;
        Ok(Self {
            pair_file: pair_file.to_path_buf(),
            state,
            world,
            place: Place::Here,
        })
    }

    /// Carries a step out that belongs to no execution.
    ///
    /// # Errors
    /// The step's own.
    pub fn invoke(&self, step: Step, event: Value) -> Result<Value, LocalError> {
        match &self.place {
            Place::Here => Ok(understudy_steps::invoke(&self.world, step, event)?),
            Place::Deployed(deployed) => deployed.invoke(step, &event),
        }
    }

    /// What a command has to be given to come here too.
    pub fn option(&self) -> String {
        match &self.place {
            Place::Here => "--local".to_owned(),
            Place::Deployed(deployed) => format!("--region {}", deployed.region),
        }
    }

    /// The ledger.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ledger(&self) -> Result<Ledger, LocalError> {
        Ok(read_ledger(&self.world)?)
    }

    /// Where something that the store keeps lies.
    pub fn path(&self, key: &str) -> PathBuf {
        self.state.join(key)
    }

    /// Takes the name of a new execution: counted in the ledger, so that whoever starts one elsewhere takes another. A
    /// drill writes no ledger, and is known in this folder only.
    ///
    /// # Errors
    /// The ledger does not answer, or the folder cannot be written.
    pub fn hold(&self, mode: Mode, leash: Leash) -> Result<Held, LocalError> {
        let folder = running(&self.state);
        let trouble = |path: &Path, source| LocalError::Folder {
            path: path.to_path_buf(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(|error| trouble(&folder, error))?;
        let mut next = self.ledger()?.next_execution(mode, leash);
        for _taken in 0..NAMES {
            if !leash.is_leashed() {
                next = self.counted(mode, leash)?;
            }
            let path = lock_file(&self.state, &next);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    file.lock().map_err(|error| trouble(&path, error))?;
                    return Ok(Held {
                        execution: next,
                        _lock: file,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let attempt = next.attempt().saturating_add(1);
                    next =
                        ExecutionName::new(next.pair().clone(), next.epoch(), mode, leash, attempt);
                }
                Err(error) => return Err(trouble(&path, error)),
            }
        }
        Err(LocalError::No(format!(
            "{NAMES} runs have taken every name at epoch {}; remove old files from {}",
            next.epoch(),
            folder.display()
        )))
    }

    /// The name of the next attempt, which nobody else takes. Somebody else may count at the same time: one of two does.
    fn counted(&self, mode: Mode, leash: Leash) -> Result<ExecutionName, LocalError> {
        let mut tries = 0;
        loop {
            let mut named = None;
            let counted = change_ledger(&self.world, |ledger| {
                named = Some(ledger.next_execution(mode, leash));
                Ok(ledger.attempted())
            });
            tries += 1;
            match (counted, named) {
                (Ok(_ledger), Some(named)) => return Ok(named),
                (Err(error), _) if error.name == ErrorName::LedgerConflict && tries < COUNTS => {
                    self.world.clock.sleep(PAUSE.saturating_mul(tries));
                }
                (Err(error), _) => return Err(error.into()),
                (Ok(_), None) => {
                    return Err(LocalError::Defect(
                        "an attempt was counted without a name".to_owned(),
                    ));
                }
            }
        }
    }

    /// Whether an execution runs, in a process of this machine or in AWS; nothing where that cannot be told.
    pub fn is_running(&self, execution: &ExecutionName) -> Option<bool> {
        match &self.place {
            Place::Here => is_running(&self.state, execution),
            Place::Deployed(_) => self.world.machines.is_running(execution).ok().flatten(),
        }
    }

    /// The question that an execution waits with, if it asks one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn question(&self, execution: &str) -> Result<Option<keys::Waiting>, StepError> {
        let waiting: Option<keys::Waiting> = load(&self.world, &keys::waiting(execution))?;
        let Some(waiting) = waiting else {
            return Ok(None);
        };
        let answer = keys::answer(execution, &waiting.digest);
        let answered = load::<Value>(&self.world, &answer)?;
        Ok(answered.is_none().then_some(waiting))
    }
}

fn running(state: &Path) -> PathBuf {
    state.join("running")
}

fn lock_file(state: &Path, execution: &ExecutionName) -> PathBuf {
    running(state).join(format!("{execution}.lock"))
}

/// Whether an execution runs in a process of this machine; nothing where that cannot be told.
pub fn is_running(state: &Path, execution: &ExecutionName) -> Option<bool> {
    let file = File::open(lock_file(state, execution)).ok()?;
    match file.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_recovery::{Alias, PairName};

    fn home() -> Result<Home, Box<dyn std::error::Error>> {
        let stage = understudy_fakes::Stage::new();
        let name = format!(
            "understudy-home-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let state = std::env::temp_dir().join(name);
        let _before = std::fs::remove_dir_all(&state);
        Ok(Home {
            pair_file: PathBuf::from("pair.toml"),
            state,
            world: stage.world(),
            place: Place::Here,
        })
    }

    #[test]
    fn two_that_start_at_once_have_two_names_and_each_is_known_to_run()
    -> Result<(), Box<dyn std::error::Error>> {
        let home = home()?;
        let ledger = Ledger::new(PairName::new("orders")?, Alias::new("use1")?);
        let one = home.hold(Mode::Failover, Leash::Acting)?;
        let two = home.hold(Mode::Failover, Leash::Acting)?;
        assert_ne!(one.execution, two.execution);
        assert_eq!(home.is_running(&one.execution), Some(true));
        let name = one.execution.clone();
        drop(one);
        assert_eq!(home.is_running(&name), Some(false));
        let never = ledger.next_execution(Mode::Switchover, Leash::Acting);
        assert_eq!(home.is_running(&never), None);
        std::fs::remove_dir_all(&home.state)?;
        Ok(())
    }
}
