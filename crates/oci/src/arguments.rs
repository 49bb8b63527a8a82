//! The command line of an OCI runtime, as far as the handler has to understand it: the common part of crun's and runc's.
//! Unknown arguments are refused, so that the handler recognises every command that starts a container.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::Error;

/// A command of a runtime's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `create`
    Create,
    /// `run`
    Run,
    /// `start`
    Start,
    /// `delete`
    Delete,
    /// `exec`
    Exec,
    /// `kill`
    Kill,
    /// One that neither starts nor ends a container, or none at all, as with `--version`.
    Other,
}

/// A command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// All of it, as the runtime gets it.
    pub(crate) all: Vec<OsString>,
    /// The command.
    pub(crate) verb: Verb,
    /// `--root`: where the runtime keeps its state.
    pub(crate) root: Option<PathBuf>,
    /// `--log`.
    pub(crate) log: Option<PathBuf>,
    /// `--log-format=json`.
    pub(crate) log_json: bool,
    /// `--bundle` of create and run.
    pub(crate) bundle: Option<PathBuf>,
    /// `--config` of create and run, which crun has: another name of `config.json`.
    pub(crate) config: Option<PathBuf>,
    /// `--pid-file` of create and run.
    pub(crate) pid_file: Option<PathBuf>,
    /// The container.
    pub(crate) id: Option<String>,
    /// `--force` of delete.
    pub(crate) force: bool,
}

/// Global options that are followed by a value, and those that are not.
const GLOBAL_VALUES: [&str; 7] =
    ["--root", "--log", "--log-format", "--log-level", "--cgroup-manager", "--rootless", "--criu"];
const GLOBAL_FLAGS: [&str; 8] =
    ["--debug", "--systemd-cgroup", "--version", "-v", "-V", "--help", "-h", "-?"];

/// The same of create and run.
const CREATE_VALUES: [&str; 8] = [
    "--bundle",
    "-b",
    "--config",
    "-f",
    "--console-socket",
    "--pid-file",
    "--pidfd-socket",
    "--preserve-fds",
];
const CREATE_FLAGS: [&str; 8] =
    ["--no-pivot", "--no-new-keyring", "--no-subreaper", "--detach", "-d", "--keep", "--help", "-?"];

/// Commands that the runtimes have and that bring no new container.
const OTHERS: [&str; 11] = [
    "state",
    "list",
    "ps",
    "pause",
    "resume",
    "update",
    "spec",
    "events",
    "features",
    "checkpoint",
    "mounts",
];

impl Arguments {
    /// Reads a command line without its first word.
    pub(crate) fn parse(all: Vec<OsString>) -> Result<Self, Error> {
        let mut parsed = Self {
            all: Vec::new(),
            verb: Verb::Other,
            root: None,
            log: None,
            log_json: false,
            bundle: None,
            config: None,
            pid_file: None,
            id: None,
            force: false,
        };
        let mut words = all.iter();
        let mut command = None;
        while let Some(word) = words.next() {
            if !word.as_bytes().starts_with(b"-") {
                command = Some(word);
                break;
            }
            let (name, value) = option(word, &mut words, &GLOBAL_VALUES, &GLOBAL_FLAGS)?;
            match (name.as_str(), value) {
                ("--root", Some(value)) => parsed.root = Some(value.into()),
                ("--log", Some(value)) => parsed.log = Some(value.into()),
                ("--log-format", Some(value)) => parsed.log_json = value == "json",
                _ => {}
            }
        }
        if let Some(command) = command {
            parsed.command(&command.to_string_lossy(), words)?;
        }
        parsed.all = all;
        Ok(parsed)
    }

    fn command<'a>(&mut self, command: &str, words: impl Iterator<Item = &'a OsString>) -> Result<(), Error> {
        self.verb = match command {
            "create" => Verb::Create,
            "run" => Verb::Run,
            "start" => Verb::Start,
            "delete" => Verb::Delete,
            "exec" => Verb::Exec,
            "kill" => Verb::Kill,
            "restore" => {
                let message = "a restored process brings the filter of its checkpoint, which nobody here has seen: restore is refused";
                return Err(Error::Arguments(message.to_owned()));
            }
            other if OTHERS.contains(&other) => return Ok(()),
            other => return Err(Error::Arguments(format!("unknown command {other:?}"))),
        };
        match self.verb {
            Verb::Create | Verb::Run => self.create(words),
            Verb::Exec => {
                self.id = executed_in(words);
                Ok(())
            }
            _ => {
                let mut words: Vec<_> = words.collect();
                self.force = words.iter().any(|word| *word == "--force" || *word == "-f");
                words.retain(|word| !word.as_bytes().starts_with(b"-"));
                // A signal may follow the container of `kill`.
                let id = if self.verb == Verb::Kill { words.first() } else { words.last() };
                self.id = id.map(|id| id.to_string_lossy().into_owned());
                Ok(())
            }
        }
    }

    fn create<'a>(&mut self, mut words: impl Iterator<Item = &'a OsString>) -> Result<(), Error> {
        while let Some(word) = words.next() {
            if !word.as_bytes().starts_with(b"-") {
                let id = word.to_str().ok_or_else(|| Error::Arguments("the id is not UTF-8".to_owned()))?;
                if self.id.replace(id.to_owned()).is_some() {
                    return Err(Error::Arguments("one container's id is expected".to_owned()));
                }
                continue;
            }
            let (name, value) = option(word, &mut words, &CREATE_VALUES, &CREATE_FLAGS)?;
            match (name.as_str(), value) {
                ("--bundle" | "-b", Some(value)) => self.bundle = Some(value.into()),
                ("--config" | "-f", Some(value)) => self.config = Some(value.into()),
                ("--pid-file", Some(value)) => self.pid_file = Some(value.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Options of exec that are followed by a value.
const EXEC_VALUES: [&str; 15] = [
    "--process",
    "-p",
    "--console-socket",
    "--pid-file",
    "--cwd",
    "--env",
    "-e",
    "--user",
    "-u",
    "--cap",
    "-c",
    "--apparmor",
    "--process-label",
    "--preserve-fds",
    "--cgroup",
];

/// The container of exec: the first word that is neither an option nor an option's value. An option that is not
/// known is taken for one without a value: nothing but an audit id hangs on it.
fn executed_in<'a>(mut words: impl Iterator<Item = &'a OsString>) -> Option<String> {
    while let Some(word) = words.next() {
        match word.to_str() {
            Some(option) if EXEC_VALUES.contains(&option) => drop(words.next()),
            Some(option) if option.starts_with('-') => {}
            other => return other.map(str::to_owned),
        }
    }
    None
}

/// An option's name and value: `--name value`, `--name=value`, `-n value`, `-nvalue`.
fn option<'a>(
    word: &OsStr,
    rest: &mut impl Iterator<Item = &'a OsString>,
    values: &[&str],
    flags: &[&str],
) -> Result<(String, Option<OsString>), Error> {
    let bytes = word.as_bytes();
    let long = bytes.starts_with(b"--");
    let split = match long {
        true => bytes.iter().position(|byte| *byte == b'='),
        false => (bytes.len() > 2).then_some(2),
    };
    let (name, attached) = bytes.split_at(split.unwrap_or(bytes.len()));
    let attached = split.map(|_| attached.get(usize::from(long)..).unwrap_or_default());
    let name = String::from_utf8_lossy(name).into_owned();
    if values.contains(&name.as_str()) {
        let value =
            attached.map(|bytes| OsStr::from_bytes(bytes).to_owned()).or_else(|| rest.next().cloned());
        let value = value.ok_or_else(|| Error::Arguments(format!("option {name} needs a value")))?;
        return Ok((name, Some(value)));
    }
    // Go's flags may be given a value: --debug=true.
    let takes = attached.is_none() || long;
    if flags.contains(&name.as_str()) && takes {
        return Ok((name, None));
    }
    Err(Error::Arguments(format!("unknown option {}", word.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = line.split_whitespace().map(OsString::from).collect();
        Arguments::parse(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_engines_command_lines_are_understood() {
        let conmon = parse(
            "--root=/run/crun --log-format=json --log=/b/oci-log --systemd-cgroup create --bundle /b --pid-file /b/pidfile abc",
        )
        .unwrap();
        assert_eq!(conmon.verb, Verb::Create);
        assert_eq!(conmon.bundle, Some("/b".into()));
        assert_eq!(conmon.root, Some("/run/crun".into()));
        assert_eq!((conmon.log, conmon.log_json), (Some("/b/oci-log".into()), true));
        assert_eq!((conmon.pid_file, conmon.id), (Some("/b/pidfile".into()), Some("abc".into())));
        let shim = parse("--root /run/c --log /b/log.json --log-format json delete --force abc").unwrap();
        assert_eq!((shim.verb, shim.id), (Verb::Delete, Some("abc".into())));
        let kill = parse("--root r kill --all x 9").unwrap();
        assert_eq!((kill.verb, kill.id, shim.force, kill.force), (Verb::Kill, Some("x".into()), true, false));
        let exec = parse("exec --process p.json -d --user=0 x sh -c true").unwrap();
        assert_eq!((exec.verb, exec.id), (Verb::Exec, Some("x".into())));
        for (line, verb) in [
            ("--version", Verb::Other),
            ("", Verb::Other),
            ("state x", Verb::Other),
            ("exec --process p.json -d x", Verb::Exec),
            ("start x", Verb::Start),
        ] {
            assert_eq!(parse(line).map(|arguments| arguments.verb), Ok(verb), "{line}");
        }
    }

    #[test]
    fn bundles_are_found_however_they_are_written() {
        for line in ["create -b /b x", "create -b/b x", "create --bundle=/b x", "create x --bundle /b"] {
            let arguments = parse(line).unwrap();
            assert_eq!((arguments.bundle, arguments.id), (Some("/b".into()), Some("x".into())), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (line, problem) in [
            ("--bun /x create y", "unknown option --bun"),
            ("create --bund=/x y", "unknown option --bund=/x"),
            ("create -db /x y", "unknown option -db"),
            ("create --bundle", "option --bundle needs a value"),
            ("create a b", "one container's id is expected"),
            ("restore x", "restore is refused"),
            ("boot x", "unknown command \"boot\""),
            ("--new-option value create x", "unknown option --new-option"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
    }
}
