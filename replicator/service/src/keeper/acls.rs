//! ACLs: one pass.

use std::collections::BTreeSet;

use understudy_domain::{Acl, AclPlan, AclRules, FirstAcl, SettingsMade, plan_acls};
use understudy_kafka::{Endpoint, Fault};

use super::claim::Claim;
use super::{KeepError, Keeper, WITHIN, some_of};
use crate::explain::explain;

impl Keeper {
    /// Brings the ACLs of mirrored topics, of groups and of transactional ids in line; what somebody should look at.
    pub(super) fn keep_acls(&mut self, made: &mut SettingsMade) -> Result<Vec<String>, KeepError> {
        let source = self.source.acls(WITHIN).map_err(KeepError::Source)?;
        let target = self.target.acls(WITHIN).map_err(KeepError::Target)?;
        // An empty answer may be a refusal. To take it for "there are none" would remove what we added, or forget it.
        if source.silent {
            return Ok(vec![silent(&self.flow.source)]);
        }
        let may_begin = self.flow.settings.first_acl == FirstAcl::Allow && made.acls.is_empty();
        if target.silent && !may_begin {
            return Ok(vec![silent(&self.flow.target)]);
        }
        let source_topics: BTreeSet<String> = self
            .source
            .topics(WITHIN)
            .map_err(KeepError::Source)?
            .into_iter()
            .map(|topic| topic.name)
            .collect();
        let open = self.is_open();
        let settings = &self.flow.settings;
        let plan = plan_acls(
            &source.known,
            &target.known,
            &made.acls,
            &AclRules {
                policy: &self.flow.policy,
                principals: &settings.principals,
                write: settings.acl_write,
                first: settings.first_acl,
                open,
                selects_topic: &|topic| self.flow.selects(topic),
                selects_group: &|name| settings.selects_group(name),
                source_topics: &source_topics,
            },
        );
        {
            let mut board = self.board.hold();
            board.settings.acls_withheld = plan.withheld.len();
            board.settings.acls_refused =
                plan.refused.len() + plan.kept.len() + plan.partial.len() + source.unknown;
        }
        let mut warnings = told(&plan);
        if source.unknown > 0 {
            warnings.push(format!(
                "{} ACLs of the source have an operation or pattern that this version does not know",
                source.unknown
            ));
        }
        if !plan.is_empty() || plan.withheld != made.withheld {
            self.carry_out_acls(made, &plan, &mut warnings)?;
        }
        Ok(some_of(warnings, "about ACLs"))
    }

    /// Whether a resource without ACLs is, or may be, open to everyone on the target. Looked up once.
    fn is_open(&mut self) -> bool {
        *self
            .open
            .get_or_insert_with(|| match self.target.admits_everyone(WITHIN) {
                Ok(answer) => answer.unwrap_or(true),
                Err(fault) => {
                    tracing::debug!(%fault, "the brokers do not tell whom they admit without ACLs");
                    true
                }
            })
    }

    fn carry_out_acls(
        &self,
        made: &mut SettingsMade,
        plan: &AclPlan,
        warnings: &mut Vec<String>,
    ) -> Result<(), KeepError> {
        let mut claim = Claim::take(&self.target, &self.flow, made)?;
        let mut next = made.clone();
        next.acls.extend(plan.add.iter().cloned());
        next.acls.retain(|acl| !plan.forget.contains(acl));
        // A recovery grants it when it opens the target; the source may not be there to ask then.
        next.withheld.clone_from(&plan.withheld);
        claim.remember(made, next)?;
        let mut next = made.clone();
        // What is added comes first, so that nobody is locked out in between.
        let add: Vec<&Acl> = plan.add.iter().collect();
        claim.still()?;
        let refused = self
            .target
            .add_acls(&add, WITHIN)
            .map_err(KeepError::Target)?;
        for (acl, _) in &refused {
            next.acls.remove(acl);
        }
        self.tell(&plan.add, &refused, "ACL added to the target", warnings);
        let remove: Vec<&Acl> = plan.remove.iter().collect();
        claim.still()?;
        let refused = self
            .target
            .remove_acls(&remove, WITHIN)
            .map_err(KeepError::Target)?;
        next.acls.retain(|acl| {
            !plan.remove.contains(acl) || refused.iter().any(|(kept, _)| kept == acl)
        });
        self.tell(
            &plan.remove,
            &refused,
            "ACL removed from the target",
            warnings,
        );
        claim.remember(made, next)
    }

    fn tell(
        &self,
        asked: &BTreeSet<Acl>,
        refused: &[(Acl, Fault)],
        what: &'static str,
        warnings: &mut Vec<String>,
    ) {
        for acl in asked {
            match refused.iter().find(|(other, _)| other == acl) {
                None => {
                    self.metrics.acl_changes.inc();
                    tracing::info!(%acl, "{what}");
                }
                Some((_, fault)) => warnings.push(explain(&self.flow.target, fault)),
            }
        }
    }
}

/// What of a plan somebody should look at. What is withheld on purpose is a metric.
fn told(plan: &AclPlan) -> Vec<String> {
    let mut warnings = Vec::new();
    for acl in &plan.refused {
        warnings.push(format!(
            "not added: {acl}. The target may have no ACL on that resource yet, and the first one shuts out \
             everybody whom it does not name; add the ACLs that its users need by hand, or set mirror.first_acl = \"allow\""
        ));
    }
    for acl in &plan.kept {
        warnings.push(format!(
            "not removed: {acl}, which the source no longer has. It is the last ACL on that resource, and without \
             any the target may let everybody in; add one by hand, and it goes"
        ));
    }
    for acl in &plan.partial {
        warnings.push(format!(
            "not mirrored: {acl}. Its pattern takes in topics that this flow leaves out; \
             add what is needed on the target by hand"
        ));
    }
    warnings
}

fn silent(end: &Endpoint) -> String {
    format!(
        "cluster {} tells of no ACL at all: it has no authorizer, or it does not let {} see them, which needs DESCRIBE \
         on the cluster, or it has none. No ACL is added or removed; if it is to stay so, set mirror.sync_acls = false",
        end.alias,
        end.principal()
    )
}
