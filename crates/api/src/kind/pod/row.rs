//! The row of a pod in `kubectl get pods`.

use jiff::Timestamp;
use serde_json::Value;

use super::super::{age, text};
use crate::time;

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let counts = Counts::of(pod);
    let or_none = |pointer: &str| match text(pod, pointer) {
        "" => "<none>".to_owned(),
        text => text.to_owned(),
    };
    vec![
        format!("{}/{}", counts.ready, counts.total).into(),
        status(pod, &counts).into(),
        counts.restarts(now).into(),
        age(pod, now),
        or_none("/status/podIP").into(),
        or_none("/spec/nodeName").into(),
        or_none("/status/nominatedNodeName").into(),
        gates(pod).into(),
    ]
}

/// The containers of a pod.
#[derive(Debug, Default)]
struct Counts<'p> {
    total: usize,
    ready: usize,
    restarts: i64,
    /// The latest end before a restart.
    ended: &'p str,
    /// The progress or the failure of init containers: the part of the STATUS column after `Init:`.
    init: Option<String>,
}

fn list<'p>(pod: &'p Value, pointer: &str) -> &'p [Value] {
    pod.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_true(status: &Value, field: &str) -> bool {
    status.get(field) == Some(&Value::Bool(true))
}

fn holds(pod: &Value, condition: &str) -> bool {
    let conditions = list(pod, "/status/conditions").iter();
    conditions.filter(|it| text(it, "/type") == condition).any(|it| text(it, "/status") == "True")
}

impl<'p> Counts<'p> {
    fn of(pod: &'p Value) -> Self {
        let sidecars: Vec<&str> = list(pod, "/spec/initContainers")
            .iter()
            .filter(|container| text(container, "/restartPolicy") == "Always")
            .map(|container| text(container, "/name"))
            .collect();
        let total = list(pod, "/spec/containers").len() + sidecars.len();
        let mut counts = Self { total, ..Self::default() };
        let init = list(pod, "/status/initContainerStatuses");
        let is_sidecar = |status: &&Value| sidecars.contains(&text(status, "/name"));
        let blocking = init.iter().position(|status| {
            text(status, "/state/terminated/reason") != "Completed"
                && status.pointer("/state/terminated/exitCode") != Some(&Value::from(0))
                && !(is_sidecar(&status) && is_true(status, "started"))
        });
        let passed = init.iter().take(blocking.unwrap_or(init.len()));
        counts.ready = passed.filter(is_sidecar).filter(|status| is_true(status, "ready")).count();
        let init_count = list(pod, "/spec/initContainers").len();
        counts.init = blocking
            .and_then(|place| Some((place, init.get(place)?)))
            .map(|(place, status)| waits_for(status).unwrap_or_else(|| format!("{place}/{init_count}")));
        if counts.init.is_some() && !holds(pod, "Initialized") {
            init.iter().for_each(|status| counts.add(status));
            return counts;
        }
        init.iter().filter(is_sidecar).for_each(|status| counts.add(status));
        for status in list(pod, "/status/containerStatuses") {
            counts.add(status);
            counts.ready +=
                usize::from(is_true(status, "ready") && status.pointer("/state/running").is_some());
        }
        counts
    }

    fn add(&mut self, status: &'p Value) {
        self.restarts += status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        // Times of this form have the order of their texts.
        self.ended = self.ended.max(text(status, "/lastState/terminated/finishedAt"));
    }

    fn restarts(&self, now: Timestamp) -> String {
        match (self.restarts, self.ended) {
            (0, _) | (_, "") => self.restarts.to_string(),
            (count, ended) => format!("{count} ({} ago)", time::age(ended, now)),
        }
    }
}

/// Why a container ended: the reason, or else the signal or the exit code.
fn ended(status: &Value) -> Option<String> {
    let state = status.pointer("/state/terminated")?;
    let number = |field: &str| state.get(field).and_then(Value::as_i64).unwrap_or(0);
    Some(match (text(state, "/reason"), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    })
}

/// Why an init container has not passed; `None` if it simply runs, or has yet to.
fn waits_for(status: &Value) -> Option<String> {
    let waiting = Some(text(status, "/state/waiting/reason"));
    ended(status).or_else(|| waiting.filter(|why| !matches!(*why, "" | "PodInitializing")).map(str::to_owned))
}

/// The STATUS column: the phase, or the reason why a container waits or ended.
fn status(pod: &Value, counts: &Counts<'_>) -> String {
    let phase = text(pod, "/status/phase");
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        match (text(pod, "/status/reason"), phase) {
            ("NodeLost", _) => return "Unknown".to_owned(),
            (_, "Succeeded" | "Failed") => {}
            _ => return "Terminating".to_owned(),
        }
    }
    let is_gated = list(pod, "/status/conditions")
        .iter()
        .any(|it| text(it, "/type") == "PodScheduled" && text(it, "/reason") == "SchedulingGated");
    let mut said = match text(pod, "/status/reason") {
        _ if is_gated => "SchedulingGated".to_owned(),
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    if let Some(init) = &counts.init {
        said = format!("Init:{init}");
        if !holds(pod, "Initialized") {
            return said;
        }
    }
    let containers = list(pod, "/status/containerStatuses");
    for status in containers.iter().rev() {
        let waiting = Some(text(status, "/state/waiting/reason")).filter(|why| !why.is_empty());
        said = waiting.map(str::to_owned).or_else(|| ended(status)).unwrap_or(said);
    }
    let one_runs = containers.iter().any(|it| is_true(it, "ready") && it.pointer("/state/running").is_some());
    match (said.as_str(), one_runs, holds(pod, "Ready")) {
        ("Completed", true, true) => "Running".to_owned(),
        ("Completed", true, false) => "NotReady".to_owned(),
        _ => said,
    }
}

/// The readiness gates, and how many of them are open.
fn gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    let open = gates.iter().filter(|gate| holds(pod, text(gate, "/conditionType"))).count();
    match gates.len() {
        0 => "<none>".to_owned(),
        all => format!("{open}/{all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `i=0` is an init container and `s=run` a sidecar by their first letter, others are main ones. The state is `run`,
    /// `on` (runs and is ready), `wait:REASON`, or an exit code.
    fn pod(containers: &str, status: &Value) -> Value {
        let (mut spec, mut known) = (json!({"initContainers": [], "containers": []}), json!({}));
        for word in containers.split_whitespace() {
            let (name, state) = word.split_once('=').unwrap();
            let (list, statuses) = match name.chars().next() {
                Some('i' | 's') => ("initContainers", "initContainerStatuses"),
                _ => ("containers", "containerStatuses"),
            };
            let policy = name.starts_with('s').then_some("Always");
            spec[list].as_array_mut().unwrap().push(json!({"name": name, "restartPolicy": policy}));
            let (restarts, state) = state.split_once('*').unwrap_or(("0", state));
            let now = match (state, state.strip_prefix("wait:")) {
                (_, Some(reason)) => json!({"waiting": {"reason": reason}}),
                ("run" | "on", _) => json!({"running": {}}),
                (code, _) => json!({"terminated": {"exitCode": code.parse::<i64>().unwrap(),
                    "reason": if code == "0" { "Completed" } else { "" }}}),
            };
            let restarts: i64 = restarts.parse().unwrap();
            let last = json!({"terminated": {"finishedAt": "2027-01-15T07:59:30Z"}});
            let one = json!({"name": name, "state": now, "ready": state == "on", "started": state == "on",
                "restartCount": restarts, "lastState": if restarts > 0 { last } else { json!({}) }});
            if known.get(statuses).is_none() {
                known[statuses] = json!([]);
            }
            known[statuses].as_array_mut().unwrap().push(one);
        }
        for (key, value) in status.as_object().unwrap() {
            known[key] = value.clone();
        }
        json!({"metadata": {"creationTimestamp": "2027-01-15T07:00:00Z"}, "spec": spec, "status": known})
    }

    #[test]
    fn a_row_says_what_that_of_kubernetes_says() {
        let waits = json!({"phase": "Pending", "conditions": [{"type": "Initialized", "status": "False"}]});
        let on = |ready: &str| {
            json!({"phase": "Running", "conditions":
                [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]})
        };
        let gated = json!({"phase": "Pending", "conditions":
            [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]});
        let evicted = json!({"phase": "Failed", "reason": "Evicted"});
        for (containers, status, expected) in [
            ("a=on b=on", &on("True"), "2/2 Running 0"),
            ("a=on b=run", &on("False"), "1/2 Running 0"),
            ("s=on a=on", &on("True"), "2/2 Running 0"),
            ("s=2*on a=1*on", &on("True"), "2/2 Running 3 (30s ago)"),
            ("i=1*0 a=on", &on("True"), "1/1 Running 0"),
            ("i=run a=wait:PodInitializing", &waits, "0/1 Init:0/1 0"),
            ("i1=0 i2=wait:PodInitializing a=wait:PodInitializing", &waits, "0/1 Init:1/2 0"),
            ("i=1*3 a=wait:PodInitializing", &waits, "0/1 Init:ExitCode:3 1 (30s ago)"),
            (
                "i=4*wait:CrashLoopBackOff a=wait:PodInitializing",
                &waits,
                "0/1 Init:CrashLoopBackOff 4 (30s ago)",
            ),
            ("s=run a=wait:PodInitializing", &waits, "0/2 Init:0/1 0"),
            ("s=on i=run a=wait:PodInitializing", &waits, "1/2 Init:1/2 0"),
            ("a=wait:CrashLoopBackOff", &on("False"), "0/1 CrashLoopBackOff 0"),
            ("a=0", &json!({"phase": "Succeeded"}), "0/1 Completed 0"),
            ("a=137", &json!({"phase": "Failed"}), "0/1 ExitCode:137 0"),
            ("a=0 b=on", &on("False"), "1/2 NotReady 0"),
            ("a=0 b=on", &on("True"), "1/2 Running 0"),
            ("", &gated, "0/0 SchedulingGated 0"),
            ("", &evicted, "0/0 Evicted 0"),
        ] {
            let row = cells(&pod(containers, status), "2027-01-15T08:00:00Z".parse().unwrap());
            let words: Vec<&str> = row.iter().take(3).map(|cell| cell.as_str().unwrap()).collect();
            assert_eq!(words.join(" "), expected, "{containers}");
        }
    }

    #[test]
    fn a_pod_that_is_deleted_terminates_unless_it_has_ended() {
        for (phase, reason, expected) in [
            ("Running", "", "Terminating"),
            ("Running", "NodeLost", "Unknown"),
            ("Succeeded", "", "Succeeded"),
            ("Failed", "Evicted", "Evicted"),
        ] {
            let mut pod = pod("", &json!({"phase": phase, "reason": reason}));
            pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T07:59:00Z");
            let row = cells(&pod, "2027-01-15T08:00:00Z".parse().unwrap());
            assert_eq!(row[1], expected);
        }
    }

    #[test]
    fn gates_are_counted() {
        let mut pod = pod("", &json!({"conditions": [{"type": "a", "status": "True"}]}));
        pod["spec"]["readinessGates"] = json!([{"conditionType": "a"}, {"conditionType": "b"}]);
        assert_eq!(cells(&pod, Timestamp::UNIX_EPOCH)[7], "1/2");
    }
}
