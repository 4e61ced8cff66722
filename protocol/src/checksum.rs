//! CRC-32C (Castagnoli), by the processor's instruction where there is std, by a table elsewhere.

#[cfg(not(feature = "std"))]
const TABLE: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The CRC-32C of the parts as if they were one slice.
pub(crate) fn crc32c(parts: &[&[u8]]) -> u32 {
    #[cfg(feature = "std")]
    {
        parts.iter().fold(0, |checksum, part| crc32c::crc32c_append(checksum, part))
    }
    #[cfg(not(feature = "std"))]
    {
        let mut digest = TABLE.digest();
        for part in parts {
            digest.update(part);
        }
        digest.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_check_value_however_split() {
        assert_eq!(crc32c(&[b"123456789"]), 0xE306_9283);
        assert_eq!(crc32c(&[b"1234", b"", b"56789"]), 0xE306_9283);
        assert_eq!(crc32c(&[]), 0);
    }
}
