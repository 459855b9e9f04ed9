//! What recovery steps reach of Kafka, on real brokers: a flow that is sealed under load, and clusters as steps see them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use understudy_domain::{FlowState, SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_recovery::fence::FenceAcl;
use understudy_recovery::health::Layer;
use understudy_recovery::pair::FlowOfPair;
use understudy_recovery::{Alias, Epoch};
use understudy_shell::world::{Begin, Clusters, Flows, Presence};
use understudy_shell::{PortError, PortErrorKind};
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Worker, Workload, wait_for};
use understudy_world::{KafkaClusters, KafkaFlows, PairFile};

type Outcome = Result<(), Box<dyn Error>>;
/// By partition: source and target offset.
pub type Cut = BTreeMap<i32, (i64, i64)>;

const LIMIT: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(10);
const PARTITIONS: i32 = 4;

#[test]
fn a_flow_sealed_under_load_ends_at_its_cut_and_its_workers_write_nothing_more() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "sealed";
    source.create_topic(topic, PARTITIONS, &[])?;
    let (forward, scene) = Scene::new(source, target, topic)?;
    let workers = [
        Worker::start(&forward, "sealed-1")?,
        Worker::start(&forward, "sealed-2")?,
    ];
    let load = Workload::orders(source.client(), topic)
        .producer("load")
        .value_bytes(200)
        .rate(3_000)
        .records(u64::MAX)
        .start()?;
    wait_for("copies under load", LIMIT, || {
        let ends = target.ends(topic).map_err(|error| error.to_string())?;
        let copies: i64 = ends.values().map(|end| end.last_stable).sum();
        let everywhere = ends.values().filter(|end| end.last_stable > 0).count();
        if copies > 3_000 && i32::try_from(everywhere) == Ok(PARTITIONS) {
            Ok(())
        } else {
            Err(format!("{copies} in {everywhere} partitions"))
        }
    })?;

    let cut = scene.seal(3)?;
    assert_eq!(cut.len(), usize::try_from(PARTITIONS)?);
    let ends = target.ends(topic)?;
    for worker in &workers {
        worker.wait_reason(&["sealed", "epoch 3"], LIMIT)?;
    }
    load.stop()?;
    holds_exactly(target, topic, &cut)?;
    assert_eq!(
        target.ends(topic)?,
        ends,
        "something was written behind the seal"
    );

    // Again, it is the same; older, it is refused; newer, the cut stays.
    assert_eq!(scene.seal(3)?, cut);
    let older = scene.flows.write_seal(scene.forward(), Epoch::new(2));
    assert_eq!(kind(older), Some(PortErrorKind::Conflict));
    let older = scene.flows.reopen(scene.forward(), Epoch::new(2));
    assert_eq!(kind(older), Some(PortErrorKind::Conflict));
    for worker in &workers {
        worker.kill()?;
        worker.restart()?;
        worker.wait_reason(&["sealed", "epoch 3"], LIMIT)?;
    }
    assert_eq!(scene.seal(4)?, cut);
    assert_eq!(
        target.ends(topic)?,
        ends,
        "a worker that came back has written"
    );
    let record = scene.flows.record(scene.forward())?.ok_or("no record")?;
    assert_eq!((record.state, record.epoch), (FlowState::Sealed, 4));

    // What was sealed goes on where it ended.
    scene.flows.reopen(scene.forward(), Epoch::new(4))?;
    scene.flows.reopen(scene.forward(), Epoch::new(4))?;
    let verdict = Judge::new(source, target, topic).wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    Ok(())
}

#[test]
fn steps_see_clusters_groups_and_places_as_they_are() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "seen";
    source.create_topic(topic, PARTITIONS, &[])?;
    let (forward, scene) = Scene::new(source, target, topic)?;
    assert_eq!(scene.flows.record(scene.forward())?, None);
    let missing = scene.flows.write_seal(scene.forward(), Epoch::new(1));
    assert!(missing.is_err(), "a flow that never ran was sealed");
    let worker = Worker::start(&forward, "seen-1")?;
    Workload::orders(source.client(), topic)
        .producer("seen")
        .value_bytes(100)
        .records(2_000)
        .run()?;
    worker.wait_copied(source, topic, LIMIT)?;
    worker.terminate()?;

    let cluster = scene.clusters.get(&Alias::new(target.alias())?)?;
    let probe = cluster.probe(WITHIN);
    assert_eq!(probe.failed, None);
    assert_eq!(
        probe.cluster_id.as_deref(),
        Some(cluster.id(WITHIN)?.as_str())
    );
    assert_eq!(
        cluster.open_to_writer(&BTreeSet::from([topic.to_owned()]), WITHIN)?,
        None,
        "the pair has no login of a writer"
    );
    let place = |partition| TopicPartition::new(topic, partition);
    let asked: BTreeSet<_> = (0..PARTITIONS + 1).map(place).collect();
    let ends = cluster.ends(&asked, WITHIN)?;
    assert_eq!(
        ends.len(),
        usize::try_from(PARTITIONS)?,
        "one of them does not exist"
    );

    // Every place is translated, each to the copy of its record.
    let record = scene.flows.record(scene.forward())?.ok_or("no record")?;
    let places: BTreeSet<_> = (0..PARTITIONS)
        .map(|partition| (place(partition), SourceOffset::new(17)))
        .collect();
    let found = scene
        .flows
        .translate(scene.forward(), &record, &places, false)?;
    assert_eq!(found.len(), places.len());
    let mut to_commit = BTreeMap::new();
    for ((place, _), translation) in found {
        let Translation::Exact(offset) = translation else {
            return Err(format!("{place}: {translation:?}").into());
        };
        for group in 0..45 {
            to_commit.insert((format!("seen-{group}"), place.clone()), offset.get());
        }
    }
    let id = "understudy-seen-places-e1";
    cluster.commit_places(id, &to_commit, WITHIN)?;
    cluster.commit_places(id, &to_commit, WITHIN)?;
    let groups: BTreeSet<String> = to_commit.keys().map(|(group, _)| group.clone()).collect();
    assert_eq!(cluster.places(&groups, WITHIN)?, to_commit);
    assert_eq!(scene.flows.halted(scene.forward(), &record)?, 0);

    // Somebody joins: the group's places are its own from then on.
    let mut config = target.client();
    config
        .set("group.id", "seen-0")
        .set("enable.auto.commit", "false");
    let member: BaseConsumer = config.create()?;
    member.subscribe(&[topic])?;
    wait_for("the group to be live", LIMIT, || {
        let _record = member.poll(Duration::from_millis(100));
        match cluster.groups(WITHIN) {
            Ok(groups) if groups.get("seen-0") == Some(&Presence::Live) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let mut back = to_commit.clone();
    back.values_mut().for_each(|offset| *offset = 1);
    let refused = cluster.commit_places(id, &back, WITHIN);
    assert_eq!(kind(refused), Some(PortErrorKind::Refused));
    assert_eq!(
        cluster.places(&groups, WITHIN)?,
        to_commit,
        "some places were committed"
    );
    Ok(())
}

#[test]
fn a_cluster_that_is_gone_is_told_within_the_bound() -> Outcome {
    let folder = tempfile::tempdir()?;
    let flow = |name: &str, source: (&str, &str), target: (&str, &str)| {
        let text = format!(
            "[source]\nalias = \"{}\"\n\"bootstrap.servers\" = \"{}\"\n[target]\nalias = \"{}\"\n\"bootstrap.servers\" = \"{}\"\n",
            source.0, source.1, target.0, target.1
        );
        std::fs::write(folder.path().join(name), text)
    };
    let (dead, lost) = (("use1", "127.0.0.1:1"), ("usw2", "nowhere.invalid:9092"));
    flow("there.toml", dead, lost)?;
    flow("back.toml", lost, dead)?;
    let pair = write_pair(folder.path(), "pair.toml", "there.toml", "back.toml", "")?;
    let clusters = KafkaClusters::new(&pair);
    for (alias, layer) in [("use1", Layer::Connect), ("usw2", Layer::Resolve)] {
        let cluster = clusters.get(&Alias::new(alias)?)?;
        let (began, bound) = (Instant::now(), Duration::from_secs(3));
        let probe = cluster.probe(bound);
        assert_eq!(probe.failed.map(|(layer, _)| layer), Some(layer), "{alias}");
        let answer = cluster.id(bound);
        assert!(kind(answer).is_some());
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
    }
    Ok(())
}

#[test]
fn a_flow_back_begins_where_the_flow_there_ended_and_copies_only_what_is_new() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "turned";
    source.create_topic(topic, PARTITIONS, &[])?;
    let (forward, scene) = Scene::new(source, target, topic)?;
    let worker = Worker::start(&forward, "turned-1")?;
    let write = |cluster: &Cluster, producer: &str| {
        Workload::orders(cluster.client(), topic)
            .producer(producer)
            .value_bytes(100)
            .records(1_500)
            .run()
    };
    write(source, "there")?;
    worker.wait_copied(source, topic, LIMIT)?;
    scene.seal(1)?;
    let record = scene.flows.record(scene.forward())?.ok_or("no record")?;
    let positions = scene.flows.positions(scene.forward(), &record)?;
    let begins: Vec<Begin> = positions
        .into_iter()
        .map(|it| Begin {
            source_offset: SourceOffset::new(it.position.target_offset.get()),
            target_offset: TargetOffset::new(it.position.source_offset.get()),
            source: it.target,
            target: it.source,
        })
        .collect();
    let back = scene.pair.pair.flows.last().ok_or("no flow back")?;
    for _twice in 0..2 {
        assert_eq!(scene.flows.begin_at(back, Epoch::new(1), &begins)?, 4);
    }
    begins_beside_a_worker(&scene, back, source, &begins)?;
    let before = source.ends(topic)?;
    write(target, "back")?;
    let reverse = Worker::start(&scene.back, "turned-2")?;
    reverse.wait_reason(&["sealed", "epoch 1"], LIMIT)?;
    assert_eq!(source.ends(topic)?, before, "it was not let go yet");
    scene.flows.reopen(back, Epoch::new(1))?;
    let verdict = Judge::new(target, source, topic).wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}\n{}", reverse.log());
    assert_eq!(scene.flows.begin_at(back, Epoch::new(1), &begins)?, 4);
    let late = scene.flows.begin_at(back, Epoch::ZERO, &begins);
    assert_eq!(kind(late), Some(PortErrorKind::Conflict));
    let late = scene.flows.begin_at(back, Epoch::new(2), &begins);
    assert_eq!(
        kind(late),
        Some(PortErrorKind::Refused),
        "it has copied something"
    );
    Ok(())
}

/// A worker of a sealed flow takes its slots over again and again, to read that it is sealed.
fn begins_beside_a_worker(
    scene: &Scene,
    flow: &FlowOfPair,
    target: &Cluster,
    begins: &[Begin],
) -> Outcome {
    let record = scene.flows.record(flow)?.ok_or("no record")?;
    let name = scene.flows.name(flow)?;
    let elsewhere = |begin: &Begin| Begin {
        target_offset: begin.target_offset.next(),
        ..begin.clone()
    };
    let elsewhere: Vec<Begin> = begins.iter().map(elsewhere).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let knocks = scope.spawn(|| -> Result<(), KafkaError> {
            for slot in (0..record.slots.get()).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("understudy-{name}-{}-{slot}", record.generation);
                let mut config = target.client();
                config.set("transactional.id", id);
                let producer: BaseProducer = config.create()?;
                producer.init_transactions(LIMIT)?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        });
        let begun = (0..5).try_for_each(|_again| -> Outcome {
            for begins in [&elsewhere, begins] {
                assert_eq!(scene.flows.begin_at(flow, Epoch::new(1), begins)?, 4);
            }
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        knocks.join().map_err(|_panic| "nobody knocked")??;
        begun
    })
}

#[test]
fn a_fenced_writer_is_refused_and_one_that_is_not_leaves_no_record() -> Outcome {
    let Pair { source, target } = Pair::shared()?;
    let topic = "fenced";
    let topics = BTreeSet::from(["fenced", "fenced-too", "free"].map(str::to_owned));
    for topic in &topics {
        target.create_topic(topic, 1, &[])?;
    }
    // Nobody writes to what is not there.
    let mut asked = topics.clone();
    asked.insert("fenced-gone".to_owned());
    target.add_user("orders", "hush")?;
    let login = target.client_properties_of("orders", "hush");
    let lines = login
        .iter()
        .map(|(key, value)| format!("\"{key}\" = \"{value}\"\n"));
    let proof = format!(
        "[fencing]\nwriters = [\"User:orders\"]\n[fencing.proof.{}]\n{}",
        target.alias(),
        lines.collect::<String>()
    );
    let (_, scene) = Scene::with(source, target, topic, &proof)?;
    let cluster = scene.clusters.get(&Alias::new(target.alias())?)?;
    let open_is = |expected: &BTreeSet<String>| {
        wait_for("the brokers to know", LIMIT, || {
            match cluster.open_to_writer(&asked, WITHIN) {
                Ok(Some(open)) if open == *expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    };
    open_is(&topics)?;
    let fence = |topic: &str| {
        FenceAcl {
            topic: topic.to_owned(),
            principal: "User:orders".to_owned(),
            operation: "WRITE".to_owned(),
            deny: true,
        }
        .acl()
    };
    let fence = [fence("fenced")?, fence("fenced-too")?];
    cluster.add_acls(&fence, WITHIN)?;
    cluster.add_acls(&fence, WITHIN)?;
    open_is(&BTreeSet::from(["free".to_owned()]))?;
    assert!(cluster.acls(WITHIN)?.contains(&fence[0]));
    cluster.remove_acls(&fence, WITHIN)?;
    cluster.remove_acls(&fence, WITHIN)?;
    open_is(&topics)?;
    assert_eq!(target.partitions("fenced-gone")?, None, "it was made");
    assert!(!cluster.acls(WITHIN)?.contains(&fence[0]));
    for topic in &topics {
        let ends = target.ends(topic)?;
        assert!(ends.values().all(|end| end.high_watermark == 0), "{ends:?}");
    }
    Ok(())
}

/// A pair over the two clusters, as steps reach it.
pub struct Scene {
    pair: PairFile,
    /// Its flows.
    pub flows: KafkaFlows,
    clusters: KafkaClusters,
    /// The flow back, for a worker.
    back: FlowFile,
}

impl Scene {
    /// The forward flow mirrors one topic and has the topic's name.
    pub fn new(
        source: &Cluster,
        target: &Cluster,
        topic: &str,
    ) -> Result<(FlowFile, Self), Box<dyn Error>> {
        Self::with(source, target, topic, "")
    }

    /// The same, with more in the pair file.
    fn with(
        source: &Cluster,
        target: &Cluster,
        topic: &str,
        more: &str,
    ) -> Result<(FlowFile, Self), Box<dyn Error>> {
        let forward = FlowFile::new(source, target)
            .named(topic)
            .topics([topic])
            .slots(4);
        let folder = target.dir();
        let nowhere = ([127, 0, 0, 1], 0).into();
        forward.write(&format!("{topic}-there"), nowhere)?;
        let back = format!("{topic}-back");
        let reverse = FlowFile::new(target, source)
            .named(&back)
            .topics([topic])
            .slots(4)
            .in_folder(folder);
        reverse.write(&back, nowhere)?;
        let pair = write_pair(
            folder,
            &format!("{topic}-pair.toml"),
            &format!("{topic}-there.toml"),
            &format!("{back}.toml"),
            more,
        )?;
        let scene = Self {
            flows: KafkaFlows::new(&pair)?,
            clusters: KafkaClusters::new(&pair),
            back: reverse,
            pair,
        };
        Ok((forward, scene))
    }

    /// The flow there.
    pub fn forward(&self) -> &FlowOfPair {
        self.pair.pair.flows.first().expect("a pair has two flows")
    }

    /// The flow back.
    pub fn back(&self) -> &FlowOfPair {
        self.pair.pair.flows.last().expect("a pair has two flows")
    }

    /// The three parts of a seal, in their order.
    pub fn seal(&self, epoch: u64) -> Result<Cut, Box<dyn Error>> {
        let flow = self.forward();
        let record = self.flows.write_seal(flow, Epoch::new(epoch))?;
        self.flows.fence_workers(flow, &record)?;
        let positions = self.flows.positions(flow, &record)?;
        let cut = positions.into_iter().map(|it| {
            let position = it.position;
            let both = (position.source_offset.get(), position.target_offset.get());
            (it.source.partition, both)
        });
        Ok(cut.collect())
    }
}

fn write_pair(
    folder: &Path,
    name: &str,
    there: &str,
    back: &str,
    more: &str,
) -> Result<PairFile, Box<dyn Error>> {
    let text = format!(
        "name = \"lab\"\nhome = \"use1\"\n[clusters.use1]\nregion = \"a\"\n[clusters.usw2]\nregion = \"b\"\n\
         [[flows]]\nsource = \"use1\"\ntarget = \"usw2\"\nfile = \"{there}\"\n\
         [[flows]]\nsource = \"usw2\"\ntarget = \"use1\"\nfile = \"{back}\"\n{more}"
    );
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(PairFile::read(&path, &|_| None)?)
}

/// Whether what committed readers see on the target is what the cut says, no more and no less: as many copies as records
/// lie before the cut on the source, which writes without transactions, and each before the cut on the target.
fn holds_exactly(target: &Cluster, topic: &str, cut: &Cut) -> Outcome {
    let ends = target.ends(topic)?;
    let mut config = target.client();
    config
        .set("group.id", "counts")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    for (partition, (here, there)) in cut {
        let consumer: BaseConsumer = config.create()?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, *partition, Offset::Beginning)?;
        consumer.assign(&from)?;
        let (mut copies, mut last) = (0_i64, 0);
        loop {
            match consumer.poll(LIMIT) {
                Some(Ok(copy)) => {
                    copies += 1;
                    last = rdkafka::Message::offset(&copy) + 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                other => return Err(format!("{other:?}").into()),
            }
        }
        assert_eq!((copies, last), (*here, *there), "partition {partition}");
        let end = ends.get(partition).ok_or("no such partition")?;
        assert!(
            end.is_settled(),
            "a transaction is open in {partition}: {end:?}"
        );
    }
    Ok(())
}

fn kind<T>(answer: Result<T, PortError>) -> Option<PortErrorKind> {
    answer.err().map(|error| error.kind)
}
