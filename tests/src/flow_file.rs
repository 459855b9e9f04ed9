//! Writing a `FLOW.toml` for a worker.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::cluster::Cluster;
use crate::error::{Doing, LabError, Result};
use crate::listener::{ClientProperties, Listener};

/// A flow's config. A worker started from it gets a copy of its own, with an HTTP port of its own.
#[derive(Debug, Clone)]
pub struct FlowFile {
    dir: PathBuf,
    name: Option<String>,
    source: Table,
    target: Table,
    mirror: Table,
    sections: Table,
    pub(crate) environment: Vec<(String, String)>,
}

impl FlowFile {
    /// A flow as it runs in production: beside the target, with the link between it and the source.
    pub fn new(source: &Cluster, target: &Cluster) -> Self {
        Self::with_clients(
            (source.alias(), source.client_properties(Listener::Link)),
            (
                target.alias(),
                target.client_properties(Listener::Plaintext),
            ),
            target.dir(),
        )
    }

    /// A flow with other client properties; its files go to `dir`.
    pub fn with_clients(
        source: (&str, ClientProperties),
        target: (&str, ClientProperties),
        dir: &Path,
    ) -> Self {
        let (source, target) = (end(source.0, source.1), end(target.0, target.1));
        Self {
            dir: dir.to_owned(),
            name: None,
            source,
            target,
            mirror: Table::new(),
            sections: Table::new(),
            environment: Vec::new(),
        }
    }

    /// Names the flow; otherwise it is called after its ends. Several flows between two clusters need names.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Which topics are mirrored: full-match regexes.
    #[must_use]
    pub fn topics<S: Into<String>>(self, patterns: impl IntoIterator<Item = S>) -> Self {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        self.mirror("topics", patterns)
    }

    /// Which groups are mirrored: full-match regexes.
    #[must_use]
    pub fn groups<S: Into<String>>(self, patterns: impl IntoIterator<Item = S>) -> Self {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        self.mirror("groups", patterns)
    }

    /// How many slots.
    #[must_use]
    pub fn slots(self, slots: u32) -> Self {
        self.mirror("slots", i64::from(slots))
    }

    /// Sets a key of the `mirror` table, such as `policy` or `commit_interval`.
    #[must_use]
    pub fn mirror(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.mirror.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a key of another section.
    #[must_use]
    pub fn section(mut self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        let entry = self
            .sections
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(table) = entry {
            table.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Sets a key of the `source` table, such as a client property.
    #[must_use]
    pub fn source(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.source.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a key of the `target` table, such as a client property.
    #[must_use]
    pub fn target(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.target.insert(key.to_owned(), value.into());
        self
    }

    /// An environment variable for the workers, to which the file may refer.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Puts its files and the workers' logs elsewhere than into the target's folder.
    #[must_use]
    pub fn in_folder(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Where its files and the workers' logs go.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file's text, with this address for HTTP.
    pub fn render(&self, http: SocketAddr) -> Result<String> {
        let mut file = Table::new();
        if let Some(name) = &self.name {
            file.insert("name".to_owned(), Value::String(name.clone()));
        }
        file.insert("source".to_owned(), Value::Table(self.source.clone()));
        file.insert("target".to_owned(), Value::Table(self.target.clone()));
        file.insert("mirror".to_owned(), Value::Table(self.mirror.clone()));
        file.extend(self.sections.clone());
        let listen = Value::String(http.to_string());
        file.insert(
            "http".to_owned(),
            Value::Table(Table::from_iter([("listen".to_owned(), listen)])),
        );
        toml::to_string(&file)
            .map_err(|error| LabError::Usage(format!("cannot write the flow as TOML: {error}")))
    }

    /// Writes `<name>.toml`; returns its path.
    pub fn write(&self, name: &str, http: SocketAddr) -> Result<PathBuf> {
        let path = self.dir.join(format!("{name}.toml"));
        fs::write(&path, self.render(http)?).doing(format!("write {}", path.display()))?;
        Ok(path)
    }
}

fn end(alias: &str, properties: ClientProperties) -> Table {
    let alias = ("alias".to_owned(), alias.to_owned());
    std::iter::once(alias)
        .chain(properties)
        .map(|(key, value)| (key, Value::String(value)))
        .collect()
}
