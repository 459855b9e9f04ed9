//! Which topics a flow mirrors.

use regex::RegexSet;
use understudy_domain::is_internal;

/// Include and exclude patterns, each matching whole names.
#[derive(Clone, Debug)]
pub struct Selection {
    patterns: Vec<String>,
    include: RegexSet,
    exclude: RegexSet,
}

/// A pattern that is not one.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {pattern:?} is not a valid pattern: {reason}")]
pub struct SelectionError {
    key: &'static str,
    pattern: String,
    reason: String,
}

impl Selection {
    /// Topics that match one of `include` and none of `exclude`; internal topics never.
    ///
    /// # Errors
    /// The first pattern that is not a regular expression.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, SelectionError> {
        Ok(Self {
            patterns: include.to_vec(),
            include: set("mirror.topics", include)?,
            exclude: set("mirror.topics_exclude", exclude)?,
        })
    }

    /// The include patterns, as configured.
    pub fn include(&self) -> &[String] {
        &self.patterns
    }

    /// Whether the include pattern `pattern` matches `topic`.
    pub fn matches(&self, pattern: &str, topic: &str) -> bool {
        self.patterns
            .iter()
            .zip(0..)
            .any(|(own, at)| own == pattern && self.include.matches(topic).matched(at))
    }

    /// Whether `topic` is mirrored.
    pub fn selects(&self, topic: &str) -> bool {
        !is_internal(topic) && self.include.is_match(topic) && !self.exclude.is_match(topic)
    }
}

/// Groups that no flow mirrors: MirrorMaker 2's default `groups.exclude`, and the groups of flows themselves.
const GROUPS_EXCLUDED: &[&str] = &["console-consumer-.*", "connect-.*", "__.*", "understudy-.*"];

/// Which consumer groups a flow mirrors: patterns, each matching whole names.
#[derive(Clone, Debug)]
pub struct GroupSelection {
    patterns: Vec<String>,
    include: RegexSet,
    exclude: RegexSet,
}

impl GroupSelection {
    /// Groups that match one of `include` and none of `exclude` or MirrorMaker 2's default.
    ///
    /// # Errors
    /// The first pattern that is not a regular expression.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, SelectionError> {
        let mut all: Vec<String> = GROUPS_EXCLUDED
            .iter()
            .map(|pattern| (*pattern).to_owned())
            .collect();
        all.extend(exclude.iter().cloned());
        Ok(Self {
            patterns: include.to_vec(),
            include: set("mirror.groups", include)?,
            exclude: set("mirror.groups_exclude", &all)?,
        })
    }

    /// The include patterns, as configured; without any, no group is mirrored.
    pub fn include(&self) -> &[String] {
        &self.patterns
    }

    /// Whether the places of `group` are mirrored.
    pub fn selects(&self, group: &str) -> bool {
        self.include.is_match(group) && !self.exclude.is_match(group)
    }
}

/// Patterns that each match whole names; `key` is where they stand.
///
/// # Errors
/// The first one that is not a regular expression.
pub fn set(key: &'static str, patterns: &[String]) -> Result<RegexSet, SelectionError> {
    let refused = |pattern: &str, error: &regex::Error| SelectionError {
        key,
        pattern: pattern.to_owned(),
        // The first line repeats the pattern; the last one says what is wrong.
        reason: error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    };
    for pattern in patterns {
        regex::Regex::new(pattern).map_err(|error| refused(pattern, &error))?;
    }
    RegexSet::new(patterns.iter().map(|pattern| format!("^(?:{pattern})$")))
        .map_err(|error| refused(&patterns.join(","), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names_and_internal_topics_stay_home() -> Result<(), SelectionError> {
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>()
        };
        let some = Selection::new(&list(&["orders", "pay.*"]), &list(&["pay-test"]))?;
        let selected = ["orders", "payments", "orders2", "pay-test", "reorders"]
            .map(|topic| some.selects(topic));
        assert_eq!(selected, [true, true, false, false, false]);
        let all = Selection::new(&list(&[".*"]), &[])?;
        let internal = [
            "__consumer_offsets",
            "understudy.a-b.positions",
            "mm2-offset-syncs.a.internal",
            "orders",
        ];
        assert_eq!(
            internal.map(|topic| all.selects(topic)),
            [false, false, false, true]
        );
        Ok(())
    }
}
