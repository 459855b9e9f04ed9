//! What is told of each part, in words of ours.

/// A function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFacts {
    /// Its ARN.
    pub arn: String,
    /// `Active`, …
    pub state: String,
    /// How its last change ended: `Successful`, …
    pub last_update: String,
    /// What tells one program from another.
    pub code: String,
    /// When it was last changed, program or settings, in seconds since 1970; nothing where that cannot be read.
    pub changed_at_seconds: Option<i64>,
}

/// A state machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFacts {
    /// `ACTIVE`, …
    pub status: String,
    /// Its definition, as JSON.
    pub definition: String,
}

/// An execution that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedExecution {
    /// Its name.
    pub name: String,
    /// Whether it came to one of its ends.
    pub succeeded: bool,
    /// When it ended, in seconds since 1970.
    pub at_seconds: i64,
}

/// A rule of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFacts {
    /// Whether it is on.
    pub enabled: bool,
    /// When it calls: `rate(1 minute)`.
    pub expression: String,
    /// What it calls.
    pub targets: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// `ACTIVE`, …
    pub status: String,
    /// Its replicas elsewhere, with their status.
    pub replicas: Vec<(String, String)>,
    /// Whether replicas are consistent with each other at every read.
    pub strong: bool,
}

/// An alarm, composite or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmFacts {
    /// Its name.
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Whether its actions are enabled.
    pub enabled: bool,
    /// What it tells when it fires.
    pub actions: Vec<String>,
    /// What a composite one stands on.
    pub rule: Option<String>,
}

/// Somebody whom a topic tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionFacts {
    /// `lambda`, `email`, …
    pub protocol: String,
    /// Who.
    pub endpoint: String,
    /// Whether it was confirmed.
    pub confirmed: bool,
}

/// A service in ECS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// `ACTIVE`, …
    pub status: String,
    /// How many tasks it is to have.
    pub wanted: i32,
    /// How many run.
    pub running: i32,
    /// Whether a deployment of it failed.
    pub failed: bool,
}

/// A secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFacts {
    /// Whether it is to be deleted.
    pub deleted: bool,
    /// The Region of which it is a replica, if it is one.
    pub primary: Option<String>,
    /// Its replicas, with their status.
    pub replicas: Vec<(String, String)>,
}

/// How much of something an account may have in a Region, and has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// How much it may have.
    pub limit: f64,
    /// The most that it had within the last hour; nothing where that is not told.
    pub used: Option<f64>,
}
