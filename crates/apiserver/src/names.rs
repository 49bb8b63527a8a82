//! Generated names.

/// A base and five random consonants or digits, which form no words.
pub(crate) fn random_name(base: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let kept: String = base.chars().take(58).collect();
    let random = uuid::Uuid::new_v4();
    let letters =
        random.as_bytes().iter().take(5).filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()));
    kept + &letters.map(|letter| char::from(*letter)).collect::<String>()
}
