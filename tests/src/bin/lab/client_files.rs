//! Files that clients and workers can use as they are.

use std::fs;
use std::path::PathBuf;

use understudy_tests::{ADMIN, ADMIN_PASSWORD, Cluster, LabError, Listener, Result};

/// Where a listener's client properties lie.
pub(crate) fn client_file(cluster: &Cluster, listener: Listener) -> PathBuf {
    cluster
        .dir()
        .join(format!("{}.properties", listener.name().to_lowercase()))
}

/// Writes Java client properties for every listener.
pub(crate) fn write(cluster: &Cluster) -> Result<()> {
    for listener in Listener::ALL {
        let mut text = format!("bootstrap.servers={}\n", cluster.bootstrap_of(listener));
        text += &match listener {
            Listener::Plaintext | Listener::Link => "security.protocol=PLAINTEXT\n".to_owned(),
            Listener::SaslSsl => format!(
                "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n\
                 sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
                 username=\"{ADMIN}\" password=\"{ADMIN_PASSWORD}\";\n\
                 ssl.truststore.type=PEM\nssl.truststore.location={}\n",
                cluster.ca().display()
            ),
        };
        let path = client_file(cluster, listener);
        fs::write(&path, text).map_err(|source| LabError::Io {
            action: format!("write {}", path.display()),
            source,
        })?;
    }
    Ok(())
}
