//! Which build this is.

/// The version, and the commit too where it was built for a release: `UNDERSTUDY_VERSION` while it is compiled.
pub const VERSION: &str = match option_env!("UNDERSTUDY_VERSION") {
    Some(stamp) if !stamp.is_empty() => stamp,
    _ => env!("CARGO_PKG_VERSION"),
};
