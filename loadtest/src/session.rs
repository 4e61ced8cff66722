//! One gateway's session in a replay: frames out in order, answers into the record.

use beacon_protocol::client::{ClientError, Event, Gateway, GatewayEvents, GatewaySender};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::batches::{BatchLimits, Batches};
use crate::clones::{Clones, suffix};
use crate::frames::frame;
use crate::pace::{Pace, Schedule};
use crate::recorder::Recorder;
use crate::tracks::Tracks;

/// What all sessions of a replay share.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) tracks: Tracks,
    pub(crate) clones: Clones,
    pub(crate) pace: Pace,
    /// Sightings in a frame at most.
    pub(crate) batch_sightings: usize,
    /// Whether a frame waits until every sighting of the one before is acknowledged.
    pub(crate) one_at_a_time: bool,
    pub(crate) recorder: Recorder,
}

/// The clones that one gateway sends: every `of`th, from `number` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Work {
    /// Sends a share of the clones and returns when all of it is acknowledged.
    ///
    /// # Errors
    /// What ended the gateway's client.
    pub(crate) async fn send(
        &self,
        gateway: Gateway,
        share: Share,
        starts_at: Instant,
    ) -> Result<(), ClientError> {
        let (sender, events) = gateway.into_split();
        let (waiting, _) = watch::channel(0_u64);
        let acked = |sightings| waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(sightings));
        tokio::try_join!(
            self.send_frames(sender, share, starts_at, &waiting),
            hear_answers(events, &self.recorder, acked)
        )?;
        Ok(())
    }

    /// Only one frame of each session is built at a time; how many wait for their answers is the client's bound.
    async fn send_frames(
        &self,
        sender: GatewaySender,
        share: Share,
        starts_at: Instant,
        waiting: &watch::Sender<u64>,
    ) -> Result<(), ClientError> {
        let clones: Vec<u32> = (0..self.clones.count()).skip(share.number).step_by(share.of).collect();
        let mut schedule = Schedule::new(self.pace.of_part(clones.len(), self.clones.count()));
        let limits = sender.limits();
        let batches = Batches::of(
            &self.tracks,
            BatchLimits {
                sightings: self.batch_sightings.min(limits.max_sightings.into()),
                frame_bytes: limits.max_frame_bytes,
                added_id_bytes: self.clones.added_bytes(),
            },
        );
        let mut answered = waiting.subscribe();
        for batch in batches {
            let sightings = batch.sightings.len();
            for &clone in &clones {
                let due_at = starts_at + schedule.due(sightings, batch.latest_us());
                tokio::time::sleep_until(due_at).await;
                self.recorder.sending(sightings as u64);
                waiting.send_modify(|waiting| *waiting += sightings as u64);
                let frame = frame(&self.tracks, &batch, &suffix(clone))?;
                // A session after the first may take less.
                for part in frame.divided(sender.limits()).unwrap_or_else(|whole| vec![whole]) {
                    sender.send(part, 0).await?;
                }
                if self.one_at_a_time {
                    // Both ends live in this task: the sender is there as long as it waits.
                    let _ = answered.wait_for(|waiting| *waiting == 0).await;
                }
            }
        }
        Ok(())
    }
}

/// Notes every answer, until all frames have one; `acked` hears how many sightings each acknowledges.
///
/// # Errors
/// What ended the gateway's client.
pub(crate) async fn hear_answers(
    mut events: GatewayEvents,
    recorder: &Recorder,
    acked: impl Fn(u64),
) -> Result<(), ClientError> {
    while let Some(event) = events.next_event().await? {
        match event {
            Event::Answered(answer) => acked(recorder.answered(&answer)),
            Event::Refused { code, text, .. } => {
                recorder.trouble(format!("refused, {} ({}): {text}", code.label(), code.number()));
            }
            Event::Disconnected { cause } => recorder.trouble(cause.to_string()),
            Event::Connected { .. } | Event::EpochBegun { .. } | Event::Draining { .. } => {}
        }
    }
    Ok(())
}
