//! The values that plain strings have in YAML 1.1.

/// Words that YAML 1.1 reads as booleans, null or special floats.
const WORDS: [&str; 36] = [
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
];

/// Whether a plain string would be read as something else than a string.
pub(super) fn is_other(text: &str) -> bool {
    let is_negative_infinity = matches!(text, "-.inf" | "-.Inf" | "-.INF");
    if WORDS.contains(&text) || is_negative_infinity {
        return true;
    }
    let Some(first) = text.chars().next() else { return true };
    if !(first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return false;
    }
    let digits = text.replace('_', "");
    is_time(text) || is_sexagesimal(text) || (first != '.' && is_integer(&digits)) || is_float(&digits)
}

fn is_integer(text: &str) -> bool {
    let (is_negative, is_signed) = (text.starts_with('-'), text.starts_with(['-', '+']));
    let digits = if is_signed { text.get(1..).unwrap_or_default() } else { text };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match (lower.get(..2), lower.get(2..)) {
        (Some("0x"), Some(rest)) => (16, rest),
        (Some("0b"), Some(rest)) => (2, rest),
        (Some("0o"), Some(rest)) => (8, rest),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..).unwrap_or_default()),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return false;
    }
    match u128::from_str_radix(digits, radix) {
        Ok(number) if is_negative => number <= 1 << 63,
        Ok(number) if is_signed => number < 1 << 63,
        Ok(number) => number < 1 << 64,
        Err(_) => false,
    }
}

/// A sign, digits with a point, an exponent; each is optional.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        None => (text, "0"),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    is_digits(whole)
        && is_digits(fraction)
        && is_digits(exponent)
        && !exponent.is_empty()
        && !(whole.is_empty() && fraction.is_empty())
}

/// Digits, then groups of up to 59 after colons: base 60 of YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some((first, rest)) = text.split_once(':') else { return false };
    let (groups, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let is_group = |group: &str| matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    first.starts_with(|c: char| c.is_ascii_digit())
        && is_number(first)
        && is_number(fraction)
        && groups.split(':').all(is_group)
}

/// A date, or a date and a time: with `T` and a zone, or with a space and none.
fn is_time(text: &str) -> bool {
    let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let mut parts = date.split('-');
    let number = |part: Option<&str>| {
        let part = part.filter(|part| (1..=2).contains(&part.len()))?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u8>().ok())?
    };
    let year = parts.next().filter(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()));
    let (month, day) = (number(parts.next()), number(parts.next()));
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else { return false };
    year.parse().is_ok_and(|year| is_day(year, month, day))
        && match rest.split_at_checked(1) {
            None | Some(("", _)) => rest.is_empty(),
            Some((" ", time)) => is_clock(time),
            Some((_, time)) => {
                let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
                let (time, zone) = time.split_at_checked(zone).unwrap_or((time, ""));
                is_clock(time) && is_zone(zone)
            }
        }
}

/// Whether the Gregorian calendar has this day.
fn is_day(year: u16, month: u8, day: u8) -> bool {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_clock(text: &str) -> bool {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<Option<u8>> = time
        .split(':')
        .map(|part| part.parse().ok().filter(|_| part.len() <= 2 && !part.starts_with('+')))
        .collect();
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_fraction && matches!(parts.as_slice(), [Some(..24), Some(..60), Some(..60)])
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', tens, ones] => {
            hours.len() == 2 && hours.iter().chain([tens, ones]).all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_that_are_not_strings() {
        for text in [
            "",
            "~",
            "null",
            "y",
            "No",
            "ON",
            "true",
            ".inf",
            "-.Inf",
            ".NaN",
            "0",
            "-1",
            "+1",
            "1_000",
            "0x1F",
            "0b11",
            "0o17",
            "017",
            "18446744073709551615",
            "1.5",
            ".5",
            "1.",
            "1e3",
            "-1.5E-3",
            "1:30",
            "10:59:59",
            "2026-11-24",
            "2026-11-24T01:02:03Z",
            "2026-1-2 3:4:5",
            "2024-02-29",
        ] {
            assert!(is_other(text), "{text}");
        }
        for text in [
            "yess",
            "none",
            "1a",
            "0x",
            "0xg",
            "1:60",
            "1.2.3",
            "e3",
            "-",
            "+",
            ".",
            "--1",
            "2026-13-01",
            "2026-02-29",
            "2026-11-24T25:00:00Z",
            "1-2-3",
            "v1",
            "10.0.0.1",
        ] {
            assert!(!is_other(text), "{text}");
        }
    }
}
