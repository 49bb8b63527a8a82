//! Warnings for the users of a client.

/// The longest warning in bytes; API servers cut warnings at 256 characters a line, 4096 in all.
const MAX_WARNING: usize = 1024;

/// The text, cut if it is too long for a warning.
pub(crate) fn shortened(text: &str) -> String {
    if text.len() <= MAX_WARNING {
        return text.to_owned();
    }
    let end = (0..=MAX_WARNING).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.chars().take(text.get(..end).map_or(0, |text| text.chars().count())).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "é".repeat(MAX_WARNING);
        let cut = shortened(&long);
        assert!(cut.ends_with("é…") && cut.len() <= MAX_WARNING + "…".len(), "{}", cut.len());
    }
}
