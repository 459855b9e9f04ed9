//! Applications as typed adapters: how each kind is stopped, moved, checked and moved back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Alias;

/// An application, or one part of it that moves by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// What it does with Kafka. Consumers move before producers.
    pub role: Role,
    /// Which wave it moves in; lower ones first. Within a role.
    #[serde(default)]
    pub wave: u32,
    /// How it is moved, in this order.
    pub adapters: Vec<Adapter>,
    /// Consumer groups by which it is known to be back.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Topics, named as on the source, whose growing ends show that it is back.
    #[serde(default)]
    pub topics: Vec<String>,
}

/// What an application does with Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Consumer,
    /// Writes, or does both.
    Producer,
}

/// How something is moved. What differs between the clusters stands by alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Adapter {
    /// A parameter that clients follow: a [`Pointer`] as JSON. In the Region of the cluster that becomes active.
    SsmParameter {
        /// Its name.
        parameter: String,
    },
    /// A file that clients follow, with the same [`Pointer`]; for people without AWS.
    File {
        /// Its path.
        path: String,
    },
    /// An ECS service that reads its configuration when it starts: a new deployment, or from 0 tasks to some.
    EcsService {
        /// The ECS cluster and service, `cluster/service`, by the alias of the Kafka cluster that its tasks use.
        services: BTreeMap<Alias, String>,
        /// How many tasks it has when it runs.
        desired: u32,
    },
    /// Two event source mappings of a Lambda, one for each cluster: one is disabled, the other enabled.
    LambdaEventSource {
        /// Their UUIDs, by alias.
        mappings: BTreeMap<Alias, String>,
    },
    /// A DNS record that names the active cluster.
    Route53Record {
        /// The hosted zone.
        zone: String,
        /// The record's name.
        record: String,
        /// What it is a CNAME of, by alias.
        values: BTreeMap<Alias, String>,
    },
    /// A secret whose value is one of two others', such as the bootstrap servers with a user and a password.
    Secret {
        /// The secret that clients read.
        secret: String,
        /// Where its value comes from, by alias.
        values: BTreeMap<Alias, String>,
    },
    /// A command; for people without AWS. It finds `UNDERSTUDY_ACTIVE`, `UNDERSTUDY_BOOTSTRAP`, `UNDERSTUDY_EPOCH` and
    /// `UNDERSTUDY_STEP` (`quiesce`, `apply` or `revert`) in its environment.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// A person is told.
    Notify {
        /// What.
        text: String,
    },
}

/// What clients that follow a pointer read. One with a lower epoch than one already seen is to be ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The version of this format: 1.
    pub schema: u32,
    /// The pair.
    pub pair: String,
    /// The epoch since which it holds.
    pub epoch: u64,
    /// The active cluster.
    pub active: String,
    /// Its bootstrap servers.
    pub bootstrap: String,
}
