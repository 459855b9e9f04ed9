//! Why a flow file cannot be used.

use std::net::SocketAddr;
use std::path::PathBuf;

use understudy_domain::FlowNameError;

use crate::secrets::SecretError;
use crate::selection::SelectionError;

/// Why a flow file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what; never quotes a line, which could hold a secret.
        reason: String,
    },
    /// A section that must be there.
    #[error("[{0}] is missing: a flow needs [source] and [target]")]
    MissingSection(&'static str),
    /// A key that must be there.
    #[error("{0} is missing")]
    MissingKey(String),
    /// A key nobody knows.
    #[error("{key} is not a known key{}", nearest(.like))]
    UnknownKey {
        /// As written, with its section.
        key: String,
        /// The known key that looks most like it.
        like: Option<String>,
    },
    /// A Java client property that librdkafka spells another way.
    #[error("{key} is a property of Java clients; use {instead}")]
    JavaProperty {
        /// As written, with its section.
        key: String,
        /// What to write.
        instead: &'static str,
    },
    /// The name of a Java class.
    #[error(
        "{0} names a Java class, and this is not a Java client; use \"sasl.mechanism\" with \"sasl.username\" and \"sasl.password\", with \"sasl.oauthbearer.token\", or \"AWS_MSK_IAM\" alone"
    )]
    JavaClass(String),
    /// A property that exactness depends on.
    #[error("{0} is set by understudy, exactness depends on it; remove it")]
    OwnedProperty(String),
    /// A value of the wrong kind or out of range.
    #[error("{key}: {reason}")]
    BadValue {
        /// The key, with its section.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A feature that this version does not have.
    #[error("{key} = {value:?} is not supported by this version; {advice}")]
    Unsupported {
        /// The key, with its section.
        key: &'static str,
        /// As written.
        value: String,
        /// What to do.
        advice: &'static str,
    },
    /// The page beyond loopback, and nobody asked who is there.
    #[error(
        "http.listen = {0} is beyond loopback: set http.token to \"${{file:PATH}}\" or \"${{env:NAME}}\" for a bearer token, \
         or http.tls_certificate, http.tls_key and http.tls_client_ca for client certificates"
    )]
    Exposed(SocketAddr),
    /// Both ends are called the same.
    #[error("source and target have the same alias {0:?}; give each cluster its own")]
    SameAlias(String),
    /// A secret that cannot be had.
    #[error("{key}")]
    Secret {
        /// The key, with its section.
        key: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The flow's name.
    #[error(transparent)]
    Name(#[from] FlowNameError),
    /// A flow of MirrorMaker 2's was named, and this is no such file.
    #[error("--flow {flow} goes with a MirrorMaker 2 property file, and {path} is none")]
    NotMm2 {
        /// The file.
        path: PathBuf,
        /// As asked for.
        flow: String,
    },
    /// A MirrorMaker 2 configuration.
    #[error(transparent)]
    Mm2(#[from] crate::import_mm2::ImportError),
    /// A pattern.
    #[error(transparent)]
    Selection(#[from] SelectionError),
}

/// A key's value that is none.
pub(crate) fn bad(key: &str, reason: &str) -> ConfigError {
    ConfigError::BadValue {
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The one of `known` that looks most like a key nobody knows, if any does.
pub(crate) fn closest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

fn nearest(like: &Option<String>) -> String {
    like.as_ref()
        .map_or_else(String::new, |like| format!("; did you mean {like:?}?"))
}
