//! The store: a bucket in the Region in which this runs.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use understudy_shell::world::Store;
use understudy_shell::{PortError, PortErrorKind};

use crate::session::Session;

/// How many pages of a listing are read; a recovery has one.
const PAGES: usize = 20;

/// The store in S3.
#[derive(Clone, Debug)]
pub struct S3Store {
    session: Session,
    client: Client,
    bucket: String,
}

impl S3Store {
    /// The store in a bucket of this Region.
    pub fn new(session: &Session, bucket: &str) -> Self {
        Self::reached(session, session.config(), bucket)
    }

    /// The store in a bucket of the Region of `config`.
    pub(crate) fn reached(session: &Session, config: &SdkConfig, bucket: &str) -> Self {
        Self {
            session: session.clone(),
            client: Client::new(config),
            bucket: bucket.to_owned(),
        }
    }
}

impl Store for S3Store {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        let call = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type(key))
            .body(ByteStream::from(bytes.to_vec()))
            .send();
        self.session.call(&format!("storing {key}"), call)?;
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        let did = format!("reading {key} from the store");
        let call = async {
            match self
                .client
                .get_object()
                .bucket(&self.bucket)
                .key(key)
                .send()
                .await
            {
                Ok(found) => Ok(Some(found.body.collect().await)),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_no_such_key()) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        };
        match self.session.call(&did, call)? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes.to_vec())),
            Some(Err(error)) => Err(PortError::new(
                PortErrorKind::Unreachable,
                format!("{did}: its bytes broke off: {error}"),
            )),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        let did = format!("listing {prefix} in the store");
        let mut keys = Vec::new();
        let mut more: Option<String> = None;
        for _page in 0..PAGES {
            let call = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_continuation_token(more.take())
                .send();
            let page = self.session.call(&did, call)?;
            let found = page.contents().iter();
            keys.extend(found.filter_map(|object| object.key().map(str::to_owned)));
            more = page.next_continuation_token().map(str::to_owned);
            if more.is_none() {
                keys.sort();
                return Ok(keys);
            }
        }
        Err(PortError::new(
            PortErrorKind::Refused,
            format!("{did}: there are more than {} keys", keys.len()),
        ))
    }
}

fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "html")) => "text/html; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}
