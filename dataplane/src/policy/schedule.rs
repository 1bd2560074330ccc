//! Is it the time that the operator meant? Days and hours on a wall clock somewhere.
//!
//! A window belongs to the day on which it starts: `fri 22:00-06:00` holds on Saturday morning. Hours are
//! what a clock on the wall shows: an hour that daylight saving skips never comes, one that it repeats holds
//! twice. Resolution is the minute; a minute's end is outside (`08:00-18:00` ends with 17:59:59).

use crate::time::Wall;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Minutes of a day.
pub(super) const DAY_MINUTES: u16 = 24 * 60;

/// When a policy holds: any window on any of the days.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Bit 0 is Monday.
    pub days: u8,
    /// Start and end in minutes of the day; an end before its start is on the following day.
    pub windows: Vec<(u16, u16)>,
    /// Whose wall clock.
    pub time_zone: TimeZone,
}

/// What a wall clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WallClock {
    /// 0 is Monday.
    pub(super) weekday: u8,
    pub(super) minute: u16,
}

impl WallClock {
    /// What clocks in `time_zone` show at `wall`.
    pub(super) fn at(wall: Wall, time_zone: &TimeZone) -> Self {
        // u64 nanoseconds end in the year 2554, well inside jiff's range.
        let seconds = (wall.0 / 1_000_000_000) as i64;
        let local = time_zone.to_datetime(Timestamp::from_second(seconds).unwrap_or_default());
        Self {
            weekday: local.weekday().to_monday_zero_offset() as u8,
            minute: local.hour() as u16 * 60 + local.minute() as u16,
        }
    }
}

impl Schedule {
    /// Whether it holds when the clock of its own time zone shows `clock`.
    pub(super) fn holds_at(&self, clock: WallClock) -> bool {
        let day = |weekday: u8| self.days & (1 << weekday) != 0;
        let (today, yesterday) = (day(clock.weekday), day((clock.weekday + 6) % 7));
        self.windows.iter().any(|&(start, end)| {
            if start < end {
                today && (start..end).contains(&clock.minute)
            } else {
                (today && clock.minute >= start) || (yesterday && clock.minute < end)
            }
        })
    }

    /// Whether it holds at `wall`.
    #[must_use]
    pub fn holds(&self, wall: Wall) -> bool {
        self.holds_at(WallClock::at(wall, &self.time_zone))
    }
}

/// Reads a day, a span of days (`mon-fri`, `fri-mon`), `weekdays` or `weekend` into a mask.
pub(super) fn parse_days(text: &str) -> Result<u8, String> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.as_str() {
        "weekdays" => return Ok(0b001_1111),
        "weekend" | "weekends" => return Ok(0b110_0000),
        "daily" | "all" => return Ok(0b111_1111),
        _ => {}
    }
    let unknown = || format!("\"{text}\" is no day (mon to sun, a span like \"mon-fri\", weekdays, weekend)");
    match lower.split_once('-') {
        None => day(&lower).map(|index| 1 << index).ok_or_else(unknown),
        Some((first, last)) => {
            let (first, last) = day(first).zip(day(last)).ok_or_else(unknown)?;
            let length = (last + 7 - first) % 7;
            Ok((0..=length).fold(0, |mask, step| mask | 1 << ((first + step) % 7)))
        }
    }
}

fn day(text: &str) -> Option<u8> {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let text = text.trim();
    DAYS.iter().position(|name| text.len() >= 3 && name.starts_with(text)).map(|index| index as u8)
}

/// Reads `08:00-18:00` into minutes of the day.
pub(super) fn parse_hours(text: &str) -> Result<(u16, u16), String> {
    let bad = || format!("\"{text}\" is no span of hours like \"08:00-18:00\"");
    let (start, end) = text.split_once('-').ok_or_else(bad)?;
    let (start, end) = minute_of_day(start).zip(minute_of_day(end)).ok_or_else(bad)?;
    if start == DAY_MINUTES {
        return Err(format!("\"{text}\" starts at 24:00; write 00:00"));
    }
    if start == end {
        return Err(format!("\"{text}\" is empty; the whole day is \"00:00-24:00\""));
    }
    // An end at 00:00 is the end of the same day.
    Ok((start, if end == 0 { DAY_MINUTES } else { end }))
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |part: &str| part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || minutes.len() != 2 || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn schedule(days: &str, hours: &str, zone: &str) -> Schedule {
        Schedule {
            days: parse_days(days).unwrap(),
            windows: vec![parse_hours(hours).unwrap()],
            time_zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn utc(text: &str) -> Wall {
        Wall(text.parse::<Timestamp>().unwrap().as_nanosecond() as u64)
    }

    #[test]
    fn days_and_hours_are_read() {
        assert_eq!(parse_days("mon"), Ok(1));
        assert_eq!(parse_days("Sunday"), Ok(1 << 6));
        assert_eq!(parse_days("mon-fri"), Ok(0b001_1111));
        assert_eq!(parse_days("sat-mon"), Ok(0b110_0001));
        assert!(parse_days("mo").is_err() && parse_days("funday").is_err() && parse_days("").is_err());
        assert_eq!(parse_hours("08:00-18:00"), Ok((480, 1080)));
        assert_eq!(parse_hours("22:00-06:30"), Ok((1320, 390)));
        assert_eq!(parse_hours("00:00-24:00"), Ok((0, 1440)));
        assert_eq!(parse_hours("18:00-00:00"), Ok((1080, 1440)));
        for bad in
            ["8-18", "08:00", "25:00-26:00", "24:00-01:00", "08:60-09:00", "08:00-08:00", "-1:00-02:00"]
        {
            assert!(parse_hours(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_start_is_inside_and_the_end_is_outside() {
        let office = schedule("mon-fri", "08:00-18:00", "UTC");
        for (at, expected) in [
            ("2026-03-02T07:59:59Z", false),
            ("2026-03-02T08:00:00Z", true),
            ("2026-03-02T17:59:59Z", true),
            ("2026-03-02T18:00:00Z", false),
            ("2026-03-01T12:00:00Z", false), // a Sunday
        ] {
            assert_eq!(office.holds(utc(at)), expected, "{at}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_starts() {
        let night = schedule("fri", "22:00-06:00", "UTC");
        for (at, expected) in [
            ("2026-03-06T05:00:00Z", false), // Friday morning: Thursday's night
            ("2026-03-06T21:59:00Z", false),
            ("2026-03-06T22:00:00Z", true),
            ("2026-03-07T05:59:59Z", true), // Saturday morning
            ("2026-03-07T06:00:00Z", false),
            ("2026-03-07T23:00:00Z", false),
        ] {
            assert_eq!(night.holds(utc(at)), expected, "{at}");
        }
        let sunday = schedule("sun", "23:00-01:00", "UTC");
        assert!(sunday.holds(utc("2026-03-02T00:30:00Z")), "Monday follows Sunday");
    }

    #[test]
    fn time_zones_follow_daylight_saving() {
        let office = schedule("daily", "08:00-18:00", "Europe/Berlin");
        // CET (UTC+1) before 29 March 2026, CEST (UTC+2) after.
        assert!(!office.holds(utc("2026-03-28T06:30:00Z")));
        assert!(office.holds(utc("2026-03-28T07:00:00Z")));
        assert!(office.holds(utc("2026-03-29T06:00:00Z")));
        assert!(!office.holds(utc("2026-03-29T16:00:00Z")));
        // The weekday is the local one: Monday 00:30 in Auckland is Sunday in UTC.
        assert!(schedule("mon", "00:00-01:00", "Pacific/Auckland").holds(utc("2026-03-01T11:30:00Z")));
    }

    #[test]
    fn a_skipped_hour_never_comes_and_a_repeated_one_comes_twice() {
        let small_hours = schedule("daily", "02:00-03:00", "Europe/Berlin");
        // 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC.
        for minute in 0..180 {
            let at = Wall(utc("2026-03-29T00:00:00Z").0 + minute * 60_000_000_000);
            assert!(!small_hours.holds(at), "minute {minute}");
        }
        // 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
        let held = (0..240)
            .filter(|minute| small_hours.holds(Wall(utc("2026-10-24T23:00:00Z").0 + minute * 60_000_000_000)))
            .count();
        assert_eq!(held, 120);
    }
}
