//! A turn of carrying a tail: long ones take several.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use understudy_domain::tail::TailMarks;

use crate::PortError;

/// One turn of carrying a tail.
#[derive(Clone, Debug, Default)]
pub struct TailTurn {
    /// How long it may take: what is begun is ended soon after that, and what is left is the next turn's.
    pub within: Duration,
    /// Where it goes on, and where the next one will.
    pub marks: TailMarks,
    /// Who is asked meanwhile.
    pub asker: Asker,
}

/// Whoever asked for a turn, while it lasts: keeps marks, and says whether anything may be written yet.
#[derive(Clone, Default)]
pub struct Asker(Option<Arc<Asked>>);

type Asked = dyn Fn(&TailMarks) -> Result<(), PortError> + Send + Sync;

impl Asker {
    /// Asks this way.
    pub fn new(
        asked: impl Fn(&TailMarks) -> Result<(), PortError> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(asked)))
    }

    /// Keeps the marks, and asks whether it may go on. Nobody always may.
    ///
    /// # Errors
    /// It may not, or they were not kept.
    pub fn go_on(&self, marks: &TailMarks) -> Result<(), PortError> {
        self.0.as_ref().map_or(Ok(()), |asked| asked(marks))
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Asker").field(&self.0.is_some()).finish()
    }
}
