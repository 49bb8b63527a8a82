//! A pod's status, from the engine's data and the agent's own state: pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cri::message::ContainerStatus as Found;
use crate::plan::{self, End};
use crate::slot::{Kind, Slot};

/// The reason why a container waits, and a message for people.
pub(crate) type Waiting = (String, String);

/// The engine's data on one container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known<'k> {
    pub(crate) latest: Option<&'k Found>,
    pub(crate) previous: Option<&'k Found>,
    pub(crate) waiting: Option<&'k Waiting>,
    pub(crate) is_started: bool,
    pub(crate) is_ready: bool,
    /// Termination messages by container ID.
    pub(crate) messages: Option<&'k BTreeMap<String, String>>,
    /// Its last status, which outlives its removal from the engine.
    pub(crate) written: Option<&'k ContainerStatus>,
}

/// The data from which a pod's status is built.
pub(crate) struct View<'v> {
    pub(crate) pod: &'v Pod,
    /// The last status that this agent has written; the pod's own may be older.
    pub(crate) written: Option<&'v PodStatus>,
    pub(crate) slots: &'v [Slot],
    pub(crate) known: BTreeMap<&'v str, Known<'v>>,
    pub(crate) host_ip: &'v str,
    pub(crate) pod_ip: Option<String>,
    pub(crate) end: Option<End>,
    /// The reason why the node has ended the pod, or refuses it.
    pub(crate) refused: Option<&'v Waiting>,
    pub(crate) now: Timestamp,
}

fn time(nanoseconds: i64) -> Option<Time> {
    let stamp = Timestamp::from_nanosecond(nanoseconds.into()).ok()?;
    // The API has a resolution of seconds.
    (nanoseconds > 0).then(|| Timestamp::from_second(stamp.as_second()).ok().map(Time)).flatten()
}

fn terminated(found: &Found, messages: Option<&BTreeMap<String, String>>) -> ContainerStateTerminated {
    let reason = match (found.reason.as_str(), found.exit_code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    let said = messages.and_then(|messages| messages.get(&found.id)).cloned();
    ContainerStateTerminated {
        container_id: Some(format!("containerd://{}", found.id)),
        exit_code: found.exit_code,
        signal: None,
        reason: Some(reason.to_owned()),
        message: said.or_else(|| (!found.message.is_empty()).then(|| found.message.clone())),
        started_at: time(found.started_at),
        finished_at: time(found.finished_at),
    }
}

/// The end of a container that the engine no longer has, as its last status shows it.
fn lost_end(known: &Known<'_>) -> Option<ContainerState> {
    let state = known.written.filter(|_| known.latest.is_none())?.state.as_ref()?;
    state.terminated.is_some().then(|| state.clone())
}

fn container(slot: &Slot, known: &Known<'_>, is_initialized: bool, is_over: bool) -> ContainerStatus {
    let lost_end = lost_end(known);
    let waiting = |reason: &str, message: &str| ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }),
        ..Default::default()
    };
    let ended = |found: &Found| ContainerState {
        terminated: Some(terminated(found, known.messages)),
        ..Default::default()
    };
    let runs = known.latest.is_some_and(plan::runs);
    let state = match (known.latest, known.waiting) {
        (Some(found), _) if runs => ContainerState {
            running: Some(ContainerStateRunning { started_at: time(found.started_at) }),
            ..Default::default()
        },
        (_, Some((reason, message))) => waiting(reason, message),
        (Some(found), None) if plan::has_ended(found) => ended(found),
        (None, None) if is_over && lost_end.is_some() => lost_end.clone().unwrap_or_default(),
        _ if is_initialized || matches!(slot.kind, Kind::Init | Kind::Sidecar) => {
            waiting("ContainerCreating", "")
        }
        _ => waiting("PodInitializing", ""),
    };
    let shows_end = state.terminated.is_some();
    let last = match shows_end {
        true => known.previous,
        false => known.latest.filter(|found| plan::has_ended(found)).or(known.previous),
    };
    let image = known.latest.and_then(|found| found.image.as_ref()).map(|image| image.image.clone());
    let is_ready = match slot.kind {
        Kind::Init => match known.latest {
            Some(found) => plan::has_ended(found) && found.exit_code == 0,
            None => is_over && known.written.is_some_and(|written| written.ready),
        },
        _ => runs && known.is_started && known.is_ready,
    };
    ContainerStatus {
        name: slot.name().to_owned(),
        image: image
            .filter(|name| !name.starts_with("sha256:"))
            .or_else(|| slot.container.image.clone())
            .unwrap_or_default(),
        image_id: known.latest.map(|found| found.image_ref.clone()).unwrap_or_default(),
        // It also records that a container has run: the next is a restart, even if the first is gone with its sandbox.
        container_id: known
            .latest
            .map(|found| format!("containerd://{}", found.id))
            .or_else(|| known.written?.container_id.clone()),
        restart_count: known
            .latest
            .and_then(|found| found.metadata.as_ref())
            .map_or(known.written.map_or(0, |written| written.restart_count), |metadata| {
                i32::try_from(metadata.attempt).unwrap_or(i32::MAX)
            }),
        ready: is_ready,
        started: Some(runs && known.is_started),
        state: Some(state),
        last_state: last
            .map(ended)
            .or(lost_end.filter(|_| !shows_end))
            .or_else(|| known.written.filter(|_| known.latest.is_none())?.last_state.clone()),
        ..Default::default()
    }
}

/// A container in a pod's status.
pub(crate) fn of<'s>(status: Option<&'s PodStatus>, name: &str) -> Option<&'s ContainerStatus> {
    let lists = status.into_iter().flat_map(|status| {
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses]
    });
    lists.flatten().flatten().find(|known| known.name == name)
}

/// The restart count of a container in a pod's status; `None` if it never started.
pub(crate) fn restarts(status: Option<&PodStatus>, name: &str) -> Option<i32> {
    let found = of(status, name)?;
    (found.container_id.is_some() || found.restart_count > 0).then_some(found.restart_count)
}

fn condition(
    view: &View<'_>,
    kind: &str,
    holds: bool,
    reason: Option<&str>,
    message: Option<String>,
) -> PodCondition {
    let status = if holds { "True" } else { "False" };
    let known = view.written.into_iter().chain(&view.pod.status);
    let old = known.flat_map(|status| status.conditions.iter().flatten()).find(|old| old.type_ == kind);
    let since = old
        .filter(|old| old.status == status)
        .and_then(|old| old.last_transition_time.clone())
        .or_else(|| Timestamp::from_second(view.now.as_second()).ok().map(Time));
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        message,
        last_transition_time: since,
        ..Default::default()
    }
}

/// The conditions; those of other controllers are kept.
fn conditions(
    view: &View<'_>,
    statuses: &[ContainerStatus],
    is_initialized: bool,
    over: bool,
) -> Vec<PodCondition> {
    const OWN: [&str; 5] =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let unready: Vec<&str> =
        statuses.iter().filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    let why =
        (!unready.is_empty()).then(|| format!("containers with unready status: [{}]", unready.join(" ")));
    let others: Vec<PodCondition> = view
        .pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .filter(|condition| !OWN.contains(&condition.type_.as_str()))
        .cloned()
        .collect();
    let gates = view.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let closed = gates
        .filter(|gate| {
            !others.iter().any(|other| other.type_ == gate.condition_type && other.status == "True")
        })
        .map(|gate| {
            format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type)
        })
        .next();
    let reason = |fine: bool| match (fine, over) {
        (true, _) => None,
        (false, true) if view.end == Some(End::Succeeded) => Some("PodCompleted"),
        (false, true) => Some("PodFailed"),
        (false, false) => Some("ContainersNotReady"),
    };
    let all_ready = unready.is_empty() && !over;
    let ready = match (&closed, all_ready) {
        (Some(closed), true) => {
            condition(view, "Ready", false, Some("ReadinessGatesNotReady"), Some(closed.clone()))
        }
        _ => condition(view, "Ready", all_ready, reason(all_ready), why.clone().filter(|_| !over)),
    };
    let started = view.pod_ip.is_some() && !over;
    let mut all = vec![
        condition(view, "PodReadyToStartContainers", started, None, None),
        condition(
            view,
            "Initialized",
            is_initialized,
            (!is_initialized).then_some("ContainersNotInitialized"),
            None,
        ),
        ready,
        condition(view, "ContainersReady", all_ready, reason(all_ready), why.filter(|_| !over)),
        condition(view, "PodScheduled", true, None, None),
    ];
    all.extend(others);
    all
}

/// The status of a pod's condition `Ready`; the control plane may write it too, while the agent is silent.
pub(crate) fn readiness(status: Option<&PodStatus>) -> Option<&str> {
    let conditions = status?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status.as_str())
}

fn was_initialized(view: &View<'_>) -> bool {
    let known = view.written.or(view.pod.status.as_ref());
    let conditions = known.into_iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|old| old.type_ == "Initialized").any(|old| old.status == "True")
}

/// The status of a pod.
pub(crate) fn status(view: &View<'_>) -> PodStatus {
    let none = Known::default();
    let of = |slot: &Slot| view.known.get(slot.name()).unwrap_or(&none).clone();
    let is_initialized =
        view.slots.iter().all(|slot| match slot.kind {
            Kind::Init => of(slot).latest.is_some_and(|found| plan::has_ended(found) && found.exit_code == 0),
            Kind::Sidecar => of(slot).is_started,
            _ => true,
        }) || view.slots.iter().any(|slot| slot.kind == Kind::Main && of(slot).latest.is_some());
    let is_over = view.end.is_some() || view.refused.is_some();
    // The containers of a pod that has ended may be gone from the engine.
    let is_initialized = is_initialized || is_over && was_initialized(view);
    let list = |kinds: &[Kind]| -> Vec<ContainerStatus> {
        let those = view.slots.iter().filter(|slot| kinds.contains(&slot.kind));
        those.map(|slot| container(slot, &of(slot), is_initialized, is_over)).collect()
    };
    let (main, init, ephemeral) =
        (list(&[Kind::Main]), list(&[Kind::Init, Kind::Sidecar]), list(&[Kind::Ephemeral]));
    let old = view.pod.status.clone().unwrap_or_default();
    let is_running = view.slots.iter().any(|slot| slot.kind == Kind::Main && of(slot).latest.is_some());
    let phase = match (view.end, view.refused) {
        (_, Some(_)) | (Some(End::Failed), _) => "Failed",
        (Some(End::Succeeded), _) => "Succeeded",
        _ if is_running => "Running",
        _ => "Pending",
    };
    let over = matches!(phase, "Failed" | "Succeeded");
    let some = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(view, &main, is_initialized, over)),
        host_ip: Some(view.host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: view.host_ip.to_owned() }]),
        pod_ip: view.pod_ip.clone(),
        pod_ips: view.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        start_time: view
            .written
            .and_then(|written| written.start_time.clone())
            .or(old.start_time)
            .or_else(|| Timestamp::from_second(view.now.as_second()).ok().map(Time)),
        qos_class: old.qos_class,
        reason: view.refused.map(|(reason, _)| reason.clone()),
        message: view.refused.map(|(_, message)| message.clone()),
        container_statuses: some(main),
        init_container_statuses: some(init),
        ephemeral_container_statuses: some(ephemeral),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::message::{ContainerMetadata, ContainerState as Runs};
    use serde_json::json;

    fn found(state: Runs, code: i32, attempt: u32) -> Found {
        Found {
            id: format!("id{attempt}"),
            metadata: Some(ContainerMetadata { name: "c".to_owned(), attempt }),
            state: state as i32,
            exit_code: code,
            started_at: 1_800_000_000_500_000_000,
            finished_at: 1_800_000_001_500_000_000,
            ..Default::default()
        }
    }

    fn of(known: Known<'_>, end: Option<End>, refused: Option<&Waiting>) -> serde_json::Value {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}),
        )
        .unwrap();
        let slots = crate::slot::slots(&pod);
        let view = View {
            pod: &pod,
            written: None,
            slots: &slots,
            known: [("c", known)].into(),
            host_ip: "192.0.2.1",
            pod_ip: Some("10.0.0.2".to_owned()),
            end,
            refused,
            now: "2027-01-15T08:00:00Z".parse().unwrap(),
        };
        serde_json::to_value(status(&view)).unwrap()
    }

    #[test]
    fn a_status_says_what_a_kubelet_says() {
        let (runs, failed, done) =
            (found(Runs::Running, 0, 1), found(Runs::Exited, 3, 0), found(Runs::Exited, 0, 0));
        let back_off = ("CrashLoopBackOff".to_owned(), "back-off".to_owned());
        let late = ("DeadlineExceeded".to_owned(), "late".to_owned());
        let known = |latest| Known { latest, is_started: true, is_ready: true, ..Default::default() };
        for (known, end, refused, phase, state, ready) in [
            (Known::default(), None, None, "Pending", "/waiting/reason=ContainerCreating", "False"),
            (known(Some(&runs)), None, None, "Running", "/running/startedAt=2027-01-15T08:00:00Z", "True"),
            (Known { is_ready: false, ..known(Some(&runs)) }, None, None, "Running", "", "False"),
            (
                Known { waiting: Some(&back_off), ..known(Some(&failed)) },
                None,
                None,
                "Running",
                "/waiting/reason=CrashLoopBackOff",
                "False",
            ),
            (known(Some(&failed)), Some(End::Failed), None, "Failed", "/terminated/reason=Error", "False"),
            (
                known(Some(&done)),
                Some(End::Succeeded),
                None,
                "Succeeded",
                "/terminated/reason=Completed",
                "False",
            ),
            (known(Some(&done)), None, Some(&late), "Failed", "/terminated/reason=Completed", "False"),
        ] {
            let got = of(known, end, refused);
            assert_eq!(got["phase"], phase);
            if let Some((path, value)) = state.split_once('=') {
                assert_eq!(got["containerStatuses"][0]["state"].pointer(path), Some(&json!(value)), "{got}");
            }
            let conditions = got["conditions"].as_array().unwrap();
            let is = |kind: &str| conditions.iter().find(|it| it["type"] == kind).unwrap()["status"].clone();
            assert_eq!((is("Ready"), is("PodScheduled")), (json!(ready), json!("True")), "{got}");
        }
        let again = of(Known { previous: Some(&failed), ..known(Some(&runs)) }, None, None);
        assert_eq!(again["containerStatuses"][0]["restartCount"], 1);
        assert_eq!(again["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
    }

    #[test]
    fn the_end_of_a_container_outlives_it() {
        let failed = found(Runs::Exited, 3, 0);
        let known = Known { latest: Some(&failed), ..Default::default() };
        let before: PodStatus = serde_json::from_value(of(known, Some(End::Failed), None)).unwrap();
        for (end, shown) in [(Some(End::Failed), "state"), (None, "lastState")] {
            let known = Known { written: super::of(Some(&before), "c"), ..Default::default() };
            let after = of(known, end, None);
            let container = &after["containerStatuses"][0];
            assert_eq!(container[shown]["terminated"]["exitCode"], 3, "{container}");
            assert_eq!(container["state"].get("waiting").is_some(), end.is_none(), "{container}");
            assert_eq!(container.get("lastState").is_some(), end.is_none(), "{container}");
        }
    }

    #[test]
    fn a_pod_that_has_ended_stays_initialized() {
        let pod = |status: serde_json::Value| -> Pod {
            let spec = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]});
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec, "status": status}))
                .unwrap()
        };
        let of = |pod: &Pod, known: BTreeMap<&str, Known<'_>>, end| {
            let view = View {
                pod,
                written: None,
                slots: &crate::slot::slots(pod),
                known,
                host_ip: "192.0.2.1",
                pod_ip: None,
                end,
                refused: None,
                now: "2027-01-15T08:00:00Z".parse().unwrap(),
            };
            serde_json::to_value(status(&view)).unwrap()
        };
        let is = |status: &serde_json::Value| {
            let conditions = status["conditions"].as_array().unwrap().iter();
            let mut initialized =
                conditions.filter(|it| it["type"] == "Initialized").map(|it| it["status"].clone());
            (initialized.next_back(), status["initContainerStatuses"][0]["ready"].clone())
        };
        let done = found(Runs::Exited, 0, 0);
        let known = || Known { latest: Some(&done), ..Default::default() };
        let fresh = pod(json!({}));
        let before = of(&fresh, [("i", known()), ("c", known())].into(), Some(End::Succeeded));
        assert_eq!(is(&before), (Some(json!("True")), json!(true)));
        let ended = pod(before);
        for (end, expected) in [(Some(End::Succeeded), ("True", true)), (None, ("False", false))] {
            let gone = |name| Known { written: super::of(ended.status.as_ref(), name), ..Default::default() };
            let after = of(&ended, [("i", gone("i")), ("c", gone("c"))].into(), end);
            assert_eq!(is(&after), (Some(json!(expected.0)), json!(expected.1)), "{end:?}");
        }
    }

    #[test]
    fn a_container_that_is_gone_with_its_sandbox_has_run() {
        let before =
            of(Known { latest: Some(&found(Runs::Running, 0, 0)), ..Default::default() }, None, None);
        let before: PodStatus = serde_json::from_value(before).unwrap();
        assert_eq!(restarts(Some(&before), "c"), Some(0));
        // Twice, as while init containers run again.
        let mut status = before;
        for _ in 0..2 {
            let known = Known { written: super::of(Some(&status), "c"), ..Default::default() };
            status = serde_json::from_value(of(known, None, None)).unwrap();
            assert_eq!(restarts(Some(&status), "c"), Some(0), "the next start is the first restart");
        }
        let never = of(Known::default(), None, None);
        assert_eq!(never["containerStatuses"][0].get("lastState"), None);
        assert_eq!(restarts(Some(&serde_json::from_value(never).unwrap()), "c"), None);
    }
}
