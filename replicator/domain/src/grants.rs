//! How permissions are granted: as `kafka-acls` commands, and as an IAM policy statement for MSK.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::acl::{AclOperation, Pattern, Resource, ResourceKind};
use crate::permissions::Need;

/// One call of `kafka-acls`: operations on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclCommand {
    /// On what.
    pub resource: Resource,
    /// What.
    pub operations: Vec<AclOperation>,
}

/// The calls that grant `needs`, one a resource.
pub fn acl_commands<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Vec<AclCommand> {
    let mut by_resource: BTreeMap<&Resource, BTreeSet<AclOperation>> = BTreeMap::new();
    for need in needs {
        for resource in &need.resources {
            by_resource
                .entry(resource)
                .or_default()
                .insert(need.operation);
        }
    }
    by_resource
        .into_iter()
        .map(|(resource, operations)| AclCommand {
            resource: resource.clone(),
            operations: operations.into_iter().collect(),
        })
        .collect()
}

impl AclCommand {
    /// Its arguments from `--add` on, for `principals`.
    pub fn arguments(&self, principals: &[&str]) -> Vec<String> {
        let mut arguments = vec!["--add".to_owned()];
        for principal in principals {
            arguments.extend(["--allow-principal".to_owned(), (*principal).to_owned()]);
        }
        for operation in &self.operations {
            arguments.extend(["--operation".to_owned(), operation.option().to_owned()]);
        }
        let option = match self.resource.kind {
            ResourceKind::Cluster => {
                arguments.push("--cluster".to_owned());
                return arguments;
            }
            ResourceKind::Topic => "--topic",
            ResourceKind::Group => "--group",
            ResourceKind::TransactionalId => "--transactional-id",
        };
        let (name, pattern) = match &self.resource.pattern {
            Pattern::Any => ("*", "literal"),
            Pattern::Literal(name) => (name.as_str(), "literal"),
            Pattern::Prefixed(prefix) => (prefix.as_str(), "prefixed"),
        };
        arguments.extend([option, name, "--resource-pattern-type", pattern].map(str::to_owned));
        arguments
    }

    /// The whole line for a shell.
    pub fn line(&self, bootstrap: &str, principal: &str) -> String {
        let mut line = format!(
            "kafka-acls --bootstrap-server {} --command-config admin.properties",
            quoted(bootstrap)
        );
        for argument in self.arguments(&[principal]) {
            line.push(' ');
            line.push_str(&quoted(&argument));
        }
        line
    }
}

/// What a shell hands on unchanged.
fn quoted(text: &str) -> String {
    let plain = |character: char| {
        character.is_ascii_alphanumeric()
            || matches!(character, '.' | ',' | ':' | '_' | '-' | '/' | '=')
    };
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Where an MSK cluster is, as far as it is known; what is not known stays a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MskCluster {
    region: String,
    account: String,
    name: String,
    uuid: String,
}

impl MskCluster {
    /// What the host names of MSK's brokers tell: `b-1.<cluster>.<hash>.c2.kafka.<region>.amazonaws.com`.
    pub fn from_bootstrap(bootstrap: &str) -> Self {
        let placeholder = |name: &str| format!("<{name}>");
        let host = bootstrap.split(',').next().unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _port)| host);
        let labels: Vec<&str> = host.split('.').collect();
        let msk = matches!(
            labels.as_slice(),
            [.., "kafka", _, "amazonaws", "com"] | [.., "kafka-serverless", _, "amazonaws", "com"]
        );
        let region = labels.iter().rev().nth(2).filter(|_| msk);
        let name = match labels.as_slice() {
            [first, name, _hash, _unit, "kafka", ..] if msk && first.starts_with("b-") => {
                Some(*name)
            }
            _ => None,
        };
        Self {
            region: region.map_or_else(|| placeholder("region"), |region| (*region).to_owned()),
            account: placeholder("account"),
            name: name.map_or_else(|| placeholder("cluster-name"), str::to_owned),
            uuid: placeholder("cluster-uuid"),
        }
    }

    fn arn(&self, resource: &Resource) -> String {
        let Self {
            region,
            account,
            name,
            uuid,
        } = self;
        let kind = match resource.kind {
            ResourceKind::Cluster => {
                return format!("arn:aws:kafka:{region}:{account}:cluster/{name}/{uuid}");
            }
            ResourceKind::Topic => "topic",
            ResourceKind::Group => "group",
            ResourceKind::TransactionalId => "transactional-id",
        };
        let thing = match &resource.pattern {
            Pattern::Any => "*".to_owned(),
            Pattern::Literal(name) => name.clone(),
            Pattern::Prefixed(prefix) => format!("{prefix}*"),
        };
        format!("arn:aws:kafka:{region}:{account}:{kind}/{name}/{uuid}/{thing}")
    }
}

/// The statements of an IAM policy that grants `needs`: every action by its name, those that another one depends on
/// included.
pub fn iam_statements<'a>(
    needs: impl IntoIterator<Item = &'a Need>,
    cluster: &MskCluster,
) -> Vec<Value> {
    let mut by_resource: BTreeMap<Resource, BTreeSet<&'static str>> = BTreeMap::new();
    let on_cluster = by_resource.entry(Resource::CLUSTER).or_default();
    on_cluster.insert("kafka-cluster:Connect");
    for need in needs {
        for resource in &need.resources {
            let actions = iam_actions(resource.kind, need.operation);
            by_resource
                .entry(resource.clone())
                .or_default()
                .extend(actions);
        }
        if need.part == crate::permissions::Part::TransactionalIds {
            // IAM, unlike ACLs, asks for it beside the transactional id.
            by_resource
                .entry(Resource::CLUSTER)
                .or_default()
                .insert("kafka-cluster:WriteDataIdempotently");
        }
    }
    // Resources with the same actions share a statement.
    let mut by_actions: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
    for (resource, actions) in by_resource {
        by_actions
            .entry(actions.into_iter().collect())
            .or_default()
            .push(cluster.arn(&resource));
    }
    by_actions
        .into_iter()
        .map(|(actions, arns)| json!({"Effect": "Allow", "Action": actions, "Resource": arns}))
        .collect()
}

/// The IAM actions that stand for an operation, with those they depend on.
fn iam_actions(kind: ResourceKind, operation: AclOperation) -> &'static [&'static str] {
    use AclOperation as Op;
    use ResourceKind as Kind;
    match (kind, operation) {
        (Kind::Topic, Op::Read) => &["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"],
        (Kind::Topic, Op::Write) => &["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"],
        (Kind::Topic, Op::Create) => &["kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic"],
        (Kind::Topic, Op::Alter) => &["kafka-cluster:AlterTopic", "kafka-cluster:DescribeTopic"],
        (Kind::Topic, Op::Delete) => &["kafka-cluster:DeleteTopic", "kafka-cluster:DescribeTopic"],
        (Kind::Topic, Op::DescribeConfigs) => &[
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
        ],
        (Kind::Topic, Op::AlterConfigs) => &[
            "kafka-cluster:AlterTopicDynamicConfiguration",
            "kafka-cluster:DescribeTopic",
            "kafka-cluster:DescribeTopicDynamicConfiguration",
        ],
        (Kind::Topic, _) => &["kafka-cluster:DescribeTopic"],
        (Kind::Group, Op::Read) => &["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"],
        (Kind::Group, Op::Delete) => &["kafka-cluster:DeleteGroup", "kafka-cluster:DescribeGroup"],
        (Kind::Group, _) => &["kafka-cluster:DescribeGroup"],
        (Kind::TransactionalId, Op::Write) => &[
            "kafka-cluster:AlterTransactionalId",
            "kafka-cluster:DescribeTransactionalId",
        ],
        (Kind::TransactionalId, _) => &["kafka-cluster:DescribeTransactionalId"],
        (Kind::Cluster, Op::Alter) => &[
            "kafka-cluster:AlterCluster",
            "kafka-cluster:DescribeCluster",
        ],
        (Kind::Cluster, _) => &["kafka-cluster:DescribeCluster"],
    }
}
