//! Names of pairs and clusters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a name cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} must be 1 to {longest} letters, digits, '-' or '_'")]
pub struct NameError {
    what: &'static str,
    name: String,
    longest: usize,
}

fn checked(what: &'static str, name: &str, longest: usize) -> Result<String, NameError> {
    let fits = !name.is_empty()
        && name.len() <= longest
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits {
        Ok(name.to_owned())
    } else {
        Err(NameError {
            what,
            name: name.to_owned(),
            longest,
        })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// It is empty, too long, or holds other characters.
            pub fn new(name: &str) -> Result<Self, NameError> {
                checked($what, name, $longest).map(Self)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Two clusters of which one stands by for the other. Short enough that names of executions stay below the 80
    /// characters that Step Functions takes.
    PairName,
    "pair",
    40
);
name!(
    /// A cluster's alias, such as `use1`: never changes, whatever its role.
    Alias,
    "cluster alias",
    40
);
