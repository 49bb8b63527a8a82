//! Denied syscalls of the node's containers, from the kernel's audit records, as events of their pods.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use palisade_oci::denials::{Denial, Denials, Event, Reason, Reasons};
use palisade_seccomp::Action;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::event::Level;
use crate::node::Node;

/// Maximum number of kinds of denials that are counted in a container: their syscalls are under its processes' control.
const KINDS: usize = 64;
/// Maximum number of containers that are counted at once; beyond that, all counts are reset.
const CONTAINERS: usize = 1024;
/// Number of events that a container may cause at once, and the time after which it may cause one more.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_secs(60);
/// Maximum number of events that wait to be written.
const WAITING: usize = 64;
/// Interval at which the thread that reads records checks for shutdown.
const LOOK: Duration = Duration::from_secs(1);

/// An event about a pod.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    namespace: String,
    pod: String,
    container: String,
    message: String,
}

/// Writes an event for the first denial of each kind in a container, and for each tenth, hundredth and so on. Ends when
/// the records cannot be read.
pub(crate) async fn run(node: Arc<Node>, state: &Path) {
    let (sender, receiver) = channel(WAITING);
    let opened = Denials::watch(state).and_then(|denials| Ok((denials, Reasons::of(state)?)));
    let (denials, reasons) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!("denied syscalls are not reported: {error}");
            return;
        }
    };
    let reader = std::thread::Builder::new().name("denials".to_owned());
    if let Err(error) = reader.spawn(move || read(denials, &reasons, &sender)) {
        tracing::warn!("denied syscalls are not reported: {error}");
        return;
    }
    say(&node, receiver).await;
}

fn read(mut denials: Denials, reasons: &Reasons, to: &Sender<Told>) {
    let mut counts = Counts::default();
    while !to.is_closed() {
        match denials.next(Some(LOOK)) {
            Ok(Event::Denial(denial)) => {
                if let Some(count) = counts.add(&denial)
                    && let Some(told) = told(&denial, count, reasons.reason(&denial).as_ref())
                {
                    // If many wait already, this one is dropped.
                    let _ = to.try_send(told);
                }
            }
            Ok(Event::Lost) => {
                tracing::info!("denied syscalls came faster than they could be read; some are not counted");
            }
            Ok(Event::Quiet) => {}
            Err(error) => {
                tracing::warn!("denied syscalls are not reported: {error}");
                return;
            }
        }
    }
}

async fn say(node: &Node, mut told: Receiver<Told>) {
    while let Some(Told { namespace, pod, container, message }) = told.recv().await {
        let pods: Api<Pod> = Api::namespaced(node.client.clone(), &namespace);
        if let Ok(Some(pod)) = pods.get_opt(&pod).await {
            let container = (container != "POD").then_some(container.as_str());
            node.recorder.say(&pod, container, Level::Warning, "SeccompDenied", &message).await;
        }
    }
}

/// The message of a denial; `None` if its container does not belong to a pod.
fn told(denial: &Denial, count: u64, reason: Option<&Reason>) -> Option<Told> {
    let name = denial.container.as_ref()?.name.as_ref()?;
    let mut parts = name.splitn(3, '/').map(str::to_owned);
    let (namespace, pod, container) = (parts.next()?, parts.next()?, parts.next()?);
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let (syscall, abi, answer) = (denial.syscall(), denial.abi(), denial.answer());
    let mut message = format!("Syscall {syscall} ({abi}) denied {times} ({answer})");
    if let Some(reason) = reason {
        message.push_str(&format!(" by profile {}: {}; ", reason.profile, reason.rule));
        message.push_str(&match reason.looks_at_arguments {
            _ if denial.is_by_runtime() => {
                format!("made by {} as it started the container: nothing to add if it runs", denial.command)
            }
            true => "to allow only the needed syscalls: palisade seccomp record".to_owned(),
            false => format!("to let it through, add {}", reason.entry),
        });
    }
    Some(Told { namespace, pod, container, message })
}

/// The number of denials of each kind in each container.
#[derive(Debug, Default)]
struct Counts(HashMap<String, Kinds>);

#[derive(Debug)]
struct Kinds {
    counts: HashMap<(u32, u32, Action), u64>,
    budget: u32,
    /// Time of the last refill of the budget, since 1970.
    since: Duration,
}

impl Counts {
    /// Counts a denial; returns the count of its kind if it is to be reported.
    fn add(&mut self, denial: &Denial) -> Option<u64> {
        // Of what all programs do at their start an event would tell nothing; `palisade denials` has it.
        if denial.action == Action::Log || denial.is_by_libc() {
            return None;
        }
        let id = &denial.container.as_ref()?.id;
        if self.0.len() >= CONTAINERS && !self.0.contains_key(id) {
            self.0.clear();
        }
        let new = || Kinds { counts: HashMap::new(), budget: BURST, since: denial.time };
        let kinds = self.0.entry(id.clone()).or_insert_with(new);
        let key = (denial.arch, denial.number, denial.action);
        if kinds.counts.len() >= KINDS && !kinds.counts.contains_key(&key) {
            return None;
        }
        let count = kinds.counts.entry(key).or_insert(0);
        *count += 1;
        let count = *count;
        let is_round = count == 10_u64.saturating_pow(count.ilog10());
        (is_round && kinds.spend(denial.time)).then_some(count)
    }
}

impl Kinds {
    fn spend(&mut self, now: Duration) -> bool {
        let more = now.saturating_sub(self.since).as_secs() / REFILL.as_secs();
        if let Ok(more @ 1..) = u32::try_from(more) {
            self.budget = self.budget.saturating_add(more).min(BURST);
            self.since = now;
        }
        let has = self.budget > 0;
        self.budget = self.budget.saturating_sub(1);
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_oci::container::Container;

    fn denial(id: &str, number: u32, seconds: u64) -> Denial {
        let container = Container {
            id: id.to_owned(),
            name: Some(format!("shop/web/{id}")),
            root: None,
            bundle: "/b".into(),
            pid_file: None,
            runtime: "/usr/bin/crun".into(),
            cgroup: None,
            login_id: None,
            filter: None,
        };
        Denial {
            time: Duration::from_secs(seconds),
            container: Some(Arc::new(container)),
            arch: 0xc000_003e,
            number,
            action: Action::Errno(1),
            pid: 1,
            command: String::new(),
        }
    }

    #[test]
    fn the_first_and_each_tenfold_are_told() {
        let mut counts = Counts::default();
        let told: Vec<u64> = (0..1234).filter_map(|_| counts.add(&denial("c", 83, 0))).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
        assert_eq!(counts.add(&denial("d", 83, 0)), Some(1), "each container has its own");
        assert_eq!(counts.add(&Denial { action: Action::Log, ..denial("d", 84, 0) }), None);
        for number in [273, 334] {
            assert_eq!(counts.add(&denial("d", number, 0)), None, "set_robust_list, rseq");
            let killed = Denial { action: Action::KillProcess, ..denial("d", number, 0) };
            assert_eq!(counts.add(&killed), Some(1));
        }
        assert_eq!(counts.add(&Denial { container: None, ..denial("d", 84, 0) }), None);
    }

    #[test]
    fn a_container_causes_no_flood_of_events_and_takes_no_memory() {
        let mut counts = Counts::default();
        let told = |counts: &mut Counts, seconds| {
            (0..10_000).filter(|number| counts.add(&denial("c", *number, seconds)).is_some()).count()
        };
        assert_eq!(told(&mut counts, 0), BURST as usize);
        assert_eq!(counts.0["c"].counts.len(), KINDS);
        for _ in 0..8 {
            told(&mut counts, 0);
        }
        assert_eq!(told(&mut counts, 3 * 60), 3, "the tenth of each");
        for number in 0..3000 {
            counts.add(&denial(&number.to_string(), 0, 0));
        }
        assert!(counts.0.len() <= CONTAINERS);
    }

    #[test]
    fn a_denial_event_names_syscall_rule_and_entry() {
        let mut reason = Reason {
            profile: "localhost/p.json".to_owned(),
            rule: "no rule: the default".to_owned(),
            entry: r#"{"names":["mkdir"]}"#.to_owned(),
            looks_at_arguments: false,
        };
        let said = told(&denial("c", 83, 0), 10, Some(&reason)).unwrap();
        assert_eq!(
            (said.namespace.as_str(), said.pod.as_str(), said.container.as_str()),
            ("shop", "web", "c")
        );
        let words = "Syscall mkdir (x86_64) denied 10 times (ERRNO) by profile localhost/p.json: no rule: the default; \
                     to let it through, add {\"names\":[\"mkdir\"]}";
        assert_eq!(said.message, words);
        let by_runtime = Denial { command: "crun".to_owned(), ..denial("c", 83, 0) };
        let said = told(&by_runtime, 1, Some(&reason)).unwrap().message;
        assert!(
            said.ends_with("made by crun as it started the container: nothing to add if it runs"),
            "{said}"
        );
        reason.looks_at_arguments = true;
        assert!(told(&denial("c", 83, 0), 1, Some(&reason)).unwrap().message.contains("denied once"));
        assert_eq!(told(&Denial { container: None, ..denial("c", 83, 0) }, 1, None), None);
    }
}
