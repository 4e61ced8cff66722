//! The form of a snapshot: all numbers big-endian, texts with their length in bytes before them (u16).
//!
//! ```text
//! 8 magic | u32 version | i64 written_at, microseconds
//! 1 | 16 id | store_id | u16 major | u16 minor | u8 status | u8 location type | location or FFFF | i64 updated_at
//! 2 | id | u8 status | u32 stores or FFFFFFFF for every | store_id ...
//! 0 | u64 beacons | u64 gateways | u32 CRC-32C of everything before it
//! ```

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use super::{Snapshot, SnapshotError, SnapshotSummary};
use crate::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use crate::domain::gateway::{Gateway, GatewayStatus, StoreScope};
use crate::domain::location::LocationType;
use crate::domain::time::Timestamp;

const MAGIC: [u8; 8] = *b"BCNDREGS";
const VERSION: u32 = 1;

const END: u8 = 0;
const BEACON: u8 = 1;
const GATEWAY: u8 = 2;

const NO_TEXT: u16 = u16::MAX;
const EVERY_STORE: u32 = u32::MAX;

/// Longer than any text of the model: 64 characters of four bytes.
const TEXT_MAX_BYTES: u16 = 256;

/// Writes records one after the other.
pub(super) struct Writer<W> {
    to: W,
    crc: u32,
    bytes: u64,
    /// The record being made.
    record: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W, written_at: Timestamp) -> io::Result<Self> {
        let mut writer = Self { to, crc: 0, bytes: 0, record: Vec::with_capacity(512) };
        writer.record.extend(MAGIC);
        writer.record.extend(VERSION.to_be_bytes());
        writer.record.extend(written_at.as_micros().to_be_bytes());
        writer.put()?;
        Ok(writer)
    }

    pub(super) fn beacon(&mut self, beacon: &Beacon) -> io::Result<()> {
        self.record.push(BEACON);
        self.record.extend(beacon.id.as_bytes());
        self.text(beacon.store_id.as_str())?;
        self.record.extend(beacon.major.to_be_bytes());
        self.record.extend(beacon.minor.to_be_bytes());
        self.record.push(status_code(beacon.status));
        self.record.push(type_code(beacon.location_type));
        match &beacon.location {
            Some(location) => self.text(location.as_str())?,
            None => self.record.extend(NO_TEXT.to_be_bytes()),
        }
        self.record.extend(beacon.updated_at.as_micros().to_be_bytes());
        self.put()
    }

    pub(super) fn gateway(&mut self, gateway: &Gateway) -> io::Result<()> {
        self.record.push(GATEWAY);
        self.text(gateway.id.as_str())?;
        self.record.push(u8::from(gateway.status == GatewayStatus::Active));
        match &gateway.stores {
            StoreScope::Every => self.record.extend(EVERY_STORE.to_be_bytes()),
            StoreScope::These(stores) => {
                let number = u32::try_from(stores.len()).map_err(io::Error::other)?;
                self.record.extend(number.to_be_bytes());
                for store in stores {
                    self.text(store.as_str())?;
                }
            }
        }
        self.put()
    }

    pub(super) fn finish(mut self, summary: &mut SnapshotSummary) -> io::Result<W> {
        self.record.push(END);
        self.record.extend(summary.beacons.to_be_bytes());
        self.record.extend(summary.gateways.to_be_bytes());
        self.put()?;
        self.record.extend(self.crc.to_be_bytes());
        self.put()?;
        summary.bytes = self.bytes;
        Ok(self.to)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let length = u16::try_from(text.len()).ok().filter(|length| *length <= TEXT_MAX_BYTES);
        let length = length.ok_or_else(|| io::Error::other("a text longer than the model allows"))?;
        self.record.extend(length.to_be_bytes());
        self.record.extend(text.as_bytes());
        Ok(())
    }

    fn put(&mut self) -> io::Result<()> {
        self.to.write_all(&self.record)?;
        self.crc = crc32c::crc32c_append(self.crc, &self.record);
        self.bytes += self.record.len() as u64;
        self.record.clear();
        Ok(())
    }
}

/// Reads what [`Writer`] wrote. Nothing of it is used before its checksum is found right.
pub(super) struct Reader<R> {
    from: R,
    crc: u32,
    offset: u64,
    text: Vec<u8>,
}

/// Why it is not a snapshot.
pub(super) enum Fault {
    Unreadable(io::Error),
    Unknown,
    Damaged { offset: u64 },
}

impl Fault {
    pub(super) fn of(self, path: &Path) -> SnapshotError {
        let path = path.to_owned();
        match self {
            Self::Unreadable(source) => SnapshotError::Unreadable { path, source },
            Self::Unknown => SnapshotError::Unknown { path },
            Self::Damaged { offset } => SnapshotError::Damaged { path, offset },
        }
    }
}

impl<R: Read> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, crc: 0, offset: 0, text: Vec::with_capacity(usize::from(TEXT_MAX_BYTES)) }
    }

    pub(super) fn snapshot(mut self) -> Result<Snapshot, Fault> {
        if self.array()? != MAGIC || self.u32()? != VERSION {
            return Err(Fault::Unknown);
        }
        let written_at = self.time()?;
        let mut snapshot = Snapshot { beacons: Vec::new(), gateways: Vec::new(), written_at };
        loop {
            match self.u8()? {
                BEACON => snapshot.beacons.push(self.beacon()?),
                GATEWAY => snapshot.gateways.push(self.gateway()?),
                END => break,
                _ => return Err(self.damaged()),
            }
        }
        let counted = [snapshot.beacons.len() as u64, snapshot.gateways.len() as u64];
        let said = [self.u64()?, self.u64()?];
        let crc = self.crc;
        let is_sound = self.u32()? == crc && said == counted && self.is_at_end()?;
        if is_sound { Ok(snapshot) } else { Err(self.damaged()) }
    }

    fn beacon(&mut self) -> Result<Beacon, Fault> {
        Ok(Beacon {
            id: BeaconId::from_bytes(self.array()?),
            store_id: self.text()?,
            major: u16::from_be_bytes(self.array()?),
            minor: u16::from_be_bytes(self.array()?),
            status: self.status()?,
            location_type: self.location_type()?,
            location: match self.length()? {
                None => None,
                Some(length) => Some(self.text_of(length)?),
            },
            updated_at: self.time()?,
        })
    }

    fn gateway(&mut self) -> Result<Gateway, Fault> {
        let id = self.text()?;
        let status = match self.u8()? {
            0 => GatewayStatus::Disabled,
            1 => GatewayStatus::Active,
            _ => return Err(self.damaged()),
        };
        let stores = match self.u32()? {
            EVERY_STORE => StoreScope::Every,
            // Not allocated ahead: the number may be damage.
            number => {
                let mut stores = HashSet::new();
                for _ in 0..number {
                    stores.insert(self.text()?);
                }
                StoreScope::These(stores)
            }
        };
        Ok(Gateway { id, stores, status })
    }

    fn status(&mut self) -> Result<BeaconStatus, Fault> {
        let code = self.u8()?;
        let all = [BeaconStatus::Active, BeaconStatus::Inactive, BeaconStatus::Maintenance];
        all.into_iter().find(|status| status_code(*status) == code).ok_or_else(|| self.damaged())
    }

    fn location_type(&mut self) -> Result<Option<LocationType>, Fault> {
        let code = self.u8()?;
        let all = LocationType::ALL.map(Some).into_iter().chain([None]);
        let mut found = all.filter(|kind| type_code(*kind) == code);
        found.next().ok_or_else(|| self.damaged())
    }

    fn text<T: FromStr>(&mut self) -> Result<T, Fault> {
        match self.length()? {
            Some(length) => self.text_of(length),
            None => Err(self.damaged()),
        }
    }

    fn length(&mut self) -> Result<Option<u16>, Fault> {
        match u16::from_be_bytes(self.array()?) {
            NO_TEXT => Ok(None),
            length if length > TEXT_MAX_BYTES => Err(self.damaged()),
            length => Ok(Some(length)),
        }
    }

    fn text_of<T: FromStr>(&mut self, length: u16) -> Result<T, Fault> {
        let mut text = std::mem::take(&mut self.text);
        text.resize(usize::from(length), 0);
        self.fill(&mut text)?;
        let read = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        self.text = text;
        read.ok_or_else(|| self.damaged())
    }

    fn time(&mut self) -> Result<Timestamp, Fault> {
        self.array().map(i64::from_be_bytes).map(Timestamp::from_micros)
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(),
            _ => Fault::Unreadable(error),
        })?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, Fault> {
        self.from.read(&mut [0]).map(|read| read == 0).map_err(Fault::Unreadable)
    }

    fn damaged(&self) -> Fault {
        Fault::Damaged { offset: self.offset }
    }
}

const fn status_code(status: BeaconStatus) -> u8 {
    match status {
        BeaconStatus::Active => 0,
        BeaconStatus::Inactive => 1,
        BeaconStatus::Maintenance => 2,
    }
}

const fn type_code(kind: Option<LocationType>) -> u8 {
    match kind {
        None => 0,
        Some(LocationType::Entrance) => 1,
        Some(LocationType::Table) => 2,
        Some(LocationType::Counter) => 3,
    }
}
