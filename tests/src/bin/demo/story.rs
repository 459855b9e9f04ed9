//! The story, in the order in which it happens.

use std::time::Duration;

use understudy_tests::chaos::{ABORT_EVERY, ChaosError, Interrupt, LoadPlan, Place, Result};
use understudy_tests::{Cluster, Judge};

use crate::control::Control;
use crate::groups::{self, GROUPS, HISTORY, RECORDS, standing};
use crate::mm2::MirrorMaker;
use crate::pace::Pace;
use crate::report::Report;
use crate::stage::{Clusters, RECOVERY_LIMIT, Stage, flow, flow_back};
use crate::voice::{Voice, grouped, seconds};
use crate::{Arguments, home, loss};

const CALM: Duration = Duration::from_secs(10);
const SHORT_CALM: Duration = Duration::from_secs(4);
/// Places are committed each second; a busy machine may need longer.
const PLACE_LIMIT: Duration = Duration::from_secs(20);
/// MirrorMaker 2 takes some 15 s to start.
const MM2_LIMIT: Duration = Duration::from_secs(60);
/// Some rounds of its offset syncs, checkpoints and commits, which follow each other by a second each.
const MM2_SETTLES: Duration = Duration::from_secs(10);
const VALUE_BYTES: usize = 800;
/// The worker that dies, and the broker.
const VICTIM: usize = 1;
const VICTIM_BROKER: usize = 2;

/// Tells it all; returns what was proved.
pub fn tell(arguments: &Arguments, interrupt: Interrupt) -> Result<Report> {
    let mut voice = Voice::new(arguments.json);
    let pace = Pace::new(arguments.fast, arguments.pause, interrupt.clone());
    let mut report = Report::default();
    voice.title(
        "Understudy: a second Kafka cluster, exactly ready for the day the first one is gone.\n",
    );
    voice.say(&format!(
        "Starting two real Kafka 4.1.1 clusters: use1 ({}), the Region you fear for, and usw2 (3 brokers), its understudy.",
        brokers(arguments.source_brokers)
    ));
    let clusters = Clusters::start(arguments.source_brokers)?;
    interrupt.check()?;
    groups::prepare(&clusters.source)?;
    voice.say(&format!(
        "Both serve. Topic {HISTORY} on use1 holds {} records: group {} has read them all, group {} a third of them.",
        grouped(RECORDS),
        GROUPS[0],
        GROUPS[1]
    ));
    voice.say("Starting three workers beside usw2; they only ever read from use1.");
    let plan = LoadPlan::new("", arguments.rate, VALUE_BYTES);
    let mut stage = Stage::set(&clusters, &plan, interrupt.clone())?;
    voice.relief(&format!("All slots are held: {}.", shares(&stage)?));

    let (source, run) = (&clusters.source, &mut stage);
    run_calm(run, &mut voice, &plan, source, &pace, &mut report)?;
    kill_worker(run, &mut voice, &pace, &mut report)?;
    kill_broker(run, &mut voice, &pace, &mut report)?;
    stop(run, &mut voice, &mut report)?;
    prove(&clusters, &mut stage, &plan, &mut voice, &pace, &mut report)?;
    // Its workers end; the second half's are ECS's.
    drop(stage);
    if !arguments.mirror_only {
        recover(&clusters, &plan, &mut voice, &pace, &mut report)?;
    }
    report.load_per_core = load_per_core();
    report.duration_ms = voice.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Ok(report)
}

/// Checks everything that was copied and placed, beside MirrorMaker 2 unless there is no time for it.
fn prove(
    clusters: &Clusters,
    stage: &mut Stage<'_>,
    plan: &LoadPlan,
    voice: &mut Voice,
    pace: &Pace,
    report: &mut Report,
) -> Result<()> {
    pace.act(voice, "The proof.")?;
    let mut other = None;
    if !pace.fast {
        voice.say("MirrorMaker 2 is started beside it, to copy the history under a prefix and to place the same groups.");
        other = Some(MirrorMaker::start(clusters, &stage.fleet.folder()?)?);
    }
    verify(stage, voice, report)?;
    judge(clusters, plan, voice, report)?;
    place_groups(clusters, voice, report)?;
    match other {
        Some(_runs) => place_groups_of_mm2(clusters, stage, voice, report),
        None => Ok(()),
    }
}

/// The Region is lost and comes back.
fn recover(
    clusters: &Clusters,
    plan: &LoadPlan,
    voice: &mut Voice,
    pace: &Pace,
    report: &mut Report,
) -> Result<()> {
    let keep = understudy_tests::cache_dir()?;
    pace.act(voice, "The day that it is for.")?;
    voice.say(
        "The control plane is deployed into two stand-ins for AWS (MiniStack), one a Region, and one for the ledger: real \
         templates by the real CDK CLI, real functions, real state machines.",
    );
    let flows = [flow(clusters, plan), flow_back(clusters, plan)];
    let mut control = Control::deploy(clusters, flows, &pace.interrupt, voice)?;
    let away = loss::lose_region(clusters, &mut control, pace, voice, &keep)?;
    report.loss = Some(away.loss.clone());
    pace.act(voice, "The way home.")?;
    let home = home::go_home(clusters, &mut control, away, pace, voice, &keep)?;
    report.home = Some(home);
    control.stop();
    Ok(())
}

fn run_calm(
    stage: &mut Stage<'_>,
    voice: &mut Voice,
    plan: &LoadPlan,
    source: &Cluster,
    pace: &Pace,
    report: &mut Report,
) -> Result<()> {
    pace.act(voice, "A mirror, and what may break.")?;
    voice.say(&format!(
        "Applications write to use1: {} orders/s with keys and headers, {} payments/s in transactions (one in {ABORT_EVERY} \
         aborted), {} customers/s in a compacted topic. A read_committed consumer on usw2 takes the time of each.",
        plan.rate,
        plan.payments_rate(),
        plan.customers_rate()
    ));
    stage.load = Some(plan.start(source)?);
    stage.tail.mark();
    let all = stage.tail.places();
    stage.wait_resumed(voice, &all)?;
    stage.warm_up(voice)?;
    stage.tail.set_calm(true);
    stage.run_for(voice, pace.rest(CALM))?;
    let (calm, _) = stage.tail.latencies();
    report.lag_p50_ms = calm.quantile_ms(0.5).unwrap_or_default();
    voice.relief(&format!(
        "Calm: a record written on use1 can be read on usw2 after {} ms (median), {} ms (99 %).",
        report.lag_p50_ms,
        calm.quantile_ms(0.99).unwrap_or_default()
    ));
    Ok(())
}

fn kill_worker(
    stage: &mut Stage<'_>,
    voice: &mut Voice,
    pace: &Pace,
    report: &mut Report,
) -> Result<()> {
    let (mut places, read) = (stage.fleet.places(VICTIM)?, stage.tail.places());
    places.retain(|place| read.contains(place));
    let name = stage.fleet.name(VICTIM)?.to_owned();
    stage.tail.set_calm(false);
    stage.tail.mark();
    stage.fleet.kill(VICTIM)?;
    voice.alarm(&format!(
        "KILLED {name} (SIGKILL). {} partitions stand still until the group on usw2 misses it, after 6 s; the others flow on. \
         The transaction it left half-written is fenced and aborted: no reader at read_committed ever meets it.",
        places.len()
    ));
    let after = stage.wait_resumed(voice, &places)?;
    report.worker_take_over_ms = millis(after);
    voice.relief(&format!(
        "Its slots were taken over from the exact offsets stored with the copies: all flows again, {} after the kill.",
        seconds(after)
    ));
    stage.fleet.restart(VICTIM)?;
    voice.say(&format!(
        "{name} is started again and gets its share of the slots back."
    ));
    rest(stage, voice, pace)
}

fn kill_broker(
    stage: &mut Stage<'_>,
    voice: &mut Voice,
    pace: &Pace,
    report: &mut Report,
) -> Result<()> {
    let all: Vec<Place> = stage.tail.places();
    let broker = stage.target().broker(VICTIM_BROKER)?;
    stage.tail.set_calm(false);
    stage.tail.mark();
    broker.kill()?;
    voice.alarm(&format!(
        "KILLED broker {VICTIM_BROKER} of usw2 (SIGKILL). It led a third of the partitions, of the transactions and of the groups there."
    ));
    let after = stage.wait_resumed(voice, &all)?;
    report.broker_take_over_ms = millis(after);
    voice.relief(&format!(
        "The other two brokers lead now: every partition flows again, {} after the kill.",
        seconds(after)
    ));
    broker.start()?;
    voice.say("The broker is started again and catches up.");
    stage.wait_target_ready(voice)?;
    rest(stage, voice, pace)
}

/// Waits until everything is well, and stays so for a while.
fn rest(stage: &mut Stage<'_>, voice: &mut Voice, pace: &Pace) -> Result<()> {
    stage.wait_settled(voice)?;
    voice.relief(&format!("All is well again: {}.", shares(stage)?));
    stage.warm_up(voice)?;
    stage.tail.set_calm(true);
    stage.run_for(voice, pace.rest(SHORT_CALM))
}

fn stop(stage: &mut Stage<'_>, voice: &mut Voice, report: &mut Report) -> Result<()> {
    voice.say("The applications stop. What is still on its way arrives.");
    let (calm, disturbed) = stage.tail.latencies();
    report.lag_p50_ms = calm.quantile_ms(0.5).unwrap_or_default();
    report.lag_p99_ms = calm.quantile_ms(0.99).unwrap_or_default();
    report.lag_worst_ms = disturbed.max_ms().max(calm.max_ms());
    let Some(load) = stage.load.take() else {
        return Ok(());
    };
    let stopped = load.stop();
    (report.acknowledged, report.aborted_on_source) = (stopped.committed, stopped.aborted);
    report.complaints.extend(stopped.refused);
    let wanted = report.acknowledged;
    stage.watch(
        voice,
        "all records to arrive",
        RECOVERY_LIMIT,
        |stage| match stage.tail.records() {
            arrived if arrived >= wanted => Ok(()),
            arrived => Err(format!("{arrived} of {wanted} arrived")),
        },
    )?;
    voice.relief(&format!(
        "All {} committed records have arrived on usw2.",
        grouped(wanted)
    ));
    let panics = stage.fleet.logged("panicked at");
    if panics > 0 {
        report
            .complaints
            .push(format!("{panics} panics in the workers' logs"));
    }
    Ok(())
}

fn verify(stage: &Stage<'_>, voice: &mut Voice, report: &mut Report) -> Result<()> {
    voice.say("understudy verify --deep reads both sides and compares them record by record, through the offset map.");
    let verified = stage.fleet.verify()?;
    (report.verify_holds, report.verify_compared) = (verified.holds, verified.compared);
    match verified.holds {
        true => voice.relief(&format!(
            "It holds: {} records are equal.",
            grouped(verified.compared)
        )),
        false => voice.alarm(&format!("It does not hold: {}", verified.output)),
    }
    Ok(())
}

fn judge(
    clusters: &Clusters,
    plan: &LoadPlan,
    voice: &mut Voice,
    report: &mut Report,
) -> Result<()> {
    voice.say(
        "A judge that shares no code with the product reads both sides again and looks for a flaw.",
    );
    for topic in plan.topics() {
        let found = Judge::new(&clusters.source, &clusters.target, topic)
            .wait_exact(Duration::from_secs(20))?;
        report.produced += found.produced;
        report.copied += found.copied;
        report.lost += found.lost;
        report.doubled += found.doubled;
        report.out_of_order += found.out_of_order;
        report.altered += found.altered;
        report.foreign += found.foreign;
        report.aborted_copies += found.aborted_copies;
    }
    if report.produced != report.acknowledged {
        report.complaints.push(format!(
            "producers had {} records acknowledged, use1 holds {}",
            report.acknowledged, report.produced
        ));
    }
    Ok(())
}

fn place_groups(clusters: &Clusters, voice: &mut Voice, report: &mut Report) -> Result<()> {
    for group in GROUPS {
        let judge = Judge::new(&clusters.source, &clusters.target, HISTORY);
        let found = standing(clusters, judge, group, HISTORY, PLACE_LIMIT)?;
        voice.relief(&format!(
            "Group {group} is {} records behind on use1. From where it stands on usw2 it reads {} records twice and skips {}.",
            grouped(found.behind),
            grouped(found.re_read),
            grouped(found.skipped)
        ));
        report.groups.push(found);
    }
    Ok(())
}

fn place_groups_of_mm2(
    clusters: &Clusters,
    stage: &mut Stage<'_>,
    voice: &mut Voice,
    report: &mut Report,
) -> Result<()> {
    let told = stage.watch(
        voice,
        "MirrorMaker 2 to place the groups",
        MM2_LIMIT,
        |_| MirrorMaker::is_done(&clusters.target, RECORDS),
    );
    match told {
        // It moves a group on in steps: what it would come to is waited for.
        Ok(()) => stage.run_for(voice, MM2_SETTLES)?,
        Err(ChaosError::Interrupted) => return Err(ChaosError::Interrupted),
        Err(error) => {
            voice.say(&format!("MirrorMaker 2 is left out: {error}."));
            return Ok(());
        }
    }
    for found in &mut report.groups {
        let other = MirrorMaker::standing(clusters, &found.group)?;
        (found.re_read_mm2, found.skipped_mm2) = (Some(other.re_read), Some(other.skipped));
        voice.say(&format!(
            "MirrorMaker 2 puts group {} where it reads {} records twice and skips {}.",
            found.group,
            grouped(other.re_read),
            grouped(other.skipped)
        ));
    }
    Ok(())
}

/// How many threads wanted each core over the last minute; none where the system does not tell.
fn load_per_core() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split(' ').next()?.parse().ok()?;
    let cores = std::thread::available_parallelism().ok()?.get();
    Some(load / cores as f64)
}

fn shares(stage: &Stage<'_>) -> Result<String> {
    let held = stage.fleet.slots()?;
    let mut shares = Vec::new();
    for (worker, slots) in held {
        shares.push(format!("{} has {}", stage.fleet.name(worker)?, slots.len()));
    }
    Ok(shares.join(", "))
}

fn brokers(count: usize) -> String {
    match count {
        1 => "1 broker".to_owned(),
        more => format!("{more} brokers"),
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
