//! `palisade seccomp minimize`.

use std::io::Write;

use palisade_console::terminal;
use palisade_k8s::capability;
use palisade_seccomp::minimize::{Needs, Observed, Recording, Runtime, growth, minimize};
use palisade_seccomp::profile::{self, write_docker};
use palisade_seccomp::{Arch, Context, Data, Decision, Filter, Node, Weights, compile, resolve, table};
use serde_json::Value;

use super::args::{MinimizeArgs, RuntimeArg};
use super::input;
use crate::exit::Exit;

/// Maximum number of printed differences from the base.
const MAX_DIFFERENCES: usize = 200;

pub(super) fn run(args: &MinimizeArgs) -> crate::Outcome {
    let native = args.arch.unwrap_or_else(Arch::native);
    let recordings = args
        .recordings
        .iter()
        .map(|path| read(path, native, args.base.is_some()))
        .collect::<Result<Vec<_>, _>>()?;
    let runtime = |runtime: &RuntimeArg| match runtime {
        RuntimeArg::Runc => Runtime::Runc,
        RuntimeArg::Crun => Runtime::Crun,
    };
    let needs = Needs {
        runtimes: args.runtime.iter().map(runtime).collect(),
        siblings: args.siblings,
        no_arguments: args.no_arguments,
    };
    let base = args.base.as_ref().map(|path| Base::read(path)).transpose()?;
    if args.holdout {
        return holdout(&recordings, &needs, base.as_ref(), native);
    }
    let least = minimize(&recordings, &needs);
    let written = match &base {
        Some(base) => base.with(&least, native)?,
        None => least,
    };
    let text = format!("{written:#}\n");
    match &args.out {
        Some(path) => std::fs::write(path, &text).map_err(|error| format!("{}: {error}", path.display()))?,
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    tell(&recordings, &written, native)?;
    if let Some(base) = &base {
        base.tell_difference(&written, native)?;
    }
    Ok(Exit::Fine)
}

/// With a base, an empty recording adds nothing: `denials` prints an empty one if nothing was denied.
fn read(path: &std::path::Path, native: Arch, has_base: bool) -> Result<Recording, crate::Failure> {
    let shown = if path.as_os_str() == "-" { "stdin".into() } else { path.display().to_string() };
    let name = path.file_name().map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let name = if name == "-" { "stdin".to_owned() } else { name };
    let text = input::text(path)?;
    if has_base && text.trim().is_empty() {
        terminal::note(format!("{shown}: holds no record and adds nothing"));
        return Ok(Recording { name, observed: Observed::default(), strange: None });
    }
    let recording = Recording::read(&name, &text, native);
    let recording = recording.map_err(|error| format!("{shown}: {error}"))?;
    if let Some((count, first)) = recording.strange {
        let more = match count {
            1 => String::new(),
            _ => format!(", as are {} more lines", count - 1),
        };
        terminal::note(format!("{shown}:{first}: in no known form{more}; passed over"));
    }
    let unknown: Vec<&str> = recording.observed.unknown().collect();
    if !unknown.is_empty() {
        terminal::warn(format!(
            "{shown}: in no table, so that no profile can name them: {}",
            unknown.join(", ")
        ));
    }
    Ok(recording)
}

/// The size of the profile, and whether more recordings still extend it.
fn tell(recordings: &[Recording], written: &Value, native: Arch) -> Result<(), crate::Failure> {
    let entries = written.get("syscalls").and_then(Value::as_array).map_or(0, Vec::len);
    let filter = filter(written, native)?;
    let instructions: usize =
        compile(&filter, Weights::shipped())?.iter().map(|program| program.to_bytes().len() / 8).sum();
    let mut err = terminal::err();
    writeln!(err, "{entries} entries, {instructions} instructions")?;
    for (recording, new) in recordings.iter().zip(growth(recordings)) {
        let count = recording.observed.syscalls().len();
        writeln!(err, "  {}: {count} syscalls, {new} not in those before it", recording.name)?;
    }
    match growth(recordings).split_last() {
        Some((_, [])) => writeln!(err, "one recording cannot tell whether another would add to it")?,
        Some((0, _)) => writeln!(err, "the last recording added nothing")?,
        Some((new, _)) => writeln!(err, "the last recording added {new}: more recordings may add more")?,
        None => {}
    }
    Ok(())
}

fn filter(written: &Value, native: Arch) -> Result<Filter, crate::Failure> {
    let (profile, findings) = profile::read(&written.to_string());
    let profile = profile.ok_or_else(|| format!("the profile cannot be read again: {findings:?}"))?;
    let caps = capability::CONTAINER_DEFAULT.map(str::to_owned).into_iter().collect();
    let context = Context { arch: native, caps, kernel: table::NEWEST };
    Ok(Filter::new(&resolve(&profile, &context).rules)?)
}

/// Leaves out each recording in turn.
fn holdout(recordings: &[Recording], needs: &Needs, base: Option<&Base>, native: Arch) -> crate::Outcome {
    if recordings.len() < 2 {
        return Err(
            "--holdout takes two recordings at least: one is left aside, the others make the profile; a file of `seccomp record --runs` is \
             one, since it keeps the sum of its runs".into(),
        );
    }
    let mut out = terminal::out();
    writeln!(
        out,
        "{:<32} {:>8} {:>8} {:>10} {:>9}  DENIED BY A PROFILE OF THE OTHERS",
        "LEFT ASIDE", "SYSCALLS", "DENIED", "TIMES", "SHARE"
    )?;
    let mut any = false;
    for (index, aside) in recordings.iter().enumerate() {
        let others: Vec<Recording> = recordings
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, r)| r.clone())
            .collect();
        let least = minimize(&others, needs);
        let written = base.map_or_else(|| Ok(least.clone()), |base| base.with(&least, native))?;
        let denied = denied(&filter(&written, native)?, aside);
        let times: u64 = denied.iter().map(|(_, count)| count).sum();
        let total: u64 = aside.observed.syscalls().map(|(_, seen)| seen.count).sum();
        let names: Vec<&str> = denied.iter().map(|(name, _)| *name).collect();
        #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
        let share = if total == 0 { 0.0 } else { times as f64 * 100.0 / total as f64 };
        let count = aside.observed.syscalls().len();
        writeln!(
            out,
            "{:<32} {count:>8} {:>8} {times:>10} {share:>8.3}%  {}",
            aside.name,
            names.len(),
            if names.is_empty() { "-".to_owned() } else { names.join(", ") }
        )?;
        any |= !names.is_empty();
    }
    Ok(if any { Exit::Findings } else { Exit::Fine })
}

/// The syscalls of a recording that a filter denies with any of the recorded arguments, each with the number of times;
/// if it denies only some of the combinations, the count is that of all.
fn denied(filter: &Filter, recording: &Recording) -> Vec<(&'static str, u64)> {
    let archs: Vec<Arch> = recording.observed.archs().collect();
    let mut found = Vec::new();
    for (syscall, seen) in recording.observed.syscalls() {
        let combinations: Vec<Vec<u32>> =
            seen.few().map_or_else(|| vec![Vec::new()], |all| all.iter().cloned().collect());
        let lets_through = |values: &Vec<u32>| {
            let mut args = [0; 6];
            for (index, value) in palisade_seccomp::minimize::selectors(syscall.name()).iter().zip(values) {
                if let Some(place) = args.get_mut(usize::from(*index)) {
                    *place = u64::from(*value);
                }
            }
            archs.iter().filter_map(|arch| Some((arch, syscall.number(*arch)?))).all(|(arch, number)| {
                filter.decide(&Data { number, arch: arch.audit(), args }).lets_through()
            })
        };
        if !combinations.iter().all(lets_through) {
            found.push((syscall.name(), seen.count));
        }
    }
    found
}

/// The profile to extend.
struct Base {
    shown: String,
    profile: profile::Profile,
}

impl Base {
    fn read(path: &std::path::Path) -> Result<Self, crate::Failure> {
        let (shown, profile) = input::profile(path, false)?;
        Ok(Self { shown: shown.display().to_string(), profile })
    }

    /// The base with an entry for each syscall that it does not allow already.
    fn with(&self, least: &Value, native: Arch) -> Result<Value, crate::Failure> {
        let mut written = write_docker(&self.profile, native);
        let filter = filter(&written, native)?;
        let (added, _) = profile::read(&least.to_string());
        let entries = least.get("syscalls").and_then(Value::as_array).cloned().unwrap_or_default();
        let read = added.map(|profile| profile.entries).unwrap_or_default();
        let missing =
            entries.into_iter().zip(read).filter(|(_, entry)| !is_let_through(&filter, entry, native));
        if let Some(list) = written.get_mut("syscalls").and_then(Value::as_array_mut) {
            list.extend(missing.map(|(entry, _)| entry));
        }
        Ok(written)
    }

    /// Prints the syscalls that the new profile decides differently.
    fn tell_difference(&self, written: &Value, native: Arch) -> Result<(), crate::Failure> {
        let decision = |filter: &Filter| -> Result<Decision, crate::Failure> {
            Ok(Decision::of_programs(&compile(filter, Weights::shipped())?)?)
        };
        let old = decision(&filter(&write_docker(&self.profile, native), native)?)?;
        let new = decision(&filter(written, native)?)?;
        let archs = [&[native][..], native.companions()].concat();
        let differences = old.differences(&new, &archs, MAX_DIFFERENCES)?;
        let mut err = terminal::err();
        if differences.is_empty() {
            writeln!(err, "{} lets all of it through already", self.shown)?;
        }
        for difference in &differences {
            let example = difference.written(&archs);
            writeln!(err, "{example}: {} -> {}", difference.a, difference.b)?;
        }
        Ok(())
    }
}

/// Whether a filter allows the syscall of an entry: with its arguments if it checks some, else with any.
fn is_let_through(filter: &Filter, entry: &profile::Entry, native: Arch) -> bool {
    let mut args = [0; 6];
    for condition in &entry.args {
        if let Some(place) = args.get_mut(usize::from(condition.arg())) {
            *place = condition.value();
        }
    }
    entry.names.iter().all(|(name, _)| {
        let Some(syscall) = table::Syscall::named(name) else { return true };
        let Some(number) = syscall.number(native) else { return true };
        match entry.args.is_empty() {
            true => matches!(filter.graph().node(filter.decision(native.audit(), number)), Node::Leaf(action) if action.lets_through()),
            false => filter.decide(&Data { number, arch: native.audit(), args }).lets_through(),
        }
    })
}
