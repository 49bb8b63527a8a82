//! Numbers of pods, or percentages of them (`IntOrString`), as `pkg/apis/apps/validation/validation.go` checks them.

use palisade_k8s::FieldError;

use super::at::At;

/// Errors of a field that is a number, zero at least, or a percentage.
pub(super) fn errors(field: &At<'_>) -> Option<FieldError> {
    match field.value()?.as_str() {
        Some(_) => percent(field).is_none().then(|| {
            field.invalid(
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex \
                 used for validation is '[0-9]+%')",
            )
        }),
        None => field.outside(0..=i64::MAX),
    }
}

/// As [`errors`], and whether a percentage exceeds 100.
pub(super) fn errors_up_to_all(field: &At<'_>) -> impl Iterator<Item = FieldError> {
    let is_more = percent(field).is_some_and(|percent| percent > 100);
    let more = is_more.then(|| field.invalid("must not be greater than 100%"));
    errors(field).into_iter().chain(more)
}

/// A percentage. Digits are not limited: a number that is too large becomes the largest.
fn percent(field: &At<'_>) -> Option<u64> {
    let digits = field.text().strip_suffix('%')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether the number or percentage is zero.
pub(super) fn is_none(field: &At<'_>) -> bool {
    percent(field).map_or_else(|| field.number() == Some(0), |percent| percent == 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn portions_are_numbers_or_percentages() {
        let large = format!("{}%", "9".repeat(400));
        let cases = [
            (json!(0), 0, 0),
            (json!(2_147_483_647), 0, 0),
            (json!(-1), 1, 1),
            (json!("0%"), 0, 0),
            (json!("100%"), 0, 0),
            (json!("101%"), 0, 1),
            (json!("9223372036854775807%"), 0, 1),
            (json!(large), 0, 1),
            (json!("%"), 1, 1),
            (json!("+5%"), 1, 1),
            (json!("-5%"), 1, 1),
            (json!("5"), 1, 1),
            (json!("1.5%"), 1, 1),
            (json!("५%"), 1, 1),
            (json!(null), 0, 0),
        ];
        for (value, wrong, wrong_up_to_all) in cases {
            let object = json!({ "field": value });
            let field = At::root(&object, "field");
            assert_eq!(errors(&field).into_iter().count(), wrong, "{value}");
            assert_eq!(errors_up_to_all(&field).count(), wrong_up_to_all, "{value}");
        }
    }
}
