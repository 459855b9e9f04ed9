//! The machine: what it is, and how busy it is.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;
use understudy_tests::{DEFAULT_VERSION, Stat};

/// Below this, what others do on the machine is not worth a word.
const QUIET_CORES: f64 = 0.2;

/// Where numbers come from; they mean little without it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The CPU's model.
    pub cpu: String,
    /// Cores that this program may use.
    pub cores: usize,
    /// Memory, in MB.
    pub memory_mb: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Kafka's version, of brokers and MirrorMaker 2.
    pub kafka: String,
    /// The JVM.
    pub java: String,
    /// librdkafka's version.
    pub librdkafka: String,
    /// The commit that was built, and whether it was changed.
    pub understudy: String,
}

impl Machine {
    /// This one; `revision` is the work tree's.
    pub fn here(revision: &str) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let memory_kb: u64 = after(&meminfo, "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or_default();
        Self {
            cpu: after(&cpuinfo, "model name"),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            memory_mb: memory_kb * 1024 / 1_000_000,
            kernel: kernel.trim().to_owned(),
            kafka: DEFAULT_VERSION.to_owned(),
            java: java(),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            understudy: revision.to_owned(),
        }
    }
}

fn after(text: &str, key: &str) -> String {
    text.lines()
        .find(|line| line.starts_with(key))
        .and_then(|line| line.split_once(':'))
        .map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
}

fn java() -> String {
    // The version goes to standard error.
    let output = Command::new("java")
        .arg("-version")
        .output()
        .map(|output| output.stderr)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().nth(1).unwrap_or("unknown").trim().to_owned()
}

/// Seconds that all cores together have been busy since boot.
pub fn busy_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // user, nice, system, (idle, iowait), irq, softirq, steal
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        .enumerate()
        .filter(|(index, _)| matches!(index, 0..=2 | 5..=7))
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// This program's own CPU time.
pub fn own_cpu_seconds() -> f64 {
    Stat::of(std::process::id()).map_or(0.0, |stat| stat.cpu_seconds)
}

/// What others do on the machine while something is measured.
pub struct Noise {
    begun: Instant,
    machine: f64,
    known: f64,
}

impl Noise {
    /// Begins to listen; `known` is the CPU time so far of everything that takes part.
    pub fn listen(known: f64) -> Self {
        Self {
            begun: Instant::now(),
            machine: busy_seconds() - own_cpu_seconds(),
            known,
        }
    }

    /// Cores that others kept busy since then.
    pub fn foreign_cores(&self, known: f64) -> f64 {
        let busy = busy_seconds() - own_cpu_seconds() - self.machine;
        let foreign = busy - (known - self.known);
        (foreign / self.begun.elapsed().as_secs_f64()).max(0.0)
    }
}

/// What is worth a word of it.
pub fn remark(foreign_cores: f64) -> String {
    if foreign_cores > QUIET_CORES {
        format!(" (others kept {foreign_cores:.1} cores busy)")
    } else {
        String::new()
    }
}
