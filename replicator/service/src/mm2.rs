//! What ties a flow to MirrorMaker 2: its own topics, written for everybody who reads them, and taking over from it.

mod past;
mod seam;
mod take_over;
mod teller;

pub use past::load as load_past;
pub use take_over::{Beginning, NotYet, beginnings};
pub use teller::Teller;
