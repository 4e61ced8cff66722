//! Texts of a fixed shape in few bytes: times and UUIDs come back exactly as they were.

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
pub(super) const TIME_BYTES: usize = 27;
const TIME_SHAPE: &[u8; TIME_BYTES] = b"0000-00-00T00:00:00.000000Z";

/// Where the parts of a time begin and end, and how many values each may have.
const TIME_PARTS: [(usize, usize, u64); 7] =
    [(0, 4, 10_000), (5, 7, 13), (8, 10, 32), (11, 13, 24), (14, 16, 60), (17, 19, 61), (20, 26, 1_000_000)];

/// The time as one number, ordered as the texts are. None for any other text.
pub(super) fn pack_time(text: &str) -> Option<u64> {
    let bytes: &[u8; TIME_BYTES] = text.as_bytes().try_into().ok()?;
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if !bytes.iter().zip(TIME_SHAPE).all(fits) {
        return None;
    }
    TIME_PARTS.iter().try_fold(0u64, |packed, (begin, end, values)| {
        let part = bytes.get(*begin..*end)?.iter().fold(0, |part, byte| part * 10 + u64::from(byte - b'0'));
        (part < *values).then_some(packed * values + part)
    })
}

/// The text that [`pack_time`] was given.
pub(super) fn unpack_time(packed: u64) -> [u8; TIME_BYTES] {
    let mut text = *TIME_SHAPE;
    let mut left = packed;
    for (begin, end, values) in TIME_PARTS.into_iter().rev() {
        let mut part = left % values;
        left /= values;
        for digit in text.iter_mut().take(end).skip(begin).rev() {
            *digit += u8::try_from(part % 10).unwrap_or(0);
            part /= 10;
        }
    }
    text
}

/// A UUID's bytes, where the text is its usual form: lower case, with hyphens.
pub(super) fn pack_uuid(text: &str) -> Option<[u8; 16]> {
    if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    uuid::Uuid::try_parse(text).ok().map(uuid::Uuid::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_and_keeps_its_order() {
        let times = [
            "0000-00-00T00:00:00.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "2026-05-01T12:00:00.000000Z",
            "2026-05-01T12:00:00.000001Z",
            "2026-12-31T23:59:60.999999Z",
            "9999-12-31T23:59:59.999999Z",
        ];
        let packed = times.map(|time| pack_time(time).unwrap());
        assert!(packed.is_sorted_by(|one, next| one < next), "{packed:?}");
        for (time, packed) in times.into_iter().zip(packed) {
            assert_eq!(unpack_time(packed), time.as_bytes(), "{time}");
        }
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "suffixes",
            "2026-05-01T12:00:00Z",
            "2026-05-01t12:00:00.000000Z",
            "+026-05-01T12:00:00.000000Z",
            "2026-13-01T12:00:00.000000Z",
            "2026-05-01T24:00:00.000000Z",
        ] {
            assert_eq!(pack_time(text), None, "{text}");
        }
        let uuid = "0db9ba02-25ee-562c-9dee-7afcb156cfba";
        assert_eq!(uuid::Uuid::from_bytes(pack_uuid(uuid).unwrap()).to_string(), uuid);
        for text in ["", &uuid.to_uppercase(), &uuid.replace('-', ""), "urn:uuid:0db9ba02-25ee-562c-9dee-7af"]
        {
            assert_eq!(pack_uuid(text), None, "{text}");
        }
    }
}
