//! A plan in words: each act, in the order in which it is carried out.

use super::{Plan, Wave};
use crate::client::{Adapter, Application, Role};
use crate::pair::{Fencing, Pair};
use crate::places::PlacesSummary;
use crate::{Alias, Mode};

/// What will be done, one sentence an act.
pub(super) fn will(plan: &Plan, pair: &Pair, places: &PlacesSummary) -> Vec<String> {
    let acts = Acts { plan, pair, places };
    match plan.mode {
        Mode::Failover => acts.failover(),
        Mode::Switchover | Mode::Failback => acts.switchover(),
    }
}

struct Acts<'a> {
    plan: &'a Plan,
    pair: &'a Pair,
    places: &'a PlacesSummary,
}

impl Acts<'_> {
    fn failover(&self) -> Vec<String> {
        let Plan { source, .. } = self.plan;
        let mut acts = vec![self.seal(), self.place(), self.verify()];
        acts.push(
            "go on only if what is lost is within the consent, or a person accepts it".to_owned(),
        );
        acts.push(self.open());
        acts.extend(self.moves());
        acts.push(match self.writers() {
            Some(writers) => {
                format!("beside all this, shut {writers} out of {source} as soon as it answers")
            }
            None => format!(
                "leave {source} as it is: the pair names no writer that could be shut out of it"
            ),
        });
        acts.push("write the evidence and tell people".to_owned());
        acts
    }

    fn switchover(&self) -> Vec<String> {
        let Plan { source, target, .. } = self.plan;
        let mut acts = vec![match self.writers() {
            Some(writers) if self.pair.fencing.login(source).is_some() => format!(
                "shut {writers} out of what is mirrored from {source}, and prove it: a write is refused and every end stands"
            ),
            Some(writers) => format!(
                "shut {writers} out of what is mirrored from {source}, and wait until every end stands: no write is tried"
            ),
            None => {
                format!("wait until every end of {source} stands, as nothing shuts its writers out")
            }
        }];
        acts.push(format!(
            "wait until everything that {source} holds is on {target}"
        ));
        let consumers = names(
            self.plan
                .waves
                .iter()
                .filter(|wave| wave.role == Role::Consumer)
                .flat_map(|wave| &wave.applications),
        );
        if !consumers.is_empty() {
            acts.push(format!(
                "stop {consumers}, and wait until nobody is in their groups on {source}"
            ));
        }
        acts.extend([self.seal(), self.place(), self.verify(), self.open()]);
        acts.extend(self.moves());
        acts.push(format!("start the flow from {target} back to {source}"));
        acts.push("write the evidence and tell people".to_owned());
        acts
    }

    fn seal(&self) -> String {
        let Plan { flow, epoch, .. } = self.plan;
        format!(
            "seal flow {flow} at {epoch}: its workers can write nothing more; read its exact cut"
        )
    }

    fn place(&self) -> String {
        let Plan {
            target,
            live_groups,
            ..
        } = self.plan;
        let groups = self.places.groups;
        let left = match names(live_groups) {
            live if live.is_empty() => String::new(),
            live => format!("; leave {live} alone, because somebody is there already"),
        };
        format!("bring {groups} groups to their places on {target}{left}")
    }

    fn verify(&self) -> String {
        "check every group's place: none may skip a record".to_owned()
    }

    fn open(&self) -> String {
        let Plan { target, epoch, .. } = self.plan;
        format!(
            "let writers into {target}: lift a fence on it, grant what mirroring withheld; it is the active cluster from \
             {epoch} on"
        )
    }

    fn moves(&self) -> impl Iterator<Item = String> {
        self.plan.waves.iter().map(|wave| self.move_wave(wave))
    }

    fn move_wave(&self, wave: &Wave) -> String {
        let target = &self.plan.target;
        let moved: Vec<String> = wave
            .applications
            .iter()
            .filter_map(|name| self.pair.applications.iter().find(|it| &it.name == name))
            .map(|application| moved(application, target))
            .collect();
        format!(
            "move wave {} of {} to {target} and see them at work: {}",
            wave.number,
            movers(wave.role),
            moved.join("; ")
        )
    }

    /// The writers that ACLs shut out; nothing where none is named.
    fn writers(&self) -> Option<String> {
        let Fencing { writers, .. } = &self.pair.fencing;
        (!writers.is_empty()).then(|| names(writers))
    }
}

fn moved(application: &Application, target: &Alias) -> String {
    let how: Vec<String> = application
        .adapters
        .iter()
        .map(|adapter| how(adapter, target))
        .collect();
    if how.is_empty() {
        return format!("{} (moves by itself)", application.name);
    }
    format!("{} ({})", application.name, how.join(", then "))
}

fn how(adapter: &Adapter, target: &Alias) -> String {
    match adapter {
        Adapter::SsmParameter { parameter } => format!("parameter {parameter}"),
        Adapter::File { path } => format!("file {path}"),
        Adapter::EcsService { services, desired } => {
            format!(
                "ECS service {} with {desired} tasks",
                at(services.get(target))
            )
        }
        Adapter::LambdaEventSource { mappings } => {
            format!("event source mapping {}", at(mappings.get(target)))
        }
        Adapter::Route53Record {
            zone,
            record,
            values,
        } => {
            format!(
                "DNS record {record} of zone {zone} to {}",
                at(values.get(target))
            )
        }
        Adapter::Secret { secret, values } => {
            format!("secret {secret} from {}", at(values.get(target)))
        }
        Adapter::Command { command } => format!("command {}", command.join(" ")),
        Adapter::Notify { text } => format!("a person is told: {text}"),
    }
}

/// What an adapter has for the target. One without is reported when it is applied, and named here.
fn at(there: Option<&String>) -> &str {
    there.map_or("that the pair does not name", String::as_str)
}

/// Names in a row.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.join(", ")
}

/// Those who do this, as a person says it.
const fn movers(role: Role) -> &'static str {
    match role {
        Role::Consumer => "consumers",
        Role::Producer => "producers",
    }
}
