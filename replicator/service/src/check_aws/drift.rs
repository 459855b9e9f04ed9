//! Whether what is deployed of a pair is what its files say.

use std::collections::BTreeMap;

use serde_json::Value;
use understudy_aws::PairDocument;
use understudy_flow::bounded;
use understudy_recovery::pair::Pair;
use understudy_world::PairFile;

/// At most so many differences are named.
const NAMED: usize = 5;

/// The pair and the texts of the flow files beside it.
///
/// # Errors
/// A flow file cannot be read.
pub fn of_files(file: &PairFile) -> Result<PairDocument, String> {
    let mut flows = BTreeMap::new();
    for flow in &file.pair.flows {
        let path = file.folder.join(&flow.file);
        let text = bounded::read_text(&path)
            .map_err(|error| format!("flow file {} cannot be read: {error}", path.display()))?;
        flows.insert(flow.file.clone(), text);
    }
    Ok(PairDocument {
        pair: (*file.pair).clone(),
        flows,
    })
}

/// Whether copies have names of their own, so that the flows of both directions run whichever cluster is active.
pub fn both_run(files: &PairDocument) -> bool {
    let prefixed = |text: &String| {
        let file: Option<toml::Table> = text.parse().ok();
        let policy = file.as_ref().and_then(|it| it.get("mirror")?.get("policy"));
        policy.and_then(toml::Value::as_str) == Some("prefixed")
    };
    files.flows.values().any(prefixed)
}

/// What differs, each named by its key; empty if nothing does.
pub fn differences(deployed: &PairDocument, files: &PairDocument, region: &str) -> Vec<String> {
    let mut all = Vec::new();
    // Each Region reads secrets in itself.
    if deployed.pair != files.pair {
        let text = |pair: &Pair| serde_json::to_string(pair).unwrap_or_default();
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        let here = read_in(&text(&files.pair), region);
        compare("", &json(&text(&deployed.pair)), &json(&here), &mut all);
    }
    for (file, text) in &files.flows {
        let here = deployed.flows.get(file);
        if here != Some(text) && here != Some(&read_in(text, region)) {
            all.push(match here {
                Some(there) => format!("flow file {file}: {}", line(there, &read_in(text, region))),
                None => format!("flow file {file} is not deployed"),
            });
        }
    }
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    if more > 0 {
        all.push(format!("{more} more"));
    }
    all
}

fn compare(key: &str, deployed: &Value, file: &Value, all: &mut Vec<String>) {
    let below = |name: &str| match key {
        "" => name.to_owned(),
        key => format!("{key}.{name}"),
    };
    match (deployed, file) {
        (Value::Object(there), Value::Object(here)) => {
            let names: std::collections::BTreeSet<_> = there.keys().chain(here.keys()).collect();
            for name in names {
                let of = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or_default()
                };
                compare(&below(name), &of(there), &of(here), all);
            }
        }
        (Value::Array(there), Value::Array(here)) if there.len() == here.len() => {
            for (index, (there, here)) in there.iter().zip(here).enumerate() {
                compare(&below(&index.to_string()), there, here, all);
            }
        }
        (there, here) if there == here => {}
        (there, here) => all.push(format!("{key} is {there} there and {here} in the file")),
    }
}

/// The first line that differs. Secrets are not in flow files, only where they are.
fn line(there: &str, here: &str) -> String {
    let mut lines = (1_usize..).zip(there.lines().zip(here.lines()));
    lines.find(|(_, (there, here))| there != here).map_or_else(
        || "one is longer than the other".to_owned(),
        |(number, _)| format!("line {number} is another one there"),
    )
}

/// A text as a Region reads it: the secrets that it names are that Region's own or its replicas, which have
/// the same ARN but for the Region.
pub fn read_in(text: &str, region: &str) -> String {
    let mut parts = text.split("${secretsmanager:arn:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("${secretsmanager:arn:");
        let mut words = part.splitn(4, ':');
        let words = (words.next(), words.next(), words.next(), words.next());
        match words {
            (Some(partition), Some(service), Some(_region), Some(rest)) => {
                out.push_str(&format!("{partition}:{service}:{region}:{rest}"));
            }
            _ => out.push_str(part),
        }
    }
    out
}

/// The secrets that flow files and logins of writers name.
pub fn secrets(document: &PairDocument) -> Vec<String> {
    let logins = document.pair.fencing.proof.values();
    let logins = logins.flat_map(BTreeMap::values);
    let texts = document.flows.values().chain(logins);
    let mut found: Vec<String> = texts
        .flat_map(|text| text.split("${secretsmanager:").skip(1))
        .filter_map(|rest| rest.split('}').next())
        // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, then :KEY.
        .map(|arn| arn.splitn(8, ':').take(7).collect::<Vec<_>>().join(":"))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const PASSWORD: &str = "password = \"${secretsmanager:arn:aws:secretsmanager:us-east-1:1:secret:login-a:password}\"\n";

    fn document(max_lost: u64, there: &str) -> Result<PairDocument, Box<dyn std::error::Error>> {
        let text = serde_json::json!({
            "pair": {
                "name": "orders", "home": "use1",
                "clusters": { "use1": { "region": "us-east-1" }, "usw2": { "region": "us-west-2" } },
                "flows": [
                    { "source": "use1", "target": "usw2", "file": "there.toml" },
                    { "source": "usw2", "target": "use1", "file": "back.toml" }
                ],
                "consent": { "max_lost_records": max_lost, "max_age_seconds": 60 },
            },
            "flows": { "there.toml": there, "back.toml": "" }
        });
        Ok(PairDocument::parse(&text.to_string())?)
    }

    #[test]
    fn what_differs_is_named_by_its_key() -> Outcome {
        let file = document(1_000, PASSWORD)?;
        let same = differences(&file, &file, "us-west-2");
        assert_eq!(same, Vec::<String>::new());
        let other = differences(&document(0, "slots = 8\n")?, &file, "us-west-2");
        let expected = [
            "consent.max_lost_records is 0 there and 1000 in the file",
            "flow file there.toml: line 1 is another one there",
        ];
        assert_eq!(other, expected);
        Ok(())
    }

    #[test]
    fn both_flows_run_where_copies_have_names_of_their_own() -> Outcome {
        assert!(!both_run(&document(0, PASSWORD)?));
        let prefixed = "[mirror]\npolicy = \"prefixed\"\n";
        assert!(both_run(&document(0, prefixed)?));
        Ok(())
    }

    #[test]
    fn each_region_reads_secrets_in_itself() -> Outcome {
        let here = read_in(PASSWORD, "us-west-2");
        assert!(
            here.contains("secretsmanager:us-west-2:1:secret:login-a:password"),
            "{here}"
        );
        let deployed = document(1, &here)?;
        let same = differences(&deployed, &document(1, PASSWORD)?, "us-west-2");
        assert_eq!(same, Vec::<String>::new());
        let named = secrets(&deployed);
        assert_eq!(named, ["arn:aws:secretsmanager:us-west-2:1:secret:login-a"]);
        // A writer's login stands in the pair.
        let proven = |mut document: PairDocument, region: &str| {
            let secret = read_in(PASSWORD, region).replace("login-a", "shop");
            let secret = secret.split('"').nth(1).unwrap_or_default().to_owned();
            let login = BTreeMap::from([("sasl.password".to_owned(), secret)]);
            let usw2 = document.pair.clusters.keys().next_back().cloned();
            document.pair.fencing.proof = usw2.map(|it| (it, login)).into_iter().collect();
            document
        };
        let files = proven(document(1, PASSWORD)?, "us-east-1");
        let deployed = proven(deployed, "us-west-2");
        let same = differences(&deployed, &files, "us-west-2");
        assert_eq!(same, Vec::<String>::new());
        assert_eq!(differences(&deployed, &files, "us-east-1").len(), 2);
        let named = secrets(&deployed);
        assert!(
            named
                .iter()
                .any(|arn| arn.ends_with("us-west-2:1:secret:shop")),
            "{named:?}"
        );
        Ok(())
    }
}
