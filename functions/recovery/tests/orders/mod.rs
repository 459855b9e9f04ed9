//! The pair `orders`, which tests put their questions about.

use std::collections::BTreeMap;

use understudy_recovery::pair::{ClusterOfPair, FlowOfPair, Pair};
use understudy_recovery::{Alias, PairName};

/// The cluster of this name.
pub fn alias(name: &str) -> Alias {
    Alias::new(name).expect("an alias")
}

/// A flow each way, everything else as it comes.
pub fn pair() -> Pair {
    let cluster = |region: &str| ClusterOfPair {
        region: region.to_owned(),
        msk_arn: None,
        client_bootstrap: None,
    };
    let flow = |source: &str, target: &str| FlowOfPair {
        source: alias(source),
        target: alias(target),
        file: format!("{source}-{target}.toml"),
        service: None,
        workers: 2,
    };
    Pair {
        name: PairName::new("orders").expect("a name"),
        clusters: BTreeMap::from([
            (alias("use1"), cluster("us-east-1")),
            (alias("usw2"), cluster("us-west-2")),
        ]),
        flows: vec![flow("use1", "usw2"), flow("usw2", "use1")],
        home: alias("use1"),
        ledger: Default::default(),
        automation: Default::default(),
        consent: Default::default(),
        approval: Default::default(),
        fencing: Default::default(),
        early_clients: Default::default(),
        tails: Default::default(),
        applications: Vec::new(),
        notify: Vec::new(),
        glue_registry: None,
    }
}
