//! Tests of the snapshot: what is written is read, and nothing else is.

use std::io::BufRead;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::domain::beacon::{BeaconId, BeaconStatus};
use crate::domain::gateway::{GatewayStatus, StoreScope};
use crate::domain::location::LocationType;

fn beacon(number: u32) -> Beacon {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Beacon {
        id: BeaconId::from_bytes(id),
        store_id: format!("store-{:05}", number / 10).parse().unwrap(),
        major: 65_535,
        minor: 1,
        location: (!number.is_multiple_of(4)).then(|| format!("Tisch {}", number % 100).parse().unwrap()),
        location_type: [None, Some(LocationType::Entrance), Some(LocationType::Table)][number as usize % 3],
        status: [BeaconStatus::Active, BeaconStatus::Inactive, BeaconStatus::Maintenance]
            [number as usize % 3],
        updated_at: Timestamp::from_micros(1_777_636_800_000_000 + i64::from(number)),
    }
}

fn gateways() -> Vec<Gateway> {
    let of = |id: &str, stores, status| Gateway { id: id.parse().unwrap(), stores, status };
    let stores = ["s1", &"\u{1f642}".repeat(64)].map(|id| id.parse().unwrap());
    vec![
        of("all", StoreScope::Every, GatewayStatus::Active),
        of("none", StoreScope::These(Default::default()), GatewayStatus::Disabled),
        of("two", StoreScope::These(stores.into()), GatewayStatus::Active),
    ]
}

fn written(path: &Path, beacons: &[Beacon]) -> SnapshotSummary {
    write(path, beacons.iter(), gateways().iter(), Timestamp::from_micros(-1)).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(SNAPSHOT_FILE);
    assert!(matches!(read(&path), Ok(None)));
    let beacons: Vec<Beacon> = (0..1_000).map(beacon).collect();
    let summary = written(&path, &beacons);
    assert_eq!((summary.beacons, summary.gateways), (1_000, 3));
    assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
    let snapshot = read(&path).unwrap().unwrap();
    assert_eq!(snapshot, Snapshot { beacons, gateways: gateways(), written_at: Timestamp::from_micros(-1) });
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left beside it");
}

#[test]
fn a_newer_one_takes_its_place_and_a_failed_one_does_not() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(SNAPSHOT_FILE);
    written(&path, &[beacon(1)]);
    written(&path, &[beacon(2)]);
    assert_eq!(read(&path).unwrap().unwrap().beacons, [beacon(2)]);
    // A directory where the new one would be written.
    fs::create_dir(dir.path().join(format!("{SNAPSHOT_FILE}.new"))).unwrap();
    write(&path, [beacon(3)].iter(), [].iter(), Timestamp::default()).unwrap_err();
    assert_eq!(read(&path).unwrap().unwrap().beacons, [beacon(2)]);
}

#[test]
fn cut_at_any_byte_it_is_damaged() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(SNAPSHOT_FILE);
    written(&path, &[beacon(0), beacon(1)]);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path).unwrap_err();
        let SnapshotError::Damaged { offset, .. } = error else { panic!("{length}: {error}") };
        assert!(offset <= length as u64);
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(matches!(read(&path), Err(SnapshotError::Damaged { .. })), "more than was written");
}

#[test]
fn another_version_is_unknown() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(SNAPSHOT_FILE);
    written(&path, &[]);
    let mut other = fs::read(&path).unwrap();
    other[11] = 2;
    fs::write(&path, other).unwrap();
    assert!(matches!(read(&path), Err(SnapshotError::Unknown { .. })));
    fs::write(&path, "{\"beacons\": []}").unwrap();
    assert!(matches!(read(&path), Err(SnapshotError::Unknown { .. })));
}

#[test]
fn with_any_bit_turned_it_is_an_error() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(SNAPSHOT_FILE);
    written(&path, &(0..20).map(beacon).collect::<Vec<_>>());
    let mut bytes = fs::read(&path).unwrap();
    assert!(Reader::new(&bytes[..]).snapshot().is_ok());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Reader::new(&bytes[..]).snapshot().is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// The same in lines of JSON, to compare with.
#[derive(serde::Serialize, serde::Deserialize)]
struct JsonLine {
    beacon_id: String,
    store_id: String,
    major: u16,
    minor: u16,
    location: Option<String>,
    location_type: Option<String>,
    status: String,
    updated_at: String,
}

impl JsonLine {
    fn new(beacon: &Beacon) -> Self {
        Self {
            beacon_id: beacon.id.to_string(),
            store_id: beacon.store_id.as_str().to_owned(),
            major: beacon.major,
            minor: beacon.minor,
            location: beacon.location.as_ref().map(|location| location.as_str().to_owned()),
            location_type: beacon.location_type.map(|kind| kind.as_str().to_owned()),
            status: beacon.status.as_str().to_owned(),
            updated_at: beacon.updated_at.to_string(),
        }
    }

    fn beacon(self) -> Beacon {
        Beacon {
            id: self.beacon_id.parse().unwrap(),
            store_id: self.store_id.parse().unwrap(),
            major: self.major,
            minor: self.minor,
            location: self.location.map(|location| location.parse().unwrap()),
            location_type: self.location_type.map(|kind| kind.parse().unwrap()),
            status: self.status.parse().unwrap(),
            updated_at: Timestamp::from_text(&self.updated_at).unwrap(),
        }
    }
}

#[test]
#[ignore = "a measurement: cargo nextest run -p beacond --lib --run-ignored only --no-capture snapshot"]
fn a_million_beacons_beside_lines_of_json() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(SNAPSHOT_FILE);
    let beacons: Vec<Beacon> = (0..1_000_000).map(beacon).collect();
    let began = Instant::now();
    let summary = written(&path, &beacons);
    let wrote = began.elapsed();
    let began = Instant::now();
    let snapshot = read(&path).unwrap().unwrap();
    println!(
        "snapshot: {} bytes, written and synced in {wrote:?}, read in {:?}",
        summary.bytes,
        began.elapsed()
    );
    assert_eq!(snapshot.beacons, beacons);

    let path = dir.path().join("beacons.jsonl");
    let began = Instant::now();
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(&path).unwrap());
    for beacon in &beacons {
        serde_json::to_writer(&mut file, &JsonLine::new(beacon)).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let wrote = began.elapsed();
    let began = Instant::now();
    let lines = BufReader::with_capacity(BUFFER_BYTES, File::open(&path).unwrap()).lines();
    let read: Vec<Beacon> =
        lines.map(|line| serde_json::from_str::<JsonLine>(&line.unwrap()).unwrap().beacon()).collect();
    let bytes = fs::metadata(&path).unwrap().len();
    println!("JSON: {bytes} bytes, written and synced in {wrote:?}, read in {:?}", began.elapsed());
    assert_eq!(read, beacons);
}
