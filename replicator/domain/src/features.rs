//! What brokers can do, told from the API versions that they offer (KIP-35).

use std::collections::BTreeMap;

/// The API versions that a broker offers: from, up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiVersions(BTreeMap<i16, (i16, i16)>);

/// Who keeps the cluster's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Kafka's own quorum.
    KRaft,
    /// ZooKeeper.
    ZooKeeper,
    /// The API versions do not tell.
    Unknown,
}

impl Metadata {
    /// As a person says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KRaft => "KRaft",
            Self::ZooKeeper => "ZooKeeper",
            Self::Unknown => "KRaft or ZooKeeper",
        }
    }
}

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LEADER_AND_ISR: i16 = 4;
const ADD_OFFSETS_TO_TRANSACTION: i16 = 25;
const END_TRANSACTION: i16 = 26;
const DESCRIBE_QUORUM: i16 = 55;
const DESCRIBE_CLUSTER: i16 = 60;
const LIST_TRANSACTIONS: i16 = 66;

/// What each release was the first to offer: api, version. Newest first.
const RELEASES: &[(&str, i16, i16)] = &[
    ("4.1", PRODUCE, 13),
    ("4.0", END_TRANSACTION, 5),
    ("3.9", FETCH, 17),
    ("3.8", END_TRANSACTION, 4),
    ("3.7", FETCH, 16),
    ("3.5", FETCH, 15),
    ("3.1", FETCH, 13),
    ("3.0", LIST_TRANSACTIONS, 0),
    ("2.8", DESCRIBE_CLUSTER, 0),
    ("2.7", FETCH, 12),
];

impl ApiVersions {
    /// Notes an API that the broker offers.
    pub fn insert(&mut self, api: i16, from: i16, to: i16) {
        self.0.insert(api, (from, to));
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn reaches(&self, api: i16, version: i16) -> bool {
        self.0.get(&api).is_some_and(|(_, to)| *to >= version)
    }

    /// The newest release whose APIs are all there; brokers do not tell their version.
    pub fn release(&self) -> Option<&'static str> {
        RELEASES
            .iter()
            .find(|(_, api, version)| self.reaches(*api, *version))
            .map(|(release, _, _)| *release)
    }

    /// Whether a transactional producer can work at all.
    pub fn transactions(&self) -> bool {
        self.reaches(ADD_OFFSETS_TO_TRANSACTION, 0) && self.reaches(END_TRANSACTION, 0)
    }

    /// Whether the brokers can do transactions of version 2 (KIP-890), which let no late write in.
    pub fn transactions_v2(&self) -> bool {
        self.reaches(END_TRANSACTION, 5)
    }

    /// Whether fetches tell leader epochs (KIP-320), by which a truncated log is noticed.
    pub fn leader_epochs(&self) -> bool {
        self.reaches(FETCH, 9)
    }

    /// Whether topics have ids (KIP-516), by which a topic made anew is noticed.
    pub fn topic_ids(&self) -> bool {
        self.reaches(FETCH, 13)
    }

    /// Who keeps the metadata.
    pub fn metadata(&self) -> Metadata {
        if self.0.contains_key(&DESCRIBE_QUORUM) {
            Metadata::KRaft
        } else if self.0.contains_key(&LEADER_AND_ISR) {
            Metadata::ZooKeeper
        } else {
            Metadata::Unknown
        }
    }
}
