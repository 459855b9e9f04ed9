//! What a store of ledgers must keep to, over copies in memory that may be out of reach.

use std::sync::mpsc;

use understudy_recovery::{ExecutionName, Leash, Mode, Phase, Refusal};

use super::*;
use crate::{FileLedger, PairFile};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A copy in memory: what brokers do with a transactional id is a lock here.
#[derive(Default)]
struct Memory {
    held: Mutex<Option<Ledger>>,
    fails: Mutex<Option<PortErrorKind>>,
}

impl Memory {
    fn answers(&self) -> Result<(), PortError> {
        match *self.fails.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(kind) => Err(PortError::new(kind, "silence")),
            None => Ok(()),
        }
    }

    fn fail(&self, how: Option<PortErrorKind>) {
        *self.fails.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }

    fn lose(&self, lost: bool) {
        self.fail(lost.then_some(PortErrorKind::TimedOut));
    }

    fn put(&self, ledger: &Ledger) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger.clone());
    }

    fn version(&self) -> u64 {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or(0, |held| held.version)
    }
}

impl LedgerCopy for Memory {
    fn read(&self, _within: Duration) -> Result<Option<Ledger>, PortError> {
        self.answers()?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.clone())
    }

    fn change(
        &self,
        may: &dyn Fn(Option<&Ledger>) -> Result<(), PortError>,
        next: &Ledger,
    ) -> Result<(), PortError> {
        self.answers()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        may(held.as_ref())?;
        *held = Some(next.clone());
        Ok(())
    }
}

/// A copy to which something happens at its first read.
struct Hooked {
    memory: Arc<Memory>,
    before: Hook,
    after: Hook,
}

type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

fn run(hook: &Hook) {
    let hook = hook.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(hook) = hook {
        hook();
    }
}

impl LedgerCopy for Hooked {
    fn read(&self, within: Duration) -> Result<Option<Ledger>, PortError> {
        run(&self.before);
        let read = self.memory.read(within);
        run(&self.after);
        read
    }

    fn change(
        &self,
        may: &dyn Fn(Option<&Ledger>) -> Result<(), PortError>,
        next: &Ledger,
    ) -> Result<(), PortError> {
        self.memory.change(may, next)
    }
}

/// Two clusters, and whoever starts recoveries: each process has a view of its own.
struct Scene {
    pair: Arc<Pair>,
    use1: Arc<Memory>,
    usw2: Arc<Memory>,
}

const PAIR: &str = "name = \"orders\"\nhome = \"use1\"\nledger = \"kafka\"\n\
    [clusters.use1]\nregion = \"us-east-1\"\n[clusters.usw2]\nregion = \"us-west-2\"\n\
    [[flows]]\nsource = \"use1\"\ntarget = \"usw2\"\nfile = \"there.toml\"\n\
    [[flows]]\nsource = \"usw2\"\ntarget = \"use1\"\nfile = \"back.toml\"\n";

impl Scene {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pair.toml");
        std::fs::write(&path, PAIR)?;
        Ok(Self {
            pair: PairFile::alone(&path)?.pair,
            use1: Arc::default(),
            usw2: Arc::default(),
        })
    }

    fn process(&self) -> Result<LedgerOnBoth, Box<dyn std::error::Error>> {
        let use1 = Arc::clone(&self.use1) as Arc<dyn LedgerCopy>;
        let usw2 = Arc::clone(&self.usw2) as Arc<dyn LedgerCopy>;
        let copies = [(Alias::new("use1")?, use1), (Alias::new("usw2")?, usw2)];
        let copies = BTreeMap::from(copies);
        Ok(LedgerOnBoth::new(Arc::clone(&self.pair), copies))
    }

    fn begin(&self) -> Ledger {
        Ledger::new(self.pair.name.clone(), self.pair.home.clone())
    }
}

fn failover(ledger: &Ledger) -> ExecutionName {
    ledger.next_execution(Mode::Failover, Leash::Acting)
}

/// A transition of a ledger.
type Change<'a> = &'a dyn Fn(&Ledger) -> Result<Ledger, Refusal>;

/// From a ledger on, a whole recovery to `target`; what the ledger says then.
fn recover(
    store: &dyn LedgerStore,
    ledger: &Ledger,
    target: &Alias,
) -> Result<Ledger, Box<dyn std::error::Error>> {
    let execution = failover(ledger);
    let mut ledger = ledger.clone();
    let claim = |it: &Ledger| it.claim(&execution, target, false, 1);
    let changes: [Change<'_>; 4] = [
        &claim,
        &|it| it.sealed(&execution),
        &|it| it.activated(&execution),
        &|it| it.ended(&execution, false),
    ];
    for change in changes {
        let next = change(&ledger)?;
        store.write(ledger.version, &next)?;
        ledger = next;
    }
    Ok(ledger)
}

/// What holds of every store.
fn holds(store: &dyn LedgerStore, begin: &Ledger) -> Outcome {
    assert_eq!(store.read(&begin.pair)?, None);
    let next = begin.attempted();
    store.write(0, &next)?;
    assert_eq!(store.read(&begin.pair)?.as_ref(), Some(&next));
    let late = store.write(0, &next).map_err(|error| error.kind);
    assert_eq!(late, Err(PortErrorKind::Conflict));
    let after = next.attempted();
    let won = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| store.write(next.version, &after).is_ok()))
            .collect();
        let won = racing.into_iter().map(|it| it.join().unwrap_or(false));
        won.filter(|won| *won).count()
    });
    assert_eq!(won, 1, "of many that write at once one does");
    let usw2 = Alias::new("usw2")?;
    let ended = recover(store, &after, &usw2)?;
    let read = store.read(&begin.pair)?.ok_or("nothing")?;
    assert_eq!((&read, &read.active), (&ended, &usw2));
    Ok(())
}

#[test]
fn a_folder_and_two_clusters_keep_a_ledger_alike() -> Outcome {
    let scene = Scene::new()?;
    let folder = tempfile::tempdir()?;
    holds(&FileLedger::new(folder.path()), &scene.begin())?;
    holds(&scene.process()?, &scene.begin())
}

#[test]
fn a_recovery_needs_the_cluster_that_it_makes_active_and_no_other() -> Outcome {
    let scene = Scene::new()?;
    let (use1, usw2) = (Alias::new("use1")?, Alias::new("usw2")?);
    let store = scene.process()?;
    scene.use1.lose(true);
    let ended = recover(&store, &scene.begin(), &usw2)?;
    assert_eq!(
        (ended.active.as_str(), &ended.phase),
        ("usw2", &Phase::Steady)
    );
    assert_eq!(scene.use1.version(), 0);

    assert_eq!(store.level(&ended.pair)?, std::slice::from_ref(&use1));

    // The next one goes to use1. Without it nothing is changed, whatever is asked.
    let kind = |outcome: Result<(), PortError>| outcome.map_err(|error| error.kind);
    let next = ended.attempted();
    assert_eq!(
        kind(store.write(ended.version, &next)),
        Err(PortErrorKind::TimedOut)
    );
    assert_eq!(store.read(&ended.pair)?, Some(ended.clone()));

    // Once it is back and level, the other one may be lost.
    scene.use1.lose(false);
    let back = scene.process()?;
    assert!(back.level(&ended.pair)?.is_empty());
    assert_eq!(scene.use1.version(), ended.version);
    scene.usw2.lose(true);
    let alone = scene.process()?;
    let home = recover(&alone, &ended, &use1)?;
    assert_eq!((home.active.as_str(), home.epoch.get()), ("use1", 2));

    // And whoever comes with what usw2 had is told.
    scene.usw2.lose(false);
    let late = scene.process()?;
    assert_eq!(late.read(&home.pair)?, Some(home.clone()));
    assert_eq!(
        kind(late.write(ended.version, &next)),
        Err(PortErrorKind::Conflict)
    );
    Ok(())
}

#[test]
fn whoever_reaches_only_a_copy_that_is_behind_changes_nothing() -> Outcome {
    let scene = Scene::new()?;
    let usw2 = Alias::new("usw2")?;
    scene.use1.lose(true);
    recover(&scene.process()?, &scene.begin(), &usw2)?;
    scene.use1.lose(false);
    scene.usw2.lose(true);
    let astray = scene.process()?;
    assert_eq!(
        astray.read(&scene.pair.name)?,
        None,
        "use1 holds nothing yet"
    );
    let begin = scene.begin();
    let claimed = begin.claim(&failover(&begin), &usw2, false, 1)?;
    let error = astray.write(0, &claimed).err().ok_or("it was written")?;
    assert!(error.text.starts_with("usw2 has the last word"), "{error}");
    assert_eq!(scene.use1.version(), 0);
    Ok(())
}

#[test]
fn two_ledgers_that_both_say_that_they_are_the_newest_are_a_persons() -> Outcome {
    let scene = Scene::new()?;
    let (use1, usw2) = (Alias::new("use1")?, Alias::new("usw2")?);
    let mut here = scene.begin();
    (here.version, here.active) = (7, usw2);
    // As after a disk that was put back: by its own words usw2 has the last one, and it is older.
    let mut there = scene.begin();
    (there.version, there.active) = (5, use1);
    scene.use1.put(&here);
    scene.usw2.put(&there);
    let store = scene.process()?;
    for outcome in [
        store.read(&there.pair).map(drop),
        store.write(7, &there.attempted()),
        store.level(&there.pair).map(drop),
    ] {
        let error = outcome.err().ok_or("it was taken")?;
        assert_eq!(error.kind, PortErrorKind::Malformed);
        assert!(
            error
                .text
                .contains("on usw2 use1 is active at e0, version 5")
                && error
                    .text
                    .contains("on use1 usw2 is active at e0, version 7"),
            "{error}"
        );
    }
    assert_eq!((scene.use1.version(), scene.usw2.version()), (7, 5));
    Ok(())
}

#[test]
fn a_change_between_the_reads_of_two_copies_is_no_contradiction() -> Outcome {
    let scene = Scene::new()?;
    let before = scene.begin().attempted();
    let after = before.attempted();
    scene.use1.put(&before);
    scene.usw2.put(&before);
    let (read, was_read) = mpsc::channel();
    let usw2 = Hooked {
        memory: Arc::clone(&scene.usw2),
        before: Mutex::default(),
        after: Mutex::new(Some(Box::new(move || drop(read)))),
    };
    let (both, next) = (
        [Arc::clone(&scene.usw2), Arc::clone(&scene.use1)],
        after.clone(),
    );
    let change = move || {
        // Ends as soon as usw2 was read.
        let _read: Result<(), _> = was_read.recv();
        for memory in both {
            memory.put(&next);
        }
    };
    let use1 = Hooked {
        memory: Arc::clone(&scene.use1),
        before: Mutex::new(Some(Box::new(change))),
        after: Mutex::default(),
    };
    let use1: Arc<dyn LedgerCopy> = Arc::new(use1);
    let usw2: Arc<dyn LedgerCopy> = Arc::new(usw2);
    let copies = BTreeMap::from([(Alias::new("use1")?, use1), (Alias::new("usw2")?, usw2)]);
    let store = LedgerOnBoth::new(Arc::clone(&scene.pair), copies);
    assert_eq!(store.read(&after.pair)?, Some(after));
    Ok(())
}

#[test]
fn the_cluster_that_is_left_has_no_veto() -> Outcome {
    for kind in [PortErrorKind::NotPermitted, PortErrorKind::Malformed] {
        let scene = Scene::new()?;
        let usw2 = Alias::new("usw2")?;
        scene.use1.fail(Some(kind));
        let ended = recover(&scene.process()?, &scene.begin(), &usw2)?;
        // The next goes to use1, and usw2 is not the one to say that nothing has come there.
        let kind_of = |error: PortError| error.kind;
        let read = scene.process()?.read(&ended.pair).map_err(kind_of);
        assert_eq!(read, Err(kind));
        scene.use1.fail(None);
        assert_eq!(scene.process()?.read(&ended.pair)?, Some(ended));
    }
    Ok(())
}

#[test]
fn whether_a_recovery_is_under_way_is_asked_where_it_goes() -> Outcome {
    let scene = Scene::new()?;
    let begin = scene.begin();
    let usw2 = Alias::new("usw2")?;
    let store = scene.process()?;
    let claimed = begin.claim(&failover(&begin), &usw2, false, 1)?;
    store.write(0, &claimed)?;
    scene.usw2.lose(true);
    let kind = |error: PortError| error.kind;
    let silent = store.read(&begin.pair).map_err(kind);
    assert_eq!(silent, Err(PortErrorKind::TimedOut));
    // It is not let be for that, and what came there meanwhile is read.
    scene.usw2.lose(false);
    let taken_over = claimed.attempted();
    scene.usw2.put(&taken_over);
    assert_eq!(store.read(&begin.pair)?, Some(taken_over));
    Ok(())
}

#[test]
fn a_copy_that_refuses_a_change_is_not_let_be() -> Outcome {
    let scene = Scene::new()?;
    let (store, begin) = (scene.process()?, scene.begin());
    scene.usw2.lose(true);
    assert_eq!(store.read(&begin.pair)?, None);
    scene.usw2.lose(false);
    let first = begin.attempted();
    scene.usw2.put(&first);
    let late = store.write(0, &first.attempted());
    assert_eq!(
        late.map_err(|error| error.kind),
        Err(PortErrorKind::Conflict)
    );
    assert_eq!(store.read(&begin.pair)?, Some(first));
    Ok(())
}

#[test]
fn who_knows_nothing_calls_no_silent_copy_level() -> Outcome {
    let scene = Scene::new()?;
    scene.usw2.lose(true);
    let silent = scene.process()?.level(&scene.pair.name)?;
    assert_eq!(silent, [Alias::new("usw2")?]);
    Ok(())
}
