//! `palisade seccomp run`.

#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: &super::args::RunArgs) -> crate::Outcome {
    Err("only Linux runs commands under a profile; `explain`, `simulate` and `compile` work here".into())
}

#[cfg(target_os = "linux")]
pub(super) use linux::run;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    use palisade_seccomp::action::Action;
    use palisade_seccomp::bpf::Program;
    use palisade_seccomp::compile::compile;
    use palisade_seccomp::explain::arch_of;
    use palisade_seccomp::filter::{Data, Filter, Rules, Unknown};
    use palisade_seccomp::profile::Profile;
    use palisade_seccomp::weight::Weights;
    use palisade_sys::notify::{self, Listener, Notification};
    use palisade_sys::seccomp::{self, Loading};

    use super::super::args::RunArgs;
    use super::super::input;
    use crate::Failure;

    /// The command's own exit code is the answer, as a shell would give it.
    pub(in super::super) fn run(args: &RunArgs) -> crate::Outcome {
        let (profile, rules) = input::rules(&args.file, &args.context)?;
        let [program, rest @ ..] = args.command.as_slice() else { return Err("a command is missing".into()) };
        let mut command = Command::new(program);
        command.args(rest);
        let status = match args.watch {
            true => watch(command, &rules, &profile)?,
            false => {
                let loading = loading(&programs(&rules)?, &profile);
                seccomp::spawn(command, &loading).map_err(|error| started(program, &error))?.wait()?
            }
        };
        std::process::exit(code(status))
    }

    fn started(program: &std::ffi::OsStr, error: &std::io::Error) -> Failure {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "; perhaps the profile does not let execve through",
            _ => "",
        };
        format!("{}: {error}{hint}", program.display()).into()
    }

    fn code(status: ExitStatus) -> i32 {
        if status.signal() == Some(31) {
            anstream::eprintln!("{}: killed by the filter (SIGSYS)", crate::paint::error("error"));
        }
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    fn programs(rules: &Rules) -> Result<Vec<Program>, Failure> {
        Ok(compile(&Filter::new(rules)?, Weights::shipped())?)
    }

    fn loading(programs: &[Program], profile: &Profile) -> Loading {
        // Without flags runtimes leave the mitigation off.
        let has = |flag: &str| profile.flags.as_ref().map(|flags| flags.iter().any(|other| other == flag));
        Loading {
            programs: programs.iter().map(Program::to_bytes).collect(),
            log: has("SECCOMP_FILTER_FLAG_LOG").unwrap_or(false),
            spec_allow: has("SECCOMP_FILTER_FLAG_SPEC_ALLOW").unwrap_or(true),
        }
    }

    /// The filter that notifies of all that the profile does not let through.
    fn notifying(rules: &Rules) -> Rules {
        let notify = |action: Action| if action.lets_through() { action } else { Action::Notify };
        let mut watched = rules.clone();
        watched.default = notify(rules.default);
        watched.bad_arch = notify(rules.bad_arch);
        watched.unknown = Unknown::Default;
        for rule in &mut watched.rules {
            rule.action = notify(rule.action);
        }
        watched
    }

    fn watch(command: Command, rules: &Rules, profile: &Profile) -> Result<ExitStatus, Failure> {
        let filter = Filter::new(rules)?;
        let programs = programs(&notifying(rules))?;
        if programs.len() > 1 {
            return Err("the profile needs more than one filter, of which only one could notify".into());
        }
        let name = command.get_program().to_owned();
        let supervised =
            notify::spawn(command, &loading(&programs, profile)).map_err(|error| started(&name, &error))?;
        let mut seen = BTreeSet::new();
        while let Some(call) = supervised.listener.receive()? {
            let data = Data { number: call.number, arch: call.arch, args: call.args };
            let action = filter.decide(&data);
            if seen.insert((call.arch, call.number, action)) {
                anstream::eprintln!("{}", denied(&call, &data, action, rules));
            }
            answer(&supervised.listener, &call, action)?;
        }
        let child = supervised.child.join().map_err(|_| "the command could not be started")?;
        Ok(child.map_err(|error| started(&name, &error))?.wait()?)
    }

    /// What the profile says happens, or the nearest that a supervisor can do.
    fn answer(listener: &Listener, call: &Notification, action: Action) -> std::io::Result<()> {
        match action {
            Action::Allow | Action::Log => listener.allow(call.id),
            Action::Errno(errno) => listener.fail(call.id, errno),
            Action::Trace(_) | Action::Notify => listener.fail(call.id, palisade_seccomp::errno::ENOSYS),
            Action::Trap(_) | Action::KillThread | Action::KillProcess => {
                // SIGSYS, which the filter would have sent; it is pending before the call returns.
                notify::kill(call.pid, 31)?;
                listener.fail(call.id, palisade_seccomp::errno::EPERM)
            }
        }
    }

    fn denied(call: &Notification, data: &Data, action: Action, rules: &Rules) -> String {
        let Some(arch) = arch_of(&rules.archs, data) else {
            return format!("denied: number {} by another architecture: {action}", data.number);
        };
        let name = input::name(arch, call.number);
        let args: Vec<_> = (0..).zip(data.args).map(|(at, arg)| argument(call.pid, &name, at, arg)).collect();
        let rule = missing_rule(&name, data, rules);
        format!("denied: {name}({}) on {arch}: {action}; to let it through, add {rule}", args.join(", "))
    }

    /// The entry that lets this call through: with the arguments that the profile looks at already.
    fn missing_rule(name: &str, data: &Data, rules: &Rules) -> serde_json::Value {
        let own = rules.rules.iter().filter(|rule| rule.call.name() == name);
        let looked_at: BTreeSet<u8> =
            own.flat_map(|rule| &rule.conditions).map(|condition| condition.arg()).collect();
        let args: Vec<_> = looked_at
            .iter()
            .filter_map(|&index| {
                let value = data.args.get(usize::from(index))?;
                Some(serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"}))
            })
            .collect();
        match args.is_empty() {
            true => serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW"}),
            false => serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": args}),
        }
    }

    /// An argument as a number, or as the path that it points to.
    fn argument(pid: u32, name: &str, at: usize, value: u64) -> String {
        let path_at: &[usize] = match name {
            "access" | "chdir" | "chmod" | "chown" | "chroot" | "creat" | "execve" | "lchown" | "lstat"
            | "mkdir" | "mknod" | "open" | "readlink" | "rmdir" | "stat" | "statfs" | "swapon"
            | "swapoff" | "truncate" | "umount2" | "unlink" | "utime" | "utimes" => &[0],
            "link" | "mount" | "pivot_root" | "rename" | "symlink" => &[0, 1],
            "execveat" | "faccessat" | "faccessat2" | "fchmodat" | "fchmodat2" | "fchownat" | "futimesat"
            | "mkdirat" | "mknodat" | "newfstatat" | "openat" | "openat2" | "readlinkat" | "statx"
            | "unlinkat" | "utimensat" => &[1],
            "linkat" | "renameat" | "renameat2" => &[1, 3],
            "symlinkat" => &[0, 2],
            _ => &[],
        };
        let text = if path_at.contains(&at) { text_at(pid, value) } else { None };
        text.map_or_else(|| format!("{value:#x}"), |text| format!("{text:?}"))
    }

    /// The text at an address of another process, if it can be read. It may change before the call goes on, so
    /// it is good for people only.
    fn text_at(pid: u32, address: u64) -> Option<String> {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
        let mut bytes = Vec::new();
        // Piece by piece, since the next page may not be there.
        while bytes.len() < 4096 {
            let mut piece = [0; 64];
            let at = address.checked_add(u64::try_from(bytes.len()).ok()?)?;
            let count = memory.read_at(&mut piece, at).ok().filter(|count| *count > 0)?;
            let piece = piece.get(..count)?;
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    bytes.extend_from_slice(piece.get(..end)?);
                    return Some(String::from_utf8_lossy(&bytes).into_owned());
                }
                None => bytes.extend_from_slice(piece),
            }
        }
        None
    }
}
