//! A flow's name, fit to be part of topic names and transactional ids.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Topic names end at 249 characters; ours put up to 22 around the flow's name.
const LENGTH_MAX: usize = 200;

/// A flow's name: letters, digits, `.`, `_` and `-`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlowName(Arc<str>);

/// Why a text cannot be a flow's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowNameError {
    /// A flow needs a name.
    #[error("a flow name must not be empty")]
    Empty,
    /// The names of its topics would be too long.
    #[error("a flow name has at most {max} characters, this one has {length}")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The longest allowed.
        max: usize,
    },
    /// Kafka would refuse the names of its topics.
    #[error(
        "a flow name has letters a-z and A-Z, digits, '.', '_' and '-'; {name:?} has {character:?}"
    )]
    Character {
        /// The text.
        name: String,
        /// The first character that does not fit.
        character: char,
    },
}

impl FlowName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, FlowNameError> {
        let length = name.chars().count();
        if length == 0 {
            return Err(FlowNameError::Empty);
        }
        if length > LENGTH_MAX {
            return Err(FlowNameError::TooLong {
                length,
                max: LENGTH_MAX,
            });
        }
        let fits = |character: char| {
            character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
        };
        match name.chars().find(|character| !fits(*character)) {
            Some(character) => Err(FlowNameError::Character {
                name: name.to_owned(),
                character,
            }),
            None => Ok(Self(Arc::from(name))),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FlowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for FlowName {
    type Err = FlowNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for FlowName {
    type Error = FlowNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<FlowName> for String {
    fn from(name: FlowName) -> Self {
        name.as_str().to_owned()
    }
}
