//! Evidence to look at: a failover that went well, and what may go otherwise.

use understudy_recovery::assessment::{Assessment, ClusterSeen, FlowSeen};
use understudy_recovery::cut::{Cut, PartitionCut};
use understudy_recovery::evidence::{ApprovalRecord, Evidence, SCHEMA, StepRecord};
use understudy_recovery::health::{Health, HealthVerdict};
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_recovery::plan::{Plan, Wish};
use understudy_recovery::tail::{KeysOfTail, PlaceOfCut, TailOfPartition, TailSurvey};
use understudy_recovery::{Alias, Epoch, ExecutionName, Leash, LossBound, Mode, PairName, Step};

const BEGAN: i64 = 1_795_845_645_000;

fn alias(name: &str) -> Alias {
    Alias::new(name).expect("an alias")
}

fn cluster(name: &str, health: Health, reasons: &[&str]) -> ClusterSeen {
    ClusterSeen {
        alias: alias(name),
        verdict: HealthVerdict {
            health,
            reasons: reasons.iter().map(|&it| it.to_owned()).collect(),
        },
        cluster_id: (health == Health::Healthy).then(|| "pX2vUw0tT6mB8hQxk1Zb3A".to_owned()),
        brokers: (health == Health::Healthy).then_some(3),
    }
}

fn step(step: Step, part: Option<u32>, began: i64, ended: i64, did: &[&str]) -> StepRecord {
    StepRecord {
        step,
        part,
        returned: false,
        began_at_ms: BEGAN + began,
        ended_at_ms: BEGAN + ended,
        tries: 1,
        did: did.iter().map(|&it| it.to_owned()).collect(),
        error: None,
    }
}

fn steps() -> Vec<StepRecord> {
    let mut steps = vec![
        step(
            Step::ClaimEpoch,
            None,
            180,
            231,
            &["claimed epoch e7: usw2 takes over from use1"],
        ),
        step(
            Step::Assess,
            None,
            290,
            3_330,
            &[
                "source use1 is unhealthy",
                "target usw2 is healthy",
                "flow use1-usw2 is running with 24 partitions",
            ],
        ),
        step(
            Step::PlanRecovery,
            None,
            3_390,
            3_431,
            &["goes on without asking"],
        ),
        step(
            Step::SealFlow,
            None,
            3_490,
            4_102,
            &[
                "sealed use1-usw2 at e7",
                "refused the workers of 8 slots",
                "read the cut of 24 partitions",
            ],
        ),
        step(Step::FenceSource, None, 3_490, 6_520, &[]),
        step(
            Step::CommitGroupOffsets,
            None,
            4_160,
            4_402,
            &["committed 47 places of 4 groups"],
        ),
        step(
            Step::VerifyOffsets,
            None,
            4_460,
            4_590,
            &["read 47 places back: none skips a record"],
        ),
        step(
            Step::OpenTarget,
            None,
            4_650,
            4_877,
            &["granted 6 withheld writes", "usw2 is active at e7"],
        ),
        step(
            Step::ReconfigureClients,
            Some(0),
            4_930,
            5_310,
            &["moved billing, shipping"],
        ),
        step(
            Step::ReconfigureClients,
            Some(1),
            5_370,
            5_790,
            &["moved storefront"],
        ),
        step(
            Step::VerifyClients,
            Some(1),
            5_840,
            11_620,
            &[
                "billing and storefront are at work",
                "shipping has no member in group shipping-v2 yet",
            ],
        ),
    ];
    if let Some(fence) = steps.iter_mut().find(|it| it.step == Step::FenceSource) {
        fence.tries = 2;
        fence.error = Some((
            "SourceUnreachable".to_owned(),
            "source cluster: use1 did not answer within 3 s".to_owned(),
        ));
    }
    steps
}

fn cut(partitions: i32, behind: i64) -> Cut {
    Cut {
        flow: "use1-usw2".to_owned(),
        epoch: Epoch::new(7),
        at_ms: BEGAN + 4_100,
        partitions: (0..partitions)
            .map(|partition| {
                let end = 1_204_331 + i64::from(partition) * 9_917;
                PartitionCut {
                    topic: "orders".to_owned(),
                    partition,
                    target_topic: "orders".to_owned(),
                    source_offset: end,
                    target_offset: end + 40_112,
                    incarnation: 0,
                    source_end_offset: Some(if partition == 2 { end + behind } else { end }),
                    source_end_seen_at_ms: Some(BEGAN - 1_900),
                }
            })
            .collect(),
    }
}

fn places() -> Places {
    let mut places = Vec::new();
    for (group, state, reread, reason) in [
        ("billing", PlaceIs::Exact, None, None),
        (
            "shipping-v2",
            PlaceIs::AtLeast,
            Some(214),
            Some("a part of the offset map is lost"),
        ),
        ("storefront-sessions", PlaceIs::AtCut, None, None),
        ("fraud-check", PlaceIs::Live, None, None),
    ] {
        for partition in 0..12 {
            let state = if partition < 2 { state } else { PlaceIs::Exact };
            places.push(GroupPlace {
                group: group.to_owned(),
                topic: "orders".to_owned(),
                partition,
                source_offset: Some(1_204_000),
                target_offset: Some(1_244_112),
                state,
                reread_records: reread.filter(|_| partition < 2),
                reason: reason.filter(|_| partition < 2).map(str::to_owned),
            });
        }
    }
    Places { places }
}

/// A failover that an alarm led to.
pub fn failover() -> Evidence {
    let pair = PairName::new("shop").expect("a pair's name");
    let loss = LossBound {
        records_at_least: 38,
        records_at_most: Some(2_410),
        seconds_at_most: Some(6.1),
    };
    Evidence {
        schema: SCHEMA,
        execution: ExecutionName::new(pair, Epoch::new(7), Mode::Failover, Leash::Acting, 1),
        mode: Mode::Failover,
        leash: Leash::Acting,
        epoch: Epoch::new(7),
        source: alias("use1"),
        target: alias("usw2"),
        wish: Wish::Alarm {
            alarm: "understudy-shop-use1-unhealthy".to_owned(),
        },
        ended: "TargetActive".to_owned(),
        error: None,
        started_at_ms: BEGAN,
        ended_at_ms: BEGAN + 11_900,
        steps: steps(),
        assessment: Some(Assessment {
            at_ms: BEGAN + 3_300,
            source: cluster(
                "use1",
                Health::Unhealthy,
                &[
                    "from the standby Region: connect failed: no broker took a connection; 3 of its 3 newest looks were bad",
                    "from its own Region: nothing comes, though its path is proven; 3 of its 3 newest looks were bad",
                ],
            ),
            target: cluster("usw2", Health::Healthy, &["from the standby Region: it serves"]),
            flow: Some(FlowSeen {
                records_per_second: Some(210.0),
                flow: "use1-usw2".to_owned(),
                state: "running".to_owned(),
                epoch: Epoch::new(6),
                partitions: 24,
                gaps: 0,
                loss,
            }),
            places: places().summary(),
            live_groups: vec!["fraud-check".to_owned()],
            reasons: vec!["somebody is on usw2 already, in fraud-check".to_owned()],
        }),
        plan: Some(Plan {
            mode: Mode::Failover,
            epoch: Epoch::new(7),
            source: alias("use1"),
            target: alias("usw2"),
            flow: "use1-usw2".to_owned(),
            loss,
            waves: Vec::new(),
            live_groups: vec!["fraud-check".to_owned()],
            will: vec![
                "seal flow use1-usw2: nothing from use1 is copied any more".to_owned(),
                "commit the places of 3 groups on usw2; leave fraud-check alone".to_owned(),
                "open usw2 to writers".to_owned(),
                "move billing and shipping, then storefront".to_owned(),
            ],
        }),
        approval: None,
        tail: None,
        cut: Some(cut(24, 38)),
        loss: Some(loss),
        places: Some(places()),
        opened_after_ms: Some(4_877),
        fenced_since_ms: None,
        clients_back_after_ms: None,
        unknown: vec![
            "What use1 took after 2026-11-28 06:00:43 UTC, when its ends were last seen, and whether it still takes writes."
                .to_owned(),
        ],
        next: vec![
            "Look at shipping: it is not back; no member in group shipping-v2 yet.".to_owned(),
            "use1 is not fenced: it did not answer. Keep writers away from it. Where a schedule keeps fences, it is fenced within a minute of its return; elsewhere by `understudy fence PAIR.toml --region us-west-2 --wait`, started now."
                .to_owned(),
            "Until use1 is back, usw2 has no standby. When it is: `understudy failback PAIR.toml --region us-east-1 --standby-only` puts aside what only use1 holds, from the cut's source offsets on, and lets it stand by; without the option applications move home as well. Nothing deletes anything."
                .to_owned(),
        ],
    }
}

/// A planned one that a person approved.
pub fn switchover() -> Evidence {
    let mut evidence = failover();
    evidence.mode = Mode::Switchover;
    evidence.wish = Wish::Person {
        name: "arn:aws:sts::111122223333:assumed-role/kafka-ops/maria".to_owned(),
        reason: "maintenance of use1's storage".to_owned(),
    };
    evidence.approval = Some(ApprovalRecord {
        approved: true,
        by: "arn:aws:sts::111122223333:assumed-role/kafka-ops/jun".to_owned(),
        at_ms: BEGAN + 2_000,
        digest: "9f3c2a7710bd44e1".to_owned(),
        note: Some("agreed in the change meeting".to_owned()),
    });
    evidence.loss = Some(LossBound::NONE);
    evidence.clients_back_after_ms = Some(11_620);
    evidence.cut = Some(cut(8, 0));
    evidence.steps.retain(|it| it.error.is_none());
    evidence.unknown.clear();
    evidence.next = vec![
        "The flow from usw2 to use1 runs. To move back: `understudy switchover PAIR.toml --region us-east-1`.".to_owned(),
    ];
    evidence
}

/// One that let a cluster that came back stand by again.
pub fn standby() -> Evidence {
    let mut evidence = switchover();
    evidence.mode = Mode::Failback;
    evidence.execution = ExecutionName::new(
        PairName::new("shop").expect("a pair's name"),
        Epoch::new(8),
        Mode::Failback,
        Leash::Acting,
        1,
    );
    evidence.epoch = Epoch::new(8);
    (evidence.source, evidence.target) = (alias("usw2"), alias("use1"));
    evidence.ended = "StandbyReady".to_owned();
    let partition = |partition: i32, records: i64| TailOfPartition {
        topic: "orders".to_owned(),
        partition,
        copies: "orders".to_owned(),
        cut: Some(PlaceOfCut {
            returned: 81_200,
            active: 82_411,
        }),
        end: 81_200 + records,
        records: u64::try_from(records).unwrap_or(0),
        first_timestamp_ms: Some(1_795_845_600_000),
        last_timestamp_ms: Some(1_795_845_643_000),
        keys: Some(KeysOfTail {
            distinct: 31,
            on_both: 4,
            exact: true,
        }),
        ..TailOfPartition::default()
    };
    evidence.tail = Some(TailSurvey {
        flow: "use1-usw2".to_owned(),
        epoch: 7,
        partitions: vec![partition(0, 0), partition(1, 38)],
        groups: vec!["billing has read 12 of them".to_owned()],
        ..TailSurvey::default()
    });
    (evidence.cut, evidence.places, evidence.plan) = (None, None, None);
    (evidence.opened_after_ms, evidence.clients_back_after_ms) = (None, None);
    evidence.loss = None;
    evidence.next = vec![
        "Applications stay on usw2. When they are to move to use1: `understudy switchover shop`."
            .to_owned(),
    ];
    evidence
}

/// One that stopped after the seal.
pub fn stuck() -> Evidence {
    let mut evidence = failover();
    evidence.ended = "OperatorNeeded".to_owned();
    evidence.error = Some(
        "PlacesUnverified: 3 places of group billing lie beyond the record to be read next"
            .to_owned(),
    );
    evidence.steps.truncate(6);
    evidence.places = None;
    evidence.opened_after_ms = None;
    evidence.next = vec![
        "The flow is sealed and usw2 takes no writes yet. Mend the reason above, then `understudy failover PAIR.toml --region us-west-2`: it takes \
         over from here."
            .to_owned(),
    ];
    evidence
}

/// One that did not act, and of which little is known.
pub fn refused() -> Evidence {
    let mut evidence = failover();
    evidence.ended = "SourceStillActive".to_owned();
    evidence.error = Some("not failing over: whether use1 is unhealthy cannot be told".to_owned());
    evidence.steps.truncate(3);
    evidence.cut = None;
    evidence.loss = None;
    evidence.places = None;
    evidence.plan = None;
    evidence.opened_after_ms = None;
    evidence.unknown.clear();
    evidence.next = vec!["Nothing was moved. Look at why use1 cannot be judged.".to_owned()];
    evidence
}
