//! The lost Region is back with records that nobody else has. Its cluster is made a standby again, the applications go
//! home, and every sale is accounted for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use understudy_tests::chaos::{ChaosError, Interrupt, Result};
use understudy_tests::{Cluster, Heard, LabError, LoggedProducer};

use crate::books::{Audit, Shelf, WentOn, count, shelf};
use crate::control::{Control, Follower, PROBE, busy};
use crate::loss::{Away, kept};
use crate::pace::Pace;
use crate::sales::{AUDITOR, Applications, Life, SALES, Stopped, open_shop};
use crate::stage::Clusters;
use crate::voice::{Voice, grouped, seconds};

const FAILBACK: &str = "understudy-orders-failback";
const EXECUTION: &str = "orders-e2-failback-1";
const FLOW: &str = "understudy.use1-usw2.flow";
/// Where the auditor stands in each partition of usw2: so many records behind the cut.
const AUDITED: i64 = 20;
/// What the forgotten shop has acknowledged before anybody looks.
const FORGOTTEN: usize = 200;
/// Sales of the shop that is home again.
const SOLD_AT_HOME: u64 = 2_000;
const LIMIT: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(100);

/// What came of the way home.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Home {
    /// From the command until applications were seen at work at home.
    pub failback_ms: u64,
    /// For how long nobody could write: from the fence until clients were pointed home.
    pub pause_ms: u64,
    /// Acknowledged by use1 after its return, to a shop that never heard of the failover.
    pub forgotten: u64,
    /// What the brokers of use1 refused that shop, once it was shut out.
    pub refused: u64,
    /// Put aside, by the topic that it lies in.
    pub put_aside: u64,
    /// The same, by the evidence.
    pub tail: u64,
    /// Every acknowledged sale, on usw2.
    pub standby: Audit,
    /// The same at home, where the tail stays in the topic.
    pub home: Audit,
    /// Sent, and nothing heard of: these may be anywhere.
    pub unheard: u64,
    /// How each group went on at home.
    pub groups: BTreeMap<&'static str, WentOn>,
    /// Written at home and on usw2 again.
    pub rearmed: u64,
    /// The epoch of the flow that brought them.
    pub epoch: u64,
    /// The page for people.
    pub page: PathBuf,
}

impl Home {
    /// Whether everything is where it belongs, and the first flow runs again.
    pub fn holds(&self) -> bool {
        let went_well = |it: &WentOn| it.re_read + it.skipped == 0;
        self.standby.holds(self.unheard)
            && self.home.holds(self.unheard)
            && self.put_aside == self.tail
            && self.tail >= self.standby.in_tail
            && self.standby.in_tail > 0
            && self.forgotten > 0
            && self.refused > 0
            && !self.groups.is_empty()
            && self.groups.values().all(went_well)
            && self.rearmed >= SOLD_AT_HOME
            && self.epoch == 2
    }
}

/// Brings the Region back and the applications home.
pub fn go_home(
    clusters: &Clusters,
    control: &mut Control,
    away: Away,
    pace: &Pace,
    voice: &mut Voice,
    keep: &Path,
) -> Result<Home> {
    let (source, target) = (&clusters.source, &clusters.target);
    let interrupt = &pace.interrupt;
    voice.say(&format!(
        "Meanwhile usw2 is at work: {} sales since the failover, and both groups read them.",
        grouped(away.applications.sold())
    ));
    let places: Vec<_> = (away.cut.iter())
        .map(|(partition, end)| (SALES, *partition, end + AUDITED))
        .collect();
    target.commit_group(AUDITOR, &places)?;
    let forgotten = come_back(source, control, interrupt, voice)?;
    let order = places
        .iter()
        .map(|(_, partition, place)| (*partition, *place));
    let audited = order.collect();

    let mut home = Home::default();
    let went = fail_back(
        clusters,
        control,
        away.applications,
        forgotten,
        &mut home,
        pace,
        voice,
    )?;
    let (evidence, page) = control.aws.evidence(&control.aws.use1, EXECUTION)?;
    home.page = kept(keep, "evidence-failback.html", &page)?;
    home.failback_ms = number(&evidence, "/clients_back_after_ms").unwrap_or_default();
    let tail_epoch = number(&evidence, "/tail/epoch");
    home.tail = records(&evidence);

    interrupt.wait_for("the shop to sell at home", LIMIT, || {
        match went.at_home.sold() {
            some if some >= SOLD_AT_HOME => went.at_home.are_reading(),
            few => Err(format!("{few} were acknowledged")),
        }
    })?;
    let audited_at_home = source.group_places(AUDITOR, SALES)?;
    let at_home = went.at_home.stop()?;
    let logs = [
        &away.heard,
        &went.forgotten,
        &went.away.heard,
        &at_home.heard,
    ];
    home.unheard = logs.iter().map(|log| log.unheard).sum();
    let tail = shelf(
        target,
        &format!("{SALES}.tail.e{}", tail_epoch.unwrap_or_default()),
    )?;
    home.put_aside = count(&tail);
    let there = arrived(target, &logs, &tail, interrupt)?;
    home.standby = Audit::of(&logs, &there, &tail);
    let here = shelf(source, SALES)?;
    home.home = Audit::of(&logs, &here, &Shelf::new());
    for (group, read) in &at_home.read {
        let before = went.away.read.get(group).cloned().unwrap_or_default();
        home.groups
            .insert(group, WentOn::reading(&before, read, &there));
    }
    let auditor = WentOn::standing((&here, &audited_at_home), (&there, &audited));
    home.groups.insert(AUDITOR, auditor);
    let sold = at_home.heard.acknowledged.len() as u64;
    let of_home = there.values().flatten().map(|(_, number)| *number);
    let of_home = of_home.filter(|number| *number >= Life::Returned.begins());
    home.rearmed = (of_home.count() as u64).min(sold);
    home.epoch = epoch(target)?;
    tell(&home, voice);
    Ok(home)
}

/// Brokers first, with a shop that never heard of the failover; then the Region's AWS.
fn come_back(
    source: &Cluster,
    control: &mut Control,
    interrupt: &Interrupt,
    voice: &mut Voice,
) -> Result<LoggedProducer> {
    for broker in source.brokers() {
        broker.start()?;
    }
    source.link().heal()?;
    let ready = || Ok(source.wait_ready()?);
    busy("use1's brokers come back", interrupt, voice, ready)?;
    let forgotten = open_shop(source, Life::Forgotten)?;
    voice.alarm(
        "use1 is BACK, with what it alone acknowledged. With it an instance of the shop that never heard of the failover: it \
         writes on to use1, and use1 acknowledges.",
    );
    interrupt.wait_for("the forgotten shop to write", LIMIT, || {
        match forgotten.acknowledged() {
            some if some >= FORGOTTEN => Ok(()),
            few => Err(format!("{few} were acknowledged")),
        }
    })?;
    let again = || control.return_use1();
    busy("use1's AWS comes back", interrupt, voice, again)?;
    control.probe_use1(interrupt)?;
    voice.say(
        "use1's AWS is there again as well: deployed anew, for its stand-in remembers nothing. The ledger, which was never \
         there, knows that usw2 is active. Both probers see use1 serve.",
    );
    Ok(forgotten)
}

/// Who did what during the failback.
struct Went {
    /// What the forgotten shop heard until it was shut out.
    forgotten: Heard,
    /// What the applications on usw2 know.
    away: Stopped,
    /// At work at home.
    at_home: Applications,
}

/// Starts the failback where a person would, and plays the applications meanwhile.
fn fail_back(
    clusters: &Clusters,
    control: &Control,
    away: Applications,
    forgotten: LoggedProducer,
    home: &mut Home,
    pace: &Pace,
    voice: &mut Voice,
) -> Result<Went> {
    let interrupt = &pace.interrupt;
    voice.say("Somebody types: understudy failback pair.toml --region us-east-1");
    let words = ["--yes", "--reason", "use1 is back", "--json"];
    let mut follower = Follower::new(&control.aws.use1, FAILBACK, EXECUTION);
    let (mut away, mut forgotten) = (Some(away), Some(forgotten));
    let (mut stopped, mut shut_out, mut at_home) = (None, None, None);
    let mut fenced: Option<Instant> = None;
    let mut looked = Instant::now();
    let mut typed = control.aws.start_typed("use1", "failback", &words)?;
    while typed.try_status()?.is_none() {
        if follower.begun.elapsed() >= LIMIT {
            return Err(ChaosError::Stuck {
                what: "the failback to end".to_owned(),
                waited: follower.begun.elapsed(),
                seen: format!("{EXECUTION} is under way"),
            });
        }
        if looked.elapsed() >= PROBE {
            // Probers look on as often as they did: one that falls silent is a bad sign.
            looked = Instant::now();
            control.look_at_use1()?;
        }
        let is_pointed = follower.is_pointed()?;
        follower.tell(voice);
        if follower.came_to("SurveyTail")
            && let Some(shop) = forgotten.take()
        {
            shut_out = Some(refused(shop, home, interrupt, voice)?);
        }
        if follower.came_to("FenceSource") && fenced.is_none() {
            fenced = Some(Instant::now());
            voice.say(
                "Until here everybody was at work on usw2. From here on nobody may write there.",
            );
        }
        if follower.came_to("QuiesceClients")
            && let Some(applications) = away.take()
        {
            stopped = Some(applications.stop()?);
            voice.say(
                "Checkout and warehouse were told to stop: they commit and leave their groups.",
            );
        }
        if is_pointed && at_home.is_none() {
            home.pause_ms = fenced.map_or(0, |fenced| millis(fenced.elapsed()));
            at_home = Some(Applications::start(&clusters.source, Life::Returned)?);
            voice.relief(&format!(
                "Clients may start at home, {} after usw2 was fenced. All three do.",
                seconds(Duration::from_millis(home.pause_ms))
            ));
        }
        interrupt.sleep(LOOK)?;
    }
    follower.tell(voice);
    let well = typed.wait(Duration::ZERO)?.success();
    if !well {
        // It has ended: the error holds the last that it said.
        typed.expect_running()?;
    }
    match (shut_out, stopped, at_home) {
        (Some(forgotten), Some(away), Some(at_home)) => {
            voice.relief(
                "use1 is the active cluster again, and its applications were seen at work.",
            );
            Ok(Went {
                forgotten,
                away,
                at_home,
            })
        }
        _ => Err(LabError::Usage(format!(
            "{EXECUTION} ended well and brought no applications home"
        ))
        .into()),
    }
}

/// The forgotten shop, now that the brokers refuse it.
fn refused(
    shop: LoggedProducer,
    home: &mut Home,
    interrupt: &Interrupt,
    voice: &mut Voice,
) -> Result<Heard> {
    interrupt.wait_for("use1 to refuse the forgotten shop", LIMIT, || {
        match shop.refused() {
            0 => Err("it refuses nothing".to_owned()),
            _ => Ok(()),
        }
    })?;
    let heard = shop.stop();
    (home.forgotten, home.refused) = (heard.acknowledged.len() as u64, heard.refused);
    voice.relief(&format!(
        "The forgotten shop is shut out: use1 had acknowledged {} sales to it since its return, and refuses it now.",
        grouped(home.forgotten)
    ));
    Ok(heard)
}

/// What usw2 holds once everything that was acknowledged is there, or was put aside.
fn arrived(
    target: &Cluster,
    logs: &[&Heard],
    tail: &Shelf,
    interrupt: &Interrupt,
) -> Result<Shelf> {
    let begun = Instant::now();
    loop {
        let there = shelf(target, SALES)?;
        // What is missing at the end is counted, not waited for.
        if Audit::of(logs, &there, tail).missing == 0 || begun.elapsed() >= LIMIT / 3 {
            return Ok(there);
        }
        interrupt.sleep(LOOK)?;
    }
}

fn number(evidence: &Value, pointer: &str) -> Option<u64> {
    evidence.pointer(pointer).and_then(Value::as_u64)
}

/// What lay beyond the cut, by the evidence.
fn records(evidence: &Value) -> u64 {
    let partitions = evidence
        .pointer("/tail/partitions")
        .and_then(Value::as_array);
    let partitions = partitions.into_iter().flatten();
    partitions.filter_map(|it| number(it, "/records")).sum()
}

/// The recovery epoch of the flow there.
fn epoch(target: &Cluster) -> Result<u64> {
    let records = target.read_all(FLOW)?;
    let last = records.last().and_then(|it| it.value.as_deref());
    let record: Value = serde_json::from_slice(last.unwrap_or_default()).unwrap_or_default();
    Ok(number(&record, "/epoch").unwrap_or_default())
}

fn tell(home: &Home, voice: &mut Voice) {
    let Audit {
        acknowledged,
        in_topic,
        in_tail,
        missing,
        twice,
        ..
    } = home.standby;
    voice.say(&format!(
        "By the shop's own logs {} sales were acknowledged, on both sides and in all of its lives. On usw2 {} are in the topic \
         and {} were put aside; {missing} are in neither, {twice} in both.",
        grouped(acknowledged),
        grouped(in_topic),
        grouped(in_tail),
    ));
    voice.say(&format!(
        "At home all {} are in the topic, in order: what was put aside stays there too, before the copies of what usw2 took.",
        grouped(home.home.in_topic)
    ));
    for (group, went) in &home.groups {
        voice.say(&format!(
            "Group {group} goes on at home, reads {} again and skips {}.",
            went.re_read, went.skipped
        ));
    }
    voice.relief(&format!(
        "usw2 stands by again, at e{}: {} sales that were written at home have come there. The page: {}",
        home.epoch,
        grouped(home.rearmed),
        home.page.display()
    ));
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
