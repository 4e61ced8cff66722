//! Orders about dead letters: `POST /api/v1/dead-letters/replay` and `/purge`.
//!
//! The only requests that change anything. They are taken from this machine alone, with a header that a web page in
//! somebody's browser cannot set for another site, and not from a browser at all.

use std::fmt;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use crate::ports::PortFuture;

/// The header that an order must have; its value is [`ORDER_HEADER_VALUE`].
pub const ORDER_HEADER: &str = "x-beacond";

/// See [`ORDER_HEADER`].
pub const ORDER_HEADER_VALUE: &str = "1";

/// The longest order.
const ORDER_BYTES: usize = 4_096;

/// Takes some of the dead letters back; as many as are done with in a few seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayOrder {
    /// Only those of this store.
    #[serde(default)]
    pub store: Option<String>,
    /// Only those given up before this time, as [`ReplayAnswer::until`] of an earlier answer.
    #[serde(default)]
    pub until: Option<String>,
    /// Without the oldest so many of them.
    #[serde(default)]
    pub skip: usize,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// What became of them. Those journaled are letters no more; the others have stayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayAnswer {
    /// In the journal again, for their stores.
    pub replayed: u64,
    /// Another identity of the customer is within a minute.
    pub duplicates: u64,
    /// Events of identities that the system of record does not have.
    pub unrecorded: u64,
    /// Of stores that are not configured.
    pub unconfigured: u64,
    /// The system of record cannot be asked, the window is full, or the daemon stops.
    pub undecided: u64,
    /// Letters given up before this were looked at: what is refused again comes after it.
    pub until: String,
    /// There are more than were looked at.
    pub more: bool,
}

/// Takes dead letters out for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeOrder {
    /// Only those of this store.
    #[serde(default)]
    pub store: Option<String>,
    /// Only those given up before this time; else all.
    #[serde(default)]
    pub before: Option<String>,
}

/// What was taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeAnswer {
    /// Letters.
    pub purged: u64,
    /// Lines that could not be read.
    pub damaged: u64,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderError {
    /// It makes no sense.
    Wrong(String),
    /// Another one is being carried out.
    Busy,
    /// The disk, or the end of the daemon.
    Failed(String),
}

/// Carries orders out. An order whose connection is gone is carried out all the same.
pub trait LetterOrders: Send + Sync + fmt::Debug + 'static {
    /// Takes letters back.
    fn replay(&self, order: ReplayOrder) -> PortFuture<'_, Result<ReplayAnswer, OrderError>>;

    /// Takes letters out.
    fn purge(&self, order: PurgeOrder) -> PortFuture<'_, Result<PurgeAnswer, OrderError>>;
}

/// Whether whoever asks does so from this machine; told by the server with each connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromHere(pub(super) bool);

pub(super) fn routes(orders: Arc<dyn LetterOrders>) -> Router {
    let purges = Arc::clone(&orders);
    Router::new()
        .route(
            "/api/v1/dead-letters/replay",
            post(async move |order: Result<Json<ReplayOrder>, JsonRejection>| match order {
                Ok(Json(order)) => answered(orders.replay(order).await),
                Err(wrong) => wrong.into_response(),
            }),
        )
        .route(
            "/api/v1/dead-letters/purge",
            post(async move |order: Result<Json<PurgeOrder>, JsonRejection>| match order {
                Ok(Json(order)) => answered(purges.purge(order).await),
                Err(wrong) => wrong.into_response(),
            }),
        )
        .layer(DefaultBodyLimit::max(ORDER_BYTES))
        .route_layer(from_fn(from_an_operator_alone))
}

async fn from_an_operator_alone(
    Extension(FromHere(from_here)): Extension<FromHere>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let says = headers.get(ORDER_HEADER).is_some_and(|value| value == ORDER_HEADER_VALUE);
    if !from_here || !says || headers.contains_key(ORIGIN) {
        let why =
            "orders are taken from this machine, with the header x-beacond: 1, and not from a browser\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

fn answered<T: Serialize>(answer: Result<T, OrderError>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(OrderError::Wrong(why)) => (StatusCode::BAD_REQUEST, why).into_response(),
        Err(OrderError::Busy) => {
            (StatusCode::CONFLICT, "another order about dead letters is being carried out").into_response()
        }
        Err(OrderError::Failed(why)) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}
