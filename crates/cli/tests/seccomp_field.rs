//! Public bug reports and questions about seccomp, and the information that the reporter would have needed. Each test
//! is a kind of report, named after the case that stands for it; inputs are our own, reduced to the essential, and each
//! names where a similar one was reported.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use assert_cmd::Command;

/// Runs in a folder; returns the exit code and all that was printed.
fn palisade(folder: &Path, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.current_dir(folder).arg("seccomp").args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// A report: its source, its file, and the question.
struct Case<'a> {
    source: &'a str,
    file: &'a str,
    text: &'a str,
    asked: &'a [Asked<'a>],
}

/// Arguments, the exit code, texts that the answer contains, and texts that it does not.
type Asked<'a> = (&'a [&'a str], i32, &'a [&'a str], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(case.file), case.text).unwrap();
        for (args, code, says, hides) in case.asked {
            let (got, text) = palisade(folder.path(), args);
            assert_eq!(got, *code, "{}: {args:?}: {text}", case.source);
            for part in *says {
                assert!(text.contains(part), "{}: {args:?} does not say {part:?}: {text}", case.source);
            }
            for part in *hides {
                assert!(!text.contains(part), "{}: {args:?} says {part:?}: {text}", case.source);
            }
        }
    }
}

const LINT: &[&str] = &["lint", "p.json", "--arch", "x86_64"];

#[test]
fn f20_clone_mask_inverted() {
    let profile = |action: &str, default: &str, mask: u64, value: u64, archs: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_{default}","architectures":[{archs}],"syscalls":[{{"names":["clone"],"action":"SCMP_ACT_{action}","args":[{{"index":0,"value":{mask},"valueTwo":{value},"op":"SCMP_CMP_MASKED_EQ"}}]}}]}}"#
        )
    };
    let x86 = r#""SCMP_ARCH_X86_64""#;
    let inverted = profile("ERRNO", "ALLOW", 0x81fd_dfff, 0, x86);
    let old = profile("ALLOW", "ERRNO", 0x7c02_0000, 0, x86);
    let s390 = profile("ALLOW", "ERRNO", 0x7e02_0000, 0, r#""SCMP_ARCH_S390X","SCMP_ARCH_S390""#);
    let right = profile("ERRNO", "ALLOW", 0x1000_0000, 0x1000_0000, x86);
    check(&[
        Case {
            source: "moby/moby#46568",
            file: "p.json",
            text: &inverted,
            asked: &[
                (
                    LINT,
                    1,
                    &[
                        "clone(CLONE_NEWUSER|SIGCHLD) goes through",
                        "\"value\": 268435456, \"valueTwo\": 268435456",
                    ],
                    &[],
                ),
                (
                    &["explain", "p.json", "clone", "0x10000011", "--arch", "x86_64"],
                    0,
                    &[
                        "clone on x86_64: ALLOW",
                        "flags & 0x81fddfff == 0x0 does not hold: flags, argument 0, is 0x10000011 (CLONE_NEWUSER|SIGCHLD)",
                    ],
                    &[],
                ),
                (
                    &["explain", "p.json", "clone", "0", "0x10000011", "--arch", "s390x"],
                    0,
                    &["stack, argument 0"],
                    &[],
                ),
            ],
        },
        Case {
            source: "the advice itself: one entry a flag",
            file: "p.json",
            text: &right,
            asked: &[
                (
                    &["explain", "p.json", "clone", "0x10000011", "--arch", "x86_64"],
                    0,
                    &["clone on x86_64: ERRNO(EPERM)"],
                    &[],
                ),
                (LINT, 1, &[], &["goes through"]),
            ],
        },
        Case {
            source: "moby/moby profiles/seccomp/default.json before v20.10: the mask of Linux 4.5",
            file: "p.json",
            text: &old,
            asked: &[(LINT, 1, &["0x7c020000 lacks CLONE_NEWCGROUP", "2114060288"], &[])],
        },
        Case {
            source: "moby/profiles seccomp/default.json: the entries for s390",
            file: "p.json",
            text: &s390,
            asked: &[(
                &["lint", "p.json", "--arch", "s390x"],
                1,
                &["on s390 and s390x clone takes its flags as argument 1"],
                &[],
            )],
        },
    ]);
}

#[test]
fn f21_chrome_json_and_new_runc() {
    let profile = |names: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}]}}"#
        )
    };
    let old = profile(
        r#""read","write","close","openat","execve","exit_group","mmap","mprotect","newfstatat","arch_prctl","epoll_ctl","epoll_pwait","rt_sigreturn","fstatfs","futex","getdents64","getpid","prctl","fcntl","capget","capset","chdir","getppid","getuid","setgid","setgroups","setuid""#,
    );
    let new = old.replace("\"read\"", r#""read","openat2","statx","readlinkat""#);
    let no_openat2 = new.replace("\"openat2\",", "");
    check(&[
        Case {
            source: "jlandure/alpine-chrome#272",
            file: "p.json",
            text: &old,
            asked: &[
                (
                    LINT,
                    1,
                    &[
                        "runc 1.2.8, 1.3.3 and 1.4.0-rc.3 needs openat2",
                        "on needs readlinkat and statx",
                        "crun where allowPrivilegeEscalation",
                    ],
                    &["runc needs"],
                ),
                (
                    &["explain", "p.json", "openat2", "--arch", "x86_64"],
                    0,
                    &["ERRNO(ENOSYS)", "newer than Linux", "fall back to an older one"],
                    &[],
                ),
            ],
        },
        Case {
            source: "kubernetes-sigs/security-profiles-operator#3041",
            file: "p.json",
            text: &no_openat2,
            asked: &[(
                LINT,
                1,
                &["needs openat2", "1.2.9, 1.3.4 and 1.4.0 go on without it"],
                &["needs statx"],
            )],
        },
        Case {
            source: "k3s-io/k3s#13293",
            file: "p.json",
            text: &new,
            asked: &[(LINT, 1, &[], &["needs openat2", "needs statx", "runc needs"])],
        },
        Case {
            source: "kguardian-dev/kguardian#1497: an entry without names lets nothing through",
            file: "p.json",
            text: r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":[],"action":"SCMP_ACT_ALLOW"}]}"#,
            asked: &[(
                LINT,
                1,
                &["names no syscall", "no syscall is let through, so no program can start"],
                &[],
            )],
        },
        Case {
            source: "systemd/systemd#28350: the 32-bit ABI of Arm has the syscall under a name of its own",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=@system-service\n",
            asked: &[
                (&["explain", "a.service", "arm_fadvise64_64", "--arch", "arm"], 0, &["ALLOW"], &[]),
                (
                    &["explain", "a.service", "fadvise64_64", "--arch", "arm"],
                    2,
                    &["there it is arm_fadvise64_64"],
                    &[],
                ),
            ],
        },
        Case {
            source: "systemd/systemd#34615: a syscall newer than the service",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=@system-service\n",
            asked: &[(&["explain", "a.service", "uretprobe", "--arch", "x86_64"], 0, &["ALLOW"], &[])],
        },
        Case {
            source: "moby/moby#22252",
            file: "p.json",
            text: &profile(r#""execve","exit_group""#),
            asked: &[(
                LINT,
                1,
                &["a dynamically linked program's start needs mmap", "runc needs close"],
                &[],
            )],
        },
    ]);
}

#[test]
fn f22_profile_lacks_what_runc_needs() {
    let names = r#""accept4","futex","mmap","read","write","close","arch_prctl","brk","rt_sigprocmask","openat","exit_group","execve","fcntl","mprotect","getpid","getuid","epoll_ctl","munmap""#;
    let text = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}]}}"#
    );
    let sources = [
        "kubernetes/website#45460",
        "moby/moby#43730",
        "inspektor-gadget/inspektor-gadget#267",
        "kubernetes-sigs/security-profiles-operator#150",
    ];
    for source in sources {
        check(&[Case {
            source,
            file: "p.json",
            text: &text,
            asked: &[
                (
                    LINT,
                    1,
                    &[
                        "runc needs epoll_pwait, fstatfs, getdents64, prctl and rt_sigreturn",
                        "ensure /proc/self/fd is on procfs",
                    ],
                    &[],
                ),
                (
                    &["explain", "p.json", "fstatfs", "--arch", "x86_64"],
                    0,
                    &["ERRNO(EPERM)", "they do not fall back"],
                    &[],
                ),
            ],
        }]);
    }
}

/// `run --watch` continues past denials, and its list is the missing part: with it added the program runs.
#[cfg(target_os = "linux")]
#[test]
fn f22_the_list_of_run_watch_is_what_was_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.json");
    let profile = |entries: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["execve","exit_group","mmap","close"],"action":"SCMP_ACT_ALLOW"}}{entries}]}}"#
        )
    };
    std::fs::write(&file, profile("")).unwrap();
    let (code, text) = palisade(folder.path(), &["run", "p.json", "--watch", "--", "true"]);
    assert_ne!(code, 0, "{text}");
    assert!(text.contains("denied in all:") && text.contains("--permissive goes on past denials"), "{text}");
    let (code, text) = palisade(folder.path(), &["run", "p.json", "--watch", "--permissive", "--", "true"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("would have been denied in all:") && text.contains("pread64 ("), "{text}");
    let entries = text.split_once("add to syscalls:\n").unwrap().1.trim();
    std::fs::write(&file, profile(&format!(",{entries}"))).unwrap();
    assert_eq!(palisade(folder.path(), &["run", "p.json", "--", "true"]), (0, String::new()));
    // Syscalls that would kill fail instead, so that the list is complete.
    std::fs::write(&file, profile(&format!(",{entries}")).replace("ACT_ERRNO", "ACT_KILL_PROCESS")).unwrap();
    let (code, text) = palisade(folder.path(), &["run", "p.json", "--watch", "--", "mkdir", "new"]);
    assert_ne!(code, 128 + 31, "{text}");
    assert!(text.contains("KILL_PROCESS; to let it through") && text.contains("denied in all:"), "{text}");
}

#[test]
fn f23_fchmodat2_among_newer_calls() {
    let gated = |gate: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],"syscalls":[{{"names":["read","fchmodat","cachestat"],"action":"SCMP_ACT_ALLOW"}},{{"names":["futex_wake"],"action":"SCMP_ACT_ALLOW",{gate}}}]}}"#
        )
    };
    let explain = |more: &'static [&'static str]| {
        [&["explain", "p.json", "fchmodat2", "--arch", "aarch64", "--abi", "arm"][..], more].concat()
    };
    let (new, old) = (explain(&["--kernel", "6.8"]), explain(&["--kernel", "5.4"]));
    let (crun, admin) =
        (explain(&["--kernel", "6.8", "--unknown", "default"]), explain(&["--cap", "SYS_ADMIN"]));
    let plain = explain(&[]);
    let (eperm, enosys): (&[&str], &[&str]) = (&["ERRNO(EPERM)"], &["ERRNO(ENOSYS)", "newer than Linux 6.5"]);
    check(&[
        Case {
            source: "docker/docker-ce-packaging#1015",
            file: "p.json",
            text: &gated(r#""includes":{"minKernel":"6.7"}"#),
            asked: &[
                (&new, 0, eperm, &[]),
                (&old, 0, enosys, &[]),
                (&crun, 0, eperm, &[]),
                (
                    &["lint", "p.json", "--arch", "aarch64", "--kernel", "6.8"],
                    1,
                    &["fchmodat2: newer forms"],
                    &[],
                ),
            ],
        },
        Case {
            source: "containers/crun#1600: an entry for a capability that the container does not have",
            file: "p.json",
            text: &gated(r#""includes":{"caps":["CAP_SYS_ADMIN"]}"#),
            asked: &[(&plain, 0, enosys, &[]), (&admin, 0, eperm, &[])],
        },
        Case {
            source: "moby/moby#42871: an entry for another architecture",
            file: "p.json",
            text: &gated(r#""includes":{"arches":["amd64"]}"#),
            asked: &[(&plain, 0, enosys, &[])],
        },
        Case {
            source: "ocaml/infrastructure#121: what is excluded",
            file: "p.json",
            text: &gated(r#""excludes":{"minKernel":"5.0"}"#),
            asked: &[(&old, 0, enosys, &[])],
        },
    ]);
}

/// The output of `resolve` decides as `explain` reports.
#[test]
fn f23_resolve_and_explain_agree() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read","cachestat"],"action":"SCMP_ACT_ALLOW"},{"names":["futex_wake"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.7"}}]}"#;
    std::fs::write(folder.path().join("p.json"), text).unwrap();
    for kernel in ["5.4", "6.8"] {
        let (code, written) =
            palisade(folder.path(), &["resolve", "p.json", "--arch", "x86_64", "--kernel", kernel]);
        assert_eq!(code, 0, "{written}");
        std::fs::write(folder.path().join("resolved.json"), written).unwrap();
        let ask = |file: &str| {
            palisade(folder.path(), &["explain", file, "fchmodat2", "--arch", "x86_64", "--kernel", kernel])
        };
        assert_eq!(ask("p.json"), ask("resolved.json"), "{kernel}");
    }
}

#[test]
fn f26_trace_as_default() {
    let archs = r#""architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"]"#;
    let default = format!(
        r#"{{"defaultAction":"SCMP_ACT_TRACE",{archs},"syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW"}}]}}"#
    );
    let entry = format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW",{archs},"syscalls":[{{"names":["ptrace"],"action":"SCMP_ACT_TRACE"}}]}}"#
    );
    let log = format!(
        r#"{{"defaultAction":"SCMP_ACT_LOG",{archs},"syscalls":[{{"names":["ptrace"],"action":"SCMP_ACT_ERRNO"}}]}}"#
    );
    let logged = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO",{archs},"syscalls":[{{"names":["mount"],"action":"SCMP_ACT_LOG"}}]}}"#
    );
    check(&[
        Case {
            source: "docker/for-win#8326",
            file: "p.json",
            text: &default,
            asked: &[
                (
                    LINT,
                    1,
                    &["defaultAction: without a tracer attached, TRACE makes a syscall fail with ENOSYS"],
                    &[],
                ),
                (
                    &["explain", "p.json", "clock_gettime64", "--arch", "x86_64", "--abi", "x86"],
                    0,
                    &["TRACE(1)", "without a tracer attached the syscall fails with ENOSYS"],
                    &[],
                ),
            ],
        },
        Case {
            source: "Linux kernel/seccomp.c, SECCOMP_RET_TRACE",
            file: "p.json",
            text: &entry,
            asked: &[(LINT, 1, &["syscalls[0].action: without a tracer"], &[])],
        },
        Case {
            source: "kubernetes.io/docs/tutorials/security/seccomp, audit.json: a profile that only logs",
            file: "p.json",
            text: &log,
            asked: &[(LINT, 1, &["LOG allows every syscall that no entry names"], &[])],
        },
        Case {
            source: "containers/crun#683",
            file: "p.json",
            text: &logged,
            asked: &[(LINT, 1, &["syscalls[0].action: LOG lets these syscalls through"], &[])],
        },
    ]);
}

#[test]
fn f27_deny_chmod_only() {
    let deny = |names: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ERRNO"}}]}}"#
        )
    };
    let chmod = deny(r#""chmod""#);
    check(&[
        Case {
            source: "moby/moby#22632",
            file: "p.json",
            text: &chmod,
            asked: &[
                (LINT, 1, &["chmod is denied, but fchmod, fchmodat and fchmodat2 can do what it does"], &[]),
                (
                    &["explain", "p.json", "fchmodat", "--arch", "x86_64"],
                    0,
                    &["fchmodat on x86_64: ALLOW"],
                    &[],
                ),
            ],
        },
        Case {
            source: "docs.docker.com/engine/security/seccomp: the exercise that denies chmod, fchmod and chmodat",
            file: "p.json",
            text: &deny(r#""chmod","fchmod","chmodat""#),
            asked: &[(
                LINT,
                1,
                &["fchmodat and fchmodat2 can do what they do", "unknown syscall \"chmodat\""],
                &[],
            )],
        },
        Case {
            source: "the advice itself: all of them named",
            file: "p.json",
            text: &deny(r#""chmod","fchmod","fchmodat","fchmodat2""#),
            asked: &[(LINT, 1, &[], &["can do what"])],
        },
        Case {
            source: "moby/moby#42680: clone without clone3",
            file: "p.json",
            text: &deny(r#""clone","fork","vfork""#),
            asked: &[(LINT, 1, &["but clone3 can do what they do and is let through"], &[])],
        },
        Case {
            source: "moby/moby#46762: io_uring",
            file: "p.json",
            text: &deny(r#""kexec_load""#),
            asked: &[(LINT, 1, &["kexec_file_load can do what it does"], &[])],
        },
    ]);
}

#[test]
fn f29_earlyoom_unit() {
    const UNIT: &str = "[Unit]\nDescription=oom\n[Service]\nExecStart=/bin/earlyoom\nRestrictNamespaces=true\nLockPersonality=true\n\
        RestrictAddressFamilies=AF_UNIX\nSystemCallArchitectures=native\nSystemCallFilter=@system-service process_mrelease\nSystemCallFilter=~@privileged\n";
    let explain = |syscall: &'static str, more: &'static [&'static str]| {
        [&["explain", "a.service", syscall][..], more, &["--arch", "x86_64"]].concat()
    };
    let named = explain("process_mrelease", &[]);
    let (inet, unix) = (explain("socket", &["2"]), explain("socket", &["1"]));
    let (namespace, thread) = (explain("clone", &["0x10000011"]), explain("clone", &["0x3d0f00"]));
    let x86 = explain("read", &["--abi", "x86"]);
    let suid = explain("fchmod", &["3", "0x9ed"]);
    check(&[
        Case {
            source: "rfjakob/earlyoom#328",
            file: "a.service",
            text: UNIT,
            asked: &[
                (&["lint", "a.service", "--arch", "x86_64"], 1, &[], &["32-bit", "runc"]),
                (&named, 0, &["process_mrelease on x86_64: ALLOW"], &[]),
                (
                    &inet,
                    0,
                    &[
                        "ERRNO(EAFNOSUPPORT)",
                        "a.service:7:1: RestrictAddressFamilies=",
                        "domain, argument 0, is 0x2 (AF_INET)",
                    ],
                    &[],
                ),
                (&unix, 0, &["socket on x86_64: ALLOW"], &[]),
                (&namespace, 0, &["ERRNO(EPERM)", "a.service:5:1: RestrictNamespaces="], &[]),
                (&thread, 0, &["clone on x86_64: ALLOW"], &[]),
                (&x86, 0, &["KILL_THREAD"], &[]),
            ],
        },
        Case {
            source: "the same unit on a systemd that does not know the name",
            file: "a.service",
            text: &UNIT.replace(" process_mrelease", ""),
            asked: &[(&named, 0, &["KILL_PROCESS"], &[])],
        },
        Case {
            source: "systemd/systemd#43314",
            file: "a.service",
            text: "[Service]\nRestrictSUIDSGID=yes\n",
            asked: &[
                (&explain("openat2", &[]), 0, &["ERRNO(ENOSYS)", "RestrictSUIDSGID="], &[]),
                (&suid, 0, &["ERRNO(EPERM)", "mode & 0x800 == 0x800 holds"], &[]),
            ],
        },
        Case {
            source: "systemd/systemd#38711",
            file: "a.service",
            text: "[Service]\nDynamicUser=yes\nRestrictSUIDSGID=no\n",
            asked: &[(&explain("openat2", &[]), 0, &["ERRNO(ENOSYS)", "DynamicUser="], &[])],
        },
        Case {
            source: "systemd.exec(5), MemoryDenyWriteExecute= and ProtectClock=",
            file: "a.service",
            text: "[Service]\nMemoryDenyWriteExecute=yes\nProtectClock=yes\nRestrictFileSystems=ext4\n",
            asked: &[
                (&explain("mprotect", &["0", "0", "4", "--kernel", "6.2"]), 0, &["ERRNO(EPERM)"], &[]),
                (
                    &explain("mprotect", &["0", "0", "4", "--kernel", "6.3"]),
                    0,
                    &["ALLOW", "PR_SET_MDWE"],
                    &[],
                ),
                (&explain("clock_settime", &[]), 0, &["ERRNO(EPERM)", "ProtectClock="], &[]),
                (&["lint", "a.service"], 1, &["RestrictFileSystems: is not read"], &[]),
            ],
        },
    ]);
}

#[test]
fn f30_two_not_equals() {
    let socket = |op: &str, value: u64| format!(r#"{{"index":0,"value":{value},"op":"SCMP_CMP_{op}"}}"#);
    let entry = |args: &str| format!(r#"{{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{args}]}}"#);
    let profile = |entries: &[String]| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{}]}}"#,
            entries.join(",")
        )
    };
    let (alg, vsock) = (socket("NE", 38), socket("NE", 40));
    let apart = profile(&[entry(&alg), entry(&vsock)]);
    let one = profile(&[entry(&format!("{alg},{vsock}"))]);
    let range = profile(&[entry(&socket("LT", 38)), entry(&socket("GE", 38))]);
    let right = profile(&[entry(&socket("LT", 38)), entry(&socket("EQ", 39)), entry(&socket("GT", 40))]);
    let explain: &[&str] = &["explain", "p.json", "socket", "38", "--arch", "x86_64"];
    let undone: &[&str] = &["let socket through whatever its arguments", "domain != 0x26"];
    check(&[
        Case {
            source: "moby/moby#52501",
            file: "p.json",
            text: &apart,
            asked: &[(LINT, 1, undone, &[]), (explain, 0, &["ALLOW", "AF_ALG"], &[])],
        },
        Case {
            source: "opencontainers/runc#2735",
            file: "p.json",
            text: &one,
            asked: &[(LINT, 1, undone, &[]), (explain, 0, &["ALLOW"], &[])],
        },
        Case {
            source: "moby/moby#32714",
            file: "p.json",
            text: &range,
            asked: &[(LINT, 1, &["let socket through whatever"], &[])],
        },
        Case {
            source: "moby/profiles seccomp/default.json: how the default denies AF_ALG and AF_VSOCK",
            file: "p.json",
            text: &right,
            asked: &[(LINT, 1, &[], &["whatever its arguments"]), (explain, 0, &["ERRNO(EPERM)"], &[])],
        },
        Case {
            source: "opencontainers/runc#3109: an entry that hides another",
            file: "p.json",
            text: &profile(&[
                r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW"}"#.to_owned(),
                entry(&alg).replace("ALLOW", "KILL"),
            ]),
            asked: &[(LINT, 1, &["so these conditions never count for it"], &[])],
        },
    ]);
}

#[test]
fn f32_systemd_errno_zero() {
    let explain = |syscall: &'static str, more: &'static [&'static str]| {
        [&["explain", "a.service", syscall][..], more, &["--arch", "x86_64"]].concat()
    };
    let fsync = explain("fsync", &[]);
    let x86 = explain("read", &["--abi", "x86"]);
    check(&[
        Case {
            source: "systemd/systemd#7129",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=~fsync sync\nSystemCallErrorNumber=0\n",
            asked: &[
                (
                    &["lint", "a.service"],
                    1,
                    &["systemd ignores 0, so that denied syscalls kill the process"],
                    &[],
                ),
                (&fsync, 0, &["KILL_PROCESS"], &["ERRNO(0)"]),
                (&x86, 0, &["read on x86: ALLOW"], &[]),
            ],
        },
        Case {
            source: "systemd/systemd#7169",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=~@clock @nosuchgroup fsnc:EPERM\nSystemCallFilter=openat:ENOENT\nSystemCallErrorNumber=EPREM\n",
            asked: &[
                (
                    &["lint", "a.service"],
                    1,
                    &[
                        "unknown set \"@nosuchgroup\"",
                        "did you mean fsync?",
                        "takes no error",
                        "did you mean EPERM?",
                    ],
                    &[],
                ),
                (&explain("clock_settime", &[]), 0, &["KILL_PROCESS"], &[]),
                (&explain("openat", &[]), 0, &["openat on x86_64: ALLOW"], &[]),
            ],
        },
        Case {
            source: "vmonaco/kloak#28",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=ioctl read openat close mmap execve \\\n  exit_group\n",
            asked: &[
                (&explain("pread64", &[]), 0, &["KILL_PROCESS"], &[]),
                (&explain("rseq", &[]), 0, &["ALLOW"], &[]),
                (&explain("exit_group", &[]), 0, &["ALLOW"], &[]),
                (&x86, 0, &["read on x86: ALLOW"], &[]),
            ],
        },
        Case {
            source: "systemd/systemd#16739: what systemd does not know fails with ENOSYS, what it knows is killed",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=read\n",
            asked: &[
                (&explain("statx", &[]), 0, &["KILL_PROCESS"], &[]),
                (&explain("600", &[]), 0, &["ERRNO(ENOSYS)"], &[]),
            ],
        },
        Case {
            source: "systemd.exec(5): read:EPERM after ~ in a list that allows, kill, and the second list",
            file: "a.service",
            text: "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~openat:EACCES fsync:kill\nSystemCallErrorNumber=EPERM\n",
            asked: &[
                (&explain("openat", &[]), 0, &["ERRNO(EACCES)"], &[]),
                (&fsync, 0, &["KILL_PROCESS"], &[]),
                (&explain("reboot", &[]), 0, &["ERRNO(EPERM)"], &[]),
            ],
        },
    ]);
}

#[test]
fn f34_profile_objects_as_they_come() {
    const OBJECT: &str = "apiVersion: security-profiles-operator.x-k8s.io/v1\nkind: SeccompProfile\n";
    let many = format!(
        "{OBJECT}metadata: {{name: block-all}}\nspec: {{defaultAction: SCMP_ACT_ERRNO}}\n---\n{OBJECT}metadata: {{name: complain}}\nspec: {{defaultAction: SCMP_ACT_LOG, disabled: true}}\n"
    );
    let generated = format!(
        "{OBJECT}metadata: {{generateName: trace1-, namespace: gadget}}\nspec:\n  architectures: [SCMP_ARCH_X86_64]\n  defaultAction: SCMP_ACT_ERRNO\n  syscalls: [{{action: SCMP_ACT_ALLOW, names: [read]}}]\nstatus: {{}}\n"
    );
    let based = format!(
        "{OBJECT}metadata: {{name: app}}\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  baseProfileName: runc-v1.3.0\n"
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: agent}\ndata:\n  probe-seccomp.json: |\n    {\"defaultAction\":\"SCMP_ACT_ERRNO\",\n     \"syscalls\":[{\"names\":[\"read\",\"setsidaccept4\"],\"action\":\"SCMP_ACT_ALLOW\"}]}\n";
    let inspected = r#"[{"Id":"1","Name":"/web","HostConfig":{"SecurityOpt":["seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"raed\"],\"action\":\"SCMP_ACT_ALLOW\"}]}"]}}]"#;
    let config =
        r#"{"ociVersion":"1.2.0","process":{},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALOW"}}}"#;
    check(&[
        Case {
            source: "security-profiles-operator examples/seccompprofile.yaml: several objects in a file",
            file: "p.yaml",
            text: &many,
            asked: &[
                (
                    &["lint", "p.yaml"],
                    1,
                    &["p.yaml#block-all:1:1:", "p.yaml#complain:6:1:", "does not install"],
                    &[],
                ),
                (&["explain", "p.yaml#complain", "read"], 0, &["read on", "LOG"], &[]),
                (
                    &["explain", "p.yaml", "read"],
                    2,
                    &["holds 2 profiles; name one: p.yaml#block-all, p.yaml#complain"],
                    &[],
                ),
                (&["explain", "p.yaml#complian", "read"], 2, &["did you mean complain?"], &[]),
            ],
        },
        Case {
            source: "inspektor-gadget/inspektor-gadget#426",
            file: "p.yaml",
            text: &generated,
            asked: &[(&["export", "p.yaml"], 0, &["\"defaultAction\": \"SCMP_ACT_ERRNO\"", "\"read\""], &[])],
        },
        Case {
            source: "security-profiles-operator: base profiles",
            file: "p.yaml",
            text: &based,
            asked: &[(&["lint", "p.yaml"], 1, &["runc-v1.3.0 is not in this file"], &[])],
        },
        Case {
            source: "DataDog/helm-charts#2636",
            file: "p.yaml",
            text: map,
            asked: &[(
                &["lint", "p.yaml"],
                1,
                &["p.yaml:7:35: warning: syscalls[0].names: unknown syscall \"setsidaccept4\""],
                &[],
            )],
        },
        Case {
            source: "docs.docker.com/reference/cli/docker/inspect: HostConfig.SecurityOpt",
            file: "inspect.json",
            text: inspected,
            asked: &[(
                &["lint", "inspect.json"],
                1,
                &["unknown syscall \"raed\", which runtimes ignore; did you mean read?"],
                &[],
            )],
        },
        Case {
            source: "opencontainers/runtime-spec config-linux.md",
            file: "config.json",
            text: config,
            asked: &[(
                &["lint", "config.json"],
                2,
                &[
                    "linux.seccomp.defaultAction: unknown action \"SCMP_ACT_ALOW\"; did you mean SCMP_ACT_ALLOW?",
                ],
                &[],
            )],
        },
    ]);
    // A quadlet names a file beside it (podman-systemd.unit(5), SeccompProfile=).
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.container"), "[Container]\nImage=web\nSeccompProfile=web.json\n")
        .unwrap();
    let (code, text) = palisade(folder.path(), &["explain", "web.container", "read"]);
    assert_eq!((code, text.contains("names the profile web.json")), (2, true), "{text}");
    std::fs::write(folder.path().join("web.json"), r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#).unwrap();
    let (code, text) = palisade(folder.path(), &["explain", "web.container", "read"]);
    assert_eq!((code, text.contains("ERRNO(EPERM)")), (0, true), "{text}");
}

#[test]
fn f36_not_json() {
    let strict: &[&str] = &["lint", "--strict", "p.json"];
    let case = |source, text, says| Case { source, file: "p.json", text, asked: says };
    check(&[
        case(
            "cri-o/cri-o#1767",
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"},]}",
            &[(strict, 2, &["p.json:1:92: error: a comma"], &[])],
        ),
        case(
            "microsoft/playwright#18457",
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\", # base\n \"syscalls\":[]}",
            &[(strict, 2, &["p.json:1:36: error: JSON has no comments"], &[])],
        ),
        case(
            "golang/go#12254: a byte order mark",
            "\u{feff}{\"defaultAction\":\"SCMP_ACT_LOG\"}",
            &[(strict, 2, &["p.json:1:1: error: a byte order mark"], &[])],
        ),
        case(
            "a file cut by a full disk",
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n\"syscalls\":[{\"names\":[\"read\"],\"act",
            &[(strict, 2, &["p.json:2:", "ends in the middle"], &[])],
        ),
        case(
            "a value cut by an editor",
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"args\":n\"comment\":\"\"}]}",
            &[(strict, 2, &["not JSON"], &[])],
        ),
        case(
            "microsoft/playwright#18457: the entry alone, as a list",
            "[{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\"}]",
            &[(strict, 2, &["the list of its syscalls alone"], &[])],
        ),
        case(
            "microsoft/playwright#18457: the entry alone",
            "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\"}",
            &[(strict, 2, &["one entry of syscalls, not a profile"], &[])],
        ),
    ]);
    // The security-profiles-operator also reads YAML.
    let folder = tempfile::tempdir().unwrap();
    let yaml = "kind: SeccompProfile\nmetadata: {name: a}\nspec:\n  defaultAction: SCMP_ACT_LOG # base\n";
    std::fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    assert_eq!(palisade(folder.path(), &["lint", "p.yaml"]).0, 1);
}

/// An entry names the syscall, and something prevents it from applying: that is reported, with the option.
#[test]
fn gates_and_lines_that_take_out_are_named() {
    let gated = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read","cachestat"],"action":"SCMP_ACT_ALLOW"},
        {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
        {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
        {"names":["s390_runtime_instr","syslog"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390","s390x"]}},
        {"names":["keyctl"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"]}}]}"#;
    let explain = |syscall: &'static str, more: &'static [&'static str]| {
        [&["explain", "p.json", syscall, "--arch", "x86_64"][..], more].concat()
    };
    let (mount, admin) = (explain("mount", &[]), explain("mount", &["--cap", "SYS_ADMIN"]));
    let (old, new) = (explain("ptrace", &["--kernel", "4.7"]), explain("ptrace", &[]));
    let unit =
        "[Service]\nSystemCallFilter=@system-service @pkey\nSystemCallFilter=~@privileged @resources\n";
    let service = |syscall: &'static str| ["explain", "a.service", syscall, "--arch", "x86_64"];
    check(&[
        Case {
            source: "moby/profiles seccomp/default.json: pidfd_getfd, mount, setns, keyctl, ptrace",
            file: "p.json",
            text: gated,
            asked: &[
                (
                    &mount,
                    0,
                    &[
                        "p.json:2:9: syscalls[1], ALLOW: names it, but counts only with CAP_SYS_ADMIN (--cap)",
                        "no rule that counts here names it",
                    ],
                    &["no rule names it"],
                ),
                // The report is true.
                (&admin, 0, &["mount on x86_64: ALLOW"], &["names it, but"]),
                (
                    &old,
                    0,
                    &["syscalls[2], ALLOW: names it, but counts only from Linux 4.8 on (--kernel)"],
                    &[],
                ),
                (&new, 0, &["ptrace on x86_64: ALLOW"], &["names it, but"]),
                (&explain("syslog", &[]), 0, &["counts only on s390, s390x (--arch)"], &[]),
                (&explain("keyctl", &[]), 0, &["counts only without CAP_CHOWN (--cap)"], &[]),
                (&explain("reboot", &[]), 0, &["no rule names it: the profile's default"], &[]),
            ],
        },
        Case {
            source: "NixOS/nixpkgs#273929 and others: a later line takes out what a set of the first has",
            file: "a.service",
            text: unit,
            asked: &[
                (
                    &service("sched_setaffinity"),
                    0,
                    &["a.service:3:1: SystemCallFilter=~@resources takes it out of the list again"],
                    &["no rule names it"],
                ),
                (&service("chown"), 0, &["a.service:3:1: SystemCallFilter=~@privileged takes it out"], &[]),
                (&service("read"), 0, &["ALLOW"], &["takes it out"]),
            ],
        },
    ]);
}

/// ENOSYS for syscalls that are newer than a profile is runc's answer, and not that of all runtimes.
#[test]
fn answers_are_said_by_runtime() {
    let profile = |names: &str, default: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_{default}","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":["read","write","close","openat","execve","exit_group","mmap","mprotect","newfstatat","arch_prctl",{names}],"action":"SCMP_ACT_ALLOW"}}]}}"#
        )
    };
    let old = profile("\"faccessat\"", "ERRNO");
    let explain: &[&str] = &["explain", "p.json", "faccessat2", "--arch", "x86_64"];
    let says: &[&str] = &[
        "ERRNO(ENOSYS)",
        "runc from 1.0.0-rc93 on answers so; crun (with Podman too), older runc and libseccomp alone answer with the profile's default, ERRNO(EPERM) (--unknown default)",
    ];
    let by_default: &[&str] = &["lint", "p.json", "--arch", "x86_64", "--unknown", "default"];
    check(&[
        Case {
            source: "moby/moby#41090 and containers/crun: faccessat2 under a profile of 2019",
            file: "p.json",
            text: &old,
            asked: &[
                (explain, 0, says, &[]),
                (&[explain, &["--unknown", "default"]].concat(), 0, &["ERRNO(EPERM)"], &["runc"]),
                (LINT, 1, &["openat2, faccessat2, statx and close_range: newer than all syscalls that the profile names", "return ERRNO(EPERM), on which programs do not fall back"], &["newer forms of"]),
                (by_default, 1, &["openat2, faccessat2, statx and close_range: newer forms of syscalls that are let through get ERRNO(EPERM)"], &[]),
            ],
        },
        Case {
            source: "what lint says, done",
            file: "p.json",
            text: &old.replace("}]}", r#"},{"names":["openat2","faccessat2","statx","close_range"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#),
            asked: &[(LINT, 1, &[], &["newer than all", "newer forms"]), (by_default, 1, &[], &["newer forms"])],
        },
    ]);
}

/// The capabilities of a container decide which entries of its profile count: moby `oci/caps`, containers.conf(5).
#[test]
fn capabilities_are_those_of_the_container() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},{"names":["mknod"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_MKNOD"]}}]}"#;
    write("p.json", profile);
    let compose = |more: &str| {
        format!("services:\n  a:\n    image: a\n    security_opt: ['seccomp:p.json']\n    {more}\n")
    };
    write("add.yaml", &compose("cap_add: [sys_admin]"));
    write("drop.yaml", &compose("cap_drop: [ALL]"));
    write("all.yaml", &compose("privileged: true"));
    write("inline.yaml", &compose("x: y").replace("p.json", "{\"defaultAction\": 1}"));
    write("add.container", "[Container]\nSeccompProfile=p.json\nAddCapability=CAP_SYS_ADMIN CAP_BPF\n");
    write("plain.container", "[Container]\nPodmanArgs=--security-opt seccomp=p.json --cap-add=bpf\n");
    write("priv.container", "[Container]\nPodmanArgs=--privileged\n");
    let inspected = |host: &str| {
        let quoted = profile.replace('"', "\\\"");
        format!(r#"[{{"Name":"/a","HostConfig":{{"SecurityOpt":["seccomp={quoted}"],{host}}}}}]"#)
    };
    write("add.json", &inspected(r#""CapAdd":["CAP_SYS_ADMIN"],"CapDrop":["MKNOD"]"#));
    write("null.json", &inspected(r#""CapAdd":null,"Privileged":false"#));
    write("priv.json", r#"[{"Name":"/a","HostConfig":{"SecurityOpt":null,"Privileged":true}}]"#);
    let (allow, deny) = ("ALLOW", "ERRNO(EPERM)");
    for (args, says) in [
        (&["add.yaml", "bpf"][..], allow),
        (&["add.yaml", "mknod"], allow),
        (&["add.yaml", "bpf", "--cap", "CHOWN"], deny),
        (&["drop.yaml", "mknod"], deny),
        (&["all.yaml", "bpf"], allow),
        (&["all.yaml", "bpf"], "all.yaml:4:20: the container is privileged: Docker 25"),
        (&["add.yaml", "bpf"], "p.json:1:"),
        (&["inline.yaml", "bpf"], "write it to a file, and name that"),
        (&["add.container", "bpf"], allow),
        (&["plain.container", "bpf"], deny),
        (&["plain.container", "mknod"], deny),
        (&["priv.container", "bpf"], "runs without a filter"),
        (&["add.json", "bpf"], allow),
        (&["add.json", "mknod"], deny),
        (&["null.json", "bpf"], deny),
        (&["null.json", "mknod"], allow),
        (&["priv.json", "bpf"], "runs without a filter"),
        (&[".", "bpf"], "is a folder; name the files in it"),
    ] {
        let (_, text) = palisade(folder.path(), &[&["explain"], args, &["--arch", "x86_64"]].concat());
        assert!(text.contains(says), "{args:?}: {says:?} in {text}");
    }
}

/// For a systemd unit, `run --watch` prints lines of unit syntax.
#[cfg(target_os = "linux")]
#[test]
fn the_list_of_run_watch_is_in_the_units_words() {
    let folder = tempfile::tempdir().unwrap();
    let unit = "[Service]\nSystemCallErrorNumber=EPERM\nSystemCallFilter=~uname\n";
    let write = |text: &str| std::fs::write(folder.path().join("u.service"), text).unwrap();
    write(unit);
    let watch = ["run", "u.service", "--watch", "--", "uname"];
    let (_, text) = palisade(folder.path(), &watch);
    assert!(text.contains("[Service]:\n  SystemCallFilter=uname") && !text.contains("SCMP_ACT"), "{text}");
    // What it says, done.
    write(&format!("{unit}SystemCallFilter=uname\n"));
    let (code, text) = palisade(folder.path(), &watch);
    assert!(code == 0 && text.contains("nothing was denied"), "{text}");
}

/// A new user's inputs: numbers as strace writes them, another ABI's name, a file of records, a base beside its
/// profile.
#[test]
fn words_as_people_have_them_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "p.json",
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    write(
        "st.strace",
        "syscall_0x1b5(0x6, 0x55f30681c180, 0x7ffdc8e34730, 0x18, 0, 0) = -1 EPERM (Operation not permitted)\n",
    );
    write("compose.yaml", "services:\n  web:\n    image: nginx\n    security_opt: ['seccomp:./p.json']\n");
    write("empty", "");
    for number in ["0x1b5", "syscall_0x1b5", "437"] {
        let (code, text) = palisade(folder.path(), &["explain", "p.json", number, "--arch", "x86_64"]);
        assert!(code == 0 && text.starts_with("openat2 on x86_64"), "{number}: {text}");
    }
    let (code, text) = palisade(folder.path(), &["minimize", "st.strace", "--arch", "x86_64"]);
    assert!(code == 0 && text.contains("\"openat2\"") && !text.contains("in no table"), "{text}");
    let (code, text) = palisade(folder.path(), &["explain", "p.json", "fadvise64_64", "--arch", "arm"]);
    assert_eq!((code, text.contains("there it is arm_fadvise64_64")), (2, true), "{text}");
    let (code, text) = palisade(folder.path(), &["explain", "compose.yaml", "read"]);
    assert_eq!((code, text.contains("ALLOW")), (0, true), "{text}");
    let (code, text) = palisade(folder.path(), &["minimize", "--base", "p.json", "empty"]);
    assert_eq!((code, text.contains("holds no record")), (0, true), "{text}");
    assert_eq!(palisade(folder.path(), &["minimize", "empty"]).0, 2);
    let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .current_dir(folder.path())
        .args(["denials", "st.strace", "--state"])
        .arg(folder.path().join("state"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let says = !cfg!(target_os = "linux") || text.contains("palisade seccomp minimize st.strace");
    assert_eq!((output.status.code(), says), (Some(2), true), "{text}");
}

/// Syscalls that a base in the same file allows are not reported as missing.
#[test]
fn a_base_beside_its_profile_counts() {
    let object = |name: &str, base: &str, names: &str| {
        format!(
            "apiVersion: security-profiles-operator.x-k8s.io/v1\nkind: SeccompProfile\nmetadata: {{name: {name}}}\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  architectures: [SCMP_ARCH_X86_64]\n{base}  syscalls:\n  - action: SCMP_ACT_ALLOW\n    names: [{names}]\n"
        )
    };
    let needs = "arch_prctl, brk, capget, capset, chdir, close, close_range, epoll_ctl, epoll_pwait, execve, exit_group, faccessat2, fcntl, fstat, fstatfs, futex, getcwd, getdents64, getpid, getppid, getuid, mmap, mprotect, nanosleep, newfstatat, openat, openat2, prctl, read, recvfrom, rt_sigreturn, sched_yield, set_tid_address, setgid, setgroups, setuid, sigaltstack, statx, tgkill, write";
    let base = object("runc-v1.4.2", "", needs);
    let app = object("mine", "  baseProfileName: runc-v1.4.2\n", "mkdir");
    let both = format!("{base}---\n{app}");
    check(&[
        Case {
            source: "security-profiles-operator examples/baseprofile-runc.yaml",
            file: "p.yaml",
            text: &both,
            asked: &[
                // crun's own are not in runc's base.
                (
                    &["lint", "p.yaml", "--arch", "x86_64"],
                    1,
                    // Nor is what the loader of a program needs and runc does not.
                    &["crun where", "start needs pread64, denied here"],
                    &["runc needs", "needs readlinkat", "is not in this file"],
                ),
                (
                    &["explain", "p.yaml#mine", "openat2", "--arch", "x86_64"],
                    0,
                    &["openat2 on x86_64: ALLOW"],
                    &[],
                ),
            ],
        },
        Case {
            source: "the profile alone: the base is on the cluster",
            file: "p.yaml",
            text: &app,
            asked: &[(
                &["lint", "p.yaml", "--arch", "x86_64"],
                1,
                &["runc-v1.4.2 is not in this file"],
                &["no container starts", "before its main"],
            )],
        },
    ]);
}

/// The syscalls that lint asks for, one line after the other until it asks for none.
#[cfg(target_os = "linux")]
fn least_by_lint(folder: &Path) -> String {
    let mut names = vec!["execve".to_owned()];
    for _ in 0..20 {
        let list: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":[{}],"action":"SCMP_ACT_ALLOW"}}]}}"#,
            list.join(",")
        );
        std::fs::write(folder.join("p.json"), &text).unwrap();
        let (_, said) = palisade(folder, &["lint", "p.json"]);
        let asked =
            said.lines().filter_map(|line| line.split_once(", denied here")?.0.rsplit_once(" needs "));
        let more: Vec<_> = asked
            .flat_map(|(_, list)| list.split(", ").flat_map(|word| word.split(" and ")).map(str::to_owned))
            .collect();
        if more.is_empty() {
            return text;
        }
        names.extend(more);
    }
    panic!("lint goes on asking: {names:?}");
}

/// NVIDIA/libnvidia-container#124, francma/wob#62: what lint asks for is enough for a program to start.
#[cfg(target_os = "linux")]
#[test]
fn f22_the_list_of_lint_starts_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let text = least_by_lint(folder.path());
    let (code, said) = palisade(folder.path(), &["run", "p.json", "--", "true"]);
    assert_eq!((code, said.as_str()), (0, ""), "{text}");
    for name in ["pread64", "mmap"] {
        std::fs::write(folder.path().join("p.json"), text.replace(&format!("\"{name}\","), "")).unwrap();
        assert_ne!(palisade(folder.path(), &["run", "p.json", "--", "true"]).0, 0, "without {name}: {text}");
    }
}

fn denying(names: &str) -> String {
    format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_KILL"}}]}}"#
    )
}

fn allowing(names: &str, more: &str) -> String {
    format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}{more}]}}"#
    )
}

/// Lists that deny what a start needs.
#[test]
fn denials_that_no_start_survives() {
    let statx = allowing(
        "\"stat\",\"newfstatat\",\"futex_wake\"",
        r#",{"names":["statx"],"action":"SCMP_ACT_ERRNO","errnoRet":38}"#,
    );
    let file = "p.json";
    check(&[
        Case {
            source: "moby/moby#36830",
            file,
            text: &denying("\"execve\""),
            asked: &[(
                LINT,
                1,
                &[
                    "start needs execve, denied here: the program ends before its main; take them out of syscalls[0]",
                ],
                &["execveat"],
            )],
        },
        Case {
            source: "moby/moby#22252",
            file,
            text: &denying("\"fstatfs\",\"prctl\",\"futex\""),
            asked: &[(
                LINT,
                1,
                &["runc needs fstatfs, futex and prctl", "ensure /proc/self/fd is on procfs"],
                &[],
            )],
        },
        Case {
            source: "natlas/natlas#1301: ENOSYS for what runc needs",
            file,
            text: &statx,
            asked: &[(LINT, 1, &["1.4.0-rc.3 on needs fstatfs, readlinkat and statx"], &[])],
        },
    ]);
}

/// Entries that older runtimes refuse, and errors of runtimes older than the profile.
#[test]
fn older_runtimes() {
    let enosys = allowing("\"clone\"", r#",{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}"#);
    let bdflush = allowing("\"read\"", r#",{"names":["bdflush"],"action":"SCMP_ACT_ERRNO","errnoRet":1}"#)
        .replace("\"architectures", "\"defaultErrnoRet\":38,\"architectures");
    let personality = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2080505856,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
    let below = allowing("\"close\",\"faccessat2\"", "");
    let file = "p.json";
    check(&[
        Case {
            source: "moby/moby#43595: runc 1.1.5 answers EPERM, faccessat2 being 439",
            file,
            text: &below,
            asked: &[
                (
                    &["explain", file, "close_range", "--arch", "x86_64"],
                    0,
                    &["runc has that only above the highest number named, 439 (faccessat2), so runc, crun"],
                    &["rc93 on answers so"],
                ),
                (
                    LINT,
                    1,
                    &["close_range: newer than the profile, but with a number below that of faccessat2"],
                    &[],
                ),
            ],
        },
        Case {
            source: "opencontainers/runc#1847",
            file,
            text: personality,
            asked: &[(
                LINT,
                1,
                &[
                    "syscalls[0].action: ALLOW is the default anyway",
                    "syscalls[1].action: ALLOW is the default anyway",
                ],
                &["so that clone with it is let through"],
            )],
        },
        Case {
            source: "containers/podman#11029, #11883",
            file,
            text: &bdflush,
            asked: &[
                (LINT, 1, &["runc before 1.0.0-rc95 ignores defaultErrnoRet"], &[]),
                (&["explain", file, "bdflush", "--arch", "x86_64"], 2, &["x86 has it: --abi x86"], &[]),
                (
                    &["explain", file, "bdflush", "--arch", "x86_64", "--abi", "x86"],
                    0,
                    &["ERRNO(EPERM)"],
                    &[],
                ),
            ],
        },
        Case {
            source: "containerd/containerd#6203",
            file,
            text: &enosys,
            asked: &[(
                &["explain", file, "clone3", "--arch", "x86_64"],
                0,
                &["runc before 1.0.0-rc91 ignores errnoRet", "libseccomp knows clone3 from 2.4.2 on"],
                &[],
            )],
        },
    ]);
}

/// Names that libc has for other syscalls, and those that an older libseccomp does not know.
#[test]
fn names_and_libseccomp() {
    let pread = allowing("\"pread\",\"pwrite\",\"fstatat\"", "");
    let umount = denying("\"umount\",\"recv\",\"send\",\"waitpid\",\"sigaction\"");
    let arm = allowing("\"clock_gettime64\",\"statx\",\"read\"", "")
        .replace("X86_64", "AARCH64")
        .replace("_X86\"", "_ARM\"");
    let file = "p.json";
    check(&[
        Case {
            source: "alpinelinux/docker-alpine#150, gerbera/gerbera#2485, docker-library/official-images#16829",
            file,
            text: &arm,
            asked: &[
                (
                    &["explain", file, "clock_gettime64", "--abi", "arm", "--arch", "aarch64"],
                    0,
                    &["libseccomp knows clock_gettime64 from 2.4.2 on", "ERRNO(EPERM), there"],
                    &[],
                ),
                (
                    &["explain", file, "statx", "--arch", "aarch64"],
                    0,
                    &["libseccomp knows statx from 2.3.3 on"],
                    &[],
                ),
                (&["explain", file, "read", "--arch", "aarch64"], 0, &["ALLOW"], &["libseccomp"]),
            ],
        },
        Case {
            source: "antitree/syscall2seccomp#1",
            file,
            text: &pread,
            asked: &[
                (
                    LINT,
                    1,
                    &[
                        "\"pread\", which runtimes ignore; did you mean pread64?",
                        "did you mean pwrite64?",
                        "did you mean newfstatat?",
                    ],
                    &[],
                ),
                (&["explain", file, "pread"], 2, &["did you mean pread64?"], &[]),
            ],
        },
        Case {
            source: "antitree/syscall2seccomp#1: names of other machines",
            file,
            text: &umount,
            asked: &[(
                LINT,
                1,
                &[
                    "umount (there: umount2), recv (there: recvfrom), send (there: sendto), waitpid (there: wait4), sigaction (there: rt_sigaction)",
                ],
                &[],
            )],
        },
    ]);
}

/// Units: `~` inside of a line, a list that denies before one that was to allow, and what the kernel does itself.
#[test]
fn units_whose_lines_do_not_do_what_they_seem_to() {
    let file = "u.service";
    let lint: &[&str] = &["lint", file, "--arch", "x86_64"];
    check(&[
        Case {
            source: "NixOS/nixpkgs#123258",
            file,
            text: "[Service]\nSystemCallFilter=@system-service ~@resources ~@ipc ~@keyring\n",
            asked: &[(
                lint,
                1,
                &[
                    "this line allows, so deny by a line of its own after it: SystemCallFilter=~@resources @ipc @keyring",
                ],
                &["write @resources"],
            )],
        },
        Case {
            source: "what it says, done",
            file,
            text: "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~@resources @ipc @keyring\n",
            asked: &[
                (&["explain", file, "keyctl", "--arch", "x86_64"], 0, &["KILL_PROCESS"], &[]),
                (lint, 1, &[], &["systemd ignores", "line 2 makes"]),
            ],
        },
        Case {
            source: "fwupd/fwupd#7118",
            file,
            text: "[Service]\nSystemCallFilter=~@mount @debug\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM\n",
            asked: &[(
                lint,
                1,
                &[
                    "line 2 makes this a list of what is denied, so this line allows nothing",
                    "put this line before line 2",
                ],
                &[],
            )],
        },
        Case {
            source: "what it says, done",
            file,
            text: "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~@mount @debug\nSystemCallErrorNumber=EPERM\n",
            asked: &[(&["explain", file, "kexec_load", "--arch", "x86_64"], 0, &["ERRNO(EPERM)"], &[])],
        },
        Case {
            source: "systemd/systemd#27552",
            file,
            text: "[Service]\nSystemCallFilter=~ execve\n",
            asked: &[(lint, 1, &["start needs execve", "SystemCallFilter=execve on a later line"], &[])],
        },
        Case {
            source: "gastownhall/gascity-dashboard#174, nodejs/node#55509",
            file,
            text: "[Service]\nMemoryDenyWriteExecute=true\n",
            asked: &[
                (
                    &["explain", file, "mprotect", "0", "4096", "7", "--arch", "x86_64"],
                    0,
                    &[
                        "mprotect on x86_64: ALLOW by the filter; the kernel then fails it",
                        "EACCES (PR_SET_MDWE)",
                    ],
                    &[],
                ),
                (
                    &["explain", file, "mprotect", "0", "4096", "3", "--arch", "x86_64"],
                    0,
                    &["mprotect on x86_64: ALLOW\n"],
                    &["EACCES"],
                ),
                (
                    &["explain", file, "mprotect", "0", "4096", "7", "--arch", "x86_64", "--kernel", "6.1"],
                    0,
                    &["mprotect on x86_64: ERRNO(EPERM)"],
                    &["EACCES"],
                ),
            ],
        },
    ]);
}
