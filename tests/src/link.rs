//! The distance between two Regions: a TCP proxy that delays, throttles, cuts and heals.
//!
//! A link has one *route* per broker; all of them share its settings. Delay does not limit
//! throughput: bytes wait in a queue per direction, as they would on a long line.
//!
//! ```text
//! client ── accept ─▶ route ─ [ reader ▶ queue (delay) ▶ writer ] ─▶ broker
//!                           ◀ [ writer ◀ queue (delay) ◀ reader ] ─
//! ```

mod answers;
mod pipe;
mod route;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::wait::wait_for;
pub use answers::Answers;
use route::Route;

const SWITCH_LIMIT: Duration = Duration::from_secs(10);

/// Whether bytes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Bytes pass.
    Up,
    /// Connections are refused, existing ones were closed.
    Cut,
    /// Nothing passes and nothing is closed, as when packets are dropped on the way. What was sent
    /// meanwhile arrives after healing, as retransmitted packets would.
    Blackhole,
}

/// What a link does to what passes through it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) state: LinkState,
    pub(crate) one_way_delay: Duration,
    /// Bytes a second in each direction; none: no limit.
    pub(crate) rate: Option<u64>,
    /// What becomes of what the brokers answer.
    pub(crate) answers: Answers,
    /// The link was dropped: every thread ends.
    pub(crate) closed: bool,
}

/// Shared by every thread of a link.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Written by the link's methods, read by its threads; a mutex because they wait for its change.
    settings: Mutex<Settings>,
    changed: Condvar,
    /// When the line is next free, one for each direction; written by the readers of that direction.
    line_free: [Mutex<Option<Instant>>; 2],
    /// What came from the brokers; added to by the readers of that direction.
    outward_bytes: AtomicU64,
}

impl Shared {
    pub(crate) fn settings(&self) -> Settings {
        *self.lock()
    }

    /// Waits until `holds` or the moment is reached (if any); returns the settings then.
    pub(crate) fn wait_until(
        &self,
        until: Option<Instant>,
        holds: impl Fn(&Settings) -> bool,
    ) -> Settings {
        let mut settings = self.lock();
        while !holds(&settings) {
            settings = match until.map(|moment| moment.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    self.changed
                        .wait_timeout(settings, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .changed
                    .wait(settings)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
        *settings
    }

    /// Takes the line of a direction for `bytes`; returns when their last bit has left.
    pub(crate) fn take_line(&self, direction: usize, bytes: usize, rate: u64) -> Instant {
        let now = Instant::now();
        let Some(line) = self.line_free.get(direction) else {
            return now;
        };
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        let free = line.unwrap_or(now).max(now)
            + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        *line = Some(free);
        free
    }

    /// Counts what passes.
    pub(crate) fn count(&self, direction: usize, bytes: usize) {
        if direction == 1 {
            self.outward_bytes
                .fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The way from the other Region to a cluster. Ends when dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    /// Written by `route`, read by `cut` and `heal`, which wait for every listener to follow.
    routes: Mutex<Vec<Route>>,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link without routes, without delay and without limit.
    pub fn new() -> Self {
        let settings = Settings {
            state: LinkState::Up,
            one_way_delay: Duration::ZERO,
            rate: None,
            answers: Answers::Whole,
            closed: false,
        };
        let shared = Shared {
            settings: Mutex::new(settings),
            changed: Condvar::new(),
            line_free: Default::default(),
            outward_bytes: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
            routes: Mutex::default(),
        }
    }

    /// Opens a way to `upstream`; returns where to connect instead.
    pub fn route(&self, upstream: SocketAddr) -> Result<SocketAddr> {
        let route = Route::open(upstream, Arc::clone(&self.shared))?;
        let address = route.address();
        self.routes().push(route);
        Ok(address)
    }

    /// Sets the delay of one direction; a round trip takes twice as long.
    pub fn set_one_way_delay(&self, delay: Duration) {
        self.shared
            .change(|settings| settings.one_way_delay = delay);
    }

    /// Sets the delay of a round trip; half of it in each direction.
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.set_one_way_delay(round_trip / 2);
    }

    /// Limits each direction to this many bytes a second over all connections; 0: no limit.
    pub fn set_rate(&self, bytes_per_second: u64) {
        self.shared
            .change(|settings| settings.rate = (bytes_per_second > 0).then_some(bytes_per_second));
    }

    /// Closes every connection and refuses new ones; what was on its way is lost.
    pub fn cut(&self) -> Result<()> {
        self.switch(LinkState::Cut)
    }

    /// Lets nothing pass and closes nothing.
    pub fn blackhole(&self) -> Result<()> {
        self.switch(LinkState::Blackhole)
    }

    /// Lets bytes pass again.
    pub fn heal(&self) -> Result<()> {
        self.switch(LinkState::Up)
    }

    /// What becomes of the brokers' answers from now on, on every connection; [`Answers::Whole`] mends it.
    pub fn set_answers(&self, answers: Answers) {
        self.shared.change(|settings| settings.answers = answers);
    }

    /// Whether bytes pass.
    pub fn state(&self) -> LinkState {
        self.shared.settings().state
    }

    /// The delay of a round trip.
    pub fn round_trip(&self) -> Duration {
        self.shared.settings().one_way_delay * 2
    }

    /// The limit of each direction in bytes a second, if there is one.
    pub fn rate(&self) -> Option<u64> {
        self.shared.settings().rate
    }

    /// How many bytes the brokers have sent over this link since it began.
    pub fn bytes_from_brokers(&self) -> u64 {
        self.shared.outward_bytes.load(Ordering::Relaxed)
    }

    /// Returns once every route has followed.
    fn switch(&self, state: LinkState) -> Result<()> {
        self.shared.change(|settings| settings.state = state);
        let routes = self.routes();
        for route in routes.iter() {
            route.nudge();
        }
        wait_for("every route of the link to follow", SWITCH_LIMIT, || {
            let behind = routes.iter().find(|route| !route.follows(state));
            behind.map_or(Ok(()), |route| {
                Err(format!("the route at {} does not", route.address()))
            })
        })
    }

    fn routes(&self) -> MutexGuard<'_, Vec<Route>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.change(|settings| settings.closed = true);
        for route in self.routes().iter() {
            route.nudge();
        }
    }
}
