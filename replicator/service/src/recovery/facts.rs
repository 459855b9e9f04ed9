//! What a step answered, in a line for people. Answers that say nothing beyond their state's comment say nothing here.

use serde_json::Value;

/// A line about an answer, from the fields that it has.
pub fn of(answer: &Value) -> Option<String> {
    let payload = answer.get("Payload").unwrap_or(answer);
    let text = |field: &str| payload.get(field).and_then(Value::as_str);
    let number = |field: &str| payload.get(field).and_then(Value::as_u64);
    let list = |field: &str, inner: &str| {
        let items = payload.get(field).and_then(Value::as_array);
        items.map(|items| {
            let names = items.iter().map(|item| {
                let text = item.get(inner).unwrap_or(item).as_str();
                text.unwrap_or("?").to_owned()
            });
            names.collect::<Vec<_>>().join(", ")
        })
    };
    let mut facts: Vec<String> = Vec::new();
    if let (Some(source), Some(target)) = (text("source_health"), text("target_health")) {
        facts.push(format!("the source is {source}, the target {target}"));
    }
    if let Some(decision) = text("decision") {
        facts.push(match text("reason").or_else(|| text("question")) {
            Some(why) => format!("{decision}: {why}"),
            None => decision.to_owned(),
        });
    }
    if let Some(records) = number("records") {
        facts.extend(tail(payload, records));
    }
    if let Some(order) = payload.get("order") {
        let field = |name: &str| order.get(name).and_then(Value::as_str).unwrap_or("?");
        facts.push(format!(
            "epoch {}: from {} to {}",
            order.get("epoch").unwrap_or(&Value::Null),
            field("source"),
            field("target")
        ));
    }
    if let Some(partitions) = number("partitions") {
        facts.push(format!("{partitions} partitions"));
    }
    if let Some(loss) = payload.get("loss") {
        facts.push(format!("lost: {}", lost(loss)));
    }
    if let Some(summary) = payload.get("summary") {
        facts.push(places(summary));
    }
    if let (Some(lifted), Some(granted)) = (number("fences_lifted"), number("writes_granted")) {
        facts.push(format!(
            "{lifted} ACLs of a fence lifted, {granted} grants of writing"
        ));
    }
    if let Some(moved) = list("moved", "application").filter(|names| !names.is_empty()) {
        facts.push(format!("moved: {moved}"));
    }
    if let Some(failed) = list("failed", "application").filter(|names| !names.is_empty()) {
        facts.push(format!("could not be moved: {failed}"));
    }
    if let Some(back) = list("back", "application").filter(|names| !names.is_empty()) {
        facts.push(format!("at work: {back}"));
    }
    if let Some(waiting) = list("waiting", "reason").filter(|reasons| !reasons.is_empty()) {
        facts.push(format!("waiting: {waiting}"));
    }
    if let Some(lag) = number("lag_records").filter(|lag| *lag > 0) {
        facts.push(format!("{lag} records to go"));
    }
    if let Some(live) = list("live_groups", "group").filter(|names| !names.is_empty()) {
        facts.push(format!("somebody is in {live}"));
    }
    if let (Some(by), Some(approved)) =
        (text("by"), payload.get("approved").and_then(Value::as_bool))
    {
        let word = if approved { "yes" } else { "no" };
        facts.push(format!("{by} said {word}"));
    }
    if let Some(proven) = payload.get("proven").and_then(Value::as_bool) {
        facts.push(if proven {
            "proven".to_owned()
        } else {
            "not proven".to_owned()
        });
        facts.extend(text("reason").map(str::to_owned));
    }
    (!facts.is_empty()).then(|| facts.join("; "))
}

/// What only a cluster that came back holds, as a survey or whoever puts it aside tells it.
fn tail(payload: &Value, records: u64) -> Option<String> {
    let number = |field: &str| payload.get(field).and_then(Value::as_u64);
    if payload.get("survey").is_some() {
        return Some(match number("uncounted") {
            None | Some(0) => format!("{records} records beyond the cut"),
            Some(more) => format!("{records} to {} records beyond the cut", records + more),
        });
    }
    let topics = number("topics")?;
    let merged = match number("merged") {
        None | Some(0) => String::new(),
        Some(merged) => format!(", {merged} merged"),
    };
    let more = match payload.get("done").and_then(Value::as_bool) {
        Some(false) => " so far",
        Some(true) | None => "",
    };
    Some(format!(
        "{records} records of {topics} topics put aside{merged}{more}"
    ))
}

/// A loss in words.
pub fn lost(loss: &Value) -> String {
    let least = loss.get("records_at_least").and_then(Value::as_u64);
    let least = least.unwrap_or_default();
    let most = loss.get("records_at_most").and_then(Value::as_u64);
    let records = match most {
        Some(0) => return "nothing".to_owned(),
        Some(most) if most == least => format!("{most} records"),
        Some(most) => format!("{least} to {most} records"),
        None => format!("at least {least} records"),
    };
    match loss.get("seconds_at_most").and_then(Value::as_f64) {
        Some(seconds) => format!("{records}, none older than {seconds:.1} s"),
        None => records,
    }
}

fn places(summary: &Value) -> String {
    let number = |field: &str| {
        summary
            .get(field)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let mut text = format!(
        "{} groups, {} places exact",
        number("groups"),
        number("exact")
    );
    for (field, words) in [
        ("last_known", "as last known"),
        ("at_least", "re-read"),
        ("live", "live on the target"),
        ("unknown", "unknown"),
        ("beyond", "beyond, which would skip"),
    ] {
        let count = number(field);
        if count > 0 {
            text.push_str(&format!(", {count} {words}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_tells_its_numbers() {
        let sealed = json!({ "Payload": {
            "cut": "k", "partitions": 8, "within_consent": true, "question": null,
            "loss": { "records_at_least": 3, "records_at_most": 10, "seconds_at_most": 1.25 },
        } });
        let told = of(&sealed).unwrap_or_default();
        assert_eq!(
            told,
            "8 partitions; lost: 3 to 10 records, none older than 1.2 s"
        );
        assert_eq!(of(&json!({ "Payload": { "told": 0 } })), None);
        let surveyed = json!({ "survey": "k", "records": 412, "uncounted": 88, "decision": "proceed", "reason": null });
        assert_eq!(
            of(&surveyed).as_deref(),
            Some("proceed; 412 to 500 records beyond the cut")
        );
        let aside = json!({ "topics": 2, "records": 7, "merged": 3, "done": false });
        assert_eq!(
            of(&aside).as_deref(),
            Some("7 records of 2 topics put aside, 3 merged so far")
        );
        let no = of(&json!({ "approved": false, "by": "ada" }));
        assert_eq!(no.as_deref(), Some("ada said no"));
    }
}
