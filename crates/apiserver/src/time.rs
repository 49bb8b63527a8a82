//! Times as the API writes them.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// Now, to the second.
pub(crate) fn now() -> String {
    let now = Timestamp::now().as_second();
    format(now, 0, false).unwrap_or_default()
}

/// Seconds and nanoseconds since 1970 as RFC 3339, to the second or the microsecond.
pub(crate) fn format(seconds: i64, nanos: i64, micros: bool) -> Option<String> {
    let time = Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()?;
    let printer = DateTimePrinter::new().precision(Some(if micros { 6 } else { 0 }));
    Some(printer.timestamp_to_string(&time))
}

/// RFC 3339 as seconds and nanoseconds since 1970.
pub(crate) fn parse(text: &str) -> Option<(i64, i64)> {
    let time: Timestamp = text.parse().ok()?;
    Some((time.as_second(), i64::from(time.subsec_nanosecond())))
}

/// How long ago a time was, as kubectl says it: `3m20s`, `5h`, `2d3h`.
pub(crate) fn age(text: &str) -> String {
    let Some((then, _)) = parse(text) else { return "<unknown>".to_owned() };
    duration(Timestamp::now().as_second() - then)
}

/// Seconds as kubectl says them.
pub(crate) fn duration(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{small_unit}"),
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (600, "10m"),
            (10_740, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (100_000, "27h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (700_000, "8d"),
            (63_072_000, "2y"),
            (-5, "<invalid>"),
        ];
        for (seconds, said) in cases {
            assert_eq!(duration(seconds), said, "{seconds}");
        }
    }

    #[test]
    fn times_go_there_and_back() {
        assert_eq!(format(1_700_000_000, 0, false).unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(format(1_700_000_000, 5000, true).unwrap(), "2023-11-14T22:13:20.000005Z");
        assert_eq!(parse("2023-11-14T22:13:20Z").unwrap(), (1_700_000_000, 0));
    }
}
