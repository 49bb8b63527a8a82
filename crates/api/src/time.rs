//! Times in the API's formats.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// Seconds and nanoseconds since 1970 as RFC 3339, to the second or the microsecond.
pub fn format(seconds: i64, nanos: i64, micros: bool) -> Option<String> {
    let time = Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()?;
    let printer = DateTimePrinter::new().precision(Some(if micros { 6 } else { 0 }));
    Some(printer.timestamp_to_string(&time))
}

/// RFC 3339 as seconds and nanoseconds since 1970.
pub fn parse(text: &str) -> Option<(i64, i64)> {
    let time: Timestamp = text.parse().ok()?;
    Some((time.as_second(), i64::from(time.subsec_nanosecond())))
}

/// The time since a time, in kubectl's format: `3m20s`, `5h`, `2d3h`.
pub fn age(text: &str, now: Timestamp) -> String {
    let Some((then, _)) = parse(text) else { return "<unknown>".to_owned() };
    palisade_k8s::age(now.as_second() - then)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        let now = Timestamp::new(1_700_000_200, 0).unwrap();
        assert_eq!(age("2023-11-14T22:13:20Z", now), "3m20s");
        assert_eq!(age("then", now), "<unknown>");
        assert_eq!(format(1_700_000_000, 0, false).unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(format(1_700_000_000, 5000, true).unwrap(), "2023-11-14T22:13:20.000005Z");
        assert_eq!(parse("2023-11-14T22:13:20Z").unwrap(), (1_700_000_000, 0));
    }
}
