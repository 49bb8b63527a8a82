//! Recordings of every known format.

use serde_json::Value;

use super::Recording;
use super::observed::{Observed, selectors};
use super::strace;
use crate::arch::{Arch, X32_BIT};
use crate::profile::{Entry, Profile};
use crate::rule::Operator;
use crate::source::{self, Content, Syntax};

/// The reason why a text is not a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No line is in a known format.
    #[error(
        "no line is a recording; known are strace's output, audit records, what `seccomp run --watch`, `seccomp record` and \
         `denials` print, lines of JSON with a field `syscall`, and profiles"
    )]
    Nothing,
    /// A damaged file of runs of `seccomp record`.
    #[error("this begins like the runs of `seccomp record`, but {0} is missing or of another type")]
    Runs(&'static str),
    /// A profile that cannot be parsed.
    #[error("{0}")]
    Profile(String),
}

impl Recording {
    /// Parses a recording. Records without an ABI are of `native`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(name: &str, text: &str, native: Arch) -> Result<Self, ReadError> {
        let recording = |observed, strange| Self { name: name.to_owned(), observed, strange };
        if let Some(whole) = serde_json::from_str::<Value>(text).ok().filter(Value::is_object) {
            if whole.get("runs").is_some() {
                return Ok(recording(runs(&whole, native)?, None));
            }
            if whole.get("syscall").is_none() {
                return Ok(recording(profiles(text, Syntax::Json, native)?, None));
            }
        }
        if text.lines().any(|line| line.starts_with("kind:") || line.starts_with("apiVersion:")) {
            return Ok(recording(profiles(text, Syntax::of(Some("yaml"), text), native)?, None));
        }
        let mut observed = Observed::default();
        let mut strange: Option<(usize, usize)> = None;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if !any_line(line, native, &mut observed) {
                let (count, first) = strange.unwrap_or((0, index + 1));
                strange = Some((count + 1, first));
            }
        }
        if observed.is_empty() { Err(ReadError::Nothing) } else { Ok(recording(observed, strange)) }
    }
}

fn any_line(line: &str, native: Arch, observed: &mut Observed) -> bool {
    json_line(line, native, observed)
        || audit(line, observed)
        || denied(line, native, observed)
        || strace::line(line, native, observed)
}

/// `{"syscall": NAME, "abi": …, "count": …}`, as `denials -o json` and gadgets print it; an allowing entry, as `seccomp
/// run --watch` prints it.
fn json_line(line: &str, native: Arch, observed: &mut Observed) -> bool {
    let text = line.trim().trim_end_matches(',');
    if !text.starts_with('{') {
        return false;
    }
    let Ok(object) = serde_json::from_str::<Value>(text) else { return false };
    if let Some(name) = object.get("syscall").and_then(Value::as_str) {
        let abi = object.get("abi").and_then(Value::as_str).and_then(Arch::parse).unwrap_or(native);
        let count = object.get("count").and_then(Value::as_u64).unwrap_or(1);
        observed.add(abi, name.strip_prefix("SYS_").unwrap_or(name), &[], count);
        return true;
    }
    if object.get("names").is_some() && object.get("action").is_some() {
        let profile = format!("{{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{text}]}}");
        let (profile, _) = crate::profile::read(&profile);
        return profile.is_some_and(|profile| {
            entries(&profile, native, observed);
            true
        });
    }
    false
}

/// A record of type SECCOMP (1326) or SYSCALL (1300), from auditd's log, the kernel's or systemd's journal.
fn audit(line: &str, observed: &mut Observed) -> bool {
    let is_of_journal = is_of_journal(line);
    if !is_of_journal && !line.contains("audit(") {
        return false;
    }
    let field =
        |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let hex = |name| field(name).and_then(|text| u64::from_str_radix(text, 16).ok());
    let number = field("syscall").and_then(|text| text.parse::<u32>().ok());
    let (Some(audit), Some(number)) = (hex("arch").and_then(|arch| u32::try_from(arch).ok()), number) else {
        // Another record of the same event, such as PROCTITLE.
        return is_of_journal || line.contains("type=");
    };
    let is_x32 = audit == Arch::X32.audit() && number >= X32_BIT;
    let arch = Arch::ALL.into_iter().find(|arch| arch.audit() == audit && (*arch == Arch::X32) == is_x32);
    match arch {
        Some(arch) => observed.add_number(arch, number, &["a0", "a1", "a2", "a3"].map(hex)),
        None => observed.strange(&format!("number {number} of architecture {audit:#x}")),
    }
    true
}

/// Whether systemd-journald wrote a line: `TIME HOST audit[PID]: SECCOMP auid=…` (systemd journald-audit.c), or people copied it
/// without its time.
fn is_of_journal(line: &str) -> bool {
    let rest = line.strip_prefix("audit[").or_else(|| Some(line.split_once(" audit[")?.1));
    let text = rest.and_then(|rest| rest.split_once("]: "));
    let kind = text.and_then(|(_, text)| text.split_whitespace().next());
    kind.is_some_and(|kind| {
        kind.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'))
    })
}

/// `denied: NAME(ARGUMENTS) on ABI: …` of `seccomp run --watch`, and its other lines.
fn denied(line: &str, native: Arch, observed: &mut Observed) -> bool {
    let text = line.trim();
    let Some(rest) = text.strip_prefix("denied: ") else {
        return [
            "denied in all: ",
            "would have been denied in all: ",
            "to let all of them through",
            "a denial may have kept",
        ]
        .iter()
        .any(|start| text.starts_with(start));
    };
    let Some((name, rest)) = rest.split_once('(') else { return false };
    let abi = rest.rsplit_once(") on ").and_then(|(_, rest)| Arch::parse(rest.split(':').next()?));
    let args = rest.split_once(") on ").map_or("", |(args, _)| args);
    let number = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
    // A path among the arguments may contain anything; the text after it is not parsed.
    let args: Vec<Option<u64>> = args.split(", ").map(number).take_while(Option::is_some).collect();
    observed.add(abi.unwrap_or(native), name, &args, 1);
    true
}

/// The runs of `seccomp record --runs`.
fn runs(whole: &Value, native: Arch) -> Result<Observed, ReadError> {
    let archs = whole.get("archs").and_then(Value::as_array).ok_or(ReadError::Runs("archs"))?;
    let archs: Vec<Arch> = archs.iter().filter_map(|name| Arch::parse(name.as_str()?)).collect();
    let syscalls = whole.get("syscalls").and_then(Value::as_object).ok_or(ReadError::Runs("syscalls"))?;
    let mut observed = Observed::default();
    for (name, seen) in syscalls {
        let count = seen.get("count").and_then(Value::as_u64).ok_or(ReadError::Runs("count"))?;
        let combinations = seen.get("selectors").and_then(Value::as_array);
        let arch = archs.first().copied().unwrap_or(native);
        match combinations.filter(|all| !all.is_empty()) {
            None => observed.add(arch, name, &[], count),
            Some(all) => {
                for (index, values) in all.iter().enumerate() {
                    let args = placed(name, values.as_array().ok_or(ReadError::Runs("selectors"))?);
                    // All are counted as the first.
                    observed.add(arch, name, &args, if index == 0 { count } else { 0 });
                }
            }
        }
    }
    Ok(observed)
}

/// Values of selecting arguments, each at its index.
fn placed(name: &str, values: &[Value]) -> Vec<Option<u64>> {
    let mut args = vec![None; 6];
    for (index, value) in selectors(name).iter().zip(values) {
        if let Some(place) = args.get_mut(usize::from(*index)) {
            *place = value.as_u64();
        }
    }
    args
}

/// The syscalls that the profiles of a text allow: of `seccomp record`, the security-profiles-operator, or a gadget.
fn profiles(text: &str, syntax: Syntax, native: Arch) -> Result<Observed, ReadError> {
    let mut observed = Observed::default();
    let sources = source::read(text, syntax);
    for source in &sources {
        let profile = match &source.content {
            Content::Profile(profile) => profile,
            _ => continue,
        };
        entries(profile, native, &mut observed);
    }
    if observed.is_empty() {
        let finding = sources.iter().flat_map(|source| &source.findings).next();
        let why = finding.map_or_else(
            || "no profile here lets anything through by name".to_owned(),
            |finding| format!("{}: {}", finding.at, finding.message),
        );
        return Err(ReadError::Profile(why));
    }
    Ok(observed)
}

fn entries(profile: &Profile, native: Arch, observed: &mut Observed) {
    let archs: Vec<Arch> = profile.architectures.iter().filter_map(|name| Arch::parse(name)).collect();
    let archs = if archs.is_empty() { vec![native] } else { archs };
    for entry in profile.entries.iter().filter(|entry| entry.action.lets_through()) {
        for (name, _) in &entry.names {
            for (index, arch) in archs.iter().enumerate() {
                // Of one entry: once, on whichever ABIs it holds.
                observed.add(*arch, name, &exact(entry), u64::from(index == 0));
            }
        }
    }
}

/// The arguments that an entry checks for equality.
fn exact(entry: &Entry) -> Vec<Option<u64>> {
    let mut args = vec![None; 6];
    for condition in &entry.args {
        let fixed = match condition.operator() {
            Operator::Equal => true,
            Operator::MaskedEqual { mask } => mask & 0xffff_ffff == 0xffff_ffff,
            _ => false,
        };
        if let Some(place) = args.get_mut(usize::from(condition.arg())).filter(|_| fixed) {
            *place = Some(condition.value());
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let recording = Recording::read("r", text, Arch::X86_64).unwrap();
        let found = recording.observed.syscalls().map(|(syscall, seen)| {
            let few = seen.few().map(|all| format!(" {all:?}")).unwrap_or_default();
            format!("{} {}{few}", syscall.name(), seen.count)
        });
        found.chain(recording.observed.unknown().map(|word| format!("? {word}"))).collect()
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("{\"container\":\"x\",\"syscall\":\"mount\",\"abi\":\"x86_64\",\"count\":3}", &["mount 3"][..]),
            ("{\"syscall\":\"SYS_OPENAT\"}\n{\"syscall\":\"openat\"}", &["openat 1", "? OPENAT"]),
            (
                "type=SECCOMP msg=audit(1.2:3): auid=1 pid=5 comm=\"x\" sig=0 arch=c000003e syscall=165 compat=0 ip=0x7f code=0x50000",
                &["mount 1"],
            ),
            ("audit: type=1326 audit(1.2:3): arch=40000003 syscall=4 compat=1 code=0x0", &["write 1"]),
            (
                "type=SYSCALL msg=audit(1.2:3): arch=c000003e syscall=41 success=yes exit=3 a0=2 a1=80001 a2=0 a3=0\ntype=PROCTITLE msg=audit(1.2:3): proctitle=6c73",
                &["socket 1 {[2, 524289, 0]}"],
            ),
            (
                "Mar 04 19:57:53 host audit[288]: SECCOMP auid=1 pid=288 comm=\"x y\" sig=31 arch=c000003e syscall=117 compat=0 ip=0x7f code=0x0\nMar 04 19:57:53 host audit[288]: PROCTITLE proctitle=6c73",
                &["setresuid 1"],
            ),
            // systemd/systemd#9939.
            (
                "audit[7053]: SECCOMP auid=1 pid=7053 comm=\"pyzor\" sig=31 arch=c000003e syscall=141 compat=0 ip=0x7f code=0x0",
                &["setpriority 1"],
            ),
            ("type=SECCOMP msg=audit(1.2:3): arch=c000003e syscall=5000", &["? number 5000 on x86_64"]),
            (
                "denied: socket(0x10, 0x3, 0x0) on x86_64: EPERM; to let it through, add {}\ndenied in all: socket (1)\nto let all of them through, add to syscalls:\n  {\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":17,\"op\":\"SCMP_CMP_EQ\"},{\"index\":1,\"value\":3,\"op\":\"SCMP_CMP_EQ\"},{\"index\":2,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]},",
                &["socket 2 {[16, 3, 0], [17, 3, 0]}"],
            ),
            (
                r#"{"runs":2,"archs":["SCMP_ARCH_X86_64"],"syscalls":{"read":{"count":7},"prctl":{"count":3,"selectors":[[38],[15]]}},"unknown":[]}"#,
                &["prctl 3 {[15], [38]}", "read 7"],
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]}"#,
                &["read 1", "write 1"],
            ),
            (
                "apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata: {name: a}\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  syscalls:\n  - action: SCMP_ACT_ALLOW\n    names: [futex]\n",
                &["futex 1"],
            ),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_recording_is_an_error() {
        for text in ["", "hello\nworld", "[1, 2]"] {
            assert_eq!(Recording::read("r", text, Arch::X86_64).unwrap_err(), ReadError::Nothing, "{text}");
        }
        let error = Recording::read("r", "{\"runs\": 1}", Arch::X86_64).unwrap_err();
        assert_eq!(error, ReadError::Runs("archs"));
        assert!(Recording::read("r", "{\"a\": 1}", Arch::X86_64).is_err());
        let mixed = Recording::read("r", "hello\nclose(3) = 0\nworld", Arch::X86_64).unwrap();
        assert_eq!(mixed.strange, Some((2, 1)));
    }
}
