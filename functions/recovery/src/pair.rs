//! A pair as configured: two clusters, the flows between them, objectives, applications. Read once, checked whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::Application;
use crate::tail::TailPolicy;
use crate::{Alias, Consent, PairName};

/// Two clusters of which one stands by for the other, and everything that a recovery has to know of them beforehand.
/// It says nothing of roles: which cluster is active is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The pair's name.
    pub name: PairName,
    /// The two clusters, by alias.
    pub clusters: BTreeMap<Alias, ClusterOfPair>,
    /// The two flows, one for each direction.
    pub flows: Vec<FlowOfPair>,
    /// Which cluster is active until the first recovery.
    pub home: Alias,
    /// Where the ledger lies of recoveries that a process carries out; in AWS it is a table.
    #[serde(default)]
    pub ledger: LedgerPlace,
    /// Who decides.
    #[serde(default)]
    pub automation: Automation,
    /// What may be lost without asking; more, and a person decides.
    #[serde(default)]
    pub consent: Consent,
    /// How an unanswered question ends.
    #[serde(default)]
    pub approval: Approval,
    /// How writers are shut out.
    #[serde(default)]
    pub fencing: Fencing,
    /// What a group does that is live on the target, or a topic that somebody else wrote to there.
    #[serde(default)]
    pub early_clients: EarlyClients,
    /// What a failback does with records that only the cluster that came back holds.
    #[serde(default)]
    pub tails: TailPolicy,
    /// Applications, in the order in which they are named.
    #[serde(default)]
    pub applications: Vec<Application>,
    /// Where people are told, for `notify`: ARNs of SNS topics, or nothing.
    #[serde(default)]
    pub notify: Vec<String>,
    /// The Glue Schema Registry that applications use, called the same in both Regions. Recoveries do nothing with it:
    /// `check --aws` looks whether both Regions have it.
    #[serde(default)]
    pub glue_registry: Option<String>,
}

/// One cluster of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterOfPair {
    /// The AWS Region it lives in; any text outside AWS.
    pub region: String,
    /// The ARN of its MSK cluster, if it is one.
    #[serde(default)]
    pub msk_arn: Option<String>,
    /// What clients are told to bootstrap from; where it differs from what Understudy itself uses.
    #[serde(default)]
    pub client_bootstrap: Option<String>,
}

/// One direction's flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowOfPair {
    /// The cluster that is read.
    pub source: Alias,
    /// The cluster that is written.
    pub target: Alias,
    /// The flow file: a path beside the pair file; in AWS the file's text is stored with the pair.
    pub file: String,
    /// The ECS cluster and service of its workers, as `cluster/service`; nothing where somebody else runs them.
    #[serde(default)]
    pub service: Option<String>,
    /// How many workers it has while it runs.
    #[serde(default = "two")]
    pub workers: u32,
}

const fn two() -> u32 {
    2
}

/// Where the ledger lies of recoveries that a process carries out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerPlace {
    /// In the folder, beside plans and evidence: all recoveries of the pair are started from one folder.
    #[default]
    Folder,
    /// In a topic of each of the two clusters: they may be started from anywhere.
    Kafka,
}

/// Who decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Automation {
    /// An alarm leads to a recovery without asking, within the consent.
    Automatic,
    /// An alarm leads to a question.
    #[default]
    AskFirst,
    /// An alarm leads to a notice.
    ObserveOnly,
}

/// How a question to a person ends if nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// How long a person has, in seconds.
    #[serde(default = "half_an_hour")]
    pub deadline_seconds: u32,
    /// What silence means.
    #[serde(default)]
    pub silence: Silence,
}

const fn half_an_hour() -> u32 {
    1_800
}

impl Default for Approval {
    fn default() -> Self {
        Self {
            deadline_seconds: half_an_hour(),
            silence: Silence::default(),
        }
    }
}

/// What silence means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    /// No.
    #[default]
    Reject,
    /// Yes.
    Approve,
}

/// How writers are shut out of a cluster that is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fencing {
    /// Principals of the applications that write, as Kafka spells them (`User:orders`). Never `User:*`: the reverse flow
    /// must be able to write.
    pub writers: Vec<String>,
    /// Whether a cluster on which no ACL bars anybody can be left at all: principals of MSK IAM are not subject to ACLs.
    /// With `accept-idle`, ends that stand are taken for a fence and named as what they are.
    pub without_acls: WithoutAcls,
    /// By cluster, the login of one of its writers: Kafka client properties by their usual names, with secrets as in a
    /// flow file (`${env:NAME}` and its like), in place of those of the flow that writes to the cluster. A write is tried
    /// with it, which must be refused. Without one a fence cannot be proven, and no switchover leaves the cluster.
    pub proof: BTreeMap<Alias, BTreeMap<String, String>>,
}

impl Fencing {
    /// Whether a cluster that answers can be left: closed to its writers, and that be shown, as far as the pair says.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn can_close(&self, cluster: &Alias) -> Result<(), String> {
        let without =
            "or take ends that stand for a fence with fencing.without_acls = \"accept-idle\"";
        if self.without_acls == WithoutAcls::AcceptIdle {
            Ok(())
        } else if self.writers.is_empty() {
            Err(format!(
                "nothing could shut writers out of {cluster}: name them in fencing.writers, {without}"
            ))
        } else if self.login(cluster).is_none() {
            Err(format!(
                "nothing could prove that writers of {cluster} are shut out: give the login of one of them as \
                 fencing.proof.{cluster}, {without}"
            ))
        } else if let Some(other) = self.not_a_writer(cluster) {
            Err(format!(
                "fencing.proof.{cluster} logs in as {other}, whom no fence shuts out: give the login of one of \
                 fencing.writers, or name {other} there"
            ))
        } else {
            Ok(())
        }
    }

    /// The login of a writer of a cluster. One without a property is none: it would be that of the one who mirrors.
    pub fn login(&self, cluster: &Alias) -> Option<&BTreeMap<String, String>> {
        self.proof.get(cluster).filter(|login| !login.is_empty())
    }

    /// Whom the login for a cluster is of, if that tells and it is none of the writers. A name that is kept as a secret does
    /// not tell; brokers call who logs in by SCRAM or PLAIN `User:` and the name.
    fn not_a_writer(&self, cluster: &Alias) -> Option<String> {
        let name = self.login(cluster)?.get("sasl.username")?;
        let principal = format!("User:{name}");
        (!name.contains("${") && !self.writers.contains(&principal)).then_some(principal)
    }
}

/// What happens where writers cannot be shut out by ACLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutAcls {
    /// A switchover refuses.
    #[default]
    Refuse,
    /// A switchover goes on if every end stands; the evidence says that it was idleness and no fence.
    AcceptIdle,
}

/// What is done about clients that are on the target before it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlyClients {
    /// They are named, and the recovery goes on without touching their places.
    #[default]
    Keep,
    /// A person decides.
    Ask,
}

/// Why a pair cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pair {pair}: {reason}")]
pub struct PairError {
    /// The pair.
    pub pair: PairName,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Pair {
    /// Checks what a deserialiser cannot: two clusters, a flow each way, every name known.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), PairError> {
        let wrong = |reason: String| {
            Err(PairError {
                pair: self.name.clone(),
                reason,
            })
        };
        if self.clusters.len() != 2 {
            return wrong(format!(
                "it names {} clusters; a pair has two",
                self.clusters.len()
            ));
        }
        if !self.clusters.contains_key(&self.home) {
            return wrong(format!(
                "home is {}, which is not one of its clusters",
                self.home
            ));
        }
        for flow in &self.flows {
            for alias in [&flow.source, &flow.target] {
                if !self.clusters.contains_key(alias) {
                    return wrong(format!(
                        "flow {} names cluster {alias}, which is not one of its clusters",
                        flow.file
                    ));
                }
            }
        }
        if let Some(flow) = self.flows.iter().find(|flow| flow.source == flow.target) {
            return wrong(format!(
                "flow {} leads from {} to itself",
                flow.file, flow.source
            ));
        }
        for source in self.clusters.keys() {
            let count = self
                .flows
                .iter()
                .filter(|flow| &flow.source == source)
                .count();
            if count != 1 || self.flows.len() != 2 {
                return wrong(format!(
                    "{count} flows leave {source}; a pair has one flow for each direction"
                ));
            }
        }
        if let Some(writer) = self
            .fencing
            .writers
            .iter()
            .find(|writer| writer.as_str() == "User:*")
        {
            return wrong(format!(
                "fencing.writers has {writer}: it would shut out the reverse flow too; name each writer"
            ));
        }
        let unknown = |alias: &&Alias| !self.clusters.contains_key(*alias);
        if let Some(alias) = self.fencing.proof.keys().find(unknown) {
            return wrong(format!(
                "fencing.proof names cluster {alias}, which is not one of its clusters"
            ));
        }
        let mut names = std::collections::BTreeSet::new();
        for application in &self.applications {
            if !names.insert(&application.name) {
                return wrong(format!("application {} is named twice", application.name));
            }
        }
        Ok(())
    }

    /// The other cluster.
    pub fn other(&self, alias: &Alias) -> Option<&Alias> {
        self.clusters.keys().find(|it| *it != alias)
    }

    /// The flow out of a cluster.
    pub fn flow_from(&self, source: &Alias) -> Option<&FlowOfPair> {
        self.flows.iter().find(|flow| &flow.source == source)
    }
}
