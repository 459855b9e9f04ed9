//! `docs/benchmark.md` and `docs/benchmark.svg`.

use std::path::Path;

use crate::error::{Doing, Result};
use crate::results::Results;
use crate::{svg, table};

/// How it is measured: the part of the page that no run changes.
const HOW: &str = include_str!("how.md");

/// Writes both.
pub fn write(dir: &Path, results: &Results) -> Result<()> {
    let page = dir.join("benchmark.md");
    std::fs::write(&page, markdown(results)).doing(format!("write {}", page.display()))?;
    let plot = dir.join("benchmark.svg");
    std::fs::write(&plot, svg::draw(results)).doing(format!("write {}", plot.display()))
}

fn markdown(results: &Results) -> String {
    let machine = &results.machine;
    let size = if results.plan.quick {
        "a quick run"
    } else {
        "a whole run"
    };
    format!(
        "# Benchmark\n\n![Bars: Understudy beside MirrorMaker 2](benchmark.svg)\n\n{}\n\
         Written by `scripts/bench --docs`, {size} of {} records a copy and {:.0} minutes, on {} cores of {}, {} MB, Linux {}; \
         Kafka {}, {}, librdkafka {}, Understudy {}.\n\n{HOW}",
        table::markdown(&results.rows),
        results.plan.records,
        (results.seconds / 60.0).ceil(),
        machine.cores,
        machine.cpu,
        machine.memory_mb,
        machine.kernel,
        machine.kafka,
        machine.java,
        machine.librdkafka,
        machine.understudy,
    )
}
