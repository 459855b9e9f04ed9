//! When a recovery is carried out, put to a person, or refused.

mod orders;

use std::collections::{BTreeMap, BTreeSet};

use orders::alias;
use proptest::prelude::*;
use understudy_recovery::assessment::{Assessment, ClusterSeen, FlowSeen};
use understudy_recovery::client::{Adapter, Application, Role};
use understudy_recovery::contract::Order;
use understudy_recovery::health::{Health, HealthVerdict};
use understudy_recovery::pair::{Automation, EarlyClients, Fencing, Pair, WithoutAcls};
use understudy_recovery::places::PlacesSummary;
use understudy_recovery::plan::{Decision, Plan, Wish, decide, waves};
use understudy_recovery::{Alias, Consent, Epoch, ExecutionName, Leash, LossBound, Mode, PairName};

fn application(name: &str, role: Role, wave: u32) -> Application {
    Application {
        name: name.to_owned(),
        role,
        wave,
        adapters: vec![Adapter::EcsService {
            services: BTreeMap::from([(alias("usw2"), format!("apps/{name}"))]),
            desired: 2,
        }],
        groups: Vec::new(),
        topics: Vec::new(),
    }
}

fn proofs() -> BTreeMap<Alias, BTreeMap<String, String>> {
    let login = || BTreeMap::from([("sasl.username".to_owned(), "orders".to_owned())]);
    ["use1", "usw2"].map(|it| (alias(it), login())).into()
}

fn pair() -> Pair {
    Pair {
        automation: Automation::Automatic,
        consent: Consent {
            max_lost_records: 1_000,
            max_age_seconds: 30,
        },
        fencing: Fencing {
            writers: vec!["User:orders".to_owned()],
            without_acls: WithoutAcls::Refuse,
            proof: proofs(),
        },
        early_clients: EarlyClients::Keep,
        applications: vec![
            application("shop", Role::Producer, 0),
            application("billing", Role::Consumer, 1),
            application("search", Role::Consumer, 0),
        ],
        ..orders::pair()
    }
}

fn order(mode: Mode) -> Order {
    Order {
        pair: pair().name,
        execution: ExecutionName::new(pair().name, Epoch::new(7), mode, Leash::Acting, 1),
        epoch: Epoch::new(7),
        mode,
        leash: Leash::Acting,
        source: alias("use1"),
        target: alias("usw2"),
        found_fenced: false,
        begun: false,
    }
}

fn seen(name: &str, health: Health) -> ClusterSeen {
    ClusterSeen {
        alias: alias(name),
        verdict: HealthVerdict {
            health,
            reasons: vec![format!("{name} was looked at")],
        },
        cluster_id: None,
        brokers: None,
    }
}

fn loss(records: u64) -> LossBound {
    LossBound {
        records_at_least: records,
        records_at_most: Some(records),
        seconds_at_most: Some(2.0),
    }
}

/// The active cluster is gone, the standby is well, a little would be lost.
fn disaster() -> Assessment {
    Assessment {
        at_ms: 1_790_000_000_000,
        source: seen("use1", Health::Unhealthy),
        target: seen("usw2", Health::Healthy),
        flow: Some(FlowSeen {
            records_per_second: None,
            flow: "use1-usw2".to_owned(),
            state: "running".to_owned(),
            epoch: Epoch::new(6),
            partitions: 100,
            gaps: 0,
            loss: loss(10),
        }),
        places: PlacesSummary {
            groups: 50,
            ..PlacesSummary::default()
        },
        live_groups: Vec::new(),
        reasons: Vec::new(),
    }
}

/// Both clusters are well.
fn peace() -> Assessment {
    Assessment {
        source: seen("use1", Health::Healthy),
        ..disaster()
    }
}

fn alarm() -> Wish {
    Wish::Alarm {
        alarm: "orders-unhealthy".to_owned(),
    }
}

fn person() -> Wish {
    Wish::Person {
        name: "ana".to_owned(),
        reason: "the Region is dark".to_owned(),
    }
}

fn decided(pair: &Pair, mode: Mode, wish: &Wish, assessment: &Assessment) -> Decision {
    decide(pair, &order(mode), wish, None, assessment).1
}

fn refusal(decision: &Decision) -> &str {
    match decision {
        Decision::Refuse { reason } => reason,
        Decision::Proceed => "proceeds",
        Decision::Ask { .. } => "asks",
    }
}

fn question(decision: &Decision) -> &str {
    match decision {
        Decision::Ask { question } => question,
        Decision::Proceed => "proceeds",
        Decision::Refuse { .. } => "refuses",
    }
}

#[test]
fn an_alarm_fails_over_what_is_gone() {
    let (plan, decision) = decide(&pair(), &order(Mode::Failover), &alarm(), None, &disaster());
    assert_eq!(decision, Decision::Proceed);
    assert_eq!(plan.flow, "use1-usw2");
    assert_eq!(plan.loss, loss(10));
    let acts: Vec<&str> = plan
        .will
        .iter()
        .map(|act| act.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(
        acts,
        [
            "seal", "bring", "check", "go", "let", "move", "move", "move", "beside", "write"
        ],
        "{:#?}",
        plan.will
    );
    assert!(
        plan.will
            .iter()
            .any(|act| act.contains("search (ECS service apps/search with 2 tasks)")),
        "{:#?}",
        plan.will
    );
}

#[test]
fn an_alarm_alone_moves_nothing_that_may_serve() {
    for health in [Health::Unknown, Health::Healthy] {
        let assessment = Assessment {
            source: seen("use1", health),
            ..disaster()
        };
        for automation in [Automation::Automatic, Automation::AskFirst] {
            let pair = Pair {
                automation,
                ..pair()
            };
            let decision = decided(&pair, Mode::Failover, &alarm(), &assessment);
            assert!(
                refusal(&decision).starts_with("not failing over: alarm orders-unhealthy stands"),
                "{decision:?}"
            );
        }
    }
}

#[test]
fn who_decides_is_the_pairs_to_say() {
    let ask = Pair {
        automation: Automation::AskFirst,
        ..pair()
    };
    let decision = decided(&ask, Mode::Failover, &alarm(), &disaster());
    assert_eq!(
        question(&decision),
        "Fail over from use1 to usw2? alarm orders-unhealthy stands, use1 is unhealthy (use1 was looked at), and pair \
         orders asks first. 10 records are lost, none older than 2.0 s."
    );
    let observe = Pair {
        automation: Automation::ObserveOnly,
        ..pair()
    };
    let decision = decided(&observe, Mode::Failover, &alarm(), &disaster());
    assert!(refusal(&decision).contains("observes only"), "{decision:?}");
    // A person needs no leave.
    let decision = decided(&observe, Mode::Failover, &person(), &disaster());
    assert_eq!(decision, Decision::Proceed);
}

#[test]
fn a_person_may_fail_over_what_cannot_be_told_and_is_asked_about_what_serves() {
    let unknown = Assessment {
        source: seen("use1", Health::Unknown),
        ..disaster()
    };
    let decision = decided(&pair(), Mode::Failover, &person(), &unknown);
    assert_eq!(decision, Decision::Proceed);
    let decision = decided(&pair(), Mode::Failover, &person(), &peace());
    assert!(
        question(&decision).contains("use1 is healthy"),
        "{decision:?}"
    );
}

#[test]
fn a_loss_beyond_the_consent_is_a_persons_decision() {
    let with = |bound: LossBound| {
        let mut assessment = disaster();
        if let Some(flow) = &mut assessment.flow {
            flow.loss = bound;
        }
        assessment
    };
    let too_many = with(loss(5_000));
    let decision = decided(&pair(), Mode::Failover, &alarm(), &too_many);
    assert!(
        question(&decision)
            .contains("5000 records are lost, none older than 2.0 s, beyond what is consented to"),
        "{decision:?}"
    );
    let unbounded = with(LossBound {
        records_at_most: None,
        ..loss(3)
    });
    let decision = decided(&pair(), Mode::Failover, &alarm(), &unbounded);
    assert!(
        question(&decision).contains("nothing tells how many more"),
        "{decision:?}"
    );
    // What a person consents to counts for that person, and for no alarm.
    let consent = Some(Consent {
        max_lost_records: 10_000,
        max_age_seconds: 60,
    });
    let order = order(Mode::Failover);
    let (_, decision) = decide(&pair(), &order, &person(), consent, &too_many);
    assert_eq!(decision, Decision::Proceed);
    let (_, decision) = decide(&pair(), &order, &alarm(), consent, &too_many);
    assert!(matches!(decision, Decision::Ask { .. }), "{decision:?}");
}

#[test]
fn nothing_goes_to_a_cluster_that_is_not_fit() {
    let sick = |health| Assessment {
        target: seen("usw2", health),
        ..disaster()
    };
    let no_flow = Assessment {
        flow: None,
        ..disaster()
    };
    for (assessment, why) in [
        (sick(Health::Unhealthy), "usw2 cannot take over"),
        (sick(Health::Unknown), "usw2 cannot take over"),
        (no_flow, "usw2 holds no flow from use1"),
    ] {
        for wish in [alarm(), person()] {
            let decision = decided(&pair(), Mode::Failover, &wish, &assessment);
            assert!(
                refusal(&decision).starts_with(&format!("not failing over: {why}")),
                "{decision:?}"
            );
        }
    }
}

#[test]
fn what_a_flow_says_of_itself_is_heard() {
    let with = |state: &str, epoch: u64, gaps: u32, partitions: u32| {
        let mut assessment = disaster();
        if let Some(flow) = &mut assessment.flow {
            flow.state = state.to_owned();
            flow.epoch = Epoch::new(epoch);
            flow.gaps = gaps;
            flow.partitions = partitions;
        }
        assessment
    };
    let of = |assessment: &Assessment| decided(&pair(), Mode::Failover, &alarm(), assessment);
    let newer = of(&with("sealed", 8, 0, 100));
    assert!(
        refusal(&newer).contains("was sealed at e8, and this recovery is e7"),
        "{newer:?}"
    );
    // An older recovery that got stuck sealed it, or this one did already: it is finished.
    let begun = Order {
        begun: true,
        ..order(Mode::Failover)
    };
    let sealed = with("sealed", 6, 0, 100);
    let finished = decide(&pair(), &begun, &alarm(), None, &sealed).1;
    assert_eq!(finished, Decision::Proceed);
    assert_eq!(of(&with("sealed", 7, 0, 100)), Decision::Proceed);
    // One that ended well sealed it, and nothing was copied since: that is no standby, and nobody goes there unasked.
    assert!(question(&of(&sealed)).contains("usw2 does not stand by: flow use1-usw2 ended at e6"));
    assert_eq!(of(&with("paused", 6, 0, 100)), Decision::Proceed);
    let foreign = of(&with("dreaming", 6, 0, 100));
    assert!(refusal(&foreign).contains("does not know"), "{foreign:?}");
    let gaps = of(&with("running", 6, 3, 100));
    assert!(
        question(&gaps).contains("3 partitions are halted"),
        "{gaps:?}"
    );
    let empty = of(&with("running", 6, 0, 0));
    assert!(
        question(&empty).contains("has not copied any partition"),
        "{empty:?}"
    );
}

#[test]
fn early_clients_are_named_and_decided_by_policy() {
    let early = Assessment {
        live_groups: vec!["search".to_owned(), "billing".to_owned()],
        ..disaster()
    };
    let (plan, decision) = decide(&pair(), &order(Mode::Failover), &alarm(), None, &early);
    assert_eq!(decision, Decision::Proceed);
    assert_eq!(plan.live_groups, ["billing", "search"]);
    assert!(
        plan.will
            .iter()
            .any(|act| act.contains("leave billing, search alone")),
        "{:#?}",
        plan.will
    );
    let ask = Pair {
        early_clients: EarlyClients::Ask,
        ..pair()
    };
    for (mode, wish, assessment) in [
        (Mode::Failover, alarm(), early.clone()),
        (
            Mode::Switchover,
            person(),
            Assessment {
                source: seen("use1", Health::Healthy),
                ..early
            },
        ),
    ] {
        let decision = decided(&ask, mode, &wish, &assessment);
        assert!(
            question(&decision).contains("already in billing, search on usw2"),
            "{decision:?}"
        );
    }
}

#[test]
fn a_place_that_would_skip_records_is_shown_to_a_person() {
    let mut skipping = disaster();
    skipping.places.beyond = 2;
    let decision = decided(&pair(), Mode::Failover, &alarm(), &skipping);
    assert!(
        question(&decision).contains("2 places of groups on usw2 would skip records"),
        "{decision:?}"
    );
}

#[test]
fn a_switchover_needs_both_clusters_and_loses_nothing() {
    let (plan, decision) = decide(&pair(), &order(Mode::Switchover), &person(), None, &peace());
    assert_eq!(decision, Decision::Proceed);
    assert_eq!(plan.loss, LossBound::NONE);
    let acts: Vec<&str> = plan
        .will
        .iter()
        .map(|act| act.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(
        acts,
        [
            "shut", "wait", "stop", "seal", "bring", "check", "let", "move", "move", "move",
            "start", "write"
        ],
        "{:#?}",
        plan.will
    );
    for health in [Health::Unknown, Health::Unhealthy] {
        let assessment = Assessment {
            source: seen("use1", health),
            ..peace()
        };
        let decision = decided(&pair(), Mode::Switchover, &person(), &assessment);
        assert!(
            refusal(&decision).starts_with("not switching over: use1 is "),
            "{decision:?}"
        );
    }
    let decision = decided(&pair(), Mode::Switchover, &alarm(), &peace());
    assert_eq!(
        refusal(&decision),
        "not switching over: alarm orders-unhealthy asks for it, and only a person may"
    );
    let decision = decided(&pair(), Mode::Failback, &alarm(), &peace());
    assert!(
        refusal(&decision).starts_with("not failing back: "),
        "{decision:?}"
    );
}

#[test]
fn a_switchover_refuses_what_it_could_not_keep_its_word_on() {
    let with = |state: &str, gaps: u32| {
        let mut assessment = peace();
        if let Some(flow) = &mut assessment.flow {
            flow.state = state.to_owned();
            flow.gaps = gaps;
        }
        assessment
    };
    // Sealed by one that got stuck: it is finished, unless something came behind its cut.
    let mut drained = with("sealed", 0);
    let mut behind = with("sealed", 0);
    for (assessment, lost) in [(&mut drained, 0), (&mut behind, 1)] {
        if let Some(flow) = &mut assessment.flow {
            flow.loss.records_at_least = lost;
            flow.loss.records_at_most = Some(lost);
        }
    }
    let finished = decided(&pair(), Mode::Switchover, &person(), &drained);
    assert_eq!(finished, Decision::Proceed);
    for (assessment, why) in [
        (with("paused", 0), "flow use1-usw2 is paused"),
        (behind, "flow use1-usw2 is sealed"),
        (
            with("running", 1),
            "1 partition is halted by gaps of flow use1-usw2",
        ),
    ] {
        let decision = decided(&pair(), Mode::Switchover, &person(), &assessment);
        assert!(
            refusal(&decision).starts_with(&format!("not switching over: {why}")),
            "{decision:?}"
        );
    }
    // A login without a property is none.
    let nobodys = proofs()
        .into_iter()
        .chain([(alias("use1"), BTreeMap::new())]);
    let unproven = Fencing {
        proof: nobodys.collect(),
        ..pair().fencing
    };
    let another = Fencing {
        writers: vec!["User:shop".to_owned()],
        ..pair().fencing
    };
    for (fencing, why) in [
        (unproven, "fencing.proof.use1"),
        (another, "logs in as User:orders"),
    ] {
        let pair = Pair { fencing, ..pair() };
        let decision = decided(&pair, Mode::Switchover, &person(), &peace());
        assert!(refusal(&decision).contains(why), "{decision:?}");
    }
    let unfenced = |without_acls| Pair {
        fencing: Fencing {
            writers: Vec::new(),
            without_acls,
            ..Fencing::default()
        },
        ..pair()
    };
    let decision = decided(
        &unfenced(WithoutAcls::Refuse),
        Mode::Switchover,
        &person(),
        &peace(),
    );
    assert!(
        refusal(&decision).contains("fencing.writers"),
        "{decision:?}"
    );
    let (plan, decision) = decide(
        &unfenced(WithoutAcls::AcceptIdle),
        &order(Mode::Switchover),
        &person(),
        None,
        &peace(),
    );
    assert_eq!(decision, Decision::Proceed);
    assert!(
        plan.will
            .first()
            .is_some_and(|act| act.contains("nothing shuts its writers out")),
        "{:#?}",
        plan.will
    );
}

#[test]
fn an_order_that_does_not_fit_is_refused() {
    let foreign = Order {
        pair: PairName::new("payments").expect("a name"),
        ..order(Mode::Failover)
    };
    let circle = Order {
        target: alias("use1"),
        ..order(Mode::Failover)
    };
    let reverse = Order {
        source: alias("usw2"),
        target: alias("use1"),
        ..order(Mode::Failover)
    };
    for (order, why) in [
        (foreign, "the order is for pair payments, not orders"),
        (circle, "pair orders has no way from use1 to use1"),
        (reverse, "what was assessed is use1 to usw2"),
    ] {
        let (_, decision) = decide(&pair(), &order, &person(), None, &disaster());
        assert!(
            refusal(&decision).starts_with(&format!("not failing over: {why}")),
            "{decision:?}"
        );
    }
}

fn health() -> impl Strategy<Value = Health> {
    proptest::sample::select(vec![Health::Healthy, Health::Unknown, Health::Unhealthy])
}

fn any_loss() -> impl Strategy<Value = LossBound> {
    (
        0..2_000_u64,
        proptest::option::weighted(0.8, 0..2_000_u64),
        proptest::option::weighted(0.8, 0.0..90.0_f64),
    )
        .prop_map(|(records_at_least, more, seconds_at_most)| LossBound {
            records_at_least,
            records_at_most: more.map(|more| records_at_least.saturating_add(more) / 2),
            seconds_at_most,
        })
}

fn any_flow() -> impl Strategy<Value = FlowSeen> {
    let state = proptest::sample::select(vec!["running", "running", "running", "paused", "sealed"]);
    let gaps = prop_oneof![4 => Just(0_u32), 1 => 1..5_u32];
    (state, 0..9_u64, 0..5_u32, gaps, any_loss()).prop_map(
        |(state, epoch, partitions, gaps, loss)| FlowSeen {
            records_per_second: None,
            flow: "use1-usw2".to_owned(),
            state: state.to_owned(),
            epoch: Epoch::new(epoch),
            partitions,
            gaps,
            loss,
        },
    )
}

fn any_assessment() -> impl Strategy<Value = Assessment> {
    let live = proptest::collection::vec("[ab]", 0..3);
    (
        health(),
        health(),
        proptest::option::weighted(0.9, any_flow()),
        live,
        0..2_u64,
    )
        .prop_map(|(source, target, flow, live_groups, beyond)| Assessment {
            source: seen("use1", source),
            target: seen("usw2", target),
            flow,
            places: PlacesSummary {
                beyond,
                ..PlacesSummary::default()
            },
            live_groups,
            ..disaster()
        })
}

fn any_applications() -> impl Strategy<Value = Vec<Application>> {
    let role = proptest::sample::select(vec![Role::Consumer, Role::Producer]);
    proptest::collection::vec((role, 0..4_u32), 0..9).prop_map(|applications| {
        applications
            .into_iter()
            .zip(0..)
            .map(|((role, wave), number)| application(&format!("app-{number}"), role, wave))
            .collect()
    })
}

fn any_pair() -> impl Strategy<Value = Pair> {
    let automation = proptest::sample::select(vec![
        Automation::Automatic,
        Automation::Automatic,
        Automation::AskFirst,
        Automation::ObserveOnly,
    ]);
    (
        automation,
        (0..2_000_u64, 0..90_u32),
        any::<(bool, bool, bool, bool)>(),
        any_applications(),
    )
        .prop_map(
            |(automation, consent, (ask, accept, writers, proven), applications)| Pair {
                automation,
                consent: Consent {
                    max_lost_records: consent.0,
                    max_age_seconds: u64::from(consent.1),
                },
                early_clients: if ask {
                    EarlyClients::Ask
                } else {
                    EarlyClients::Keep
                },
                fencing: Fencing {
                    writers: if writers {
                        vec!["User:orders".to_owned()]
                    } else {
                        Vec::new()
                    },
                    without_acls: if accept {
                        WithoutAcls::AcceptIdle
                    } else {
                        WithoutAcls::Refuse
                    },
                    proof: if proven { proofs() } else { BTreeMap::new() },
                },
                applications,
                ..pair()
            },
        )
}

fn any_wish() -> impl Strategy<Value = Wish> {
    proptest::sample::select(vec![alarm(), person()])
}

fn any_mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(Mode::ALL.to_vec())
}

fn any_consent() -> impl Strategy<Value = Option<Consent>> {
    proptest::option::of(
        (0..2_000_u64, 0..90_u64).prop_map(|(records, seconds)| Consent {
            max_lost_records: records,
            max_age_seconds: seconds,
        }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn unknown_never_fails_over_by_itself(
        pair in any_pair(), mode in any_mode(), consent in any_consent(),
        assessment in any_assessment(),
    ) {
        let (_, decision) = decide(&pair, &order(mode), &alarm(), consent, &assessment);
        let unhealthy = assessment.source.verdict.health == Health::Unhealthy;
        if mode != Mode::Failover || !unhealthy || pair.automation == Automation::ObserveOnly {
            prop_assert!(matches!(decision, Decision::Refuse { .. }), "{:?}", decision);
        }
        if pair.automation == Automation::AskFirst {
            prop_assert!(decision != Decision::Proceed);
        }
    }

    #[test]
    fn whatever_goes_on_is_fit_consented_to_and_complete(
        pair in any_pair(), mode in any_mode(), wish in any_wish(), consent in any_consent(),
        assessment in any_assessment(),
    ) {
        let (_, decision) = decide(&pair, &order(mode), &wish, consent, &assessment);
        let asked = match &decision {
            Decision::Refuse { reason } => {
                prop_assert!(reason.starts_with("not "), "{}", reason);
                return Ok(());
            }
            Decision::Ask { .. } => true,
            Decision::Proceed => false,
        };
        prop_assert_eq!(assessment.target.verdict.health, Health::Healthy);
        let flow = assessment.flow.as_ref().expect("nothing goes on without a flow");
        prop_assert!(flow.epoch <= Epoch::new(7));
        if mode == Mode::Failover && !asked {
            let own = pair.consent.covers(&flow.loss);
            let persons = matches!(wish, Wish::Person { .. })
                && consent.is_some_and(|it| it.covers(&flow.loss));
            prop_assert!(own || persons);
            prop_assert_eq!(flow.gaps, 0);
            prop_assert!(assessment.source.verdict.health != Health::Healthy);
        }
        if mode != Mode::Failover {
            prop_assert_eq!(assessment.source.verdict.health, Health::Healthy);
            prop_assert_eq!(&flow.state, "running");
            prop_assert_eq!(flow.gaps, 0);
            let proven = pair.fencing.proof.contains_key(&alias("use1"));
            let fenced = !pair.fencing.writers.is_empty() && proven
                || pair.fencing.without_acls == WithoutAcls::AcceptIdle;
            prop_assert!(fenced);
        }
        if pair.early_clients == EarlyClients::Ask && !assessment.live_groups.is_empty() {
            prop_assert!(asked);
        }
    }

    #[test]
    fn a_digest_names_exactly_one_plan(
        one in any_pair(), other in any_pair(), assessments in (any_assessment(), any_assessment()),
        modes in (any_mode(), any_mode()),
    ) {
        let (plan, _) = decide(&one, &order(modes.0), &person(), None, &assessments.0);
        let (second, _) = decide(&other, &order(modes.1), &person(), None, &assessments.1);
        prop_assert_eq!(plan == second, plan.digest() == second.digest());
        let stored = serde_json::to_vec(&plan).expect("a plan is JSON");
        let read: Plan = serde_json::from_slice(&stored).expect("and back");
        prop_assert_eq!(read.digest(), plan.digest());
        prop_assert_eq!(read, plan);
    }

    #[test]
    fn every_part_of_a_plan_is_in_its_digest(which in 0..10_usize) {
        let (plan, _) = decide(&pair(), &order(Mode::Failover), &alarm(), None, &disaster());
        let mut other = plan.clone();
        match which {
            0 => other.mode = Mode::Switchover,
            1 => other.epoch = other.epoch.next(),
            2 => other.source = alias("euw1"),
            3 => other.target = alias("euw1"),
            4 => other.flow.push('2'),
            5 => other.loss.records_at_least += 1,
            6 => other.loss.seconds_at_most = None,
            7 => other.waves.reverse(),
            8 => other.live_groups.push("late".to_owned()),
            _ => other.will.truncate(1),
        }
        prop_assert!(other.digest() != plan.digest());
    }

    #[test]
    fn waves_take_every_application_once_and_consumers_first(applications in any_applications()) {
        let waves = waves(&applications);
        let moved: Vec<&String> = waves.iter().flat_map(|wave| &wave.applications).collect();
        prop_assert_eq!(moved.len(), applications.len());
        let names: BTreeSet<&String> = moved.iter().copied().collect();
        prop_assert_eq!(names.len(), applications.len());
        let mut before = None;
        for (wave, number) in waves.iter().zip(0..) {
            prop_assert_eq!(wave.number, number);
            prop_assert!(!wave.applications.is_empty());
            let mut last = None;
            for name in &wave.applications {
                let place = applications
                    .iter()
                    .position(|it| &it.name == name)
                    .expect("waves are made of applications");
                let application = applications.get(place).expect("it was just found");
                prop_assert_eq!(application.role, wave.role);
                prop_assert!(last < Some(place), "as the pair names them");
                last = Some(place);
                let turn = Some((application.role, application.wave));
                prop_assert!(before <= turn);
                before = turn;
            }
        }
    }
}
