//! The steps by their names, over a world in memory.

mod decide;
mod evidence;
mod invoke;
mod killed;
mod size;
mod support;
mod trigger;
