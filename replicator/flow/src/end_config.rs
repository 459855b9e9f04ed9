//! `[source]` and `[target]`: how a flow reaches its ends.

use std::collections::BTreeMap;
use std::time::Duration;

use understudy_domain::FlowName;
use understudy_kafka::Endpoint;
use understudy_kafka::endpoint::OWNED;
use understudy_kafka::ffi::names::property_names;

use crate::config_error::{ConfigError, bad, closest};
use crate::end_access::{Access, OWN_KEYS, Recipe, Tokens};
use crate::secrets::settle;

/// How long a client waits for secrets that are being read: a little longer than reading may take.
const FIRST_READ_WITHIN: Duration = Duration::from_secs(15);

/// One end's part: how it is read, and what was read last.
#[derive(Clone, Debug)]
pub struct Renewable {
    /// How it is read.
    pub recipe: Recipe,
    /// What was read last.
    pub access: Access,
}

/// The end that `section` describes, and how what is secret of it is read again.
pub(crate) fn endpoint(
    table: &toml::Table,
    section: &'static str,
    environment: &dyn Fn(&str) -> Option<String>,
    follow: &mut dyn FnMut(&Recipe) -> Result<Access, ConfigError>,
) -> Result<(Endpoint, Renewable), ConfigError> {
    let Some(toml::Value::Table(entries)) = table.get(section) else {
        return Err(ConfigError::MissingSection(section));
    };
    let mut properties = BTreeMap::new();
    flatten("", entries, &mut properties, section)?;
    let alias = properties
        .remove("alias")
        .ok_or_else(|| ConfigError::MissingKey(format!("{section}.alias")))?;
    FlowName::new(&alias).map_err(|error| bad(&format!("{section}.alias"), &error.to_string()))?;
    let mut written = BTreeMap::new();
    for (key, value) in properties {
        let full = format!("{section}.{key}");
        if OWNED.contains(&key.as_str()) {
            return Err(ConfigError::OwnedProperty(full));
        }
        let value = settle(&value, environment)
            .map_err(|source| ConfigError::Secret { key: full, source })?;
        written.insert(key, value);
    }
    let recipe = Recipe::new(section, written);
    let access = follow(&recipe)?;
    if access
        .properties
        .get("bootstrap.servers")
        .is_none_or(String::is_empty)
        && !access.lacking.contains("bootstrap.servers")
    {
        return Err(ConfigError::MissingKey(format!(
            "{section}.\"bootstrap.servers\""
        )));
    }
    let endpoint = Endpoint::new(&alias, access.properties.clone())
        .with_msk_iam(matches!(access.tokens, Tokens::MskIam(_)));
    if !access.lacking.is_empty() {
        // The rest is checked when it is there.
        let endpoint = endpoint.awaiting(FIRST_READ_WITHIN);
        return Ok((endpoint, Renewable { recipe, access }));
    }
    if let Err(refused) = endpoint.check() {
        if refused.key.is_empty() {
            return Err(bad(section, &refused.reason));
        }
        let full = format!("{section}.{}", refused.key);
        if !refused.unknown {
            return Err(bad(&full, &refused.reason));
        }
        let names = property_names();
        let known = names
            .iter()
            .map(String::as_str)
            .chain(OWN_KEYS.iter().copied());
        let like = closest(&refused.key, known).map(|like| format!("{section}.{like}"));
        return Err(ConfigError::UnknownKey { key: full, like });
    }
    Ok((endpoint, Renewable { recipe, access }))
}

/// `a.b = 1` without quotes is a nested table in TOML; people mean the property `a.b`.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    out: &mut BTreeMap<String, String>,
    section: &str,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Table(inner) => {
                flatten(&name, inner, out, section)?;
                continue;
            }
            _ => {
                return Err(bad(
                    &format!("{section}.{name}"),
                    "must be a string, a whole number or a boolean",
                ));
            }
        };
        out.insert(name, text);
    }
    Ok(())
}
