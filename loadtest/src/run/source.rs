//! What one gateway hears, and the frames it makes of it.

use beacon_protocol::client::{ClientError, FrameLimits, OutgoingFrame};

use crate::encode::FrameEncoder;
use crate::population::{Chain, Heard, Naming, Population};

/// A gateway's ear and hand.
#[derive(Debug)]
pub(crate) struct Source {
    chain: Chain,
    encoder: FrameEncoder,
    from_us: i64,
}

impl Source {
    /// Hears from so many microseconds after the run's begin on.
    pub(crate) fn new(population: &Population, gateway: u32, from_us: i64) -> Self {
        let naming = Naming::new(population.layout());
        Self {
            chain: Chain::new(population, gateway, from_us),
            encoder: FrameEncoder::new(naming, population.scenario().sessions.batch),
            from_us,
        }
    }

    pub(crate) const fn from_us(&self) -> i64 {
        self.from_us
    }

    /// Appends what is heard until then.
    pub(crate) fn hear(&mut self, until_us: i64, heard: &mut Vec<Heard>) {
        self.chain.hear(until_us, heard);
    }

    /// A frame of the first sightings, and how many are in it; none if nothing was heard.
    ///
    /// # Errors
    /// When not even one fits.
    pub(crate) fn frame(
        &mut self,
        heard: &[Heard],
        limits: FrameLimits,
        began_at_us: i64,
    ) -> Result<Option<(OutgoingFrame, usize)>, ClientError> {
        let mut bytes = Vec::new();
        let Some((length, taken)) = self.encoder.encode(heard, limits, began_at_us, &mut bytes)? else {
            return Ok(None);
        };
        bytes.truncate(length);
        bytes.shrink_to_fit();
        let frame =
            OutgoingFrame::from_encoded(bytes).map_err(|error| ClientError::System(error.to_string()))?;
        Ok(Some((frame, taken)))
    }

    /// The same of what was undecided and is sent again, which no fingerprint counts.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub(crate) fn frame_again(
        &mut self,
        heard: &[Heard],
        limits: FrameLimits,
        began_at_us: i64,
    ) -> Result<Option<(OutgoingFrame, usize)>, ClientError> {
        let fingerprint = self.encoder.fingerprint();
        let frame = self.frame(heard, limits, began_at_us);
        self.encoder.set_fingerprint(fingerprint);
        frame
    }

    /// Of everything that was put into frames.
    pub(crate) const fn fingerprint(&self) -> u32 {
        self.encoder.fingerprint()
    }
}
