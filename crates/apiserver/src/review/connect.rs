//! exec, attach, port-forward and log of a pod: authorized here, carried out by a node.

use std::net::IpAddr;

use palisade_hooks::{Attributes, Operation};
use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use crate::admit;
use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::objects;
use crate::request::{Query, encode};
use crate::resource::{self, Serves, text};
use crate::webhook::attributes;

/// The target of a proxied request: a node, and a path on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: String,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    /// The path with its parameters.
    pub(crate) path: String,
}

/// Authorizes exec, attach, log and port forwarding, and gives the address of the node; `None` if the pod has no log yet.
pub(crate) fn connect(call: &Call<'_>, serves: Serves) -> ApiResult<Option<Place>> {
    let target = call.target;
    let pod = objects::get(&call.api.store, &target.resource, &target.namespace, &target.name)?.object;
    let is_log = matches!(serves, Serves::Log);
    if is_log {
        check_log(&target.name, call.query)?;
    }
    if let Serves::Connection { has_process: true } = serves {
        admit::connect(call, &pod)?;
    }
    check_container(&target.name, &pod, call.query)?;
    if let Serves::Connection { .. } = serves {
        let request = Attributes { is_dry_run: false, ..attributes(call, Operation::Connect, None) };
        palisade_hooks::admit(request, Some(options(call)))?;
    }
    let node = text(&pod, "/spec/nodeName");
    if node.is_empty() && is_log {
        // A container that has not started has no log.
        return Ok(None);
    }
    if node.is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", target.name)));
    }
    let path = path(call, &pod)?;
    let unreachable = || {
        ApiError::unavailable(format!("node {node:?} cannot be reached: its status names no agent endpoint"))
    };
    let nodes = resource::find("", "nodes").ok_or_else(ApiError::no_such_path)?;
    let object = objects::get(&call.api.store, nodes, "", node).map_err(|_| unreachable())?.object;
    let addresses = object.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
    let host = addresses.filter(|it| text(it, "/type") == "InternalIP").map(|it| text(it, "/address")).next();
    let host = host.and_then(address);
    let port = object.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    match (host, port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)) {
        (Some(host), Some(port)) => Ok(Some(Place { node: node.to_owned(), host, port, path })),
        _ => Err(unreachable()),
    }
}

/// The address of a node, which its agent writes: no name that this server would look up, and none that means the server's own
/// link, as the metadata service of a cloud does.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let address = address.to_canonical();
    let is_link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!is_link && !address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// The options of a connection, as the object that webhooks see.
fn options(call: &Call<'_>) -> Value {
    let kind = call.target.subresource.and_then(|part| part.kind).map_or("", |(_, _, kind)| kind);
    let mut options = json!({"kind": kind, "apiVersion": "v1"});
    for field in ["stdin", "stdout", "stderr", "tty"] {
        if call.query.is_true(field) {
            put(&mut options, &[field], true.into());
        }
    }
    if let Some(container) = call.query.get("container").filter(|name| !name.is_empty()) {
        put(&mut options, &["container"], container.into());
    }
    let command: Vec<&str> = call.query.all("command").collect();
    if !command.is_empty() {
        put(&mut options, &["command"], json!(command));
    }
    let ports = call
        .query
        .all("ports")
        .flat_map(|ports| ports.split(','))
        .filter_map(|port| port.parse::<u16>().ok());
    let ports: Vec<u16> = ports.collect();
    if !ports.is_empty() {
        put(&mut options, &["ports"], json!(ports));
    }
    options
}

/// The path on a node, and the parameters under the names that nodes use.
fn path(call: &Call<'_>, pod: &Value) -> ApiResult<String> {
    let target = call.target;
    let (namespace, name) = (&target.namespace, &target.name);
    let container = || container(name, pod, call.query);
    let pairs = |names: &[(&str, &str)]| -> Vec<String> {
        let named = names.iter().flat_map(|(here, there)| {
            call.query.all(here).map(move |value| format!("{there}={}", encode(value)))
        });
        named.collect()
    };
    // A kubelet takes "1" for true, and nothing else.
    let streams = || -> Vec<String> {
        let flags = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
        let set = flags.iter().filter(|(here, _)| call.query.is_true(here));
        set.map(|(_, there)| format!("{there}=1")).chain(pairs(&[("command", "command")])).collect()
    };
    let (path, parameters) = match target.subresource.map_or("", |part| part.name) {
        "exec" => (format!("/exec/{namespace}/{name}/{}", container()?), streams()),
        "attach" => (format!("/attach/{namespace}/{name}/{}", container()?), streams()),
        "portforward" => {
            // One parameter may name several ports.
            let ports = call.query.all("ports").flat_map(|ports| ports.split(','));
            (
                format!("/portForward/{namespace}/{name}"),
                ports.map(|port| format!("port={}", encode(port))).collect(),
            )
        }
        _ => {
            let kept =
                ["follow", "previous", "tailLines", "sinceSeconds", "sinceTime", "timestamps", "limitBytes"];
            (
                format!("/containerLogs/{namespace}/{name}/{}", container()?),
                pairs(&kept.map(|name| (name, name))),
            )
        }
    };
    Ok(format!("{path}?{}", parameters.join("&")))
}

/// The requested container: the one that is named, the pod's only one, or the one that its annotation names as the
/// default.
fn container(name: &str, pod: &Value, query: &Query) -> ApiResult<String> {
    if let Some(named) = query.get("container").filter(|container| !container.is_empty()) {
        return Ok(named.to_owned());
    }
    let own = pod.get("metadata").and_then(|it| it.get("annotations"));
    let own = own.and_then(|it| it.get("kubectl.kubernetes.io/default-container")).and_then(Value::as_str);
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let names: Vec<&str> = containers.into_iter().flatten().map(|it| text(it, "/name")).collect();
    match (own, names.as_slice()) {
        (Some(own), names) if names.contains(&own) => Ok(own.to_owned()),
        (_, [only]) => Ok((*only).to_owned()),
        (_, names) => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            names.join(" ")
        ))),
    }
}

/// A container that the client names must exist.
fn check_container(name: &str, pod: &Value, query: &Query) -> ApiResult<()> {
    let Some(wanted) = query.get("container").filter(|container| !container.is_empty()) else {
        return Ok(());
    };
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let mut all = lists.iter().filter_map(|list| pod.get("spec")?.get(list)?.as_array()).flatten();
    match all.any(|container| text(container, "/name") == wanted) {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!("pod {name} has no container {wanted}"))),
    }
}

/// The requested part of a log; refuses invalid ranges.
fn check_log(name: &str, query: &Query) -> ApiResult<()> {
    let mut errors = Vec::new();
    for (field, least) in [("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)] {
        let number = query.get(field).and_then(|text| text.parse::<i64>().ok());
        if let Some(number) = number.filter(|number| *number < least) {
            let why = format!("must be at least {least}");
            errors.push(FieldError::invalid(FieldPath::of(field), number, why));
        }
    }
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        let why = "may not be set beside sinceSeconds";
        errors.push(FieldError::forbidden(FieldPath::of("sinceTime"), why));
    }
    match errors.as_slice() {
        [] => Ok(()),
        errors => Err(ApiError::invalid_kind("PodLogOptions", "", name, errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_addresses_of_their_own() {
        for (text, is_usable) in [
            ("10.0.0.7", true),
            ("127.0.0.1", true),
            ("fd00::7", true),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("metadata.internal", false),
            ("localhost", false),
            ("", false),
        ] {
            assert_eq!(address(text).is_some(), is_usable, "{text}");
        }
    }
}
