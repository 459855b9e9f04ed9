//! The events that are understood. Of others' events only what is used is read, so that a field more or less in them
//! never fails an alarm; a person's wish is read strictly.

use serde::Deserialize;
use serde_json::Value;
use understudy_recovery::{Consent, ErrorName, Leash, Mode, PairName, StepError};

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A CloudWatch alarm changed its state.
    Alarm {
        /// The alarm's name.
        name: String,
        /// Its state now.
        state: AlarmState,
    },
    /// A schedule: an alarm that stands already fires no more, so somebody looks again.
    LookAgain {
        /// The pair.
        pair: PairName,
    },
    /// A person wishes a recovery.
    Person(PersonAsks),
}

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlarmState {
    /// It fires.
    Alarm,
    /// It does not.
    Ok,
    /// It cannot tell.
    InsufficientData,
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonAsks {
    /// The pair, to be sure.
    #[serde(default)]
    pub pair: Option<PairName>,
    /// What kind of recovery.
    pub mode: Mode,
    /// Whether it acts.
    #[serde(default)]
    pub leash: Leash,
    /// Who, and why.
    pub wish: PersonsWish,
    /// What this person consents to lose.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// Take over from a recovery that is under way.
    #[serde(default)]
    pub supersede: bool,
    /// Of a failback: only let the cluster that came back stand by again.
    #[serde(default)]
    pub standby_only: bool,
}

/// Who wishes it, and why. An alarm cannot be claimed by hand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonsWish {
    /// `person`; said so that the same text fits an execution's input.
    #[serde(default)]
    pub by: Option<Person>,
    /// Who.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The only kind of wish that somebody can state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Person {
    /// A person.
    Person,
}

/// Reads an event. What SNS delivers may hold several.
///
/// # Errors
/// It is none that is understood.
pub fn parse(event: &Value) -> Result<Vec<Event>, StepError> {
    if event.get("Records").is_some() {
        return from_sns(event);
    }
    if event.get("alarmData").is_some() {
        let alarm: DirectAlarm = read(event, "a CloudWatch alarm's action")?;
        return Ok(vec![Event::Alarm {
            name: alarm.alarm_data.alarm_name,
            state: alarm.alarm_data.state.value,
        }]);
    }
    if event.get("detail-type").and_then(Value::as_str) == Some("CloudWatch Alarm State Change") {
        let change: StateChange = read(event, "an EventBridge alarm event")?;
        return Ok(vec![Event::Alarm {
            name: change.detail.alarm_name,
            state: change.detail.state.value,
        }]);
    }
    if event.get("schedule").is_some() {
        let look: LookAgain = read(event, "a schedule's event")?;
        return Ok(vec![Event::LookAgain { pair: look.pair }]);
    }
    if event.get("mode").is_some() {
        return Ok(vec![Event::Person(read(event, "a person's wish")?)]);
    }
    Err(StepError::new(
        ErrorName::BadRequest,
        "the event is neither an alarm (from SNS, from CloudWatch itself, or from EventBridge), nor a schedule's \
         {\"schedule\",\"pair\"}, nor a person's {\"mode\",\"wish\"}; see functions/trigger-recovery/events",
    ))
}

#[derive(Deserialize)]
struct FromSns {
    #[serde(rename = "Records")]
    records: Vec<SnsRecord>,
}

#[derive(Deserialize)]
struct SnsRecord {
    #[serde(rename = "Sns")]
    sns: SnsMessage,
}

#[derive(Deserialize)]
struct SnsMessage {
    #[serde(rename = "Message")]
    message: String,
}

/// An alarm's notification, as SNS wraps it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    alarm_name: String,
    new_state_value: AlarmState,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DirectAlarm {
    alarm_data: AlarmData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlarmData {
    alarm_name: String,
    state: StateValue,
}

#[derive(Deserialize)]
struct StateValue {
    value: AlarmState,
}

#[derive(Deserialize)]
struct StateChange {
    detail: AlarmData,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookAgain {
    #[serde(rename = "schedule")]
    _schedule: String,
    pair: PairName,
}

fn from_sns(event: &Value) -> Result<Vec<Event>, StepError> {
    let records: FromSns = read(event, "an SNS event")?;
    let mut events = Vec::new();
    for record in records.records {
        let message: Value = serde_json::from_str(&record.sns.message).map_err(|error| {
            StepError::new(
                ErrorName::BadRequest,
                format!("an SNS message is no alarm's notification: it is no JSON: {error}"),
            )
        })?;
        let alarm: Notification = read(&message, "an alarm's notification in an SNS message")?;
        events.push(Event::Alarm {
            name: alarm.alarm_name,
            state: alarm.new_state_value,
        });
    }
    Ok(events)
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value, what: &str) -> Result<T, StepError> {
    T::deserialize(value).map_err(|error| {
        StepError::new(
            ErrorName::BadRequest,
            format!("{what} cannot be understood: {error}"),
        )
    })
}
