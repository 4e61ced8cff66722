//! One gateway of a run, in one task: its sessions, one after another, and what is left of it at the end.

mod hearing;
mod sending;

use std::sync::Arc;

use beacon_protocol::client::{ClientError, Gateway, GatewayConfig};
use tokio::time::{Instant, sleep_until};

use self::sending::{Sending, Stint};
use super::absence::Absence;
use super::course::Course;
use super::desk::{Class, Desk, Sent};
use super::histograms::Metric;
use super::source::Source;
use crate::clock::now_us;
use crate::evidence::{Answered, FrameEvidence, FrameVerdict, SightingEvidence};
use crate::population::Heard;

/// A gateway, connected or away, before the run begins.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) number: u32,
    pub(crate) config: GatewayConfig,
    pub(crate) source: Source,
    pub(crate) absence: Option<Absence>,
    /// None: it is away at the begin.
    pub(crate) session: Option<Gateway>,
}

impl Post {
    /// Sends what it hears, and judges the answers, until the run is over. Returns its number and its fingerprint.
    pub(crate) async fn serve(self, course: Arc<Course>) -> (u32, u32) {
        let Self { number, config, source, absence, session } = self;
        let desk = Desk::default();
        let mut sending = Sending::new(number, source, &course, &desk);
        let served = serve(&mut sending, config, absence, session).await;
        if let Err(error) = served {
            course.trouble(format!("gateway {}: {error}", number + 1));
            sending.gone().await;
        }
        note_lost(&course, number, &desk).await;
        sending.give_up().await;
        (number, sending.fingerprint())
    }
}

async fn serve(
    sending: &mut Sending<'_>,
    config: GatewayConfig,
    absence: Option<Absence>,
    session: Option<Gateway>,
) -> Result<(), ClientError> {
    if let Some(session) = session {
        let leaves_at_us = absence.map(|absence| absence.from_us);
        stint(sending, session, Stint { returned: None, leaves_at_us }).await?;
    }
    let Some(absence) = absence else { return Ok(()) };
    let returns = sending.course.moment(absence.until_us);
    if !sending.away_until(returns).await {
        return Ok(());
    }
    let end = *sending.course.end.borrow();
    let config = GatewayConfig {
        // Numbers begin anew: an epoch that this gateway has not used.
        boot_epoch: now_us().unsigned_abs(),
        connect_deadline: end.drained.saturating_duration_since(returns),
        ..config
    };
    let session = Box::pin(Gateway::connect(config)).await?;
    let course = sending.course;
    let took = returns.elapsed();
    course.recorder.shard(sending.number).record(Metric::Connect, took, course.is_measured(returns));
    stint(sending, session, Stint { returned: Some(returns), leaves_at_us: None }).await
}

/// One session of the client, which may be several of the protocol.
async fn stint(sending: &mut Sending<'_>, session: Gateway, stint: Stint) -> Result<(), ClientError> {
    let (sender, events) = session.into_split();
    let hearing = hearing::hear(sending.course, sending.desk, sending.number, events);
    let sent_and_heard = async { tokio::try_join!(sending.send_all(sender, stint), hearing) };
    Box::pin(sent_and_heard).await?;
    Ok(())
}

/// Notes what has no answer, and what is still undecided.
async fn note_lost(course: &Course, number: u32, desk: &Desk) {
    let (unanswered, undecided) = {
        let mut papers = desk.papers();
        (papers.drain(), std::mem::take(&mut papers.again).sightings())
    };
    let lost = unanswered.iter().map(|sent| sent.heard.len() as u64).sum::<u64>();
    {
        let tally = &mut course.recorder.shard(number).tally;
        tally.lost += lost;
        tally.undecided_left += undecided as u64;
    }
    if lost > 0 || undecided > 0 {
        course.blur();
    }
    let Some(evidence) = &course.evidence else { return };
    for Sent { order, heard, .. } in unanswered {
        let sightings =
            heard.into_iter().map(|heard| SightingEvidence { heard, answered: Answered::NotListed });
        let frame = FrameEvidence {
            gateway: number,
            order,
            verdict: FrameVerdict::Unanswered,
            sightings: sightings.collect(),
        };
        evidence.frame(frame).await;
    }
}

/// Notes that a frame is handed over.
fn note_sent(course: &Course, number: u32, class: Class, due: Instant, heard: &[Heard]) {
    let measured = course.is_measured(due);
    let tally = &mut course.recorder.shard(number).tally;
    tally.frames += 1;
    if matches!(class, Class::Again { .. }) {
        return;
    }
    tally.sent += heard.len() as u64;
    if measured {
        tally.sent_measured += heard.len() as u64;
    }
    for heard in heard {
        tally.meant[usize::from(heard.expected.byte())] += 1;
    }
}

/// Sleeps until then, but not beyond an early end; returns whether the run goes on.
async fn sleep_unless_ended(course: &Course, until: Instant) -> bool {
    let mut ends = course.end.clone();
    loop {
        let end = *ends.borrow_and_update();
        if end.is_early {
            return false;
        }
        tokio::select! {
            () = sleep_until(until) => return true,
            Ok(()) = ends.changed() => {}
        }
    }
}
