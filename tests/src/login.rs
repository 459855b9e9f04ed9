//! The ways to prove who one is, on a cluster built with [`crate::ClusterBuilder::every_login`].

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::cluster::Cluster;
use crate::error::{LabError, Result};
use crate::listener::{ClientProperties, Listener};

/// The user that PLAIN knows.
pub const PLAIN_USER: &str = "plain-reader";
/// Its password.
pub const PLAIN_PASSWORD: &str = "plain-secret";

/// A client's certificate and key, as PEM files.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A way to prove who one is.
#[derive(Debug, Clone, Copy)]
pub enum Login<'a> {
    /// TLS without a name of one's own.
    Ssl,
    /// A client certificate.
    Mtls(&'a ClientCertificate),
    /// [`PLAIN_USER`].
    Plain,
    /// SCRAM-SHA-256: user and password, or what stands for it in a flow file.
    Scram256(&'a str, &'a str),
    /// SCRAM-SHA-512: the same.
    Scram512(&'a str, &'a str),
    /// OAUTHBEARER: a token, or what stands for it in a flow file.
    Token(&'a str),
}

impl Cluster {
    /// Properties of a flow file's end for a way to log in.
    pub fn login(&self, login: Login<'_>) -> Result<ClientProperties> {
        let mut properties = vec![("ssl.ca.location", self.ca().display().to_string())];
        let mut sasl = |mechanism: &str, more: &[(&'static str, &str)]| {
            properties.push(("bootstrap.servers", self.bootstrap_of(Listener::SaslSsl)));
            properties.push(("security.protocol", "SASL_SSL".to_owned()));
            properties.push(("sasl.mechanism", mechanism.to_owned()));
            properties.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        };
        let password = |user, password| [("sasl.username", user), ("sasl.password", password)];
        match login {
            Login::Plain => sasl("PLAIN", &password(PLAIN_USER, PLAIN_PASSWORD)),
            Login::Scram256(user, secret) => sasl("SCRAM-SHA-256", &password(user, secret)),
            Login::Scram512(user, secret) => sasl("SCRAM-SHA-512", &password(user, secret)),
            Login::Token(token) => sasl("OAUTHBEARER", &[("sasl.oauthbearer.token", token)]),
            Login::Ssl | Login::Mtls(_) => {
                let servers: Option<Vec<String>> = self
                    .brokers
                    .iter()
                    .map(|broker| {
                        let (ssl, mtls) = broker.tls()?;
                        let asked = matches!(login, Login::Mtls(_));
                        Some(if asked { mtls } else { ssl }.to_string())
                    })
                    .collect();
                let servers = servers.ok_or_else(|| {
                    LabError::Usage("build the cluster with every_login".to_owned())
                })?;
                properties.push(("bootstrap.servers", servers.join(",")));
                properties.push(("security.protocol", "SSL".to_owned()));
            }
        }
        if let Login::Mtls(client) = login {
            let path = |path: &PathBuf| path.display().to_string();
            properties.push(("ssl.certificate.location", path(&client.certificate)));
            properties.push(("ssl.key.location", path(&client.key)));
        }
        Ok(properties
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect())
    }

    /// Gives a user another password for SCRAM-SHA-512; one may be changed at a time.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let hash = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
        let arguments = [
            "--bootstrap-server",
            &self.bootstrap(),
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            user,
            "--add-config",
            &hash,
        ]
        .map(str::to_owned);
        self.kafka()
            .run_tool("kafka.admin.ConfigCommand", &arguments)
            .map(drop)
    }

    /// A certificate that the cluster trusts, under `name`: a new one in place of the old one's files each time.
    pub fn client_certificate(&self, name: &str) -> Result<ClientCertificate> {
        self.certificates.client(&self.dir, name, false)
    }

    /// Gives the brokers another certificate, which they serve from their next start on: one that ended years ago, if
    /// told so.
    pub fn renew_certificate(&self, expired: bool) -> Result<()> {
        self.certificates.renew_brokers(expired)
    }

    /// One that the cluster would trust, had it not ended years ago.
    pub fn expired_client_certificate(&self, name: &str) -> Result<ClientCertificate> {
        self.certificates.client(&self.dir, name, true)
    }
}

/// A token as Kafka's validator for labs takes it: nobody signed it.
pub fn unsecured_token(subject: &str, lives: Duration) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let claims = format!(
        r#"{{"sub":"{subject}","iat":{},"exp":{}}}"#,
        now.as_secs(),
        (now + lives).as_secs()
    );
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}
