//! A pair as a parameter holds it: the pair's configuration, and the text of each flow file that it names.
//!
//! A parameter takes 8 KiB at most; a deployment refuses a pair that needs more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use understudy_recovery::pair::{Pair, PairError};

/// A pair and its flow files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairDocument {
    /// The pair.
    pub pair: Pair,
    /// The text of each flow file, by the name under which the pair knows it.
    pub flows: BTreeMap<String, String>,
}

/// Why a parameter holds no pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairDocumentError {
    /// It is something else.
    #[error("it is not {{\"pair\",\"flows\"}} as JSON: {0}")]
    Shape(String),
    /// The pair cannot be used.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A flow file is not there.
    #[error("the pair names flow file {0}, and its text is not among the flows")]
    NoFlow(String),
}

impl PairDocument {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, PairDocumentError> {
        let document: Self = serde_json::from_str(text)
            .map_err(|error| PairDocumentError::Shape(error.to_string()))?;
        document.pair.check()?;
        for flow in &document.pair.flows {
            if !document.flows.contains_key(&flow.file) {
                return Err(PairDocumentError::NoFlow(flow.file.clone()));
            }
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = r#"{
        "pair": {
            "name": "orders", "home": "use1",
            "clusters": { "use1": { "region": "us-east-1" }, "usw2": { "region": "us-west-2" } },
            "flows": [
                { "source": "use1", "target": "usw2", "file": "forward.toml" },
                { "source": "usw2", "target": "use1", "file": "reverse.toml" }
            ]
        },
        "flows": { "forward.toml": "[source]", "reverse.toml": "[source]" }
    }"#;

    #[test]
    fn a_pair_stands_with_its_flow_files() {
        let parsed = PairDocument::parse(PAIR);
        assert_eq!(
            parsed.map(|it| it.pair.name.to_string()).as_deref(),
            Ok("orders")
        );
        let lost = PAIR.replace("\"reverse.toml\": \"[source]\"", "\"other.toml\": \"\"");
        assert_eq!(
            PairDocument::parse(&lost),
            Err(PairDocumentError::NoFlow("reverse.toml".to_owned()))
        );
    }
}
