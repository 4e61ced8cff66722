//! The half of a gateway that hears answers, judges them and notes what they tell.

use beacon_protocol::client::{Answer, ClientError, Event, GatewayEvents};
use beacon_protocol::{OutcomeCode, RecordStatus};

use crate::evidence::{Answered, FrameEvidence, FrameVerdict, SightingEvidence};
use crate::run::course::Course;
use crate::run::desk::{Class, Desk, Sent};
use crate::run::histograms::Metric;
use crate::run::judge::{Judgement, judge};
use crate::run::samples::Offer;

/// Hears until the client has nothing more to tell, at most until the run's drain is over.
///
/// # Errors
/// What ended the client.
pub(super) async fn hear(
    course: &Course,
    desk: &Desk,
    number: u32,
    mut events: GatewayEvents,
) -> Result<(), ClientError> {
    let mut ends = course.end.clone();
    events.end_at(ends.borrow_and_update().drained);
    loop {
        let event = tokio::select! {
            biased;
            event = events.next_event() => event?,
            Ok(()) = ends.changed() => {
                events.end_at(ends.borrow_and_update().drained);
                continue;
            }
        };
        match event {
            None => return Ok(()),
            Some(Event::Answered(answer)) => answered(course, desk, number, answer).await,
            Some(Event::Connected { .. }) => course.recorder.shard(number).tally.sessions += 1,
            Some(Event::Disconnected { cause }) => {
                course.recorder.shard(number).tally.sessions_lost += 1;
                course.blur();
                course.trouble(format!("gateway {}: {cause}", number + 1));
            }
            Some(Event::Refused { code, text, .. }) => {
                course.trouble(format!("gateway {}: refused, {}: {text}", number + 1, code.label()));
            }
            Some(Event::EpochBegun { .. } | Event::Draining { .. }) => {}
        }
    }
}

async fn answered(course: &Course, desk: &Desk, number: u32, answer: Answer) {
    let Some(sent) = desk.papers().take(answer.tag) else { return };
    let judgement = judge(number, sent.order, &sent.heard, &answer);
    note(course, number, &sent, &answer, &judgement);
    offer_sample(course, &sent, &answer, &judgement);
    if !judgement.undecided.is_empty() {
        let times = if let Class::Again { times } = sent.class { times + 1 } else { 1 };
        let undecided = judgement.undecided.iter().filter_map(|&index| sent.heard.get(usize::from(index)));
        let undecided = undecided.copied().collect();
        desk.papers().again.push(undecided, times, answer.answered_at);
    }
    if !judgement.undecided.is_empty() || judgement.repeated > 0 {
        course.blur();
    }
    desk.changed.notify_one();
    if let Some(evidence) = &course.evidence {
        evidence.frame(of_frame(number, sent, &answer)).await;
    }
}

fn note(course: &Course, number: u32, sent: &Sent, answer: &Answer, judgement: &Judgement) {
    let measured = course.is_measured(sent.due);
    let since_due = answer.answered_at.saturating_duration_since(sent.due);
    let mut shard = course.recorder.shard(number);
    // What the drain brings is none of the window's rate.
    shard.tally.answered(judgement, course.is_measured(answer.answered_at));
    shard.tally.retransmissions += u64::from(answer.transmissions.saturating_sub(1));
    match sent.class {
        Class::Live => {
            shard.record(Metric::Ack, since_due, measured);
            let since_sent = answer.answered_at.saturating_duration_since(answer.sent_at);
            shard.record(Metric::AckUncorrected, since_sent, measured);
        }
        Class::Backlog => shard.record(Metric::Backlog, since_due, measured),
        Class::Again { .. } => {}
    }
}

/// Offers an identity that is certain to be stored to those who look for them in the stores, where one is wanted.
fn offer_sample(course: &Course, sent: &Sent, answer: &Answer, judgement: &Judgement) {
    let Some(samples) = &course.samples else { return };
    if sent.class != Class::Live || !judgement.undecided.is_empty() {
        return;
    }
    let Some(heard) = sent.heard.iter().find(|heard| heard.opens_visit) else { return };
    if !samples.is_wanted(answer.answered_at) {
        return;
    }
    samples.offer(Offer {
        customer: heard.customer,
        detected_at_us: course.began_at_us + heard.at_us,
        due: sent.due,
        acked: answer.answered_at,
        is_measured: course.is_measured(sent.due),
    });
}

fn of_frame(gateway: u32, sent: Sent, answer: &Answer) -> FrameEvidence {
    let count = |code: OutcomeCode| answer.counts[usize::from(code.byte())];
    let verdict = if answer.status == RecordStatus::Repeat {
        FrameVerdict::Repeat
    } else {
        let (identified, duplicate) = (count(OutcomeCode::Identified), count(OutcomeCode::Duplicate));
        FrameVerdict::Decided { identified, duplicate }
    };
    let mut listed = answer.exceptions.iter().peekable();
    let sightings = sent.heard.into_iter().enumerate().map(|(index, heard)| {
        let exception = listed.next_if(|exception| usize::from(exception.index) == index);
        let answered = exception.map_or(Answered::NotListed, |exception| Answered::Listed(exception.code));
        SightingEvidence { heard, answered }
    });
    let sightings = sightings.collect();
    FrameEvidence { gateway, order: sent.order, verdict, sightings }
}
