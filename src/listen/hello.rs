//! Opening a session: who is it, may it come in, and on what terms.

use std::sync::Arc;

use beacon_protocol::{
    DecodeError, FRAME_VERSION, Hello, MAX_FRAME_BYTES, MAX_REFUSAL_TEXT_BYTES, MAX_SIGHTINGS, Refusal,
    RefusalCode, Welcome, sequence_of,
};

use super::Context;
use super::sequences::Order;
use super::translate::{asked_level, granted_level};
use crate::domain::frame::AckLevel;
use crate::domain::gateway::{Gateway, GatewayId, GatewayStatus, StoreScope};
use crate::pipeline::Known;

/// How long a gateway should wait when its registration cannot be looked up.
const REGISTRY_RETRY_MS: u32 = 1_000;

/// A refusal to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refuse {
    pub(super) sequence: u64,
    pub(super) code: RefusalCode,
    pub(super) retry_after_ms: u32,
    pub(super) text: String,
}

impl Refuse {
    pub(super) fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self { sequence: 0, code, retry_after_ms: 0, text: text.into() }
    }

    /// The refusal of a whole frame whose header and checksum are sound: it names the sequence, if there is one.
    pub(super) fn of_frame(error: DecodeError, frame: &[u8]) -> Self {
        Self::from(error).of_sequence(sequence_of(frame).unwrap_or_default())
    }

    pub(super) fn of_sequence(self, sequence: u64) -> Self {
        Self { sequence, ..self }
    }

    /// The frame, its text cut so that it is at most `limit_bytes` long; `None` where not even the head fits.
    pub(super) fn encode(&self, limit_bytes: usize) -> Option<Vec<u8>> {
        const HEAD_BYTES: usize = beacon_protocol::HEADER_BYTES + 15;
        let room = limit_bytes.checked_sub(HEAD_BYTES)?.min(MAX_REFUSAL_TEXT_BYTES);
        let text = &self.text[..self.text.floor_char_boundary(room)];
        let mut frame = vec![0; HEAD_BYTES + text.len()];
        let refusal =
            Refusal { sequence: self.sequence, code: self.code, retry_after_ms: self.retry_after_ms, text };
        let length = refusal.encode(&mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }
}

impl From<DecodeError> for Refuse {
    fn from(error: DecodeError) -> Self {
        Self::new(error.refusal_code(), error.to_string())
    }
}

/// A gateway that may come in, and what it is told.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) gateway: Arc<Gateway>,
    pub(super) level: AckLevel,
    pub(super) first_unacked: u64,
    pub(super) welcome: Welcome,
}

impl Context {
    /// Judges a hello. A registration that cannot be looked up is `busy`.
    pub(super) async fn greet(&self, hello: &Hello<'_>, order: Order) -> Result<Greeting, Refuse> {
        if !(hello.min_version..=hello.max_version).contains(&FRAME_VERSION) {
            let text = format!(
                "this daemon speaks version {FRAME_VERSION}, the gateway {} to {}",
                hello.min_version, hello.max_version
            );
            return Err(Refuse::new(RefusalCode::UnsupportedVersion, text));
        }
        if hello.auth_method != 0 {
            return Err(Refuse::new(
                RefusalCode::Unauthenticated,
                "only authentication method 0 (none) is known",
            ));
        }
        let id: GatewayId = hello
            .gateway_id
            .parse()
            .map_err(|error| Refuse::new(RefusalCode::Malformed, format!("{error}")))?;
        let gateway = self.gateway(&id, None).await?;
        // What the operator has configured is the least; a gateway may ask for more.
        let least = self.limits.now().ack_level;
        let level = asked_level(hello).map_or(least, |asked| asked.max(least));
        let welcome = self.welcome(hello, &id, level, order)?;
        Ok(Greeting { gateway, level, first_unacked: hello.first_unacked, welcome })
    }

    /// The gateway as it is registered now, or as last known while the registry cannot be asked.
    pub(super) async fn gateway(
        &self,
        id: &GatewayId,
        last_known: Option<&Arc<Gateway>>,
    ) -> Result<Arc<Gateway>, Refuse> {
        match self.pipeline.gateways().resolve(id).await {
            Known::Is(gateway) if gateway.status == GatewayStatus::Active => Ok(gateway),
            Known::Is(_) => Err(Refuse::new(RefusalCode::GatewayDisabled, "this gateway is disabled")),
            Known::Not if self.settings.insecure_dev => Ok(match last_known {
                Some(gateway) if gateway.stores == StoreScope::Every => Arc::clone(gateway),
                _ => Arc::new(Gateway {
                    id: id.clone(),
                    stores: StoreScope::Every,
                    status: GatewayStatus::Active,
                }),
            }),
            Known::Not => Err(Refuse::new(RefusalCode::UnknownGateway, "this gateway is not registered")),
            Known::CannotSay => last_known.cloned().ok_or_else(|| Refuse {
                retry_after_ms: REGISTRY_RETRY_MS,
                ..Refuse::new(RefusalCode::Busy, "the gateway registry cannot be asked now")
            }),
        }
    }

    fn welcome(
        &self,
        hello: &Hello<'_>,
        id: &GatewayId,
        level: AckLevel,
        order: Order,
    ) -> Result<Welcome, Refuse> {
        let limits = self.limits.now();
        let mut random = [0; 40];
        getrandom::fill(&mut random).map_err(|_| {
            Refuse::new(RefusalCode::TooManySessions, "no random numbers for another session")
        })?;
        let mut session = [0; 8];
        session.copy_from_slice(&random[..8]);
        let mut server_random = [0; 32];
        server_random.copy_from_slice(&random[8..]);
        let mut client_random_echo = [0; 8];
        client_random_echo.copy_from_slice(&hello.client_random[..8]);
        Ok(Welcome {
            version: FRAME_VERSION,
            ack_level: granted_level(level),
            session: u64::from_be_bytes(session).max(1),
            boot_epoch: hello.boot_epoch,
            last_acked: self.pipeline.last_acked(id, hello.boot_epoch, level),
            client_random_echo,
            window_frames: match order {
                Order::Contiguous => limits.tcp_window_frames,
                Order::Any => limits.udp_window_frames,
            },
            max_frame_bytes: u32::try_from(MAX_FRAME_BYTES).unwrap_or(u32::MAX),
            max_datagram_bytes: self.settings.max_datagram_bytes,
            max_sightings: u16::try_from(MAX_SIGHTINGS).unwrap_or(u16::MAX),
            idle_timeout_ms: u32::try_from(limits.idle_timeout.as_millis()).unwrap_or(u32::MAX),
            server_time_us: self.clock.read().now.as_micros(),
            server_random,
        })
    }
}

#[cfg(test)]
mod tests {
    use beacon_protocol::{MAX_FRAME_BYTES, Message, deframe_whole};

    use super::*;

    #[test]
    fn a_refusal_is_cut_between_characters_to_fit() {
        let refuse = Refuse::new(RefusalCode::Malformed, "é".repeat(300));
        for limit_bytes in [28, 50, 1_000] {
            let frame = refuse.encode(limit_bytes).unwrap();
            assert!(frame.len() <= limit_bytes);
            let message = Message::decode(deframe_whole(&frame, MAX_FRAME_BYTES).unwrap()).unwrap();
            assert!(matches!(message, Message::Refusal(refusal) if refusal.text.chars().all(|c| c == 'é')));
        }
        assert_eq!(refuse.encode(26), None);
    }
}
