//! The files that are deployed, word for word.

use understudy_recovery::Mode;

use crate::{Machine, MachineError};

/// The failover, as deployed.
pub const FAILOVER: &str = include_str!("../../failover.asl.json");
/// The switchover, as deployed.
pub const SWITCHOVER: &str = include_str!("../../switchover.asl.json");

/// The failback, as deployed. It ends in the switchover's states.
pub const FAILBACK: &str = include_str!("../../failback.asl.json");

/// Every machine, by its name.
pub const ALL: [(&str, &str); 3] = [
    ("failover", FAILOVER),
    ("switchover", SWITCHOVER),
    ("failback", FAILBACK),
];

/// The file that carries a mode out.
pub const fn text(mode: Mode) -> &'static str {
    match mode {
        Mode::Failover => FAILOVER,
        Mode::Switchover => SWITCHOVER,
        Mode::Failback => FAILBACK,
    }
}

/// The machine that carries a mode out.
///
/// # Errors
/// The file cannot be read: a defect, which a test would have met.
pub fn machine(mode: Mode) -> Result<Machine, MachineError> {
    Machine::parse(mode.name(), text(mode))
}
