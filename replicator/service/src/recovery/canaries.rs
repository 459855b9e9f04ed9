//! A drill that acts: only for a pair whose flows mirror nothing but canary topics, which exist to be moved.

use std::path::Path;

use understudy_world::PairFile;

use super::home::LocalError;

/// What their names begin with.
const CANARY: &str = "canary";

/// The pair's flows must mirror canary topics only.
///
/// # Errors
/// One of them mirrors others as well, or may.
pub fn must_be_all(pair_file: &Path) -> Result<(), LocalError> {
    let environment = |name: &str| std::env::var(name).ok();
    let file = PairFile::read(pair_file, &environment)
        .map_err(|error| LocalError::Pair(crate::chain::chain(&error)))?;
    for (name, flow) in &file.flows {
        if let Some(other) = flow.selection.include().iter().find(|it| !is_canary(it)) {
            return Err(LocalError::No(format!(
                "not drilling unleashed: {name} mirrors {other:?}. An unleashed drill moves applications for real, so it is \
                 for a pair of its own whose flows mirror only topics whose names begin with `{CANARY}`; without \
                 --unleashed nothing is changed"
            )));
        }
    }
    Ok(())
}

/// Whether all that a pattern matches begins with `canary`.
fn is_canary(pattern: &str) -> bool {
    let rest = pattern.strip_prefix(CANARY);
    rest.is_some_and(|rest| !rest.contains('|') && !rest.starts_with(['?', '*', '{']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_with_canary_is_one() {
        for pattern in ["canary", "canary-orders", r"canary\..*", "canary.*"] {
            assert!(is_canary(pattern), "{pattern}");
        }
        for pattern in [
            "orders",
            ".*",
            "canary?.*",
            "canary*",
            "canary|orders",
            "canary{0}x",
            ".*canary",
        ] {
            assert!(!is_canary(pattern), "{pattern}");
        }
    }
}
