//! Which configs and ACLs a flow mirrors, and how: the part of `[mirror]` that is not about records.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::RegexSet;
use serde::Deserialize;
use understudy_domain::{AclWrite, ConfigRules, DefaultsFrom, FirstAcl, TIMESTAMP_TYPE};

use crate::config_error::ConfigError;
use crate::selection::set;

/// MirrorMaker 2's `config.properties.exclude`. It spells two of the timestamp limits with the brokers' prefix, so that
/// they match nothing on a topic; here they match both ways: a limit on the age of records would refuse old copies.
pub const CONFIG_EXCLUDE: &[&str] = &[
    "follower\\.replication\\.throttled\\.replicas",
    "leader\\.replication\\.throttled\\.replicas",
    "message\\.timestamp\\.difference\\.max\\.ms",
    "(log\\.)?message\\.timestamp\\.before\\.max\\.ms",
    "(log\\.)?message\\.timestamp\\.after\\.max\\.ms",
    "message\\.timestamp\\.type",
    "unclean\\.leader\\.election\\.enable",
    "min\\.insync\\.replicas",
];
/// MirrorMaker 2's `groups.exclude`.
const GROUPS_EXCLUDE: &[&str] = &["console-consumer-.*", "connect-.*", "__.*"];
/// Limits of `mirror.config_sync_interval`.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));

/// Which configs and ACLs are mirrored, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether topic configs are.
    pub configs: bool,
    /// Whose defaults hold.
    pub defaults_from: DefaultsFrom,
    exclude: RegexSet,
    /// Whether ACLs are.
    pub acls: bool,
    /// About writing to topics.
    pub acl_write: AclWrite,
    /// About a resource's first ACL.
    pub first_acl: FirstAcl,
    /// Principals with another name on the target.
    pub principals: BTreeMap<String, String>,
    groups_exclude: RegexSet,
    /// How often both are looked at.
    pub interval: Duration,
}

/// The same, as written in `[mirror]`.
#[derive(Deserialize)]
#[serde(default)]
pub struct Written {
    sync_configs: bool,
    config_exclude: Vec<String>,
    config_defaults_from: From,
    config_sync_interval: String,
    sync_acls: bool,
    acl_write: Write,
    first_acl: First,
    principals: BTreeMap<String, String>,
}

/// Its keys.
pub const KEYS: &[&str] = &[
    "acl_write",
    "config_defaults_from",
    "config_exclude",
    "config_sync_interval",
    "first_acl",
    "principals",
    "sync_acls",
    "sync_configs",
];

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum From {
    Target,
    Source,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Write {
    Withhold,
    Include,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum First {
    Refuse,
    Allow,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            sync_configs: true,
            config_exclude: CONFIG_EXCLUDE.iter().map(|key| (*key).to_owned()).collect(),
            config_defaults_from: From::Target,
            config_sync_interval: "10s".to_owned(),
            // ALTER on the cluster is much to ask for, and the first ACL of a resource may shut everybody out.
            sync_acls: false,
            acl_write: Write::Withhold,
            first_acl: First::Refuse,
            principals: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Checks what was written.
    ///
    /// # Errors
    /// The first value that is not one, by key.
    pub fn new(written: &Written) -> Result<Self, ConfigError> {
        let bad = |key: &str, reason: &str| ConfigError::BadValue {
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        let interval = humantime::parse_duration(&written.config_sync_interval)
            .ok()
            .filter(|time| (INTERVAL.0..=INTERVAL.1).contains(time))
            .ok_or_else(|| {
                bad(
                    "mirror.config_sync_interval",
                    "must be a time with a unit between 100ms and 1day, like 10s",
                )
            })?;
        if let Some(name) = written
            .principals
            .iter()
            .flat_map(|(source, target)| [source, target])
            .find(|name| !name.contains(':'))
        {
            return Err(bad(
                "mirror.principals",
                &format!("{name:?} has no type; write \"User:{name}\""),
            ));
        }
        let groups: Vec<String> = GROUPS_EXCLUDE
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        Ok(Self {
            configs: written.sync_configs,
            defaults_from: match written.config_defaults_from {
                From::Target => DefaultsFrom::Target,
                From::Source => DefaultsFrom::Source,
            },
            exclude: set("mirror.config_exclude", &written.config_exclude)?,
            acls: written.sync_acls,
            acl_write: match written.acl_write {
                Write::Withhold => AclWrite::Withhold,
                Write::Include => AclWrite::Include,
            },
            first_acl: match written.first_acl {
                First::Refuse => FirstAcl::Refuse,
                First::Allow => FirstAcl::Allow,
            },
            principals: written.principals.clone(),
            groups_exclude: set("mirror.groups", &groups)?,
            interval,
        })
    }

    /// Whether the config `key` is never looked at. A copy keeps its records' times, whatever the file says.
    pub fn excludes(&self, key: &str) -> bool {
        key == TIMESTAMP_TYPE || self.exclude.is_match(key)
    }

    /// Whether ACLs of a group or transactional id called so are mirrored.
    pub fn selects_group(&self, name: &str) -> bool {
        !self.groups_exclude.is_match(name)
    }

    /// What decides about configs; hands it to `decide`, because the rules borrow.
    pub fn with_config_rules<T>(&self, decide: impl FnOnce(&ConfigRules<'_>) -> T) -> T {
        decide(&ConfigRules {
            defaults_from: self.defaults_from,
            excluded: &|key| self.excludes(key),
        })
    }
}
