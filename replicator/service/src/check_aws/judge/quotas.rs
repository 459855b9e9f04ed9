//! How much more an account may have.

use understudy_aws::Quota;

use super::Told;
use crate::check_aws::finding::Finding;

/// A recovery has few functions at work at once, and an outage makes others of the account busy too. New accounts begin with
/// ten in all.
const FUNCTIONS_LEAST: i32 = 50;
/// As many policies as CloudWatch Logs takes in a Region; it cannot be raised.
const LOG_POLICIES_MOST: usize = 10;
const VCPUS: &str = "Fargate vCPUs";
const LOOK: &str = "look in Service Quotas, in both Regions, whether the standby's takes what runs beside the active cluster";
const RAISE: &str = "ask for more in Service Quotas, in this Region";

/// How many functions may be at work at once here.
pub fn functions_at_once(told: &Told<Option<i32>>) -> Finding {
    let what = "functions at once";
    match told {
        Ok(Some(limit)) if *limit < FUNCTIONS_LEAST => {
            let found = format!(
                "{limit} in all, those of others of this account included: a recovery may have to wait for them"
            );
            Finding::warning(what, found, RAISE)
        }
        Ok(Some(limit)) => Finding::ok(what, format!("{limit}, with others of this account")),
        Ok(None) => Finding::unknown(what, "AWS tells no limit"),
        Err(error) => Finding::of_error(what, error, RAISE),
    }
}

/// Policies of CloudWatch Logs: each pair with workers needs one.
pub fn log_policies(told: &Told<usize>) -> Finding {
    let what = "policies of logs";
    match told {
        Ok(there) if *there >= LOG_POLICIES_MOST => {
            let found = format!(
                "{there} of {LOG_POLICIES_MOST}: no other pair with workers can be deployed here"
            );
            let advice = "delete what nobody needs: aws logs describe-resource-policies";
            Finding::warning(what, found, advice)
        }
        Ok(there) => Finding::ok(what, format!("{there} of {LOG_POLICIES_MOST}")),
        Err(error) => Finding::of_error(what, error, RAISE),
    }
}

/// Nobody can tell which Region's is to find room in the other.
pub fn vcpus_unknown() -> Finding {
    Finding {
        advice: Some(LOOK.to_owned()),
        ..Finding::unknown(
            VCPUS,
            "which Region's are to find room in the other is not known: nor is the ledger",
        )
    }
}

/// Whether what runs beside the active cluster would fit beside the standby too. It need not all move; but what fits by far
/// needs no thought on the night.
pub fn vcpus(active: (&str, &Told<Quota>), standby: (&str, &Told<Quota>)) -> Finding {
    let what = VCPUS;
    let ((there, of_active), (here, of_standby)) = (active, standby);
    let (moves, may) = match (of_active, of_standby) {
        (Ok(moves), Ok(may)) => (moves, may),
        (Err(error), _) | (_, Err(error)) => {
            return Finding {
                advice: Some(LOOK.to_owned()),
                ..Finding::unknown(what, error.text.clone())
            };
        }
    };
    // Nothing runs where nothing is told: AWS tells of use as soon as there is some.
    let (runs_there, runs_here) = (moves.used.unwrap_or(0.0), may.used.unwrap_or(0.0));
    let left = may.limit - runs_here;
    let found = format!(
        "{here} has {left} of {} left, and {runs_there} are used in {there}",
        may.limit
    );
    if left < runs_there {
        let found = format!("{found}: what runs there does not all fit");
        return Finding::warning(what, found, RAISE);
    }
    Finding::ok(what, found)
}

#[cfg(test)]
mod tests {
    use understudy_shell::{PortError, PortErrorKind};

    use super::*;
    use crate::check::Standing;

    #[test]
    fn what_runs_beside_the_active_cluster_fits_beside_the_standby_or_somebody_is_told() {
        let judged = |used_there, limit, used_here| {
            let there = Ok(Quota {
                limit: 100.0,
                used: used_there,
            });
            let here = Ok(Quota {
                limit,
                used: used_here,
            });
            vcpus(("us-east-1", &there), ("us-west-2", &here)).standing
        };
        assert_eq!(judged(Some(20.0), 30.0, Some(2.0)), Standing::Ok);
        assert_eq!(judged(Some(20.0), 21.0, Some(2.0)), Standing::Warning);
        assert_eq!(judged(None, 6.0, None), Standing::Ok);
        let silent = Err(PortError::new(PortErrorKind::NotPermitted, "no"));
        let judged = vcpus(("us-east-1", &silent), ("us-west-2", &silent));
        assert_eq!(judged.standing, Standing::Unknown);
    }

    #[test]
    fn a_new_account_s_ten_functions_are_told_and_so_is_the_last_policy() {
        assert_eq!(functions_at_once(&Ok(Some(10))).standing, Standing::Warning);
        assert_eq!(functions_at_once(&Ok(Some(1_000))).standing, Standing::Ok);
        assert_eq!(functions_at_once(&Ok(None)).standing, Standing::Unknown);
        assert_eq!(log_policies(&Ok(9)).standing, Standing::Ok);
        assert_eq!(log_policies(&Ok(10)).standing, Standing::Warning);
    }
}
