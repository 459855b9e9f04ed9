//! What a function is told by its environment. Read once, whole; the deployment sets every key.

use std::collections::BTreeMap;

/// What a function is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `UNDERSTUDY_PAIR_PARAMETER`: the SSM parameter that holds the pair (a [`crate::PairDocument`]).
    pub pair_parameter: String,
    /// `UNDERSTUDY_LEDGER_TABLE`: the DynamoDB table of the ledger.
    pub ledger_table: String,
    /// `UNDERSTUDY_LEDGER_REGION`: the Region whose replica of it is used; this Region's own if unset.
    pub ledger_region: Option<String>,
    /// `UNDERSTUDY_BUCKET`: the bucket of plans, cuts and evidence.
    pub bucket: String,
    /// `UNDERSTUDY_MACHINES`: what the ARNs of this Region's state machines begin with.
    pub machines: String,
    /// `UNDERSTUDY_ENDPOINT_URLS`: where other Regions are reached, if not under AWS's own names:
    /// `us-east-1=https://…,us-west-2=https://…`.
    pub endpoint_urls: BTreeMap<String, String>,
}

/// Why an environment cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A key is missing.
    #[error("{0} is not set; the deployment sets it")]
    Missing(&'static str),
    /// The machines' ARNs cannot be told from it.
    #[error("UNDERSTUDY_MACHINES is {0}, which no ARN of a state machine begins with")]
    Machines(String),
    /// A list is written otherwise.
    #[error("UNDERSTUDY_ENDPOINT_URLS has {0:?}; it is a list of REGION=URL with commas between")]
    EndpointUrls(String),
}

impl Settings {
    /// Reads them, by asking `lookup` for each key.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let set = |key| lookup(key).filter(|value| !value.is_empty());
        let must = |key: &'static str| set(key).ok_or(SettingsError::Missing(key));
        Ok(Self {
            pair_parameter: must("UNDERSTUDY_PAIR_PARAMETER")?,
            ledger_table: must("UNDERSTUDY_LEDGER_TABLE")?,
            ledger_region: set("UNDERSTUDY_LEDGER_REGION"),
            bucket: must("UNDERSTUDY_BUCKET")?,
            machines: must("UNDERSTUDY_MACHINES")?,
            endpoint_urls: endpoint_urls(set("UNDERSTUDY_ENDPOINT_URLS").as_deref())?,
        })
    }
}

fn endpoint_urls(list: Option<&str>) -> Result<BTreeMap<String, String>, SettingsError> {
    list.into_iter()
        .flat_map(|list| list.split(','))
        .map(|entry| {
            entry
                .trim()
                .split_once('=')
                .filter(|(region, url)| !region.is_empty() && url.starts_with("http"))
                .map(|(region, url)| (region.to_owned(), url.to_owned()))
                .ok_or_else(|| SettingsError::EndpointUrls(entry.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(key: &str) -> Option<String> {
        let value = match key {
            "UNDERSTUDY_PAIR_PARAMETER" => "/understudy/orders/pair",
            "UNDERSTUDY_LEDGER_TABLE" => "understudy-orders-ledger",
            "UNDERSTUDY_BUCKET" => "understudy-orders",
            "UNDERSTUDY_MACHINES" => "arn:aws:states:us-west-2:1:stateMachine:understudy-orders-",
            "UNDERSTUDY_LEDGER_REGION" => "",
            "UNDERSTUDY_ENDPOINT_URLS" => "us-east-1=http://127.0.0.1:4566, us-west-2=https://b",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let settings = Settings::read(lookup);
        assert_eq!(
            settings.as_ref().map(|it| it.ledger_region.clone()),
            Ok(None)
        );
        assert_eq!(settings.map(|it| it.endpoint_urls.len()), Ok(2));
    }

    #[test]
    fn a_missing_key_is_named() {
        let without = |key: &str| lookup(key).filter(|_| key != "UNDERSTUDY_BUCKET");
        assert_eq!(
            Settings::read(without),
            Err(SettingsError::Missing("UNDERSTUDY_BUCKET"))
        );
        let wrong = |key: &str| match key {
            "UNDERSTUDY_ENDPOINT_URLS" => Some("us-east-1".to_owned()),
            _ => lookup(key),
        };
        assert_eq!(
            Settings::read(wrong),
            Err(SettingsError::EndpointUrls("us-east-1".to_owned()))
        );
    }
}
