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
    // The rule of a composite one: ALARM("…-seen-from-standby") AND …
    let below = alarms
        .iter()
        .filter(|it| it.name.starts_with(&format!("{name}-seen-from-")));
    let below: Vec<_> = below.collect();
    if let Some(rule) = &alarm.rule
        && (below.len() != 2 || !below.iter().all(|it| rule.contains(&it.name)))
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

/// The other alarms of a pair.
pub fn other_alarms(not: &str, told: &Told<Vec<AlarmFacts>>) -> Vec<Finding> {
    let what = "other alarms";
    let alarms = match told {
        Ok(alarms) => alarms,
        Err(error) => return vec![Finding::of_error(what, error, DEPLOY)],
    };
    let names = |which: &dyn Fn(&AlarmFacts) -> bool| -> Vec<&str> {
        (alarms
            .iter()
            .filter(|it| it.name != not && !it.actions.is_empty() && which(it)))
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
    if findings.is_empty() {
        findings.push(Finding::ok(what, "enabled, and none fires"));
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
        (0, []) => Finding::warning(what, "nobody is told of alarms and questions here", advice),
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
