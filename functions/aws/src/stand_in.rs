//! Something that answers in AWS's stead, for tests: what it is to say, in order, and what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;

use crate::session::{Session, SessionError};

/// What it says and was asked.
#[derive(Clone, Debug, Default)]
pub struct StandIn {
    says: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<HttpRequest>>>,
}

impl StandIn {
    /// Says these, one after the other; afterwards the service is ill.
    pub fn saying(answers: &[(u16, &str)]) -> Result<(Session, Self), SessionError> {
        let says = answers
            .iter()
            .map(|(code, body)| (*code, (*body).to_owned()));
        let it = Self {
            says: Arc::new(Mutex::new(says.collect())),
            asked: Arc::default(),
        };
        let session = Session::through(SharedHttpClient::new(it.clone()))?;
        Ok((session, it))
    }

    /// The bodies of what it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.of_each(|request| {
            let body = request.body().bytes().unwrap_or_default();
            String::from_utf8_lossy(body).into_owned()
        })
    }

    /// A header of what it was asked.
    pub fn header(&self, name: &str) -> Vec<String> {
        self.of_each(|request| request.headers().get(name).unwrap_or_default().to_owned())
    }

    fn of_each(&self, what: impl Fn(&HttpRequest) -> String) -> Vec<String> {
        let asked = self.asked.lock();
        let asked = asked.unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(what).collect()
    }
}

impl HttpConnector for StandIn {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request);
        let mut says = self.says.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, body) = says.pop_front().unwrap_or((500, String::new()));
        let Ok(code) = StatusCode::try_from(code) else {
            return HttpConnectorFuture::new(std::future::pending());
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(code, body.into())))
    }
}

impl HttpClient for StandIn {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
