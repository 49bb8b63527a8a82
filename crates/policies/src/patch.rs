//! The mutation: one JSON Patch for any chosen SCC.

use palisade_k8s::scc::annotation::{SUBJECT_TYPE, VALIDATED_SCC};
use palisade_k8s::seccomp::{CONTAINER_ANNOTATION, POD_ANNOTATION};

use crate::cel::{self, text};
use crate::facts::Variable;
use crate::rule::escalation::EXEMPTING;
use crate::rule::seccomp::field_of;

/// Fields of a container's security context that a mutation sets, in order.
const CONTAINER_FIELDS: [&str; 6] = [
    "runAsUser",
    "runAsNonRoot",
    "capabilities",
    "readOnlyRootFilesystem",
    "seccompProfile",
    "allowPrivilegeEscalation",
];

/// A variable of one of several mutations: the first has plain names.
pub(crate) fn name(base: &str, block: usize) -> String {
    if block == 0 { base.to_owned() } else { format!("{base}{}", block + 1) }
}

/// One of the defaults of the chosen SCC.
fn given(gift: &str, block: usize) -> String {
    format!("variables.{}.{gift}", name("given", block))
}

/// The variables with the changes of each container by the SCC that the block `block` chose.
pub(crate) fn variables(block: usize) -> Vec<Variable> {
    let capabilities = format!(
        "variables.contexts.map(c, {{'add': c.?capabilities.?add.orValue([]), 'drop': c.?capabilities.?drop.orValue([])}}).map(c,\n\
         {add}.exists(n, !(n in c.add || n in c.drop)) || {drop}.exists(n, !(n in c.drop)) ?\n\
         [{{'add': dyn({added}), 'drop': dyn({dropped})}}] : [])",
        add = given("add", block),
        drop = given("drop", block),
        added =
            cel::sorted(&format!("{}.filter(n, !(n in c.add || n in c.drop)) + c.add", given("add", block))),
        dropped = cel::sorted(&format!("{}.filter(n, !(n in c.drop)) + c.drop", given("drop", block))),
    );
    let exempting = text(EXEMPTING);
    let exempt = format!(
        "variables.contexts.map(c, c.?privileged.orValue(false) || {exempting} in c.?capabilities.?add.orValue([]) || \
         {exempting} in {} && !({exempting} in c.?capabilities.?drop.orValue([])))",
        given("add", block)
    );
    vec![
        Variable::new(name("isExempt", block), exempt),
        Variable::new(name("newCapabilities", block), capabilities),
        Variable::new(name("changes", block), changes(block)),
    ]
}

/// For each container a map of its changed fields.
fn changes(block: usize) -> String {
    let v = |base: &str| format!("variables.{}", name(base, block));
    let entry = |field: &str, condition: &str, value: &str| {
        format!("?'{field}': {condition} ? optional.of(dyn({value})) : optional.none()")
    };
    let user = given("user", block);
    let effective = format!(
        "('runAsUser' in c ? c.runAsUser > 0 : 'runAsUser' in variables.security ? variables.security.runAsUser > 0 : \
         {user}.size() == 1 ? {user}[0] > 0 : {})",
        given("nonRoot", block)
    );
    let capabilities = format!("{}[i]", v("newCapabilities"));
    let annotation =
        format!("variables.annotations[{} + variables.containers[i].name]", text(CONTAINER_ANNOTATION));
    let has_annotation =
        format!("{} + variables.containers[i].name in variables.annotations", text(CONTAINER_ANNOTATION));
    let field = field_of(&annotation);
    let privileged = v("isExempt");
    let escalation = format!(
        "({privileged}[i] ? {} : {})",
        given("privilegedEscalation", block),
        given("escalation", block)
    );
    let entries = [
        entry(
            "runAsUser",
            &format!("{user}.size() == 1 && !('runAsUser' in c) && !('runAsUser' in variables.security)"),
            &format!("{user}[0]"),
        ),
        entry(
            "runAsNonRoot",
            &format!("!('runAsNonRoot' in c) && !('runAsNonRoot' in variables.security) && {effective}"),
            "true",
        ),
        entry(
            "capabilities",
            &format!("{capabilities}.size() == 1"),
            &format!(
                "{{?'add': optional.ofNonZeroValue({capabilities}[0].add), ?'drop': optional.ofNonZeroValue({capabilities}[0].drop)}}"
            ),
        ),
        entry(
            "readOnlyRootFilesystem",
            &format!("{} && !('readOnlyRootFilesystem' in c)", given("readOnly", block)),
            "true",
        ),
        entry(
            "seccompProfile",
            &format!(
                "variables.annotatesContainers && {has_annotation} && {field} != {{}} && {field} != c.?seccompProfile.orValue({{}})"
            ),
            &field,
        ),
        entry(
            "allowPrivilegeEscalation",
            &format!("!('allowPrivilegeEscalation' in c) && {escalation}.size() == 1"),
            &format!("{escalation}[0]"),
        ),
    ];
    format!("variables.contexts.transformList(i, c, {{\n{}\n}})", entries.join(",\n"))
}

/// The expression of a mutation: a list of `JSONPatch`. If none of its SCCs was chosen, the first mutation empties the
/// pod's own annotations, and the others do nothing.
pub(crate) fn expression(block: usize) -> String {
    let chosen = format!("variables.{}", name("chosen", block));
    let otherwise = if block == 0 { retract() } else { "[]".to_owned() };
    let operations = operations(block).join(" +\n");
    format!("!variables.relevant ? [] :\n{chosen}.size() == 0 ? {otherwise} :\n{operations}")
}

/// Empties the two result annotations, if they exist: those that a pod comes with are forged. They stay, so that an
/// update of nothing else is still checked.
fn retract() -> String {
    let operation = |key: &str| {
        format!(
            "({} in variables.annotations ? [JSONPatch{{op: 'add', path: {}, value: ''}}] : [])",
            text(key),
            text(&format!("/metadata/annotations/{}", escaped(key)))
        )
    };
    format!("{} + {}", operation(VALIDATED_SCC), operation(SUBJECT_TYPE))
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn operations(block: usize) -> Vec<String> {
    let v = |base: &str| format!("variables.{}", name(base, block));
    let add = |path: &str, value: &str| format!("JSONPatch{{op: 'add', path: {path}, value: {value}}}");
    let annotation =
        |key: &str, value: &str| add(&text(&format!("/metadata/annotations/{}", escaped(key))), value);
    let pod = |field: &str| text(&format!("/spec/securityContext/{field}"));
    let mut operations = vec![
        format!("(has(object.metadata.annotations) ? [] : [{}])", add("'/metadata/annotations'", "{}")),
        format!(
            "[{}, {}]",
            annotation(VALIDATED_SCC, &format!("{}[0]", v("chosen"))),
            annotation(SUBJECT_TYPE, &format!("{}[1]", v("chosen")))
        ),
    ];
    let gives = [
        ("supplementalGroups", "supplementalGroup", "[g]"),
        ("fsGroup", "fsGroup", "g"),
        ("seLinuxOptions", "labels", "g"),
    ];
    let gives = gives.map(|(field, gift, value)| {
        format!(
            "('{field}' in variables.security ? [] : {}.map(g, {}))",
            given(gift, block),
            add(&pod(field), value)
        )
    });
    let some =
        format!("(has(object.spec.securityContext) ? [] : [{}])", add("'/spec/securityContext'", "{}"));
    operations.push(some);
    operations.extend(gives);
    operations.extend(pod_profile(block));
    operations.extend(container_operations(block));
    operations
}

/// The pod's profile is written in both forms, whichever the pod used.
fn pod_profile(block: usize) -> Vec<String> {
    let add = |path: &str, value: &str| format!("JSONPatch{{op: 'add', path: {path}, value: {value}}}");
    let named = format!("(variables.namesProfile ? variables.podProfile : {})", given("profile", block));
    let field = "'/spec/securityContext/seccompProfile'";
    let of_name = field_of("p");
    vec![
        format!(
            "[{named}].filter(p, p != '' && {of_name} != variables.security.?seccompProfile.orValue({{}})).map(p, \
             {of_name} == {{}} ? JSONPatch{{op: 'remove', path: {field}}} : {})",
            add(field, &of_name)
        ),
        format!(
            "[{named}].filter(p, p != '' && variables.podAnnotation != p).map(p, {})",
            add(&text(&format!("/metadata/annotations/{}", escaped(POD_ANNOTATION))), "p")
        ),
    ]
}

/// A missing security context is added whole; in an existing one, only the changed fields are touched.
fn container_operations(block: usize) -> Vec<String> {
    let changes = format!("variables.{}", name("changes", block));
    let path = |rest: &str| {
        format!(
            "(i < {init} ? '/spec/initContainers/' + string(i) : i < {init} + object.spec.containers.size() ? \
             '/spec/containers/' + string(i - {init}) : \
             '/spec/ephemeralContainers/' + string(i - {init} - object.spec.containers.size())) + '/securityContext{rest}'",
            init = "object.spec.?initContainers.orValue([]).size()"
        )
    };
    let has = "has(variables.containers[i].securityContext)";
    let whole = format!(
        "{changes}.transformList(i, m, m.size() > 0 && !{has}, JSONPatch{{op: 'add', path: {}, value: m}})",
        path("")
    );
    let single = CONTAINER_FIELDS.map(|field| {
        format!(
            "{changes}.transformList(i, m, '{field}' in m && {has}, JSONPatch{{op: 'add', path: {}, value: m.{field}}})",
            path(&format!("/{field}"))
        )
    });
    let key = format!("{} + c.name", text(CONTAINER_ANNOTATION));
    let removed = format!(
        "(variables.annotatesContainers ? variables.containers.transformList(i, c, {key} in variables.annotations && \
         {} == {{}} && c.?securityContext.?seccompProfile.hasValue(), JSONPatch{{op: 'remove', path: {}}}) : [])",
        field_of(&format!("variables.annotations[{key}]")),
        path("/seccompProfile")
    );
    // A pod that is mutated once more, as every one is, has nothing to change.
    let changed = format!(
        "(!{changes}.exists(m, m.size() > 0) ? [] :\n{whole} +\n\
         (!variables.containers.exists(c, has(c.securityContext)) ? [] :\n{}))",
        single.join(" +\n")
    );
    vec![changed, removed]
}
