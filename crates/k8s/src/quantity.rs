//! Quantities of Kubernetes: a decimal number with a suffix, as `500m` or `2Gi`.

/// The suffixes, by their factor in billionths.
const SUFFIXES: [(&str, i128); 16] = [
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("", BILLION),
    ("k", 1_000 * BILLION),
    ("M", 1_000_000 * BILLION),
    ("G", BILLION * BILLION),
    ("T", 1_000 * BILLION * BILLION),
    ("P", 1_000_000 * BILLION * BILLION),
    ("E", BILLION * BILLION * BILLION),
    ("Ki", BILLION << 10),
    ("Mi", BILLION << 20),
    ("Gi", BILLION << 30),
    ("Ti", BILLION << 40),
    ("Pi", BILLION << 50),
    ("Ei", BILLION << 60),
];

const BILLION: i128 = 1_000_000_000;

/// Whether a text is one.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    let Some((number, suffix)) = split(text) else { return false };
    let is_number = number.bytes().any(|b| b.is_ascii_digit()) && number.matches('.').count() <= 1;
    is_number && (SUFFIXES.iter().any(|(known, _)| *known == suffix) || exponent(suffix).is_some())
}

/// The quantity in billionths, for comparing; `None` for text that is not a quantity, and for one larger than any disk.
#[must_use]
pub fn billionths(text: &str) -> Option<i128> {
    let (number, suffix) = split(text).filter(|_| is_valid(text))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (factor, tens) = match SUFFIXES.iter().find(|(known, _)| *known == suffix) {
        Some((_, factor)) => (*factor, 0),
        None => (BILLION, exponent(suffix)?),
    };
    let value = scale(digits.checked_mul(factor)?, tens.checked_sub(places)?)?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// Times a power of ten; what is smaller than a billionth is rounded up, as Kubernetes does.
fn scale(value: i128, tens: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(tens.unsigned_abs());
    match tens >= 0 {
        true => value.checked_mul(power?),
        false => {
            Some(power.map_or(i128::from(value > 0), |power| value / power + i128::from(value % power > 0)))
        }
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    digits.split_at_checked(end)
}

fn exponent(suffix: &str) -> Option<i32> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let is_plain = !digits.strip_prefix(['+', '-']).unwrap_or(digits).is_empty();
    digits.parse().ok().filter(|_| is_plain)
}

/// An amount of billionths as Kubernetes writes one of `unit`'s kind: binary for what is counted in `Ki` and the like, in
/// thousandths for a fraction.
#[must_use]
pub fn written(amount: i128, like: &str) -> String {
    let suffix = split(like).map_or("", |(_, suffix)| suffix);
    let steps: &[&str] = match suffix {
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => &["Ei", "Pi", "Ti", "Gi", "Mi", "Ki", ""],
        _ => &["E", "P", "T", "G", "M", "k", "", "m", "u", "n"],
    };
    let factor =
        |step: &str| SUFFIXES.iter().find(|(known, _)| known == &step).map_or(1, |(_, factor)| *factor);
    let fitting = steps.iter().find(|step| amount != 0 && amount % factor(step) == 0);
    match fitting {
        Some(step) => format!("{}{step}", amount / factor(step)),
        None => (amount / BILLION).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_told_from_other_texts() {
        assert!(["1", "0.5", "500m", "2Gi", "1e3", "1E-3", "-1", ".5"].iter().all(|q| is_valid(q)));
        assert!(["", "Gi", "1.2.3", "1GiB", "e3", "1e", "x"].iter().all(|q| !is_valid(q)));
    }

    #[test]
    fn amounts_are_written_as_kubernetes_does() {
        let sum = |a: &str, b: &str| written(billionths(a).unwrap() + billionths(b).unwrap(), a);
        assert_eq!(sum("100m", "200m"), "300m");
        assert_eq!(sum("500m", "500m"), "1");
        assert_eq!(sum("64Mi", "64Mi"), "128Mi");
        assert_eq!(sum("512Mi", "512Mi"), "1Gi");
        assert_eq!(sum("1k", "500"), "1500");
        assert_eq!(sum("0", "0"), "0");
    }

    #[test]
    fn quantities_are_compared_by_what_they_are() {
        for (a, b) in
            [("1Gi", "1073741824"), ("1.5k", "1500"), ("1e3", "1k"), ("500m", "0.5"), ("1E", "1000P")]
        {
            assert_eq!(billionths(a), billionths(b), "{a} {b}");
        }
        for (less, more) in
            [("1G", "1Gi"), ("999m", "1"), ("-1", "0"), ("0", "0.0000000001"), ("10Mi", "1Gi")]
        {
            assert!(billionths(less) < billionths(more), "{less} {more}");
        }
        assert_eq!([billionths("x"), billionths("1e99"), billionths("1e-99")], [None, None, Some(1)]);
    }
}
