//! Flags before the verb, as in `oc -n shop get pods`: kubectl and oc accept connection flags there too.

use std::ffi::{OsStr, OsString};

/// Connection flags that are followed by a value, unless it is written with `=`.
const WITH_VALUE: [&str; 9] =
    ["--kubeconfig", "--context", "-n", "--namespace", "-s", "--server", "--token", "--as", "--as-group"];

const ALONE: &str = "--insecure-skip-tls-verify";

/// Moves such flags to the end, where every verb accepts them, or to before `--`.
pub(crate) fn moved(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut all: Vec<OsString> = arguments.next().into_iter().collect();
    let mut flags = Vec::new();
    let mut rest: Vec<OsString> = Vec::new();
    while let Some(argument) = arguments.next() {
        match kind(&argument) {
            Some(true) => flags.extend([Some(argument), arguments.next()].into_iter().flatten()),
            Some(false) => flags.push(argument),
            None => {
                rest.push(argument);
                rest.extend(arguments);
                break;
            }
        }
    }
    let end = rest.iter().position(|argument| argument == "--").unwrap_or(rest.len());
    let tail = rest.split_off(end);
    all.extend(rest);
    all.extend(flags);
    all.extend(tail);
    all
}

/// Whether an argument is such a flag, and then whether its value is the next argument.
fn kind(argument: &OsStr) -> Option<bool> {
    let text = argument.to_str()?;
    if WITH_VALUE.contains(&text) {
        return Some(true);
    }
    let is_joined = text.split_once('=').is_some_and(|(name, _)| name == ALONE || WITH_VALUE.contains(&name));
    // `-nshop`, as short flags may be written.
    let is_short = ["-n", "-s"].iter().any(|flag| text.starts_with(flag) && text.len() > flag.len());
    (text == ALONE || is_joined || is_short).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_connection_go_to_the_verb() {
        for (written, read) in [
            ("oc get pods -n a", "oc get pods -n a"),
            ("oc -n a get pods", "oc get pods -n a"),
            (
                "oc --namespace=a --kubeconfig k adm policy who-can use scc",
                "oc adm policy who-can use scc --namespace=a --kubeconfig k",
            ),
            ("oc -na --insecure-skip-tls-verify get pods", "oc get pods -na --insecure-skip-tls-verify"),
            ("oc -n a exec p -- ls -n", "oc exec p -n a -- ls -n"),
            ("oc --help", "oc --help"),
            ("oc -n", "oc -n"),
            ("oc", "oc"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            assert_eq!(moved(words(written)), words(read), "{written}");
        }
    }
}
