//! A tail may be longer than what carries it may run. So it is carried in turns: each does something, ends in time, and
//! leaves marks from which the next one goes on.

use std::time::{Duration, Instant};

use understudy_domain::tail::TailMarks;

use crate::SalvageError;

/// Keeps marks, and fails with a reason where whoever asked must not have anything written any more.
pub type GoesOn<'a> = &'a dyn Fn(&TailMarks) -> Result<(), String>;

/// One turn.
pub struct Turn<'a> {
    until: Option<Instant>,
    /// Something was done in it.
    is_begun: bool,
    goes_on: Option<GoesOn<'a>>,
    /// Where it goes on, and where the next one will.
    pub marks: &'a mut TailMarks,
}

impl<'a> Turn<'a> {
    /// The only one: it takes as long as it takes.
    pub fn whole(marks: &'a mut TailMarks) -> Self {
        Self {
            until: None,
            is_begun: false,
            goes_on: None,
            marks,
        }
    }

    /// It ends soon after `within`.
    pub fn within(within: Duration, marks: &'a mut TailMarks) -> Self {
        Self {
            until: Some(Instant::now() + within),
            ..Self::whole(marks)
        }
    }

    /// With somebody who is asked behind each partition, and before what is written to the cluster that came back stays.
    #[must_use]
    pub fn asking(self, goes_on: GoesOn<'a>) -> Self {
        Self {
            goes_on: Some(goes_on),
            ..self
        }
    }

    /// Whether it is over: what is begun is committed, and nothing more is begun.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Begins something that takes long, unless the turn is over. The first thing is always begun: each turn does something.
    pub fn may_begin(&mut self) -> bool {
        let may = !self.is_begun || !self.is_over();
        self.is_begun |= may;
        may
    }

    /// Keeps the marks, and asks whether it may go on.
    ///
    /// # Errors
    /// It may not, or they were not kept.
    pub fn go_on(&self) -> Result<(), SalvageError> {
        match self.goes_on {
            Some(goes_on) => goes_on(self.marks).map_err(SalvageError::Unfinished),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_does_one_thing_however_short_it_is() {
        let mut marks = TailMarks::default();
        let mut turn = Turn::within(Duration::ZERO, &mut marks);
        assert!(turn.is_over() && turn.may_begin() && !turn.may_begin());
        let mut whole = Turn::whole(&mut marks);
        assert!(whole.may_begin() && whole.may_begin() && whole.go_on().is_ok());
        let refuses = |_: &TailMarks| Err("it is over".to_owned());
        assert!(Turn::whole(&mut marks).asking(&refuses).go_on().is_err());
    }
}
