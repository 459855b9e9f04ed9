//! A call that takes no longer than it may, whatever it calls does.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What `call` answers within `bound`, from a thread of its own. A call that does not come back is left behind: adapters
/// bound themselves, but a name look-up, say, knows no bound, and nothing that asks the lost side may hold a recovery up.
pub fn within<T: Send + 'static>(
    bound: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    start(call).wait(bound)
}

/// A call under way.
pub struct Pending<T>(mpsc::Receiver<T>);

/// Begins a call; several may be under way side by side.
pub fn start<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
    let (answered, answer) = mpsc::sync_channel(1);
    let named = thread::Builder::new().name("bounded call".to_owned());
    // Without a thread there is no answer, which is what the receiver then says.
    let _thread = named.spawn(move || answered.send(call()));
    Pending(answer)
}

impl<T> Pending<T> {
    /// Its answer; nothing if it took longer or broke.
    pub fn wait(self, bound: Duration) -> Option<T> {
        self.0.recv_timeout(bound).ok()
    }
}
