//! Java client properties as librdkafka's.

use std::collections::BTreeMap;

use super::jaas::Jaas;
use super::keys::{CLIENT_KEYS, Fate, fate};

/// One end of a flow file in the making.
pub struct End {
    /// The cluster's alias.
    pub alias: String,
    /// librdkafka properties, without secrets.
    pub properties: BTreeMap<String, String>,
    /// Lines that somebody has to complete.
    pub remarks: Vec<String>,
    /// Secrets by the environment variable that the properties refer to. Never printed.
    pub secrets: BTreeMap<String, String>,
    /// What keeps a client from connecting.
    pub contradictions: Vec<String>,
    /// What kind the trust store and the key store are, where that is said.
    pub store_types: BTreeMap<String, String>,
}

/// What became of one property.
pub enum Outcome {
    /// It is in the file, under this key.
    To(String),
    /// Something else holds.
    Instead(String),
    /// Somebody should look.
    Lost(String),
    /// Nobody knows it.
    Unknown,
}

impl End {
    /// An end without properties.
    pub fn new(alias: &str) -> Self {
        Self {
            alias: alias.to_owned(),
            properties: BTreeMap::new(),
            remarks: Vec::new(),
            secrets: BTreeMap::new(),
            contradictions: Vec::new(),
            store_types: BTreeMap::new(),
        }
    }

    /// Carries a property over; `section` is `source` or `target`.
    pub fn take(&mut self, section: &str, name: &str, value: &str) -> Outcome {
        let Some(known) = fate(CLIENT_KEYS, name) else {
            return Outcome::Unknown;
        };
        let key = match known {
            Fate::Instead(what) => return Outcome::Instead(what.to_owned()),
            Fate::Lost(what) => return Outcome::Lost(what.to_owned()),
            Fate::To(key) => key,
        };
        match name {
            "sasl.jaas.config" => self.jaas(section, value),
            "sasl.mechanism" if value == "AWS_MSK_IAM" => {
                self.contradictions.push(format!(
                    "cluster {} is reached with AWS_MSK_IAM, which librdkafka does not have; give understudy a SCRAM user or a client certificate there",
                    self.alias
                ));
                Outcome::Lost(
                    "librdkafka has no AWS_MSK_IAM; give understudy a SCRAM user or a client certificate on this cluster"
                        .to_owned(),
                )
            }
            "ssl.truststore.location" => self.truststore(section, value),
            "ssl.keystore.location" if self.store_type("ssl.keystore.type") == Some("PEM") => {
                self.put(section, "ssl.certificate.location", value.to_owned());
                self.put(section, "ssl.key.location", value.to_owned())
            }
            "ssl.keystore.location" if self.is_java_store(value) => {
                self.remarks.push(format!(
                    "\"ssl.keystore.location\" = …   # {value} as PKCS#12: keytool -importkeystore -deststoretype PKCS12"
                ));
                Outcome::Lost("a Java key store; convert it to PKCS#12 and give its path as \"ssl.keystore.location\"".to_owned())
            }
            "ssl.keystore.password" | "ssl.key.password" => {
                let reference = self.secret(key, value);
                self.put(section, key, reference)
            }
            "ssl.truststore.certificates" => self.put(section, key, value.to_owned()),
            "ssl.endpoint.identification.algorithm" if value.is_empty() => {
                self.put(section, key, "none".to_owned())
            }
            "buffer.memory" => match value.parse::<u64>() {
                Ok(bytes) => self.put(section, key, (bytes / 1024).max(1).to_string()),
                Err(_) => Outcome::Lost("it is not a number".to_owned()),
            },
            "send.buffer.bytes" | "receive.buffer.bytes" if value == "-1" => {
                Outcome::Instead("the system's default holds unless told otherwise".to_owned())
            }
            _ => self.put(section, key, value.to_owned()),
        }
    }

    fn put(&mut self, section: &str, key: &str, value: String) -> Outcome {
        self.properties.insert(key.to_owned(), value);
        Outcome::To(format!("{section}.\"{key}\""))
    }

    /// The environment variable that takes a secret's place; a reference is kept as it is.
    fn secret(&mut self, key: &str, value: &str) -> String {
        if value.starts_with("${env:")
            || (value.starts_with("${file:")
                && !value.trim_end_matches('}').contains(".properties:"))
        {
            return value.to_owned();
        }
        let name: String = format!("{}_{key}", self.alias)
            .chars()
            .map(|letter| match letter.is_ascii_alphanumeric() {
                true => letter.to_ascii_uppercase(),
                false => '_',
            })
            .collect();
        // A reference to another provider is not a secret that could be used.
        if !value.starts_with("${") {
            self.secrets.insert(name.clone(), value.to_owned());
        }
        format!("${{env:{name}}}")
    }

    fn jaas(&mut self, section: &str, value: &str) -> Outcome {
        if value.trim().starts_with("${") {
            self.remarks.push(
                "\"sasl.username\" = …   # and \"sasl.password\": from what sasl.jaas.config refers to".to_owned(),
            );
            return Outcome::Lost(
                "it refers to a secret as a whole; give its parts as \"sasl.username\" and \"sasl.password\"".to_owned(),
            );
        }
        let Some(jaas) = Jaas::parse(value) else {
            return Outcome::Lost(
                "it is not of the form `Module required name=\"value\" …;`; give \"sasl.username\" and \"sasl.password\"".to_owned(),
            );
        };
        match (jaas.module.as_str(), jaas.option("username"), jaas.option("password")) {
            ("ScramLoginModule" | "PlainLoginModule", Some(user), Some(password)) => {
                let reference = self.secret("sasl.password", password);
                self.put(section, "sasl.username", user.to_owned());
                self.put(section, "sasl.password", reference);
                Outcome::To(format!("{section}.\"sasl.username\" and \"sasl.password\""))
            }
            ("ScramLoginModule" | "PlainLoginModule", _, _) => Outcome::Lost(
                "it names no username or no password; give \"sasl.username\" and \"sasl.password\"".to_owned(),
            ),
            ("IAMLoginModule", _, _) => Outcome::Lost(
                "librdkafka has no AWS_MSK_IAM; give understudy a SCRAM user or a client certificate on this cluster".to_owned(),
            ),
            (module, _, _) => Outcome::Lost(format!(
                "{module} is not carried over; look for librdkafka's properties of the same mechanism"
            )),
        }
    }

    fn truststore(&mut self, section: &str, value: &str) -> Outcome {
        let is_pem = match self.store_type("ssl.truststore.type") {
            Some(kind) => kind == "PEM",
            None => value.ends_with(".pem") || value.ends_with(".crt"),
        };
        if is_pem {
            return self.put(section, "ssl.ca.location", value.to_owned());
        }
        self.remarks.push(format!(
            "\"ssl.ca.location\" = …   # the authorities in {value} as PEM: keytool -list -rfc -keystore {value}"
        ));
        Outcome::Lost(
            "a Java trust store; export it as PEM (keytool -list -rfc) and give its path as \"ssl.ca.location\"; without it the system's authorities are trusted".to_owned(),
        )
    }
    fn store_type(&self, key: &str) -> Option<&str> {
        self.store_types.get(key).map(String::as_str)
    }

    fn is_java_store(&self, path: &str) -> bool {
        match self.store_type("ssl.keystore.type") {
            Some(kind) => kind != "PKCS12",
            None => ![".p12", ".pfx", ".pkcs12"]
                .iter()
                .any(|ending| path.ends_with(ending)),
        }
    }
}
