//! Times as the stores write them: `YYYY-MM-DDTHH:MM:SS.ffffffZ`.

use chrono::{DateTime, NaiveDate};

/// Microseconds since the Unix epoch; none if the text is no such time.
pub(super) fn micros(text: &str) -> Option<i64> {
    let text: &[u8; 27] = text.as_bytes().try_into().ok()?;
    let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if punctuation.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number: u32, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
        })
    };
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(number(&text[..4])?).ok()?,
        number(&text[5..7])?,
        number(&text[8..10])?,
    )?;
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    Some(date.and_hms_micro_opt(hour, minute, second, number(&text[20..26])?)?.and_utc().timestamp_micros())
}

/// The text of a time; of one that no calendar has, its number.
pub(super) fn text(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} us since 1970"),
        |time| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_to_the_microsecond() {
        for (micros_, text_) in [
            (1, "1970-01-01T00:00:00.000001Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
            (1_772_366_400_000_000, "2026-03-01T12:00:00.000000Z"),
        ] {
            assert_eq!(micros(text_), Some(micros_));
            assert_eq!(text(micros_), text_);
        }
        for wrong in [
            "",
            "2026-03-01T12:00:00Z",
            "2026-03-01 12:00:00.000000Z",
            "2026-13-01T12:00:00.000000Z",
            "2026-03-01T24:00:00.000000Z",
            "2026-03-01T12:00:00.00000\u{e9}",
            "+026-03-01T12:00:00.000000Z",
        ] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
    }
}
