//! What applications are moved by.

use understudy_aws::{SecretFacts, ServiceFacts};

use super::Told;
use crate::check_aws::finding::Finding;

const MAKE: &str = "recoveries need it: make it, or correct the pair";

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
    use super::*;
    use crate::check::Standing;

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
