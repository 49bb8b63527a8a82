//! A check that the kernel confines a container as its profile says.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use palisade_sys::process::{Confinement, Process};

use crate::container::Applied;

/// The value of `Seccomp` in `/proc/PID/status` of a filtered process.
const FILTERED: u32 = 2;

/// Maximum time from the runtime's `start` to the container's program.
const PATIENCE: Duration = Duration::from_secs(10);

/// The program that a process runs: device and inode.
type Program = (u64, u64);

/// A container's first process before it is started, while it runs the runtime's own code.
#[derive(Debug)]
pub(crate) struct Waiting {
    process: Process,
    program: Option<Program>,
}

/// The state of a started container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs under its filter.
    Held,
    /// It has ended.
    Ended,
    /// It runs without: the reason.
    NotHeld(String),
}

impl Waiting {
    pub(crate) fn new(pid: u32) -> std::io::Result<Self> {
        Ok(Self { process: Process::open(pid)?, program: program(pid) })
    }

    /// The same process, where another one is known to run the runtime's code.
    pub(crate) fn with_program_of(self, other: &Self) -> Self {
        Self { program: program(other.process.pid()).or(self.program), ..self }
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_alive().unwrap_or(false)
    }

    /// Ends it.
    pub(crate) fn kill(&self) -> std::io::Result<()> {
        self.process.kill()
    }

    /// Waits until the filter is there, or the container's own program without one.
    pub(crate) fn verdict(&self, filter: &Applied) -> Verdict {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The program first: had the filter come between the two looks, the program would be the old one.
            let program = program(self.process.pid());
            let seen = Confinement::read(self.process.pid());
            if !self.is_alive() {
                return Verdict::Ended;
            }
            let Ok(seen) = seen else { return Verdict::Ended };
            let missing = missing(&seen, filter);
            match missing {
                None => return Verdict::Held,
                Some(reason)
                    if program.is_some_and(|program| Some(program) != self.program)
                        || Instant::now() > deadline =>
                {
                    return Verdict::NotHeld(reason);
                }
                Some(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }
}

fn program(pid: u32) -> Option<Program> {
    let about = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((about.dev(), about.ino()))
}

/// The part of a container's confinement that its process lacks, if any.
fn missing(seen: &Confinement, filter: &Applied) -> Option<String> {
    if seen.seccomp != FILTERED {
        return Some(format!(
            "the kernel says Seccomp: {} of it, not {FILTERED}: no filter holds it",
            seen.seccomp
        ));
    }
    match seen.filters {
        Some(count) if count <= filter.inherited => Some(format!(
            "the kernel says Seccomp_filters: {count} of it, which it inherited: none is its own"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn applied(inherited: u32) -> Applied {
        Applied {
            profile: "test".to_owned(),
            key: String::new(),
            digest: String::new(),
            instructions: 1,
            log: false,
            spec_allow: true,
            inherited,
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let seen = |seccomp, filters| Confinement { seccomp, filters, ..Confinement::default() };
        for (seen, inherited, problem) in [
            (seen(2, Some(1)), 0, None),
            (seen(2, Some(2)), 1, None),
            (seen(2, None), 0, None),
            (seen(0, Some(0)), 0, Some("Seccomp: 0")),
            (seen(1, Some(0)), 0, Some("Seccomp: 1")),
            (seen(2, Some(1)), 1, Some("Seccomp_filters: 1")),
        ] {
            let missing = missing(&seen, &applied(inherited));
            match problem {
                None => assert_eq!(missing, None),
                Some(problem) => assert!(missing.unwrap().contains(problem)),
            }
        }
    }

    #[test]
    fn a_program_without_a_filter_is_found_out() {
        // A shell waits for a line, as a runtime does for `start`, then runs another program.
        let start = |script: &str| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", script]).stdin(std::process::Stdio::piped());
            command.spawn().unwrap()
        };
        let mut child = start("read line; exec sleep 30");
        let waiting = Waiting::new(child.id()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(child.stdin.take());
        let inherited = Confinement::read("self").unwrap();
        let filter = applied(inherited.filters.unwrap_or_default());
        assert!(matches!(waiting.verdict(&filter), Verdict::NotHeld(_)));
        waiting.kill().unwrap();
        child.wait().unwrap();
        let mut child = start("read line; exit 3");
        let waiting = Waiting::new(child.id()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(waiting.verdict(&filter), Verdict::Ended);
    }
}
