//! Rules as people write them: `2%`, `20ms`, `100Mbit`, `250KB`.
//!
//! For the command lines of the tools that apply [`crate::impairment`]. A unit is never implied: a
//! bare number is refused, unless it is zero.

use std::time::Duration;

use crate::impairment::Chance;

const TIMES: &[(&str, f64)] = &[("us", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 60e6)];
const SPEEDS: &[(&str, f64)] = &[("bit", 1.0), ("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
const SIZES: &[(&str, f64)] = &[("b", 1.0), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9)];

/// A probability, such as `2%` or `0.05%`.
///
/// # Errors
/// What is wrong with it.
pub fn chance(text: &str) -> Result<Chance, String> {
    let percent = scaled(text, &[("%", 1.0)], "a percentage such as 2% or 0.05%")?;
    if percent > 100.0 {
        return Err("more than 100% is impossible".into());
    }
    Ok(Chance::parts_per_million((percent * 10_000.0).round() as u32))
}

/// A time, such as `20ms`, `500us` or `1.5s`.
///
/// # Errors
/// What is wrong with it.
pub fn time(text: &str) -> Result<Duration, String> {
    let micros = scaled(text, TIMES, "a time such as 20ms, 500us, 1.5s or 15min")?;
    Ok(Duration::from_micros(micros.round() as u64))
}

/// A speed, such as `100Mbit` per second.
///
/// # Errors
/// What is wrong with it.
pub fn bits_per_second(text: &str) -> Result<u64, String> {
    let expected = "a speed such as 100Mbit or 1Gbit (per second)";
    match scaled(text, SPEEDS, expected)?.round() as u64 {
        0 => Err(format!("nothing passes; expected {expected}")),
        speed => Ok(speed),
    }
}

/// A size, such as `250KB`.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<u64, String> {
    Ok(scaled(text, SIZES, "a size such as 250KB or 100MB")?.round() as u64)
}

/// A number and one of `units`, in upper or lower case.
fn scaled(text: &str, units: &[(&str, f64)], expected: &str) -> Result<f64, String> {
    let complaint = || format!("expected {expected}");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| complaint())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Ok(number * factor),
        None if unit.is_empty() && number == 0.0 => Ok(0.0),
        None => Err(complaint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_clear_is_taken() {
        assert_eq!(chance("2%"), Ok(Chance::per_mille(20)));
        assert_eq!(chance("0.05 %"), Ok(Chance::parts_per_million(500)));
        assert_eq!(chance("0"), Ok(Chance::NEVER));
        assert_eq!(time("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(bits_per_second("100Mbit"), Ok(100_000_000));
        assert_eq!(bytes("250KB"), Ok(250_000));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for text in ["", "2", "%", "0.02", "-2%", "101%", "2 percent", "1e9%", "1.2.3%"] {
            assert!(chance(text).is_err(), "{text:?}");
        }
        for text in ["20", "ms", "20 mss", "20%", "-1ms", "nanms"] {
            assert!(time(text).is_err(), "{text:?}");
        }
        assert!(bits_per_second("0").is_err());
        assert!(bits_per_second("100").is_err());
        assert!(bytes("250").is_err());
    }
}
