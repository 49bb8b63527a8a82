//! The containers of a pod and their state.

use palisade_k8s::quantity;
use serde_json::Value;

use super::sheet::{Sheet, items, texts, time, truth, word};
use crate::value::text;

pub(super) fn describe(name: &str, pod: &Value, containers: &[Value], statuses: &[Value], sheet: &mut Sheet) {
    if containers.is_empty() {
        return;
    }
    sheet.line(0, format!("{name}:"));
    for container in containers {
        let name = text(container, "/name");
        let status = statuses.iter().find(|status| text(status, "/name") == name);
        sheet.line(1, format!("{name}:"));
        head(container, status, sheet);
        lines("Command", &texts(container, "/command"), sheet);
        lines("Args", &texts(container, "/args"), sheet);
        if let Some(status) = status {
            state(status, sheet);
        }
        amounts("Limits", container.pointer("/resources/limits"), sheet);
        amounts("Requests", container.pointer("/resources/requests"), sheet);
        for (name, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if let Some(found) = container.get(field) {
                sheet.pair(2, name, probe(found));
            }
        }
        environment(pod, container, sheet);
        mounts(container, sheet);
    }
}

fn head(container: &Value, status: Option<&Value>, sheet: &mut Sheet) {
    if let Some(status) = status {
        sheet.pair(2, "Container ID", text(status, "/containerID"));
    }
    sheet.pair(2, "Image", text(container, "/image"));
    if let Some(status) = status {
        sheet.pair(2, "Image ID", text(status, "/imageID"));
    }
    let ports = items(container, "/ports");
    let said = |field: &str| -> String {
        let ports = ports.iter().map(|port| {
            let number = port.get(field).and_then(Value::as_i64).unwrap_or_default();
            format!("{number}/{}", text(port, "/protocol"))
        });
        let ports: Vec<String> = ports.collect();
        if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") }
    };
    let s = if ports.len() > 1 { "s" } else { "" };
    sheet.pair(2, &format!("Port{s}"), said("containerPort"));
    sheet.pair(2, &format!("Host Port{s}"), said("hostPort"));
    profile(container.get("securityContext"), 2, sheet);
}

fn lines(name: &str, words: &[&str], sheet: &mut Sheet) {
    if words.is_empty() {
        return;
    }
    sheet.line(2, format!("{name}:"));
    words.iter().flat_map(|word| word.split('\n')).for_each(|line| sheet.line(3, line));
}

fn state(status: &Value, sheet: &mut Sheet) {
    one_state("State", &status.get("state").cloned().unwrap_or_default(), sheet);
    if let Some(last) = status.get("lastState").filter(|last| last.get("terminated").is_some()) {
        one_state("Last State", last, sheet);
    }
    sheet.pair(2, "Ready", readiness(status));
    let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or_default();
    sheet.pair(2, "Restart Count", restarts.to_string());
}

fn one_state(name: &str, state: &Value, sheet: &mut Sheet) {
    if let Some(running) = state.get("running") {
        sheet.pair(2, name, "Running");
        sheet.pair(3, "Started", time(text(running, "/startedAt")));
    } else if let Some(ended) = state.get("terminated") {
        sheet.pair(2, name, "Terminated");
        sheet.some(3, "Reason", text(ended, "/reason"));
        sheet.some(3, "Message", text(ended, "/message"));
        let number = |field: &str| ended.get(field).and_then(Value::as_i64).unwrap_or_default();
        sheet.pair(3, "Exit Code", number("exitCode").to_string());
        if number("signal") > 0 {
            sheet.pair(3, "Signal", number("signal").to_string());
        }
        sheet.pair(3, "Started", time(text(ended, "/startedAt")));
        sheet.pair(3, "Finished", time(text(ended, "/finishedAt")));
    } else {
        sheet.pair(2, name, "Waiting");
        sheet.some(3, "Reason", text(state, "/waiting/reason"));
    }
}

fn amounts(name: &str, list: Option<&Value>, sheet: &mut Sheet) {
    let Some(list) = list.and_then(Value::as_object).filter(|list| !list.is_empty()) else { return };
    sheet.line(2, format!("{name}:"));
    let mut names: Vec<&String> = list.keys().collect();
    names.sort();
    for name in names {
        sheet.pair(3, name, list.get(name).map(word).unwrap_or_default());
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str| probe.get(field).and_then(Value::as_i64).unwrap_or_default();
    let port = |kind: &str| probe.pointer(&format!("/{kind}/port")).map(word).unwrap_or_default();
    let how = if probe.get("exec").is_some() {
        format!("exec [{}]", texts(probe, "/exec/command").join(" "))
    } else if probe.get("httpGet").is_some() {
        let (scheme, host) = (text(probe, "/httpGet/scheme").to_lowercase(), text(probe, "/httpGet/host"));
        format!("http-get {scheme}://{host}:{}{}", port("httpGet"), text(probe, "/httpGet/path"))
    } else if probe.get("tcpSocket").is_some() {
        format!("tcp-socket {}:{}", text(probe, "/tcpSocket/host"), port("tcpSocket"))
    } else if probe.get("grpc").is_some() {
        format!("grpc <pod>:{} {}", port("grpc"), text(probe, "/grpc/service"))
    } else {
        "unknown".to_owned()
    };
    format!(
        "{how} delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    )
}

fn is_optional(reference: &Value) -> bool {
    reference.get("optional") == Some(&Value::Bool(true))
}

fn environment(pod: &Value, container: &Value, sheet: &mut Sheet) {
    let sources = items(container, "/envFrom");
    if !sources.is_empty() {
        sheet.line(2, "Environment Variables from:");
    }
    for source in sources {
        let kinds = [("configMapRef", "ConfigMap"), ("secretRef", "Secret")];
        let found = kinds.into_iter().find_map(|(field, kind)| Some((source.get(field)?, kind)));
        let Some((reference, kind)) = found else { continue };
        let prefix = match text(source, "/prefix") {
            "" => String::new(),
            prefix => format!(" with prefix '{prefix}'"),
        };
        let name = text(reference, "/name");
        sheet.line(3, format!("{name}\t{kind}{prefix}\tOptional: {}", is_optional(reference)));
    }
    let variables = items(container, "/env");
    if variables.is_empty() {
        sheet.pair(2, "Environment", "<none>");
        return;
    }
    sheet.line(2, "Environment:");
    for variable in variables {
        let value = variable.get("valueFrom").map(|from| sourced(pod, container, from));
        let value = value.unwrap_or_else(|| text(variable, "/value").to_owned());
        let mut lines = value.split('\n');
        sheet.pair(3, text(variable, "/name"), lines.next().unwrap_or_default());
        lines.for_each(|line| sheet.line(3, format!("\t{line}")));
    }
}

/// The source of a variable's value; for a field of the pod also the value.
fn sourced(pod: &Value, container: &Value, from: &Value) -> String {
    if let Some(field) = from.get("fieldRef") {
        let path = text(field, "/fieldPath");
        let value = match path {
            "metadata.name" | "metadata.namespace" | "metadata.uid" => {
                text(pod, &format!("/{}", path.replace('.', "/")))
            }
            _ => "",
        };
        return format!("{value} ({}:{path})", text(field, "/apiVersion"));
    }
    if let Some(amount) = from.get("resourceFieldRef") {
        let resource = text(amount, "/resource");
        return match amount_of(container, resource, text(amount, "/divisor")) {
            0 if resource.starts_with("limits.") => format!("node allocatable ({resource})"),
            value => format!("{value} ({resource})"),
        };
    }
    let kinds = [("secretKeyRef", "in secret"), ("configMapKeyRef", "of config map")];
    let found = kinds.into_iter().find_map(|(field, place)| Some((from.get(field)?, place)));
    let Some((reference, place)) = found else { return String::new() };
    let (name, key) = (text(reference, "/name"), text(reference, "/key"));
    format!("<set to the key '{key}' {place} '{name}'>\tOptional: {}", is_optional(reference))
}

/// An amount of a container in units of the divisor, rounded up.
fn amount_of(container: &Value, resource: &str, divisor: &str) -> i128 {
    let (list, name) = resource.split_once('.').unwrap_or((resource, ""));
    let found = container.pointer(&format!("/resources/{list}/{name}"));
    let amount = found.and_then(|amount| quantity::billionths(&word(amount))).unwrap_or_default();
    let divisor = quantity::billionths(divisor).filter(|divisor| *divisor > 0);
    let divisor = divisor.unwrap_or(1_000_000_000);
    amount / divisor + i128::from(amount % divisor > 0)
}

fn mounts(container: &Value, sheet: &mut Sheet) {
    let mut mounts: Vec<&Value> = items(container, "/volumeMounts").iter().collect();
    mounts.sort_by_key(|mount| text(mount, "/mountPath"));
    if mounts.is_empty() {
        sheet.pair(2, "Mounts", "<none>");
    } else {
        sheet.line(2, "Mounts:");
    }
    for mount in mounts {
        let mut flags = if is_read_only(mount) { "ro" } else { "rw" }.to_owned();
        if !text(mount, "/subPath").is_empty() {
            flags.push_str(&format!(",path={:?}", text(mount, "/subPath")));
        }
        sheet.line(3, format!("{} from {} ({flags})", text(mount, "/mountPath"), text(mount, "/name")));
    }
    let devices = items(container, "/volumeDevices");
    if !devices.is_empty() {
        sheet.line(2, "Devices:");
    }
    for device in devices {
        sheet.line(3, format!("{} from {}", text(device, "/devicePath"), text(device, "/name")));
    }
}

fn is_read_only(mount: &Value) -> bool {
    mount.get("readOnly") == Some(&Value::Bool(true))
}

/// The seccomp profile of a security context.
pub(super) fn profile(security: Option<&Value>, level: usize, sheet: &mut Sheet) {
    let Some(profile) = security.and_then(|security| security.get("seccompProfile")) else { return };
    sheet.some(level, "SeccompProfile", text(profile, "/type"));
    sheet.some(level + 1, "LocalhostProfile", text(profile, "/localhostProfile"));
}

/// Whether a container is ready, by its status.
pub(super) fn readiness(status: &Value) -> &'static str {
    truth(status.get("ready"))
}
