//! The values of plain scalars, by the rules of the YAML library of `kubectl`.

use serde_json::Number;

use super::NodeValue;

/// The value of a plain (unquoted) scalar, or why it has none in JSON.
pub(super) fn resolve(text: &str) -> Result<NodeValue, &'static str> {
    if let Some(constant) = constant(text) {
        return Ok(constant);
    }
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return Err("JSON has no infinity; quote it if it is meant as text");
        }
        ".nan" | ".NaN" | ".NAN" => return Err("JSON has no NaN; quote it if it is meant as text"),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Ok(NodeValue::String(text.to_owned()));
    }
    if let Some(number) = integer(&text.replace('_', "")) {
        return Ok(NodeValue::Number(number));
    }
    if is_float(text) {
        let number = text.parse::<f64>().ok().and_then(Number::from_f64);
        return number.map(NodeValue::Number).ok_or("the number is too large");
    }
    Ok(NodeValue::String(text.to_owned()))
}

/// The text of a map key that is not quoted: JSON keys are strings, so a key that reads as another
/// type is written as `kubectl` writes it.
pub(super) fn key(text: &str) -> String {
    match resolve(text) {
        Ok(NodeValue::Bool(value)) => value.to_string(),
        Ok(NodeValue::Number(value)) => whole(value).to_string(),
        Ok(NodeValue::Null) => "null".to_owned(),
        _ => text.to_owned(),
    }
}

fn constant(text: &str) -> Option<NodeValue> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            NodeValue::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            NodeValue::Bool(false)
        }
        _ => return None,
    })
}

/// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = if let Some(hex) = digits.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        (2, binary)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits)
    } else {
        (10, digits)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0_i64.checked_sub_unsigned(magnitude).map(Number::from)
    } else {
        Some(Number::from(magnitude))
    }
}

/// A whole float as an integer, as Go writes it into the JSON that `kubectl` sends: Helm renders 1000650000 as 1.00065e+09.
pub(super) fn whole(number: Number) -> Number {
    let float = number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0);
    let whole = float.and_then(|value| format!("{value:.0}").parse::<i64>().ok());
    whole.map_or(number, Number::from)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent_fits =
        exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            (digits(whole) && (fraction.is_empty() || digits(fraction)))
                || (whole.is_empty() && digits(fraction))
        }
        None => digits(mantissa),
    };
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn whole_floats_are_integers() {
        for (float, expected) in [(1.00065e9, "1000650000"), (-3e1, "-30"), (1.5, "1.5"), (1e30, "1e+30")] {
            assert_eq!(whole(Number::from_f64(float).unwrap()).to_string(), expected);
        }
        assert_eq!(key("1e3"), "1000");
    }

    #[test]
    fn resolves_as_kubectl_does() {
        let cases: &[(&str, Value)] = &[
            ("", Value::Null),
            ("~", Value::Null),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("n", json!(false)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("-5", json!(-5)),
            ("+5", json!(5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1e3", json!(1000.0)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("08", json!(8.0)),
            ("1.2.3", json!("1.2.3")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            ("-", json!("-")),
            ("--5", json!("--5")),
            ("s0:c1,c0", json!("s0:c1,c0")),
            ("NaN", json!("NaN")),
        ];
        for (text, expected) in cases {
            let node = super::super::Node { at: Default::default(), value: resolve(text).unwrap() };
            assert_eq!(node.to_json(), *expected, "{text}");
        }
        assert!(resolve(".nan").is_err() && resolve("-.inf").is_err() && resolve("1e999").is_err());
    }
}
