//! Sessions of gateways over TCP and UDP: frames in, answers out, everything bounded.

mod answerer;
mod counters;
mod hello;
mod inlet;
mod outlet;
mod sequences;
mod settings;
mod tcp;
mod translate;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::counters::{ListenCounters, ListenCounts};
pub use self::settings::{ListenSettings, LiveLimits, SessionLimits};
use crate::pipeline::Pipeline;
use crate::ports::Clock;
use crate::tasks::TaskGroup;

/// What every session needs.
#[derive(Debug)]
pub(crate) struct Context {
    settings: ListenSettings,
    limits: Arc<LiveLimits>,
    pipeline: Arc<Pipeline>,
    clock: Arc<dyn Clock>,
    counters: Arc<ListenCounters>,
    stop: CancellationToken,
}

/// Bound sockets, not served yet: binding can fail where a start still can.
#[derive(Debug)]
pub struct Listeners {
    tcp: tcp::Bound,
    udp: udp::Bound,
    counters: Arc<ListenCounters>,
    limits: Arc<LiveLimits>,
}

/// A socket that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {transport}://{address}: {source}")]
pub struct BindError {
    transport: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Sessions being served.
#[derive(Debug)]
pub struct Serving {
    tasks: TaskGroup,
    stop: CancellationToken,
    limits: Arc<LiveLimits>,
}

impl Listeners {
    /// Binds both sockets. Must be called on the runtime that will serve them.
    ///
    /// # Errors
    /// Which address could not be bound, and why.
    pub fn bind(settings: &ListenSettings) -> Result<Self, BindError> {
        let failed = |transport, address| move |source| BindError { transport, address, source };
        Ok(Self {
            tcp: tcp::Bound::bind(settings.tcp).map_err(failed("tcp", settings.tcp))?,
            udp: udp::Bound::bind(settings).map_err(failed("udp", settings.udp))?,
            counters: Arc::new(ListenCounters::default()),
            limits: Arc::new(LiveLimits::new(settings.limits)),
        })
    }

    /// The limits, which may be changed while it serves.
    #[must_use]
    pub const fn limits(&self) -> &Arc<LiveLimits> {
        &self.limits
    }

    /// The addresses bound, TCP first: with their ports, if the settings left those open.
    #[must_use]
    pub const fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.tcp.address(), self.udp.address())
    }

    /// What the sessions count.
    #[must_use]
    pub const fn counters(&self) -> &Arc<ListenCounters> {
        &self.counters
    }

    /// Serves until [`Serving::stop`].
    #[must_use]
    pub fn serve(self, settings: &ListenSettings, pipeline: Arc<Pipeline>, clock: Arc<dyn Clock>) -> Serving {
        let stop = CancellationToken::new();
        let tasks = TaskGroup::new("sessions");
        let context = Arc::new(Context {
            settings: settings.clone(),
            limits: Arc::clone(&self.limits),
            pipeline,
            clock,
            counters: self.counters,
            stop: stop.clone(),
        });
        self.tcp.serve(&context, &tasks);
        self.udp.serve(&context, &tasks);
        Serving { tasks, stop, limits: self.limits }
    }
}

impl Serving {
    /// Says goodbye to every gateway, takes no frame more, and waits for what is due to be answered; tells whether
    /// every session ended within the drain deadline.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        self.tasks.join(self.limits.now().drain_deadline).await
    }
}
