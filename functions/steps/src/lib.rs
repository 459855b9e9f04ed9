//! Every step by its name: JSON in, JSON out. What a Lambda, `understudy failover --local` and the in-process runner of the
//! state machines have in common.
//!
//! A payload that does not fit is a `BadRequest` that names the field. A panic is a defect of ours and ends as `Internal`:
//! nothing but a named error leaves here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::World;

/// Carries a step out.
///
/// # Errors
/// The payload does not fit the step, or the step's own errors.
pub fn invoke(world: &World, step: Step, payload: Value) -> Result<Value, StepError> {
    // A step shares nothing with the next one but what is outside, and there every write stands by itself.
    let call = AssertUnwindSafe(|| dispatch(world, step, payload));
    catch_unwind(call).unwrap_or_else(|panic| Err(broke(step, panic.as_ref())))
}

fn dispatch(world: &World, step: Step, payload: Value) -> Result<Value, StepError> {
    let call = Call {
        world,
        step,
        payload,
    };
    match step {
        Step::ProbeHealth => call.of(probe_health::handle),
        Step::TriggerRecovery => call.of(trigger_recovery::handle),
        Step::ClaimEpoch => call.of(claim_epoch::handle),
        Step::Assess => call.of(assess::handle),
        Step::PlanRecovery => call.of(plan_recovery::handle),
        Step::RequestApproval => call.of(request_approval::handle),
        Step::AnswerApproval => call.of(answer_approval::handle),
        Step::FenceSource => call.of(fence_source::handle),
        Step::UnfenceSource => call.of(unfence_source::handle),
        Step::KeepFences => call.of(fence_source::keep),
        Step::AwaitDrain => call.of(await_drain::handle),
        Step::QuiesceClients => call.of(quiesce_clients::handle),
        Step::SealFlow => call.of(seal_flow::handle),
        Step::CommitGroupOffsets => call.of(commit_group_offsets::handle),
        Step::VerifyOffsets => call.of(verify_offsets::handle),
        Step::OpenTarget => call.of(open_target::handle),
        Step::ReconfigureClients => call.of(reconfigure_clients::handle),
        Step::VerifyClients => call.of(verify_clients::handle),
        Step::SurveyTail => call.of(survey_tail::handle),
        Step::PutAsideTail => call.of(put_aside_tail::handle),
        Step::StartFlow => call.of(start_flow::handle),
        Step::RecordEvidence => call.of(record_evidence::handle),
        Step::Notify => call.of(notify::handle),
    }
}

struct Call<'a> {
    world: &'a World,
    step: Step,
    payload: Value,
}

impl Call<'_> {
    fn of<R: DeserializeOwned, A: Serialize>(
        self,
        handle: impl FnOnce(&World, R) -> Result<A, StepError>,
    ) -> Result<Value, StepError> {
        let request = serde_path_to_error::deserialize(self.payload).map_err(|error| {
            let path = error.path().to_string();
            StepError::new(
                ErrorName::BadRequest,
                format!(
                    "{} does not understand its payload at {path}: {}; statemachines/contracts has an example",
                    self.step,
                    error.inner()
                ),
            )
        })?;
        let answer = handle(self.world, request)?;
        serde_json::to_value(answer).map_err(|error| {
            StepError::new(
                ErrorName::Internal,
                format!(
                    "the answer of {} cannot be written as JSON: {error}",
                    self.step
                ),
            )
        })
    }
}

fn broke(step: Step, panic: &(dyn std::any::Any + Send)) -> StepError {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a word".to_owned());
    StepError::new(
        ErrorName::Internal,
        format!("{step} broke: {said}; this is a defect of Understudy: please report it"),
    )
}
