//! Ending containers: hooks first, then a signal and the grace period, then force.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::{Failure, Observed, Worker, is_named};
use crate::cri::message::{ContainerStatus as Found, PodSandbox, SandboxId, SandboxState};
use crate::event::Level;
use crate::plan;
use crate::probe::{self, Target};
use crate::slot::{Kind, Slot};

impl Worker {
    /// Ends every container of a pod, sidecars after the others, then the sandboxes.
    pub(super) async fn stop_all(
        &mut self,
        pod: &Pod,
        slots: &[Slot],
        observed: &Observed,
        grace: Option<i64>,
    ) -> Result<(), Failure> {
        self.memory.probes.clear();
        let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        let grace = grace.unwrap_or(own);
        let begun = tokio::time::Instant::now();
        for sidecars in [false, true] {
            let left = grace - i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
            let those = observed.containers.iter().filter(|found| {
                let slot = slots.iter().find(|slot| is_named(found, slot.name()));
                !plan::has_ended(found) && slot.is_some_and(|slot| slot.kind == Kind::Sidecar) == sidecars
            });
            let stops = those.map(|found| {
                let slot = slots.iter().find(|slot| is_named(found, slot.name()));
                self.stop(pod, slot, found, observed, left.max(0), "")
            });
            futures::future::try_join_all(stops).await?;
        }
        self.stop_sandboxes(&observed.sandboxes).await
    }

    /// Stops sandboxes; also those whose processes have ended by themselves, which keep addresses and ports until then.
    /// Their containers and logs stay.
    async fn stop_sandboxes(&mut self, sandboxes: &[PodSandbox]) -> Result<(), Failure> {
        for sandbox in to_stop(sandboxes, &self.memory.stopped) {
            let stopped = self.node.cri.stop_sandbox(SandboxId { pod_sandbox_id: sandbox.clone() }).await;
            stopped.map(|_| ()).or_else(|error| if error.is_missing() { Ok(()) } else { Err(error) })?;
            self.memory.stopped.insert(sandbox);
        }
        self.memory.stopped.retain(|id| sandboxes.iter().any(|sandbox| sandbox.id == *id));
        Ok(())
    }

    /// Ends one container.
    pub(super) async fn stop(
        &self,
        pod: &Pod,
        slot: Option<&Slot>,
        found: &Found,
        observed: &Observed,
        grace: i64,
        why: &str,
    ) -> Result<(), Failure> {
        let name = slot.map(Slot::name);
        let what = name.unwrap_or_default();
        let said = if why.is_empty() {
            format!("Stopping container {what}")
        } else {
            format!("Container {what} {why}, will be restarted")
        };
        self.say(pod, name, Level::Normal, "Killing", &said).await;
        let begun = tokio::time::Instant::now();
        let hook =
            slot.and_then(|slot| slot.container.lifecycle.as_ref()).and_then(|life| life.pre_stop.as_ref());
        if let (Some(hook), Some(slot), true) = (hook, slot, plan::runs(found) && grace > 0) {
            let ip = observed.ip.as_deref().or(Some(&self.node.facts.host_ip)).and_then(|ip| ip.parse().ok());
            let target = Target { id: found.id.clone(), ip, container: slot.container.clone() };
            let timeout = Duration::from_secs(grace.unsigned_abs());
            if let Err(error) = probe::hook(&target, &self.node.cri, hook, timeout).await {
                self.say(
                    pod,
                    name,
                    Level::Warning,
                    "FailedPreStopHook",
                    &format!("PreStopHook failed: {error}"),
                )
                .await;
            }
        }
        let spent = i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
        // A hook that took all the time leaves the container two seconds, as in a kubelet.
        let left = if grace > 0 { (grace - spent).max(2.min(grace)) } else { 0 };
        match self.node.cri.stop_container(&found.id, left).await {
            Err(error) if !error.is_missing() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Ends containers with failed probes, and reports the probes' results.
    pub(super) async fn end_what_probes_say(
        &mut self,
        pod: &Pod,
        slots: &[Slot],
        observed: &Observed,
    ) -> Result<(), Failure> {
        for slot in slots {
            let latest = observed.latest(None);
            let Some(found) = latest.get(slot.name()).copied() else { continue };
            let Some(probes) = self.memory.probes.get(&found.id) else { continue };
            for said in probes.take_said() {
                self.say(pod, Some(slot.name()), Level::Warning, "Unhealthy", &said).await;
            }
            let Some(why) = probes.findings().kill else { continue };
            let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
            self.stop(pod, Some(slot), found, observed, own, &why).await?;
            self.memory.probes.remove(&found.id);
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// The sandboxes to stop: all but those that are known to be stopped.
fn to_stop(sandboxes: &[PodSandbox], stopped: &BTreeSet<String>) -> Vec<String> {
    let is_due =
        |sandbox: &&PodSandbox| sandbox.state == SandboxState::Ready as i32 || !stopped.contains(&sandbox.id);
    sandboxes.iter().filter(is_due).map(|sandbox| sandbox.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sandbox_of_an_ended_pod_is_stopped_once() {
        use SandboxState::{NotReady, Ready};
        for (state, stopped, expected) in [
            (Ready, "", "s"),
            (NotReady, "", "s"), // its process was killed: the network is still there
            (NotReady, "s", ""),
            (Ready, "s", "s"),
        ] {
            let sandbox = PodSandbox { id: "s".to_owned(), state: state as i32, ..Default::default() };
            let stopped = stopped.split_terminator(',').map(str::to_owned).collect();
            assert_eq!(to_stop(&[sandbox], &stopped).join(","), expected, "{state:?} {stopped:?}");
        }
    }
}
