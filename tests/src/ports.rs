//! Ports that stay ours across a broker's restarts.
//!
//! They lie below the ephemeral range, so no outgoing connection takes one in passing, and each is
//! held by a locked file in the cache, so no other lab does. The kernel drops the lock with us.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

use rand::Rng;

use crate::error::{Doing, LabError, Result};
use crate::jars::cache_dir;

const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;
const ATTEMPTS: usize = 1_000;

/// A port of the loopback interface, reserved until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: File,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Result<Self> {
        let folder = cache_dir()?.join("ports");
        std::fs::create_dir_all(&folder).doing(format!("create {}", folder.display()))?;
        for _ in 0..ATTEMPTS {
            let number = rand::rng().random_range(FIRST..LAST);
            let path = folder.join(number.to_string());
            let file = File::create(&path).doing(format!("create {}", path.display()))?;
            if file.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _reserved: file,
                });
            }
        }
        Err(LabError::NoFreePort {
            first: FIRST,
            last: LAST,
        })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
