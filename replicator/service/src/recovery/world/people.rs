//! People, where there is one process: whoever reads the run, and whoever has something to do by hand.

use std::io::{self, IsTerminal, Write};

use understudy_shell::world::People;
use understudy_shell::{PortError, PortErrorKind};

/// Whoever reads the run: its question is shown by who waits for the answer, and its end when it is there.
pub struct Reader;

impl People for Reader {
    fn tell(&self, _subject: &str, _text: &str) -> Result<u32, PortError> {
        Ok(1)
    }
}

/// Whoever sits at this terminal, and has something to do by hand.
pub struct Hand;

impl People for Hand {
    fn tell(&self, subject: &str, text: &str) -> Result<u32, PortError> {
        let mut out = io::stderr().lock();
        // The line that counts seconds gives way.
        let line = if out.is_terminal() { "\r\x1b[K" } else { "" };
        writeln!(out, "{line}    ! {subject}: {text}").map_err(|error| {
            PortError::new(
                PortErrorKind::Unreachable,
                format!("nobody could be told: {error}"),
            )
        })?;
        Ok(1)
    }
}
