//! The file's own shape. A field that is not named here is refused.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RawMachine {
    pub comment: String,
    pub query_language: String,
    pub start_at: String,
    pub timeout_seconds: Option<u64>,
    pub states: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(tag = "Type", deny_unknown_fields)]
pub enum RawState {
    #[serde(rename_all = "PascalCase")]
    Task {
        comment: String,
        resource: String,
        arguments: RawArguments,
        timeout_seconds: u64,
        output: Option<Value>,
        #[serde(default)]
        assign: Map<String, Value>,
        #[serde(default)]
        retry: Vec<RawRetry>,
        #[serde(default)]
        catch: Vec<RawCatch>,
        next: String,
    },
    #[serde(rename_all = "PascalCase")]
    Pass {
        comment: String,
        output: Option<Value>,
        #[serde(default)]
        assign: Map<String, Value>,
        next: String,
    },
    #[serde(rename_all = "PascalCase")]
    Choice {
        comment: String,
        choices: Vec<RawChoice>,
        default: String,
    },
    #[serde(rename_all = "PascalCase")]
    Wait {
        comment: String,
        seconds: u64,
        next: String,
    },
    #[serde(rename_all = "PascalCase")]
    Succeed { comment: String },
    #[serde(rename_all = "PascalCase")]
    Fail {
        comment: String,
        error: Value,
        cause: Value,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RawArguments {
    pub function_name: String,
    pub payload: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RawRetry {
    pub error_equals: Vec<String>,
    pub interval_seconds: u64,
    pub backoff_rate: f64,
    pub max_attempts: u32,
    pub max_delay_seconds: u64,
    pub jitter_strategy: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RawCatch {
    pub error_equals: Vec<String>,
    pub next: String,
    #[serde(default)]
    pub assign: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RawChoice {
    pub condition: String,
    pub next: String,
}
