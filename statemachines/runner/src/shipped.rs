//! The files that are deployed, word for word.

use understudy_recovery::Mode;

use crate::{Machine, MachineError};

/// The failover, as deployed.
pub const FAILOVER: &str = include_str!("../../failover.asl.json");
/// The switchover, as deployed.
pub const SWITCHOVER: &str = include_str!("../../switchover.asl.json");

/// Every machine, by its name.
pub const ALL: [(&str, &str); 2] = [("failover", FAILOVER), ("switchover", SWITCHOVER)];

/// The machine that carries a mode out. A failback ends in the switchover's sequence.
///
/// # Errors
/// The file cannot be read: a defect, which a test would have met.
pub fn machine(mode: Mode) -> Result<Machine, MachineError> {
    match mode {
        Mode::Failover => Machine::parse("failover", FAILOVER),
        Mode::Switchover | Mode::Failback => Machine::parse("switchover", SWITCHOVER),
    }
}
