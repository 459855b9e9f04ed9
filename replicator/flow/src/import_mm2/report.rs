//! What an import made, and what became of each property.

use std::fmt;

use serde::Serialize;

use super::flows::comment;
use crate::report::Report;

/// What became of a property; a later one matters more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It concerns no enabled flow.
    Unused,
    /// Something else holds.
    Instead,
    /// It is in the flow file.
    Translated,
    /// A person should look.
    Look,
}

/// One property of the file. Values are left out: they may be secrets.
#[derive(Serialize)]
pub struct Entry {
    /// As written.
    pub key: String,
    /// What became of it.
    pub status: Status,
    /// Where it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What holds instead, or what to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One flow file.
#[derive(Serialize)]
pub struct FlowText {
    /// `a->b`.
    pub flow: String,
    /// Where it was written, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its text; it holds no secret.
    pub toml: String,
    /// Environment variables that it refers to and that somebody has to set.
    pub environment: Vec<String>,
}

/// The whole import.
#[derive(Serialize)]
pub struct Import {
    /// A file for each enabled flow.
    pub flows: Vec<FlowText>,
    /// Every property.
    pub keys: Vec<Entry>,
    /// What contradicts itself or keeps a flow from running.
    pub contradictions: Vec<String>,
}

impl Report for Import {
    fn holds(&self) -> bool {
        self.contradictions.is_empty() && !self.flows.is_empty()
    }
}

/// Flow files whole, everything else as comments: with one flow the output is a flow file.
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes = String::new();
        for contradiction in &self.contradictions {
            notes.push_str(&comment(&format!("WRONG: {contradiction}")));
        }
        for (status, title) in [
            (Status::Look, "look at these"),
            (Status::Translated, "carried over"),
            (Status::Instead, "not needed"),
            (Status::Unused, "of no enabled flow"),
        ] {
            let of_status: Vec<&Entry> = self
                .keys
                .iter()
                .filter(|entry| entry.status == status)
                .collect();
            if of_status.is_empty() {
                continue;
            }
            notes.push_str(&format!("#\n# {title}:\n"));
            for Entry { key, to, why, .. } in of_status {
                let to = to
                    .as_ref()
                    .map(|to| format!(" -> {to}"))
                    .unwrap_or_default();
                let why = why
                    .as_ref()
                    .map(|why| format!(": {why}"))
                    .unwrap_or_default();
                notes.push_str(&comment(&format!("  {key}{to}{why}")));
            }
        }
        for flow in &self.flows {
            match &flow.file {
                Some(file) => write!(f, "{}", comment(&format!("{} is in {file}", flow.flow)))?,
                None => {
                    write!(f, "{}", comment(&format!("flow {}", flow.flow)))?;
                    writeln!(f, "{}", flow.toml)?;
                }
            }
            for name in &flow.environment {
                write!(
                    f,
                    "{}",
                    comment(&format!("set {name} where understudy runs"))
                )?;
            }
        }
        write!(f, "{notes}")
    }
}
