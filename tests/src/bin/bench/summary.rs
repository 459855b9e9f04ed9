//! What the runs come to: which are compared, and what has to hold.

use crate::codec::Codec;
use crate::copy::CopyRun;
use crate::failback::FailbackRun;
use crate::groups::{BEHIND, GroupsSection};
use crate::latency::LatencyRun;
use crate::mirror::Contender;
use crate::partitions::PartitionsRun;
use crate::recovery::{RecoveryRun, Span};
use crate::results::Results;
use crate::row::Requirement::{AtMost, RatioAtLeast, RatioAtMost};
use crate::row::Row;
use crate::takeover::Event;

const EXACTLY_ONCE: Contender = Contender::Mm2TunedExactlyOnce;

/// Every line that the runs made so far can fill.
pub fn rows(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(copy_rows(&results.copies));
    rows.extend(latency_rows(&results.latency));
    rows.extend(other_rows(results));
    rows.extend(partition_rows(&results.partitions));
    rows.extend(group_rows(&results.groups));
    rows.extend(recovery_rows(&results.recovery));
    rows.extend(failback_rows(&results.failback));
    // Without MirrorMaker 2, a line that only compares says what another says.
    let ours_only = results.plan.ours_only;
    rows.retain(|row: &Row| !ours_only || row.theirs.is_some() || !row.required.is_empty());
    rows
}

fn copy_rows(copies: &[CopyRun]) -> Vec<Row> {
    let row = |what: &str, unit, codec, peer, value: fn(&CopyRun) -> f64| {
        let pairs = copy_pairs(copies, codec, peer, value);
        Row::beside(
            format!("{what}, {}", codec.name()),
            unit,
            peer.label(),
            &pairs,
        )
    };
    let cpu = |codec, peer| row("CPU per GB", "s", codec, peer, |run| run.cpu_seconds_per_gb);
    let wall = |peer| {
        row("throughput", "MB/s", Codec::Lz4, peer, |run| {
            run.mb_per_second
        })
    };
    [
        cpu(Codec::Lz4, EXACTLY_ONCE).map(|row| row.required(&[RatioAtMost(0.45)])),
        cpu(Codec::Lz4, Contender::Mm2Tuned),
        cpu(Codec::Lz4, Contender::Mm2Default),
        cpu(Codec::Zstd, EXACTLY_ONCE),
        cpu(Codec::None, EXACTLY_ONCE),
        row(
            "target broker's CPU per GB",
            "s",
            Codec::Lz4,
            EXACTLY_ONCE,
            |run| run.target_cpu_seconds_per_gb,
        )
        .map(|row| row.required(&[RatioAtMost(1.0)])),
        row(
            "source broker's CPU per GB",
            "s",
            Codec::Lz4,
            EXACTLY_ONCE,
            |run| run.source_cpu_seconds_per_gb,
        ),
        wall(Contender::Mm2Tuned).map(|row| row.required(&[RatioAtLeast(2.0)])),
        wall(EXACTLY_ONCE),
        row("peak memory", "MB", Codec::Lz4, EXACTLY_ONCE, |run| {
            run.peak_mb
        })
        .map(|row| row.required(&[AtMost(300.0), RatioAtMost(0.25)])),
        row(
            "start to first record",
            "s",
            Codec::Lz4,
            EXACTLY_ONCE,
            |run| run.start_seconds,
        )
        .map(|row| row.required(&[AtMost(3.0)])),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn copy_pairs(
    copies: &[CopyRun],
    codec: Codec,
    peer: Contender,
    value: fn(&CopyRun) -> f64,
) -> Vec<(f64, Option<f64>)> {
    let of = |contender: Contender| {
        copies
            .iter()
            .filter(move |run| run.codec == codec && run.contender == contender)
    };
    of(Contender::Understudy)
        .map(|ours| {
            let theirs = of(peer).find(|theirs| theirs.round == ours.round);
            (value(ours), theirs.map(value))
        })
        .collect()
}

fn latency_rows(runs: &[LatencyRun]) -> Vec<Row> {
    let row = |what: &str, unit, peer: Contender, value: fn(&LatencyRun) -> f64| {
        let of = |contender: Contender| runs.iter().filter(move |run| run.contender == contender);
        let pairs: Vec<_> = of(Contender::Understudy)
            .map(|ours| {
                let theirs = of(peer).find(|theirs| theirs.round == ours.round);
                (value(ours), theirs.map(value))
            })
            .collect();
        Row::beside(what, unit, peer.label(), &pairs)
    };
    let no_worse = |row: Row| row.required(&[RatioAtMost(1.0)]);
    [
        row("latency p50 at 5 MB/s", "ms", EXACTLY_ONCE, |run| {
            run.p50_ms
        })
        .map(no_worse),
        row("latency p99 at 5 MB/s", "ms", EXACTLY_ONCE, |run| {
            run.p99_ms
        })
        .map(no_worse),
        row("latency p50 at 5 MB/s", "ms", Contender::Mm2Tuned, |run| {
            run.p50_ms
        }),
        row("latency p99 at 5 MB/s", "ms", Contender::Mm2Tuned, |run| {
            run.p99_ms
        }),
        row("CPU at 5 MB/s", "% of a core", EXACTLY_ONCE, |run| {
            run.cpu_percent
        })
        .map(|row| row.required(&[AtMost(8.0)])),
        row(
            "target broker's CPU at 5 MB/s",
            "% of a core",
            EXACTLY_ONCE,
            |run| run.target_cpu_percent,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn group_rows(groups: &GroupsSection) -> Vec<Row> {
    let of = |contender: Contender| {
        groups
            .runs
            .iter()
            .find(move |run| run.contender == contender)
    };
    let Some(ours) = of(Contender::Understudy) else {
        return Vec::new();
    };
    let theirs = of(Contender::Mm2Tuned);
    let peer = Contender::Mm2Tuned.label();
    let count = |records: u64| records as f64;
    let mut rows: Vec<_> = BEHIND
        .iter()
        .enumerate()
        .filter_map(|(index, behind)| {
            let mine = count(*ours.reread.get(index)?);
            let other = theirs
                .and_then(|run| run.reread.get(index))
                .copied()
                .map(count);
            Row::beside(
                format!("read again after failover, group {behind} behind"),
                "records",
                peer,
                &[(mine, other)],
            )
        })
        .map(|row| row.required(&[AtMost(0.0)]))
        .collect();
    let skipped = Row::beside(
        "skipped after failover",
        "records",
        peer,
        &[(count(ours.skipped), theirs.map(|run| count(run.skipped)))],
    );
    rows.extend(skipped.map(|row| row.required(&[AtMost(0.0)])));
    // A place that was never right fails the line.
    let right = ours.right_seconds.unwrap_or(f64::MAX);
    let right = Row::beside(
        "a new group's place is right after",
        "s",
        peer,
        &[(right, theirs.and_then(|run| run.right_seconds))],
    );
    rows.extend(right.map(|row| row.required(&[AtMost(3.0)])));
    let many = "1,000 groups × 100 partitions";
    let cpu = groups.many.iter().map(|run| run.cpu_percent);
    let memory = groups.many.iter().map(|run| run.more_mb);
    rows.extend(
        Row::alone(format!("{many}, CPU"), "% of a core", cpu)
            .map(|row| row.required(&[AtMost(10.0)])),
    );
    rows.extend(
        Row::alone(format!("{many}, memory"), "MB more", memory)
            .map(|row| row.required(&[AtMost(200.0)])),
    );
    let lookup = groups.lookup_ns.iter().copied();
    rows.extend(
        Row::alone("a look-up among 604,800 runs", "ns", lookup)
            .map(|row| row.required(&[AtMost(1000.0)])),
    );
    rows
}

fn other_rows(results: &Results) -> Vec<Row> {
    let idle = |contender| {
        results
            .idle
            .iter()
            .filter(move |run| run.contender == contender)
    };
    let idle_pairs: Vec<_> = idle(Contender::Understudy)
        .map(|ours| {
            let theirs = idle(EXACTLY_ONCE).next();
            (ours.cpu_percent, theirs.map(|theirs| theirs.cpu_percent))
        })
        .collect();
    let over = |round_trip_ms| {
        results
            .link
            .iter()
            .filter(move |run| run.round_trip_ms == round_trip_ms)
            .map(|run| run.mb_per_second)
    };
    let link_pairs: Vec<_> = over(60).zip(over(0).map(Some)).collect();
    let event = |what: &str, event| {
        let runs = results.takeover.iter().filter(|run| run.event == event);
        Row::alone(what, "s", runs.map(|run| run.seconds))
    };
    let idle_row = Row::beside(
        "idle CPU, 200 partitions",
        "% of a core",
        EXACTLY_ONCE.label(),
        &idle_pairs,
    );
    [
        idle_row.map(|row| row.required(&[AtMost(1.0)])),
        Row::beside(
            "throughput over 60 ms",
            "MB/s",
            "itself over 0 ms",
            &link_pairs,
        )
        .map(|row| row.required(&[RatioAtLeast(0.8)])),
        event("stand-still, worker killed", Event::Lost).map(|row| row.required(&[AtMost(10.0)])),
        event("stand-still, worker stopped", Event::HandedOver)
            .map(|row| row.required(&[AtMost(1.0)])),
        event("stand-still, worker joined", Event::Joined),
        Row::alone(
            "a hundred places in a day of commits",
            "s",
            results.translate.iter().map(|run| run.seconds),
        )
        .map(|row| row.required(&[AtMost(2.0)])),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn partition_rows(runs: &[PartitionsRun]) -> Vec<Row> {
    let (Some(few), Some(many)) = (runs.first(), runs.last()) else {
        return Vec::new();
    };
    let alone = |what: &str, unit, value: f64| {
        Row::alone(
            format!("{what}, {} partitions", many.partitions),
            unit,
            [value],
        )
    };
    let fewest = "itself with 10 partitions";
    [
        alone("idle CPU", "% of a core", many.idle_cpu_percent)
            .map(|row| row.required(&[AtMost(2.0)])),
        alone("peak memory", "MB", many.peak_mb).map(|row| row.required(&[AtMost(400.0)])),
        alone("start to all flowing", "s", many.all_flowing_seconds)
            .map(|row| row.required(&[AtMost(10.0)])),
        alone("new topic", "s", many.new_topic_seconds).map(|row| row.required(&[AtMost(5.0)])),
        // Linear would be a hundred times.
        Row::beside(
            format!("CPU at 2 MB/s, {} partitions", many.partitions),
            "% of a core",
            fewest,
            &[(many.loaded_cpu_percent, Some(few.loaded_cpu_percent))],
        )
        .map(|row| row.required(&[RatioAtMost(100.0)])),
        Row::beside(
            format!(
                "target broker's CPU at 2 MB/s, {} partitions",
                many.partitions
            ),
            "% of a core",
            fewest,
            &[(
                many.loaded_target_cpu_percent,
                Some(few.loaded_target_cpu_percent),
            )],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a failback may take before it copies, and for each megabyte that was written since the cut: whatever is retained.
const FAILBACK_BEGINS_S: f64 = 5.0;
const FAILBACK_S_A_MB: f64 = 0.25;

fn failback_rows(runs: &[FailbackRun]) -> Vec<Row> {
    let mut rows = Vec::new();
    for run in runs {
        let what = match run.difference_mb {
            Some(megabytes) => format!(
                "failback, copying {megabytes} MB written since, {} records retained",
                run.retained_records.unwrap_or_default()
            ),
            None => "failback, survey of 1,000 partitions".to_owned(),
        };
        let row = Row::alone(what, "s", [run.seconds]);
        let most = run.difference_mb.map_or(10.0, |megabytes| {
            FAILBACK_BEGINS_S + FAILBACK_S_A_MB * megabytes as f64
        });
        rows.extend(row.map(|row| row.required(&[AtMost(most)])));
    }
    rows
}

fn recovery_rows(runs: &[RecoveryRun]) -> Vec<Row> {
    let row = |what: &str, span: Span, most: f64| {
        let of = runs.iter().filter(|run| run.span == span);
        let row = Row::alone(what, "s", of.map(|run| run.seconds));
        row.map(|row| row.required(&[AtMost(most)]))
    };
    let pair = "100 partitions, 50 groups";
    [
        row(
            &format!("failover until clients may start, {pair}"),
            Span::Failover,
            15.0,
        ),
        row(
            &format!("failover, its own steps, {pair}"),
            Span::OwnSteps,
            5.0,
        ),
        row(
            &format!("switchover, pause of writers, {pair}"),
            Span::WritePause,
            10.0,
        ),
        row(
            "assess and plan, 1,000 partitions, 200 groups",
            Span::Look,
            5.0,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
