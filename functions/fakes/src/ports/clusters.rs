//! Clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::{Acl, TopicPartition};
use understudy_recovery::Alias;
use understudy_recovery::health::Layer;
use understudy_shell::world::{Cluster, Clusters, Ends, Presence, Probe};
use understudy_shell::{PortError, PortErrorKind};

use super::{Answer, Ports};
use crate::history::Happened;
use crate::scene::{FakeCluster, Scene};

struct One {
    alias: String,
    ports: Ports,
}

impl Clusters for Ports {
    fn get(&self, alias: &Alias) -> Answer<Arc<dyn Cluster>> {
        Ok(Arc::new(One {
            alias: alias.to_string(),
            ports: self.clone(),
        }))
    }
}

impl One {
    fn look<T>(&self, call: &str, look: impl FnOnce(&mut FakeCluster) -> Answer<T>) -> Answer<T> {
        let of = &self.alias;
        self.ports.look(of, call, |scene| look(scene.cluster(of)))
    }

    fn change_acls(&self, call: &str, acls: &[Acl], added: bool) -> Answer<()> {
        self.ports.change(&self.alias, call, |scene| {
            let word = if added { "add" } else { "remove" };
            for acl in acls {
                self.note(scene, format!("{word} {acl}"));
            }
            scene.happens(Happened::Acls {
                cluster: self.alias.clone(),
                added,
                acls: acls.to_vec(),
            });
            let all = scene.cluster(&self.alias).acls.get_or_insert_default();
            if added {
                all.extend(acls.iter().cloned());
            } else {
                all.retain(|acl| !acls.contains(acl));
            }
            Ok(())
        })
    }

    fn note(&self, scene: &mut Scene, what: String) {
        scene.log.push(format!("{} {what}", self.alias));
    }
}

impl Cluster for One {
    fn probe(&self, _within: Duration) -> Probe {
        match self.look("probe", |_cluster| Ok(())) {
            Ok(()) => Probe {
                cluster_id: Some(self.alias.clone()),
                brokers: Some(1),
                failed: None,
            },
            Err(error) => Probe {
                cluster_id: None,
                brokers: None,
                failed: Some((Layer::Connect, error.text)),
            },
        }
    }

    fn certificate_ends(&self, _within: Duration) -> Option<i64> {
        self.look("certificate_ends", |cluster| Ok(cluster.certificate_ends))
            .ok()
            .flatten()
    }

    fn id(&self, _within: Duration) -> Answer<String> {
        self.look("id", |_cluster| Ok(self.alias.clone()))
    }

    fn ends(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        _within: Duration,
    ) -> Answer<BTreeMap<TopicPartition, Ends>> {
        self.look("ends", |cluster| {
            for partition in &cluster.growing {
                if let Some(ends) = cluster.ends.get_mut(partition) {
                    ends.last_stable += 1;
                    ends.high_watermark += 1;
                }
            }
            let mut ends = cluster.ends.clone();
            ends.retain(|partition, _| partitions.contains(partition));
            Ok(ends)
        })
    }

    fn first_since(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        at_ms: i64,
        _within: Duration,
    ) -> Answer<BTreeMap<TopicPartition, i64>> {
        self.look("first_since", |cluster| {
            let first = |place: &TopicPartition| {
                let times = cluster.written.get(place)?;
                let (_, offset) = times.range(at_ms..).next()?;
                Some((place.clone(), *offset))
            };
            Ok(partitions.iter().filter_map(first).collect())
        })
    }

    fn groups(&self, _within: Duration) -> Answer<BTreeMap<String, Presence>> {
        self.look("groups", |cluster| Ok(cluster.groups.clone()))
    }

    fn places(
        &self,
        groups: &BTreeSet<String>,
        _within: Duration,
    ) -> Answer<BTreeMap<(String, TopicPartition), i64>> {
        self.look("places", |cluster| {
            let mut places = cluster.places.clone();
            places.retain(|(group, _), _| groups.contains(group));
            Ok(places)
        })
    }

    fn commit_places(
        &self,
        transactional_id: &str,
        places: &BTreeMap<(String, TopicPartition), i64>,
        _within: Duration,
    ) -> Answer<()> {
        self.ports.change(&self.alias, "commit_places", |scene| {
            let count = places.len();
            self.note(scene, format!("commit {count} as {transactional_id}"));
            for ((group, partition), offset) in places {
                scene.happens(Happened::Placed {
                    cluster: self.alias.clone(),
                    by_worker: false,
                    group: group.clone(),
                    partition: partition.clone(),
                    offset: *offset,
                });
            }
            scene.cluster(&self.alias).places.extend(places.clone());
            Ok(())
        })
    }

    fn acls(&self, _within: Duration) -> Answer<Vec<Acl>> {
        self.look("acls", |cluster| {
            let none = || PortError::new(PortErrorKind::Missing, "it has no authorizer");
            let acls = cluster.acls.as_ref().ok_or_else(none)?;
            Ok(acls.iter().cloned().collect())
        })
    }

    fn admits_everyone(&self, _within: Duration) -> Answer<Option<bool>> {
        self.look("admits_everyone", |cluster| Ok(cluster.admits_everyone))
    }

    fn add_acls(&self, acls: &[Acl], _within: Duration) -> Answer<()> {
        self.change_acls("add_acls", acls, true)
    }

    fn remove_acls(&self, acls: &[Acl], _within: Duration) -> Answer<()> {
        self.change_acls("remove_acls", acls, false)
    }

    fn open_to_writer(
        &self,
        topics: &BTreeSet<String>,
        _within: Duration,
    ) -> Answer<Option<BTreeSet<String>>> {
        self.ports.look(&self.alias, "open_to_writer", |scene| {
            let open = match scene.life {
                Some(_) if scene.takes_writes(&self.alias) => Some(topics.clone()),
                Some(_) => Some(BTreeSet::new()),
                None => scene.cluster(&self.alias).open_to_writer.clone(),
            };
            Ok(open.map(|open| topics & &open))
        })
    }
}
