//! What applications are moved by.

use understudy_aws::{SecretFacts, ServiceFacts};
use understudy_recovery::Alias;
use understudy_recovery::pair::Fencing;

use super::Told;
use crate::check_aws::finding::Finding;

const MAKE: &str = "recoveries need it: make it, or correct the pair";

/// What keeps a planned move from leaving a cluster that answers; a failover asks for none of it.
pub fn closable(fencing: &Fencing, cluster: &Alias) -> Option<Finding> {
    let missing = fencing.can_close(cluster).err()?;
    let found =
        format!("applications cannot be moved away from {cluster} while it answers: {missing}");
    let advice = "docs/recovery.md#the-pair-file; a failover goes on without";
    Some(Finding::warning("planned moves", found, advice))
}

/// An application's service in ECS; how many tasks run is its own affair.
pub fn service(what: &str, service: &str, told: &Told<ServiceFacts>) -> Finding {
    match told {
        Ok(it) if it.status == "ACTIVE" => {
            let found = format!(
                "service {service}, {} of {} tasks run",
                it.running, it.wanted
            );
            Finding::ok(what, found)
        }
        Ok(it) => {
            let found = format!("service {service}: its status is {}", it.status);
            Finding::fails(what, found, MAKE)
        }
        Err(error) => Finding::of_error(what, error, MAKE),
    }
}

/// An event source mapping of a Lambda.
pub fn mapping(what: &str, mapping: &str, told: &Told<String>) -> Finding {
    match told {
        Ok(state) => Finding::ok(what, format!("event source mapping {mapping}, {state}")),
        Err(error) => Finding::of_error(what, error, MAKE),
    }
}

/// A secret that clients read, or from which that has its value.
pub fn secret(what: &str, secret: &str, told: &Told<SecretFacts>) -> Finding {
    match told {
        Ok(it) if it.deleted => Finding::fails(
            what,
            format!("secret {secret} is to be deleted"),
            "aws secretsmanager restore-secret",
        ),
        Ok(_) => Finding::ok(what, format!("secret {secret}")),
        Err(error) => Finding::of_error(what, error, MAKE),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::Standing;

    #[test]
    fn a_cluster_that_no_planned_move_could_leave_is_named()
    -> Result<(), Box<dyn std::error::Error>> {
        let (use1, login) = (
            Alias::new("use1")?,
            BTreeMap::from([(String::new(), String::new())]),
        );
        let mut fencing = Fencing::default();
        let standing = |fencing: &Fencing| closable(fencing, &use1).map(|it| it.standing);
        assert_eq!(standing(&fencing), Some(Standing::Warning));
        fencing.writers = vec!["User:shop".to_owned()];
        assert_eq!(standing(&fencing), Some(Standing::Warning));
        fencing.proof = BTreeMap::from([(use1.clone(), login)]);
        assert_eq!(standing(&fencing), None);
        Ok(())
    }

    #[test]
    fn what_is_being_taken_away_is_nothing_to_move_to() {
        let of = |status: &str| {
            let facts = ServiceFacts {
                status: status.to_owned(),
                ..ServiceFacts::default()
            };
            service("application shop", "apps/shop", &Ok(facts)).standing
        };
        // At rest beside the standby.
        assert_eq!(of("ACTIVE"), Standing::Ok);
        assert_eq!(of("INACTIVE"), Standing::Fails);
        let of = |deleted| {
            let facts = SecretFacts {
                deleted,
                ..SecretFacts::default()
            };
            secret("application shop", "shop/kafka", &Ok(facts)).standing
        };
        assert_eq!(of(false), Standing::Ok);
        assert_eq!(of(true), Standing::Fails);
    }
}
