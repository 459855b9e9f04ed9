//! The ways into a cluster, and the client properties for each.

use rdkafka::ClientConfig;

/// The administrator that every cluster is formatted with; a super user.
pub const ADMIN: &str = "admin";
/// The administrator's password.
pub const ADMIN_PASSWORD: &str = "admin-secret";

/// A way into a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Plain text from beside the cluster; anonymous, and a super user.
    Plaintext,
    /// Plain text from the other Region, through the cluster's link; anonymous, and a super user.
    Link,
    /// TLS and SCRAM-SHA-512 from beside the cluster: the principal is the user, ACLs hold.
    SaslSsl,
}

impl Listener {
    /// Every listener that clients use.
    pub const ALL: [Self; 3] = [Self::Plaintext, Self::Link, Self::SaslSsl];

    /// Its name in the brokers' properties.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Link => "LINK",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// Properties by their librdkafka names.
pub type ClientProperties = Vec<(String, String)>;

/// A client config that holds these properties.
pub fn client_config(properties: &[(String, String)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}
