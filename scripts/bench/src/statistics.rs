//! What many numbers say.

use std::time::Duration;

/// The value that half of them do not reach; of an even number the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The least and the greatest.
pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().reduce(f64::min)?;
    Some((least, values.iter().copied().reduce(f64::max)?))
}

/// The time that a share of them, such as 0.99, does not exceed, in microseconds: the nearest rank.
pub(crate) fn percentile_us(times: &[Duration], share: f64) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let time = sorted.get(rank.max(1) - 1)?;
    Some(time.as_nanos() as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn ranges() {
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[2.0, 1.0, 3.0]), Some((1.0, 3.0)));
    }

    #[test]
    fn percentiles() {
        let times: Vec<_> = (1..=1000).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile_us(&times, 0.5), Some(500.0));
        assert_eq!(percentile_us(&times, 0.999), Some(999.0));
        assert_eq!(percentile_us(&times, 1.0), Some(1000.0));
        assert_eq!(percentile_us(&times[..1], 0.5), Some(1000.0));
        assert_eq!(percentile_us(&[], 0.5), None);
    }
}
