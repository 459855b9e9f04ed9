//! What mirroring withholds from a target: permissions to write, as the source has them.
//!
//! Nothing of them is on the target, and the source may be gone when they are needed. So whenever the source tells them,
//! they are remembered in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use understudy_domain::{
    Acl, AclOperation, AclPermission, AclResource, AclRules, AclWrite, FirstAcl, plan_acls,
};
use understudy_flow::clock::now_ms;
use understudy_flow::config::Flow;
use understudy_kafka::{Cluster as Connection, Fault};
use understudy_shell::world::Store;
use understudy_shell::{PortError, PortErrorKind};

use crate::trouble::of_fault;

/// How long one question to the source may take; it may be gone, and applications wait.
const WITHIN: Duration = Duration::from_secs(2);

/// What the source told.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// When, in milliseconds since 1970.
    at_ms: i64,
    acls: Vec<Acl>,
}

/// Permissions to write that mirroring withholds, under their names on the target. Denials are none of them: a fence on
/// the source is made of these, and must not follow the writers.
///
/// # Errors
/// The source does not tell, and nothing is remembered.
pub fn acls(flow: &Flow, store: &dyn Store) -> Result<Vec<Acl>, PortError> {
    if !flow.settings.acls || flow.settings.acl_write == AclWrite::Include {
        return Ok(Vec::new());
    }
    let key = format!("flows/{}/withheld-acls.json", flow.name);
    match ask(flow) {
        Ok(acls) => {
            let remembered = Remembered {
                at_ms: now_ms(),
                acls,
            };
            let bytes = serde_json::to_vec_pretty(&remembered).map_err(|error| {
                PortError::new(PortErrorKind::Malformed, format!("{key}: {error}"))
            })?;
            // What is known now is of use, remembered or not.
            if let Err(error) = store.put(&key, &bytes) {
                tracing::warn!(reason = %error, "withheld ACLs not remembered");
            }
            Ok(remembered.acls)
        }
        Err(untold) => {
            let bytes = store.get(&key)?.ok_or_else(|| {
                let text = format!(
                    "{untold}; and nothing is remembered of them: grant WRITE to the applications by hand"
                );
                PortError::new(untold.kind, text)
            })?;
            let remembered: Remembered = serde_json::from_slice(&bytes).map_err(|error| {
                PortError::new(PortErrorKind::Malformed, format!("{key}: {error}"))
            })?;
            let seconds = now_ms().saturating_sub(remembered.at_ms) / 1_000;
            tracing::warn!(flow = %flow.name, seconds, reason = %untold, "withheld ACLs are as remembered");
            Ok(remembered.acls)
        }
    }
}

fn ask(flow: &Flow) -> Result<Vec<Acl>, PortError> {
    let told = |fault: Fault| of_fault(&flow.source, &fault);
    let source = Connection::open(&flow.source).map_err(told)?;
    let known = source.acls(WITHIN).map_err(told)?;
    if known.silent {
        let text = format!(
            "cluster {} tells of no ACL at all: it has none, no authorizer, or does not let {} see them",
            flow.source.alias,
            flow.source.principal()
        );
        return Err(PortError::new(PortErrorKind::Missing, text));
    }
    let topics = source.topics(WITHIN).map_err(told)?;
    let names = topics.into_iter().map(|topic| topic.name).collect();
    Ok(writing(flow, &known.known, &names))
}

/// What would be added to an empty target if nothing were withheld, and is about writing.
fn writing(flow: &Flow, source: &BTreeSet<Acl>, source_topics: &BTreeSet<String>) -> Vec<Acl> {
    let settings = &flow.settings;
    let principals: &BTreeMap<String, String> = &settings.principals;
    let nothing = BTreeSet::new();
    let rules = AclRules {
        policy: &flow.policy,
        principals,
        write: AclWrite::Include,
        first: FirstAcl::Allow,
        open: false,
        selects_topic: &|topic| flow.selects(topic),
        selects_group: &|name| settings.selects_group(name),
        source_topics,
    };
    let plan = plan_acls(source, &nothing, &nothing, &rules);
    let writes = |acl: &Acl| {
        acl.resource == AclResource::Topic
            && acl.permission == AclPermission::Allow
            && matches!(acl.operation, AclOperation::Write | AclOperation::All)
    };
    plan.add.into_iter().filter(writes).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use understudy_domain::AclPattern;

    use understudy_flow::secrets::FirstRead;

    use super::*;

    #[test]
    fn writing_comes_under_the_targets_names_and_fences_stay()
    -> Result<(), Box<dyn std::error::Error>> {
        let text = "[source]\nalias = \"a\"\n\"bootstrap.servers\" = \"a:1\"\n\
                    [target]\nalias = \"b\"\n\"bootstrap.servers\" = \"b:1\"\n\
                    [mirror]\ntopics = [\"orders\"]\npolicy = \"prefixed\"\nsync_acls = true\n";
        let flow = Flow::parse(
            text,
            Path::new("flow.toml"),
            &|_| None,
            FirstRead::WithTheFile,
        )?;
        let acl = |name: &str, principal: &str, operation, permission| Acl {
            resource: AclResource::Topic,
            name: name.to_owned(),
            pattern: AclPattern::Literal,
            principal: principal.to_owned(),
            host: "*".to_owned(),
            operation,
            permission,
        };
        let source = BTreeSet::from([
            acl(
                "orders",
                "User:w",
                AclOperation::Write,
                AclPermission::Allow,
            ),
            acl("orders", "User:w", AclOperation::Write, AclPermission::Deny),
            acl("orders", "User:a", AclOperation::All, AclPermission::Allow),
            acl("orders", "User:r", AclOperation::Read, AclPermission::Allow),
            acl("other", "User:w", AclOperation::Write, AclPermission::Allow),
        ]);
        let topics = ["orders", "other"].map(str::to_owned).into_iter().collect();
        let withheld = writing(&flow, &source, &topics);
        let names: Vec<String> = withheld.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "allow User:a ALL on topic a.orders",
                "allow User:w WRITE on topic a.orders"
            ]
        );
        Ok(())
    }
}
