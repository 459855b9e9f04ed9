//! What people are told, sentence by sentence, held against the world. A text in which no sentence is known here is a
//! fault too: it would be believed by somebody at night, and tested by nobody.

use understudy_fakes::Happened;
use understudy_recovery::Mode;

use crate::ends::Left;

/// A sentence, and whether what it says is so.
type Sentence = (&'static str, fn(&Left<'_>) -> bool);

const SENTENCES: [Sentence; 30] = [
    ("changed nothing but perhaps the ledger", |left| {
        left.did().all(|it| {
            let kept = matches!(it, Happened::Stored(_) | Happened::Notice(_));
            kept || matches!(it, Happened::Ledger(_))
        })
    }),
    ("touched neither cluster and sealed nothing", untouched),
    ("use1 is still the active cluster", |left| {
        left.active() == "use1"
    }),
    ("usw2 is the active cluster", |left| left.active() == "usw2"),
    ("ot failing back: ", |left| left.active() == "use1"),
    ("usw2 stands by for it again", |left| {
        left.may_copy("forward.toml")
    }),
    ("An earlier recovery has fenced use1", |left| {
        left.fence("use1").is_some()
    }),
    ("usw2 is copied to, and is not there yet", |left| {
        left.may_copy("forward.toml")
    }),
    ("he flow is sealed", |left| !left.may_copy("forward.toml")),
    ("use1 is fenced", |left| !left.scene.takes_writes("use1")),
    ("use1 is idle and not fenced", |left| {
        left.scene.takes_writes("use1")
    }),
    ("he target is not open", |left| {
        left.active() == "use1" && !left.scene.takes_writes("usw2")
    }),
    ("nobody is told to write there", |left| {
        !left.told("shop", "usw2")
    }),
    ("othing was sealed", |left| left.may_copy("forward.toml")),
    ("what was fenced is open again", |left| {
        left.scene.takes_writes("use1") && left.fence("use1").is_none()
    }),
    ("and takes writes", |left| left.scene.takes_writes("use1")),
    ("groups stand at their places", |left| {
        left.misplaced().is_empty()
    }),
    (
        "every application was moved there: move those by hand that the evidence names",
        |left| {
            let unwritten = left.stand().contains("The evidence may be missing");
            let named = |name: &&str| left.told(name, "usw2") || left.is_named(name) || unwritten;
            ["billing", "shop"].iter().all(named)
        },
    ),
    (
        "was started again: start those by hand that the evidence names",
        |left| {
            let unwritten = left.stand().contains("The evidence may be missing");
            left.told("billing", "use1") || left.is_named("billing") || unwritten
        },
    ),
    ("not known whether the flow back runs", |_| true),
    ("The evidence may be missing or old", |_| true),
    ("This was a drill: nothing was changed", |left| {
        left.changed_anything().is_ok()
    }),
    ("Not approved, said by", put_back),
    ("The loss was not consented to", |left| {
        left.active() == "use1"
    }),
    ("The cut lies before the end of use1", |left| {
        left.evidence()
            .and_then(|it| it.loss)
            .is_some_and(|it| it.records_at_most != Some(0))
    }),
    ("not failing over: ", put_back),
    ("not switching over: ", put_back),
    ("Not seen at work there yet: ", |left| {
        left.active() == "usw2"
    }),
    (
        "places of groups do not hold or could not be read back",
        |_| true,
    ),
    ("may be", |_| true),
];

/// Nothing was touched but what an earlier recovery had left half-done at the source.
fn put_back(left: &Left<'_>) -> bool {
    // Before a failback asks, it has made the cluster that came back a standby.
    if left.mode == Mode::Failback {
        return left.active() == "use1" && left.may_copy("forward.toml");
    }
    left.did().all(|it| match it {
        Happened::Acls { cluster, .. } => cluster == "use1",
        Happened::Told { active, stop, .. } => active == "use1" && !stop,
        it => only_noted(it),
    })
}

fn untouched(left: &Left<'_>) -> bool {
    left.did().all(only_noted)
}

fn only_noted(it: &Happened) -> bool {
    match it {
        Happened::Ledger(_)
        | Happened::Stored(_)
        | Happened::Notice(_)
        | Happened::Started(_)
        | Happened::Answered(_) => true,
        Happened::Sealed { .. }
        | Happened::Fenced { .. }
        | Happened::Begun { .. }
        | Happened::Reopened { .. }
        | Happened::Workers { .. }
        | Happened::PutAside { .. }
        | Happened::Merged { .. }
        | Happened::Acls { .. }
        | Happened::Placed { .. }
        | Happened::Told { .. }
        | Happened::Wrote { .. }
        | Happened::Copied { .. }
        | Happened::Read { .. } => false,
    }
}

/// Every sentence of `stand` that is not true.
pub fn untrue(left: &Left<'_>, stand: &str) -> Vec<String> {
    // What a drill says besides is about what would have been.
    let text = match stand.split_once(" In earnest: ") {
        Some((drill, _)) => drill,
        None => stand,
    };
    let said: Vec<&Sentence> = SENTENCES
        .iter()
        .filter(|(sentence, _)| text.contains(sentence))
        .collect();
    if said.is_empty() {
        return vec![format!("no sentence of this is known: {stand:?}")];
    }
    let lies = said.into_iter().filter(|(_, is_so)| !is_so(left));
    lies.map(|(sentence, _)| format!("not true: {sentence:?}, of {stand:?}"))
        .collect()
}
