//! What was found of a deployed pair, for people and for machines.

use std::fmt;

use serde::Serialize;
use understudy_shell::{PortError, PortErrorKind};

use crate::Report;
use crate::check::Standing;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub standing: Standing,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    /// It holds.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(Standing::Ok, what, found, None)
    }

    /// It could not be found out.
    pub fn unknown(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(Standing::Unknown, what, found, None)
    }

    /// It holds, and somebody should know.
    pub fn warning(what: impl Into<String>, found: impl Into<String>, advice: &str) -> Self {
        Self::new(Standing::Warning, what, found, Some(advice))
    }

    /// It does not hold.
    pub fn fails(what: impl Into<String>, found: impl Into<String>, advice: &str) -> Self {
        Self::new(Standing::Fails, what, found, Some(advice))
    }

    /// What an error says: what is not there does not hold; what may not be seen, or does not answer, is not known.
    pub fn of_error(what: impl Into<String>, error: &PortError, advice: &str) -> Self {
        match error.kind {
            PortErrorKind::Missing => Self::fails(what, error.text.clone(), advice),
            _ => Self::unknown(what, error.text.clone()),
        }
    }

    /// The same of what no recovery can do without: that it does not answer, or not so that it can be read, does not
    /// hold either.
    pub fn of_silence(what: impl Into<String>, error: &PortError, advice: &str) -> Self {
        // AWS's own code stands in the text: it answered, only not as often as it was asked.
        let throttled = ["Throttl", "TooManyRequests", "RequestLimit", "SlowDown"];
        let throttled = throttled.iter().any(|code| error.text.contains(code));
        match error.kind {
            PortErrorKind::Unreachable | PortErrorKind::TimedOut | PortErrorKind::Malformed
                if !throttled =>
            {
                Self::fails(what, error.text.clone(), advice)
            }
            _ => Self::of_error(what, error, advice),
        }
    }

    fn new(
        standing: Standing,
        what: impl Into<String>,
        found: impl Into<String>,
        advice: Option<&str>,
    ) -> Self {
        Self {
            standing,
            what: what.into(),
            found: found.into(),
            advice: advice.map(str::to_owned),
        }
    }
}

/// What was found in one place.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// Which: `us-west-2, usw2, stands by`.
    pub place: String,
    /// What.
    pub findings: Vec<Finding>,
}

/// The report.
#[derive(Serialize)]
pub struct Readiness {
    pair: String,
    holds: bool,
    places: Vec<Place>,
}

impl Readiness {
    /// The report over what was found.
    pub fn new(pair: &str, places: Vec<Place>) -> Self {
        let holds = (places.iter().flat_map(|place| &place.findings))
            .all(|finding| finding.standing != Standing::Fails);
        Self {
            pair: pair.to_owned(),
            holds,
            places,
        }
    }

    fn count(&self, standing: Standing) -> usize {
        (self.places.iter().flat_map(|place| &place.findings))
            .filter(|finding| finding.standing == standing)
            .count()
    }
}

impl Report for Readiness {
    fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.places {
            writeln!(f, "{}", place.place)?;
            for finding in &place.findings {
                let standing = finding.standing.name();
                write!(f, "  {standing:7}  {}: {}", finding.what, finding.found)?;
                match &finding.advice {
                    Some(advice) => writeln!(f, "; {advice}")?,
                    None => writeln!(f)?,
                }
            }
            writeln!(f)?;
        }
        let verdict = if self.holds {
            "nothing is known that keeps it from a failover"
        } else {
            "NOT READY FOR A FAILOVER"
        };
        write!(
            f,
            "pair {}: {verdict}; {} fail, {} warn, {} unknown",
            self.pair,
            self.count(Standing::Fails),
            self.count(Standing::Warning),
            self.count(Standing::Unknown)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_fails_and_what_may_not_be_seen_is_unknown() {
        let of = |kind, text: &str| {
            let error = PortError::new(kind, text);
            Finding::of_silence("control plane", &error, "look").standing
        };
        let silent = "no answer within 7 s";
        assert_eq!(of(PortErrorKind::TimedOut, silent), Standing::Fails);
        assert_eq!(of(PortErrorKind::Unreachable, silent), Standing::Fails);
        assert_eq!(of(PortErrorKind::Missing, "none"), Standing::Fails);
        let throttled = "looking: ThrottlingException: Rate exceeded";
        assert_eq!(of(PortErrorKind::Unreachable, throttled), Standing::Unknown);
        for kind in [PortErrorKind::NotPermitted, PortErrorKind::Refused] {
            assert_eq!(of(kind, "not asked"), Standing::Unknown);
        }
    }
}
