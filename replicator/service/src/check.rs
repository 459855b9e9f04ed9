//! `understudy check`: whether everything holds that a flow needs, before anything runs.
//!
//! a. It changes nothing on either cluster: it describes, lists and reads; whether a topic could be made is asked with
//!    `validate_only`.
//! b. What it could not find out is *unknown*, never *ok*; unknown does not fail the check.
//! c. Every call has a time limit, and so has the whole.

mod facts;
mod finding;
mod fit;
mod history;
mod reach;
mod rights;
mod wanted;

use std::time::{Duration, Instant};
use understudy_domain::words::limit;

use understudy_domain::permissions::End;

use crate::check::facts::Facts;
pub use crate::check::finding::Preflight;
pub use crate::check::finding::Standing;
use crate::check::finding::{Finding, Findings};
use crate::config::Flow;
use crate::tool::ToolError;

/// Time limit of one call.
const CALL: Duration = Duration::from_secs(10);

/// How long a look may take.
#[derive(Clone, Copy)]
pub struct Limits {
    deadline: Instant,
}

impl Limits {
    /// What one call may take now.
    fn call(self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.min(CALL).max(Duration::from_millis(100))
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// Looks at both clusters, for at most about `within`.
///
/// # Errors
/// None: what cannot be reached is a finding. The type is that of the other tools.
pub fn run(flow: &Flow, within: Duration) -> Result<Preflight, ToolError> {
    let limits = Limits {
        deadline: Instant::now() + within,
    };
    let mut findings = Findings::default();
    // Both ends at once: each is mostly waited for.
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| reach::look(&flow.source, End::Source, limits));
        let target = reach::look(&flow.target, End::Target, limits);
        (source.join(), target)
    });
    // A panic in it was already reported.
    let (mut source, seen) = source.unwrap_or_default();
    findings.extend(seen);
    let (mut target, seen) = target;
    findings.extend(seen);
    let wanted = wanted::wanted(flow, source.as_ref(), limits, &mut findings);
    std::thread::scope(|scope| {
        if let Some(facts) = source.as_mut() {
            scope.spawn(|| facts.describe_source(flow, &wanted, limits));
        }
        if let Some(facts) = target.as_mut() {
            facts.describe_target(flow, &wanted, limits);
        }
    });
    let needs = wanted::needs(flow);
    for (end, facts) in [(End::Source, &source), (End::Target, &target)] {
        rights::judge(flow, end, facts.as_ref(), &wanted, &needs, &mut findings);
    }
    if let (Some(source), Some(target)) = (&source, &target) {
        differ(flow, source, target, &mut findings);
        fit::judge(flow, source, target, &wanted, limits, &mut findings);
        history::judge(flow, source, target, &wanted, limits, &mut findings);
    }
    if target.is_some() {
        findings.add(Finding::unknown(
            End::Target,
            "clock and disk",
            "brokers tell their time and their free disk only through calls that the client library lacks; watch both in the cluster's own metrics",
        ));
    }
    if limits.is_over() {
        findings.add(Finding::warning(
            End::Target,
            "time limit",
            format!(
                "the check took its whole {}; what came late is unknown",
                limit(within)
            ),
            "raise --timeout",
        ));
    }
    Ok(Preflight::new(flow, &needs, findings))
}

/// Source and target must be two clusters.
fn differ(flow: &Flow, source: &Facts, target: &Facts, findings: &mut Findings) {
    let (Some(source_id), Some(target_id)) = (&source.id, &target.id) else {
        return;
    };
    findings.add(
        match crate::flow_record::must_differ(flow, source_id, target_id) {
            Ok(()) => Finding::ok(
                End::Target,
                "cluster ids",
                format!("they differ: source {source_id}, target {target_id}"),
            ),
            Err(error) => Finding::fails(
                End::Target,
                "cluster ids",
                error.to_string(),
                "point source and target at two clusters",
            ),
        },
    );
}
