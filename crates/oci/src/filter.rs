//! From a profile's text to what a runtime is given: the program, and the same rules flattened.

use std::collections::BTreeSet;

use palisade_k8s::KernelVersion;
use palisade_seccomp::{
    Action, Arch, Context, Filter, Rules, Weights, compile,
    profile::{self, Profile},
    resolve, verify,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::Error;

const LOG: &str = "SECCOMP_FILTER_FLAG_LOG";
const SPEC_ALLOW: &str = "SECCOMP_FILTER_FLAG_SPEC_ALLOW";

/// The inputs of a filter. Equal inputs make the same filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Source {
    /// The profile's name, for people.
    pub(crate) name: String,
    /// The profile, as it was written.
    pub(crate) text: String,
    /// The container's bounding set.
    pub(crate) caps: BTreeSet<String>,
    /// The machine's kernel.
    pub(crate) kernel: (u32, u32),
    /// Whether denials are logged even where the profile does not say so.
    pub(crate) log: bool,
    /// The socket of a recorder, which is told of every syscall that the profile lets through.
    pub(crate) recorder: Option<String>,
}

/// A filter that is proved to decide as its profile does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Compiled {
    /// The program in base64, as crun takes it.
    pub(crate) program: String,
    /// Number of its instructions.
    pub(crate) instructions: usize,
    /// The program's SHA-256, in hexadecimal.
    pub(crate) digest: String,
    /// `linux.seccomp`, flattened: for runtimes that do not know crun's annotation.
    pub(crate) flattened: Value,
    /// Whether the kernel logs denials.
    pub(crate) log: bool,
    /// Whether the mitigation of speculative store bypass stays off.
    pub(crate) spec_allow: bool,
}

impl Source {
    /// The profile and its rules for this machine and container.
    pub(crate) fn rules(&self) -> Result<(Profile, Rules), Error> {
        let (profile, findings) = profile::read(&self.text);
        let profile = profile.ok_or_else(|| Error::Profile { name: self.name.clone(), findings })?;
        let context = Context {
            arch: Arch::native(),
            caps: self.caps.clone(),
            kernel: KernelVersion::new(self.kernel.0, self.kernel.1),
        };
        let resolved = resolve(&profile, &context);
        let errors: Vec<_> = resolved
            .findings
            .into_iter()
            .filter(|finding| finding.severity == palisade_seccomp::Severity::Error)
            .collect();
        match errors.is_empty() {
            true => Ok((profile, resolved.rules)),
            false => Err(Error::Profile { name: self.name.clone(), findings: errors }),
        }
    }

    /// Compiles the profile and proves, path by path, that the program decides as it does.
    pub(crate) fn compile(&self) -> Result<Compiled, Error> {
        let problem = |message: String| Error::Filter { name: self.name.clone(), message };
        let (mut profile, mut rules) = self.rules()?;
        let flags = self.flags(&mut profile);
        if let Some(socket) = &self.recorder {
            notify_what_passes(&mut rules);
            profile.listener_path = Some(socket.clone());
        }
        let flattened = profile::write_oci(&rules, &profile, Arch::native());
        let filter = Filter::new(&rules).map_err(|error| problem(error.to_string()))?;
        let programs = compile(&filter, Weights::shipped()).map_err(|error| problem(error.to_string()))?;
        let [program] = programs.as_slice() else {
            return Err(problem(format!(
                "it needs {} filters of 4,096 instructions, and a runtime loads one",
                programs.len()
            )));
        };
        let wrong = verify(&filter, &programs, 1).map_err(|error| problem(error.to_string()))?;
        if let Some(difference) = wrong.first() {
            return Err(problem(format!(
                "the program is wrong, which is a mistake of Palisade's: {difference:x?}"
            )));
        }
        let bytes = program.to_bytes();
        Ok(Compiled {
            program: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes),
            instructions: program.instructions().len(),
            digest: hex(&Sha256::digest(&bytes)),
            flattened,
            log: flags.0,
            spec_allow: flags.1,
        })
    }

    /// Sets the flags that the runtime is given, and tells whether LOG and SPEC_ALLOW are among them. A profile
    /// without flags gets the runtimes' own default, SPEC_ALLOW; only what differs from that is written, since
    /// runc before 1.2 refuses every flag.
    fn flags(&self, profile: &mut Profile) -> (bool, bool) {
        let mut flags = profile.flags.take().unwrap_or_else(|| vec![SPEC_ALLOW.to_owned()]);
        if self.log && !flags.iter().any(|flag| flag == LOG) {
            flags.push(LOG.to_owned());
        }
        let has = |name: &str| flags.iter().any(|flag| flag == name);
        let found = (has(LOG), has(SPEC_ALLOW));
        profile.flags = (flags != [SPEC_ALLOW]).then_some(flags);
        found
    }
}

/// Allowed syscalls notify the recorder; denied ones stay denied.
fn notify_what_passes(rules: &mut Rules) {
    let notify = |action: Action| if action.lets_through() { Action::Notify } else { action };
    rules.default = notify(rules.default);
    for rule in &mut rules.rules {
        rule.action = notify(rule.action);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source(text: &str) -> Source {
        Source {
            name: "test".to_owned(),
            text: text.to_owned(),
            caps: BTreeSet::new(),
            kernel: (6, 1),
            log: false,
            recorder: None,
        }
    }

    #[test]
    fn flags_are_those_of_the_profile() {
        let profile = |flags: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO",{flags}"syscalls":[]}}"#);
        for (flags, log, written, spec_allow) in [
            ("", false, Value::Null, true),
            ("", true, serde_json::json!([SPEC_ALLOW, LOG]), true),
            (r#""flags":[],"#, false, serde_json::json!([]), false),
            (r#""flags":[],"#, true, serde_json::json!([LOG]), false),
            (r#""flags":["SECCOMP_FILTER_FLAG_LOG"],"#, true, serde_json::json!([LOG]), false),
        ] {
            let compiled = Source { log, ..source(&profile(flags)) }.compile().unwrap();
            assert_eq!(compiled.flattened["flags"], written, "{flags} {log}");
            assert_eq!(compiled.spec_allow, spec_allow, "{flags} {log}");
            assert_eq!(compiled.log, written.to_string().contains(LOG));
        }
    }

    #[test]
    fn conditions_are_resolved_for_the_container() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}}]}"#;
        let without = source(text).compile().unwrap();
        let names =
            |compiled: &Compiled, name: &str| compiled.flattened["syscalls"].to_string().contains(name);
        assert!(!names(&without, "mount") && !names(&without, "ptrace"), "{}", without.flattened);
        let caps = BTreeSet::from(["CAP_SYS_ADMIN".to_owned()]);
        let with = Source { caps, ..source(text) }.compile().unwrap();
        assert!(names(&with, "mount") && !names(&with, "ptrace"), "{}", with.flattened);
        assert_ne!(with.digest, without.digest);
    }

    #[test]
    fn bad_profiles_are_refused_with_the_field() {
        for (text, problem) in [
            ("{}", "defaultAction: is missing"),
            ("", "one profile is expected"),
            (r#"{"defaultAction":"SCMP_ACT_ALOW"}"#, "did you mean"),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["open"],"action":"SCMP_ACT_ERRNO","errnoRet":65536}]}"#,
                "errnoRet",
            ),
        ] {
            let error = source(text).compile().unwrap_err().to_string();
            assert!(
                error.contains(problem) && error.starts_with("seccomp profile test: "),
                "{text}: {error}"
            );
        }
    }
}
