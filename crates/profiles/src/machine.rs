//! A profile resolved for this machine's runtime.

use palisade_k8s::{KernelVersion, capability};
use palisade_seccomp::profile::{self, Profile};
use palisade_seccomp::{
    Arch, CompileError, Context, Filter, FilterError, Finding, Severity, Weights, compile, resolve, table,
};
use serde_json::{Value, json};

use crate::catalog::{Chain, of_runtime, runtime_of};

/// The reason why a profile cannot be loaded on a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It cannot be read.
    #[error("{0}")]
    Profile(String),
    /// Its rules make no filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The kernel would not take the filter.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// The machine that profiles are resolved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its architecture.
    pub arch: Arch,
    /// Its kernel.
    pub kernel: KernelVersion,
}

impl Machine {
    /// The machine that this program runs on. A kernel whose version cannot be read counts as a current one.
    #[must_use]
    pub fn here() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self { arch: Arch::native(), kernel: release.trim().parse().unwrap_or(table::NEWEST) }
    }

    /// The text of a profile's file: OCI's form, in which nothing depends on the machine any more, since runtimes read such
    /// conditions as if they were not there. Conditions on capabilities are those of a container that neither adds nor
    /// drops any.
    ///
    /// # Errors
    ///
    /// See [`ResolveError`].
    pub fn resolve(&self, chain: &Chain) -> Result<String, ResolveError> {
        let mut merged: Option<Profile> = None;
        for spec in chain.specs() {
            let read = read(spec)?;
            match &mut merged {
                None => merged = Some(read),
                // As in the operator, a base adds its syscalls and nothing else.
                Some(merged) => merged.entries.extend(read.entries),
            }
        }
        let nothing = || ResolveError::Profile("it is empty".to_owned());
        let merged = merged.ok_or_else(nothing)?;
        let caps = capability::CONTAINER_DEFAULT.map(str::to_owned).into();
        let resolved = resolve(&merged, &Context { arch: self.arch, caps, kernel: self.kernel });
        refuse(&resolved.findings)?;
        compile(&Filter::new(&resolved.rules)?, Weights::shipped())?;
        Ok(profile::write_oci(&resolved.rules, &merged, self.arch).to_string())
    }
}

fn read(spec: &Value) -> Result<Profile, ResolveError> {
    let spec = match spec.as_str().and_then(runtime_of) {
        Some(runtime) => of_runtime(runtime),
        None => spec.clone(),
    };
    let (profile, findings) =
        profile::read_json(&json!({"kind": "SeccompProfile", "spec": spec}).to_string());
    refuse(&findings)?;
    profile.ok_or_else(|| ResolveError::Profile("it cannot be read".to_owned()))
}

/// Refuses findings that are errors. Their positions are in no file of the user, so only the field is named.
fn refuse(findings: &[Finding]) -> Result<(), ResolveError> {
    match findings.iter().find(|finding| finding.severity == Severity::Error) {
        Some(error) if error.field.is_empty() => Err(ResolveError::Profile(error.message.clone())),
        Some(error) => Err(ResolveError::Profile(format!("{}: {}", error.field, error.message))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Name};
    use crate::source::Origin;

    const MACHINE: Machine = Machine { arch: Arch::X86_64, kernel: KernelVersion::new(6, 1) };

    fn resolved(spec: Value) -> Result<Value, ResolveError> {
        MACHINE.resolve(&Chain::of(spec)).map(|text| serde_json::from_str(&text).unwrap())
    }

    fn names(profile: &Value) -> String {
        profile["syscalls"].to_string()
    }

    #[test]
    fn conditions_on_the_machine_are_resolved() {
        let spec = |kernel: &str, arch: &str, cap: &str| {
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": kernel}},
                {"names": ["kexec_load"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": [arch]}},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": [cap]}}]})
        };
        let all = resolved(spec("4.8", "amd64", "CAP_SYS_CHROOT")).unwrap();
        let none = resolved(spec("6.2", "arm64", "CAP_SYS_ADMIN")).unwrap();
        for name in ["ptrace", "kexec_load", "chroot"] {
            assert!(names(&all).contains(name) && !names(&none).contains(name), "{name}");
        }
        assert!(!all.to_string().contains("includes") && names(&none).contains("read"));
        assert_eq!(all["architectures"], json!(["SCMP_ARCH_X86_64"]));
    }

    #[test]
    fn a_base_gives_its_syscalls() {
        let mut catalog = Catalog::default();
        let name = |text: &str| Name::new(Origin::Operator, "", text);
        catalog.put(
            name("base"),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "baseProfileName": "runc-v1.4.2", "architectures": ["SCMP_ARCH_X86"],
                "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ALLOW"}]}),
        );
        catalog.put(
            name("web"),
            json!({"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": "base", "state": "Enabled",
                "syscalls": [{"names": ["accept4"], "action": "SCMP_ACT_ALLOW"}]}),
        );
        let text = MACHINE.resolve(&catalog.chain(&name("web")).unwrap()).unwrap();
        let profile: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(profile["architectures"], json!(["SCMP_ARCH_X86_64"]));
        // epoll_ctl is what runc needs.
        for name in ["accept4", "getcwd", "epoll_ctl"] {
            assert!(names(&profile).contains(name), "{name}: {text}");
        }
    }

    #[test]
    fn what_is_no_profile_is_refused_with_its_field() {
        for (spec, expected) in [
            (json!({}), "spec.defaultAction"),
            (json!({"defaultAction": "ALLOW"}), "spec.defaultAction"),
            (json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": {}}), "spec.syscalls"),
            (
                json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 7, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
                "spec.syscalls[0].args[0].index",
            ),
            (json!(null), "spec"),
        ] {
            let error = resolved(spec.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{spec}: {error}");
        }
    }

    #[test]
    fn our_own_profile_is_one() {
        let text = Machine::here().resolve(&crate::own().unwrap()).unwrap();
        assert!(text.contains("epoll_wait") || text.contains("epoll_pwait"), "{text}");
    }
}
