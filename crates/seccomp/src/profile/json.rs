//! JSON as parsed by Go's `encoding/json`, which every runtime but crun and youki uses for profiles.

use palisade_k8s::manifest::{self, Node, Position, ReadError};

/// Parses one JSON value; the error has the position of the first invalid text, and the text.
pub(crate) fn read(text: &str) -> Result<Node, ReadError> {
    if text.starts_with('\u{feff}') {
        let message = "a byte order mark stands before the JSON, which runtimes refuse; save the file as UTF-8 without it";
        return Err(ReadError { position: Position { line: 1, column: 1 }, message: message.to_owned() });
    }
    serde_json::from_str::<serde_json::Value>(text).map_err(|error| refusal(text, &error))?;
    let documents = manifest::read_json(text)?;
    let start = Position { line: 1, column: 1 };
    let empty = || ReadError { position: start, message: "a JSON value is expected".to_owned() };
    documents.into_iter().next().ok_or_else(empty)
}

fn refusal(text: &str, error: &serde_json::Error) -> ReadError {
    let position = Position { line: error.line().max(1), column: error.column().max(1) };
    let line = text.lines().nth(position.line - 1).unwrap_or_default();
    let here = line.as_bytes().get(position.column - 1).copied();
    // Every message ends with the position, which is reported already.
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or(&said);
    let message = match here {
        Some(b'#' | b'/') => {
            "JSON has no comments, and runtimes refuse them; the field `comment` of an entry is for people"
                .to_owned()
        }
        _ if error.is_eof() => format!("the file ends in the middle of a value ({said})"),
        _ if said == "trailing comma" => {
            "a comma stands before the end of a list or object, which JSON does not have and runtimes refuse"
                .to_owned()
        }
        _ => format!("not JSON, so that runtimes refuse it: {said}"),
    };
    ReadError { position, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_refuse_is_refused_where_it_stands() {
        let cases = [
            ("{\"a\": [1, 2]}", None),
            ("{\"a\": 1,\n \"b\": [1,]}", Some((2, 10, "comma"))),
            ("{\"a\": 1, # base\n \"b\": 2}", Some((1, 10, "no comments"))),
            ("{\"a\": 1, // base\n \"b\": 2}", Some((1, 10, "no comments"))),
            ("\u{feff}{}", Some((1, 1, "byte order mark"))),
            ("{\"a\": n\"b\": 1}", Some((1, 8, "not JSON"))),
            ("{\"a\": [", Some((1, 7, "ends in the middle"))),
            ("{a: 1}", Some((1, 2, "not JSON"))),
            ("{} {}", Some((1, 4, "not JSON"))),
            ("", Some((1, 1, "ends in the middle"))),
            ("{'a': 1}", Some((1, 2, "not JSON"))),
            ("{\"a\": 0x10}", Some((1, 8, "not JSON"))),
        ];
        for (text, refused) in cases {
            let got = read(text).err().map(|e| (e.position.line, e.position.column, e.message));
            match (&got, refused) {
                (None, None) => {}
                (Some((line, column, message)), Some((l, c, words))) => {
                    assert_eq!((*line, *column), (l, c), "{text:?}: {message}");
                    assert!(message.contains(words), "{text:?}: {message}");
                }
                _ => panic!("{text:?}: {got:?}"),
            }
        }
    }
}
