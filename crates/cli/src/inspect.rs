//! `palisade inspect`.

use clap::Args as ClapArgs;

use crate::handler::HandlerArgs;
use crate::seccomp::args::TextOrJson;

/// Show how a container is confined: its profile, its filter, and what the kernel reports of it
///
/// For containers that palisade-oci has started; without a name, for all.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade inspect
  palisade inspect shop/web/nginx -o json

Exits with 1 if one that should have a filter runs without.")]
pub(crate) struct InspectArgs {
    /// Container: an id, the beginning of one, or NAMESPACE/POD/CONTAINER; or all of a pod: NAMESPACE/POD, or POD
    pub(crate) container: Option<String>,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    pub(crate) output: TextOrJson,
    #[command(flatten)]
    pub(crate) handler: HandlerArgs,
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &InspectArgs) -> crate::Outcome {
    Err("only Linux has containers to inspect".into())
}

#[cfg(target_os = "linux")]
pub(crate) use linux::run;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Write;

    use palisade_k8s::capability;
    use palisade_oci::container::{Container, Containers};
    use palisade_oci::denials::{Tally, past};
    use palisade_sys::process::Confinement;
    use serde_json::{Value, json};

    use super::InspectArgs;
    use crate::exit::Exit;
    use crate::seccomp::args::TextOrJson;

    pub(crate) fn run(args: &InspectArgs) -> crate::Outcome {
        let state = args.handler.state();
        let containers = Containers::of(&state)?;
        let chosen = match &args.container {
            Some(name) => {
                let found = containers.find_all(name);
                if found.is_empty() {
                    return Err(format!(
                        "no container {name:?} in {}; `palisade inspect` lists them",
                        state.display()
                    )
                    .into());
                }
                found
            }
            None => containers.list(),
        };
        let mut tally = Tally::default();
        for denial in past(&state)? {
            tally.add(denial);
        }
        let seen: Vec<_> = chosen.iter().map(|container| Seen::new(container, &tally)).collect();
        let mut out = anstream::stdout().lock();
        match args.output {
            TextOrJson::Json => writeln!(out, "{:#}", seen.iter().map(Seen::json).collect::<Value>())?,
            TextOrJson::Text => seen.iter().try_for_each(|seen| seen.text(&mut out))?,
        }
        Ok(if seen.iter().all(Seen::is_as_it_should) { Exit::Fine } else { Exit::Findings })
    }

    struct Seen<'a> {
        container: &'a Container,
        process: Option<(u32, Confinement)>,
        denials: Vec<(String, String, u64)>,
    }

    impl<'a> Seen<'a> {
        fn new(container: &'a Container, tally: &Tally) -> Self {
            let process = container.pid().and_then(|pid| Some((pid, Confinement::read(pid).ok()?)));
            let own = tally.iter().filter(|counted| {
                counted.last.container.as_ref().is_some_and(|other| other.id == container.id)
            });
            let denials =
                own.map(|counted| (counted.last.syscall(), counted.last.abi(), counted.count)).collect();
            Self { container, process, denials }
        }

        fn is_as_it_should(&self) -> bool {
            let filtered = self.process.as_ref().is_none_or(|(_, kernel)| kernel.seccomp == 2);
            self.container.filter.is_none() || filtered
        }

        fn json(&self) -> Value {
            let kernel = self.process.as_ref().map(|(pid, kernel)| {
                json!({
                    "pid": pid, "seccomp": kernel.seccomp, "filters": kernel.filters, "uid": kernel.uid,
                    "gid": kernel.gid, "groups": kernel.groups, "noNewPrivileges": kernel.no_new_privileges,
                    "capabilities": names(kernel.effective), "bounding": names(kernel.bounding),
                    "speculativeStoreBypass": kernel.store_bypass,
                })
            });
            let denials = self.denials.iter();
            json!({
                "container": self.container, "kernel": kernel,
                "denials": denials.map(|(name, abi, count)| json!({"syscall": name, "abi": abi, "count": count})).collect::<Value>(),
            })
        }

        fn text(&self, out: &mut impl Write) -> std::io::Result<()> {
            let container = self.container;
            writeln!(out, "{}", crate::paint::strong(&container.id))?;
            let mut line = |name: &str, value: String| writeln!(out, "  {name:<16}{value}");
            if let Some(name) = &container.name {
                line("name", name.clone())?;
            }
            let weaker = match container.runtime.file_name().is_some_and(|name| name == "runc") {
                true => " (weaker: it compiles the flattened profile itself)",
                false => "",
            };
            line("runtime", format!("{}{weaker}", container.runtime.display()))?;
            match &container.filter {
                None => line("profile", "none: unconfined".to_owned())?,
                Some(filter) => {
                    line("profile", filter.profile.clone())?;
                    let log = if filter.log { ", denials are logged" } else { "" };
                    line(
                        "filter",
                        format!("sha256:{}, {} instructions{log}", filter.digest, filter.instructions),
                    )?;
                }
            }
            match &self.process {
                None => line("process", "none".to_owned())?,
                Some((pid, kernel)) => {
                    line("process", pid.to_string())?;
                    let filters =
                        kernel.filters.map_or_else(String::new, |count| format!(", filters {count}"));
                    line(
                        "kernel reports",
                        format!(
                            "Seccomp {}{filters}, NoNewPrivs {}",
                            kernel.seccomp,
                            u8::from(kernel.no_new_privileges)
                        ),
                    )?;
                    line("user", format!("{}:{} {:?}", kernel.uid, kernel.gid, kernel.groups))?;
                    let caps = names(kernel.effective);
                    line("capabilities", if caps.is_empty() { "none".to_owned() } else { caps.join(" ") })?;
                }
            }
            for (name, abi, count) in &self.denials {
                line("denied", format!("{name} on {abi}, {count} times"))?;
            }
            Ok(())
        }
    }

    /// The capabilities of a set, by name.
    fn names(set: u64) -> Vec<&'static str> {
        capability::PREFIXED
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| set >> bit & 1 == 1)
            .map(|(_, name)| name)
            .collect()
    }
}
