//! A pair as recoveries read it: two clusters, a flow each way, and whatever else a test wants said.

use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The pair file of recoveries that a process carries out: pair `lab` with `forward.toml` and `reverse.toml` beside it.
/// More may be appended.
pub fn local_pair(source: &Cluster, target: &Cluster) -> String {
    format!(
        "name = \"lab\"\nhome = \"use1\"\n\n\
         [clusters.use1]\nregion = \"use1\"\nclient_bootstrap = \"{}\"\n\n\
         [clusters.usw2]\nregion = \"usw2\"\nclient_bootstrap = \"{}\"\n\n\
         [[flows]]\nsource = \"use1\"\ntarget = \"usw2\"\nfile = \"forward.toml\"\n\n\
         [[flows]]\nsource = \"usw2\"\ntarget = \"use1\"\nfile = \"reverse.toml\"\n\n",
        source.bootstrap(),
        target.bootstrap(),
    )
}

/// The section that tries a fence on a cluster with a writer's login.
pub fn fencing_proof(cluster: &Cluster, user: &str, password: &str) -> String {
    let properties = cluster.client_properties_of(user, password);
    let lines = properties
        .iter()
        .map(|(key, value)| format!("\"{key}\" = \"{value}\"\n"));
    let lines: String = lines.collect();
    format!("[fencing.proof.{}]\n{lines}", cluster.alias())
}

/// The pair `orders` as it is deployed, its flows in these files and their workers in services of the same names; with
/// `more`, an object.
pub fn deployed_pair(
    (use1, usw2): (&Cluster, &Cluster),
    [there, back]: [&str; 2],
    workers: u32,
    more: Value,
) -> Value {
    let service = |file: &str| {
        let name = Path::new(file).file_stem().unwrap_or_default();
        format!("understudy/{}", name.to_string_lossy())
    };
    let people =
        |region: &str| format!("arn:aws:sns:{region}:000000000000:understudy-orders-people");
    let mut pair = json!({
        "name": "orders",
        "home": "use1",
        "clusters": {
            "use1": { "region": "us-east-1", "client_bootstrap": use1.bootstrap() },
            "usw2": { "region": "us-west-2", "client_bootstrap": usw2.bootstrap() },
        },
        "flows": [
            { "source": "use1", "target": "usw2", "file": there, "service": service(there), "workers": workers },
            { "source": "usw2", "target": "use1", "file": back, "service": service(back), "workers": workers },
        ],
        "automation": "automatic",
        "notify": [people("us-east-1"), people("us-west-2")],
    });
    if let (Some(pair), Value::Object(more)) = (pair.as_object_mut(), more) {
        pair.extend(more);
    }
    pair
}
