//! `understudy import-mm2`: MirrorMaker 2's configuration as flow files.
//!
//! Reads a property file of dedicated mode, or the JSON of its connectors as people post it to a Connect cluster.
//! Nothing is dropped in silence: each property is carried over, or listed with what holds instead. Secrets are never
//! written; the flow file refers to environment variables in their place.

mod clients;
mod connectors;
mod flows;
mod jaas;
mod keys;
mod properties;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use understudy_domain::FlowName;

use self::connectors::Connectors;
use self::flows::Draft;
use self::properties::Properties;
pub use self::report::Import;
use self::report::{Entry, FlowText, Status};

/// Why a configuration cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It begins like JSON and is none. Never quotes the file, which may hold secrets.
    #[error("{path} begins like JSON and is none: line {line}, column {column}")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// Connectors and properties at once.
    #[error("give one property file, or any number of JSON files of connectors")]
    Mixed,
    /// The flow asked for is not there.
    #[error("{path} has no enabled flow {flow}; enabled: {}", if enabled.is_empty() { "none" } else { enabled })]
    NoFlow {
        /// The file.
        path: PathBuf,
        /// As asked for.
        flow: String,
        /// The flows that there are.
        enabled: String,
    },
    /// Several flows, and nobody said which.
    #[error("{path} has several flows: {enabled}; say which with --flow 'a->b'")]
    WhichFlow {
        /// The file.
        path: PathBuf,
        /// The flows that there are.
        enabled: String,
    },
    /// It contradicts itself.
    #[error("{path}: {reason}")]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A flow made of properties.
pub struct Imported {
    /// `a->b`.
    pub flow: String,
    /// The flow file's text, without secrets.
    pub toml: String,
    /// The secrets that it refers to, by environment variable. Never printed.
    pub secrets: BTreeMap<String, String>,
    contradictions: Vec<String>,
    is_identity: bool,
}

/// Imports files and writes the flow files to `out`, if that is given.
///
/// # Errors
/// A file that cannot be read, is no JSON, or cannot be written.
pub fn run(files: &[PathBuf], out: Option<&Path>) -> Result<Import, ImportError> {
    let (properties, mut contradictions) = read(files)?;
    let (flows, keys) = import(&properties, &mut contradictions);
    let mut texts = Vec::new();
    for flow in flows {
        let mut file = None;
        if let Some(out) = out {
            let name = flow.flow.replace("->", "-").replace(['/', '\\'], "_");
            let path = out.join(format!("{name}.toml"));
            let unwritable = |source| ImportError::Unwritable {
                path: path.clone(),
                source,
            };
            std::fs::create_dir_all(out).map_err(unwritable)?;
            // What somebody has edited since is not written over.
            let mut opened = std::fs::File::create_new(&path).map_err(unwritable)?;
            std::io::Write::write_all(&mut opened, flow.toml.as_bytes()).map_err(unwritable)?;
            file = Some(path.display().to_string());
        }
        texts.push(FlowText {
            flow: flow.flow,
            file,
            toml: flow.toml,
            environment: flow.secrets.into_keys().collect(),
        });
    }
    Ok(Import {
        flows: texts,
        keys,
        contradictions,
    })
}

/// The flow file of one flow, for a tool that was given the property file.
///
/// # Errors
/// No such flow, several when none was named, or one that contradicts itself.
pub fn one(path: &Path, wanted: Option<&str>) -> Result<Imported, ImportError> {
    let (properties, _) = read(std::slice::from_ref(&path.to_owned()))?;
    let mut contradictions = Vec::new();
    let (mut flows, _) = import(&properties, &mut contradictions);
    let names: Vec<&str> = flows.iter().map(|flow| flow.flow.as_str()).collect();
    let enabled = names.join(", ");
    let path = path.to_owned();
    let spaceless = |text: &str| text.replace(' ', "");
    let found = match wanted {
        Some(wanted) => flows
            .iter()
            .position(|flow| flow.flow == spaceless(wanted))
            .ok_or(ImportError::NoFlow {
                path: path.clone(),
                flow: wanted.to_owned(),
                enabled,
            })?,
        None if flows.len() == 1 => 0,
        None if flows.is_empty() => {
            return Err(ImportError::Contradiction {
                path,
                reason: "no flow is enabled (a->b.enabled = true)".to_owned(),
            });
        }
        None => return Err(ImportError::WhichFlow { path, enabled }),
    };
    let flow = flows.swap_remove(found);
    match flow.contradictions.first() {
        Some(reason) => Err(ImportError::Contradiction {
            path,
            reason: reason.clone(),
        }),
        None => Ok(flow),
    }
}

fn read(files: &[PathBuf]) -> Result<(Properties, Vec<String>), ImportError> {
    let (mut connectors, mut properties) = (Connectors::new(), None);
    let mut has_json = false;
    for path in files {
        let bytes = crate::bounded::read(path).map_err(|source| ImportError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let text = String::from_utf8_lossy(&bytes);
        if text.trim_start().starts_with(['{', '[']) {
            let document = serde_json::from_str(&text).map_err(|error| ImportError::NotJson {
                path: path.clone(),
                line: error.line(),
                column: error.column(),
            })?;
            connectors.add(&document);
            has_json = true;
        } else if properties.replace(Properties::parse(&text)).is_some() {
            return Err(ImportError::Mixed);
        }
    }
    match properties {
        Some(_) if has_json => Err(ImportError::Mixed),
        Some(properties) => Ok((properties, Vec::new())),
        None => Ok((connectors.properties, connectors.contradictions)),
    }
}

/// Every enabled flow, and what became of each property.
fn import(
    properties: &Properties,
    contradictions: &mut Vec<String>,
) -> (Vec<Imported>, Vec<Entry>) {
    let clusters = properties.get("clusters").unwrap_or_default();
    let clusters: Vec<&str> = clusters
        .split(',')
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .collect();
    for key in &properties.repeated {
        contradictions.push(format!(
            "{key} is there more than once; the last one counts"
        ));
    }
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut flows = Vec::new();
    for (key, value) in &properties.values {
        let Some((source, target)) = key
            .strip_suffix(".enabled")
            .and_then(|flow| flow.split_once("->"))
        else {
            continue;
        };
        match value.trim() {
            enabled if enabled.eq_ignore_ascii_case("true") => {}
            disabled if disabled.eq_ignore_ascii_case("false") => continue,
            _ => {
                contradictions.push(format!(
                    "{key} is neither true nor false; the flow was left out"
                ));
                continue;
            }
        }
        if let Some(reason) = unusable(&clusters, source, target) {
            contradictions.push(format!("{key}: {reason}; the flow was left out"));
            continue;
        }
        let draft = Draft::make(properties, &clusters, (source, target), &mut entries);
        let mut secrets = draft.source.secrets.clone();
        secrets.extend(draft.target.secrets.clone());
        let flow = format!("{source}->{target}");
        for contradiction in &draft.contradictions {
            contradictions.push(format!("{flow}: {contradiction}"));
        }
        flows.push(Imported {
            toml: draft.toml(),
            secrets,
            contradictions: draft.contradictions,
            is_identity: draft.is_identity,
            flow,
        });
    }
    both_ways(&mut flows, contradictions);
    if flows.is_empty() && contradictions.is_empty() {
        contradictions.push("no flow is enabled (a->b.enabled = true)".to_owned());
    }
    let unused = properties
        .values
        .keys()
        .filter(|key| !entries.contains_key(*key));
    let unused: Vec<Entry> = unused
        .map(|key| Entry {
            key: key.clone(),
            status: Status::Unused,
            to: None,
            why: None,
        })
        .collect();
    let mut keys: Vec<Entry> = entries.into_values().chain(unused).collect();
    keys.sort_by(|a, b| a.key.cmp(&b.key));
    (flows, keys)
}

fn unusable(clusters: &[&str], source: &str, target: &str) -> Option<String> {
    for alias in [source, target] {
        if !clusters.contains(&alias) {
            return Some(format!("{alias} is not among the clusters"));
        }
        if let Err(error) = FlowName::new(alias) {
            return Some(format!("{alias} cannot be an alias here: {error}"));
        }
    }
    (source == target).then(|| format!("{source} cannot be its own target"))
}

/// With names that stay as they are, both directions at once would copy copies for ever.
fn both_ways(flows: &mut [Imported], contradictions: &mut Vec<String>) {
    let identity: Vec<String> = flows
        .iter()
        .filter(|flow| flow.is_identity)
        .map(|flow| flow.flow.clone())
        .collect();
    for flow in flows {
        let back = flow
            .flow
            .split_once("->")
            .map(|(source, target)| format!("{target}->{source}"));
        let Some(back) = back.filter(|back| flow.is_identity && identity.contains(back)) else {
            continue;
        };
        let reason = format!(
            "{} and {back} are both enabled and keep names: copies would go back and forth for ever; run one direction at a time, or use the prefixed policy",
            flow.flow
        );
        // Named once for the pair, and in the way of each.
        if flow.flow < back {
            contradictions.push(reason.clone());
        }
        flow.contradictions.push(reason);
    }
}

#[cfg(test)]
mod tests;
