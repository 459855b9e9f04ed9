//! ECS services: a flow's workers, and applications that run there. Counts are wanted; that tasks follow is ECS's part.

use aws_sdk_ecs::Client;
use understudy_shell::{PortError, PortErrorKind};

use crate::regions::Regions;

/// ECS services of both Regions.
#[derive(Clone, Debug)]
pub struct EcsServices {
    regions: Regions,
}

/// `cluster/service`.
struct Service<'a> {
    cluster: &'a str,
    name: &'a str,
}

impl EcsServices {
    /// Services, reached through these Regions.
    pub fn new(regions: &Regions) -> Self {
        Self {
            regions: regions.clone(),
        }
    }

    /// Wants so many tasks of a service; 0 stops it.
    ///
    /// # Errors
    /// ECS did not take it, or there is no such service.
    pub fn want(&self, region: &str, service: &str, tasks: u32) -> Result<(), PortError> {
        let at = parse(service)?;
        let call = self
            .client(region)
            .update_service()
            .cluster(at.cluster)
            .service(at.name)
            .desired_count(count(tasks))
            .send();
        let did = format!("wanting {tasks} tasks of {service} in {region}");
        self.regions.session().call(&did, call)?;
        Ok(())
    }

    /// Starts a service's tasks anew, or for the first time. Answers what was done.
    ///
    /// # Errors
    /// ECS did not take it, or there is no such service.
    pub fn deploy(&self, region: &str, service: &str, tasks: u32) -> Result<String, PortError> {
        let before = self.wanted(region, service)?;
        let at = parse(service)?;
        let call = self
            .client(region)
            .update_service()
            .cluster(at.cluster)
            .service(at.name)
            .desired_count(count(tasks))
            .force_new_deployment(true)
            .send();
        let did = format!("deploying {service} in {region} anew");
        self.regions.session().call(&did, call)?;
        Ok(match before {
            0 => format!("service {service} in {region} starts {tasks} tasks"),
            before => format!(
                "service {service} in {region} replaces its {before} tasks by {tasks} new ones"
            ),
        })
    }

    /// How many tasks of a service are wanted.
    ///
    /// # Errors
    /// ECS did not answer, or there is no such service.
    pub fn wanted(&self, region: &str, service: &str) -> Result<u32, PortError> {
        let at = parse(service)?;
        let call = self
            .client(region)
            .describe_services()
            .cluster(at.cluster)
            .services(at.name)
            .send();
        let did = format!("looking at {service} in {region}");
        let answer = self.regions.session().call(&did, call)?;
        let found = answer
            .services()
            .first()
            .filter(|found| found.status() == Some("ACTIVE"));
        let found = found.ok_or_else(|| {
            PortError::new(
                PortErrorKind::Missing,
                format!("{did}: there is no such service; the pair names it as cluster/service"),
            )
        })?;
        Ok(u32::try_from(found.desired_count()).unwrap_or(0))
    }

    fn client(&self, region: &str) -> Client {
        Client::new(&self.regions.config(region))
    }
}

fn parse(service: &str) -> Result<Service<'_>, PortError> {
    let parts = service.split_once('/');
    let (cluster, name) = parts
        .filter(|(cluster, name)| !cluster.is_empty() && !name.is_empty() && !name.contains('/'))
        .ok_or_else(|| {
            PortError::new(
                PortErrorKind::Refused,
                format!("{service:?} is not an ECS cluster and service; write cluster/service"),
            )
        })?;
    Ok(Service { cluster, name })
}

fn count(tasks: u32) -> i32 {
    i32::try_from(tasks).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_cluster() {
        for wrong in ["", "orders", "/orders", "apps/", "apps/orders/more"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let right = parse("apps/orders").map(|it| (it.cluster, it.name)).ok();
        assert_eq!(right, Some(("apps", "orders")));
    }
}
