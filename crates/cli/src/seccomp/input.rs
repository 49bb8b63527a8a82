//! Profiles and programs named on the command line.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use palisade_console::input::InputError;
use palisade_k8s::capability;
use palisade_k8s::manifest::Position;
use palisade_seccomp::{
    Arch, Context, Data, Filter, Finding, Program, Resolved, Rules, Severity, Unknown, Weights, builtin,
    compile,
    profile::Profile,
    resolve,
    source::{self, Content, Source, Syntax},
    table::{self, Syscall, meant, nearest},
};

use super::args::{ContextArgs, UnknownArg};
use crate::Failure;

/// Maximum size of a profile, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The bytes of a file, of stdin, or of a shipped profile.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.to_string_lossy();
    if !path.exists()
        && let Some(text) = builtin::named(&name)
    {
        return Ok(text.as_bytes().to_vec());
    }
    if path.is_dir() {
        return Err(format!("{name} is a folder; name the files in it").into());
    }
    let reader: Box<dyn Read> = match &*name {
        "-" => Box::new(std::io::stdin().lock()),
        _ => Box::new(palisade_console::input::open(path).map_err(|error| match error {
            InputError::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let shipped: Vec<_> = builtin::ALL.iter().map(|(name, _)| *name).collect();
                format!("{name}: no such file, and no shipped profile: those are {}", shipped.join(", "))
            }
            error => format!("{name}: {error}"),
        })?),
    };
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{name}: larger than {MAX_BYTES} bytes").into());
    }
    Ok(bytes)
}

/// A text, or the line of its first invalid byte.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', valid).count() + 1;
        format!("{}:{line}: not valid UTF-8", path.display()).into()
    })
}

/// A profile named on the command line: a file, or `FILE#NAME` for one of several profiles in a file.
pub(super) struct Input {
    /// Its name in messages.
    pub(super) shown: PathBuf,
    pub(super) source: Source,
}

/// Every profile that a path names.
pub(super) fn inputs(path: &Path) -> Result<Vec<Input>, Failure> {
    each(path)?.into_iter().collect()
}

/// The same, with an error for each profile that its file only names and that cannot be read.
fn each(path: &Path) -> Result<Vec<Result<Input, Failure>>, Failure> {
    let (file, name) = split(path);
    let text = text(&file)?;
    let syntax = Syntax::of(file.extension().and_then(OsStr::to_str), &text);
    let sources = source::read(&text, syntax);
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let several = sources.len() > 1;
    let chosen = sources.into_iter().filter(|source| name.as_ref().is_none_or(|name| *name == source.name));
    let mut inputs = Vec::new();
    for source in chosen {
        let shown =
            if several { PathBuf::from(format!("{}#{}", file.display(), source.name)) } else { file.clone() };
        inputs.push(follow(Input { shown, source }, &file));
    }
    if let (Some(name), true) = (name, inputs.is_empty()) {
        let near = nearest(&name, names.iter().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(format!(
            "{}: holds no profile {name:?}{hint}; it holds {}",
            file.display(),
            names.join(", ")
        )
        .into());
    }
    Ok(inputs)
}

/// The same, with an error if the file cannot be read.
pub(super) fn each_or_error(path: &Path) -> Vec<Result<Input, Failure>> {
    each(path).unwrap_or_else(|error| vec![Err(error)])
}

/// The profiles of a folder's files. A file without a profile is left out, unless it has the words of one and so a mistake.
pub(super) fn of_folder(folder: &Path) -> Result<Vec<Result<Input, Failure>>, Failure> {
    let is_meant = |path: &Path| text(path).is_ok_and(|text| text.contains("SCMP_"));
    let (mut inputs, mut others) = (Vec::new(), 0_usize);
    for path in palisade_console::files::expand(folder)? {
        for input in each_or_error(&path) {
            match input {
                Ok(Input { source: Source { content: Content::Nothing, .. }, .. }) if !is_meant(&path) => {
                    others += 1
                }
                input => inputs.push(input),
            }
        }
    }
    if inputs.is_empty() {
        return Err(format!("{}: no seccomp profile in this folder", folder.display()).into());
    }
    if others > 0 {
        let note = crate::paint::warning("note:");
        palisade_console::terminal::note(format_args!("{note} files without a seccomp profile: {others}"));
    }
    Ok(inputs)
}

/// The file, and the profile's name after `#`.
fn split(path: &Path) -> (PathBuf, Option<String>) {
    let text = path.to_string_lossy();
    match text.rsplit_once('#') {
        Some((file, name)) if !path.exists() => (PathBuf::from(file), Some(name.to_owned())),
        _ => (path.to_owned(), None),
    }
}

/// A source that is the path of an existing file is read from that file.
fn follow(mut input: Input, from: &Path) -> Result<Input, Failure> {
    if let Content::File(path) = &input.source.content {
        let target = from.parent().unwrap_or(Path::new("")).join(expanded(path));
        let text = text(&target).map_err(|error| unread(from, path, &target, &*error))?;
        if let Some(read) = source::read(&text, Syntax::Json).into_iter().next() {
            let said = input.source.findings.into_iter().map(|finding| at_its_file(finding, &input.shown));
            let findings = read.findings.into_iter().chain(said).collect();
            input.source = Source { caps: input.source.caps, findings, ..read };
        }
        input.shown = target;
    }
    if let Content::Profile(profile) = &mut input.source.content {
        profile.caps = input.source.caps.clone();
    }
    Ok(input)
}

/// Why a profile that a file names cannot be read.
fn unread(from: &Path, path: &str, target: &Path, error: &dyn std::error::Error) -> String {
    let from = from.display();
    if target.exists() {
        return format!("{from}: names the profile {path}, but {error}");
    }
    let bare = path.replace(['"', '\''], "");
    let hint = match bare == path {
        true => "it is looked for on this machine, beside the file that names it".to_owned(),
        false => format!("the quotes are part of the name here; write {bare} without them"),
    };
    format!("{from}: names the profile {path}: there is no file {}; {hint}", target.display())
}

/// A path of a quadlet with `%h`, systemd's specifier of the user's home (systemd.unit(5)), filled in.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("%h/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// A finding on a file beside that which is read, whose position goes into the text.
fn at_its_file(finding: Finding, file: &Path) -> Finding {
    let message = format!("{}:{}: {}", file.display(), finding.at, finding.message);
    Finding { message, at: Position { line: 1, column: 1 }, ..finding }
}

/// A profile of any format. Its warnings go to stderr; errors, or with `strict` any finding, are returned.
pub(super) fn profile(path: &Path, strict: bool) -> Result<(PathBuf, Profile), Failure> {
    let mut inputs = inputs(path)?;
    let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
        let all: Vec<_> = self::inputs(path)?.iter().map(|input| input.shown.display().to_string()).collect();
        return Err(format!(
            "{}: holds {} profiles; name one: {}",
            path.display(),
            all.len(),
            all.join(", ")
        )
        .into());
    };
    report(&input.shown, &input.source.findings, strict)?;
    match input.source.content {
        Content::Profile(profile) => Ok((input.shown, *profile)),
        Content::File(_) | Content::Nothing => {
            Err(format!("{}: holds no profile", input.shown.display()).into())
        }
    }
}

/// Prints warnings; returns errors as one text.
pub(super) fn report(path: &Path, findings: &[Finding], strict: bool) -> Result<(), Failure> {
    let line = |finding: &Finding| line(path, finding);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| strict || finding.severity == Severity::Error);
    for warning in warnings {
        palisade_console::terminal::note(format_args!(
            "{}: {}",
            crate::paint::warning("warning"),
            line(warning)
        ));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.into_iter().map(line).collect::<Vec<_>>().join("\n").into()),
    }
}

fn line(path: &Path, finding: &Finding) -> String {
    let field = if finding.field.is_empty() { String::new() } else { format!("{}: ", finding.field) };
    match finding.at.line {
        0 => format!("{}: {field}{}", path.display(), finding.message),
        _ => format!("{}:{}: {field}{}", path.display(), finding.at, finding.message),
    }
}

/// The context of the options; without `--cap`, the capabilities are those of the profile's container.
pub(super) fn context(profile: &Profile, args: &ContextArgs) -> Result<Context, Failure> {
    let mut caps = BTreeSet::new();
    if args.caps.is_empty() {
        let default = || capability::CONTAINER_DEFAULT.map(str::to_owned).into();
        caps = profile.caps.clone().unwrap_or_else(default);
    }
    for cap in &args.caps {
        match cap.to_ascii_lowercase().as_str() {
            "all" => caps.extend(capability::PREFIXED.map(str::to_owned)),
            "none" => {}
            _ => {
                let name = capability::parse_prefixed(cap)
                    .ok_or_else(|| format!("--cap {cap}: no such capability"))?;
                caps.insert(name.to_owned());
            }
        }
    }
    let arch = args.arch.unwrap_or_else(Arch::native);
    Ok(Context { arch, caps, kernel: args.kernel.unwrap_or(table::NEWEST) })
}

/// A profile's rules in the context of the options.
pub(super) fn rules(path: &Path, args: &ContextArgs) -> Result<(Profile, Rules), Failure> {
    located(path, args).map(|(_, profile, rules)| (profile, rules))
}

/// The same with the file that holds the profile, which `path` may only point to.
pub(super) fn located(path: &Path, args: &ContextArgs) -> Result<(PathBuf, Profile, Rules), Failure> {
    let (shown, profile) = profile(path, args.strict)?;
    let resolved = resolved(&profile, args)?;
    report(&shown, &resolved.findings, args.strict)?;
    Ok((shown, profile, resolved.rules))
}

/// A profile resolved by the options.
pub(super) fn resolved(profile: &Profile, args: &ContextArgs) -> Result<Resolved, Failure> {
    let mut resolved = resolve(profile, &context(profile, args)?);
    if args.unknown == UnknownArg::Default {
        resolved.rules.unknown = Unknown::Default;
    }
    resolved.rules.open_multiplexers = !args.strict;
    Ok(resolved)
}

/// A program from a `.bpf` file, or the compiled profile, and its ABIs.
pub(super) fn programs(path: &Path, args: &ContextArgs) -> Result<(Vec<Program>, Vec<Arch>), Failure> {
    let arch = args.arch.unwrap_or_else(Arch::native);
    if path.extension().is_some_and(|extension| extension == "bpf") {
        let program = Program::from_bytes(&bytes(path)?, arch.is_big_endian());
        let program = program.map_err(|error| format!("{}: {error}", path.display()))?;
        let archs = std::iter::once(arch).chain(arch.companions().iter().copied()).collect();
        return Ok((vec![program], archs));
    }
    let (_, rules) = rules(path, args)?;
    let filter = Filter::new(&rules).map_err(|error| format!("{}: {error}", path.display()))?;
    let programs =
        compile(&filter, Weights::shipped()).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((programs, rules.archs))
}

/// A syscall named in the options.
pub(super) fn syscall(
    name: &str,
    args: &[u64],
    abi: Option<Arch>,
    context: &ContextArgs,
) -> Result<(Arch, Data), Failure> {
    let arch = abi.or(context.arch).unwrap_or_else(Arch::native);
    let number = match Syscall::named(name) {
        Some(syscall) => syscall.number(arch).ok_or_else(|| {
            let there = syscall.counterpart(arch);
            let hint = there.map(|other| format!("; there it is {other}")).unwrap_or_default();
            let beside = arch.companions().iter().find(|other| syscall.number(**other).is_some());
            let beside = beside.map(|other| format!("; {other} has it: --abi {other}")).unwrap_or_default();
            format!("{arch} has no syscall {name}{hint}{beside}")
        })?,
        None => Syscall::parse_number(name).ok_or_else(|| {
            let near = meant(name, Syscall::all().map(Syscall::name));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            format!("unknown syscall {name:?}{hint}")
        })?,
    };
    if args.len() > 6 {
        return Err("a syscall has at most six arguments".into());
    }
    let mut values = [0; 6];
    values.iter_mut().zip(args).for_each(|(value, arg)| *value = *arg);
    Ok((arch, Data { number, arch: arch.audit(), args: values }))
}

/// The name of a number, or the number.
pub(super) fn name(arch: Arch, number: u32) -> String {
    Syscall::numbered(arch, number)
        .map_or_else(|| format!("number {number:#x}"), |syscall| syscall.name().to_owned())
}
