//! Lines of strace(1).

use super::observed::Observed;
use crate::arch::Arch;

/// Parses one line. Returns whether it was in one of strace's formats.
///
/// Those are `name(arguments) = result`, its halves `<unfinished ...>` and `<... name resumed>`, and lines of `-c`'s
/// table. A process ID, such as `12` or `[pid 12]`, and a time may precede a syscall.
pub(super) fn line(text: &str, arch: Arch, observed: &mut Observed) -> bool {
    let (whole, text) = (text.trim(), after_prefix(text));
    if text.starts_with("+++ ") || text.starts_with("--- ") || text.starts_with("strace: ") {
        return true;
    }
    if let Some(rest) = text.strip_prefix("<... ") {
        // Its first half was counted.
        return rest.contains(" resumed>");
    }
    match text.split_once('(') {
        Some((name, rest))
            if is_name(name) && (rest.contains(" = ") || rest.ends_with("<unfinished ...>")) =>
        {
            let args: Vec<Option<u64>> = arguments(rest).map(number).collect();
            observed.add(arch, name, &args, 1);
            true
        }
        _ => row(whole, arch, observed),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The text after the process ID and the time.
fn after_prefix(text: &str) -> &str {
    let mut text = text.trim();
    if let Some((_, rest)) = text.strip_prefix("[pid").and_then(|rest| rest.split_once(']')) {
        text = rest.trim_start();
    }
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || b".:".contains(&byte));
    for _ in 0..2 {
        match text.split_once(' ') {
            Some((word, rest)) if is_number(word) => text = rest.trim_start(),
            _ => break,
        }
    }
    text
}

/// The arguments, split at commas outside of brackets and quotes.
fn arguments(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    let mut ended = false;
    text.split(move |c: char| {
        if ended {
            return false;
        }
        if quoted {
            (quoted, escaped) = (escaped || c != '"', !escaped && c == '\\');
            return false;
        }
        match c {
            '"' => quoted = true,
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                ended = true;
                return true;
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' => return depth == 0,
            _ => {}
        }
        false
    })
    .take(6)
}

/// A number as `-X raw` and `-X verbose` print it, decimal, octal or hexadecimal.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.split_once(" /*").map_or(text, |(number, _)| number.trim());
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    text.parse().ok().or_else(|| text.parse::<i64>().ok().map(i64::cast_unsigned))
}

/// A row of `strace -c`: share, seconds, microseconds a syscall, count, perhaps errors, name.
fn row(text: &str, arch: Arch, observed: &mut Observed) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["%", "time", ..] => true,
        [rule, ..] if rule.len() > 3 && rule.bytes().all(|byte| byte == b'-') => true,
        [share, .., "total"] if share.parse::<f64>().is_ok() => true,
        [share, seconds, _, count, rest @ ..]
            if share.parse::<f64>().is_ok()
                && seconds.parse::<f64>().is_ok()
                && matches!(rest.len(), 1 | 2) =>
        {
            match (count.parse(), rest.last()) {
                (Ok(count), Some(name)) if is_name(name) => {
                    observed.add(arch, name, &[], count);
                    true
                }
                _ => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A syscall, how often it was made, and its arguments.
    type Seen = (String, u64, Option<Vec<Vec<u32>>>);

    fn read(lines: &[&str]) -> Vec<Seen> {
        let mut observed = Observed::default();
        for text in lines {
            assert!(line(text, Arch::X86_64, &mut observed), "{text}");
        }
        let found = observed.syscalls();
        found
            .map(|(syscall, seen)| {
                let few = seen.few().map(|all| all.iter().cloned().collect());
                (syscall.name().to_owned(), seen.count, few)
            })
            .collect()
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        let one = |name: &str, few: Option<Vec<Vec<u32>>>| vec![(name.to_owned(), 1, few)];
        for (text, expected) in [
            ("read(3, \"a, b) = 5\", 4) = 4", one("read", None)),
            ("[pid  12] close(3)                = 0", one("close", None)),
            ("12 10:11:12.345 close(3) = -1 EBADF (Bad file descriptor)", one("close", None)),
            ("1700000000.123456 socket(0x2, 0x80001, 0) = 3", one("socket", Some(vec![vec![2, 0x80001, 0]]))),
            (
                "socket(0x2 /* AF_INET */, 0x1 /* SOCK_STREAM */, 0 /* IPPROTO_IP */) = 3",
                one("socket", Some(vec![vec![2, 1, 0]])),
            ),
            ("socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3", one("socket", None)),
            ("prctl(0x26, 1, 0 <unfinished ...>", one("prctl", Some(vec![vec![0x26]]))),
            ("ioctl(1, 0x5401, {c_iflag=0x4500, c_line=0}) = 0", one("ioctl", Some(vec![vec![0x5401]]))),
            ("exit_group(0)                           = ?", one("exit_group", None)),
            (
                "[pid 2968594] 16:46:16 syscall_0x1b5(0x6, 0x55f30681c180, 0x7ffdc8e34730, 0x18, 0, 0) = -1 EPERM (Operation not permitted) <0.000012>",
                one("openat2", None),
            ),
            ("<... read resumed>\"x\", 1) = 1", Vec::new()),
            ("+++ exited with 0 +++", Vec::new()),
            ("--- SIGCHLD {si_signo=SIGCHLD} ---", Vec::new()),
            ("% time     seconds  usecs/call     calls    errors syscall", Vec::new()),
            ("------ ----------- ----------- --------- --------- ----------------", Vec::new()),
            (
                "  0.00    0.000000           0         7         2 openat",
                vec![("openat".to_owned(), 7, None)],
            ),
            ("100.00    0.000100                    34         3 total", Vec::new()),
        ] {
            assert_eq!(read(&[text]), expected, "{text}");
        }
        let mut observed = Observed::default();
        for text in ["hello", "f(x", "Usage: read(3)", "{\"a\": 1}"] {
            assert!(!line(text, Arch::X86_64, &mut observed), "{text}");
        }
    }

    #[test]
    fn arguments_that_differ_in_form_are_any() {
        let lines = ["socket(0x1, 0x1, 0) = 3", "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3"];
        assert_eq!(read(&lines), [("socket".to_owned(), 2, None)]);
    }
}
