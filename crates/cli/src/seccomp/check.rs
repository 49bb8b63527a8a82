//! `palisade seccomp check`.

use std::io::Write;

use serde_json::json;

use super::args::{CheckArgs, TextOrJson};
use crate::exit::Exit;

/// A check of this kernel and its result.
struct Answer {
    question: &'static str,
    good: bool,
    /// Whether seccomp is useless without it.
    needed: bool,
    detail: String,
}

pub(super) fn run(args: &CheckArgs) -> crate::Outcome {
    let answers = answers();
    let usable = answers.iter().all(|answer| answer.good || !answer.needed);
    let mut out = palisade_console::terminal::out();
    match args.output {
        TextOrJson::Json => {
            let list = answers.iter().map(|answer| {
                json!({"question": answer.question, "good": answer.good, "needed": answer.needed, "detail": answer.detail})
            });
            writeln!(out, "{:#}", json!({"usable": usable, "answers": list.collect::<Vec<_>>()}))?;
        }
        TextOrJson::Text => {
            for answer in &answers {
                let mark = match (answer.good, answer.needed) {
                    (true, _) => crate::paint::good("yes    "),
                    (false, true) => crate::paint::error("missing"),
                    (false, false) => crate::paint::warning("no     "),
                };
                writeln!(out, "{mark}  {:<28} {}", answer.question, answer.detail)?;
            }
            let verdict = if usable {
                "Profiles work on this machine."
            } else {
                "Profiles do not work on this machine."
            };
            writeln!(out, "{verdict}")?;
        }
    }
    Ok(if usable { Exit::Fine } else { Exit::Findings })
}

#[cfg(not(target_os = "linux"))]
fn answers() -> Vec<Answer> {
    let detail = "this is not Linux; profiles can still be compiled, explained and compared here".to_owned();
    vec![Answer { question: "seccomp", good: false, needed: true, detail }]
}

#[cfg(target_os = "linux")]
fn answers() -> Vec<Answer> {
    use palisade_sys::seccomp;
    let (mode, filter) = seccomp::is_built_in();
    let mut answers = vec![
        config("CONFIG_SECCOMP", mode),
        config("CONFIG_SECCOMP_FILTER", filter),
        Answer {
            question: "architecture",
            good: palisade_seccomp::Arch::parse(std::env::consts::ARCH).is_some(),
            needed: true,
            detail: std::env::consts::ARCH.to_owned(),
        },
    ];
    for feature in seccomp::actions() {
        let needed = ["ERRNO", "ALLOW", "KILL_THREAD"].contains(&feature.name);
        answers.push(Answer {
            question: "action",
            good: feature.available,
            needed,
            detail: feature.name.to_owned(),
        });
    }
    for feature in seccomp::flags() {
        answers.push(Answer {
            question: "flag",
            good: feature.available,
            needed: false,
            detail: feature.name.to_owned(),
        });
    }
    answers.push(cache());
    answers.push(logged());
    answers.push(status());
    answers
}

/// The kernel's own report if it can be read, else its behaviour.
#[cfg(target_os = "linux")]
fn config(option: &'static str, works: bool) -> Answer {
    let release = release();
    let paths = [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")];
    let written = paths.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(&format!("{option}=")))?;
        Some(format!("{line} in {path}"))
    });
    let detail = written.unwrap_or_else(|| match works {
        true => "by prctl(2); the kernel's configuration is not on this machine".to_owned(),
        false => "prctl(2) does not support it: a kernel built with this option is needed".to_owned(),
    });
    Answer { question: option, good: works, needed: true, detail }
}

#[cfg(target_os = "linux")]
fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The cache came with 5.11 and cannot be queried.
#[cfg(target_os = "linux")]
fn cache() -> Answer {
    use palisade_k8s::KernelVersion;
    let kernel: Option<KernelVersion> = release().parse().ok();
    let good = kernel.is_some_and(|kernel| kernel >= KernelVersion::new(5, 11));
    let detail = match good {
        true => "syscalls that are always allowed run no filter".to_owned(),
        false => "every syscall runs the filter; kernels from 5.11 remember those that are always allowed"
            .to_owned(),
    };
    Answer { question: "cache of constant answers", good, needed: false, detail }
}

#[cfg(target_os = "linux")]
fn logged() -> Answer {
    let file = "/proc/sys/kernel/seccomp/actions_logged";
    let text = std::fs::read_to_string(file).unwrap_or_default();
    Answer {
        question: "logged actions",
        good: !text.is_empty(),
        needed: false,
        detail: text.trim().to_owned(),
    }
}

/// The seccomp mode of this process.
#[cfg(target_os = "linux")]
fn status() -> Answer {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = text.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim).unwrap_or("?");
    let detail = match mode {
        "0" => "this process runs under no filter",
        "2" => "this process runs under a filter itself, which counts too",
        _ => "unknown: /proc is not readable",
    };
    Answer { question: "this process", good: mode != "?", needed: false, detail: detail.to_owned() }
}
