//! The ports, over a scene.

mod clusters;
mod flows;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use understudy_recovery::client::{Adapter, Pointer};
use understudy_recovery::contract::Start;
use understudy_recovery::health::Signal;
use understudy_recovery::pair::Pair;
use understudy_recovery::{Alias, ExecutionName, Ledger, PairName};
use understudy_shell::world::{Clients, Clock, LedgerStore, Machines, People, Signals, Store};
use understudy_shell::{PortError, PortErrorKind, World};

use crate::fuse::Fuse;
use crate::history::Happened;
use crate::life::Life;
use crate::scene::Scene;

type Answer<T> = Result<T, PortError>;

#[derive(Clone)]
struct Ports {
    scene: Arc<Mutex<Scene>>,
    fuse: Arc<Fuse>,
}

pub fn world(pair: Pair, scene: &Arc<Mutex<Scene>>, fuse: &Arc<Fuse>) -> World {
    let ports = Arc::new(Ports {
        scene: scene.clone(),
        fuse: fuse.clone(),
    });
    World {
        pair: Arc::new(pair),
        here: None,
        ledger: ports.clone(),
        store: ports.clone(),
        clusters: ports.clone(),
        flows: ports.clone(),
        workers: ports.clone(),
        clients: ports.clone(),
        people: ports.clone(),
        signals: ports.clone(),
        machines: ports.clone(),
        clock: ports,
    }
}

impl Ports {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that only looks.
    fn look<T>(
        &self,
        of: &str,
        call: &str,
        look: impl FnOnce(&mut Scene) -> Answer<T>,
    ) -> Answer<T> {
        self.fuse.look()?;
        let mut scene = self.scene();
        scene.go_on();
        scene.may(of, call)?;
        look(&mut scene)
    }

    /// A call that changes something.
    fn change<T>(
        &self,
        of: &str,
        call: &str,
        change: impl FnOnce(&mut Scene) -> Answer<T>,
    ) -> Answer<T> {
        self.fuse.write(|| {
            let mut scene = self.scene();
            scene.go_on();
            scene.may(of, call)?;
            change(&mut scene)
        })
    }
}

impl LedgerStore for Ports {
    fn read(&self, _pair: &PairName) -> Answer<Option<Ledger>> {
        self.look("ledger", "read", |scene| Ok(scene.ledger.clone()))
    }

    fn write(&self, before: u64, next: &Ledger) -> Answer<()> {
        self.change("ledger", "write", |scene| {
            let stored = scene.ledger.as_ref().map_or(0, |ledger| ledger.version);
            if stored != before {
                let text = format!("version {stored}, not {before}");
                return Err(PortError::new(PortErrorKind::Conflict, text));
            }
            scene.log.push(format!("ledger {}", next.version));
            scene.happens(Happened::Ledger(Box::new(next.clone())));
            scene.ledger = Some(next.clone());
            Ok(())
        })
    }
}

impl Store for Ports {
    fn put(&self, key: &str, bytes: &[u8]) -> Answer<()> {
        self.change("store", "put", |scene| {
            scene.happens(Happened::Stored(key.to_owned()));
            scene.store.insert(key.to_owned(), bytes.to_vec());
            Ok(())
        })
    }

    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        self.look("store", "get", |scene| Ok(scene.store.get(key).cloned()))
    }

    fn list(&self, prefix: &str) -> Answer<Vec<String>> {
        self.look("store", "list", |scene| {
            let keys = scene.store.keys();
            Ok(keys
                .filter(|key| key.starts_with(prefix))
                .cloned()
                .collect())
        })
    }
}

impl Clients for Ports {
    fn quiesce(&self, adapter: &Adapter, pointer: &Pointer, source: &Alias) -> Answer<String> {
        let name = kind(adapter);
        let what = format!("quiesce {name} on {source}");
        self.tell(&name, "quiesce", &what, true, pointer)
    }

    fn apply(&self, adapter: &Adapter, pointer: &Pointer) -> Answer<String> {
        let name = kind(adapter);
        let what = self.plan(adapter, pointer);
        self.tell(&name, "apply", &what, false, pointer)
    }

    fn plan(&self, adapter: &Adapter, pointer: &Pointer) -> String {
        format!("apply {} to {}", kind(adapter), pointer.active)
    }
}

impl Ports {
    fn tell(
        &self,
        name: &str,
        call: &str,
        what: &str,
        stop: bool,
        pointer: &Pointer,
    ) -> Answer<String> {
        self.fuse.write(|| {
            let mut scene = self.scene();
            scene.go_on();
            scene.log.push(what.to_owned());
            scene.may(name, call)?;
            scene.happens(Happened::Told {
                application: name.to_owned(),
                stop,
                active: pointer.active.clone(),
            });
            with_life(&mut scene, |life, scene| {
                if name == life.reader && stop {
                    life.stop(scene);
                } else if name == life.reader {
                    life.move_to(scene, &pointer.active);
                }
            });
            Ok(what.to_owned())
        })
    }
}

fn with_life(scene: &mut Scene, change: impl FnOnce(&mut Life, &mut Scene)) {
    if let Some(mut life) = scene.life.take() {
        change(&mut life, scene);
        scene.life = Some(life);
    }
}

/// Adapters are told apart by what they hold, so that a test can let one of two fail.
fn kind(adapter: &Adapter) -> String {
    match adapter {
        Adapter::SsmParameter { parameter } => parameter.clone(),
        Adapter::File { path } => path.clone(),
        Adapter::EcsService { .. } => "ecs".to_owned(),
        Adapter::LambdaEventSource { .. } => "lambda".to_owned(),
        Adapter::Route53Record { record, .. } => record.clone(),
        Adapter::Secret { secret, .. } => secret.clone(),
        Adapter::Command { command } => command.join(" "),
        Adapter::Notify { text } => text.clone(),
    }
}

impl People for Ports {
    fn tell(&self, subject: &str, _text: &str) -> Answer<u32> {
        self.change("people", "tell", |scene| {
            scene.log.push(format!("tell {subject}"));
            scene.happens(Happened::Notice(subject.to_owned()));
            Ok(1)
        })
    }
}

impl Signals for Ports {
    fn publish(&self, about: &Alias, signal: &Signal) -> Answer<()> {
        self.change("signals", "publish", |scene| {
            let signals = scene.signals.entry(about.to_string()).or_default();
            signals.push(signal.clone());
            Ok(())
        })
    }

    fn recent(&self, about: &Alias) -> Answer<Vec<Signal>> {
        self.look("signals", "recent", |scene| {
            let signals = scene.signals.get(about.as_str());
            Ok(signals.cloned().unwrap_or_default())
        })
    }
}

impl Machines for Ports {
    fn start(&self, start: &Start) -> Answer<bool> {
        self.change("machines", "start", |scene| {
            let name = start.execution.to_string();
            if scene.executions.contains_key(&name) {
                return Ok(false);
            }
            scene.log.push(format!("start {name}"));
            scene.happens(Happened::Started(name.clone()));
            scene.executions.insert(name, true);
            scene.starts.push(start.clone());
            Ok(true)
        })
    }

    fn answer(&self, token: &str, answer: &serde_json::Value) -> Answer<()> {
        self.change("machines", "answer", |scene| {
            scene.happens(Happened::Answered(token.to_owned()));
            let first = scene.answers.entry(token.to_owned());
            first.or_insert_with(|| answer.clone());
            Ok(())
        })
    }

    fn is_running(&self, execution: &ExecutionName) -> Answer<Option<bool>> {
        self.look("machines", "is_running", |scene| {
            Ok(scene.executions.get(&execution.to_string()).copied())
        })
    }
}

impl Clock for Ports {
    fn now_ms(&self) -> i64 {
        self.scene().now_ms
    }

    fn sleep(&self, time: Duration) {
        self.scene().pass(time);
    }
}
