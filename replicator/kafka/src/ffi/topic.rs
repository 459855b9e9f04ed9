//! A native topic handle.

use std::ffi::{CStr, CString};

use rdkafka_sys as rdsys;

use crate::fault::{Fault, Operation};

/// Owns one `rd_kafka_topic_t`; its client outlives it because the owner keeps both and drops this first.
pub(super) struct Topic(*mut rdsys::rd_kafka_topic_t);

// SAFETY: librdkafka's topic handles are reference counted and may be used from any thread.
unsafe impl Send for Topic {}

impl Topic {
    /// A handle for `name` on the client `native`, with the client's default topic configuration.
    pub(super) fn new(native: *mut rdsys::rd_kafka_t, name: &str) -> Result<Self, Fault> {
        Self::compressed(native, name, None)
    }

    /// The same with a compression of its own.
    pub(super) fn compressed(
        native: *mut rdsys::rd_kafka_t,
        name: &str,
        codec: Option<&str>,
    ) -> Result<Self, Fault> {
        let text = CString::new(name).map_err(|_nul| Fault::name(name))?;
        let codec = codec.and_then(|codec| CString::new(codec).ok());
        // SAFETY: `native` is a live client (the caller owns it), texts are C strings that outlive the calls, and a
        // topic takes its configuration over. A configuration of its own begins as the client's default one.
        let topic = unsafe {
            let conf = match &codec {
                None => std::ptr::null_mut(),
                Some(codec) => {
                    let conf = rdsys::rd_kafka_default_topic_conf_dup(native);
                    let mut reason = [0_i8; 256];
                    // Values were checked when the configuration was read.
                    rdsys::rd_kafka_topic_conf_set(
                        conf,
                        c"compression.codec".as_ptr(),
                        codec.as_ptr(),
                        reason.as_mut_ptr().cast(),
                        reason.len(),
                    );
                    conf
                }
            };
            rdsys::rd_kafka_topic_new(native, text.as_ptr(), conf)
        };
        if topic.is_null() {
            return Err(Fault::last(Operation::OpenTopic, name));
        }
        Ok(Self(topic))
    }

    pub(super) fn ptr(&self) -> *mut rdsys::rd_kafka_topic_t {
        self.0
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_topic_new`, destroyed once, here.
        unsafe { rdsys::rd_kafka_topic_destroy(self.0) }
    }
}

/// The name of a native topic.
///
/// # Safety
/// `topic` is a live topic handle.
pub(super) unsafe fn name_of<'a>(topic: *mut rdsys::rd_kafka_topic_t) -> &'a [u8] {
    // SAFETY: librdkafka returns a C string that lives as long as the topic.
    unsafe { CStr::from_ptr(rdsys::rd_kafka_topic_name(topic)) }.to_bytes()
}
