//! A process that can be ended at one of its writes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use understudy_shell::{PortError, PortErrorKind};

/// Ends whoever reaches the world through it, at one of its writes: from then on nothing that it asks is done or answered.
#[derive(Debug, Default)]
pub struct Fuse {
    // Counted down by each write of the one process that holds this; 0 never ends it.
    left: AtomicU32,
    takes_effect: bool,
    // Set once, by the write that ends it.
    ended: AtomicBool,
}

impl Fuse {
    /// Ends it at this write, from 1: before the write takes effect, or behind, so that nobody hears of it.
    pub fn at(write: u32, takes_effect: bool) -> Self {
        Self {
            left: AtomicU32::new(write),
            takes_effect,
            ended: AtomicBool::new(false),
        }
    }

    /// Whether it has come to that write.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Fails once it has ended.
    ///
    /// # Errors
    /// It has.
    pub(crate) fn look(&self) -> Result<(), PortError> {
        if self.has_ended() {
            let text = "whoever asks has been killed";
            return Err(PortError::new(PortErrorKind::Unreachable, text));
        }
        Ok(())
    }

    /// Carries a write out, unless it ends here.
    pub(crate) fn write<T>(
        &self,
        write: impl FnOnce() -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        self.look()?;
        let left = self.left.load(Ordering::SeqCst);
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        if left != 1 {
            return write();
        }
        if self.takes_effect {
            let _unheard = write();
        }
        self.ended.store(true, Ordering::SeqCst);
        self.look()?;
        Err(PortError::new(PortErrorKind::Unreachable, "killed"))
    }
}
