//! Flows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::{
    Acl, FlowRecord, FlowState, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_recovery::Epoch;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::tail::{Carried, PlaceOfCut, TailOfPartition, TailSurvey};
use understudy_shell::turn::TailTurn;
use understudy_shell::world::{Begin, Flows, Mirrored, Workers};
use understudy_shell::{PortError, PortErrorKind};

use super::{Answer, Ports};
use crate::history::Happened;
use crate::scene::{FakeFlow, Scene};
use crate::stage;

impl Ports {
    fn flow<T>(
        &self,
        flow: &FlowOfPair,
        call: &str,
        look: impl FnOnce(&mut FakeFlow) -> Answer<T>,
    ) -> Answer<T> {
        self.look(&flow.file, call, |scene| {
            scene.may(flow.target.as_str(), call)?;
            look(scene.flow(&flow.file))
        })
    }

    fn change_flow<T>(
        &self,
        flow: &FlowOfPair,
        call: &str,
        what: String,
        happens: Happened,
        change: impl FnOnce(&mut FakeFlow) -> Answer<T>,
    ) -> Answer<T> {
        self.fuse.write(|| {
            let mut scene = self.scene();
            scene.go_on();
            scene.log.push(format!("{call} {}{what}", flow.file));
            scene.may(&flow.file, call)?;
            scene.may(flow.target.as_str(), call)?;
            let before = scene.flow(&flow.file).record.clone();
            let changed = change(scene.flow(&flow.file))?;
            // A flow that runs already is not told again where to begin.
            let again = before == scene.flow(&flow.file).record;
            if !(again && matches!(happens, Happened::Begun { .. })) {
                scene.happens(happens);
            }
            Ok(changed)
        })
    }
}

/// A newer epoch holds it.
fn not_newer(record: &FlowRecord, epoch: Epoch) -> Answer<()> {
    if record.epoch > epoch.get() {
        let text = format!("it is at epoch {}", record.epoch);
        return Err(PortError::new(PortErrorKind::Conflict, text));
    }
    Ok(())
}

/// What the source of a flow holds beyond where it stands, and which records these are.
fn tails(scene: &mut Scene, flow: &FlowOfPair) -> Vec<(TailOfPartition, Vec<u64>)> {
    let positions = scene.flow(&flow.file).positions.clone();
    let sealed = scene.flow(&flow.file).record.clone();
    // A flow the other way that ended since: the clusters were alike there last.
    let ended: Vec<Mirrored> = (scene.flows.values())
        .filter(|it| {
            let ended = |it: &FlowRecord| {
                it.state == FlowState::Sealed
                    && it.source_cluster_id == flow.target.as_str()
                    && sealed
                        .as_ref()
                        .is_some_and(|sealed| it.epoch < sealed.epoch)
            };
            it.record.as_ref().is_some_and(ended)
        })
        .flat_map(|it| it.positions.clone())
        .collect();
    let source = scene.cluster(flow.source.as_str());
    let one = |mirrored: &Mirrored| {
        let own = &mirrored.position;
        let (mut returned, mut active) = (own.source_offset.get(), own.target_offset.get());
        for it in ended.iter().filter(|it| it.target == mirrored.source) {
            let (there, here) = (
                it.position.target_offset.get(),
                it.position.source_offset.get(),
            );
            if there >= returned && here >= active {
                (returned, active) = (there, here);
            }
        }
        let cut = usize::try_from(returned).unwrap_or(0);
        let log = source.log_of(&mirrored.source);
        let records: Vec<u64> = log.iter().skip(cut).flatten().copied().collect();
        let partition = TailOfPartition {
            topic: mirrored.source.topic.to_string(),
            partition: mirrored.source.partition,
            copies: mirrored.target.topic.to_string(),
            cut: Some(PlaceOfCut { returned, active }),
            end: source.end_of(&mirrored.source),
            held_back: source.ends.get(&mirrored.source).map_or(0, |ends| {
                u64::try_from(ends.high_watermark - ends.last_stable).unwrap_or(0)
            }),
            records: u64::try_from(records.len()).unwrap_or(u64::MAX),
            ..TailOfPartition::default()
        };
        (partition, records)
    };
    positions.iter().map(one).collect()
}

fn missing() -> PortError {
    PortError::new(PortErrorKind::Missing, "there is no such flow")
}

impl Flows for Ports {
    fn name(&self, flow: &FlowOfPair) -> Answer<String> {
        // Its file tells: nobody is asked.
        self.fuse.look()?;
        let mut scene = self.scene();
        scene.may(&flow.file, "name")?;
        Ok(scene.flow(&flow.file).name.clone())
    }

    fn record(&self, flow: &FlowOfPair) -> Answer<Option<FlowRecord>> {
        self.flow(flow, "record", |flow| Ok(flow.record.clone()))
    }

    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Answer<FlowRecord> {
        let happens = Happened::Sealed {
            flow: flow.file.clone(),
            epoch: epoch.get(),
        };
        self.change_flow(flow, "seal", format!(" {epoch}"), happens, |flow| {
            let record = flow.record.as_mut().ok_or_else(missing)?;
            not_newer(record, epoch)?;
            record.state = FlowState::Sealed;
            record.epoch = epoch.get();
            Ok(record.clone())
        })
    }

    fn fence_workers(&self, flow: &FlowOfPair, _record: &FlowRecord) -> Answer<()> {
        let happens = Happened::Fenced {
            flow: flow.file.clone(),
        };
        self.change_flow(flow, "fence", String::new(), happens, |flow| {
            flow.holds = false;
            Ok(())
        })
    }

    fn positions(&self, flow: &FlowOfPair, _record: &FlowRecord) -> Answer<Vec<Mirrored>> {
        self.flow(flow, "positions", |flow| Ok(flow.positions.clone()))
    }

    fn selects_topic(&self, flow: &FlowOfPair, topic: &str) -> Answer<bool> {
        self.fuse.look()?;
        Ok(!self.scene().flow(&flow.file).leaves_out.contains(topic))
    }

    fn partitions(&self, flow: &FlowOfPair, _within: Duration) -> Answer<BTreeSet<TopicPartition>> {
        let selected = self.selected(flow)?;
        Ok(selected.into_keys().collect())
    }

    fn selected(&self, flow: &FlowOfPair) -> Answer<BTreeMap<TopicPartition, i64>> {
        self.look(&flow.file, "selected", |scene| {
            scene.may(flow.source.as_str(), "selected")?;
            let source = scene.cluster(flow.source.as_str());
            let held = source.ends.keys().chain(source.log.keys());
            Ok(held.map(|it| (it.clone(), 0)).collect())
        })
    }

    fn translate(
        &self,
        flow: &FlowOfPair,
        _record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
        ask_source: bool,
    ) -> Answer<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>> {
        let source = flow.source.to_string();
        self.look(&flow.file, "translate", |scene| {
            scene.may(flow.target.as_str(), "translate")?;
            let source_tells = ask_source && scene.may(&source, "translate").is_ok();
            let lives = scene.life.is_some();
            let flow = scene.flow(&flow.file);
            let one = |place: &(TopicPartition, SourceOffset)| {
                let known = if lives {
                    flow.translated(&place.0, place.1.get())
                } else {
                    let known = flow.map.get(place).copied();
                    known.unwrap_or(Translation::BeforeHistory)
                };
                let before = flow.before.get(place).filter(|_| source_tells);
                match (known, before) {
                    (Translation::BeforeHistory, Some(told)) => (place.clone(), *told),
                    (known, _) => (place.clone(), known),
                }
            };
            Ok(places.iter().map(one).collect())
        })
    }

    fn translate_back(
        &self,
        flow: &FlowOfPair,
        _record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, TargetOffset)>,
    ) -> Answer<BTreeMap<(TopicPartition, TargetOffset), Translation<SourceOffset>>> {
        self.look(&flow.file, "translate_back", |scene| {
            scene.may(flow.target.as_str(), "translate_back")?;
            let back = &scene.flow(&flow.file).back;
            let one = |place: &(TopicPartition, TargetOffset)| {
                let known = back.get(place).copied();
                (place.clone(), known.unwrap_or(Translation::BeforeHistory))
            };
            Ok(places.iter().map(one).collect())
        })
    }

    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Answer<bool> {
        self.fuse.look()?;
        let mut scene = self.scene();
        scene.may(&flow.file, "selects_group")?;
        Ok(!scene.flow(&flow.file).leaves_out.contains(group))
    }

    fn halted(&self, flow: &FlowOfPair, _record: &FlowRecord) -> Answer<u32> {
        self.flow(flow, "halted", |_flow| Ok(0))
    }

    fn withheld_acls(
        &self,
        flow: &FlowOfPair,
        _ask_source: bool,
        fence: &[Acl],
    ) -> Answer<Vec<Acl>> {
        self.flow(flow, "withheld_acls", |flow| {
            let withheld = flow.withheld.iter().filter(|acl| !fence.contains(acl));
            Ok(withheld.cloned().collect())
        })
    }

    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Answer<()> {
        let happens = Happened::Reopened {
            flow: flow.file.clone(),
        };
        self.change_flow(flow, "reopen", format!(" {epoch}"), happens, |flow| {
            let record = flow.record.as_mut().ok_or_else(missing)?;
            not_newer(record, epoch)?;
            record.state = FlowState::Running;
            record.epoch = epoch.get();
            Ok(())
        })
    }

    fn survey_tail(&self, flow: &FlowOfPair) -> Answer<TailSurvey> {
        self.look(&flow.file, "survey_tail", |scene| {
            scene.may(flow.source.as_str(), "survey_tail")?;
            scene.may(flow.target.as_str(), "survey_tail")?;
            let record = scene.flow(&flow.file).record.clone().ok_or_else(missing)?;
            let back = scene.flows.values().find(|it| {
                let opposite = |it: &FlowRecord| {
                    it.source_cluster_id == record.target_cluster_id && it.epoch > record.epoch
                };
                it.record.as_ref().is_some_and(opposite)
            });
            let copied = |it: &Mirrored| {
                let began = back.map(|flow| &flow.begins).into_iter().flatten();
                let mut began = began.filter(|begin| begin.source == it.source);
                began.all(|begin| it.position.target_offset > begin.target_offset)
            };
            if back.is_some_and(|back| back.positions.iter().any(copied)) {
                let text = "a flow has copied back since";
                return Err(PortError::new(PortErrorKind::Refused, text));
            }
            let partitions = tails(scene, flow);
            Ok(TailSurvey {
                flow: scene.flow(&flow.file).name.clone(),
                epoch: record.epoch,
                partitions: partitions.into_iter().map(|(it, _)| it).collect(),
                ..TailSurvey::default()
            })
        })
    }

    fn put_tail_aside(
        &self,
        flow: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Answer<Carried> {
        self.change(&flow.file, "put_tail_aside", |scene| {
            scene.turns.push(turn.within);
            scene.may(flow.source.as_str(), "put_tail_aside")?;
            scene.may(flow.target.as_str(), "put_tail_aside")?;
            let cluster = flow.target.to_string();
            let tails = tails(scene, flow).into_iter();
            let own = tails.filter(|(it, _)| topics.contains(&it.topic));
            let (mut left, mut now) = (scene.tail_turn.unwrap_or(usize::MAX), Vec::new());
            let mut carried = Carried::default();
            for record in own.flat_map(|(_, records)| records) {
                if !scene.put_aside.contains(&(cluster.clone(), record)) {
                    if left == 0 {
                        carried.is_cut_off = true;
                        continue;
                    }
                    left -= 1;
                    scene.put_aside.insert((cluster.clone(), record));
                    now.push(record);
                }
                carried.put_aside += 1;
            }
            let count = carried.put_aside;
            scene
                .log
                .push(format!("put aside {count} of {}", flow.file));
            scene.happens(Happened::PutAside { records: now });
            Ok(carried)
        })
    }

    fn merge_tail(
        &self,
        flow: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Answer<Carried> {
        self.change(&flow.file, "merge_tail", |scene| {
            scene.turns.push(turn.within);
            scene.may(flow.source.as_str(), "merge_tail")?;
            scene.may(flow.target.as_str(), "merge_tail")?;
            let (mut carried, mut aside) = (Carried::default(), Vec::new());
            let mut left = scene.tail_turn.unwrap_or(usize::MAX);
            let cluster = flow.target.to_string();
            for (it, records) in tails(scene, flow) {
                let partition = TopicPartition::new(it.copies.as_str(), it.partition);
                for record in records.into_iter().filter(|_| topics.contains(&it.topic)) {
                    if scene.merged.contains(&(flow.source.to_string(), record)) {
                        // It was merged there out of what the active one holds, as its headers say.
                        aside.push(record);
                        continue;
                    }
                    if !scene.merged.contains(&(cluster.clone(), record)) {
                        if left == 0 {
                            carried.is_cut_off = true;
                            continue;
                        }
                        left -= 1;
                        scene.merged.insert((cluster.clone(), record));
                        scene.cluster(&cluster).append(&partition, Some(record));
                        scene.happens(Happened::Merged {
                            cluster: cluster.clone(),
                            partition: partition.clone(),
                            record,
                        });
                    }
                    carried.merged += 1;
                }
            }
            carried.put_aside = u64::try_from(aside.len()).unwrap_or(u64::MAX);
            scene
                .log
                .push(format!("merge {} of {}", carried.merged, flow.file));
            scene.happens(Happened::PutAside { records: aside });
            Ok(carried)
        })
    }

    fn renew_keys(
        &self,
        flow: &FlowOfPair,
        back: &FlowOfPair,
        topics: &[String],
        turn: &mut TailTurn,
    ) -> Answer<Option<BTreeMap<TopicPartition, i64>>> {
        // Topics here are not compacted: a mark alone is written, as of a transaction that ended.
        turn.asker.go_on(&turn.marks)?;
        self.change(&flow.file, "renew_keys", |scene| {
            scene.turns.push(turn.within);
            scene.may(flow.source.as_str(), "renew_keys")?;
            scene.may(flow.target.as_str(), "renew_keys")?;
            scene.log.push(format!(
                "renew keys of {} as {}",
                topics.join(", "),
                back.file
            ));
            let positions = scene.flow(&flow.file).positions.clone();
            let own = positions.iter().map(|it| it.source.clone());
            let own: Vec<_> = own
                .filter(|it| topics.iter().any(|topic| **topic == *it.topic))
                .collect();
            let mut left = scene.tail_turn.unwrap_or(usize::MAX);
            let cluster = flow.source.to_string();
            for partition in &own {
                if turn.marks.is_renewed(partition) {
                    continue;
                }
                if left == 0 {
                    return Ok(None);
                }
                left -= 1;
                scene.cluster(&cluster).append(partition, None);
                scene.happens(Happened::Copied {
                    flow: "salvage".to_owned(),
                    cluster: cluster.clone(),
                    partition: partition.clone(),
                    record: None,
                });
                turn.marks.renewed(partition);
            }
            let ends = own.into_iter().map(|partition| {
                let end = scene.cluster(&cluster).end_of(&partition);
                (partition, end)
            });
            Ok(Some(ends.collect()))
        })
    }

    fn begin_at(&self, of: &FlowOfPair, epoch: Epoch, begins: &[Begin]) -> Answer<u32> {
        let happens = Happened::Begun {
            flow: of.file.clone(),
        };
        let what = format!(" {epoch}");
        let now_ms = self.scene().now_ms;
        self.change_flow(of, "begin_at", what, happens, |flow| {
            let count = u32::try_from(begins.len()).unwrap_or(u32::MAX);
            let record = flow.record.get_or_insert_with(|| {
                let mut record = stage::record(of.source.as_str(), of.target.as_str());
                record.state = FlowState::Sealed;
                record
            });
            not_newer(record, epoch)?;
            if record.state == FlowState::Running && record.epoch == epoch.get() {
                // All is done then.
                return Ok(count);
            }
            record.state = FlowState::Sealed;
            record.epoch = epoch.get();
            flow.holds = false;
            flow.begins = begins.to_vec();
            for begin in begins {
                flow.positions.retain(|it| it.source != begin.source);
                let (here, there) = (begin.source_offset.get(), begin.target_offset.get());
                flow.positions.push(Mirrored {
                    source: begin.source.clone(),
                    target: begin.target.clone(),
                    position: stage::position(here, there, now_ms),
                });
            }
            Ok(count)
        })
    }
}

impl Workers for Ports {
    fn want(&self, flow: &FlowOfPair, workers: u32) -> Answer<()> {
        let happens = Happened::Workers {
            flow: flow.file.clone(),
            wanted: workers,
        };
        let what = format!(" {workers}");
        self.change_flow(flow, "want_workers", what, happens, |flow| {
            flow.workers = Some(workers);
            Ok(())
        })
    }
}
