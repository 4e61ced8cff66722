//! Percentile spectra as text: the columns that wrk2 prints and that HdrHistogram's plotters read.

use std::io::{self, Write};

use crate::measurement::{Latency, Measurement};

/// Steps between halvings of what is left above, as wrk2 has it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Writes the spectrum of every latency, values in milliseconds.
///
/// # Errors
/// When it cannot be written, or a histogram cannot be read.
pub(super) fn write(out: &mut impl Write, measurement: &Measurement) -> io::Result<()> {
    for (name, latency) in &measurement.latencies {
        writeln!(out, "# {name}, in milliseconds")?;
        spectrum(out, latency)?;
        writeln!(out)?;
    }
    Ok(())
}

fn spectrum(out: &mut impl Write, latency: &Latency) -> io::Result<()> {
    let histogram =
        latency.histogram().map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
    let milliseconds = |us: f64| us / 1e3;
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = milliseconds(step.value_iterated_to() as f64);
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            writeln!(out, "{value:>12.3} {quantile:>14.12} {total:>10} {:>14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:>12.3} {quantile:>14.12} {total:>10} {:>14}", "inf")?;
        }
    }
    let (mean, deviation) = (milliseconds(histogram.mean()), milliseconds(histogram.stdev()));
    writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    let (max, count) = (milliseconds(histogram.max() as f64), histogram.len());
    writeln!(out, "#[Max     = {max:>12.3}, Total count    = {count:>12}]")?;
    // Two for each value that the digits tell apart, rounded up to a power of two.
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let buckets = histogram.buckets();
    writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    #[test]
    fn the_spectrum_has_the_columns_that_plotters_read() {
        let mut text = Vec::new();
        let measurement = sample::quiet();
        write(&mut text, &measurement).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "# ack, in milliseconds");
        assert_eq!(lines[1], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[3], "       0.010 0.000000000000          1           1.00");
        // The median of 10 us to 10 ms, in steps of 10 us: half of a thousand are not above it.
        assert!(lines.contains(&"       5.003 0.500000000000        500           2.00"), "{text}");
        let rows: Vec<Vec<f64>> = lines[3..]
            .iter()
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2]), "{text}");
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 1_000.0));
        assert!(text.contains("#[Max     =       10.007, Total count    =         1000]"), "{text}");
        assert!(text.contains("SubBuckets     =         2048]"), "{text}");
    }
}
