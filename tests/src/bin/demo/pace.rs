//! How fast the story is told, and whether somebody presses Enter between its acts.

use std::io::{IsTerminal, stdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use understudy_tests::chaos::{Interrupt, Result};

use crate::voice::Voice;

const LOOK: Duration = Duration::from_millis(50);

/// The pace.
pub struct Pace {
    /// Whether what only takes its time is left out.
    pub fast: bool,
    /// Raised by Ctrl-C.
    pub interrupt: Interrupt,
    /// Lines that somebody types; nothing if nobody is asked.
    typed: Option<Receiver<()>>,
}

impl Pace {
    /// `pause` asks for Enter between acts, where standard input is a terminal.
    pub fn new(fast: bool, pause: bool, interrupt: Interrupt) -> Self {
        let typed = (pause && stdin().is_terminal()).then(|| {
            let (sender, typed) = channel();
            // It ends with the process: nothing takes a thread out of a read.
            std::thread::spawn(move || {
                while let Ok(1..) = stdin().read_line(&mut String::new()) {
                    if sender.send(()).is_err() {
                        break;
                    }
                }
            });
            typed
        });
        Self {
            fast,
            interrupt,
            typed,
        }
    }

    /// A time to look at what runs: `long`, or a moment if it is to be quick.
    pub fn rest(&self, long: Duration) -> Duration {
        if self.fast { long / 4 } else { long }
    }

    /// The next act begins, once somebody presses Enter if that is asked for.
    pub fn act(&self, voice: &mut Voice, title: &str) -> Result<()> {
        if let Some(typed) = &self.typed {
            // What was typed meanwhile was not meant for this.
            while typed.try_recv().is_ok() {}
            voice.progress("Enter goes on");
            while let Err(RecvTimeoutError::Timeout) = typed.recv_timeout(LOOK) {
                self.interrupt.check()?;
            }
        }
        voice.title(&format!("\n{title}\n"));
        Ok(())
    }
}
