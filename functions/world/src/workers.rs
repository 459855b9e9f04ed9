//! Workers that nobody here starts or stops.

use understudy_recovery::pair::FlowOfPair;
use understudy_shell::PortError;
use understudy_shell::world::Workers;

/// Workers of whoever started them: those of a sealed flow write nothing, and go on once it runs again.
#[derive(Clone, Copy, Debug)]
pub struct OthersWorkers;

impl Workers for OthersWorkers {
    fn want(&self, _flow: &FlowOfPair, _workers: u32) -> Result<(), PortError> {
        Ok(())
    }
}
