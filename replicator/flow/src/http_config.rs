//! `[http]` and `[metrics]` of a flow file: where the worker is observed, and by whom.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::aws::Aws;
use crate::config_error::ConfigError;
use crate::secrets::{FirstRead, Secrets, settle};

/// Fewer characters than this are guessed too soon.
const TOKEN_MIN: usize = 16;
const KEYS: &[&str] = &[
    "listen",
    "partition_metrics",
    "tls_certificate",
    "tls_client_ca",
    "tls_key",
    "token",
];

/// Where and how the worker is observed.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where the page and the metrics are served.
    pub listen: SocketAddr,
    /// What lets a caller in; without it everybody on this machine is.
    pub token: Option<Token>,
    /// TLS, if it is spoken.
    pub tls: Option<TlsFiles>,
    /// Whether metrics have a line for each partition.
    pub partition_metrics: bool,
    /// Whether CloudWatch's embedded metrics go to standard output.
    pub emf: bool,
    /// The pair that these metrics name beside the flow, where several pairs share an account.
    pub emf_pair: Option<String>,
}

/// PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs clients that are let in.
    pub client_ca: Option<PathBuf>,
}

/// A bearer token. Never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The secret itself.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl HttpConfig {
    /// Reads both sections; `environment` answers `${env:NAME}`. Only a worker serves its page: whoever reads secrets when
    /// logging in has no use for the token, and nobody is asked for it.
    ///
    /// # Errors
    /// The first thing that is wrong, by key; also an address beyond loopback that nothing guards.
    pub fn parse(
        table: &toml::Table,
        environment: &dyn Fn(&str) -> Option<String>,
        first_read: FirstRead,
    ) -> Result<Self, ConfigError> {
        let http = Section::of(table, "http", KEYS)?;
        let metrics = Section::of(table, "metrics", &["emf", "pair"])?;
        let listen = match http.text("listen")? {
            None => SocketAddr::from(([127, 0, 0, 1], 8080)),
            Some(text) => text.parse().map_err(|_error| {
                bad(
                    "http.listen",
                    "must be an address and a port, like 127.0.0.1:8080",
                )
            })?,
        };
        let token = match http.text("token")? {
            None => None,
            Some(text) => token(text, environment, first_read)?,
        };
        let file = |key| http.text(key).map(|path| path.map(PathBuf::from));
        let tls = match (file("tls_certificate")?, file("tls_key")?) {
            (Some(certificate), Some(key)) => Some(TlsFiles {
                certificate,
                key,
                client_ca: file("tls_client_ca")?,
            }),
            (Some(_), None) => return Err(ConfigError::MissingKey("http.tls_key".to_owned())),
            (None, Some(_)) => {
                return Err(ConfigError::MissingKey("http.tls_certificate".to_owned()));
            }
            (None, None) if file("tls_client_ca")?.is_some() => {
                return Err(ConfigError::MissingKey("http.tls_certificate".to_owned()));
            }
            (None, None) => None,
        };
        let mutual = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let guarded = mutual || http.text("token")?.is_some();
        if !listen.ip().is_loopback() && !guarded {
            return Err(ConfigError::Exposed(listen));
        }
        Ok(Self {
            listen,
            token,
            tls,
            partition_metrics: http.flag("partition_metrics")?.unwrap_or(true),
            emf: metrics.flag("emf")?.unwrap_or(false),
            emf_pair: metrics.text("pair")?.map(str::to_owned),
        })
    }
}

fn token(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    first_read: FirstRead,
) -> Result<Option<Token>, ConfigError> {
    let key = "http.token";
    let unreadable = |source| ConfigError::Secret {
        key: key.to_owned(),
        source,
    };
    let written = settle(text, environment).map_err(unreadable)?;
    if written.is_managed() && first_read == FirstRead::WhenLoggingIn {
        return Ok(None);
    }
    let aws = Aws::default();
    let secret = Secrets::look(&aws).resolve(&written).map_err(unreadable)?;
    if secret.len() < TOKEN_MIN {
        return Err(bad(
            key,
            "must have at least 16 characters; make one: openssl rand -hex 32",
        ));
    }
    // What a header can carry and a cookie's login form sends unchanged.
    if !secret.chars().all(|letter| letter.is_ascii_graphic()) {
        return Err(bad(
            key,
            "must be made of visible ASCII characters without spaces",
        ));
    }
    Ok(Some(Token(secret)))
}

/// One section, its keys known.
struct Section<'a> {
    name: &'static str,
    table: Option<&'a toml::Table>,
}

impl<'a> Section<'a> {
    fn of(table: &'a toml::Table, name: &'static str, known: &[&str]) -> Result<Self, ConfigError> {
        let table = match table.get(name) {
            None => None,
            Some(toml::Value::Table(table)) => Some(table),
            Some(_) => return Err(bad(name, "must be a section")),
        };
        for key in table.into_iter().flat_map(toml::Table::keys) {
            if !known.contains(&key.as_str()) {
                return Err(ConfigError::UnknownKey {
                    key: format!("{name}.{key}"),
                    like: crate::config_error::closest(key, known.iter().copied())
                        .map(|like| format!("{name}.{like}")),
                });
            }
        }
        Ok(Self { name, table })
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.table.and_then(|table| table.get(key)) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad(&format!("{}.{key}", self.name), "must be a string")),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.table.and_then(|table| table.get(key)) {
            None => Ok(None),
            Some(toml::Value::Boolean(flag)) => Ok(Some(*flag)),
            Some(_) => Err(bad(
                &format!("{}.{key}", self.name),
                "must be true or false",
            )),
        }
    }
}

fn bad(key: &str, reason: &str) -> ConfigError {
    ConfigError::BadValue {
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HttpConfig, String> {
        let table: toml::Table = text.parse().map_err(|_error| "not TOML".to_owned())?;
        let environment =
            |name: &str| (name == "TOKEN").then(|| "0123456789abcdef-hush".to_owned());
        HttpConfig::parse(&table, &environment, FirstRead::WithTheFile)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn beyond_loopback_needs_a_token_or_client_certificates() -> Result<(), String> {
        let open = "[http]\nlisten = \"0.0.0.0:8080\"\n";
        let files = "tls_certificate = \"a\"\ntls_key = \"b\"\n";
        for unguarded in [open.to_owned(), format!("{open}{files}")] {
            let error = parse(&unguarded).err().unwrap_or_default();
            assert!(
                error.contains("http.token") && error.contains("http.tls_client_ca"),
                "{error}"
            );
        }
        let config = parse(&format!("{open}token = \"${{env:TOKEN}}\""))?;
        assert!(!format!("{config:?}").contains("hush"));
        parse(&format!("{open}{files}tls_client_ca = \"c\""))?;
        parse("[http]\nlisten = \"[::1]:8080\"")?;
        Ok(())
    }

    #[test]
    fn a_wrong_key_or_value_is_named() {
        for (text, expected) in [
            ("http = 1", "http: must be a section"),
            (
                "[http]\nlisten = \"8080\"",
                "http.listen: must be an address and a port",
            ),
            (
                "[http]\ntokens = \"x\"",
                "http.tokens is not a known key; did you mean \"http.token\"?",
            ),
            (
                "[http]\ntoken = \"short\"",
                "http.token: must have at least 16 characters",
            ),
            (
                "[http]\ntoken = \"0123456789 abcdefgh\"",
                "http.token: must be made of visible ASCII",
            ),
            ("[http]\ntls_key = \"x\"", "http.tls_certificate is missing"),
            ("[http]\ntls_certificate = \"x\"", "http.tls_key is missing"),
            (
                "[http]\npartition_metrics = 1",
                "http.partition_metrics: must be true or false",
            ),
            (
                "[metrics]\nemf = \"yes\"",
                "metrics.emf: must be true or false",
            ),
        ] {
            let error = parse(text).err().unwrap_or_default();
            assert!(error.starts_with(expected), "{text}\n{error}\n{expected}");
        }
    }
}
