//! What a check found, for people and for machines.

use std::fmt;

use serde::Serialize;
use understudy_domain::grants::{MskCluster, acl_commands, iam_statements};
use understudy_domain::permissions::{End, Need};

use crate::Report;
use crate::config::Flow;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It holds.
    Ok,
    /// It could not be found out.
    Unknown,
    /// It holds, and somebody should know.
    Warning,
    /// It does not hold.
    Fails,
}

impl Standing {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Fails => "fails",
        }
    }
}

/// A permission that is missing, by its parts.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// The operation, like `DESCRIBE_CONFIGS`.
    pub operation: &'static str,
    /// `topic`, `group`, `transactional id` or `cluster`.
    pub resource: &'static str,
    /// The things that it is missing on.
    pub names: Vec<String>,
    /// Who lacks it.
    pub principal: String,
}

/// One line of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    #[serde(serialize_with = "end_name")]
    end: End,
    standing: Standing,
    /// What was looked at.
    what: String,
    /// What was found.
    found: String,
    /// What to do.
    advice: Option<String>,
    /// The permission that is missing, if that is it.
    missing: Option<Missing>,
    /// Which needs of the flow are not met, or may not be.
    #[serde(skip)]
    needs: Vec<usize>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
fn end_name<S: serde::Serializer>(end: &End, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(end.name())
}

impl Finding {
    fn new(end: End, standing: Standing, what: &str, found: String, advice: Option<&str>) -> Self {
        Self {
            end,
            standing,
            what: what.to_owned(),
            found,
            advice: advice.map(str::to_owned),
            missing: None,
            needs: Vec::new(),
        }
    }

    /// It holds.
    pub fn ok(end: End, what: &str, found: impl Into<String>) -> Self {
        Self::new(end, Standing::Ok, what, found.into(), None)
    }

    /// It could not be found out.
    pub fn unknown(end: End, what: &str, found: impl Into<String>) -> Self {
        Self::new(end, Standing::Unknown, what, found.into(), None)
    }

    /// It holds, and somebody should know.
    pub fn warning(end: End, what: &str, found: impl Into<String>, advice: &str) -> Self {
        Self::new(end, Standing::Warning, what, found.into(), Some(advice))
    }

    /// It does not hold.
    pub fn fails(end: End, what: &str, found: impl Into<String>, advice: &str) -> Self {
        Self::new(end, Standing::Fails, what, found.into(), Some(advice))
    }

    /// With the permission that is missing, of the need at `index`.
    pub fn lacking(mut self, missing: Missing, index: usize) -> Self {
        self.missing = Some(missing);
        self.about([index])
    }

    /// With the needs that it leaves open.
    pub fn about(mut self, needs: impl IntoIterator<Item = usize>) -> Self {
        self.needs.extend(needs);
        self
    }
}

/// What was found so far.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Notes one.
    pub fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Notes several.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }
}

/// The commands that grant what is missing on one cluster, and what could not be told beside it: whoever lacks much
/// may see little.
#[derive(Serialize)]
struct Grants {
    #[serde(serialize_with = "end_name")]
    end: End,
    principal: String,
    kafka_acls: Vec<String>,
    /// For clusters that are reached with MSK's IAM.
    iam_statements: Vec<serde_json::Value>,
}

/// A check's report.
#[derive(Serialize)]
pub struct Preflight {
    flow: String,
    source: String,
    target: String,
    holds: bool,
    findings: Vec<Finding>,
    grants: Vec<Grants>,
}

impl Preflight {
    /// The report over `findings`, with the commands that grant what is missing of `needs`.
    pub fn new(flow: &Flow, needs: &[Need], Findings(mut findings): Findings) -> Self {
        findings.sort_by_key(|finding| finding.end);
        let grants = [(End::Source, &flow.source), (End::Target, &flow.target)]
            .into_iter()
            .filter_map(|(end, endpoint)| {
                let here = || findings.iter().filter(|finding| finding.end == end);
                if !here().any(|finding| finding.missing.is_some()) {
                    return None;
                }
                let missing: Vec<&Need> = here()
                    .flat_map(|finding| &finding.needs)
                    .filter_map(|need| needs.get(*need))
                    .collect();
                let principal = endpoint.principal();
                let commands = acl_commands(missing.iter().copied());
                let iam = endpoint.uses_msk_iam().then(|| {
                    let cluster = MskCluster::from_bootstrap(&endpoint.bootstrap());
                    iam_statements(missing.iter().copied(), &cluster)
                });
                Some(Grants {
                    end,
                    kafka_acls: match iam {
                        // ACLs do not bind principals of IAM.
                        Some(_) => Vec::new(),
                        None => commands
                            .iter()
                            .map(|command| command.line(&endpoint.bootstrap(), &principal))
                            .collect(),
                    },
                    iam_statements: iam.unwrap_or_default(),
                    principal,
                })
            })
            .collect();
        Self {
            flow: flow.name.to_string(),
            source: flow.source.alias.clone(),
            target: flow.target.alias.clone(),
            holds: findings
                .iter()
                .all(|finding| finding.standing != Standing::Fails),
            findings,
            grants,
        }
    }

    fn count(&self, standing: Standing) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.standing == standing)
            .count()
    }
}

impl Report for Preflight {
    fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (end, alias) in [(End::Source, &self.source), (End::Target, &self.target)] {
            writeln!(f, "{} {alias}", end.name())?;
            for finding in self.findings.iter().filter(|finding| finding.end == end) {
                write!(
                    f,
                    "  {:7}  {}: {}",
                    finding.standing.name(),
                    finding.what,
                    finding.found
                )?;
                match &finding.advice {
                    Some(advice) => writeln!(f, "; {advice}")?,
                    None => writeln!(f)?,
                }
            }
            writeln!(f)?;
        }
        for grants in &self.grants {
            writeln!(
                f,
                "to grant {} what it lacks on the {}, and what could not be told:",
                grants.principal,
                grants.end.name()
            )?;
            for line in &grants.kafka_acls {
                writeln!(f, "  {line}")?;
            }
            if !grants.iam_statements.is_empty() {
                let text = serde_json::to_string_pretty(&grants.iam_statements);
                writeln!(f, "{}", text.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        let (fails, warnings) = (self.count(Standing::Fails), self.count(Standing::Warning));
        let verdict = if self.holds {
            "it holds"
        } else {
            "IT DOES NOT HOLD"
        };
        write!(
            f,
            "flow {}: {verdict}; {fails} fail, {warnings} warn, {} unknown",
            self.flow,
            self.count(Standing::Unknown)
        )
    }
}
