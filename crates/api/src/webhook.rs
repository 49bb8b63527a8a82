//! Messages between an API server and webhooks: [`review`]s of admission and [`conversion`]s of custom resources. They are sent by
//! `palisade-hooks`.

pub mod conversion;
pub mod review;

use crate::weight;

/// Size of what a failed request repeats of an answer, in bytes.
const FAILURE: usize = 4 << 10;

/// The beginning of a text of some size at most, in bytes, marked if that is not all.
fn cut(text: &str, most: usize) -> String {
    match text.len() <= most {
        true => text.to_owned(),
        false => format!(
            "{}... ({} bytes in all)",
            text.get(..text.floor_char_boundary(most)).unwrap_or_default(),
            text.len()
        ),
    }
}

/// The cause of a failed request to a webhook, cut to 4 KiB, since it may repeat an answer.
pub fn brief(why: &str) -> String {
    cut(why, FAILURE)
}

/// Refuses JSON whose values would take more memory than an object may: a few bytes of text can be hundreds in memory.
fn check_weight(bytes: &[u8], most: usize) -> Result<(), &'static str> {
    if weight::of_json(bytes) > most { Err("holds too many values") } else { Ok(()) }
}
