//! `palisade denials`.

use clap::{Args as ClapArgs, ValueEnum};

use crate::handler::HandlerArgs;

/// Report what seccomp filters denied: syscall, count, rule, and the entry that would allow it
///
/// For containers that palisade-oci has started, if their filters log: by the flag SECCOMP_FILTER_FLAG_LOG in the
/// profile, or `"log": true` in the handler's settings. Past denials come from auditd's log if there is one, else from
/// the kernel's, which drops all but some ten records in five seconds; --watch misses none. For a process that has
/// ended, or that is in no container, the container is ?; with `"loginIds": true` every record names its own.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade denials                     what is known of all containers
  palisade denials shop/web/nginx -w   one container's, as they happen; Ctrl-C ends it

Exits with 1 if there are any.")]
pub(crate) struct DenialsArgs {
    /// Container: an id, the beginning of one, or NAMESPACE/POD/CONTAINER; or all of a pod: NAMESPACE/POD, or POD
    pub(crate) container: Option<String>,
    /// Go on and print denials as they happen
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub(crate) output: Form,
    #[command(flatten)]
    pub(crate) handler: HandlerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Text,
    /// One JSON object a line
    Json,
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &DenialsArgs) -> crate::Outcome {
    Err("only Linux has filters that deny".into())
}

#[cfg(target_os = "linux")]
pub(crate) use linux::run;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Write;
    use std::path::Path;

    use palisade_oci::container::{Container, Containers};
    use palisade_oci::denials::{Counted, Denial, Denials, Event, Reasons, Tally, past};
    use serde_json::json;

    use super::{DenialsArgs, Form};
    use crate::exit::Exit;

    pub(crate) fn run(args: &DenialsArgs) -> crate::Outcome {
        let state = args.handler.state();
        let only = args.container.as_deref().map(|name| find(&state, name)).transpose()?;
        let is_meant = |denial: &Denial| match (&only, &denial.container) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(only), Some(container)) => only.iter().any(|one| one.id == container.id),
        };
        let printer = Printer { reasons: Reasons::of(&state)?, form: args.output };
        if args.watch {
            return watch(&state, &printer, is_meant);
        }
        let mut tally = Tally::default();
        for denial in past(&state)?.into_iter().filter(is_meant) {
            tally.add(denial);
        }
        printer.head()?;
        tally.iter().try_for_each(|counted| printer.line(counted))?;
        Ok(if tally.iter().next().is_some() { Exit::Findings } else { Exit::Fine })
    }

    fn find(state: &Path, name: &str) -> Result<Vec<Container>, crate::Failure> {
        let found = Containers::of(state)?.find_all(name);
        match found.is_empty() {
            true => Err(format!("no container {name:?} in {}{}", state.display(), hint(name)).into()),
            false => Ok(found),
        }
    }

    /// The command for a file of records, if a file was named as the container.
    fn hint(name: &str) -> String {
        match Path::new(name).is_file() {
            true => format!(
                "; to read the records in the file {name}: palisade seccomp minimize {name}, with --base PROFILE for what the profile lacks"
            ),
            false => "; `palisade inspect` lists them".to_owned(),
        }
    }

    /// Prints the first denial of a kind, then each tenth, hundredth and so on.
    fn watch(state: &Path, printer: &Printer, is_meant: impl Fn(&Denial) -> bool) -> crate::Outcome {
        let mut denials = Denials::watch(state)?;
        let mut tally = Tally::default();
        printer.head()?;
        loop {
            match denials.next(None)? {
                Event::Denial(denial) if is_meant(&denial) => {
                    let count = tally.add(denial.clone());
                    if count == 10_u64.saturating_pow(count.ilog10()) {
                        printer.line(&Counted { last: denial, count })?;
                    }
                }
                Event::Lost => anstream::eprintln!(
                    "{}: denials came faster than they could be read; some are not counted",
                    crate::paint::warning("warning")
                ),
                Event::Denial(_) | Event::Quiet => {}
            }
        }
    }

    struct Printer {
        reasons: Reasons,
        form: Form,
    }

    impl Printer {
        fn head(&self) -> std::io::Result<()> {
            match self.form {
                Form::Json => Ok(()),
                Form::Text => writeln!(
                    anstream::stdout(),
                    "{:<24} {:<18} {:<8} {:<14} {:>6}  {:<16} RULE",
                    "CONTAINER",
                    "SYSCALL",
                    "ABI",
                    "ANSWER",
                    "COUNT",
                    "COMMAND"
                ),
            }
        }

        fn line(&self, counted: &Counted) -> std::io::Result<()> {
            let denial = &counted.last;
            let container = denial.container.as_ref();
            let id = container.map_or("?", |container| &container.id);
            let name = container.and_then(|container| container.name.as_deref());
            let reason = self.reasons.reason(denial);
            let mut out = palisade_console::terminal::out();
            if self.form == Form::Json {
                let value = json!({
                    "container": id, "name": name, "syscall": denial.syscall(), "abi": denial.abi(),
                    "answer": denial.answer(), "count": counted.count, "command": denial.command,
                    "pid": denial.pid, "time": denial.time.as_secs_f64(),
                    "profile": reason.as_ref().map(|reason| &reason.profile),
                    "rule": reason.as_ref().map(|reason| &reason.rule),
                    "entry": reason.as_ref().map(|reason| &reason.entry),
                    "looksAtArguments": reason.as_ref().map(|reason| reason.looks_at_arguments),
                });
                return writeln!(out, "{value}");
            }
            let short: String = id.chars().take(24).collect();
            let rule = reason
                .as_ref()
                .map_or_else(String::new, |reason| format!("{}: {}", reason.profile, reason.rule));
            writeln!(
                out,
                "{:<24} {:<18} {:<8} {:<14} {:>6}  {:<16} {rule}",
                name.unwrap_or(&short),
                denial.syscall(),
                denial.abi(),
                denial.answer(),
                counted.count,
                denial.command
            )?;
            match reason {
                Some(_) if denial.is_by_runtime() => {
                    writeln!(out, "  made as the container was started: nothing to add if it runs")
                }
                Some(_) if denial.is_by_libc() => writeln!(
                    out,
                    "  made by the C library at the start of a program, which goes on without: nothing to add"
                ),
                Some(reason) if reason.looks_at_arguments => writeln!(
                    out,
                    "  a record has no arguments; to let only these through: palisade seccomp record"
                ),
                Some(reason) => writeln!(out, "  to let it through, add {}", reason.entry),
                None => Ok(()),
            }
        }
    }
}
