//! Another version of what is deployed: its templates with other contents, as if the repository had moved on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::aws::packed::pack;
use crate::aws::region::parsed;
use crate::error::{Doing, Result};

/// A version that comes after the one of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Functions of another binary, and machines that call one of their states otherwise: [`Version::STATE`] instead of
    /// `Conclude`.
    Next,
    /// The same with one machine more that is refused: its last expression lacks a parenthesis. Machines come after the
    /// functions that they call, so everything else has changed by then.
    Refused,
}

impl Version {
    /// A state that only the next version has.
    pub const STATE: &str = "ConcludeAnew";

    /// Makes its templates beside those of the repository's version.
    pub(crate) fn templates(self, of: &Path) -> Result<PathBuf> {
        let folder = of.with_extension(format!("{self:?}").to_lowercase());
        if folder.exists() {
            return Ok(folder);
        }
        let digests = digests(of)?;
        // An asset whose name is known is not sent again; so what changed has another name.
        let named = |text: &str| {
            digests.iter().fold(text.to_owned(), |text, digest| {
                text.replace(digest, &self.another(digest))
            })
        };
        copied(of, &folder, &named)?;
        for file in files(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name == "bootstrap" {
                let mut binary = fs::read(&file).doing(format!("read {}", file.display()))?;
                // Behind what the loader looks at.
                binary.extend_from_slice(format!("{self:?}").as_bytes());
                fs::write(&file, binary).doing(format!("write {}", file.display()))?;
                continue;
            }
            let text = fs::read_to_string(&file).doing(format!("read {}", file.display()))?;
            let mut text = named(&text);
            if name.ends_with(".template.json") {
                text = self.changed(&text);
            }
            fs::write(&file, text).doing(format!("write {}", file.display()))?;
        }
        pack(&folder)?;
        Ok(folder)
    }

    fn changed(self, template: &str) -> String {
        let renamed = template.replace("\\\"Conclude\\\"", &format!("\\\"{}\\\"", Self::STATE));
        match (self, renamed.rsplit_once("{% ")) {
            (Self::Refused, Some((before, after))) => format!("{before}{{% ( {after}"),
            _ => renamed,
        }
    }

    /// A digest that only this version has.
    fn another(self, digest: &str) -> String {
        let by = match self {
            Self::Next => 1,
            Self::Refused => 2,
        };
        let (first, rest) = digest.split_at(by);
        format!("{rest}{first}")
    }
}

/// By which names the templates know what is sent along with them.
fn digests(templates: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for file in files(templates)? {
        let name = file.display().to_string();
        if name.ends_with(".assets.json") {
            let text = fs::read_to_string(&file).doing(format!("read {name}"))?;
            let assets = parsed(&name, &text)?;
            let sent = assets.get("files").and_then(Value::as_object);
            found.extend(sent.into_iter().flat_map(|sent| sent.keys().cloned()));
        }
    }
    Ok(found)
}

fn copied(of: &Path, folder: &Path, named: &dyn Fn(&str) -> String) -> Result<()> {
    for file in files(of)? {
        let within = file.strip_prefix(of).unwrap_or(&file);
        let copy = folder.join(named(&within.to_string_lossy()));
        let parent = copy.parent().unwrap_or(folder);
        fs::create_dir_all(parent).doing(format!("create {}", parent.display()))?;
        fs::copy(&file, &copy).doing(format!("copy {}", file.display()))?;
    }
    Ok(())
}

/// Every file below a folder but what the CLI has packed there already.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let reading = || format!("read {}", folder.display());
    for entry in fs::read_dir(folder).doing(reading())? {
        let path = entry.doing(reading())?.path();
        if path.ends_with(".cache") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
