//! Every state of every machine as shipped, with the real steps over a world that lives: failed once, timed out once,
//! repeated, killed at each write, failed for good and entered again, superseded. Each run ends in a true end, and no
//! promise is broken at any moment on the way.
//!
//! The states come from the machines' files, so a new one is covered by itself: [`states`] says if no way in [`scenario`]
//! passes through it. [`witness`] holds everything that happened against the promises; [`ends`] and [`sentences`] hold
//! what is claimed against what is so; [`together`] is about recoveries that meet, [`histories`] about many of them in a row.

mod ends;
mod histories;
mod rig;
mod scenario;
mod sentences;
mod states;
mod together;
mod trial;
mod witness;
