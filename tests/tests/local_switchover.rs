//! Switchovers there and back on the deployed machines, each with a fault that a seed chose: where it ends is true, asking
//! again finishes it, and no record is lost or doubled.
//!
//! Every machine is carried out whole on stand-ins for AWS and real brokers: `failover`, `switchover` and a drill in
//! `local_aws.rs`, `failback` in `local_failback.rs`. Here each of six faults strikes once; the seed chooses in which order,
//! in which state and for how long. Another seed is tried with `SWITCHOVER_SEED=7`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use understudy_tests::aws::{EcsAgent, TwoRegions};
use understudy_tests::{Cluster, FlowFile, Judge, Pair, Workload, deployed_pair, wait_for};

type Outcome = Result<(), Box<dyn Error>>;

const PAIR: &str = "orders";
const MACHINE: &str = "understudy-orders-switchover";
const SEED: u64 = 2026;
const LIMIT: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(100);
/// How often a recovery is asked for until it leads somewhere.
const ASKED: usize = 3;
/// By how many looks a cluster is judged.
const NEWEST: usize = 2;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    SourceBroker,
    TargetBroker,
    Ledger,
    Link,
    Alarms,
    AskedAgain,
}

const FAULTS: [Fault; 6] = [
    Fault::SourceBroker,
    Fault::TargetBroker,
    Fault::Ledger,
    Fault::Link,
    Fault::Alarms,
    Fault::AskedAgain,
];
/// States in which they strike.
const STATES: [&str; 6] = [
    "Assess",
    "FenceSource",
    "AwaitDrain",
    "SealFlow",
    "CommitGroupOffsets",
    "OpenTarget",
];

#[test]
fn six_faults_of_a_seed_lose_nothing_and_each_end_is_true() -> Outcome {
    let pair = Pair::start(
        |source| source.own_processes(),
        |target| target.own_processes(),
    )?;
    let (use1, usw2) = (&pair.source, &pair.target);
    use1.create_topic("orders", 2, &[])?;
    let flow = |from, to| {
        FlowFile::new(from, to)
            .topics(["orders"])
            .slots(2)
            .in_folder(usw2.dir())
    };
    let (there, back) = (flow(use1, usw2), flow(usw2, use1));
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let flows = BTreeMap::from([
        ("there.toml".to_owned(), there.render(nowhere)?),
        ("back.toml".to_owned(), back.render(nowhere)?),
    ]);
    let folder = usw2.dir().join("aws");
    std::fs::create_dir_all(&folder)?;
    let mut aws = TwoRegions::deploy(&folder, &document(use1, usw2), &flows)?;
    let _there = EcsAgent::start(&aws.usw2, "understudy/there", 1, there)?;
    let _back = EcsAgent::start(&aws.use1, "understudy/back", 0, back)?;

    let seed = match std::env::var("SWITCHOVER_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_unset) => SEED,
    };
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults = FAULTS;
    faults.shuffle(&mut random);
    let (mut active, mut standby) = (use1, usw2);
    for (number, fault) in faults.into_iter().enumerate() {
        let state = STATES.choose(&mut random).copied().unwrap_or("Assess");
        let lasts = Duration::from_millis(random.random_range(500..3_000));
        println!(
            "{fault:?} in {state} for {lasts:?}, {} to {}",
            active.alias(),
            standby.alias()
        );
        Workload::orders(active.client(), "orders")
            .producer(format!("turn-{number}"))
            .records(100)
            .run()?;
        let verdict = Judge::new(active, standby, "orders").wait_exact(LIMIT)?;
        assert!(verdict.is_exact(), "before {fault:?}: {verdict}");
        let mut strike = Some((fault, state, lasts));
        let mut ended = None;
        for time in 0..ASKED {
            if time > 0 {
                look_again(&aws)?;
            }
            let evidence = turn(&mut aws, active, standby, strike.take())?;
            let at = text(&evidence, "ended").to_owned();
            println!("  {at} {}", text(&evidence, "error"));
            told(&evidence);
            is_true(&aws, &evidence, active, standby)?;
            let moved = at == "TargetActive";
            ended = Some(at);
            if moved {
                break;
            }
        }
        assert_eq!(
            ended.as_deref(),
            Some("TargetActive"),
            "{fault:?} in {state}"
        );
        (active, standby) = (standby, active);
    }
    let verdict = Judge::new(active, standby, "orders").wait_exact(LIMIT)?;
    assert!(verdict.is_exact(), "{verdict}");
    assert_eq!(verdict.produced, 100 * FAULTS.len() as u64);
    Ok(())
}

/// What a person waits for before asking again: looks from both Regions that are newer than what went wrong. Those of a
/// schedule come once a minute.
fn look_again(aws: &TwoRegions) -> Outcome {
    for _look in 0..NEWEST {
        for from in [&aws.use1, &aws.usw2] {
            for about in ["use1", "usw2"] {
                aws.probe(about, from)?;
            }
        }
        // Looks are told apart by their seconds.
        std::thread::sleep(Duration::from_millis(1_100));
    }
    Ok(())
}

/// One switchover, with a fault once it is in a state; what it left.
fn turn(
    aws: &mut TwoRegions,
    active: &Cluster,
    standby: &Cluster,
    strike: Option<(Fault, &str, Duration)>,
) -> Result<Value, Box<dyn Error>> {
    let to = standby.alias();
    // A recovery that was stopped half-way is taken over from once it has ended.
    let execution = wait_for("a switchover to be started", LIMIT, || {
        aws.ask("switchover", to)
            .map_err(|error| error.to_string())?
    })?;
    if let Some((fault, state, lasts)) = strike {
        let began = Instant::now();
        wait_for(&format!("{execution} to come to {state}"), LIMIT, || {
            let states = aws.of(to).states(MACHINE, &execution);
            let states = states.map_err(|error| error.to_string())?;
            // One that ended before never came there.
            if states.iter().any(|it| it == state) || states.iter().any(|it| it == "Notify") {
                Ok(())
            } else {
                Err(format!("{states:?} after {:?}", began.elapsed()))
            }
        })?;
        strike_with(aws, active, standby, fault, lasts, &execution)?;
    }
    aws.of(to).wait_execution(MACHINE, &execution, LIMIT)?;
    let (evidence, _page) = aws.evidence(aws.of(to), &execution)?;
    Ok(evidence)
}

fn strike_with(
    aws: &mut TwoRegions,
    active: &Cluster,
    standby: &Cluster,
    fault: Fault,
    lasts: Duration,
    execution: &str,
) -> Outcome {
    let broker = |cluster: &Cluster| -> Outcome {
        let broker = cluster.broker(1)?;
        broker.kill()?;
        std::thread::sleep(lasts);
        broker.start()?;
        Ok(cluster.wait_ready()?)
    };
    match fault {
        Fault::SourceBroker => broker(active)?,
        Fault::TargetBroker => broker(standby)?,
        Fault::Ledger => {
            aws.ledger.pause()?;
            std::thread::sleep(lasts);
            aws.ledger.resume()?;
        }
        Fault::Link => {
            active.link().cut()?;
            std::thread::sleep(lasts);
            active.link().heal()?;
        }
        Fault::Alarms => {
            let alarm = format!("understudy-orders-{}-unhealthy", active.alias());
            let message = json!({ "AlarmName": alarm, "NewStateValue": "ALARM" });
            let event = json!({ "Records": [{ "Sns": { "Message": message.to_string() } }] });
            for _alarm in 0..5 {
                let answer = aws
                    .of(standby.alias())
                    .step(PAIR, "trigger-recovery", &event)?;
                let outcome = answer.get("outcome").and_then(Value::as_str);
                assert_ne!(outcome, Some("started"), "{execution}: {answer}");
            }
        }
        Fault::AskedAgain => {
            let asked = aws.ask("switchover", standby.alias())?;
            assert!(asked.is_err(), "{execution}: {asked:?}");
        }
    }
    std::thread::sleep(LOOK);
    Ok(())
}

/// Whether the ledger says of the pair what the end does.
fn is_true(aws: &TwoRegions, evidence: &Value, active: &Cluster, standby: &Cluster) -> Outcome {
    let opened = evidence
        .get("opened_after_ms")
        .is_some_and(|it| !it.is_null());
    let wanted = match text(evidence, "ended") {
        "TargetActive" => standby,
        "SourceStillActive" => active,
        "OperatorNeeded" if opened => standby,
        "OperatorNeeded" => active,
        other => return Err(format!("{other:?} is no end of a switchover: {evidence}").into()),
    };
    assert_eq!(aws.active()?, wanted.alias(), "{evidence}");
    Ok(())
}

/// What a person would read: what is next, and what each step did.
fn told(evidence: &Value) {
    let list = |value: &Value, field: &str| {
        let list = value.get(field).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    for next in list(evidence, "next") {
        println!("    next: {next}");
    }
    for step in list(evidence, "steps") {
        let did = list(&step, "did");
        println!(
            "    {} {did:?} {}",
            text(&step, "step"),
            step.get("error").unwrap_or(&Value::Null)
        );
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn document(use1: &Cluster, usw2: &Cluster) -> Value {
    let more = json!({
        "fencing": { "writers": ["User:shop"], "without_acls": "accept-idle" },
        "consent": { "max_lost_records": 0, "max_age_seconds": 0 },
    });
    deployed_pair((use1, usw2), ["there.toml", "back.toml"], 1, more)
}
