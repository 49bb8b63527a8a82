//! Fields that a pod for one operating system must not set for another
//! (`pkg/apis/core/validation`: `validateOS`, `validateLinux`, `validateWindows`, `validateWindowsHostProcessPod`).
//!
//! SCC leaves pods for Windows alone, so all fields that grant rights on Linux must be refused for them here.

use super::{At, CONTAINER_LISTS, Errors, is_name};

/// Fields that a pod for Windows cannot have: in its spec, in its security context, and in that of a container.
const SPEC: [&str; 5] = ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace", "resources"];
const POD: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub(super) fn check_os(spec: &At<'_>, errors: &mut Errors) {
    let os = spec.field("os");
    let name = os.field("name");
    if os.is_set() && name.text().is_empty() {
        errors.push(name.required(""));
    }
    errors.extend(name.none_of(&["linux", "windows"]));
    match name.text() {
        "linux" => check_linux(spec, errors),
        "windows" => check_windows(spec, errors),
        _ => {}
    }
    check_host_process(spec, errors);
}

/// The security contexts of all containers.
fn contexts<'v>(spec: &At<'v>) -> impl Iterator<Item = At<'v>> {
    let spec = spec.clone();
    CONTAINER_LISTS.into_iter().flat_map(move |list| {
        spec.field(list).items().map(|container| container.field("securityContext")).collect::<Vec<_>>()
    })
}

fn check_linux(spec: &At<'_>, errors: &mut Errors) {
    for context in std::iter::once(spec.field("securityContext")).chain(contexts(spec)) {
        let options = context.set(&["windowsOptions"]);
        errors.extend(
            options.map(|options| options.forbidden("windows options cannot be set for a linux pod")),
        );
    }
}

fn check_windows(spec: &At<'_>, errors: &mut Errors) {
    const WHY: &str = "cannot be set for a windows pod";
    // Kubernetes keeps `false` for these fields if they are absent.
    let is_unset = |field: &At<'_>| {
        field.is(false) && ["hostPID", "hostIPC"].iter().any(|name| field.path().to_string().ends_with(name))
    };
    errors.extend(spec.set(&SPEC).filter(|field| !is_unset(field)).map(|field| field.forbidden(WHY)));
    let pod = spec.field("securityContext");
    let is_empty =
        |field: &At<'_>| field.path().to_string().ends_with("sysctls") && field.items().next().is_none();
    errors.extend(pod.set(&POD).filter(|field| !is_empty(field)).map(|field| field.forbidden(WHY)));
    for context in contexts(spec) {
        errors.extend(context.set(&CONTAINER).map(|field| field.forbidden(WHY)));
    }
}

/// `hostProcess` of a security context, if it is set, and the field.
fn host_process<'v>(context: &At<'v>) -> (Option<bool>, At<'v>) {
    let field = context.field("windowsOptions").field("hostProcess");
    (field.is_set().then(|| field.is(true)), field)
}

/// HostProcess containers: if one is, all are, and the pod uses the host network.
fn check_host_process(spec: &At<'_>, errors: &mut Errors) {
    let (pod, _) = host_process(&spec.field("securityContext"));
    let (mut all, mut on_host) = (0, 0);
    for (own, field) in contexts(spec).map(|context| host_process(&context)) {
        all += 1;
        if own.is_some_and(|own| pod.is_some_and(|pod| pod != own)) {
            errors.push(field.invalid("must be as the pod has it if both are specified"));
        }
        on_host += usize::from(own.or(pod) == Some(true));
    }
    // A HostProcess pod without containers to check is refused for having none.
    if on_host == 0 {
        return;
    }
    if on_host != all {
        errors.push(spec.invalid_whole("if one container is a hostProcess, all of them must be"));
    }
    if !spec.field("hostNetwork").is(true) {
        errors.push(spec.field("hostNetwork").invalid("must be true if the pod has hostProcess containers"));
    }
}

/// The Windows options of a security context.
pub(super) fn check_options(options: &At<'_>, errors: &mut Errors) {
    let (name, spec, user) = (
        options.field("gmsaCredentialSpecName"),
        options.field("gmsaCredentialSpec"),
        options.field("runAsUserName"),
    );
    if name.is_set() && !is_name(name.text()) {
        errors.push(name.invalid("must be a DNS subdomain"));
    }
    if spec.is_set() && !(1..=64 * 1024).contains(&spec.text().len()) {
        errors.push(spec.invalid("must be between 1 byte and 64 KiB"));
    }
    if user.is_set() && !is_user(user.text()) {
        errors.push(
            user.invalid("must be a name of Windows, with a domain and a backslash before it if one likes"),
        );
    }
}

/// `USER` or `DOMAIN\USER`.
fn is_user(text: &str) -> bool {
    let (domain, user) = match text.split_once('\\') {
        Some((domain, user)) => (Some(domain), user),
        None => (None, text),
    };
    let is_net_bios = |domain: &str| {
        (1..=15).contains(&domain.chars().count())
            && !domain.starts_with('.')
            && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
    };
    let is_dns = |domain: &str| domain.len() < 256 && is_name(&domain.to_ascii_lowercase());
    let is_domain = domain.is_none_or(|domain| is_net_bios(domain) || is_dns(domain));
    is_domain
        && (1..=104).contains(&user.len())
        && !text.chars().any(char::is_control)
        && !user.chars().all(|letter| matches!(letter, '.' | ' '))
        && !user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']'])
}
