//! Compilation of a set of SCCs to the objects.

use std::collections::HashMap;

use palisade_k8s::KernelVersion;
use palisade_scc::SccSet;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::entry::{Translated, translate};
use crate::facts::Variable;
use crate::limits::{self, Breach};
use crate::{connect, mutating, validating, workload};

pub use crate::grant::EVERYBODY;

/// The name of both policies and of their bindings. The API server puts it before the keys of audit annotations, which
/// are then those of OpenShift.
pub const NAME: &str = "securitycontextconstraints.admission.openshift.io";

const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// Namespaces that are exempt by name (reference/scc.md 1b).
const EXEMPT_NAMESPACES: [&str; 6] =
    ["default", "kube-system", "kube-public", "openshift-node", "openshift-infra", "openshift"];

/// The treatment of a pod that no SCC admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is refused; other pods get the defaults of their SCC.
    Enforce,
    /// Its author is warned, and the audit log records it. No pod is changed.
    Warn,
    /// The audit log records it. No pod is changed.
    Audit,
}

impl Mode {
    fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Enforce => &["Deny"],
            Self::Warn => &["Warn", "Audit"],
            Self::Audit => &["Audit"],
        }
    }
}

/// An administrator's options.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kernel of the nodes, which determines the safe sysctls.
    pub kernel: KernelVersion,
    /// Exempt namespaces in addition to those that SCC exempts by name.
    pub exempt: Vec<String>,
    /// The treatment of a pod that no SCC admits.
    pub mode: Mode,
    /// Whether `exec` and `attach` are checked too. It takes at most 13 SCCs, and time that grows with the number of
    /// pods in the namespace.
    pub connect: bool,
    /// SCCs that all of [`EVERYBODY`] may use by roles, and with them the controllers of workloads. `None` if no roles are
    /// known: authors of workloads are not warned then, since most warnings would be wrong.
    pub everybody: Option<Vec<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kernel: KernelVersion::LATEST,
            exempt: Vec::new(),
            mode: Mode::Enforce,
            connect: false,
            everybody: Some(Vec::new()),
        }
    }
}

/// The name of the policy that checks that the binding of the validating one exists.
pub const GUARD: &str = "guard.securitycontextconstraints.admission.openshift.io";

/// The name of the policy on `exec` and `attach`, and of its binding.
pub const CONNECT: &str = "connect.securitycontextconstraints.admission.openshift.io";

/// The name of the policy that warns authors of workloads, and of its binding.
pub const WORKLOADS: &str = "workloads.securitycontextconstraints.admission.openshift.io";

/// The annotation of all objects with a hash of the compiled SCCs.
pub const HASH: &str = "palisade.dev/sccs";

/// The kind and the name of each object, in the order of creation: refusing objects come before admitting ones. They
/// are removed in the opposite order.
pub const IDENTITIES: [(&str, &str); 10] = [
    ("ValidatingAdmissionPolicy", NAME),
    ("ValidatingAdmissionPolicyBinding", NAME),
    ("MutatingAdmissionPolicy", NAME),
    ("MutatingAdmissionPolicyBinding", NAME),
    ("MutatingAdmissionPolicy", GUARD),
    ("MutatingAdmissionPolicyBinding", GUARD),
    ("ValidatingAdmissionPolicy", CONNECT),
    ("ValidatingAdmissionPolicyBinding", CONNECT),
    ("ValidatingAdmissionPolicy", WORKLOADS),
    ("ValidatingAdmissionPolicyBinding", WORKLOADS),
];

/// The result of a compilation.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The objects, in the order of [`IDENTITIES`], of which some may be left out.
    pub objects: Vec<Value>,
    /// SCCs that can admit no pod, each with the reason; they are left out.
    pub unusable: Vec<(String, String)>,
    /// Whether the warnings on workloads ask for the rights of their controllers, too.
    pub asks_controllers: bool,
}

impl Compiled {
    /// The object of a kind and a name.
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        let has = |object: &&Value, pointer: &str, value: &str| {
            object.pointer(pointer).is_some_and(|found| found == value)
        };
        self.objects.iter().find(|object| has(object, "/kind", kind) && has(object, "/metadata/name", name))
    }
}

/// The reason why a set of SCCs cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// There is no SCC, or none that can admit a pod: the policies would refuse all pods.
    #[error("there is no SecurityContextConstraints that can admit a pod")]
    NoScc,
    /// The API server would refuse the policies.
    #[error("{breach}; it would take the first {fitting}, without {}", excess.join(", "))]
    TooLarge {
        /// The limit.
        breach: Breach,
        /// The number of SCCs, from the first, that keep to all limits.
        fitting: usize,
        /// The names of the others.
        excess: Vec<String>,
    },
}

/// Compiles a set of SCCs.
///
/// # Errors
///
/// No SCC can admit a pod, or the API server would refuse the compiled objects.
pub fn compile(sccs: &SccSet, settings: &Settings) -> Result<Compiled, CompileError> {
    let (usable, unusable) = translate(sccs, settings.kernel);
    if usable.is_empty() {
        return Err(CompileError::NoScc);
    }
    match objects(&usable, settings) {
        Ok(objects) => {
            let unusable = unusable.into_iter().map(|(name, why)| (name.to_owned(), why.to_string()));
            let hash = hash(&objects);
            let objects = objects.into_iter().map(|object| with_hash(object, &hash)).collect();
            let everybody = settings.everybody.as_deref().unwrap_or_default();
            let asks_controllers = workload::asks_controller(&usable, everybody);
            Ok(Compiled { objects, unusable: unusable.collect(), asks_controllers })
        }
        Err(breach) => {
            let numbers: Vec<usize> = (1..usable.len()).collect();
            let fitting = numbers.partition_point(|count| {
                usable.get(..*count).is_some_and(|first| objects(first, settings).is_ok())
            });
            let excess = usable.iter().skip(fitting).map(|scc| scc.name().to_owned()).collect();
            Err(CompileError::TooLarge { breach, fitting, excess })
        }
    }
}

/// A hash of the compiled objects. Not of the SCCs: their metadata, and equivalent spellings of fields, change nothing.
fn hash(objects: &[Value]) -> String {
    let digest = Sha256::digest(Value::from(objects).to_string());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ends every expression with a newline, so that YAML has it as a readable block, without quotes and folds.
fn end_lines(value: &mut Value) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| match value {
            Value::String(text) if key == "expression" || key.ends_with("Expression") => text.push('\n'),
            other => end_lines(other),
        }),
        Value::Array(list) => list.iter_mut().for_each(end_lines),
        _ => {}
    }
}

fn with_hash(mut object: Value, hash: &str) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("annotations".to_owned(), json!({HASH: hash}));
    }
    object
}

fn objects(usable: &[Translated<'_>], settings: &Settings) -> Result<Vec<Value>, Breach> {
    let binding = json!({"policyName": NAME, "validationActions": settings.mode.actions()});
    let mut objects =
        vec![validating(usable, settings), object("ValidatingAdmissionPolicyBinding", NAME, binding)];
    if settings.mode == Mode::Enforce {
        objects.extend([
            mutating(usable, settings),
            guarding_binding(NAME),
            guard(settings),
            guarding_binding(GUARD),
        ]);
    }
    if settings.connect {
        limits::at_most("the policy on exec and attach", usable.len(), "SCCs", mutating::BLOCK)?;
        objects.extend([connecting(usable, settings), connecting_binding(settings)]);
    }
    // Warnings are optional: a set that is too large for them is compiled without.
    if let Some(everybody) = &settings.everybody
        && settings.mode != Mode::Audit
        && usable.len() <= workload::LIMIT
    {
        let warning = json!({"policyName": WORKLOADS, "validationActions": ["Warn"]});
        objects.extend([
            workloads(usable, settings, everybody),
            object("ValidatingAdmissionPolicyBinding", WORKLOADS, warning),
        ]);
    }
    objects.iter_mut().for_each(end_lines);
    objects.iter().try_for_each(limits::check)?;
    Ok(objects)
}

fn mutating(sccs: &[Translated<'_>], settings: &Settings) -> Value {
    policy(
        "MutatingAdmissionPolicy",
        NAME,
        &mutating::variables(sccs),
        json!({
            "failurePolicy": "Fail",
            "matchConstraints": constraints(settings, &pods()),
            "mutations": mutating::mutations(sccs.len()),
            "paramKind": {"apiVersion": API_VERSION, "kind": "ValidatingAdmissionPolicy"},
            // A sidecar that a webhook injects is given its defaults too.
            "reinvocationPolicy": "IfNeeded",
        }),
    )
}

fn validating(sccs: &[Translated<'_>], settings: &Settings) -> Value {
    policy(
        "ValidatingAdmissionPolicy",
        NAME,
        &validating::variables(sccs, settings.mode == Mode::Enforce),
        json!({
            "failurePolicy": "Fail",
            "matchConstraints": constraints(settings, &pods()),
            "auditAnnotations": validating::audit_annotations(sccs, settings.mode == Mode::Enforce),
            "validations": validating::validations(sccs),
        }),
    )
}

/// `exec` and `attach`.
fn connecting(sccs: &[Translated<'_>], settings: &Settings) -> Value {
    let rules = json!([pod_rule("CONNECT", &["pods/exec", "pods/attach"])]);
    policy(
        "ValidatingAdmissionPolicy",
        CONNECT,
        &connect::variables(sccs),
        json!({
            "failurePolicy": "Fail",
            "matchConditions": connect::conditions(),
            "matchConstraints": constraints(settings, &rules),
            "paramKind": {"apiVersion": "v1", "kind": "Pod"},
            "validations": connect::validations(),
        }),
    )
}

/// All pods of the namespace are parameters. A deleted one cannot be connected to anyway.
fn connecting_binding(settings: &Settings) -> Value {
    let spec = json!({
        "policyName": CONNECT,
        "paramRef": {"selector": {}, "parameterNotFoundAction": "Deny"},
        "validationActions": settings.mode.actions(),
    });
    object("ValidatingAdmissionPolicyBinding", CONNECT, spec)
}

fn workloads(sccs: &[Translated<'_>], settings: &Settings, everybody: &[String]) -> Value {
    policy(
        "ValidatingAdmissionPolicy",
        WORKLOADS,
        &workload::variables(sccs, everybody),
        json!({
            // It only warns.
            "failurePolicy": "Ignore",
            "matchConstraints": constraints(settings, &workload::rules()),
            "validations": workload::validations(),
        }),
    )
}

/// A policy with the variables that its expressions use.
fn policy(kind: &str, name: &str, variables: &[Variable], mut spec: Value) -> Value {
    let mut expressions = Vec::new();
    collect_expressions(&spec, &mut expressions);
    let known: HashMap<&str, &str> =
        variables.iter().map(|variable| (variable.name.as_str(), variable.expression.as_str())).collect();
    let used = limits::used(&known, &expressions);
    let variables: Value = variables
        .iter()
        .filter(|variable| used.contains(&variable.name))
        .map(|Variable { name, expression }| json!({"name": name, "expression": expression}))
        .collect();
    spec.as_object_mut()
        .into_iter()
        .for_each(|spec| drop(spec.insert("variables".to_owned(), variables.clone())));
    object(kind, name, spec)
}

fn collect_expressions<'x>(value: &'x Value, found: &mut Vec<&'x str>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| match value {
            Value::String(text) if key == "expression" || key.ends_with("Expression") => found.push(text),
            other => collect_expressions(other, found),
        }),
        Value::Array(list) => list.iter().for_each(|value| collect_expressions(value, found)),
        _ => {}
    }
}

fn pod_rule(operation: &str, resources: &[&str]) -> Value {
    json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": resources})
}

fn pods() -> Value {
    json!([
        pod_rule("CREATE", &["pods"]),
        pod_rule("UPDATE", &["pods", "pods/ephemeralcontainers", "pods/resize"]),
    ])
}

/// Requests that match these rules, outside of exempt namespaces.
fn constraints(settings: &Settings, rules: &Value) -> Value {
    let names: Vec<&str> =
        EXEMPT_NAMESPACES.iter().copied().chain(settings.exempt.iter().map(String::as_str)).collect();
    let not_in = |key: &str, values: &[&str]| json!({"key": key, "operator": "NotIn", "values": values});
    json!({
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [
            not_in("kubernetes.io/metadata.name", &names),
            not_in("security.openshift.io/disable-securitycontextconstraints", &["true"]),
            not_in("openshift.io/run-level", &["0", "1"]),
        ]},
        "resourceRules": rules,
    })
}

/// An empty mutation, of the type of a mutation.
const NOTHING: &str = "[JSONPatch{op: 'test', path: '/metadata', value: {}}].filter(p, false)";

/// A policy that matches no request, whose binding requires the binding of the validating policy: without it the API
/// server would refuse nothing.
fn guard(settings: &Settings) -> Value {
    object(
        "MutatingAdmissionPolicy",
        GUARD,
        json!({
            "failurePolicy": "Fail",
            "matchConditions": [{"name": "never", "expression": "false"}],
            "matchConstraints": constraints(settings, &pods()),
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": NOTHING}}],
            "paramKind": {"apiVersion": API_VERSION, "kind": "ValidatingAdmissionPolicyBinding"},
            "reinvocationPolicy": "Never",
        }),
    )
}

/// A binding that denies if the object that its policy names as its parameter is missing.
fn guarding_binding(policy: &str) -> Value {
    let spec = json!({"policyName": policy, "paramRef": {"name": NAME, "parameterNotFoundAction": "Deny"}});
    object("MutatingAdmissionPolicyBinding", policy, spec)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})
}
