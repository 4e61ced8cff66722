//! Numbers as the service takes them: decimal, up to 38 digits, kept and told in one form.

use super::refusal::Refusal;

/// Significant digits at most; as many as a `u128` holds.
const MAX_DIGITS: i64 = 38;
/// The powers of ten of the first digit, at most and at least.
const MAX_MAGNITUDE: i64 = 125;
const MIN_MAGNITUDE: i64 = -130;

/// `digits` times ten to the `exponent`. The last digit is none of 0, so that equal numbers are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) is_negative: bool,
    pub(super) digits: u128,
    pub(super) exponent: i16,
}

impl Number {
    /// Reads what a request says, or tells what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let refused = |reason: &'static str| Err(Refusal::validation(reason));
        let (is_negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (Some(mantissa), Ok(power)) = (Mantissa::read(mantissa), power.parse::<i32>()) else {
            let colon = if text.is_empty() { "" } else { ": " };
            let shown: String = text.chars().take(100).collect();
            return Err(Refusal::validation(format!(
                "The parameter cannot be converted to a numeric value{colon}{shown}"
            )));
        };
        if mantissa.count > MAX_DIGITS {
            return refused("Attempting to store more than 38 significant digits in a Number");
        }
        if mantissa.digits == 0 {
            return Ok(Self { is_negative: false, digits: 0, exponent: 0 });
        }
        let exponent = mantissa.exponent + i64::from(power);
        let magnitude = exponent + mantissa.count - 1;
        if magnitude > MAX_MAGNITUDE {
            return refused(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            );
        }
        if magnitude < MIN_MAGNITUDE {
            return refused(
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            );
        }
        // Within the magnitudes less 38 digits.
        let exponent = i16::try_from(exponent).unwrap_or(0);
        Ok(Self { is_negative, digits: mantissa.digits, exponent })
    }

    /// What it takes, as the service counts: a byte for two digits, one for the exponent, one for a sign.
    pub(super) fn size(self) -> usize {
        let digits = self.digits.checked_ilog10().map_or(1, |power| power as usize + 1);
        digits.div_ceil(2) + 1 + usize::from(self.is_negative)
    }

    /// Writes it out without an exponent, as the service does.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        if self.is_negative {
            out.push(b'-');
        }
        let digits = self.digits.to_string();
        let exponent = i32::from(self.exponent);
        if exponent >= 0 {
            out.extend_from_slice(digits.as_bytes());
            out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize));
            return;
        }
        let fraction = exponent.unsigned_abs() as usize;
        match digits.len().checked_sub(fraction) {
            Some(whole @ 1..) => {
                let (whole, fraction) = digits.split_at(whole);
                out.extend_from_slice(whole.as_bytes());
                out.push(b'.');
                out.extend_from_slice(fraction.as_bytes());
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.extend(std::iter::repeat_n(b'0', fraction - digits.len()));
                out.extend_from_slice(digits.as_bytes());
            }
        }
    }
}

/// What stands before the exponent, without zeros at either end.
struct Mantissa {
    digits: u128,
    /// How many there are; beyond the most, they are only counted.
    count: i64,
    exponent: i64,
}

impl Mantissa {
    fn read(text: &str) -> Option<Self> {
        let mut read = Self { digits: 0, count: 0, exponent: 0 };
        let (mut zeros, mut any, mut in_fraction) = (0, false, false);
        for byte in text.bytes() {
            match byte {
                b'.' if !in_fraction => in_fraction = true,
                b'0'..=b'9' => {
                    any = true;
                    read.exponent -= i64::from(in_fraction);
                    if byte == b'0' {
                        // They count once another digit follows one before them.
                        zeros += u32::from(read.count > 0);
                        continue;
                    }
                    read.count += i64::from(zeros) + 1;
                    if read.count <= MAX_DIGITS {
                        read.digits = read.digits * 10u128.pow(zeros + 1) + u128::from(byte - b'0');
                    }
                    zeros = 0;
                }
                _ => return None,
            }
        }
        read.exponent += i64::from(zeros);
        any.then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let mut out = Vec::new();
        Number::parse(text).unwrap().write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_number_is_told_in_one_form() {
        for (given, kept) in [
            ("0.8807971", "0.8807971"),
            ("1809172800", "1809172800"),
            ("007", "7"),
            ("1.50", "1.5"),
            ("-0", "0"),
            ("1e2", "100"),
            ("12E-4", "0.0012"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("-120.010", "-120.01"),
            ("100200", "100200"),
        ] {
            assert_eq!(told(given), kept, "{given}");
        }
        let long = "12345678901234567890123456789012345678";
        assert_eq!(told(long), long);
        assert_eq!(told(&format!("{long}000")), format!("{long}000"));
    }

    #[test]
    fn what_is_no_number_or_too_large_or_too_fine_is_refused() {
        for (given, reason) in [
            ("", "cannot be converted"),
            ("abc", "value: abc"),
            ("1.2.3", "cannot be converted"),
            ("1e", "cannot be converted"),
            ("NaN", "cannot be converted"),
            ("1 ", "cannot be converted"),
            (".", "cannot be converted"),
            ("1e126", "overflow"),
            ("1e99999999999", "cannot be converted"),
            ("--1", "cannot be converted"),
            ("-e1", "cannot be converted"),
            ("é", "cannot be converted"),
            ("1e-131", "underflow"),
            ("123456789012345678901234567890123456789", "38 significant digits"),
            ("1.00000000000000000000000000000000000000000001", "38 significant digits"),
        ] {
            let refusal = Number::parse(given).unwrap_err();
            assert!(refusal.message.contains(reason), "{given}: {}", refusal.message);
        }
    }
}
