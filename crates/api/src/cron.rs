//! Schedules of CronJobs.
//!
//! The syntax is that of `github.com/robfig/cron/v3`, `ParseStandard`: five fields or a descriptor such as `@daily`; if
//! both days are restricted, either matches. Times that a change of the clock skips are left out, those that it repeats
//! occur twice.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// A schedule in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    form: Form,
    zone: TimeZone,
}

#[derive(Clone, Debug)]
enum Form {
    Fields(Box<[Field; 5]>),
    /// Seconds between two times.
    Every(i64),
}

/// The values that match a field, each a bit.
#[derive(Clone, Copy, Debug, Default)]
struct Field {
    bits: u64,
    /// Whether the field begins with `*` or `?`, and restricts nothing.
    is_any: bool,
}

impl Field {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits >> number.min(63) & 1 == 1)
    }
}

/// An error in a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Five fields are expected.
    #[error("expected exactly 5 fields, found {0}")]
    Fields(usize),
    /// An `@` is followed by an unknown name.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    /// The duration after `@every` cannot be read.
    #[error("failed to parse duration {0}")]
    Duration(String),
    /// A part of a field is neither a number nor a name.
    #[error("failed to parse int from {0}")]
    Number(String),
    /// A range has too many parts.
    #[error("too many hyphens or slashes: {0}")]
    Parts(String),
    /// A range lies outside of its field's bounds, or is empty.
    #[error("range {0} is not within {1}-{2}")]
    Bounds(String, u32, u32),
    /// A step of zero.
    #[error("step of range should be a positive number: {0}")]
    Step(String),
    /// A time zone in the schedule.
    #[error("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")]
    Zone,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The bounds of each field, and the names of its values.
const FIELDS: [(u32, u32, &[&str]); 5] =
    [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, &MONTHS), (0, 6, &DAYS)];
/// Years after which a schedule is taken never to match, such as the 30th of February.
const YEARS: i16 = 5;

/// A time zone by its name in the IANA database, case-sensitive.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name))
}

impl Schedule {
    /// Parses a schedule.
    ///
    /// # Errors
    ///
    /// The text is not a schedule.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, ScheduleError> {
        if text.contains("TZ") {
            return Err(ScheduleError::Zone);
        }
        let form = match text.strip_prefix('@') {
            Some(name) => match name.strip_prefix("every ") {
                Some(duration) => Form::Every(seconds(duration)?),
                None => Form::Fields(fields(named(name)?)?),
            },
            None => Form::Fields(fields(text)?),
        };
        Ok(Self { form, zone })
    }

    /// The first time after another.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.form {
            Form::Every(seconds) => Timestamp::from_second(after.as_second().checked_add(*seconds)?).ok(),
            Form::Fields(fields) => self.search(fields, minute(after, 1)?, None, Way::Forth),
        }
    }

    /// The last time up to another, if it is later than a third.
    #[must_use]
    pub fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        match &self.form {
            Form::Every(seconds) => {
                let times = (until.as_second() - after.as_second()) / seconds;
                let last = after.as_second() + times.checked_mul(*seconds)?;
                Timestamp::from_second(last).ok().filter(|_| times > 0)
            }
            Form::Fields(fields) => {
                let found = self.search(fields, minute(until, 0)?, Some(after), Way::Back);
                found.filter(|found| *found > after)
            }
        }
    }

    /// A time as it is in the schedule's zone, as RFC 3339 writes it.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        at.display_with_offset(self.zone.to_offset(at)).to_string().replace("+00:00", "Z")
    }

    fn search(
        &self,
        fields: &[Field; 5],
        from: Timestamp,
        floor: Option<Timestamp>,
        way: Way,
    ) -> Option<Timestamp> {
        if fields.iter().any(|field| field.bits == 0) {
            return None;
        }
        let [minutes, hours, days, months, weekdays] = *fields;
        let mut at = from.to_zoned(self.zone.clone());
        let first = at.year();
        while (at.year() - first).abs() <= YEARS && floor.is_none_or(|floor| at.timestamp() > floor) {
            let (of_month, of_week) =
                (days.has(at.day()), weekdays.has(at.weekday().to_sunday_zero_offset()));
            let is_day =
                if days.is_any || weekdays.is_any { of_month && of_week } else { of_month || of_week };
            at = if !months.has(at.month()) {
                let month = at.date().first_of_month();
                self.edge(
                    if way == Way::Forth { month.checked_add(Span::new().months(1)).ok()? } else { month },
                    way,
                )?
            } else if !is_day {
                self.edge(if way == Way::Forth { at.date().tomorrow().ok()? } else { at.date() }, way)?
            } else if !hours.has(at.hour()) {
                step(&at, if way == Way::Forth { 60 - at.minute() } else { -1 - at.minute() })?
            } else if !minutes.has(at.minute()) {
                step(&at, if way == Way::Forth { 1 } else { -1 })?
            } else {
                return Some(at.timestamp());
            };
        }
        None
    }

    /// The first minute of a day, or the last before it.
    fn edge(&self, day: Date, way: Way) -> Option<Zoned> {
        let start = day.to_zoned(self.zone.clone()).ok()?;
        if way == Way::Forth { Some(start) } else { step(&start, -1) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forth,
    Back,
}

fn step(at: &Zoned, minutes: i8) -> Option<Zoned> {
    at.checked_add(Span::new().minutes(minutes)).ok()
}

/// The start of a time's minute, or of the next one.
fn minute(at: Timestamp, later: i64) -> Option<Timestamp> {
    Timestamp::from_second((at.as_second().div_euclid(60) + later) * 60).ok()
}

fn named(name: &str) -> Result<&'static str, ScheduleError> {
    Ok(match name {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        _ => return Err(ScheduleError::Descriptor(format!("@{name}"))),
    })
}

fn fields(text: &str) -> Result<Box<[Field; 5]>, ScheduleError> {
    let found = text.split_whitespace().count();
    if found != FIELDS.len() {
        return Err(ScheduleError::Fields(found));
    }
    let mut fields = Box::new([Field::default(); 5]);
    for ((field, text), (least, most, names)) in fields.iter_mut().zip(text.split_whitespace()).zip(FIELDS) {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let one = range(part, least, most, names)?;
            field.bits |= one.bits;
            field.is_any |= one.is_any;
        }
    }
    Ok(fields)
}

fn range(text: &str, least: u32, most: u32, names: &[&str]) -> Result<Field, ScheduleError> {
    let (numbers, by) = match text.split_once('/') {
        Some((numbers, by)) => (numbers, Some(by)),
        None => (text, None),
    };
    let (low, high) = match numbers.split_once('-') {
        Some((low, high)) => (low, Some(high)),
        None => (numbers, None),
    };
    if by.is_some_and(|by| by.contains('/')) || high.is_some_and(|high| high.contains('-')) {
        return Err(ScheduleError::Parts(text.to_owned()));
    }
    let by = by.map(|by| number(by, 0, &[])).transpose()?;
    let is_star = matches!(low, "*" | "?");
    let (start, end) = match (is_star, high) {
        (true, _) => (least, most),
        (false, Some(high)) => (number(low, least, names)?, number(high, least, names)?),
        (false, None) => {
            let start = number(low, least, names)?;
            (start, if by.is_some() { most } else { start })
        }
    };
    // A step after a single number extends to the end of the field.
    let step = by.unwrap_or(1);
    if start < least || end > most || start > end {
        return Err(ScheduleError::Bounds(text.to_owned(), least, most));
    }
    if step == 0 {
        return Err(ScheduleError::Step(text.to_owned()));
    }
    let bits = (start..=end).step_by(step as usize).fold(0, |bits, number| bits | 1 << number);
    Ok(Field { bits, is_any: is_star && step == 1 })
}

/// A number, by its digits or its name.
fn number(text: &str, first: u32, names: &[&str]) -> Result<u32, ScheduleError> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + first);
    named.or_else(|| text.parse().ok()).ok_or_else(|| ScheduleError::Number(text.to_owned()))
}

/// The seconds of a duration in Go's syntax, one at least.
fn seconds(text: &str) -> Result<i64, ScheduleError> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
    ];
    /// Go counts nanoseconds in 63 bits.
    const MOST: f64 = 9_223_372_036.0;
    let refused = || ScheduleError::Duration(text.to_owned());
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(refused());
    }
    let mut total = 0.0;
    while !rest.is_empty() && rest != "0" {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, after) = rest.split_at(digits);
        let unit = UNITS.iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(refused)?;
        total += number.parse::<f64>().map_err(|_| refused())? * unit.1;
        rest = after.get(unit.0.len()..).unwrap_or_default();
    }
    if total > MOST {
        return Err(refused());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the total is bounded above")]
    Ok(((sign * total) as i64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str, place: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(text, zone(place).unwrap()).unwrap();
        let first = from.parse().unwrap();
        let all = std::iter::successors(schedule.next(first), |at| schedule.next(*at)).take(count);
        all.map(|at| schedule.local(at)).collect()
    }

    #[test]
    fn schedules_have_the_times_that_they_name() {
        // The expected times are those of robfig/cron 3.0.1.
        let cases: [(&str, &str, &str, &[&str]); 12] = [
            (
                "*/15 * * * *",
                "UTC",
                "2026-01-01T00:07:30Z",
                &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"],
            ),
            ("0 0 13 * 5", "UTC", "2026-02-01T00:00:00Z", &["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"]),
            (
                "0 0 */13 * 5",
                "UTC",
                "2026-02-01T00:00:00Z",
                &["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-14T00:00:00Z"],
            ),
            ("0 0 */1 * 5", "UTC", "2026-02-01T00:00:00Z", &["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"]),
            ("0 0 29 FEB ?", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]),
            ("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", &[]),
            (", * * * *", "UTC", "2026-01-01T00:00:00Z", &[]),
            (
                "5/20 22-23 * * Mon-Tue",
                "UTC",
                "2026-01-01T00:00:00Z",
                &["2026-01-05T22:05:00Z", "2026-01-05T22:25:00Z"],
            ),
            ("@monthly", "Europe/Berlin", "2026-01-15T00:00:00Z", &["2026-02-01T00:00:00+01:00"]),
            ("@every 1h30m", "UTC", "2026-01-01T00:00:10Z", &["2026-01-01T01:30:10Z"]),
            // The skipped hour in spring, and the repeated one in autumn.
            ("30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", &["2026-03-09T02:30:00-04:00"]),
            (
                "30 1 1 11 *",
                "America/New_York",
                "2026-10-31T12:00:00Z",
                &["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"],
            ),
        ];
        for (text, place, from, expected) in cases {
            assert_eq!(times(text, place, from, expected.len().max(1)), expected, "{text}");
        }
    }

    #[test]
    fn the_latest_time_is_that_of_the_search_forward() {
        let cases = ["*/7 3,4 * * *", "0 0 1 * 1", "@weekly", "30 6-16/4 * * 1-5", "59 23 28-31 * ?"];
        for (text, place) in cases.iter().flat_map(|text| [(text, "UTC"), (text, "America/New_York")]) {
            let schedule = Schedule::parse(text, zone(place).unwrap()).unwrap();
            let from: Timestamp = "2026-02-20T10:11:12Z".parse().unwrap();
            let mut at = from;
            for _ in 0..300 {
                let next = schedule.next(at).unwrap();
                let just_before = Timestamp::from_second(next.as_second() - 1).unwrap();
                assert_eq!(schedule.latest(from, next), Some(next), "{text}");
                assert_eq!(schedule.latest(from, just_before), (at > from).then_some(at), "{text}");
                at = next;
            }
        }
        let every = Schedule::parse("@every 40s", TimeZone::UTC).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(every.latest(at(0), at(39)), None);
        assert_eq!(every.latest(at(0), at(125)), Some(at(120)));
    }

    #[test]
    fn invalid_schedules_are_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "-1 * * * *",
            "@",
            "@often",
            "@every ",
            "@every 5",
            "@every 5x",
            "@every 99999999999h",
            "TZ=UTC * * * * *",
            "4294967296 * * * *",
        ] {
            assert!(Schedule::parse(text, TimeZone::UTC).is_err(), "{text}");
        }
        for name in ["", "Local", "utc", "Mars/Base", "../etc/passwd"] {
            assert!(zone(name).is_none(), "{name}");
        }
    }
}
