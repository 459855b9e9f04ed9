//! The connectors' JSON, as people post it to a Connect cluster, as the properties of dedicated mode.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::properties::Properties;

/// Properties made of connectors, and what is odd about them.
pub struct Connectors {
    /// As a dedicated MirrorMaker 2 would have them.
    pub properties: Properties,
    /// What contradicts itself or cannot be used.
    pub contradictions: Vec<String>,
}

impl Connectors {
    /// None yet.
    pub fn new() -> Self {
        Self {
            properties: Properties::default(),
            contradictions: Vec::new(),
        }
    }

    /// Adds the connectors of one document: one connector, or an array of them.
    pub fn add(&mut self, document: &Value) {
        match document {
            Value::Array(connectors) => connectors.iter().for_each(|one| self.add_one(one)),
            other => self.add_one(other),
        }
    }

    fn add_one(&mut self, connector: &Value) {
        let config = connector.get("config").unwrap_or(connector);
        let Some(config) = config.as_object() else {
            self.contradictions
                .push("a connector is not a JSON object; nothing of it was read".to_owned());
            return;
        };
        let named = connector.get("name").or_else(|| config.get("name"));
        let name = named.and_then(Value::as_str).unwrap_or("without a name");
        let class = text(config, "connector.class");
        let class = class.rsplit('.').next().unwrap_or_default();
        let known = [
            "MirrorSourceConnector",
            "MirrorCheckpointConnector",
            "MirrorHeartbeatConnector",
        ];
        if !known.contains(&class) {
            self.contradictions.push(format!(
                "connector {name} is none of MirrorMaker 2's three; nothing of it was read"
            ));
            return;
        }
        let (source, target) = (
            text(config, "source.cluster.alias"),
            text(config, "target.cluster.alias"),
        );
        if source.is_empty() || target.is_empty() {
            self.contradictions.push(format!(
                "connector {name} has no source.cluster.alias or target.cluster.alias; nothing of it was read"
            ));
            return;
        }
        self.add_clusters(&source, &target);
        let flow = format!("{source}->{target}");
        self.put(name, format!("{flow}.enabled"), "true".to_owned());
        // Where it stands is stored under its name.
        if let (Some(name), "MirrorSourceConnector") = (named.and_then(Value::as_str), class) {
            self.put(name, format!("{flow}.name"), name.to_owned());
        }
        for (key, value) in config {
            let Some(value) = scalar(value) else {
                self.contradictions.push(format!(
                    "connector {name}: {key} is neither text nor a number nor a boolean; it was not read"
                ));
                continue;
            };
            if matches!(key.as_str(), "enabled" | "name") {
                continue;
            }
            // tasks.max of the heartbeat and checkpoint connectors has nothing to do with copying.
            if key == "tasks.max" && class != "MirrorSourceConnector" {
                continue;
            }
            let place = place(&source, &target, &flow, key);
            if key == "connector.class" {
                self.properties.values.insert(place, value);
            } else {
                self.put(name, place, value);
            }
        }
    }

    fn add_clusters(&mut self, source: &str, target: &str) {
        let known = self.properties.get("clusters").unwrap_or_default();
        let mut all: BTreeSet<&str> = known
            .split(',')
            .map(str::trim)
            .filter(|alias| !alias.is_empty())
            .collect();
        all.extend([source, target]);
        let all: Vec<&str> = all.into_iter().collect();
        let all = all.join(", ");
        self.properties.values.insert("clusters".to_owned(), all);
    }

    fn put(&mut self, name: &str, key: String, value: String) {
        let before = self.properties.values.get(&key);
        if before.is_some_and(|before| *before != value) {
            self.contradictions.push(format!(
                "connector {name} gives {key} another value than a connector before it; the last one counts"
            ));
        }
        self.properties.values.insert(key, value);
    }
}

/// Where a connector's property would stand in dedicated mode.
fn place(source: &str, target: &str, flow: &str, key: &str) -> String {
    for (prefix, cluster) in [("source.cluster.", source), ("target.cluster.", target)] {
        if let Some(rest) = key.strip_prefix(prefix)
            && rest != "alias"
        {
            return format!("{cluster}.{rest}");
        }
    }
    if let Some(rest) = key.strip_prefix("producer.override.") {
        return format!("{flow}.producer.{rest}");
    }
    if let Some(rest) = key.strip_prefix("consumer.override.") {
        return format!("{flow}.consumer.{rest}");
    }
    if let Some(rest) = key.strip_prefix("admin.override.") {
        return format!("{flow}.admin.{rest}");
    }
    format!("{flow}.{key}")
}

fn text(config: &Map<String, Value>, key: &str) -> String {
    let value = config.get(key).and_then(Value::as_str);
    value.unwrap_or_default().trim().to_owned()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
