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
        let no_number = || {
            let colon = if text.is_empty() { "" } else { ": " };
            Refusal::validation(format!(
                "The parameter cannot be converted to a numeric value{colon}{}",
                text.chars().take(100).collect::<String>()
            ))
        };
        let mut bytes = text.bytes().peekable();
        let sign = bytes.next_if(|byte| matches!(byte, b'+' | b'-'));
        let (mut digits, mut count, mut zeros, mut exponent) = (0u128, 0i64, 0i64, 0i64);
        let (mut any, mut in_fraction, mut too_many) = (false, false, false);
        while let Some(byte) = bytes.next_if(|byte| byte.is_ascii_digit() || *byte == b'.') {
            if byte == b'.' {
                if in_fraction {
                    return Err(no_number());
                }
                in_fraction = true;
                continue;
            }
            any = true;
            exponent -= i64::from(in_fraction);
            match byte {
                b'0' if count == 0 => {}
                b'0' => zeros += 1,
                digit => {
                    // Zeros count once something other than a zero follows.
                    count += zeros + 1;
                    too_many |= count > MAX_DIGITS;
                    if !too_many {
                        let shift = 10u128.pow(u32::try_from(zeros + 1).unwrap_or(0));
                        digits = digits * shift + u128::from(digit - b'0');
                    }
                    zeros = 0;
                }
            }
        }
        if !any {
            return Err(no_number());
        }
        if bytes.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
            let rest: String = bytes.by_ref().map(char::from).collect();
            exponent += i64::from(rest.parse::<i32>().map_err(|_| no_number())?);
        }
        if bytes.next().is_some() {
            return Err(no_number());
        }
        if too_many {
            return Err(Refusal::validation(
                "Attempting to store more than 38 significant digits in a Number",
            ));
        }
        if digits == 0 {
            return Ok(Self { is_negative: false, digits: 0, exponent: 0 });
        }
        exponent += zeros;
        let magnitude = exponent + count - 1;
        if magnitude > MAX_MAGNITUDE {
            return Err(Refusal::validation(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ));
        }
        let underflow = || {
            Refusal::validation(
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            )
        };
        if magnitude < MIN_MAGNITUDE {
            return Err(underflow());
        }
        let exponent = i16::try_from(exponent).map_err(|_| underflow())?;
        Ok(Self { is_negative: sign == Some(b'-'), digits, exponent })
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
            ("1e-131", "underflow"),
            ("123456789012345678901234567890123456789", "38 significant digits"),
            ("1.00000000000000000000000000000000000000000001", "38 significant digits"),
        ] {
            let refusal = Number::parse(given).unwrap_err();
            assert!(refusal.message.contains(reason), "{given}: {}", refusal.message);
        }
    }
}
