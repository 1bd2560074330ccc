//! How does a moment look in EVE? `2026-11-21T23:01:46.000000+0000`, always UTC.

use std::fmt;

use dataplane::time::Wall;
use serde::{Serialize, Serializer};

/// Length of the text.
const LEN: usize = 31;

/// A wall-clock instant as Suricata writes it: microseconds, numeric zone, no colon in the zone.
///
/// A few divisions; nothing is cached and nothing allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub Wall);

impl Stamp {
    fn text(self) -> [u8; LEN] {
        let micros = self.0.0 / 1_000;
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let mut out = *b"0000-00-00T00:00:00.000000+0000";
        digits(&mut out[0..4], year);
        digits(&mut out[5..7], month);
        digits(&mut out[8..10], day);
        digits(&mut out[11..13], second / 3_600);
        digits(&mut out[14..16], second / 60 % 60);
        digits(&mut out[17..19], second % 60);
        digits(&mut out[20..26], micros);
        out
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("ASCII digits only"))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).expect("ASCII digits only"))
    }
}

/// Writes `value` right-aligned over zeroes; digits that do not fit are cut off on the left.
fn digits(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day count since 1970-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`, for days not before the epoch).
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_have_suricatas_text() {
        let text = |ns| Stamp(Wall(ns)).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000000+0000");
        assert_eq!(text(1_147_551_796_702_602_999), "2006-05-13T20:23:16.702602+0000");
        assert_eq!(text(951_782_400_000_000_000), "2000-02-29T00:00:00.000000+0000");
        assert_eq!(text(u64::MAX), "2554-07-21T23:34:33.709551+0000");
    }

    #[test]
    fn every_day_of_five_centuries_agrees_with_a_calendar() {
        for day in 0..200_000_i64 {
            let ns = day as u64 * 86_400_000_000_000 + 1_234_000;
            let calendar = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            assert_eq!(Stamp(Wall(ns)).to_string(), calendar.strftime("%Y-%m-%dT%H:%M:%S.%6f%z").to_string());
        }
    }
}
