//! The operators' pages: what is answered under which path.

use std::sync::Arc;

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::histograms;
use super::letters::{self, LetterOrders};
use super::metrics::{CLASSIC_TEXT, Sample, rendered};
use super::process;
use super::readiness::{Readiness, Reason};
use crate::latency::Latencies;

/// What the pages show, read anew for each request on the admin thread: none of it may wait for a store.
#[derive(Debug, Clone)]
pub struct AdminSources<P, M, Q> {
    /// The ledger and what is counted beside it, for `/api/v1/ledger`.
    pub report: P,
    /// The same as samples, for `/metrics`; histograms and the process are added to them.
    pub metrics: M,
    /// Times by stage, for `/metrics` and `/api/v1/histograms`.
    pub histograms: Arc<Latencies>,
    /// Why the daemon should be given no gateways now, for `/ready`; nothing when it should.
    pub ready: Q,
    /// Carries out what is ordered about dead letters.
    pub orders: Arc<dyn LetterOrders>,
}

/// Answered to whoever asks for anything else.
const PAGES: &str = "/live               200 while the process answers
/ready              200, or 503 with the reasons, one a line; JSON if that is accepted
/metrics            for Prometheus
/api/v1/histograms  times by stage
/api/v1/ledger      the ledger and what is counted beside it
POST /api/v1/dead-letters/replay, /api/v1/dead-letters/purge
                    from this machine, with the header x-beacond: 1
";

pub(super) fn routes<R, P, M, Q>(sources: AdminSources<P, M, Q>) -> Router
where
    R: Serialize + 'static,
    P: Fn() -> R + Clone + Send + Sync + 'static,
    M: Fn() -> Vec<Sample> + Clone + Send + Sync + 'static,
    Q: Fn() -> Vec<Reason> + Clone + Send + Sync + 'static,
{
    let AdminSources { report, metrics: samples, histograms: latencies, ready, orders } = sources;
    let scraped = Arc::clone(&latencies);
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(async move |headers: HeaderMap| readiness(ready(), &headers)))
        .route("/metrics", get(async move || scrape(samples(), &scraped)))
        .route("/api/v1/histograms", get(async move || Json(histograms::by_stage(&latencies))))
        .route("/api/v1/ledger", get(async move || Json(report())))
        .merge(letters::routes(orders))
        .fallback(async || (StatusCode::NOT_FOUND, PAGES))
}

fn readiness(reasons: Vec<Reason>, headers: &HeaderMap) -> Response {
    let readiness = Readiness::new(reasons);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.any(|types| types.to_ascii_lowercase().contains("application/json")) {
        (status, Json(readiness)).into_response()
    } else {
        (status, readiness.to_string()).into_response()
    }
}

fn scrape(mut samples: Vec<Sample>, latencies: &Latencies) -> Response {
    samples.extend(process::samples());
    match rendered(&samples, latencies) {
        Ok(text) => ([(CONTENT_TYPE, CLASSIC_TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
