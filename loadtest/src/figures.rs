//! How figures are shown to people.

/// A count with a comma at every thousand.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same of a figure that was calculated.
pub(crate) fn count_of(value: f64) -> String {
    count(rounded(value))
}

/// A duration in the unit that suits it, with three digits that count.
pub(crate) fn microseconds(us: u64) -> String {
    let milliseconds = us as f64 / 1e3;
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000 => format!("{milliseconds:.2} ms"),
        10_000..100_000 => format!("{milliseconds:.1} ms"),
        100_000..1_000_000 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.2} s", milliseconds / 1e3),
    }
}

/// A part of a whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.2}%", part as f64 / whole as f64 * 100.0)
}

/// So many in a time, each second; none in no time.
pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// The same, rounded and shown.
pub(crate) fn rate(count_: u64, seconds: f64) -> String {
    format!("{}/s", count_of(per_second(count_, seconds)))
}

/// A size in the unit that suits it, with three digits that count; units are powers of ten.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1e3;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS.get(unit).unwrap_or(&"B"))
}

/// The whole number next to one that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative; `as` saturates"
)]
pub(crate) fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_people_write_them() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), text);
        }
        for (us, text) in
            [(7, "7 us"), (1_000, "1.00 ms"), (12_345, "12.3 ms"), (250_400, "250 ms"), (1_500_000, "1.50 s")]
        {
            assert_eq!(microseconds(us), text);
        }
        for (size, text) in
            [(0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (99_960, "100 kB"), (999_900, "1.00 MB")]
        {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(percent(1, 8), "12.50%");
        assert_eq!(percent(0, 0), "-");
        assert_eq!(rate(3, 2.0), "2/s");
        assert_eq!(rate(3, 0.0), "0/s");
    }
}
