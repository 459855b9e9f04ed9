//! The control plane as it is deployed: the real templates, the real functions, the real state machines, on stand-ins for
//! AWS, one a Region and one for the ledger's table.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use understudy_tests::aws::{AwsRegion, Deployed, EcsAgent, Told, TwoRegions, Version};
use understudy_tests::{
    Cluster, FlowFile, Judge, LabError, Pair, RunningWorkload, Workload, deployed_pair, wait_for,
};

type Outcome = Result<(), Box<dyn Error>>;

const PAIR: &str = "orders";
const ALARM: &str = "understudy-orders-use1-unhealthy";
const FAILOVER: &str = "understudy-orders-failover";
const POINTER: &str = "/apps/shop/kafka";
const LIMIT: Duration = Duration::from_secs(120);
/// For a command that ends with its recovery: one waits for an answer, and for a deployment before it.
const RECOVERED: Duration = Duration::from_secs(360);

/// Two Regions with their clusters.
struct Lab {
    aws: TwoRegions,
    clusters: Pair,
    forward: FlowFile,
    reverse: FlowFile,
}

impl Lab {
    fn start() -> Result<Self, Box<dyn Error>> {
        let clusters = Pair::start(
            |source| source.own_processes(),
            |target| target.own_processes(),
        )?;
        let folder = folder(&clusters.target)?;
        let (source, target) = (&clusters.source, &clusters.target);
        let forward = FlowFile::new(source, target).topics(["orders"]);
        let reverse = FlowFile::new(target, source)
            .topics(["orders"])
            .in_folder(target.dir());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let flows = BTreeMap::from([
            ("use1-usw2.toml".to_owned(), forward.render(nowhere)?),
            ("usw2-use1.toml".to_owned(), reverse.render(nowhere)?),
        ]);
        let aws = TwoRegions::deploy(&folder, &pair(source, target), &flows)?;
        Ok(Self {
            aws,
            clusters,
            forward,
            reverse,
        })
    }

    /// Both Regions look at the active cluster, as the schedule has them do, a few seconds apart.
    fn probe_use1(&self, from: &AwsRegion, times: usize) -> Outcome {
        for _time in 0..times {
            self.aws.probe("use1", from)?;
            thread::sleep(Duration::from_millis(1_100));
        }
        Ok(())
    }

    fn pointer(&self) -> Result<Value, Box<dyn Error>> {
        Ok(self.aws.usw2.pointer(POINTER)?)
    }
}

fn folder(cluster: &Cluster) -> Result<PathBuf, Box<dyn Error>> {
    let folder = cluster.dir().join("aws");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn pair(source: &Cluster, target: &Cluster) -> Value {
    let more = json!({
        "consent": { "max_lost_records": 1_000_000, "max_age_seconds": 3_600 },
        "fencing": { "writers": ["User:shop"], "without_acls": "accept-idle" },
        "early_clients": "ask",
        "applications": [{
            "name": "shop",
            "role": "producer",
            "adapters": [{ "kind": "ssm-parameter", "parameter": POINTER }],
            "topics": ["orders"],
        }],
    });
    deployed_pair(
        (source, target),
        ["use1-usw2.toml", "usw2-use1.toml"],
        1,
        more,
    )
}

#[test]
fn a_second_deployment_changes_nothing_and_ten_alarms_are_one_recovery() -> Outcome {
    let lab = Lab::start()?;
    a_version_that_fails_is_taken_back(&lab)?;
    assert_eq!(lab.aws.deploy_again()?, [Deployed::Unchanged; 3]);
    a_cold_function_answers_in_time(&lab)?;
    a_wrong_event_is_refused_by_name(&lab)?;
    the_alarm_is_ignored_where_its_cluster_stands_by(&lab)?;
    let execution = ten_alarms_are_one_execution(&lab)?;
    it_ends_and_leaves_evidence(&lab, &execution)?;
    let typed = Typed(&lab.aws);
    the_command_line_drills_there_and_tells_what_came_of_it(&typed)?;
    let there = EcsAgent::start(
        &lab.aws.usw2,
        "understudy/use1-usw2",
        1,
        lab.forward.clone(),
    )?;
    let back = EcsAgent::start(
        &lab.aws.use1,
        "understudy/usw2-use1",
        0,
        lab.reverse.clone(),
    )?;
    a_check_names_what_somebody_broke_and_holds_once_it_is_mended(&lab, &typed)?;
    a_switchover_asks_and_goes_on_once_it_is_approved(&lab, &typed)?;
    a_failover_goes_home_without_the_cluster_that_is_lost_and_fences_it_on_return(&lab, &typed)?;
    drop((there, back));
    the_next_recovery_is_of_the_next_version(&lab, &typed)?;
    what_is_taken_away_leaves_only_what_holds_data(&lab)
}

/// Half of it had changed by the time one machine was refused.
fn a_version_that_fails_is_taken_back(lab: &Lab) -> Outcome {
    let before = lab.aws.usw2.inventory()?;
    let refused = lab.aws.deploy_version("usw2", Version::Refused);
    let why = refused.map_or_else(|error| error.to_string(), |_| "taken".to_owned());
    assert!(why.contains("INVALID_JSONATA"), "{why}");
    let status = lab.aws.deployment_status("usw2")?;
    assert_eq!(status, "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(lab.aws.usw2.inventory()?, before);
    Ok(())
}

/// From nothing to an answer: the process, the way to AWS, the pair and the ledger; and the same once more.
fn a_cold_function_answers_in_time(lab: &Lab) -> Outcome {
    let event = json!({ "schedule": "look-again", "pair": PAIR });
    let mut took = Vec::new();
    for _call in 0..3 {
        let began = Instant::now();
        let answer = lab.aws.usw2.step(PAIR, "trigger-recovery", &event)?;
        took.push(began.elapsed());
        assert_eq!(answer.get("outcome"), Some(&json!("ignored")), "{answer}");
    }
    println!("cold, warm, warm: {took:.0?}");
    assert!(took.iter().all(|took| *took < LIMIT), "{took:?}");
    Ok(())
}

fn a_wrong_event_is_refused_by_name(lab: &Lab) -> Outcome {
    for step in ["seal-flow", "claim-epoch", "trigger-recovery"] {
        let refused = lab.aws.usw2.step(PAIR, step, &json!({ "Records": "none" }));
        let text = refused.map(|answer| answer.to_string());
        let text = text
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(text.contains("\"BadRequest\""), "{step}: {text}");
    }
    Ok(())
}

fn the_alarm_is_ignored_where_its_cluster_stands_by(lab: &Lab) -> Outcome {
    let message =
        json!({ "AlarmName": "understudy-orders-usw2-unhealthy", "NewStateValue": "ALARM" });
    let event = json!({ "Records": [{ "Sns": { "Message": message.to_string() } }] });
    let answer = lab.aws.use1.step(PAIR, "trigger-recovery", &event)?;
    assert_eq!(answer.get("outcome"), Some(&json!("ignored")), "{answer}");
    assert_eq!(lab.aws.use1.executions(FAILOVER)?, Vec::<String>::new());
    Ok(())
}

/// An event, delivered again while a busy store keeps it from being taken, as SNS does.
fn delivered(region: &AwsRegion, event: &Value) -> Result<Value, LabError> {
    let began = Instant::now();
    loop {
        let answer = region.step(PAIR, "trigger-recovery", event);
        let is_busy = |error: &LabError| error.to_string().contains("Unreachable");
        if !answer.as_ref().is_err_and(is_busy) || began.elapsed() > LIMIT {
            return answer;
        }
    }
}

fn ten_alarms_are_one_execution(lab: &Lab) -> Result<String, Box<dyn Error>> {
    let message = json!({ "AlarmName": ALARM, "NewStateValue": "ALARM" });
    let event = json!({ "Records": [{ "Sns": { "Message": message.to_string() } }] });
    let outcomes: Vec<String> = thread::scope(|scope| {
        let calls: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| delivered(&lab.aws.usw2, &event)))
            .collect();
        let answers = calls.into_iter().map(|call| match call.join() {
            Ok(Ok(answer)) => answer
                .get("outcome")
                .and_then(Value::as_str)
                .unwrap_or("none")
                .to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_panic) => "a panic".to_owned(),
        });
        answers.collect()
    });
    let count = |outcome: &str| outcomes.iter().filter(|it| it.as_str() == outcome).count();
    assert_eq!(count("started"), 1, "{outcomes:?}");
    assert_eq!(count("started") + count("under-way"), 10, "{outcomes:?}");
    let executions = lab.aws.usw2.executions(FAILOVER)?;
    assert_eq!(executions, ["orders-e1-failover-1"]);
    Ok(executions.concat())
}

/// Nobody's cluster is ill, so it moves nobody; and it says so.
fn it_ends_and_leaves_evidence(lab: &Lab, execution: &str) -> Outcome {
    let ended = lab.aws.usw2.wait_execution(FAILOVER, execution, LIMIT);
    let ended = ended.inspect_err(|_| explain(lab, execution))?;
    println!("{ended:?}: {:?}", lab.aws.usw2.states(FAILOVER, execution)?);
    let evidence = evidence(lab, execution)?;
    let at_end = evidence.get("ended").and_then(Value::as_str);
    assert_ne!(at_end, Some("TargetActive"), "{evidence}");
    let pointer = lab.pointer()?;
    assert_eq!(
        pointer.get("schema"),
        Some(&json!(0)),
        "nobody was moved: {pointer}"
    );
    Ok(())
}

/// What a person types. All that it is told is the Region; where the rest is, it is told there.
struct Typed<'a>(&'a TwoRegions);

impl Typed<'_> {
    fn told(&self, alias: &str, verb: &str, more: &[&str]) -> Result<Told, LabError> {
        self.0.typed(alias, verb, more, RECOVERED)
    }

    /// What it answered; it ends with this status.
    fn run(
        &self,
        alias: &str,
        verb: &str,
        more: &[&str],
        code: i32,
    ) -> Result<String, Box<dyn Error>> {
        let told = self.told(alias, verb, more)?;
        assert_eq!(told.status, Some(code), "{verb} {more:?}: {told:?}");
        Ok(told.answered)
    }

    /// A recovery's evidence, as it is printed.
    fn evidence(
        &self,
        alias: &str,
        verb: &str,
        more: &[&str],
        code: i32,
    ) -> Result<Value, Box<dyn Error>> {
        let answered = self.run(alias, verb, &[more, &["--json"]].concat(), code)?;
        Ok(serde_json::from_str(&answered)?)
    }
}

fn the_command_line_drills_there_and_tells_what_came_of_it(typed: &Typed<'_>) -> Outcome {
    // use1 is well and nobody is there to be asked.
    let refused = typed.evidence("usw2", "failover", &[], 1)?;
    let stays = json!("SourceStillActive");
    assert_eq!(refused.get("ended"), Some(&stays), "{refused}");
    let drill = typed.evidence("usw2", "drill", &[], 0)?;
    assert_eq!(drill.get("ended"), Some(&json!("DrillDone")), "{drill}");
    let evidence = typed.evidence("usw2", "evidence", &[], 0)?;
    let done = Some(&json!("DrillDone"));
    assert_eq!(evidence.get("ended"), done, "{evidence}");
    let execution = evidence.get("execution").and_then(Value::as_str);
    let followed = typed.run("usw2", "watch", &[execution.ok_or("no execution")?], 0)?;
    assert!(followed.contains("DrillDone"), "{followed}");
    Ok(())
}

/// The alarm leads to nothing, a schedule is off, the consent was changed by hand.
fn a_check_names_what_somebody_broke_and_holds_once_it_is_mended(
    lab: &Lab,
    typed: &Typed<'_>,
) -> Outcome {
    let (here, rule) = (&lab.aws.usw2, "understudy-orders-look-again");
    here.hold_alarm(ALARM)?;
    here.switch_rule(rule, false)?;
    let parameter = "/understudy/orders/pair";
    let deployed = here.parameter(parameter)?;
    here.put_parameter(parameter, &deployed.replace("1000000", "2000000"))?;
    // The schedules' looks.
    for (about, from) in [
        ("use1", here),
        ("usw2", here),
        ("use1", &lab.aws.use1),
        ("usw2", &lab.aws.use1),
    ] {
        lab.aws.probe(about, from)?;
    }
    let answered = typed.run("usw2", "check", &["--aws", "--json"], 1)?;
    let fails = findings(&answered, "us-west-2, usw2, stands by", "fails")?;
    let expected = [
        ("schedule look-again", "it is switched off"),
        (
            "alarm understudy-orders-use1-unhealthy",
            "its actions are disabled: it fires and nothing happens",
        ),
        (
            "pair's parameter",
            "it is not what the files say: consent.max_lost_records is 2000000 there and 1000000 in the file",
        ),
    ];
    for (what, found) in expected {
        assert!(
            fails.contains(&(what.to_owned(), found.to_owned())),
            "{what}: {answered}"
        );
    }
    // And that functions have not read it.
    assert_eq!(fails.len(), expected.len() + 1, "{answered}");
    let none = findings(&answered, "us-east-1, use1, active", "fails")?;
    assert!(none.is_empty(), "{answered}");
    here.put_parameter(parameter, &deployed)?;
    here.switch_rule(rule, true)?;
    here.release_alarm(ALARM)?;
    let answered = typed.run("usw2", "check", &["--aws", "--json"], 0)?;
    let holds = findings(&answered, "us-west-2, usw2, stands by", "ok")?;
    for (what, found) in [
        ("functions", "23, all of one program"),
        ("state machine failover", "as this understudy has it"),
        ("service understudy/use1-usw2", "1 of 1 workers run"),
        ("pair's parameter", "as the files say"),
    ] {
        let there = holds.contains(&(what.to_owned(), found.to_owned()));
        assert!(there, "{what}: {answered}");
    }
    let unknown = findings(&answered, "us-west-2, usw2, stands by", "unknown")?;
    assert!(unknown.is_empty(), "{answered}");
    Ok(())
}

/// What a check found in a place, of one standing.
fn findings(
    answered: &str,
    place: &str,
    standing: &str,
) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let report: Value = serde_json::from_str(answered)?;
    let places = report.get("places").and_then(Value::as_array);
    let here = places
        .into_iter()
        .flatten()
        .find(|it| it.get("place") == Some(&json!(place)))
        .ok_or_else(|| format!("no {place}: {answered}"))?;
    let all = here.get("findings").and_then(Value::as_array);
    let text = |it: &Value, key: &str| it.get(key).and_then(Value::as_str).map(str::to_owned);
    let found = all
        .into_iter()
        .flatten()
        .filter(|it| it.get("standing") == Some(&json!(standing)));
    Ok(found
        .filter_map(|it| Some((text(it, "what")?, text(it, "found")?)))
        .collect())
}

/// Somebody is early on usw2, so a person is asked.
fn a_switchover_asks_and_goes_on_once_it_is_approved(lab: &Lab, typed: &Typed<'_>) -> Outcome {
    let (source, target) = (&lab.clusters.source, &lab.clusters.target);
    source.create_topic("orders", 2, &[])?;
    Workload::orders(source.client(), "orders")
        .records(500)
        .run()?;
    let verdict = Judge::new(source, target, "orders").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    let moved = AtomicBool::new(false);
    let evidence = thread::scope(|scope| -> Result<Value, Box<dyn Error>> {
        let early = scope.spawn(|| target.stay_in_group("early", "orders", &moved));
        let asked = scope.spawn(|| {
            wait_for("somebody in group early", LIMIT, || {
                let places = target.group_places("early", "orders");
                match places.map_err(|error| error.to_string())? {
                    places if places.is_empty() => Err("no place yet".to_owned()),
                    _ => Ok(()),
                }
            })?;
            let evidence = typed.evidence("usw2", "switchover", &["--wait"], 0);
            evidence.map_err(|error| LabError::Usage(error.to_string()))
        });
        let writing = approve(lab, typed).and_then(|()| writes(lab, "usw2"));
        let evidence = asked.join().map_err(|_panic| "the command panicked")?;
        let written = writing.and_then(|writing| Ok(writing.stop()?));
        moved.store(true, Ordering::Relaxed);
        early.join().map_err(|_panic| "early panicked")??;
        written?;
        Ok(evidence?)
    })?;
    let active = Some(&json!("TargetActive"));
    assert_eq!(evidence.get("ended"), active, "{evidence}");
    let approval = evidence.get("approval").ok_or("nobody approved")?;
    let said = (approval.get("approved"), approval.get("note"));
    assert_eq!(said, (Some(&json!(true)), Some(&json!("seen"))));
    assert_eq!(lab.pointer()?.get("active"), Some(&json!("usw2")));
    Ok(())
}

/// While it waits for its answer every function and every machine is replaced, where it runs.
fn a_version_is_deployed_under_it(lab: &Lab, machine: &str, execution: &str) -> Outcome {
    let usw2 = &lab.aws.usw2;
    wait_for("the question", LIMIT, || {
        let states = usw2.states(machine, execution);
        let states = states.map_err(|error| error.to_string())?;
        let asks = states.last().is_some_and(|it| it == "RequestApproval");
        asks.then_some(()).ok_or_else(|| format!("{states:?}"))
    })?;
    let before = usw2.inventory()?;
    let deployed = lab.aws.deploy_version("usw2", Version::Next)?;
    assert_eq!(deployed, Deployed::Changed);
    for (thing, now) in usw2.inventory()? {
        let was = before.get(&thing);
        let has_code = matches!(thing.0, "function" | "machine");
        assert_eq!(was != Some(&now), has_code, "{thing:?}");
    }
    Ok(())
}

/// The one that was under way went on in the machine that it had begun with, with the new functions.
fn the_next_recovery_is_of_the_next_version(lab: &Lab, typed: &Typed<'_>) -> Outcome {
    let (switchover, failover) = ("understudy-orders-switchover", FAILOVER);
    let anew = Version::STATE.to_owned();
    let before = lab.aws.usw2.executions(switchover)?.concat();
    let states = lab.aws.usw2.states(switchover, &before)?;
    assert!(states.contains(&"TargetActive".to_owned()) && !states.contains(&anew));
    // Whatever it finds: usw2 has just come back.
    let told = typed.told("usw2", "drill", &["--json"])?;
    let drill: Value = serde_json::from_str(&told.answered)?;
    let execution = drill.get("execution").and_then(Value::as_str);
    let states = lab.aws.usw2.states(failover, execution.ok_or("no name")?)?;
    assert!(states.contains(&anew), "{states:?}");
    Ok(())
}

fn what_is_taken_away_leaves_only_what_holds_data(lab: &Lab) -> Outcome {
    let usw2 = &lab.aws.usw2;
    let (before, pointer) = (usw2.inventory()?, lab.pointer()?);
    let (left, ledger) = lab.aws.destroy("usw2")?;
    let holds_data = |(kind, name): &(&str, String)| {
        matches!(*kind, "bucket" | "key" | "log")
            || (*kind, name.as_str()) == ("parameter", POINTER)
    };
    let kept = before.keys().filter(|thing| holds_data(thing));
    assert!(left.keys().eq(kept), "{left:?}");
    assert!(left.keys().any(|(kind, _)| *kind == "log"), "{left:?}");
    assert_eq!(lab.pointer()?, pointer, "applications still read it");
    let table = ("table", "understudy-orders-ledger".to_owned());
    assert!(ledger.contains_key(&table), "{ledger:?}");
    Ok(())
}

/// Answers, once it is asked.
fn approve(lab: &Lab, typed: &Typed<'_>) -> Outcome {
    let machine = "understudy-orders-switchover";
    let execution = wait_for("a switchover", LIMIT, || {
        let executions = lab.aws.usw2.executions(machine);
        let first = executions.map_err(|error| error.to_string())?.pop();
        first.ok_or_else(|| "none yet".to_owned())
    })?;
    a_version_is_deployed_under_it(lab, machine, &execution)?;
    let answer = [&execution, "--yes", "--note", "seen"];
    let told = wait_for("the question to be answered", LIMIT, || {
        let told = typed.told("usw2", "approve", &answer);
        match told.map_err(|error| error.to_string())? {
            told if told.status == Some(0) => Ok(told.answered),
            told => Err(told.said),
        }
    })?;
    assert!(told.contains("early"), "what is asked is shown: {told}");
    Ok(())
}

/// An application that writes where the ledger says, until it is stopped: whoever looks whether it does may come late.
fn writes(lab: &Lab, alias: &str) -> Result<RunningWorkload, Box<dyn Error>> {
    wait_for(&format!("{alias} to be active"), LIMIT, || {
        let active = lab.aws.active().map_err(|error| error.to_string())?;
        (active == alias).then_some(()).ok_or(active)
    })?;
    let (source, target) = (&lab.clusters.source, &lab.clusters.target);
    let here = if alias == target.alias() {
        target
    } else {
        source
    };
    let writing = Workload::orders(here.client(), "orders")
        .producer(format!("shop-{alias}"))
        .records(u64::MAX)
        .rate(100)
        .start()?;
    Ok(writing)
}

/// Away again, on the other side's word alone; and what was left is shut once it answers.
fn a_failover_goes_home_without_the_cluster_that_is_lost_and_fences_it_on_return(
    lab: &Lab,
    typed: &Typed<'_>,
) -> Outcome {
    let (source, target) = (&lab.clusters.source, &lab.clusters.target);
    let verdict = Judge::new(target, source, "orders").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    for broker in target.brokers() {
        broker.kill()?;
    }
    let evidence = thread::scope(|scope| -> Result<Value, Box<dyn Error>> {
        let writing = scope.spawn(|| writes(lab, "use1").map_err(|error| error.to_string()));
        let more = ["--yes", "--reason", "usw2 is gone"];
        let evidence = typed.evidence("use1", "failover", &more, 0)?;
        let writing = writing.join().map_err(|_panic| "shop panicked")??;
        writing.stop()?;
        Ok(evidence)
    })?;
    let active = Some(&json!("TargetActive"));
    assert_eq!(evidence.get("ended"), active, "{evidence}");
    let open = typed.told("use1", "fence", &[])?;
    let says = open.answered.contains("usw2 is not fenced");
    assert_eq!((open.status, says), (Some(1), true), "{open:?}");
    for broker in target.brokers() {
        broker.start()?;
    }
    let fenced = typed.run("use1", "fence", &["--wait"], 0)?;
    assert!(fenced.contains("usw2 is fenced"), "{fenced}");
    Ok(())
}

fn evidence(lab: &Lab, execution: &str) -> Result<Value, Box<dyn Error>> {
    let (evidence, page) = lab.aws.evidence(&lab.aws.usw2, execution)?;
    assert!(page.contains(execution), "{page}");
    Ok(evidence)
}

#[test]
fn an_alarm_moves_applications_when_a_region_is_lost_with_its_brokers_and_its_aws() -> Outcome {
    let mut lab = Lab::start()?;
    lab.clusters.source.create_topic("orders", 4, &[])?;
    let agent = EcsAgent::start(
        &lab.aws.usw2,
        "understudy/use1-usw2",
        1,
        lab.forward.clone(),
    )?;
    let written = Workload::orders(lab.clusters.source.client(), "orders")
        .records(2_000)
        .run()?;
    let mut judge = Judge::new(&lab.clusters.source, &lab.clusters.target, "orders");
    let verdict = judge.wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    lab.probe_use1(&lab.aws.use1, 4)?;
    lab.probe_use1(&lab.aws.usw2, 2)?;
    lab.aws.usw2.hold_alarm(ALARM)?;

    for broker in lab.clusters.source.brokers() {
        broker.kill()?;
    }
    // Its own prober sees it too, before its AWS follows.
    lab.probe_use1(&lab.aws.use1, 3)?;
    lab.aws.use1.kill()?;
    lab.probe_use1(&lab.aws.usw2, 4)?;
    lab.aws.usw2.fire_alarm(ALARM)?;

    let pointed = wait_for("clients to be pointed to usw2", LIMIT, || {
        let pointer = lab.pointer().map_err(|error| error.to_string())?;
        match pointer.get("active").and_then(Value::as_str) {
            Some("usw2") => Ok(()),
            _ => Err(format!(
                "{pointer}; {:?}",
                lab.aws.usw2.executions(FAILOVER)
            )),
        }
    });
    let execution = format!("{PAIR}-e1-failover-1");
    pointed.inspect_err(|_| explain(&lab, &execution))?;

    // An application that follows the pointer.
    let more = Workload::orders(lab.clusters.target.client(), "orders")
        .producer("shop")
        .records(u64::MAX)
        .rate(100)
        .start()?;
    let ended = lab.aws.usw2.wait_execution(FAILOVER, &execution, LIMIT);
    let ended = ended.inspect_err(|_| explain(&lab, &execution))?;
    more.stop()?;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let evidence = evidence(&lab, &execution)?;
    assert_eq!(
        evidence.get("ended"),
        Some(&json!("TargetActive")),
        "{evidence}"
    );
    let opened = evidence.get("opened_after_ms");
    println!("from the alarm until writers were let in, in ms: {opened:?}");
    assert_eq!(
        evidence.pointer("/loss/records_at_least"),
        Some(&json!(0)),
        "{evidence}"
    );
    assert!(!written.committed.is_empty());
    drop(agent);
    Ok(())
}

/// What a person would look at first.
fn explain(lab: &Lab, execution: &str) {
    let states = lab.aws.usw2.states(FAILOVER, execution);
    eprintln!("{execution} went through {states:?}");
    for file in ["assessment.json", "plan.json"] {
        let bucket = "understudy-orders-000000000000-us-west-2";
        let key = format!("recoveries/{execution}/{file}");
        eprintln!("{file}: {:?}", lab.aws.usw2.api().object(bucket, &key));
    }
    let log: &Path = lab.aws.usw2.ministack().log();
    eprintln!("log: {}", log.display());
}
