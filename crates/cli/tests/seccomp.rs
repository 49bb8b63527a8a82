//! `palisade seccomp`, as a person and as a program would use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::ops::Add;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;

/// Runs in an empty folder; returns the exit code and the output.
fn run_in(folder: &std::path::Path, args: &[&str], input: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.current_dir(folder).arg("seccomp").args(args).write_stdin(input).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn run(args: &[&str], input: &str) -> (i32, String) {
    run_in(&PathBuf::from("/"), args, input)
}

const X86: [&str; 2] = ["--arch", "x86_64"];

fn on_x86(args: &[&str], input: &str) -> (i32, String) {
    run(&[args, &X86].concat(), input)
}

#[test]
fn a_call_is_explained() {
    let mut text = String::new();
    for call in [
        &["workshop", "personality", "8", "--abi", "x86"][..],
        &["workshop", "statx"],
        &["workshop", "mount"],
        &["workshop", "mount", "--cap", "sys_admin"],
        &["runtime/default", "clone", "0x10000000"],
        &["runtime/default", "clone3"],
        &["example-explorer-profile", "socket", "2", "0x80001"],
        &["example-explorer-profile", "socket", "2", "3"],
    ] {
        let (code, said) = on_x86(&[&["explain"], call].concat(), "");
        assert_eq!(code, 0);
        text.push_str(&format!("$ explain {}\n{said}\n", call.join(" ")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_profile_is_summed_up_by_area() {
    let (code, text) = on_x86(&["explain", "example-explorer-profile"], "");
    assert_eq!(code, 0);
    insta::assert_snapshot!(text);
}

#[test]
fn a_program_is_disassembled_and_simulated() {
    let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[
        {"names":["read","write","exit_group"],"action":"SCMP_ACT_ALLOW"},
        {"names":["ioctl"],"action":"SCMP_ACT_ERRNO","errnoRet":25,"args":[{"index":1,"value":21505,"op":"SCMP_CMP_EQ"}]}]}"#;
    let (code, program) = on_x86(&["disassemble", "-", "--unknown", "default"], profile);
    assert_eq!(code, 0);
    let (code, run) = on_x86(&["simulate", "-", "ioctl", "1", "0x5401"], profile);
    assert_eq!(code, 0);
    insta::assert_snapshot!(format!("{program}\n{run}"));
}

#[test]
fn programs_are_written_proved_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| run_in(folder.path(), &[args, &X86].concat(), "");
    let (code, text) = run(&["compile", "runtime/default", "-o", "a.bpf", "--verify", "--stats=json"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("verified"));
    let stats: Value =
        serde_json::from_str(text.rsplit_once('}').unwrap().0.to_owned().add("}").as_str()).unwrap();
    let bytes = std::fs::read(folder.path().join("a.bpf")).unwrap();
    assert_eq!(stats["instructions"].as_u64().unwrap() * 8, bytes.len() as u64);
    assert_eq!(run(&["diff", "a.bpf", "runtime/default"]).0, 0);
    let (code, text) = run(&["diff", "a.bpf", "runtime/default", "--cap", "SYS_TIME"]);
    assert_eq!(code, 1);
    assert!(text.contains("x86_64 settimeofday: ERRNO(EPERM) -> ALLOW"), "{text}");
    assert_eq!(run(&["diff", "--subset", "a.bpf", "runtime/default", "--cap", "all"]).0, 0);
    let (code, text) = run(&["diff", "--subset", "workshop", "a.bpf"]);
    assert_eq!(code, 1);
    assert!(text.contains("x86_64 socket(0x26): ALLOW -> ERRNO(EPERM)"), "{text}");
    // The OCI form of a profile decides the same.
    let (_, oci) = run(&["resolve", "runtime/default"]);
    std::fs::write(folder.path().join("oci.json"), oci).unwrap();
    assert_eq!(run(&["diff", "oci.json", "a.bpf"]), (0, "oci.json and a.bpf decide the same\n".to_owned()));
    // Half a program is refused.
    std::fs::write(folder.path().join("half.bpf"), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(run(&["disassemble", "half.bpf"]).0, 2);
}

#[test]
fn profiles_are_joined_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| run_in(folder.path(), &[args, &X86].concat(), "");
    // The page's profile is for more architectures, of which an intersection keeps what both have.
    assert_eq!(run(&["union", "workshop", "example-explorer-profile"]).0, 2);
    for (verb, one, subset_of_both) in [("intersect", "workshop", true), ("union", "one.json", false)] {
        let mut resolved: Value = serde_json::from_str(&run(&["resolve", "workshop"]).1).unwrap();
        resolved["architectures"] = serde_json::json!(["SCMP_ARCH_X86_64"]);
        std::fs::write(folder.path().join("one.json"), resolved.to_string()).unwrap();
        let (code, text) = run(&[verb, one, "example-explorer-profile"]);
        assert_eq!(code, 0, "{text}");
        std::fs::write(folder.path().join("joined.json"), text).unwrap();
        assert_eq!(run(&[verb, one, "example-explorer-profile", "-o", "joined.bpf"]).0, 0);
        assert_eq!(run(&["diff", "joined.json", "joined.bpf"]).0, 0, "{verb}");
        for one in [one, "example-explorer-profile"] {
            let (a, b) = if subset_of_both { ("joined.json", one) } else { (one, "joined.json") };
            let (code, text) = run(&["diff", "--subset", a, b]);
            assert_eq!(code, 0, "{verb}: {text}");
        }
    }
}

/// 160 values for each of 30 calls, all different, are more than one filter holds.
#[test]
fn a_filter_that_is_too_long_becomes_several_that_decide_the_same() {
    let calls = "read write openat close stat fstat lstat poll lseek mmap mprotect munmap brk ioctl pread64 pwrite64 readv \
                 writev access pipe select sched_yield mremap msync mincore madvise shmget shmat shmctl dup";
    let entry = |call: &str, value: usize| {
        let args = format!(r#"[{{"index":1,"value":{value},"op":"SCMP_CMP_EQ"}}]"#);
        format!(r#"{{"names":["{call}"],"action":"SCMP_ACT_ALLOW","args":{args}}}"#)
    };
    let entries: Vec<_> = calls
        .split_whitespace()
        .enumerate()
        .flat_map(|(at, call)| (0..160).map(move |value| entry(call, at * 2000 + value * 7)))
        .collect();
    let profile = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{}]}}"#,
        entries.join(",")
    );
    let folder = tempfile::tempdir().unwrap();
    let args = [&["compile", "-", "-o", "big.bpf", "--verify"][..], &X86].concat();
    let (code, text) = run_in(folder.path(), &args, &profile);
    assert_eq!((code, text.contains("verified")), (0, true), "{text}");
    assert!(folder.path().join("big.1.bpf").exists() && folder.path().join("big.2.bpf").exists());
    // One call that alone is too long is named.
    let heavy: Vec<_> = (0..5000).map(|value| entry("ioctl", value * 3)).collect();
    let profile = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{}]}}"#,
        heavy.join(",")
    );
    let (code, text) = run_in(folder.path(), &args, &profile);
    assert_eq!((code, text.contains("ioctl on x86_64")), (2, true), "{text}");
    // So many are refused before anything is built from them.
    let hopeless: Vec<_> = (0..20_000).map(|value| entry("ioctl", value * 3)).collect();
    let profile = format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{}]}}"#, hopeless.join(","));
    let (code, text) = run_in(folder.path(), &args, &profile);
    assert_eq!((code, text.contains("20000 rules for ioctl on x86_64")), (2, true), "{text}");
}

#[test]
fn other_forms_are_read_and_written() {
    let unit = "[Service]\nSystemCallFilter=@basic-io @file-system\nSystemCallFilter=~ioctl mount:EACCES\nSystemCallErrorNumber=EPERM\n";
    let (code, docker) = run(&["import", "-"], unit);
    assert_eq!(code, 0, "{docker}");
    let profile: Value = serde_json::from_str(&docker).unwrap();
    assert_eq!(
        (&profile["defaultAction"], &profile["defaultErrnoRet"]),
        (&"SCMP_ACT_ERRNO".into(), &1.into())
    );
    let (code, lines) = on_x86(&["export", "-", "--to", "systemd"], unit);
    assert_eq!(code, 0, "{lines}");
    assert!(lines.contains("SystemCallErrorNumber=EPERM") && lines.contains("mount:EACCES"), "{lines}");
    assert!(!lines.contains("ioctl"), "{lines}");
    let operator = "apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata: {name: a}\n\
                    spec:\n  defaultAction: SCMP_ACT_ERRNO\n  architectures: [SCMP_ARCH_X86_64]\n  syscalls:\n\
                    \x20 - {names: [read, write], action: SCMP_ACT_ALLOW}\n";
    let (code, oci) = on_x86(&["export", "-"], operator);
    assert_eq!(code, 0, "{oci}");
    let (code, text) = on_x86(&["export", "runtime/default", "--to", "systemd"], "");
    assert_eq!(code, 2, "arguments cannot be written for systemd");
    assert!(text.contains("cannot look at arguments") && text.contains("clone"), "{text}");
}

/// Each names the line and the field, and ends with 2; warnings do so with `--strict`.
#[test]
fn bad_profiles_are_refused_where_they_are_wrong() {
    let entry = |fields: &str| {
        format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n \"syscalls\": [\n  {{{fields}}}]}}")
    };
    let allow = r#""action": "SCMP_ACT_ALLOW""#;
    let mut said = String::new();
    for profile in [
        "{}".to_owned(),
        "[1, 2]".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ALOW\"}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 65536}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"defaultErrnoRet\": 1}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrno\": \"ENOSY\"}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"archMap\": [{\"architecture\": \"SCMP_ARCH_X86_64\"}], \"architectures\": [\"SCMP_ARCH_X86\"]}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultAction\": \"SCMP_ACT_ALLOW\"}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscals\": []}".to_owned(),
        "{\"defaultAction\": \"SCMP_ACT_ERRNO\"".to_owned(),
        entry(r#""names": ["raed"], "action": "SCMP_ACT_ALLOW""#),
        entry(r#""names": ["read"]"#),
        entry(&format!(r#""name": "read", "names": ["write"], {allow}"#)),
        entry(&format!(r#""names": ["read"], {allow}, "errnoRet": 1"#)),
        entry(&format!(r#""names": ["read"], {allow}, "args": [{{"index": 6, "op": "SCMP_CMP_EQ"}}]"#)),
        entry(&format!(r#""names": ["read"], {allow}, "args": [{{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}}]"#)),
        entry(&format!(r#""names": ["read"], {allow}, "args": [{{"index": 0, "value": 1, "op": "SCMP_CMP_EQUAL"}}]"#)),
        entry(&format!(r#""names": ["read"], {allow}, "args": [{{"index": 0, "value": 1, "op": "SCMP_CMP_LT"}}, {{"index": 0, "value": 9, "op": "SCMP_CMP_GT"}}]"#)),
        entry(&format!(r#""names": ["read"], {allow}, "includes": {{"minKernel": "4.8.1", "caps": ["SYS_ADMIN"], "arches": ["x86_64"]}}"#)),
        "SystemCallFilter=@basicio read:ENOPE".to_owned(),
    ] {
        let (code, text) = on_x86(&["resolve", "-", "--strict"], &profile);
        assert_eq!(code, 2, "{profile}: {text}");
        said.push_str(&format!("{profile}\n{text}\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn hostile_input_is_refused() {
    let deep = format!("{{\"defaultAction\": {}", "[".repeat(100_000));
    let duplicated = format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\"{}}}", ", \"a\": 1".repeat(1000));
    for input in [deep, duplicated, "\u{0}".to_owned()] {
        assert_eq!(run(&["resolve", "-"], &input).0, 2);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output =
        command.args(["seccomp", "resolve", "-"]).write_stdin(b"{\n\xff}".to_vec()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("-:2: not valid UTF-8"));
    let (code, text) = run(&["explain", "no-such-file.json"], "");
    assert_eq!((code, text.contains("runtime/default, workshop")), (2, false), "{text}");
    assert!(text.contains("no such file"), "{text}");
    let (code, text) = run(&["explain", "workshop", "opnat"], "");
    assert_eq!((code, text.contains("did you mean openat?")), (2, true), "{text}");
}

#[test]
fn profiles_are_linted() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": [], "syscalls": [
  {"names": ["socket", "socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]},
  {"names": ["io_uring_setup"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let (code, text) = on_x86(&["lint", "-"], profile);
    assert_eq!(code, 1);
    insta::assert_snapshot!(text);
    let (code, text) = run(&["lint", "example-explorer-profile"], "");
    assert_eq!((code, text.lines().count()), (0, 1), "{text}");
    assert!(text.starts_with("example-explorer-profile: no findings for "), "{text}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    #[test]
    fn this_machine_is_checked() {
        let (code, text) = run(&["check", "-o", "json"], "");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["usable"], code == 0);
        assert!(
            answer["answers"].as_array().unwrap().iter().any(|a| a["question"] == "CONFIG_SECCOMP_FILTER")
        );
    }

    #[test]
    fn a_shell_runs_under_the_pages_default() {
        let (code, text) = run(
            &[
                "run",
                "workshop",
                "--",
                "sh",
                "-c",
                "echo in; unshare -n true 2>/dev/null || echo denied; exit 7",
            ],
            "",
        );
        assert_eq!((code, text.as_str()), (7, "in\ndenied\n"));
    }

    /// Operations of the page's explorer pod: set permissions on files, move them, serve on its port.
    #[test]
    fn the_explorer_may_do_what_the_page_says_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let script = r#"
            use Socket;
            sub says { my ($what, $ok) = @_; print "$what: ", ($ok ? "yes" : "no ($!)"), "\n"; }
            says("chmod", chmod(0600, "file"));
            says("rename", rename("file", "moved"));
            my ($s, $r, $u, $f);
            says("serve", socket($s, AF_INET, SOCK_STREAM, 0) && bind($s, sockaddr_in(0, INADDR_LOOPBACK)) && listen($s, 1));
            says("raw socket", socket($r, AF_INET, SOCK_RAW, 1));
            says("UDP socket", socket($u, AF_INET, SOCK_DGRAM, 0));
            says("connect", connect($s, sockaddr_in(9, INADDR_LOOPBACK)));
            says("write a file", open($f, ">", "new"));
            says("make a folder", mkdir("folder"));
            says("unlink", unlink("moved"));
        "#;
        let args = ["run", "example-explorer-profile", "--", "perl", "-e", script];
        let (code, text) = run_in(folder.path(), &args, "");
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!(text);
        let (code, watched) = run_in(
            folder.path(),
            &[
                "run",
                "example-explorer-profile",
                "--watch",
                "--",
                "perl",
                "-e",
                "mkdir('folder'); mkdir('folder'); print \"done: $!\\n\"",
            ],
            "",
        );
        assert_eq!(code, 0, "{watched}");
        assert!(watched.contains("done: Operation not permitted"), "{watched}");
        assert_eq!(watched.matches("denied: mkdir(\"folder\"").count(), 1, "{watched}");
        assert!(watched.contains(r#"add {"names":["mkdir"],"action":"SCMP_ACT_ALLOW"}"#), "{watched}");
    }

    #[test]
    fn a_profile_that_forbids_to_start_says_so() {
        let profile = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["exit_group", "write"], "action": "SCMP_ACT_ALLOW"}]}"#;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.json");
        std::fs::write(&file, profile).unwrap();
        let (code, text) = run(&["run", file.to_str().unwrap(), "--", "true"], "");
        assert_eq!(code, 2);
        assert!(text.contains("execve"), "{text}");
    }
}
