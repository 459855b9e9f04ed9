//! Alarms, and whom they tell.

use understudy_aws::{AlarmFacts, SubscriptionFacts};

use super::{DEPLOY, Told};
use crate::check::Standing;
use crate::check_aws::finding::Finding;

/// The alarm that leads to a recovery, and how.
pub fn alarm(
    name: &str,
    told: &Told<Vec<AlarmFacts>>,
    topic: &str,
    subscriptions: &Told<Vec<SubscriptionFacts>>,
    trigger: &str,
) -> Vec<Finding> {
    let what = format!("alarm {name}");
    let alarms = match told {
        Ok(alarms) => alarms,
        Err(error) => return vec![Finding::of_error(what, error, DEPLOY)],
    };
    let Some(alarm) = alarms.iter().find(|it| it.name == name) else {
        return vec![Finding::fails(what, "there is none", DEPLOY)];
    };
    let mut findings = Vec::new();
    if !alarm.enabled {
        let advice = "aws cloudwatch enable-alarm-actions --alarm-names with its name";
        findings.push(Finding::fails(
            &what,
            "its actions are disabled: it fires and nothing happens",
            advice,
        ));
    }
    if !alarm.actions.iter().any(|action| action == topic) {
        findings.push(Finding::fails(
            &what,
            format!("it does not tell {topic}"),
            DEPLOY,
        ));
    }
    if let Some(rule) = &alarm.rule
        && !stands_on_both(name, rule, alarms)
    {
        findings.push(Finding::fails(
            &what,
            format!("it stands on {rule}, and not on two lookers"),
            DEPLOY,
        ));
    }
    match alarm.state.as_str() {
        "ALARM" => findings.push(Finding::warning(
            &what,
            "it fires now",
            "docs/alarms.md#unhealthy; understudy watch PAIR.toml",
        )),
        "INSUFFICIENT_DATA" => findings.push(Finding::warning(
            &what,
            "it has not heard anything yet",
            "wait three minutes; then look at the probers' logs",
        )),
        _ => {}
    }
    findings.push(leads(&what, subscriptions, trigger));
    if findings.iter().all(|it| it.standing == Standing::Ok) {
        findings = vec![Finding::ok(what, "enabled, and leads to trigger-recovery")];
    }
    findings
}

/// Whether a composite alarm fires when both lookers' alarms do, which are there, and not before.
fn stands_on_both(name: &str, rule: &str, alarms: &[AlarmFacts]) -> bool {
    let [standby, active] =
        ["standby", "active"].map(|vantage| format!("{name}-seen-from-{vantage}"));
    let there = |name: &String| alarms.iter().any(|it| it.name == *name);
    // (ALARM("arn:…:alarm:a") AND ALARM("b")): every second part is a name, or an ARN that ends in it.
    let parts = rule.split('"').enumerate().map(|(at, part)| match at % 2 {
        0 => part.replace([' ', '\n', '(', ')'], ""),
        _ => part.rsplit(':').next().unwrap_or_default().to_owned(),
    });
    let said: Vec<_> = parts.collect();
    let both = |first: &str, second: &str| said == ["ALARM", first, "ANDALARM", second, ""];
    there(&standby) && there(&active) && (both(&standby, &active) || both(&active, &standby))
}

fn leads(what: &str, subscriptions: &Told<Vec<SubscriptionFacts>>, trigger: &str) -> Finding {
    let subscriptions = match subscriptions {
        Ok(subscriptions) => subscriptions,
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    match subscriptions.iter().find(|it| it.endpoint == trigger) {
        Some(it) if it.confirmed => Finding::ok(what, "leads to trigger-recovery"),
        Some(_) => Finding::fails(
            what,
            "trigger-recovery's subscription to it is not confirmed",
            DEPLOY,
        ),
        None => Finding::fails(what, "trigger-recovery is not told", DEPLOY),
    }
}

/// The alarms of a pair that tell its people: those of a pair whose name begins alike tell others. `flow` is what the names
/// of those begin with that are about the flow into this Region, if its workers are the pair's.
pub fn other_alarms(
    people: &str,
    flow: Option<&str>,
    told: &Told<Vec<AlarmFacts>>,
) -> Vec<Finding> {
    let what = "other alarms";
    let alarms = match told {
        Ok(alarms) => alarms,
        Err(error) => return vec![Finding::of_error(what, error, DEPLOY)],
    };
    let names = |which: &dyn Fn(&AlarmFacts) -> bool| -> Vec<&str> {
        (alarms
            .iter()
            .filter(|it| it.actions.iter().any(|topic| topic == people) && which(it)))
        .map(|it| it.name.as_str())
        .collect()
    };
    let mut findings = Vec::new();
    let disabled = names(&|it| !it.enabled);
    if !disabled.is_empty() {
        let found = format!("actions are disabled of {}", disabled.join(", "));
        let advice = "aws cloudwatch enable-alarm-actions --alarm-names with their names";
        findings.push(Finding::fails(what, found, advice));
    }
    let firing = names(&|it| it.state == "ALARM");
    if !firing.is_empty() {
        let found = format!("{} fire now", firing.join(", "));
        findings.push(Finding::warning(what, found, "docs/alarms.md, by the name"));
    }
    if let Some(flow) = flow
        && names(&|it| it.name.starts_with(flow)).is_empty()
    {
        let found = format!("there is none {flow}*: nobody is told if nothing is copied here");
        let advice = "deploy this Region's Observability stack";
        findings.push(Finding::warning(what, found, advice));
    }
    let all = names(&|_| true).len();
    if all == 0 {
        findings.push(Finding::warning(what, "none tells people", DEPLOY));
    }
    if findings.is_empty() {
        let found = format!("{all}, enabled, and none fires");
        findings.push(Finding::ok(what, found));
    }
    findings
}

/// Whether anybody is told.
pub fn people(told: &Told<Vec<SubscriptionFacts>>) -> Finding {
    let what = "people";
    let all = match told {
        Ok(all) => all,
        Err(error) => return Finding::of_error(what, error, DEPLOY),
    };
    let confirmed = all.iter().filter(|it| it.confirmed).count();
    let waits: Vec<_> = all
        .iter()
        .filter(|it| !it.confirmed)
        .map(|it| it.endpoint.as_str())
        .collect();
    let advice = "aws sns subscribe to the topic of people, and confirm the mail";
    match (confirmed, waits.as_slice()) {
        (0, []) => Finding::warning(what, "nobody is told of alarms here", advice),
        (0, waits) => Finding::warning(
            what,
            format!("nobody is told yet: {} did not confirm", waits.join(", ")),
            advice,
        ),
        (_, []) => Finding::ok(what, format!("{confirmed} subscriptions, all confirmed")),
        (_, waits) => Finding::warning(
            what,
            format!("{} did not confirm", waits.join(", ")),
            advice,
        ),
    }
}

/// What is missing for people to be told of recoveries while the other Region is lost: a topic in this one among those that
/// the pair names. `people` is the one that is deployed for it here.
pub fn notified(people: &str, notify: &[String]) -> Option<Finding> {
    let region = |topic: &str| topic.split(':').nth(3).map(str::to_owned);
    let here = region(people);
    let told = notify.iter().any(|topic| region(topic) == here);
    (!told).then(|| {
        let found = "notify names no topic of this Region: nobody is told what recoveries ask, and how they end, while \
                     the other one is lost";
        let advice = format!("add {people} to the pair's notify, and deploy both Regions");
        Finding::warning("notify", found, &advice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_aws::judge::worst;

    const TRIGGER: &str = "arn:aws:lambda:us-west-2:1:function:understudy-orders-trigger-recovery";
    type Change = fn(&mut AlarmFacts);

    const TOPIC: &str = "arn:aws:sns:us-west-2:1:understudy-orders-alarms";
    const ALARM: &str = "understudy-orders-use1-unhealthy";

    #[test]
    fn an_alarm_leads_to_the_trigger_or_it_is_said_where_that_ends() {
        let told = |confirmed| {
            Ok(vec![SubscriptionFacts {
                protocol: "lambda".to_owned(),
                endpoint: TRIGGER.to_owned(),
                confirmed,
            }])
        };
        let judged = |alarms: Vec<AlarmFacts>, told: &Told<Vec<SubscriptionFacts>>| {
            alarm(ALARM, &Ok(alarms), TOPIC, told, TRIGGER)
        };
        assert_eq!(worst(&judged(alarms(), &told(true))), Standing::Ok);
        assert_eq!(worst(&judged(alarms(), &told(false))), Standing::Fails);
        assert_eq!(worst(&judged(alarms(), &Ok(Vec::new()))), Standing::Fails);
        let changes: [(&str, Change); 4] = [
            ("disabled", |it| it.enabled = false),
            ("does not tell", |it| it.actions.clear()),
            ("two lookers", |it| it.rule = Some("FALSE".to_owned())),
            ("there is none", |it| it.name.clear()),
        ];
        for (word, change) in changes {
            let mut alarms = alarms();
            alarms.last_mut().into_iter().for_each(change);
            let findings = judged(alarms, &told(true));
            let said = findings
                .iter()
                .any(|it| it.standing == Standing::Fails && it.found.contains(word));
            assert!(said, "{word}: {findings:?}");
        }
    }

    #[test]
    fn an_alarm_stands_on_both_lookers_and_on_nothing_less() {
        let judged = |rule: &str| stands_on_both(ALARM, rule, &alarms());
        let [standby, active] =
            ["standby", "active"].map(|it| format!("arn:aws:x:alarm:{ALARM}-seen-from-{it}"));
        assert!(judged(&format!(
            "(ALARM(\"{standby}\") AND ALARM(\"{active}\"))"
        )));
        assert!(judged(&format!(
            "ALARM(\"{active}\") AND ALARM(\"{standby}\")"
        )));
        for rule in [
            format!("ALARM(\"{active}\") OR ALARM(\"{standby}\")"),
            format!("ALARM(\"{active}\") AND NOT ALARM(\"{standby}\")"),
            format!("ALARM(\"{active}\") AND ALARM(\"{active}\")"),
            format!("ALARM(\"{active}\") AND ALARM(\"{standby}\") AND FALSE"),
        ] {
            assert!(!judged(&rule), "{rule}");
        }
    }

    #[test]
    fn alarms_that_are_not_there_and_those_of_another_pair_are_not_taken_for_well() {
        const PEOPLE: &str = "arn:aws:sns:us-west-2:1:understudy-orders-people";
        let of = |name: &str, topic: &str, state: &str| AlarmFacts {
            name: format!("understudy-orders-{name}"),
            state: state.to_owned(),
            enabled: true,
            actions: vec![topic.to_owned()],
            rule: None,
        };
        let flow = "understudy-orders-use1-usw2-";
        let judged = |alarms| worst(&other_alarms(PEOPLE, Some(flow), &Ok(alarms)));
        let own = || of("undelivered", PEOPLE, "OK");
        let gaps = |state| of("use1-usw2-gaps", PEOPLE, state);
        assert_eq!(judged(vec![own(), gaps("OK")]), Standing::Ok);
        assert_eq!(judged(vec![own(), gaps("ALARM")]), Standing::Warning);
        assert_eq!(judged(vec![own()]), Standing::Warning);
        assert_eq!(judged(Vec::new()), Standing::Warning);
        let none = other_alarms(PEOPLE, None, &Ok(Vec::new()));
        assert_eq!(worst(&none), Standing::Warning);
        let eu = "arn:aws:sns:us-west-2:1:understudy-orders-eu-people";
        let other = of("eu-undelivered", eu, "ALARM");
        assert_eq!(judged(vec![own(), gaps("OK"), other]), Standing::Ok);
    }

    #[test]
    fn people_whom_no_recovery_tells_are_named() {
        const PEOPLE: &str = "arn:aws:sns:us-west-2:1:understudy-orders-people";
        let elsewhere = PEOPLE.replace("us-west-2", "us-east-1");
        let both = [elsewhere.clone(), PEOPLE.to_owned()];
        assert_eq!(notified(PEOPLE, &both), None);
        for few in [&[][..], &[elsewhere]] {
            let found = notified(PEOPLE, few);
            assert_eq!(
                found.map(|it| it.standing),
                Some(Standing::Warning),
                "{few:?}"
            );
        }
    }

    fn alarms() -> Vec<AlarmFacts> {
        let seen = |vantage: &str| AlarmFacts {
            name: format!("{ALARM}-seen-from-{vantage}"),
            state: "OK".to_owned(),
            enabled: true,
            ..AlarmFacts::default()
        };
        let rule =
            format!("ALARM(\"{ALARM}-seen-from-standby\") AND ALARM(\"{ALARM}-seen-from-active\")");
        let whole = AlarmFacts {
            name: ALARM.to_owned(),
            state: "OK".to_owned(),
            enabled: true,
            actions: vec![TOPIC.to_owned()],
            rule: Some(rule),
        };
        vec![seen("standby"), seen("active"), whole]
    }
}
