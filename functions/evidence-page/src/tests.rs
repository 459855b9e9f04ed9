//! Pages are read as text here. `EVIDENCE_FIXTURES=/tmp/e cargo test -p understudy-evidence-page` writes each to a folder,
//! to be looked at.

use understudy_recovery::Step;

use super::{render, sample};

#[test]
fn each_end_is_a_page_of_its_own_that_needs_nothing_from_elsewhere() {
    let pages = [
        (
            "failover",
            render(&sample::failover()),
            "usw2 is active at e7",
        ),
        (
            "switchover",
            render(&sample::switchover()),
            "usw2 is active at e7",
        ),
        (
            "stuck",
            render(&sample::stuck()),
            "usw2 is not open: a person is needed",
        ),
        (
            "refused",
            render(&sample::refused()),
            "use1 is still active",
        ),
        (
            "standby",
            render(&sample::standby()),
            "use1 stands by for usw2 again",
        ),
    ];
    for (name, page, headline) in pages {
        assert!(page.contains(headline), "{name} says where we stand");
        for foreign in [
            "http://", "https://", "<script", "<link", "<img", "@import", "url(",
        ] {
            assert!(!page.contains(foreign), "{name} has {foreign}");
        }
        assert_eq!(
            page.matches("<div").count(),
            page.matches("</div>").count(),
            "{name}"
        );
        assert_eq!(
            page.matches("<details").count(),
            page.matches("</details>").count(),
            "{name}"
        );
        if let Ok(folder) = std::env::var("EVIDENCE_FIXTURES") {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(format!("{folder}/{name}.html"), page).expect("a file");
        }
    }
}

#[test]
fn what_it_cost_is_said_with_its_bounds() {
    let page = render(&sample::failover());
    assert!(page.contains("38 to 2,410 records"));
    assert!(page.contains("all written in the last 6.1 s before the cut"));
    assert!(page.contains("<b>4.9 s</b>"));
    assert!(page.contains("not seen"), "an application is not back");
}

#[test]
fn a_long_cut_is_folded_and_a_short_one_is_not() {
    let folded = |page: &str| page.contains("24 partitions, 1 of them");
    assert!(folded(&render(&sample::failover())));
    assert!(!folded(&render(&sample::switchover())));
}

#[test]
fn a_planned_move_tells_how_long_nobody_could_write_and_its_two_fences_apart() {
    let mut evidence = sample::standby();
    (evidence.ended, evidence.opened_after_ms) = ("TargetActive".to_owned(), Some(4_877));
    let opened = evidence.steps.iter().find(|it| it.step == Step::OpenTarget);
    let mut fence = opened.cloned().expect("it was opened");
    (fence.step, fence.began_at_ms) = (Step::FenceSource, evidence.started_at_ms + 3_490);
    let mut first = fence.clone();
    (first.returned, first.began_at_ms) = (true, evidence.started_at_ms + 500);
    evidence.steps.splice(0..0, [first, fence]);
    let page = render(&evidence);
    assert!(page.contains("<b>1.4 s</b><span>in which nobody could write"));
    assert_eq!(page.matches("fence-source").count(), 2);
    assert_eq!(page.matches("<small>on return</small>").count(), 1);
}

#[test]
fn words_of_others_cannot_leave_their_place() {
    let mut evidence = sample::stuck();
    evidence.error = Some("</p><script>alert(1)</script>".to_owned());
    evidence
        .next
        .push("<img src=x onerror=alert(1)>".to_owned());
    if let Some(step) = evidence.steps.first_mut() {
        step.did.push("<em>&".to_owned());
        step.error = Some(("<i>".to_owned(), "\"'<".to_owned()));
    }
    if let Some(cut) = &mut evidence.cut {
        for partition in &mut cut.partitions {
            partition.topic = "<u>".to_owned();
        }
    }
    let page = render(&evidence);
    for raw in ["<script", "<img", "<em>", "<u>"] {
        assert!(!page.contains(raw), "{raw}");
    }
}

#[test]
fn what_a_cluster_that_came_back_held_is_told_partition_by_partition() {
    let page = render(&sample::standby());
    for part in [
        "What use1 alone held",
        "ended at e7",
        "orders-1",
        "81,238",
        "38 records",
        "06:00:43",
        ">31<",
        ">4<",
        "billing has read 12",
    ] {
        assert!(page.contains(part), "{part} is not there");
    }
    assert!(
        !page.contains("orders-0"),
        "nothing lies beyond the cut of it"
    );
}
