//! How a command ends: what the shell is told, and what people are.

use std::process::ExitCode;

use beacon_protocol::client::ClientError;

use crate::measurement::VerdictKind;
use crate::scenario::ScenarioError;
use crate::tracks::TracksError;

/// How a command that could do its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Good,
    /// Something was never acknowledged, or not as it should be.
    Bad,
    /// What was measured proves nothing.
    Invalid,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// There is no such scenario, or something in it is wrong.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The system does not give what is needed.
    #[error("{0}")]
    Resources(String),
    /// The tracks cannot be read or sent.
    #[error("{file}: {source}")]
    Tracks { file: String, source: TracksError },
    /// The tracks' file cannot be read, or their times not be shifted.
    #[error("{file}: {reason}")]
    File { file: String, reason: String },
    /// There is no daemon, or it does not want to.
    #[error("target {target}: {source}")]
    Unavailable { target: String, source: ClientError },
    /// Nobody answers there, or not with a session.
    #[error("target {target}: {why}")]
    Silent { target: String, why: String },
    /// The target's name has no address.
    #[error("target {target}: {reason}")]
    NoAddress { target: String, reason: String },
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Ending {
    /// How a run with that verdict ends.
    pub(crate) const fn of(verdict: VerdictKind) -> Self {
        match verdict {
            VerdictKind::Pass => Self::Good,
            VerdictKind::Fail => Self::Bad,
            VerdictKind::Invalid => Self::Invalid,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Bad => 1,
            Self::Invalid => 3,
            // What a shell makes of SIGINT.
            Self::Interrupted => 130,
        }
    }
}

impl Failure {
    /// The code, after BSD's sysexits.
    const fn code(&self) -> u8 {
        match self {
            Self::Other(_) => 1,
            Self::Usage(_) => 64,
            Self::Tracks { .. } | Self::File { .. } => 65,
            Self::Unavailable { .. }
            | Self::Silent { .. }
            | Self::NoAddress { .. }
            | Self::Resources(_)
            | Self::Listen { .. } => 69,
            Self::Scenario(_) => 78,
        }
    }
}

/// An error with all its causes, on one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join(": ")
}

/// Tells people of a failure, and makes the exit code.
pub(crate) fn exit_code(result: Result<Ending, Failure>) -> ExitCode {
    ExitCode::from(match result {
        Ok(ending) => ending.code(),
        Err(failure) => {
            eprintln!("loadtest: {failure}");
            failure.code()
        }
    })
}
