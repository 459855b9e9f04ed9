//! What running clients log in with, changed while they run.
//!
//! librdkafka asks for OAUTHBEARER tokens through a queue that somebody must poll, and the safe crate neither polls it
//! for an admin client nor answers in a consumer. So nobody is asked here: every client of a cluster is enlisted when it
//! is made, is given the present login at once, and each later one as soon as it is known.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::{Client, ClientContext};
use rdkafka_sys as rdsys;

/// What clients show to brokers when they connect, or are asked again (KIP-368). Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// For PLAIN and SCRAM.
    Password {
        /// `sasl.username`.
        user: String,
        /// `sasl.password`.
        password: String,
    },
    /// For OAUTHBEARER.
    Token {
        /// As it goes to the broker.
        token: String,
        /// Who it stands for, in messages.
        principal: String,
        /// When it ends, in ms since 1970.
        expires_ms: i64,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Token { .. } => "Token",
        })
    }
}

/// The running clients of one cluster and their login. Clones share it.
#[derive(Clone, Default)]
pub struct Logins(Arc<Mutex<Inner>>);

/// Written by whoever opens or drops a client, and by whoever renews credentials. One mutex over both, so that a client
/// cannot be destroyed while it is given a login, nor miss one.
#[derive(Default)]
struct Inner {
    login: Option<Login>,
    clients: BTreeMap<u64, Native>,
    next: u64,
}

struct Native(*mut rdsys::rd_kafka_t);

// SAFETY: librdkafka handles may be used from any thread; `Enlisted` takes a client out before it is destroyed.
unsafe impl Send for Native {}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins")
            .field("clients", &self.inner().clients.len())
            .finish_non_exhaustive()
    }
}

impl Logins {
    /// Gives `login` to every running client and to those to come. Connections that stand are not disturbed.
    ///
    /// # Errors
    /// librdkafka's words, when a client refuses it: an expired token, or one with characters that may not be sent.
    pub fn set(&self, login: Login) -> Result<(), String> {
        let mut inner = self.inner();
        let mut refused = None;
        for client in inner.clients.values() {
            refused = give(client, &login).err().or(refused);
        }
        inner.login = Some(login);
        refused.map_or(Ok(()), Err)
    }

    /// Enlists a client for as long as the answer lives, which borrows it.
    pub fn enlist<'a, C: ClientContext>(&self, client: &'a Client<C>) -> Enlisted<'a> {
        // SAFETY: the client outlives the answer, which borrows it.
        unsafe { self.enlist_native(client.native_ptr()) }
    }

    /// # Safety
    /// `client` must stay alive until the answer is dropped.
    pub(crate) unsafe fn enlist_native<'a>(&self, client: *mut rdsys::rd_kafka_t) -> Enlisted<'a> {
        let client = Native(client);
        let mut inner = self.inner();
        if let Some(login) = &inner.login
            && let Err(reason) = give(&client, login)
        {
            // The next login comes before this one could be of use.
            tracing::debug!(reason, "a new client refused the present login");
        }
        let number = inner.next;
        inner.next += 1;
        inner.clients.insert(number, client);
        drop(inner);
        Enlisted {
            logins: self.clone(),
            number,
            borrowed: PhantomData,
        }
    }

    /// Whom the clients' token stands for, if they have one.
    pub fn principal(&self) -> Option<String> {
        match &self.inner().login {
            Some(Login::Token { principal, .. }) => Some(principal.clone()),
            _ => None,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that gets new logins until this is dropped.
pub struct Enlisted<'a> {
    logins: Logins,
    number: u64,
    borrowed: PhantomData<&'a ()>,
}

impl Drop for Enlisted<'_> {
    fn drop(&mut self) {
        self.logins.inner().clients.remove(&self.number);
    }
}

fn give(client: &Native, login: &Login) -> Result<(), String> {
    let text =
        |text: &str| CString::new(text).map_err(|_zero| "the login holds a zero byte".to_owned());
    match login {
        Login::Password { user, password } => {
            let (user, password) = (text(user)?, text(password)?);
            // SAFETY: the client is live while it is enlisted; both texts are copied.
            let error = unsafe {
                rdsys::rd_kafka_sasl_set_credentials(client.0, user.as_ptr(), password.as_ptr())
            };
            if error.is_null() {
                return Ok(());
            }
            // SAFETY: not null; its text is read before it is destroyed, once, here.
            Err(unsafe {
                let reason = CStr::from_ptr(rdsys::rd_kafka_error_string(error))
                    .to_string_lossy()
                    .into_owned();
                rdsys::rd_kafka_error_destroy(error);
                reason
            })
        }
        Login::Token {
            token,
            principal,
            expires_ms,
        } => {
            let (token, principal) = (text(token)?, text(principal)?);
            let mut reason = [0_u8; 512];
            // SAFETY: the client is live while it is enlisted; the texts are copied; `reason` has the length told, and
            // holds a C string after a refusal.
            let answer = unsafe {
                rdsys::rd_kafka_oauthbearer_set_token(
                    client.0,
                    token.as_ptr(),
                    *expires_ms,
                    principal.as_ptr(),
                    ptr::null_mut(),
                    0,
                    reason.as_mut_ptr().cast(),
                    reason.len(),
                )
            };
            if answer == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Ok(());
            }
            // A refused character is quoted together with the token.
            let reason = CStr::from_bytes_until_nul(&reason)
                .map(|text| text.to_string_lossy().into_owned())
                .unwrap_or_default();
            Err(if reason.contains("visible characters") {
                "the token holds characters that may not be sent".to_owned()
            } else {
                reason
            })
        }
    }
}
