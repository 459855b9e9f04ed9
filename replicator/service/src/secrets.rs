//! Values that a flow file only points at.

use std::path::{Path, PathBuf};

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
    /// A source of secrets that this version does not know.
    #[error("${{{0}:…}} is not supported by this version; use ${{env:NAME}} or ${{file:PATH}}")]
    UnknownProvider(String),
}

/// Replaces `${env:NAME}` or `${file:PATH}`, if that is the whole value. A file's last line break is not part of it.
pub(crate) fn resolve(
    value: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, SecretError> {
    let Some((provider, name)) = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|inner| inner.split_once(':'))
    else {
        return Ok(value.to_owned());
    };
    match provider {
        "env" => environment(name).ok_or_else(|| SecretError::NoVariable(name.to_owned())),
        "file" => std::fs::read_to_string(Path::new(name))
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|source| SecretError::NoFile {
                path: name.into(),
                source,
            }),
        other => Err(SecretError::UnknownProvider(other.to_owned())),
    }
}
