//! The files the programs take: beacons, gateways and recorded tracks as CSV, written and read.

use std::path::{Path, PathBuf};

use super::{Beacon, Sighting};

/// The recorded tracks and their beacons, which lie beside a checkout, not in it.
pub(crate) fn real_tracks() -> Option<(PathBuf, PathBuf)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let (tracks, beacons) = (data.join("ble_tracks.csv"), data.join("ble_beacons.csv"));
    (tracks.is_file() && beacons.is_file()).then_some((tracks, beacons))
}

pub(crate) fn read_beacons(path: &Path) -> Vec<Beacon> {
    let mut file = csv::Reader::from_path(path).unwrap();
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let beacon = |row: csv::StringRecord| Beacon {
        id: row[0].parse().unwrap(),
        store: row[1].to_owned(),
        major: row[2].parse().unwrap(),
        minor: row[3].parse().unwrap(),
        location: filled(&row[4]),
        location_type: filled(&row[5]),
        status: row[6].to_owned(),
    };
    file.records().map(|row| beacon(row.unwrap())).collect()
}

/// The sightings of a file, shifted so that the last is at `last_at_us`.
pub(crate) fn read_sightings(path: &Path, last_at_us: i64) -> Vec<Sighting> {
    let mut file = csv::Reader::from_path(path).unwrap();
    let sighting = |row: csv::StringRecord| Sighting {
        detected_at_us: row[0].parse().unwrap(),
        customer_id: row[1].as_bytes().to_vec(),
        beacon: row[2].parse().unwrap(),
        major: row[3].parse().unwrap(),
        minor: row[4].parse().unwrap(),
        rssi_dbm: row[5].parse().unwrap(),
    };
    let mut sightings: Vec<Sighting> = file.records().map(|row| sighting(row.unwrap())).collect();
    let last_us = sightings.iter().map(|sighting| sighting.detected_at_us).max().unwrap();
    for sighting in &mut sightings {
        sighting.detected_at_us += last_at_us - last_us;
    }
    sightings
}

pub(crate) fn write_beacons(path: &Path, beacons: &[Beacon]) {
    let mut file = csv::Writer::from_path(path).unwrap();
    file.write_record(["beacon_id", "store_id", "major", "minor", "location", "location_type", "status"])
        .unwrap();
    for beacon in beacons {
        file.write_record([
            beacon.id.hyphenated().to_string(),
            beacon.store.clone(),
            beacon.major.to_string(),
            beacon.minor.to_string(),
            beacon.location.clone().unwrap_or_default(),
            beacon.location_type.clone().unwrap_or_default(),
            beacon.status.clone(),
        ])
        .unwrap();
    }
    file.flush().unwrap();
}

/// Gateways as (id, stores, status).
pub(crate) fn write_gateways(path: &Path, gateways: &[(&str, &[&str], &str)]) {
    let mut file = csv::Writer::from_path(path).unwrap();
    file.write_record(["gateway_id", "stores", "status"]).unwrap();
    for (id, stores, status) in gateways {
        file.write_record([id, stores.join(";").as_str(), status]).unwrap();
    }
    file.flush().unwrap();
}

pub(crate) fn write_sightings(path: &Path, sightings: &[Sighting]) {
    let mut file = csv::Writer::from_path(path).unwrap();
    file.write_record(["detected_at_unix_us", "customer_id", "beacon_uuid", "major", "minor", "rssi_dbm"])
        .unwrap();
    for sighting in sightings {
        file.write_record([
            sighting.detected_at_us.to_string().as_bytes(),
            &sighting.customer_id,
            sighting.beacon.hyphenated().to_string().as_bytes(),
            sighting.major.to_string().as_bytes(),
            sighting.minor.to_string().as_bytes(),
            sighting.rssi_dbm.to_string().as_bytes(),
        ])
        .unwrap();
    }
    file.flush().unwrap();
}
