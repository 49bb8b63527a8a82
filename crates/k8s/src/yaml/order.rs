//! The order of keys.

use std::cmp::Ordering;

/// Compares keys as the Go library does: numbers in them by their value, letters after all other characters.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (Some(&x), Some(&y)) = (a.get(at), b.get(at)) else { return Ordering::Equal };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero counts where a number has begun before it.
    let has_begun = (x == '0' || y == '0')
        && a.iter().take(at).rev().take_while(|c| c.is_numeric()).any(|digit| *digit != '0');
    let number = |letters: &[char]| {
        let digits = letters.iter().skip(at).take_while(|c| c.is_ascii_digit());
        let start = (u128::from(has_begun), 0);
        digits.fold(start, |(number, count), digit| {
            let digit = u128::from(digit.to_digit(10).unwrap_or_default());
            (number.saturating_mul(10).saturating_add(digit), count + 1)
        })
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_keys_are_compared_by_value() {
        let mut keys = ["k10", "k2", "a", "B", "k1", "a1", "a-1", "_"];
        keys.sort_by(|a, b| order(a, b));
        assert_eq!(keys, ["_", "B", "a", "a-1", "a1", "k1", "k2", "k10"]);
    }
}
