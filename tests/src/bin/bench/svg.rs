//! A plot of bars, drawn by hand: one panel a measurement, one bar a contender.

use std::fmt::Write;

use crate::codec::Codec;
use crate::mirror::Contender;
use crate::results::Results;
use crate::row::Number;
use crate::stats::Spread;

const CONTENDERS: [Contender; 4] = [
    Contender::Understudy,
    Contender::Mm2TunedExactlyOnce,
    Contender::Mm2Tuned,
    Contender::Mm2Default,
];
const PANEL_WIDTH: usize = 460;
const LABEL_WIDTH: usize = 175;
const BAR_WIDTH: f64 = 160.0;
const LINE: usize = 22;
const HEAD: usize = 34;

/// Readable on a light page and on a dark one, wherever the viewer takes the page's scheme from.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.ours{fill:#0a7d5a}\
.theirs{fill:#8c959f}.spread{stroke:#24292f;stroke-width:1}.page{fill:#ffffff}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ours{fill:#3fb98a}.theirs{fill:#6e7781}.spread{stroke:#e6edf3}.page{fill:#0d1117}}";

struct Panel {
    title: String,
    unit: &'static str,
    bars: Vec<(Contender, Spread)>,
}

impl Panel {
    fn height(&self) -> usize {
        HEAD + LINE * self.bars.len() + 12
    }
}

/// The plot of everything measured.
pub fn draw(results: &Results) -> String {
    let panels = panels(results);
    let mut body = String::new();
    let mut tops = [12; 2];
    for panel in &panels {
        // The shorter column takes the next panel.
        let [left, right] = &mut tops;
        let (x, top) = if left <= right {
            (12, left)
        } else {
            (12 + PANEL_WIDTH, right)
        };
        draw_panel(&mut body, panel, x, *top);
        *top += panel.height();
    }
    let height = tops.into_iter().max().unwrap_or(0);
    let width = 24 + 2 * PANEL_WIDTH;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Understudy beside MirrorMaker 2\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n{body}</svg>\n"
    )
}

fn draw_panel(body: &mut String, panel: &Panel, x: usize, top: usize) {
    let most = panel
        .bars
        .iter()
        .map(|(_, spread)| spread.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = BAR_WIDTH / most;
    // Writing to a string does not fail.
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"{x}\" y=\"{}\">{}</text>",
        top + 20,
        panel.title
    );
    for (index, (contender, spread)) in panel.bars.iter().enumerate() {
        let y = top + HEAD + LINE * index;
        let class = if *contender == Contender::Understudy {
            "ours"
        } else {
            "theirs"
        };
        let bar = x + LABEL_WIDTH;
        let middle = y + 8;
        let (low, high) = (
            bar as f64 + spread.min * scale,
            bar as f64 + spread.max * scale,
        );
        let _ = writeln!(
            body,
            "<text x=\"{x}\" y=\"{}\">{}</text><rect class=\"{class}\" x=\"{bar}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>\
             <path class=\"spread\" d=\"M{low:.1} {middle}H{high:.1}\"/><text x=\"{:.1}\" y=\"{}\">{} {}</text>",
            y + 13,
            contender.label(),
            (spread.median * scale).max(1.0),
            high.max(bar as f64 + 2.0) + 6.0,
            y + 13,
            Number(spread.median),
            panel.unit,
        );
    }
}

fn panels(results: &Results) -> Vec<Panel> {
    let copies = |title: &str, unit, codec, value: fn(&crate::copy::CopyRun) -> f64| {
        let of = |contender| {
            let runs = results
                .copies
                .iter()
                .filter(|run| run.codec == codec && run.contender == contender);
            Spread::of(runs.map(value))
        };
        panel(title.to_owned(), unit, of)
    };
    let latency = |title: &str, unit, value: fn(&crate::latency::LatencyRun) -> f64| {
        let of = |contender| {
            let runs = results
                .latency
                .iter()
                .filter(|run| run.contender == contender);
            Spread::of(runs.map(value))
        };
        panel(title.to_owned(), unit, of)
    };
    let idle = |contender| {
        let runs = results.idle.iter().filter(|run| run.contender == contender);
        Spread::of(runs.map(|run| run.cpu_percent))
    };
    [
        copies("CPU per GB, lz4 (less is better)", "s", Codec::Lz4, |run| {
            run.cpu_seconds_per_gb
        }),
        copies(
            "Throughput, lz4 (more is better)",
            "MB/s",
            Codec::Lz4,
            |run| run.mb_per_second,
        ),
        copies("Target broker's CPU per GB, lz4", "s", Codec::Lz4, |run| {
            run.target_cpu_seconds_per_gb
        }),
        copies("Peak resident memory", "MB", Codec::Lz4, |run| run.peak_mb),
        copies("Process start to first record", "s", Codec::Lz4, |run| {
            run.start_seconds
        }),
        latency("Latency at 5 MB/s, p50", "ms", |run| run.p50_ms),
        latency("Latency at 5 MB/s, p99", "ms", |run| run.p99_ms),
        latency("CPU at 5 MB/s", "% of a core", |run| run.cpu_percent),
        panel("Idle CPU, 200 partitions".to_owned(), "% of a core", idle),
        copies("CPU per GB, zstd", "s", Codec::Zstd, |run| {
            run.cpu_seconds_per_gb
        }),
        copies("CPU per GB, no compression", "s", Codec::None, |run| {
            run.cpu_seconds_per_gb
        }),
    ]
    .into_iter()
    .filter(|panel| !panel.bars.is_empty())
    .collect()
}

fn panel(title: String, unit: &'static str, of: impl Fn(Contender) -> Option<Spread>) -> Panel {
    let bars = CONTENDERS
        .into_iter()
        .filter_map(|contender| Some((contender, of(contender)?)))
        .collect();
    Panel { title, unit, bars }
}
