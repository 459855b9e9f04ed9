//! Values that a flow file only points at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use understudy_domain::{SecretArn, SecretFieldError, SecretRef, SecretRefError};

use crate::aws::{Aws, AwsError};

/// Why a secret cannot be had. Never holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No such environment variable.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// No such file.
    #[error("cannot read the secret's file {path}")]
    NoFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a reference that can be followed.
    #[error(transparent)]
    Reference(#[from] SecretRefError),
    /// Secrets Manager did not give it.
    #[error("cannot read {arn}")]
    NotGiven {
        /// The secret.
        arn: String,
        /// Why.
        #[source]
        source: AwsError,
    },
    /// It was given, and is not as the reference says.
    #[error("cannot use {arn}")]
    Field {
        /// The secret.
        arn: String,
        /// Why.
        #[source]
        source: SecretFieldError,
    },
}

/// A value of a flow file. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Written {
    /// Stands for itself, or came from the environment, which does not change.
    Text(String),
    /// Read from a file each time.
    File(PathBuf),
    /// Asked of Secrets Manager each time.
    Managed(SecretArn),
}

/// Where secrets are read: once at the start, and again while the process runs.
pub struct Secrets<'a> {
    aws: &'a Aws,
    /// Each secret is asked for once in a look, however many properties take a field of it.
    read: BTreeMap<String, String>,
}

/// When what Secrets Manager holds is read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRead {
    /// With the flow file, so that whoever starts a worker is told at once.
    WithTheFile,
    /// By [`crate::rotation`], each end for itself. The Region of one end may be lost, and its Secrets Manager with it:
    /// the other end is reached all the same.
    WhenLoggingIn,
}

impl<'a> Secrets<'a> {
    /// One look at secrets.
    pub fn look(aws: &'a Aws) -> Self {
        Self {
            aws,
            read: BTreeMap::new(),
        }
    }

    /// The text of a value, as of now. A file's last line break is not part of it.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn resolve(&mut self, value: &Written) -> Result<String, SecretError> {
        match value {
            Written::Text(text) => Ok(text.clone()),
            Written::File(path) => crate::bounded::read_text(path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|source| SecretError::NoFile {
                    path: path.clone(),
                    source,
                }),
            Written::Managed(arn) => self.managed(arn),
        }
    }

    fn managed(&mut self, arn: &SecretArn) -> Result<String, SecretError> {
        let secret = match self.read.get(&arn.arn) {
            Some(secret) => secret,
            None => {
                let secret = self
                    .aws
                    .secret(arn)
                    .map_err(|source| SecretError::NotGiven {
                        arn: arn.arn.clone(),
                        source,
                    })?;
                self.read.entry(arn.arn.clone()).or_insert(secret)
            }
        };
        arn.pick(secret).map_err(|source| SecretError::Field {
            arn: arn.arn.clone(),
            source,
        })
    }
}

impl Written {
    /// Whether AWS has to be asked for it.
    pub const fn is_managed(&self) -> bool {
        matches!(self, Self::Managed(_))
    }
}

/// Understands `${…}`, if that is the whole value.
///
/// # Errors
/// No such environment variable, or a reference that cannot be followed.
pub fn settle(
    value: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Written, SecretError> {
    Ok(match SecretRef::parse(value)? {
        None => Written::Text(value.to_owned()),
        Some(SecretRef::Env(name)) => {
            Written::Text(environment(&name).ok_or(SecretError::NoVariable(name))?)
        }
        Some(SecretRef::File(path)) => Written::File(path.into()),
        Some(SecretRef::SecretsManager(arn)) => Written::Managed(arn),
    })
}
