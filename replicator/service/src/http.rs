//! The worker's page and probes.

use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use prometheus_client::registry::Registry;

use crate::access::Access;
use crate::door::Caller;
use crate::observer::Observer;
use crate::page;

/// The longest login.
const LOGIN_BYTES: usize = 4096;

/// What the server answers from.
#[derive(Clone)]
pub struct Page {
    /// What the worker knows.
    pub observer: Observer,
    /// Every metric.
    pub registry: Arc<Registry>,
    /// Who may see it.
    pub access: Access,
}

/// Whether the caller may see everything.
#[derive(Clone, Copy)]
struct Allowed(bool);

/// The answers, by path.
pub fn router(page: Page) -> Router {
    let guarded = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .layer(from_fn_with_state(page.clone(), guard));
    let css = async || {
        (
            [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
            page::CSS,
        )
    };
    let script = async || {
        let kind = "text/javascript; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], page::SCRIPT)
    };
    // Open to everybody: what it looks like, and whether it runs. /readyz says why not to those who may know.
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/page.css", get(css))
        .route("/page.js", get(script))
        .route("/login", post(login))
        .layer(DefaultBodyLimit::max(LOGIN_BYTES))
        .merge(guarded)
        .layer(from_fn_with_state(page.clone(), recognise))
        .layer(from_fn(harden))
        .with_state(page)
}

/// Looks at what the caller shows.
async fn recognise(
    State(page): State<Page>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let allowed = page.access.allows(request.headers(), caller.certified);
    request.extensions_mut().insert(Allowed(allowed));
    next.run(request).await
}

/// Sends away whoever may not see it.
async fn guard(
    State(page): State<Page>,
    Extension(Allowed(allowed)): Extension<Allowed>,
    request: Request,
    next: Next,
) -> Response {
    if allowed {
        return next.run(request).await;
    }
    let asks = page.access.asks_for_token();
    let body = if asks && request.uri().path() == "/" {
        html(page::login(false))
    } else if asks {
        "send the token: Authorization: Bearer …\n".into_response()
    } else {
        "show a client certificate that http.tls_client_ca signed\n".into_response()
    };
    let scheme = [(header::WWW_AUTHENTICATE, "Bearer realm=\"understudy\"")];
    (StatusCode::UNAUTHORIZED, scheme, body).into_response()
}

/// What every answer tells a browser not to do.
async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    let mut response = next.run(request).await;
    response.headers_mut().extend(HEADERS);
    response
}

async fn index(State(page): State<Page>) -> Response {
    html(page::render(&page.observer.view()))
}

/// The form sends `token=…` as plain text; the answer is a cookie.
async fn login(State(page): State<Page>, body: String) -> Response {
    let shown = body.trim().strip_prefix("token=").unwrap_or_default();
    match page.access.log_in(shown) {
        Some(cookie) => (
            StatusCode::SEE_OTHER,
            [
                (header::SET_COOKIE, cookie),
                (header::LOCATION, "/".to_owned()),
            ],
        )
            .into_response(),
        None => (StatusCode::UNAUTHORIZED, html(page::login(true))).into_response(),
    }
}

async fn readyz(
    State(page): State<Page>,
    Extension(Allowed(allowed)): Extension<Allowed>,
) -> Response {
    let reasons = page.observer.reasons();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let text = if allowed {
        format!("not ready\n{}\n", reasons.join("\n"))
    } else {
        "not ready\n".to_owned()
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(page): State<Page>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &page.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(page): State<Page>) -> Response {
    match serde_json::to_string_pretty(&page.observer.view()) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn html(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}
