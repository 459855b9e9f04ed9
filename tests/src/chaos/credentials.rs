//! The user that the workers log in as on both clusters, and the file that holds its password.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Result;
use crate::cluster::Cluster;
use crate::cluster_builder::ClusterBuilder;
use crate::error::{Doing, LabError};
use crate::listener::{ClientProperties, Listener};

const USER: &str = "mirror";
const FIRST: &str = "password-0";
/// How long a connection may go on with an old password (KIP-368).
const REAUTH_MS: &str = "5000";

/// One user of both clusters.
#[derive(Debug)]
pub(super) struct Credentials {
    file: PathBuf,
    rotations: u64,
}

impl Credentials {
    /// Writes the first password to a file in `dir`.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let credentials = Self {
            file: dir.join("password"),
            rotations: 0,
        };
        credentials.put(FIRST)?;
        Ok(credentials)
    }

    /// A cluster that knows the user, asks for the password through its link too, and asks again soon.
    ///
    /// `dir` is the cluster's folder.
    pub(super) fn known(builder: ClusterBuilder, dir: &Path) -> ClusterBuilder {
        builder
            .user(USER, FIRST)
            .property(
                "super.users",
                format!("User:ANONYMOUS;User:admin;User:{USER}"),
            )
            .property("connections.max.reauth.ms", REAUTH_MS)
            .property(
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,LINK:SASL_SSL,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            )
            .property(
                "listener.name.link.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            )
            .property("listener.name.link.ssl.keystore.type", "PEM")
            .property(
                "listener.name.link.ssl.keystore.location",
                dir.join("broker.pem").display().to_string(),
            )
    }

    /// What a flow file says to log in as the user: the password is a reference to the file.
    pub(super) fn properties(&self, cluster: &Cluster, listener: Listener) -> ClientProperties {
        let reference = format!("${{file:{}}}", self.file.display());
        let mut properties = cluster.client_properties_of(USER, &reference);
        for (name, value) in &mut properties {
            if name == "bootstrap.servers" {
                *value = cluster.bootstrap_of(listener);
            }
        }
        properties
    }

    /// Another password on both clusters, and then in the file.
    ///
    /// In between whoever logs in is refused, as it is where two systems are told one after the other.
    pub(super) fn rotate(&mut self, source: &Cluster, target: &Cluster) -> Result<()> {
        self.rotations += 1;
        let password = format!("password-{}", self.rotations);
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| source.set_password(USER, &password));
            let at_target = target.set_password(USER, &password);
            let at_source = changing.join().map_err(|_panic| {
                LabError::Usage("the thread that changes a password panicked".to_owned())
            })?;
            at_source.and(at_target)
        })?;
        self.put(&password)
    }

    /// Replaces the file as agents do: whole, by renaming.
    fn put(&self, password: &str) -> Result<()> {
        let aside = self.file.with_extension("new");
        fs::write(&aside, format!("{password}\n")).doing("write a password")?;
        Ok(fs::rename(&aside, &self.file).doing("replace a password")?)
    }
}
