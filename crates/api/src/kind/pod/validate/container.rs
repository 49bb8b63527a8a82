//! Containers of a pod: names, images, mounts, ports.

use std::collections::HashSet;

use super::{At, Errors, PORT_NAME, check_dots, check_inner_path, check_name, is_port_name};
use super::{environment, probe, resources, security, volume::Volumes};

pub(super) fn check_containers<'v>(spec: &At<'v>, volumes: &Volumes<'v>, errors: &mut Errors) {
    let mut names = HashSet::new();
    let others = ["containers", "initContainers"].iter().flat_map(|list| spec.field(list).items());
    let others: HashSet<&str> = others.map(|container| container.field("name").text()).collect();
    let on_host = spec.field("hostNetwork").is(true);
    // A host port belongs to one container; containers that run one after the other may share it.
    let mut ports = HashSet::new();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.field(list).items() {
            check_name(&container.field("name"), &mut names, errors);
            check_container(&container, volumes, errors);
            security::check_proc(&container.field("securityContext"), spec, errors);
            if list != "containers" {
                ports.clear();
            }
            check_ports(&container, on_host, &mut ports, errors);
            match list {
                "initContainers" => check_init(&container, errors),
                "ephemeralContainers" => check_ephemeral(&container, &others, errors),
                _ => {}
            }
        }
    }
}

fn check_container(container: &At<'_>, volumes: &Volumes<'_>, errors: &mut Errors) {
    let image = container.field("image");
    match image.text() {
        "" => errors.push(image.required("")),
        text if text.trim() != text => {
            errors.push(image.invalid("must not have leading or trailing whitespace"));
        }
        _ => {}
    }
    errors.extend(container.field("imagePullPolicy").none_of(&["Always", "IfNotPresent", "Never"]));
    errors.extend(container.field("terminationMessagePolicy").none_of(&["FallbackToLogsOnError", "File"]));
    check_mounts(container, volumes, errors);
    check_devices(container, volumes, errors);
    environment::check_environment(container, errors);
    probe::check_probes(container, errors);
    resources::check_resources(&container.field("resources"), errors);
    security::check_context(&container.field("securityContext"), errors);
}

/// An init container has no probes, unless it is restarted always.
fn check_init(container: &At<'_>, errors: &mut Errors) {
    let policy = container.field("restartPolicy");
    errors.extend(policy.none_of(&["Always", "Never", "OnFailure"]));
    if policy.text() == "Always" {
        return;
    }
    for field in container.set(&["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"]) {
        errors.push(field.forbidden("may not be set for init containers without restartPolicy=Always"));
    }
}

fn check_ephemeral(container: &At<'_>, others: &HashSet<&str>, errors: &mut Errors) {
    let fields = ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy"];
    for field in container.set(&fields) {
        errors.push(field.forbidden("cannot be set for an ephemeral container"));
    }
    for field in container.field("resources").set(&["limits", "requests"]) {
        errors.push(field.forbidden("cannot be set for an ephemeral container"));
    }
    for mount in container.field("volumeMounts").items() {
        let paths = mount.set(&["subPath", "subPathExpr"]).filter(|path| !path.text().is_empty());
        errors.extend(paths.map(|path| path.forbidden("cannot be set for an ephemeral container")));
    }
    let target = container.field("targetContainerName");
    if !target.text().is_empty() && !others.contains(target.text()) {
        errors.push(target.not_found());
    }
}

fn check_mounts(container: &At<'_>, volumes: &Volumes<'_>, errors: &mut Errors) {
    let mut places = HashSet::new();
    let is_privileged = container.field("securityContext").field("privileged").is(true);
    for mount in container.field("volumeMounts").items() {
        let (name, place) = (mount.field("name"), mount.field("mountPath"));
        check_place(&name, &place, volumes, &mut places, errors);
        let (sub, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
        check_inner_path(&sub, errors);
        check_inner_path(&expression, errors);
        if !sub.text().is_empty() && !expression.text().is_empty() {
            errors.push(expression.invalid("may not be set beside subPath"));
        }
        let propagation = mount.field("mountPropagation");
        errors.extend(propagation.none_of(&["Bidirectional", "HostToContainer", "None"]));
        if propagation.text() == "Bidirectional" && !is_privileged {
            errors.push(propagation.forbidden("Bidirectional is for privileged containers only"));
        }
    }
}

/// A mount of one of the pod's volumes, at a path of its own.
fn check_place<'v>(
    name: &At<'v>,
    place: &At<'v>,
    volumes: &Volumes<'_>,
    places: &mut HashSet<&'v str>,
    errors: &mut Errors,
) {
    if name.text().is_empty() {
        errors.push(name.required(""));
    } else if !volumes.has(name.text()) {
        errors.push(name.not_found());
    }
    if place.text().is_empty() {
        errors.push(place.required(""));
    } else if !places.insert(place.text()) {
        errors.push(place.invalid("must be unique"));
    }
}

fn check_devices(container: &At<'_>, volumes: &Volumes<'_>, errors: &mut Errors) {
    let mut places = HashSet::new();
    for device in container.field("volumeDevices").items() {
        let (name, place) = (device.field("name"), device.field("devicePath"));
        check_place(&name, &place, volumes, &mut places, errors);
        if volumes.has(name.text()) && !volumes.is_claim(name.text()) {
            errors.push(name.invalid("only a claim's volume can be a device"));
        }
        check_dots(&place, errors);
    }
}

/// Protocol, address and number of a host port.
type HostPort<'v> = (&'v str, &'v str, i64);

fn check_ports<'v>(
    container: &At<'v>,
    on_host: bool,
    taken: &mut HashSet<HostPort<'v>>,
    errors: &mut Errors,
) {
    let mut names = HashSet::new();
    for port in container.field("ports").items() {
        let (inner, host) = (port.field("containerPort"), port.field("hostPort"));
        let (number, host_number) = (inner.number().unwrap_or_default(), host.number().unwrap_or_default());
        if number == 0 {
            errors.push(inner.required(""));
        }
        errors.extend(inner.outside(0..=65_535));
        errors.extend(host.outside(0..=65_535));
        if on_host && host_number != number {
            errors.push(inner.invalid("must match `hostPort` when `hostNetwork` is true"));
        }
        errors.extend(port.field("protocol").none_of(&["SCTP", "TCP", "UDP"]));
        let name = port.field("name");
        if !name.text().is_empty() && !is_port_name(name.text()) {
            errors.push(name.invalid(PORT_NAME));
        } else if !name.text().is_empty() && !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        let place = (port.field("protocol").text(), port.field("hostIP").text(), host_number);
        if host_number != 0 && !taken.insert(place) {
            errors.push(host.duplicate());
        }
    }
}
