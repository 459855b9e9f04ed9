//! How the properties of one end come about: what the flow file says, with secrets read and mechanisms translated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use understudy_domain::{AccessToken, CertificateEnd, Mechanism, msk_region};

use crate::aws::Aws;
use crate::config_error::ConfigError;
use crate::secrets::{SecretError, Secrets, Written};

/// The key that holds an OAUTHBEARER token; ours, not librdkafka's.
const TOKEN: &str = "sasl.oauthbearer.token";
/// The key that names the Region of a cluster whose brokers' names do not; ours.
const REGION: &str = "aws.region";

/// The key that names our own certificate.
const CERTIFICATE: &str = "ssl.certificate.location";
/// The key that holds it.
const CERTIFICATE_PEM: &str = "ssl.certificate.pem";

/// Stands for what has not been read yet while the rest is looked at. Nothing is called so: it holds a line break.
const NOT_READ: &str = "not\nread";

/// Keys of an end that are not librdkafka's.
pub const OWN_KEYS: &[&str] = &["alias", REGION, TOKEN];

/// Properties that name a file that must be there. (`ssl.ca.location` may also name a folder, which opens too.)
const FILES: &[&str] = &[
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

/// Java names that people bring along, and what they are here.
const JAVA_PROPERTIES: &[(&str, &str)] = &[
    (
        "sasl.jaas.config",
        "\"sasl.username\" and \"sasl.password\", or \"sasl.mechanism\" = \"AWS_MSK_IAM\" alone",
    ),
    (
        "sasl.client.callback.handler.class",
        "\"sasl.mechanism\" = \"AWS_MSK_IAM\" alone, or \"sasl.oauthbearer.token\"",
    ),
    (
        "sasl.login.callback.handler.class",
        "\"sasl.mechanism\" = \"AWS_MSK_IAM\" alone, or \"sasl.oauthbearer.token\"",
    ),
    (
        "sasl.login.class",
        "nothing: \"sasl.mechanism\" decides how to log in",
    ),
    (
        "sasl.oauthbearer.token.endpoint.url",
        "\"sasl.oauthbearer.token\" = \"${file:PATH}\", kept fresh by whoever gets tokens",
    ),
    (
        "ssl.truststore.location",
        "\"ssl.ca.location\" (a PEM file)",
    ),
    (
        "ssl.truststore.password",
        "\"ssl.ca.location\" (a PEM file needs no password)",
    ),
    ("ssl.truststore.type", "\"ssl.ca.location\" (a PEM file)"),
    (
        "ssl.keystore.type",
        "\"ssl.certificate.location\" and \"ssl.key.location\" (PEM files)",
    ),
    ("key.deserializer", "nothing: records are copied as bytes"),
    ("value.deserializer", "nothing: records are copied as bytes"),
];

/// Where packages of Java's handlers and login modules begin.
const JAVA_PACKAGES: &[&str] = &["org.apache.kafka.", "software.amazon.msk.", "io.strimzi."];

/// One end as the flow file has it, to be read again and again.
#[derive(Clone)]
pub struct Recipe {
    section: &'static str,
    /// As written, environment variables replaced. Never printed.
    written: BTreeMap<String, Written>,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("section", &self.section)
            .finish_non_exhaustive()
    }
}

/// What a look at an end's secrets and files found. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// For librdkafka.
    pub properties: BTreeMap<String, String>,
    /// A hash over the content of the files that properties name.
    pub files: u64,
    /// When our own certificate ends, if there is one that can be read.
    pub certificate_end: Option<CertificateEnd>,
    /// Where OAUTHBEARER tokens come from.
    pub tokens: Tokens,
    /// Properties that are not among these because they have not been read yet.
    pub lacking: BTreeSet<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// Where OAUTHBEARER tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// The mechanism needs none.
    None,
    /// Somebody else renews it; we read it.
    Given(AccessToken),
    /// Signed by us, for this Region.
    MskIam(String),
}

impl Recipe {
    /// The recipe of an end.
    pub fn new(section: &'static str, written: BTreeMap<String, Written>) -> Self {
        Self { section, written }
    }

    /// Reads secrets and files.
    ///
    /// # Errors
    /// The first key whose value cannot be had or used.
    pub fn follow(&self, secrets: &mut Secrets<'_>) -> Result<Access, ConfigError> {
        self.follow_with(&mut |value| secrets.resolve(value))
    }

    /// Reads what is at hand, and asks nobody: what Secrets Manager holds is lacking.
    ///
    /// # Errors
    /// As [`Recipe::follow`].
    pub fn follow_at_hand(&self) -> Result<Access, ConfigError> {
        let aws = Aws::default();
        let mut secrets = Secrets::look(&aws);
        let lacking = self
            .written
            .iter()
            .filter(|(_, value)| value.is_managed())
            .map(|(key, _)| key.clone());
        let lacking: BTreeSet<String> = lacking.collect();
        let mut access = self.follow_with(&mut |value| match value {
            Written::Managed(_) => Ok(NOT_READ.to_owned()),
            Written::Text(_) | Written::File(_) => secrets.resolve(value),
        })?;
        access.properties.retain(|key, _| !lacking.contains(key));
        access.lacking = lacking;
        Ok(access)
    }

    fn follow_with(
        &self,
        read: &mut dyn FnMut(&Written) -> Result<String, SecretError>,
    ) -> Result<Access, ConfigError> {
        let full = |key: &str| format!("{}.{key}", self.section);
        let mut properties = BTreeMap::new();
        for (key, value) in &self.written {
            if let Some((_, instead)) = JAVA_PROPERTIES.iter().find(|(java, _)| java == key) {
                return Err(ConfigError::JavaProperty {
                    key: full(key),
                    instead,
                });
            }
            if let Written::Text(text) = value
                && key.starts_with("sasl.")
                && JAVA_PACKAGES.iter().any(|java| text.starts_with(java))
            {
                return Err(ConfigError::JavaClass(full(key)));
            }
            let value = read(value).map_err(|source| ConfigError::Secret {
                key: full(key),
                source,
            })?;
            properties.insert(key.clone(), value);
        }
        let tokens = self.log_in(&mut properties)?;
        let (files, certificate_end) = self.files(&properties)?;
        Ok(Access {
            properties,
            files,
            certificate_end,
            tokens,
            lacking: BTreeSet::new(),
        })
    }

    /// Checks what a mechanism needs, and translates it.
    fn log_in(&self, properties: &mut BTreeMap<String, String>) -> Result<Tokens, ConfigError> {
        let bad = |key: &str, reason: &str| ConfigError::BadValue {
            key: format!("{}.{key}", self.section),
            reason: reason.to_owned(),
        };
        let region = properties.remove(REGION);
        let token = properties.remove(TOKEN);
        if properties
            .get("enable.sasl.oauthbearer.unsecure.jwt")
            .is_some_and(|on| on == "true")
        {
            return Err(bad(
                "enable.sasl.oauthbearer.unsecure.jwt",
                "such tokens would end unrenewed; put one into \"sasl.oauthbearer.token\"",
            ));
        }
        if properties
            .get("sasl.oauthbearer.method")
            .is_some_and(|method| method == "oidc")
        {
            return Err(bad(
                "sasl.oauthbearer.method",
                "\"oidc\" is not built in; let an agent get tokens, and read them with \
                 \"sasl.oauthbearer.token\" = \"${file:PATH}\"",
            ));
        }
        let protocol = properties.get("security.protocol").map(String::as_str);
        let sasl = matches!(
            protocol.map(str::to_uppercase).as_deref(),
            Some("SASL_SSL" | "SASL_PLAINTEXT")
        );
        let given = ["sasl.mechanism", "sasl.mechanisms"]
            .into_iter()
            .find_map(|key| Some((key, properties.get(key)?.clone())));
        let Some((key, name)) = given else {
            if sasl {
                return Err(ConfigError::MissingKey(format!(
                    "{}.\"sasl.mechanism\"",
                    self.section
                )));
            }
            return if token.is_some() {
                Err(bad(TOKEN, "needs \"sasl.mechanism\" = \"OAUTHBEARER\""))
            } else {
                Ok(Tokens::None)
            };
        };
        let Some(mechanism) = Mechanism::named(&name) else {
            return Err(bad(key, &unknown_mechanism(&name)));
        };
        if !sasl {
            return Err(bad(
                key,
                &format!(
                    "has no effect with \"security.protocol\" = {:?}; set it to \"SASL_SSL\"",
                    protocol.unwrap_or("PLAINTEXT")
                ),
            ));
        }
        properties.insert(key.to_owned(), mechanism.on_the_wire().to_owned());
        if mechanism.has_password() {
            for key in ["sasl.username", "sasl.password"] {
                if !properties.contains_key(key) {
                    return Err(ConfigError::MissingKey(format!(
                        "{}.\"{key}\"",
                        self.section
                    )));
                }
            }
        }
        if token.is_some() && mechanism != Mechanism::OauthBearer {
            return Err(bad(TOKEN, "needs \"sasl.mechanism\" = \"OAUTHBEARER\""));
        }
        match (mechanism, token) {
            (Mechanism::AwsMskIam, _) => {
                let servers = properties.get("bootstrap.servers").cloned();
                let found = servers.as_deref().and_then(msk_region).map(str::to_owned);
                region.or(found).map(Tokens::MskIam).ok_or_else(|| {
                    bad(
                        key,
                        "AWS_MSK_IAM needs the cluster's Region, which the names in bootstrap.servers do not tell; \
                         set \"aws.region\"",
                    )
                })
            }
            (Mechanism::OauthBearer, Some(token)) if token == NOT_READ => Ok(Tokens::None),
            (Mechanism::OauthBearer, Some(token)) => AccessToken::read(&token)
                .map(Tokens::Given)
                .map_err(|error| bad(TOKEN, &error.to_string())),
            (Mechanism::OauthBearer, None) => Err(bad(
                key,
                "OAUTHBEARER needs tokens: \"sasl.oauthbearer.token\" = \"${file:PATH}\", kept fresh by whoever gets \
                 them; for MSK's IAM say \"AWS_MSK_IAM\" instead",
            )),
            _ => Ok(Tokens::None),
        }
    }

    /// A hash over the content of the files that properties name, so that a new certificate is seen, and the end of our
    /// own.
    fn files(
        &self,
        properties: &BTreeMap<String, String>,
    ) -> Result<(u64, Option<CertificateEnd>), ConfigError> {
        let mut hasher = DefaultHasher::new();
        let mut end = properties
            .get(CERTIFICATE_PEM)
            .and_then(|pem| CertificateEnd::of_pem(pem));
        for key in FILES {
            let Some(path) = properties.get(*key).filter(|path| *path != NOT_READ) else {
                continue;
            };
            let unreadable = |error: std::io::Error| ConfigError::BadValue {
                key: format!("{}.{key}", self.section),
                reason: format!("{path}: {error}"),
            };
            if Path::new(path).is_dir() {
                continue;
            }
            let content = crate::bounded::read(Path::new(path)).map_err(unreadable)?;
            content.hash(&mut hasher);
            if *key == CERTIFICATE {
                end = CertificateEnd::of_pem(&String::from_utf8_lossy(&content));
            }
        }
        Ok((hasher.finish(), end))
    }
}

fn unknown_mechanism(name: &str) -> String {
    if name.eq_ignore_ascii_case("GSSAPI") {
        return "GSSAPI (Kerberos) is not built in; the mechanisms are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, \
                OAUTHBEARER and AWS_MSK_IAM"
            .to_owned();
    }
    let like = Mechanism::ALL
        .into_iter()
        .map(Mechanism::name)
        .map(|known| (strsim::jaro_winkler(&name.to_uppercase(), known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map_or_else(String::new, |(_, known)| {
            format!("; did you mean {known:?}?")
        });
    format!("{name:?} is not a known mechanism{like}")
}
