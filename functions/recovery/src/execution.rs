//! Names of executions: `<pair>-e<epoch>-<mode>-<attempt>`, so that a storm of alarms is one recovery.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Epoch, Leash, Mode, NameError, PairName};

/// One run of a state machine. A leashed one ends in `-drill`: it takes no epoch, and must not stand in the way of the
/// real one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutionName {
    pair: PairName,
    epoch: Epoch,
    mode: Mode,
    attempt: u32,
    leashed: bool,
}

/// Why a text is not the name of an execution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionNameError {
    /// It is shaped otherwise.
    #[error("{0:?} is not <pair>-e<epoch>-<mode>-<attempt>")]
    Shape(String),
    /// The pair in it cannot be one.
    #[error(transparent)]
    Pair(#[from] NameError),
}

impl ExecutionName {
    /// The name of an attempt.
    pub fn new(pair: PairName, epoch: Epoch, mode: Mode, leash: Leash, attempt: u32) -> Self {
        Self {
            pair,
            epoch,
            mode,
            attempt,
            leashed: leash.is_leashed(),
        }
    }

    /// The pair.
    pub const fn pair(&self) -> &PairName {
        &self.pair
    }

    /// The epoch that it claims.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What kind of recovery it is.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether it acts.
    pub const fn leash(&self) -> Leash {
        if self.leashed {
            Leash::Leashed
        } else {
            Leash::Acting
        }
    }

    /// Which attempt at this epoch, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl fmt::Display for ExecutionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drill = if self.leashed { "-drill" } else { "" };
        write!(
            f,
            "{}-{}-{}-{}{drill}",
            self.pair, self.epoch, self.mode, self.attempt
        )
    }
}

impl FromStr for ExecutionName {
    type Err = ExecutionNameError;

    fn from_str(text: &str) -> Result<Self, ExecutionNameError> {
        let shape = || ExecutionNameError::Shape(text.to_owned());
        let (rest, leashed) = match text.strip_suffix("-drill") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut parts = rest.rsplitn(4, '-');
        let mut next = || parts.next().ok_or_else(shape);
        let attempt = next()?.parse().map_err(|_error| shape())?;
        let mode = next()?;
        let mode = Mode::ALL
            .into_iter()
            .find(|it| it.name() == mode)
            .ok_or_else(shape)?;
        let epoch = next()?
            .strip_prefix('e')
            .and_then(|number| number.parse().ok())
            .ok_or_else(shape)?;
        let pair = PairName::new(next()?)?;
        Ok(Self {
            pair,
            epoch: Epoch::new(epoch),
            mode,
            attempt,
            leashed,
        })
    }
}

impl TryFrom<String> for ExecutionName {
    type Error = ExecutionNameError;

    fn try_from(text: String) -> Result<Self, ExecutionNameError> {
        text.parse()
    }
}

impl From<ExecutionName> for String {
    fn from(name: ExecutionName) -> Self {
        name.to_string()
    }
}
