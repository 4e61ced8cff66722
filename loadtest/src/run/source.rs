//! What one gateway hears, and the frames it makes of it.

use beacon_protocol::client::{ClientError, FrameLimits, OutgoingFrame};

use crate::encode::FrameEncoder;
use crate::population::{Chain, Heard, Naming, Population};

/// A gateway's ear and pen.
#[derive(Debug)]
pub(crate) struct Source {
    chain: Chain,
    encoder: FrameEncoder,
    /// For what is sent again, which is no part of the fingerprint.
    again: FrameEncoder,
    from_us: i64,
}

impl Source {
    /// A gateway that hears from so many microseconds after the run's begin on, or before it.
    pub(crate) fn new(population: &Population, gateway: u32, from_us: i64) -> Self {
        let naming = Naming::new(population.layout());
        let batch = population.scenario().sessions.batch;
        Self {
            chain: Chain::new(population, gateway, from_us),
            encoder: FrameEncoder::new(naming, batch),
            again: FrameEncoder::new(naming, batch),
            from_us,
        }
    }

    /// Since when.
    pub(crate) const fn heard_from_us(&self) -> i64 {
        self.from_us
    }

    /// Appends what is heard until so many microseconds after the run's begin.
    pub(crate) fn hear(&mut self, until_us: i64, heard: &mut Vec<Heard>) {
        self.chain.hear(until_us, heard);
    }

    /// A frame of as many of the first sightings as fit, and how many do; `heard` is not empty.
    ///
    /// # Errors
    /// When not even one fits.
    pub(crate) fn frame(
        &mut self,
        heard: &[Heard],
        limits: FrameLimits,
        began_at_us: i64,
        is_again: bool,
    ) -> Result<(OutgoingFrame, usize), ClientError> {
        let mut bytes = Vec::new();
        let encoder = if is_again { &mut self.again } else { &mut self.encoder };
        let encoded = encoder.encode(heard, limits, began_at_us, &mut bytes)?;
        let (length, taken) = encoded.unwrap_or_default();
        bytes.truncate(length);
        bytes.shrink_to_fit();
        let frame = OutgoingFrame::from_encoded(bytes);
        Ok((frame.map_err(|error| ClientError::System(error.to_string()))?, taken))
    }

    /// Of all frames so far, but for those of what was sent before.
    pub(crate) const fn fingerprint(&self) -> u32 {
        self.encoder.fingerprint()
    }
}
