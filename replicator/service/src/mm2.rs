//! What ties a flow to MirrorMaker 2: its own topics, written for everybody who reads them, and taking over from it.

mod past;
mod seam;
mod take_over;
mod teller;

pub use past::{NO_BETTER, NO_TRACE, at_least, is_before_us, load as load_past};
pub use take_over::{Beginning, NotYet, beginnings};
pub use teller::Teller;
