//! What we set on the target beside records, in `understudy.<flow>.settings`: so that nothing else is ever removed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Acl, DecodeError, Format, json};

/// The newest version of the values that this code reads and the one it writes.
const VERSION: u64 = 1;

/// What a record of the settings topic is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKey {
    /// The configs of one topic of the target.
    Configs {
        /// Its name on the target.
        topic: String,
    },
    /// One ACL of the target.
    Acl(Acl),
    /// One ACL of the source that stays away until the target is opened, as it would be there.
    Withheld(Acl),
}

/// The configs that we set on one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigsSet {
    /// The flow's recovery epoch when this was written.
    pub flow_epoch: u64,
    /// The keys and the values that we set.
    pub set: BTreeMap<String, String>,
}

/// An ACL that we added, or withheld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclAdded {
    /// The flow's recovery epoch when this was written.
    pub flow_epoch: u64,
}

impl SettingKey {
    /// The record's key.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode(Format::SettingKey, bytes)
    }
}

impl ConfigsSet {
    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        json::encode_versioned(VERSION, self)
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_versioned(Format::Setting, VERSION, bytes)
    }
}

impl AclAdded {
    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        json::encode_versioned(VERSION, self)
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::decode_versioned(Format::Setting, VERSION, bytes)
    }
}

/// Everything that we set on a target: the settings topic, read to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsMade {
    /// By topic of the target: keys and the values that we set.
    pub configs: BTreeMap<String, BTreeMap<String, String>>,
    /// The ACLs that we added.
    pub acls: BTreeSet<Acl>,
    /// The ACLs that we withheld: about writing, as the source had them at the last look.
    pub withheld: BTreeSet<Acl>,
}

impl SettingsMade {
    /// Takes the next record in.
    ///
    /// # Errors
    /// A record that this version cannot read.
    pub fn fold(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        match (SettingKey::decode(key)?, value) {
            (SettingKey::Configs { topic }, Some(value)) => {
                self.configs.insert(topic, ConfigsSet::decode(value)?.set);
            }
            (SettingKey::Configs { topic }, None) => {
                self.configs.remove(&topic);
            }
            (SettingKey::Acl(acl), Some(value)) => {
                AclAdded::decode(value)?;
                self.acls.insert(acl);
            }
            (SettingKey::Acl(acl), None) => {
                self.acls.remove(&acl);
            }
            (SettingKey::Withheld(acl), Some(value)) => {
                AclAdded::decode(value)?;
                self.withheld.insert(acl);
            }
            (SettingKey::Withheld(acl), None) => {
                self.withheld.remove(&acl);
            }
        }
        Ok(())
    }

    /// The records that make `self` into `next`: keys and values, `None` for what is gone.
    pub fn records_to(&self, next: &Self, flow_epoch: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut records = Vec::new();
        let topics: BTreeSet<&String> = self.configs.keys().chain(next.configs.keys()).collect();
        for topic in topics {
            let set = next.configs.get(topic).filter(|set| !set.is_empty());
            if self.configs.get(topic) == set {
                continue;
            }
            let key = SettingKey::Configs {
                topic: topic.clone(),
            };
            let value = set.map(|set| {
                ConfigsSet {
                    flow_epoch,
                    set: set.clone(),
                }
                .encode()
            });
            records.push((key.encode(), value));
        }
        let mut acls =
            |before: &BTreeSet<Acl>, after: &BTreeSet<Acl>, key: fn(Acl) -> SettingKey| {
                for acl in before.symmetric_difference(after) {
                    let value = after
                        .contains(acl)
                        .then(|| AclAdded { flow_epoch }.encode());
                    records.push((key(acl.clone()).encode(), value));
                }
            };
        acls(&self.acls, &next.acls, SettingKey::Acl);
        acls(&self.withheld, &next.withheld, SettingKey::Withheld);
        records
    }
}
