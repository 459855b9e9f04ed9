//! A step that is killed at any of its writes and carried out again leads to where it leads undisturbed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use understudy_fakes::Stage;
use understudy_recovery::contract::Start;
use understudy_recovery::pair::Automation;
use understudy_recovery::{ExecutionName, Ledger, PairName, Step, StepError};
use understudy_shell::world::{LedgerStore, Machines, People, Store};
use understudy_shell::{PortError, PortErrorKind};

use crate::support::Drill;

/// Breaks at one write, once: before it takes effect, or after, when its answer is lost.
struct Fuse {
    writes_left: AtomicU32,
    takes_effect: bool,
}

impl Fuse {
    fn at<T>(&self, write: impl Fn() -> Result<T, PortError>) -> Result<T, PortError> {
        let left = self.writes_left.load(Ordering::SeqCst);
        self.writes_left
            .store(left.saturating_sub(1), Ordering::SeqCst);
        if left != 1 {
            return write();
        }
        if self.takes_effect {
            write()?;
        }
        Err(PortError::new(PortErrorKind::TimedOut, "killed"))
    }
}

struct Fused {
    fuse: Arc<Fuse>,
    ledger: Arc<dyn LedgerStore>,
    store: Arc<dyn Store>,
    machines: Arc<dyn Machines>,
    people: Arc<dyn People>,
}

impl LedgerStore for Fused {
    fn read(&self, pair: &PairName) -> Result<Option<Ledger>, PortError> {
        self.ledger.read(pair)
    }
    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError> {
        self.fuse.at(|| self.ledger.write(before, next))
    }
}

impl Store for Fused {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        self.fuse.at(|| self.store.put(key, bytes))
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        self.store.get(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        self.store.list(prefix)
    }
}

impl Machines for Fused {
    fn start(&self, start: &Start) -> Result<bool, PortError> {
        self.fuse.at(|| self.machines.start(start))
    }
    fn answer(&self, token: &str, answer: &Value) -> Result<(), PortError> {
        self.fuse.at(|| self.machines.answer(token, answer))
    }
    fn is_running(&self, execution: &ExecutionName) -> Result<Option<bool>, PortError> {
        self.machines.is_running(execution)
    }
}

impl People for Fused {
    fn tell(&self, subject: &str, text: &str) -> Result<u32, PortError> {
        self.fuse.at(|| self.people.tell(subject, text))
    }
}

/// A failover, step by step.
const STEPS: [Step; 10] = [
    Step::TriggerRecovery,
    Step::ClaimEpoch,
    Step::Assess,
    Step::PlanRecovery,
    Step::RequestApproval,
    Step::AnswerApproval,
    Step::SealFlow,
    Step::OpenTarget,
    Step::RecordEvidence,
    Step::Notify,
];

fn payload(drill: &Drill, step: Step) -> Value {
    let folder = "recoveries/orders-e1-failover-1";
    let order = drill.stored(&format!("{folder}/order.json"));
    let start = drill.start("failover", "acting");
    let wish = json!({"by": "person", "name": "maria", "reason": "dark"});
    match step {
        Step::TriggerRecovery => json!({"mode": "failover", "wish": wish}),
        Step::ClaimEpoch => json!({ "start": start }),
        Step::PlanRecovery => json!({
            "order": order, "assessment": format!("{folder}/assessment.json"), "wish": wish,
        }),
        Step::RequestApproval => json!({
            "order": order, "token": "one", "question": "Fail over?", "digest": "abc",
            "deadline_seconds": 600,
        }),
        Step::AnswerApproval => json!({
            "execution": "orders-e1-failover-1", "digest": "abc", "approve": true, "by": "jun",
        }),
        Step::RecordEvidence => json!({"start": start, "ended": "TargetActive", "error": null}),
        Step::Notify => json!({
            "pair": "orders", "execution": "orders-e1-failover-1", "subject": "s", "text": "t",
        }),
        _ => json!({ "order": order }),
    }
}

/// Carries the failover out; one of its steps is killed at a write, and carried out again. Answers what is left of it, and
/// whether there was such a write.
fn run(killed: Option<(Step, u32, bool)>) -> Result<(Value, bool), StepError> {
    let mut stage = Stage::new();
    stage.pair.automation = Automation::Automatic;
    stage.mirror("orders", 0, 100, 120);
    let mut drill = Drill::of(stage);
    drill.lose("use1");
    let mut reached = false;
    for step in STEPS {
        if let Some((_, write, takes_effect)) = killed.filter(|(of, _, _)| *of == step) {
            let whole = drill.world.clone();
            let fuse = Arc::new(Fuse {
                writes_left: AtomicU32::new(write),
                takes_effect,
            });
            let fused = Arc::new(Fused {
                fuse: fuse.clone(),
                ledger: whole.ledger.clone(),
                store: whole.store.clone(),
                machines: whole.machines.clone(),
                people: whole.people.clone(),
            });
            drill.world.ledger = fused.clone();
            drill.world.store = fused.clone();
            drill.world.machines = fused.clone();
            drill.world.people = fused;
            let _killed = drill.invoke(step, payload(&drill, step));
            reached = fuse.writes_left.load(Ordering::SeqCst) == 0;
            drill.world = whole;
        }
        drill.invoke(step, payload(&drill, step))?;
    }
    let mut left = drill.stored("recoveries/orders-e1-failover-1/evidence.json");
    if let Some(steps) = left.pointer_mut("/steps").and_then(Value::as_array_mut) {
        for step in steps.iter_mut().filter_map(Value::as_object_mut) {
            // How often it was tried is what differs, and in which words it says that it was done before.
            step.remove("tries");
            step.remove("did");
        }
    }
    let ledger = drill.stage.scene().ledger.clone();
    let ledger = ledger.map(|it| (it.epoch, it.active, it.phase));
    let starts = drill.said().starts.len();
    Ok((
        json!({"evidence": left, "ledger": format!("{ledger:?}"), "starts": starts}),
        reached,
    ))
}

#[test]
fn killed_at_any_write_and_carried_out_again_it_ends_the_same() -> Result<(), StepError> {
    let (undisturbed, _) = run(None)?;
    let mut kills = 0;
    for step in STEPS {
        for takes_effect in [false, true] {
            for write in 1..20 {
                let (left, reached) = run(Some((step, write, takes_effect)))?;
                if !reached {
                    break;
                }
                kills += 1;
                assert_eq!(
                    left, undisturbed,
                    "{step}, write {write}, effect {takes_effect}"
                );
            }
        }
    }
    assert!(kills > 30, "{kills} kills are too few to be all");
    Ok(())
}
