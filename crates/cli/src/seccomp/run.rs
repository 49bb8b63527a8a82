//! `palisade seccomp run`.

#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: &super::args::RunArgs) -> crate::Outcome {
    Err("only Linux runs commands under a profile; `explain`, `simulate` and `compile` work here".into())
}

#[cfg(target_os = "linux")]
pub(super) use linux::run;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{BTreeMap, BTreeSet};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    use palisade_seccomp::{
        Action, Data, Decider, Filter, Program, Rules, Unknown, Weights, compile, explain, profile::Profile,
        table::Syscall,
    };
    use palisade_sys::notify::{self, Listener, Notification};
    use palisade_sys::seccomp::{self, Loading};

    use super::super::args::RunArgs;
    use super::super::input;
    use crate::Failure;

    /// The command's own exit code is returned, as a shell would.
    pub(in super::super) fn run(args: &RunArgs) -> crate::Outcome {
        let (profile, rules) = input::rules(&args.file, &args.context)?;
        let [program, rest @ ..] = args.command.as_slice() else { return Err("a command is missing".into()) };
        let mut command = Command::new(program);
        command.args(rest);
        let status = match args.watch {
            true => watch(command, &rules, &profile, args.permissive)?,
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
        // Runtimes leave the mitigation off if there are no flags.
        let has = |flag: &str| profile.flags.as_ref().map(|flags| flags.iter().any(|other| other == flag));
        Loading {
            programs: programs.iter().map(Program::to_bytes).collect(),
            log: has("SECCOMP_FILTER_FLAG_LOG").unwrap_or(false),
            spec_allow: has("SECCOMP_FILTER_FLAG_SPEC_ALLOW").unwrap_or(true),
        }
    }

    /// The filter that notifies of all syscalls that the profile does not allow.
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

    fn watch(
        command: Command,
        rules: &Rules,
        profile: &Profile,
        permissive: bool,
    ) -> Result<ExitStatus, Failure> {
        let filter = Filter::new(rules)?;
        let programs = programs(&notifying(rules))?;
        if programs.len() > 1 {
            return Err("the profile needs more than one filter, of which only one could notify".into());
        }
        let name = command.get_program().to_owned();
        let supervised =
            notify::spawn(command, &loading(&programs, profile)).map_err(|error| started(&name, &error))?;
        let mut denials = Denials::default();
        while let Some(call) = supervised.listener.receive()? {
            let data = Data { number: call.number, arch: call.arch, args: call.args };
            let action = filter.decide(&data);
            if denials.is_new(&data, action, (rules, profile)) {
                anstream::eprintln!("{}", denied(&call, &data, action, (rules, profile)));
            }
            if permissive {
                supervised.listener.allow(call.id)?
            } else {
                answer(&supervised.listener, &call, action)?
            }
        }
        denials.print(permissive, profile.origin.is_unit());
        let child = supervised.child.join().map_err(|_| "the command could not be started")?;
        Ok(child.map_err(|error| started(&name, &error))?.wait()?)
    }

    /// Maximum number of distinct argument values of one syscall, which bounds the memory that a command can make this
    /// process use.
    const MAX_ENTRIES: usize = 1000;

    /// Denied syscalls, with their number.
    #[derive(Default)]
    struct Denials {
        seen: BTreeMap<(u32, u32, Action), usize>,
        /// Syscalls by name, with how often each was denied.
        counts: BTreeMap<String, usize>,
        /// Entries that check arguments, as texts.
        entries: BTreeSet<String>,
        /// Syscalls to allow whatever their arguments.
        names: BTreeSet<String>,
    }

    impl Denials {
        /// Records a denial; returns whether it is the first of its syscall.
        fn is_new(&mut self, data: &Data, action: Action, (rules, profile): (&Rules, &Profile)) -> bool {
            let seen = self.seen.entry((data.arch, data.number, action)).or_default();
            *seen += 1;
            let is_new = *seen == 1;
            let Some(arch) = data.arch_among(&rules.archs) else { return is_new };
            let name = input::name(arch, data.number);
            *self.counts.entry(name.clone()).or_default() += 1;
            if let Some(directive) = directive(data, rules, profile) {
                self.entries.insert(format!("without {directive}"));
                return is_new;
            }
            if profile.origin.is_unit() {
                self.names.insert(name);
                return is_new;
            }
            let entry = missing_rule(&name, data, rules);
            if entry.get("args").is_none() {
                self.names.insert(name);
            } else if self.entries.len() < MAX_ENTRIES {
                self.entries.insert(entry.to_string());
            }
            is_new
        }

        fn print(&self, permissive: bool, is_unit: bool) {
            if self.seen.is_empty() {
                anstream::eprintln!("nothing was denied");
                return;
            }
            let counts: Vec<_> =
                self.counts.iter().map(|(name, count)| format!("{name} ({count})")).collect();
            let how = if permissive { "would have been denied" } else { "denied" };
            anstream::eprintln!("{how} in all: {}", counts.join(", "));
            let named = |names: &BTreeSet<String>| match is_unit {
                true => {
                    format!("SystemCallFilter={}", names.iter().cloned().collect::<Vec<_>>().join(" "))
                }
                false => serde_json::json!({"names": names, "action": "SCMP_ACT_ALLOW"}).to_string(),
            };
            let whole = (!self.names.is_empty()).then(|| named(&self.names));
            let entries: Vec<_> = whole.into_iter().chain(self.entries.iter().cloned()).collect();
            let (place, between) =
                if is_unit { ("the end of [Service]", "\n  ") } else { ("syscalls", ",\n  ") };
            anstream::eprintln!("to let all of them through, add to {place}:\n  {}", entries.join(between));
            if !permissive {
                anstream::eprintln!(
                    "a denial may have kept the command from what comes after it; --permissive goes on past denials"
                );
            }
        }
    }

    /// The error of the profile; EPERM if it would kill, so that the command continues and the list is complete.
    fn answer(listener: &Listener, call: &Notification, action: Action) -> std::io::Result<()> {
        match action {
            Action::Allow | Action::Log => listener.allow(call.id),
            Action::Errno(errno) => listener.fail(call.id, errno),
            Action::Trace(_) | Action::Notify => listener.fail(call.id, palisade_seccomp::errno::ENOSYS),
            Action::Trap(_) | Action::KillThread | Action::KillProcess => {
                listener.fail(call.id, palisade_seccomp::errno::EPERM)
            }
        }
    }

    /// The directive of a unit that denies a syscall and that `SystemCallFilter=` does not lift.
    fn directive<'p>(data: &Data, rules: &Rules, profile: &'p Profile) -> Option<&'p str> {
        let Decider::Rule(rule) = explain(rules, data).ok()?.decider else { return None };
        let entry = profile.entries.get(rules.rules.get(rule)?.entry)?;
        let is_own = profile.origin.is_unit() && !entry.comment.starts_with("SystemCallFilter");
        is_own.then_some(entry.comment.as_str()).filter(|comment| !comment.is_empty())
    }

    fn denied(
        call: &Notification,
        data: &Data,
        action: Action,
        (rules, profile): (&Rules, &Profile),
    ) -> String {
        let Some(arch) = data.arch_among(&rules.archs) else {
            return format!("denied: number {} by another architecture: {action}", data.number);
        };
        let name = input::name(arch, call.number);
        let known = Syscall::numbered(arch, call.number).and_then(|syscall| syscall.arguments(arch));
        let count = known.map_or(data.args.len(), |names| names.len());
        let args: Vec<_> =
            (0..).zip(data.args).take(count).map(|(at, arg)| argument(call.pid, &name, at, arg)).collect();
        let way = match directive(data, rules, profile) {
            Some(directive) => format!("change {directive}"),
            None if profile.origin.is_unit() => format!("add SystemCallFilter={name}"),
            None => format!("add {}", missing_rule(&name, data, rules)),
        };
        format!("denied: {name}({}) on {arch}: {action}; to let it through, {way}", args.join(", "))
    }

    /// The entry that allows this syscall: with the arguments that the profile checks already.
    fn missing_rule(name: &str, data: &Data, rules: &Rules) -> serde_json::Value {
        let own = rules.rules.iter().filter(|rule| rule.syscall.name() == name);
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

    /// An argument as a number, or the path that it points to.
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

    /// The string at an address of another process, if it can be read. It may change before the syscall continues, so
    /// it is for display only.
    fn text_at(pid: u32, address: u64) -> Option<String> {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
        let mut bytes = Vec::new();
        // Page by page, since the next page may not be mapped.
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
