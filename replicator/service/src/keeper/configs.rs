//! Topic configs: one pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::{SettingsMade, plan_configs};
use understudy_kafka::Fault;
use understudy_kafka::ffi::configs::Changes;

use super::claim::Claim;
use super::{KeepError, Keeper, WITHIN, some_of};
use crate::catalog::Listing;
use crate::explain::explain;

/// How many topics are changed in one call.
const BATCH: usize = 100;
/// How long until a value is tried again that the target refused.
const AGAIN: Duration = Duration::from_secs(600);

/// Values that the target refused, by topic and key.
pub(super) type Refused = BTreeMap<(String, String), Refusal>;

/// One of them.
pub(super) struct Refusal {
    value: Option<String>,
    at: Instant,
    reason: String,
}

/// What one look at both sides found.
struct Look {
    changes: Changes,
    next: SettingsMade,
    warnings: Vec<String>,
    unknown: usize,
}

impl Keeper {
    /// Brings the configs of every mirrored topic's copy in line; what somebody should look at.
    pub(super) fn keep_configs(
        &mut self,
        made: &mut SettingsMade,
    ) -> Result<Vec<String>, KeepError> {
        let listing = self.catalog.listing();
        let mut look = self.compare(&listing, made)?;
        self.leave_out_other_lives(&listing, made, &mut look)?;
        let mut warnings = look.warnings;
        if !look.changes.is_empty() || look.next != *made {
            self.carry_out(made, &look.changes, look.next, &mut warnings)?;
        }
        for ((topic, key), refusal) in &self.refused {
            warnings.push(format!(
                "the target refuses {key} of topic {topic}: {}; change it on the source, or add it to mirror.config_exclude",
                refusal.reason
            ));
        }
        self.board.hold().settings.configs_refused = self.refused.len() + look.unknown;
        Ok(some_of(warnings, "about topic configs"))
    }

    /// Not of topics that were made again while what becomes of their copies is not decided: these stay as they are.
    fn compare(&mut self, listing: &Listing, made: &SettingsMade) -> Result<Look, KeepError> {
        let decided = listing.topics.iter();
        let copies: BTreeMap<String, &str> = decided
            .filter(|(_, listed)| !listed.life.undecided)
            .map(|(topic, listed)| (listed.life.copy(topic, &self.flow.policy), &**topic))
            .collect();
        let names: Vec<&str> = copies.values().copied().collect();
        let source = self
            .source
            .topics_configs(&names, WITHIN)
            .map_err(KeepError::Source)?;
        // What we made on topics that are not mirrored any more, to forget it once they are gone.
        let on_target: BTreeSet<&str> = copies
            .keys()
            .chain(made.configs.keys())
            .map(String::as_str)
            .collect();
        let names: Vec<&str> = on_target.into_iter().collect();
        let target = self
            .target
            .topics_configs(&names, WITHIN)
            .map_err(KeepError::Target)?;
        let now = Instant::now();
        self.refused.retain(|(topic, _), refusal| {
            copies.contains_key(topic) && now.saturating_duration_since(refusal.at) < AGAIN
        });
        let nothing = BTreeMap::new();
        let mut look = Look {
            changes: Changes::new(),
            next: made.clone(),
            warnings: Vec::new(),
            unknown: 0,
        };
        for (copy, topic) in &copies {
            let (there, here) = match (source.get(*topic), target.get(copy)) {
                (Some(Ok(there)), Some(Ok(here))) => (there, here),
                (Some(Err(fault)), _) => {
                    if !is_gone(fault) {
                        look.warnings.push(explain(&self.flow.source, fault));
                    }
                    continue;
                }
                (_, Some(Err(fault))) => {
                    if !is_gone(fault) {
                        look.warnings.push(explain(&self.flow.target, fault));
                    }
                    continue;
                }
                (None, _) | (_, None) => continue,
            };
            let remembered = made.configs.get(copy).unwrap_or(&nothing);
            let mut plan = self
                .flow
                .settings
                .with_config_rules(|rules| plan_configs(there, here, remembered, rules));
            for key in &plan.unknown {
                look.warnings.push(format!(
                    "the target has no config {key}, which topic {topic} sets on the source; \
                     its Kafka is older, or add the key to mirror.config_exclude"
                ));
            }
            look.unknown += plan.unknown.len();
            let refused = &mut self.refused;
            refused.retain(|(topic, key), refusal| {
                topic != copy || plan.changes.get(key) == Some(&refusal.value)
            });
            plan.changes
                .retain(|key, _| !refused.contains_key(&(copy.clone(), key.clone())));
            if !plan.changes.is_empty() {
                look.changes.insert(copy.clone(), plan.changes);
            }
            if plan.remember.is_empty() {
                look.next.configs.remove(copy);
            } else {
                look.next.configs.insert(copy.clone(), plan.remember);
            }
        }
        for copy in made.configs.keys() {
            if !copies.contains_key(copy)
                && matches!(target.get(copy), Some(Err(fault)) if is_gone(fault))
            {
                look.next.configs.remove(copy);
            }
        }
        Ok(look)
    }

    /// Takes back what was found of topics that were made again since they were listed: their configs are those of other
    /// topics than the one that was copied.
    fn leave_out_other_lives(
        &self,
        listing: &Listing,
        made: &SettingsMade,
        look: &mut Look,
    ) -> Result<(), KeepError> {
        let changed = listing.topics.iter().filter_map(|(topic, listed)| {
            let copy = listed.life.copy(topic, &self.flow.policy);
            let id = listed.id.as_deref()?;
            let is_changed = look.changes.contains_key(&copy);
            is_changed.then_some((copy, &**topic, id))
        });
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() {
            return Ok(());
        }
        let names = changed.iter().map(|(_, topic, _)| *topic);
        let now = self
            .source
            .topic_ids(names, WITHIN)
            .map_err(KeepError::Source)?;
        for (copy, topic, id) in &changed {
            if now.get(*topic).is_some_and(|now| now == id) {
                continue;
            }
            self.catalog.doubt();
            look.changes.remove(copy);
            match made.configs.get(copy) {
                Some(before) => look.next.configs.insert(copy.clone(), before.clone()),
                None => look.next.configs.remove(copy),
            };
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        made: &mut SettingsMade,
        changes: &Changes,
        mut next: SettingsMade,
        warnings: &mut Vec<String>,
    ) -> Result<(), KeepError> {
        let mut claim = Claim::take(&self.target, &self.flow, made)?;
        let mut ahead = next.clone();
        for (topic, keys) in &made.configs {
            let ours = ahead.configs.entry(topic.clone()).or_default();
            for (key, value) in keys {
                ours.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        claim.remember(made, ahead)?;
        let all: Vec<_> = changes.iter().collect();
        for some in all.chunks(BATCH) {
            claim.still()?;
            let some: Changes = some
                .iter()
                .map(|(topic, keys)| ((*topic).clone(), (*keys).clone()))
                .collect();
            let refused = self
                .target
                .change_configs(&some, WITHIN)
                .map_err(KeepError::Target)?;
            for (topic, keys) in &some {
                let Some(fault) = refused.get(topic) else {
                    self.metrics
                        .config_changes
                        .inc_by(u64::try_from(keys.len()).unwrap_or_default());
                    tracing::info!(topic, keys = %told(keys), "topic configs changed on the target");
                    continue;
                };
                let failed: Vec<String> = if matches!(fault, Fault::Denied { .. }) {
                    warnings.push(explain(&self.flow.target, fault));
                    keys.keys().cloned().collect()
                } else {
                    claim.still()?;
                    let refusals = self.one_by_one(topic, keys)?;
                    let failed = refusals.keys().map(|(_, key)| key.clone()).collect();
                    self.refused.extend(refusals);
                    failed
                };
                // What could not be deleted is still there, and ours.
                for key in failed {
                    if let Some(value) = made.configs.get(topic).and_then(|set| set.get(&key)) {
                        next.configs
                            .entry(topic.clone())
                            .or_default()
                            .entry(key)
                            .or_insert_with(|| value.clone());
                    }
                }
            }
        }
        claim.remember(made, next)
    }

    /// A topic's changes are made together or not at all; this finds those that stand in the way of the others.
    fn one_by_one(
        &self,
        topic: &str,
        keys: &BTreeMap<String, Option<String>>,
    ) -> Result<Refused, KeepError> {
        let mut refusals = Refused::new();
        for (key, value) in keys {
            let one = BTreeMap::from([(key.clone(), value.clone())]);
            let refused = self
                .target
                .change_configs(&Changes::from([(topic.to_owned(), one)]), WITHIN)
                .map_err(KeepError::Target)?;
            let Some(fault) = refused.get(topic) else {
                self.metrics.config_changes.inc();
                tracing::info!(topic, keys = %key, "topic configs changed on the target");
                continue;
            };
            let reason = match fault {
                Fault::Kafka { reason, .. } => reason.clone(),
                other => other.to_string(),
            };
            let refusal = Refusal {
                value: value.clone(),
                at: Instant::now(),
                reason,
            };
            refusals.insert((topic.to_owned(), key.clone()), refusal);
        }
        Ok(refusals)
    }
}

fn is_gone(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Kafka {
            code: Some(RDKafkaErrorCode::UnknownTopicOrPartition),
            ..
        }
    )
}

fn told(keys: &BTreeMap<String, Option<String>>) -> String {
    keys.iter()
        .map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => format!("{key} deleted"),
        })
        .collect::<Vec<_>>()
        .join(" ")
}
