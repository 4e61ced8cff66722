//! Damage to the daemon's journal: bits of its segments flipped while nobody has them open.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::random::Random;

/// Bits flipped at once.
const FLIPS: u64 = 4;

/// Flips bits in the part of a segment that was written; false if there is none.
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
