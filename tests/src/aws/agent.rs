//! ECS counts, and runs nothing here: this agent makes a service's count true with real workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::api::Api;
use crate::aws::region::AwsRegion;
use crate::error::{LabError, Result};
use crate::flow_file::FlowFile;
use crate::worker::Worker;

const EVERY: Duration = Duration::from_millis(200);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Watches one service until dropped; its workers end with it.
#[derive(Debug)]
pub struct EcsAgent {
    stop: Arc<AtomicBool>,
    watching: Option<JoinHandle<()>>,
}

impl EcsAgent {
    /// Declares a service `cluster/name` with so many tasks, and runs a worker of `flow` for each task that is wanted.
    pub fn start(region: &AwsRegion, service: &str, tasks: u32, flow: FlowFile) -> Result<Self> {
        let (cluster, name) = service
            .split_once('/')
            .ok_or_else(|| LabError::Usage(format!("{service} is not cluster/service")))?;
        let api = region.api().clone();
        declare(&api, cluster, name, tasks)?;
        let stop = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            api,
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            flow,
            stop: Arc::clone(&stop),
        };
        Ok(Self {
            stop,
            watching: Some(thread::spawn(move || watch.run())),
        })
    }
}

impl Drop for EcsAgent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(watching) = self.watching.take() {
            // Its own panic has been printed.
            let _ = watching.join();
        }
    }
}

fn declare(api: &Api, cluster: &str, name: &str, tasks: u32) -> Result<()> {
    let ecs = |operation: &str, input: &Value| {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        api.json("ecs", &target, input)
    };
    ecs("CreateCluster", &json!({ "clusterName": cluster }))?;
    let container = json!({ "name": name, "image": "understudy", "essential": true });
    ecs(
        "RegisterTaskDefinition",
        &json!({ "family": name, "containerDefinitions": [container] }),
    )?;
    ecs(
        "CreateService",
        &json!({ "cluster": cluster, "serviceName": name, "taskDefinition": name, "desiredCount": tasks }),
    )?;
    Ok(())
}

struct Watch {
    api: Api,
    cluster: String,
    name: String,
    flow: FlowFile,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn run(self) {
        let mut workers = Vec::new();
        let mut started = 0_u32;
        while !self.stop.load(Ordering::Relaxed) {
            // A Region that is lost tells no counts, and its tasks went with it.
            let wanted = self.wanted().unwrap_or(0);
            while workers.len() > wanted {
                if let Some(worker) = workers.pop() {
                    stop(&worker);
                }
            }
            while workers.len() < wanted {
                started += 1;
                match Worker::start(&self.flow, &format!("{}-{started}", self.name)) {
                    Ok(worker) => workers.push(worker),
                    Err(error) => {
                        eprintln!("{} has a task less: {error}", self.name);
                        break;
                    }
                }
            }
            // As ECS does: a task that ended is replaced.
            workers.retain(|worker: &Worker| worker.expect_running().is_ok());
            thread::sleep(EVERY);
        }
    }

    fn wanted(&self) -> Option<usize> {
        let input = json!({ "cluster": self.cluster, "services": [self.name] });
        let target = "AmazonEC2ContainerServiceV20141113.DescribeServices";
        let answer = self.api.json("ecs", target, &input).ok()?;
        let service = answer.get("services")?.as_array()?.first()?.clone();
        usize::try_from(service.get("desiredCount")?.as_u64()?).ok()
    }
}

fn stop(worker: &Worker) {
    // What does not end when asked is killed with the value.
    if worker.terminate().is_ok() {
        let _ = worker.wait(STOPPED_WITHIN);
    }
}
