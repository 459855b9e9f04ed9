//! Telling what happens: lines that stay, and on a terminal one line that is kept up to date.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const ERASE: &str = "\r\x1b[2K";
/// Without a terminal, how often the progress is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const WIDTH: usize = 96;

/// The one who tells the story.
pub struct Voice {
    begun: Instant,
    errors: bool,
    terminal: bool,
    showing: bool,
    last_plain: Option<Instant>,
}

impl Voice {
    /// Speaks on standard output, or on standard error if the output is for machines.
    pub fn new(errors: bool) -> Self {
        let terminal = match errors {
            true => std::io::stderr().is_terminal(),
            false => std::io::stdout().is_terminal(),
        };
        Self {
            begun: Instant::now(),
            errors,
            terminal,
            showing: false,
            last_plain: None,
        }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// A line without a time.
    pub fn title(&mut self, text: &str) {
        let text = match self.terminal {
            true => format!("\x1b[1m{text}\x1b[0m\n"),
            false => format!("{text}\n"),
        };
        self.write(&text);
    }

    /// Something happened.
    pub fn say(&mut self, text: &str) {
        self.line(text, "");
    }

    /// Something was broken.
    pub fn alarm(&mut self, text: &str) {
        self.line(text, "\x1b[1;31m");
    }

    /// Something is as it should be.
    pub fn relief(&mut self, text: &str) {
        self.line(text, "\x1b[32m");
    }

    /// How it stands now.
    pub fn progress(&mut self, text: &str) {
        let line = format!("{}  {text}", self.clock());
        if self.terminal {
            let short: String = line.chars().take(WIDTH + 8).collect();
            self.write(&format!("{ERASE}\x1b[2m{short}\x1b[0m"));
            self.showing = true;
        } else if self
            .last_plain
            .is_none_or(|last| last.elapsed() >= PLAIN_EVERY)
        {
            self.last_plain = Some(Instant::now());
            self.write(&format!("{line}\n"));
        }
    }

    fn line(&mut self, text: &str, colour: &str) {
        let erase = if self.showing { ERASE } else { "" };
        self.showing = false;
        let clock = self.clock();
        let text = wrapped(text);
        let line = match self.terminal && !colour.is_empty() {
            true => format!("{erase}{clock}  {colour}{text}\x1b[0m\n"),
            false => format!("{erase}{clock}  {text}\n"),
        };
        self.write(&line);
    }

    fn clock(&self) -> String {
        let seconds = self.begun.elapsed().as_secs();
        format!("{:>2}:{:02}", seconds / 60, seconds % 60)
    }

    /// A pipe that was closed is no reason to stop cleaning up after us.
    fn write(&self, text: &str) {
        let _ = match self.errors {
            true => std::io::stderr().write_all(text.as_bytes()),
            false => {
                let mut out = std::io::stdout();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
        };
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        if self.showing {
            self.write(ERASE);
        }
    }
}

/// Breaks a long text; further lines stand under the first.
fn wrapped(text: &str) -> String {
    let (mut whole, mut width) = (String::new(), 0);
    for word in text.split(' ') {
        if width > 0 && width + word.chars().count() > WIDTH {
            whole.push_str("\n       ");
            width = 0;
        } else if width > 0 {
            whole.push(' ');
        }
        whole.push_str(word);
        width += word.chars().count() + 1;
    }
    whole
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as a person says it.
pub fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_text_is_wrapped() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(wrapped("short"), "short");
        assert!(wrapped(&"word ".repeat(50)).lines().count() > 1);
    }
}
