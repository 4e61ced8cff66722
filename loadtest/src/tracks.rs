//! Recorded tracks: a CSV file of sightings, read whole and checked before any of it is sent.

use std::collections::HashMap;
use std::fmt;

use beacon_protocol::{BeaconRef, MAX_CUSTOMER_ID_BYTES};

/// The columns a file must have, in any order; more are ignored.
pub(crate) const COLUMNS: [&str; 6] =
    ["detected_at_unix_us", "customer_id", "beacon_uuid", "major", "minor", "rssi_dbm"];

const DETECTED_AT: usize = 0;
const CUSTOMER_ID: usize = 1;
const BEACON_UUID: usize = 2;
const MAJOR: usize = 3;
const MINOR: usize = 4;
const RSSI: usize = 5;

/// Sightings in the order of the file, with customers and beacons kept once each.
#[derive(Debug, Default)]
pub(crate) struct Tracks {
    /// Customers by [`TrackSighting::customer`].
    pub(crate) customers: Vec<TrackCustomer>,
    /// Beacons by [`TrackSighting::beacon`].
    pub(crate) beacons: Vec<BeaconRef>,
    /// In the order they are to be sent.
    pub(crate) sightings: Vec<TrackSighting>,
    /// Which column of the file is which of [`COLUMNS`], from 1.
    pub(crate) columns: [usize; COLUMNS.len()],
}

/// A customer id as the file has it, valid or not.
#[derive(Debug)]
pub(crate) struct TrackCustomer {
    /// 0 to 255 raw bytes.
    pub(crate) id: Box<[u8]>,
    /// Where the file names it first.
    pub(crate) line: u64,
}

/// One line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrackSighting {
    /// Microseconds since the Unix epoch.
    pub(crate) detected_at_us: i64,
    /// Its place in [`Tracks::customers`].
    pub(crate) customer: usize,
    /// Its place in [`Tracks::beacons`].
    pub(crate) beacon: usize,
    /// As the file has it, -128 to 127.
    pub(crate) rssi_dbm: i8,
}

/// What in the file cannot be sent, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TracksError {
    /// From 1; the header is the first.
    pub(crate) line: u64,
    /// From 1, when one column is at fault.
    pub(crate) column: Option<(usize, &'static str)>,
    /// What is wrong.
    pub(crate) reason: String,
}

impl fmt::Display for TracksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some((number, name)) = self.column {
            write!(f, ", column {number} ({name})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for TracksError {}

impl Tracks {
    /// Reads all of a CSV file.
    ///
    /// # Errors
    /// The first line that the wire cannot carry, or that is no CSV.
    pub(crate) fn read(file: &[u8]) -> Result<Self, TracksError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
        let header = reader.byte_headers().map_err(|error| unreadable(1, &error))?;
        let mut tracks = Self { columns: columns_of(header)?, ..Self::default() };
        let width = header.len();
        let mut customers = HashMap::new();
        let mut beacons = HashMap::new();
        let mut record = csv::ByteRecord::new();
        let mut lines = LineCounter::of(file);
        loop {
            let line = lines.line_of_record(reader.position().byte());
            if !reader.read_byte_record(&mut record).map_err(|error| unreadable(line, &error))? {
                return Ok(tracks);
            }
            let line = Line { line, record: &record, columns: &tracks.columns };
            line.expect_width(width)?;
            let id = line.field(CUSTOMER_ID);
            if id.len() > MAX_CUSTOMER_ID_BYTES {
                let reason = format!("{} bytes; the wire carries at most {MAX_CUSTOMER_ID_BYTES}", id.len());
                return Err(line.error(CUSTOMER_ID, reason));
            }
            let beacon = BeaconRef {
                uuid: line.uuid()?,
                major: line.number(MAJOR, "a whole number from 0 to 65535")?,
                minor: line.number(MINOR, "a whole number from 0 to 65535")?,
            };
            let detected_at_us = line.number(DETECTED_AT, "a whole number of microseconds (64 bits)")?;
            let rssi_dbm = line.number(RSSI, "a whole number from -128 to 127")?;
            let customer = match customers.get(id) {
                Some(&known) => known,
                None => {
                    let new = TrackCustomer { id: id.into(), line: line.line };
                    customers.insert(new.id.clone(), tracks.customers.len());
                    tracks.customers.push(new);
                    tracks.customers.len() - 1
                }
            };
            let beacon = *beacons.entry(beacon).or_insert_with(|| {
                tracks.beacons.push(beacon);
                tracks.beacons.len() - 1
            });
            tracks.sightings.push(TrackSighting { detected_at_us, customer, beacon, rssi_dbm });
        }
    }

    /// Shifts all times by the same amount, so that the latest is `latest_us`.
    ///
    /// # Errors
    /// When a time leaves 64 bits by it.
    pub(crate) fn rebase(&mut self, latest_us: i64) -> Result<(), String> {
        let Some(latest) = self.sightings.iter().map(|sighting| sighting.detected_at_us).max() else {
            return Ok(());
        };
        for sighting in &mut self.sightings {
            let shifted = i128::from(sighting.detected_at_us) - i128::from(latest) + i128::from(latest_us);
            sighting.detected_at_us = i64::try_from(shifted).map_err(|_| {
                format!(
                    "the time {} cannot be shifted along with the latest, {latest}, to {latest_us}",
                    sighting.detected_at_us
                )
            })?;
        }
        Ok(())
    }

    /// Adds a sighting behind all others. Beacons are few: they are looked for one by one.
    pub(crate) fn push(&mut self, customer_id: Vec<u8>, radio: BeaconRef, detected_at_us: i64, rssi_dbm: i8) {
        let known = self.beacons.iter().position(|&beacon| beacon == radio);
        if known.is_none() {
            self.beacons.push(radio);
        }
        self.sightings.push(TrackSighting {
            detected_at_us,
            customer: self.customers.len(),
            beacon: known.unwrap_or(self.beacons.len() - 1),
            rssi_dbm,
        });
        self.customers.push(TrackCustomer { id: customer_id.into(), line: 0 });
    }

    /// An error in the customer id of a line.
    pub(crate) fn customer_error(&self, customer: &TrackCustomer, reason: String) -> TracksError {
        TracksError {
            line: customer.line,
            column: Some((self.columns[CUSTOMER_ID], COLUMNS[CUSTOMER_ID])),
            reason,
        }
    }
}

/// Says on which line a record begins: the reader counts one after an empty line, or after `\r\n`, too early.
struct LineCounter<'a> {
    ahead: &'a [u8],
    passed_bytes: u64,
    line: u64,
}

impl<'a> LineCounter<'a> {
    const fn of(file: &'a [u8]) -> Self {
        Self { ahead: file, passed_bytes: 0, line: 1 }
    }

    /// The line of the record that the reader would read from `byte` on. Never goes back.
    fn line_of_record(&mut self, byte: u64) -> u64 {
        while let [first, rest @ ..] = self.ahead
            && (self.passed_bytes < byte || matches!(first, b'\r' | b'\n'))
        {
            self.line += u64::from(*first == b'\n');
            self.passed_bytes += 1;
            self.ahead = rest;
        }
        self.line
    }
}

/// A record and what an error in it needs.
struct Line<'a> {
    line: u64,
    record: &'a csv::ByteRecord,
    columns: &'a [usize; COLUMNS.len()],
}

impl Line<'_> {
    fn expect_width(&self, width: usize) -> Result<(), TracksError> {
        let fields = self.record.len();
        if fields > width {
            return Err(TracksError {
                line: self.line,
                column: None,
                reason: format!("{fields} fields, but the header names {width} columns"),
            });
        }
        match (0..COLUMNS.len()).find(|&column| self.columns[column] > fields) {
            Some(column) => Err(self.error(column, "missing".to_owned())),
            None => Ok(()),
        }
    }

    fn field(&self, column: usize) -> &[u8] {
        self.record.get(self.columns[column] - 1).unwrap_or_default()
    }

    fn number<T: std::str::FromStr>(&self, column: usize, allowed: &str) -> Result<T, TracksError> {
        let field = self.field(column);
        std::str::from_utf8(field)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.error(column, format!("{} is not {allowed}", shown(field))))
    }

    fn uuid(&self) -> Result<[u8; 16], TracksError> {
        let field = self.field(BEACON_UUID);
        match uuid::Uuid::try_parse_ascii(field) {
            Ok(uuid) => Ok(uuid.into_bytes()),
            Err(_) => Err(self.error(BEACON_UUID, format!("{} is not a UUID", shown(field)))),
        }
    }

    fn error(&self, column: usize, reason: String) -> TracksError {
        TracksError { line: self.line, column: Some((self.columns[column], COLUMNS[column])), reason }
    }
}

fn columns_of(header: &csv::ByteRecord) -> Result<[usize; COLUMNS.len()], TracksError> {
    let error = |reason| TracksError { line: 1, column: None, reason };
    let mut columns = [0; COLUMNS.len()];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let mut places = (1..).zip(header).filter(|(_, field)| *field == name.as_bytes());
        *column = match (places.next(), places.next()) {
            (Some((place, _)), None) => place,
            (None, _) => return Err(error(format!("the header does not name the column {name}"))),
            (_, Some((again, _))) => {
                return Err(error(format!("the header names {name} again in column {again}")));
            }
        };
    }
    Ok(columns)
}

fn unreadable(line: u64, error: &csv::Error) -> TracksError {
    TracksError { line, column: None, reason: format!("cannot be read: {error}") }
}

/// A field in quotes, cut to what a line of a terminal can hold.
fn shown(field: &[u8]) -> String {
    const MAX_SHOWN_CHARS: usize = 60;
    let text = String::from_utf8_lossy(field);
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm\n";
    const BEACON: &str = "0db9ba02-25ee-562c-9dee-7afcb156cfba";

    fn error_of(csv: &[u8]) -> String {
        Tracks::read(csv).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name_and_others_ignored() {
        let csv = format!(
            "rssi_dbm,x,minor,major,beacon_uuid,customer_id,detected_at_unix_us\n-101,y,2,1,{BEACON},,-5\n"
        );
        let tracks = Tracks::read(csv.as_bytes()).unwrap();
        assert_eq!((tracks.beacons[0].major, tracks.beacons[0].minor), (1, 2));
        assert_eq!(&*tracks.customers[0].id, b"");
        let sighting = TrackSighting { detected_at_us: -5, customer: 0, beacon: 0, rssi_dbm: -101 };
        assert_eq!(tracks.sightings, [sighting]);
    }

    #[test]
    fn order_stays_and_ids_are_kept_once_whatever_their_bytes() {
        let mut csv = format!(
            "{HEADER}5,\"a\n\",{BEACON},1,2,-60\n4,b,{BEACON},1,3,-60\n3,\"a\n\",{BEACON},1,2,-61\n2,"
        )
        .into_bytes();
        csv.extend(b"\xff");
        csv.extend(format!(",{BEACON},1,2,-61").as_bytes());
        let tracks = Tracks::read(&csv[..]).unwrap();
        let ids: Vec<&[u8]> = tracks.customers.iter().map(|customer| &*customer.id).collect();
        assert_eq!(ids, [&b"a\n"[..], b"b", b"\xff"]);
        assert_eq!(tracks.beacons.len(), 2);
        let times: Vec<i64> = tracks.sightings.iter().map(|s| s.detected_at_us).collect();
        assert_eq!(times, [5, 4, 3, 2]);
    }

    #[test]
    fn what_the_wire_cannot_carry_is_named_with_line_and_column() {
        let long = "x".repeat(256);
        for (fields, expected) in [
            (format!("x,a,{BEACON},1,2,-60"), "line 3, column 1 (detected_at_unix_us): \"x\" is not"),
            (format!("9223372036854775808,a,{BEACON},1,2,-60"), "line 3, column 1 (detected_at_unix_us): "),
            (format!("1,{long},{BEACON},1,2,-60"), "line 3, column 2 (customer_id): 256 bytes"),
            ("1,a,0db9,1,2,-60".to_owned(), "line 3, column 3 (beacon_uuid): \"0db9\" is not a UUID"),
            (format!("1,a,{BEACON},65536,2,-60"), "line 3, column 4 (major): \"65536\" is not"),
            (format!("1,a,{BEACON},1,-2,-60"), "line 3, column 5 (minor): \"-2\" is not"),
            (format!("1,a,{BEACON},1,2,-129"), "line 3, column 6 (rssi_dbm): \"-129\" is not"),
            (format!("1,a,{BEACON},1,2"), "line 3, column 6 (rssi_dbm): missing"),
            (format!("1,a,{BEACON},1,2,-60,7"), "line 3: 7 fields, but the header names 6"),
        ] {
            let good = format!("1,{},{BEACON},1,2,127\n", "x".repeat(255));
            let error = error_of(format!("{HEADER}{good}{fields}\n{good}").as_bytes());
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn lines_are_counted_through_empty_ones_quoted_breaks_and_carriage_returns() {
        for (before, line) in [
            ("\n\n".to_owned(), 4),
            (format!("1,\"a\nb\",{BEACON},1,2,-60\r\n\r\n"), 5),
            (format!("1,a,{BEACON},1,2,-60\r\n"), 3),
        ] {
            for after in ["", "\n", "\r\n\n"] {
                let error = error_of(format!("{HEADER}{before}1,\"c\nd\",{BEACON},1,2,x{after}").as_bytes());
                assert!(error.starts_with(&format!("line {line}, ")), "{before:?} {after:?} {error}");
            }
        }
    }

    #[test]
    fn a_header_must_name_each_column_once() {
        assert_eq!(error_of(b""), "line 1: the header does not name the column detected_at_unix_us");
        let twice = HEADER.replace("major", "minor");
        assert_eq!(error_of(twice.as_bytes()), "line 1: the header does not name the column major");
        let twice = HEADER.replace("rssi", "minor,rssi");
        assert_eq!(error_of(twice.as_bytes()), "line 1: the header names minor again in column 6");
    }

    #[test]
    fn rebase_puts_the_latest_where_it_is_wanted_and_keeps_distances() {
        let csv = format!("{HEADER}10,a,{BEACON},1,2,-60\n30,a,{BEACON},1,2,-60\n20,a,{BEACON},1,2,-60\n");
        let mut tracks = Tracks::read(csv.as_bytes()).unwrap();
        tracks.rebase(1_000).unwrap();
        let times: Vec<i64> = tracks.sightings.iter().map(|s| s.detected_at_us).collect();
        assert_eq!(times, [980, 1_000, 990]);
        assert!(tracks.rebase(i64::MIN).is_err());
    }
}
