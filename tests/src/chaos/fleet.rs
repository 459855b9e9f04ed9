//! Three workers and what they are meant to be doing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::error::Result;
use super::tail::Place;
use crate::error::{LabError, Result as LabResult};
use crate::flow_file::FlowFile;
use crate::worker::{Worker, understudy};

/// A worker releases its slots and leaves within this time.
const LEAVE_LIMIT: Duration = Duration::from_secs(30);
const VERIFY_LIMIT: Duration = Duration::from_secs(180);

/// Workers of one flow.
#[derive(Debug)]
pub struct Fleet {
    workers: Vec<Member>,
    slots: usize,
}

#[derive(Debug)]
struct Member {
    worker: Worker,
    state: State,
}

/// What was done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Down,
}

/// What `understudy verify --deep` said.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Whether it holds.
    pub holds: bool,
    /// Records compared.
    pub compared: u64,
    /// What it printed: for machines, or why it has no answer.
    pub output: String,
}

impl Fleet {
    /// Starts so many workers of a flow with so many slots; returns at once.
    pub fn start(flow: &FlowFile, workers: usize, slots: u32) -> Result<Self> {
        let flow = flow.clone().slots(slots);
        let member = |number: usize| {
            let worker = Worker::start(&flow, &format!("worker-{number}"))?;
            Ok(Member {
                worker,
                state: State::Running,
            })
        };
        let workers: LabResult<Vec<Member>> = (1..=workers).map(member).collect();
        Ok(Self {
            workers: workers?,
            slots: slots as usize,
        })
    }

    /// How many workers.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// SIGKILL.
    pub fn kill(&mut self, worker: usize) -> Result<()> {
        let member = self.member_mut(worker)?;
        // One that had ended before is a finding, and must not pass for our victim.
        member.worker.expect_running()?;
        member.state = State::Down;
        Ok(member.worker.kill()?)
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(&mut self, worker: usize) -> Result<()> {
        let member = self.member_mut(worker)?;
        member.state = State::Down;
        member.worker.terminate()?;
        let status = member.worker.wait(LEAVE_LIMIT)?;
        if status.success() {
            return Ok(());
        }
        let why = format!("it ended with {status} after SIGTERM");
        let who = member.worker.name().to_owned();
        Err(LabError::BadAnswer { who, why }.into())
    }

    /// Starts it again.
    pub fn restart(&mut self, worker: usize) -> Result<()> {
        let member = self.member_mut(worker)?;
        member.worker.restart()?;
        member.state = State::Running;
        Ok(())
    }

    /// SIGSTOP.
    pub fn pause(&mut self, worker: usize) -> Result<()> {
        let member = self.member_mut(worker)?;
        member.worker.pause()?;
        member.state = State::Paused;
        Ok(())
    }

    /// SIGCONT.
    pub fn resume(&mut self, worker: usize) -> Result<()> {
        let member = self.member_mut(worker)?;
        member.worker.resume()?;
        member.state = State::Running;
        Ok(())
    }

    /// Where the workers' flow files and logs are.
    pub fn folder(&self) -> Result<PathBuf> {
        let flow = self.member(0)?.worker.flow();
        Ok(flow.parent().map(Path::to_owned).unwrap_or_default())
    }

    /// A worker's name.
    pub fn name(&self, worker: usize) -> Result<&str> {
        Ok(self.member(worker)?.worker.name())
    }

    /// Which slots each running worker copies.
    pub fn slots(&self) -> LabResult<BTreeMap<usize, Vec<u64>>> {
        let mut held = BTreeMap::new();
        for (index, member) in self.workers.iter().enumerate() {
            if member.state != State::Running {
                continue;
            }
            let status = member.worker.status()?;
            let copying = array(&status, "slots").filter(|slot| slot["state"] == "copying");
            let slots = copying.filter_map(|slot| slot["slot"].as_u64()).collect();
            held.insert(index, slots);
        }
        Ok(held)
    }

    /// Whether each slot is copied by exactly one running worker and each such worker has one;
    /// `Err` says what is there instead.
    pub fn settled(&self) -> Result<(), String> {
        let held = self.slots().map_err(|error| crate::error::chain(&error))?;
        let mut all: Vec<u64> = held.values().flatten().copied().collect();
        all.sort_unstable();
        let whole = all.iter().copied().eq(0..self.slots as u64);
        if whole && held.values().all(|slots| !slots.is_empty()) {
            Ok(())
        } else {
            let told: Vec<String> = held
                .iter()
                .map(|(index, slots)| format!("worker-{} copies {slots:?}", index + 1))
                .collect();
            Err(told.join(", "))
        }
    }

    /// The partitions that a worker copies.
    pub fn places(&self, worker: usize) -> Result<Vec<Place>> {
        let status = self.member(worker)?.worker.status()?;
        let places = array(&status, "partitions").filter_map(|line| {
            let partition = line["partition"].as_i64()?.try_into().ok()?;
            Some((line["topic"].as_str()?.to_owned(), partition))
        });
        Ok(places.collect())
    }

    /// Partitions known to running workers.
    pub fn partitions(&self) -> usize {
        let running = (0..self.len()).filter_map(|worker| self.places(worker).ok());
        running.map(|places| places.len()).sum()
    }

    /// An error if a worker has ended that nobody asked to, or has panicked.
    pub fn expect_well(&self) -> Result<()> {
        for member in &self.workers {
            if member.state != State::Down {
                member.worker.expect_running()?;
            }
        }
        Ok(())
    }

    /// How often a text stands in the workers' logs, over all their starts.
    pub fn logged(&self, text: &str) -> u64 {
        let count = |member: &Member| member.worker.log().matches(text).count() as u64;
        self.workers.iter().map(count).sum()
    }

    /// Runs `understudy verify --deep`.
    pub fn verify(&self) -> Result<Verified> {
        let flow = self.member(0)?.worker.flow();
        let arguments = [
            "verify".as_ref(),
            "--deep".as_ref(),
            "--json".as_ref(),
            flow.as_os_str(),
        ];
        let output = understudy(arguments, VERIFY_LIMIT)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let compared = array(&answer, "partitions").filter_map(|line| line["compared"].as_u64());
        Ok(Verified {
            holds: output.status.success() && answer.get("holds") == Some(&Value::Bool(true)),
            compared: compared.sum(),
            output: text,
        })
    }

    /// Asks `understudy translate` where a group stands; one value for each partition.
    pub fn translate(&self, group: &str) -> Result<Vec<Value>> {
        let flow = self.member(0)?.worker.flow();
        let arguments = [
            "translate".as_ref(),
            flow.as_os_str(),
            "--group".as_ref(),
            group.as_ref(),
            "--json".as_ref(),
        ];
        let output = understudy(arguments, VERIFY_LIMIT)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: std::result::Result<Vec<Value>, _> =
            text.lines().map(serde_json::from_str).collect();
        match lines {
            Ok(lines) if !lines.is_empty() => Ok(lines),
            _ => Err(LabError::BadAnswer {
                who: "understudy translate".to_owned(),
                why: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
            }
            .into()),
        }
    }

    fn member(&self, worker: usize) -> Result<&Member> {
        let missing = || LabError::Usage(format!("there is no worker {worker}"));
        Ok(self.workers.get(worker).ok_or_else(missing)?)
    }

    fn member_mut(&mut self, worker: usize) -> Result<&mut Member> {
        let missing = || LabError::Usage(format!("there is no worker {worker}"));
        Ok(self.workers.get_mut(worker).ok_or_else(missing)?)
    }
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}
