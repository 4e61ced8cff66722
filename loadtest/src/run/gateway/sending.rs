//! The half of a gateway that makes frames when they are due and hands them over, however late the answers are.

use beacon_protocol::client::{ClientError, GatewaySender};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{note_lost, note_sent, sleep_unless_ended};
use crate::population::{Heard, report_phase_us};
use crate::run::course::{Course, End};
use crate::run::desk::{Class, Desk, Sent};
use crate::run::histograms::Metric;
use crate::run::lateness::Lateness;
use crate::run::source::Source;

/// A gateway's time in between two absences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stint {
    /// When it returned: what it heard before is its backlog.
    pub(super) returned: Option<Instant>,
    /// When it leaves, if before the run's end.
    pub(super) leaves_at_us: Option<i64>,
}

/// What a gateway hears and sends, over all its sessions.
#[derive(Debug)]
pub(super) struct Sending<'c> {
    pub(super) number: u32,
    pub(super) course: &'c Course,
    pub(super) desk: &'c Desk,
    ends: watch::Receiver<End>,
    source: Source,
    lateness: Lateness,
    /// Of the last frame.
    order: u64,
    heard: Vec<Heard>,
    heard_until_us: i64,
    report_every_us: i64,
    /// When the next report is due.
    report_at_us: i64,
    /// Whether the drain ended, or the client did, while something was still to be handed over.
    is_cut: bool,
}

impl<'c> Sending<'c> {
    pub(super) fn new(number: u32, source: Source, course: &'c Course, desk: &'c Desk) -> Self {
        let report_every_us = course.scenario.sessions.report_every.as_us();
        Self {
            number,
            course,
            desk,
            ends: course.end.clone(),
            heard_until_us: source.heard_from_us(),
            source,
            lateness: Lateness::default(),
            order: 0,
            heard: Vec::new(),
            report_every_us,
            report_at_us: report_phase_us(number, report_every_us),
            is_cut: false,
        }
    }

    /// Waits until the gateway returns; false if the run is over before.
    pub(super) async fn away_until(&mut self, returns: Instant) -> bool {
        let end = *self.ends.borrow_and_update();
        returns < end.at && sleep_unless_ended(self.course, returns).await
    }

    /// The client has ended by itself: nothing more can be sent.
    pub(super) async fn gone(&mut self) {
        let end = *self.ends.borrow_and_update();
        self.is_cut = sleep_unless_ended(self.course, end.at).await;
    }

    /// Sends everything that is due, and again what was undecided, until the stint is over and nothing more is to be
    /// sent, or nobody waits any longer.
    ///
    /// # Errors
    /// What ended the client.
    pub(super) async fn send_all(&mut self, sender: GatewaySender, stint: Stint) -> Result<(), ClientError> {
        if let Some(returned) = stint.returned {
            self.send_backlog(&sender, returned).await?;
        }
        loop {
            let end = *self.ends.borrow_and_update();
            let report_at = self.next_report(end, stint);
            let (again_at, is_blocked, is_idle) = {
                let papers = self.desk.papers();
                let is_idle = papers.on_their_way() == 0 && papers.again.sightings() == 0;
                (papers.again.next_due(), papers.again.is_full(), is_idle)
            };
            let ends_here = stint.leaves_at_us.is_some() || end.is_early || is_idle;
            if self.is_cut || report_at.is_none() && ends_here {
                return Ok(());
            }
            let now = Instant::now();
            if now >= end.drained {
                self.is_cut = true;
                return Ok(());
            }
            let report_at = report_at.filter(|_| !is_blocked);
            if again_at.is_some_and(|due| due <= now) {
                self.send_again(&sender, now).await?;
            } else if let Some(due) = report_at.filter(|due| *due <= now) {
                self.report(&sender, end, due).await?;
            } else {
                let wake = [report_at, again_at].into_iter().flatten().fold(end.drained, Instant::min);
                tokio::select! {
                    () = sleep_until(wake) => {}
                    () = self.desk.changed.notified(), if report_at.is_none() => {}
                    Ok(()) = self.ends.changed() => {}
                }
            }
        }
    }

    /// When the next report is due; none if the stint has no more. The last one brings what was heard until the end.
    fn next_report(&self, end: End, stint: Stint) -> Option<Instant> {
        let is_over = stint.leaves_at_us.is_some_and(|leaves| self.report_at_us > leaves);
        if end.is_early || is_over || self.heard_until_us >= self.course.us_at(end.at) {
            return None;
        }
        Some(self.course.moment(self.report_at_us))
    }

    async fn report(&mut self, sender: &GatewaySender, end: End, due: Instant) -> Result<(), ClientError> {
        let until_us = self.report_at_us.min(self.course.us_at(end.at));
        self.report_at_us += self.report_every_us;
        self.hear(until_us);
        let heard = std::mem::take(&mut self.heard);
        self.send(sender, Class::Live, due, &heard).await?;
        self.heard = heard;
        Ok(())
    }

    /// What was heard offline is made while it is sent, so that it never lies in memory.
    async fn send_backlog(&mut self, sender: &GatewaySender, returned: Instant) -> Result<(), ClientError> {
        let returned_us = self.course.us_at(returned);
        while self.heard_until_us < returned_us && !self.is_cut && !self.ends.borrow().is_early {
            self.hear((self.heard_until_us + self.report_every_us).min(returned_us));
            let heard = std::mem::take(&mut self.heard);
            self.send(sender, Class::Backlog, returned, &heard).await?;
            self.heard = heard;
        }
        while self.report_at_us <= returned_us {
            self.report_at_us += self.report_every_us;
        }
        Ok(())
    }

    async fn send_again(&mut self, sender: &GatewaySender, now: Instant) -> Result<(), ClientError> {
        let Some(again) = self.desk.papers().again.pop_due(now) else { return Ok(()) };
        self.send(sender, Class::Again { times: again.times }, now, &again.heard).await
    }

    fn hear(&mut self, until_us: i64) {
        self.heard.clear();
        self.source.hear(until_us, &mut self.heard);
        self.heard_until_us = until_us;
    }

    /// Makes frames of what was heard and hands them over.
    async fn send(
        &mut self,
        sender: &GatewaySender,
        class: Class,
        due: Instant,
        heard: &[Heard],
    ) -> Result<(), ClientError> {
        let mut rest = heard;
        while !rest.is_empty() {
            let is_again = matches!(class, Class::Again { .. });
            let (frame, taken) =
                self.source.frame(rest, sender.limits(), self.course.began_at_us, is_again)?;
            let (part, behind) = rest.split_at(taken.min(rest.len()));
            rest = behind;
            self.note_lag(class, due);
            self.order += 1;
            let sent = Sent { class, due, order: self.order, heard: part.to_vec() };
            let tag = self.desk.papers().keep(sent);
            let handed_over = tokio::select! {
                biased;
                handed_over = sender.send(frame, tag) => handed_over,
                () = cut(&mut self.ends) => Err(ClientError::Ended),
            };
            let now = Instant::now();
            self.lateness.taken(now);
            let end = *self.ends.borrow();
            if handed_over.is_err() && end.is_early {
                // Nobody misses it: the run was ended before its time.
                self.desk.papers().take(tag);
                return Ok(());
            }
            note_sent(self.course, self.number, class, due, part);
            if handed_over.is_err() {
                self.note_unsent(rest, class, due);
                self.is_cut = now >= end.drained;
                return if self.is_cut { Ok(()) } else { handed_over };
            }
        }
        Ok(())
    }

    /// What was heard and could not be handed over any more has no answer either.
    fn note_unsent(&mut self, rest: &[Heard], class: Class, due: Instant) {
        for part in rest.chunks(self.course.scenario.sessions.batch.into()) {
            self.order += 1;
            note_sent(self.course, self.number, class, due, part);
            let sent = Sent { class, due, order: self.order, heard: part.to_vec() };
            self.desk.papers().keep(sent);
        }
    }

    fn note_lag(&mut self, class: Class, due: Instant) {
        let now = Instant::now();
        if class != Class::Live {
            self.lateness.forget(now);
            return;
        }
        let lag = self.lateness.ready(due, now);
        let measured = self.course.is_measured(due);
        let mut shard = self.course.recorder.shard(self.number);
        shard.record(Metric::Lag, lag, measured);
        if measured {
            shard.tally.frames_scheduled += 1;
            shard.tally.frames_late += u64::from(lag > self.course.scenario.verdict.lag_limit.0);
        }
    }

    /// Of everything that was put into frames.
    pub(super) const fn fingerprint(&self) -> u32 {
        self.source.fingerprint()
    }

    /// What was due until the end and was never handed over has no answer either. It is told frame by frame, so that it
    /// never lies in memory.
    pub(super) async fn give_up(&mut self) {
        let end = *self.ends.borrow();
        let end_us = self.course.us_at(end.at);
        while self.is_cut && !end.is_early && self.heard_until_us < end_us {
            self.hear((self.heard_until_us + self.report_every_us).min(end_us));
            let due = self.course.moment(self.heard_until_us);
            let heard = std::mem::take(&mut self.heard);
            self.note_unsent(&heard, Class::Live, due);
            self.heard = heard;
            note_lost(self.course, self.number, self.desk).await;
        }
    }
}

/// Waits until nothing is to be handed over any more.
async fn cut(ends: &mut watch::Receiver<End>) {
    loop {
        let end = *ends.borrow_and_update();
        if end.is_early {
            return;
        }
        tokio::select! {
            () = sleep_until(end.drained) => return,
            Ok(()) = ends.changed() => {}
        }
    }
}
