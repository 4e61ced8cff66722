//! Damage to the daemon's journal: bits of its segments flipped while nobody has them open.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use crate::random::Random;

/// Bits flipped at once.
const FLIPS: u64 = 4;

/// Flips bits in the part of a closed segment that was written; false if there is none.
///
/// # Errors
/// When a segment cannot be read or written.
pub(crate) fn flip_bits(data: &Path, random: &mut Random) -> anyhow::Result<bool> {
    let mut written = Vec::new();
    for segment in segments(data)? {
        let bytes = fs::read(&segment)?;
        // The rest of a segment is zeros, or what it held before it was recycled.
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            written.push((segment, bytes, last));
        }
    }
    // The last one was open: of its end nobody can tell what was synced.
    written.pop();
    if written.is_empty() {
        return Ok(false);
    }
    let (segment, bytes, last) = &written[random.index(written.len())];
    let file = OpenOptions::new().write(true).open(segment)?;
    for _ in 0..random.within(1..FLIPS + 1) {
        let place = random.index(last + 1);
        let flipped = bytes[place] ^ (1 << random.index(8));
        file.write_all_at(&[flipped], u64::try_from(place)?)?;
    }
    file.sync_all()?;
    Ok(true)
}

/// Identities in the ranges that `beacond journal verify --json` names.
///
/// # Errors
/// When it is not what that prints.
pub(crate) fn named(verified: &[u8]) -> anyhow::Result<u64> {
    let verified: Value = serde_json::from_slice(verified)?;
    let ranges = verified["damage"].as_array().context("no ranges")?;
    let identities = |range: &Value| {
        let (first, end) = (range["first_identity"].as_u64()?, range["end_identity"].as_u64()?);
        end.checked_sub(first)
    };
    ranges.iter().map(|range| identities(range).context("a range without identities")).sum()
}

fn segments(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(data.join("journal")) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_identities_are_summed() {
        let text = br#"{"sound":false,"damage":[{"first_identity":3,"end_identity":7},{"first_identity":9,"end_identity":9}]}"#;
        assert_eq!(named(text).unwrap(), 4);
        assert_eq!(named(br#"{"sound":true,"damage":[]}"#).unwrap(), 0);
        assert!(named(br#"{"damage":[{"first_identity":3}]}"#).is_err());
        assert!(named(b"{}").is_err());
    }

    #[test]
    fn only_a_closed_segment_is_damaged() {
        let data = std::env::temp_dir().join(format!("torture-journal-{}", std::process::id()));
        fs::create_dir_all(data.join("journal")).unwrap();
        let segment = |number: u32| data.join(format!("journal/{number:016}.segment"));
        let mut random = Random::new(1);
        fs::write(segment(1), [1; 64]).unwrap();
        assert!(!flip_bits(&data, &mut random).unwrap());
        fs::write(segment(2), [2; 64]).unwrap();
        fs::write(segment(3), [0; 64]).unwrap();
        assert!(flip_bits(&data, &mut random).unwrap());
        assert_ne!(fs::read(segment(1)).unwrap(), [1; 64]);
        assert_eq!(fs::read(segment(2)).unwrap(), [2; 64]);
        fs::remove_dir_all(data).unwrap();
    }
}
