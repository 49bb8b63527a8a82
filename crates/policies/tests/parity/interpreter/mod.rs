//! Kubernetes' admission policies, run without a cluster: matching, mutations, validations, messages, within the API
//! server's limits.

mod eval;
mod functions;
mod value;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use cel::IdedExpr;
use cel::parser::Parser;
use palisade_policies::{CONNECT, Compiled, NAME, WORKLOADS};
use serde_json::{Map, Value, json};

pub(crate) use eval::BUDGET;
use eval::Scope;
use value::{Cel, Check};

/// A compiled pair of policies, parsed.
pub(crate) struct Policies {
    /// `None` if nothing is enforced.
    mutating: Option<Program>,
    validating: Program,
    connecting: Option<Program>,
    workloads: Option<Program>,
}

/// A condition, its message, and the expression of its message.
type Validation = (Rc<IdedExpr>, Option<String>, Option<Rc<IdedExpr>>);

struct Program {
    spec: Value,
    conditions: Vec<Rc<IdedExpr>>,
    variables: HashMap<String, Rc<IdedExpr>>,
    mutations: Vec<Rc<IdedExpr>>,
    validations: Vec<Validation>,
    audited: Vec<(String, Rc<IdedExpr>)>,
}

/// A request to the API server, after the object has been read and defaulted.
#[derive(Clone, Debug)]
pub(crate) struct Request<'x> {
    pub(crate) request: &'x Value,
    pub(crate) object: Value,
    pub(crate) old_object: Value,
    /// The policy's parameter.
    pub(crate) parameter: Value,
    pub(crate) namespace: &'x Value,
}

/// The result of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The object as it is stored.
    Allowed(Value),
    /// The message.
    Refused(String),
}

/// The cost of an evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) spent: u64,
    pub(crate) checks: usize,
}

/// Parses an expression; most are the same in every pair of policies, and are parsed once a thread.
fn parse(expression: &Value) -> Rc<IdedExpr> {
    thread_local!(static KNOWN: RefCell<HashMap<String, Rc<IdedExpr>>> = RefCell::default());
    let text = expression.as_str().unwrap_or_else(|| panic!("{expression} is not an expression"));
    let read = || {
        let parser = Parser::new().enable_optional_syntax(true).max_recursion_depth(250);
        let parsed = parser.parse(text);
        Rc::new(
            parsed.unwrap_or_else(|error| panic!("the cel crate cannot read an expression: {error}\n{text}")),
        )
    };
    KNOWN.with_borrow_mut(|known| Rc::clone(known.entry(text.to_owned()).or_insert_with(read)))
}

impl Program {
    fn new(object: &Value) -> Self {
        let spec = object["spec"].clone();
        let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
        let validation = |validation: &Value| {
            let message = validation["message"].as_str().map(str::to_owned);
            let expression = validation.get("messageExpression").map(parse);
            (parse(&validation["expression"]), message, expression)
        };
        Self {
            conditions: list("matchConditions")
                .iter()
                .map(|condition| parse(&condition["expression"]))
                .collect(),
            variables: list("variables")
                .iter()
                .map(|variable| {
                    (variable["name"].as_str().unwrap().to_owned(), parse(&variable["expression"]))
                })
                .collect(),
            mutations: list("mutations")
                .iter()
                .map(|mutation| parse(&mutation["jsonPatch"]["expression"]))
                .collect(),
            validations: list("validations").iter().map(validation).collect(),
            audited: list("auditAnnotations")
                .iter()
                .map(|audited| {
                    (audited["key"].as_str().unwrap().to_owned(), parse(&audited["valueExpression"]))
                })
                .collect(),
            spec,
        }
    }

    /// Whether the policy looks at the request at all.
    fn matches(&self, request: &Request<'_>) -> Result<bool, String> {
        let constraints = &self.spec["matchConstraints"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let sub_resource = text(&request.request["subResource"]);
        let resource = match sub_resource.as_str() {
            "" => text(&request.request["resource"]["resource"]),
            sub => format!("{}/{sub}", text(&request.request["resource"]["resource"])),
        };
        let operation = &request.request["operation"];
        let is_ruled = constraints["resourceRules"].as_array().into_iter().flatten().any(|rule| {
            let has = |field: &str, value: &Value| rule[field].as_array().unwrap().contains(value);
            has("operations", operation) && has("resources", &json!(resource))
        });
        let mut labels = request.namespace["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        labels
            .insert("kubernetes.io/metadata.name".to_owned(), request.namespace["metadata"]["name"].clone());
        let expressions = constraints["namespaceSelector"]["matchExpressions"].as_array();
        let is_selected = expressions.into_iter().flatten().all(|expression| {
            assert_eq!(expression["operator"], "NotIn");
            let label = labels.get(expression["key"].as_str().unwrap());
            label.is_none_or(|label| !expression["values"].as_array().unwrap().contains(label))
        });
        if !is_ruled || !is_selected {
            return Ok(false);
        }
        let none = HashMap::new();
        let mut roots = roots(request);
        // It compiles in these conditions, and is empty.
        roots.remove("namespaceObject");
        roots.insert("params", Cel::of(&request.parameter));
        let nobody = |_: &Check| panic!("a match condition asks the authorizer");
        let scope = Scope::new(roots, &none, &nobody);
        for condition in &self.conditions {
            if !scope.run(condition)?.as_bool()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn roots(request: &Request<'_>) -> HashMap<&'static str, Cel> {
    HashMap::from([
        ("object", Cel::of(&request.object)),
        ("oldObject", Cel::of(&request.old_object)),
        ("params", Cel::of(&request.parameter)),
        ("request", Cel::of(request.request)),
        ("namespaceObject", Cel::of(request.namespace)),
        ("authorizer", Cel::Check(Check::default().into())),
    ])
}

/// Whether a subject may `use` an SCC: the service account of the check or, without one, the user.
pub(crate) type Authorizer<'x> = dyn Fn(Option<&str>, &str) -> bool + 'x;

fn authorize(check: &Check, authorizer: &Authorizer<'_>, namespace: &str) -> bool {
    assert_eq!(
        (check.group.as_str(), check.resource.as_str()),
        ("security.openshift.io", "securitycontextconstraints")
    );
    assert_eq!(check.namespace, namespace);
    let account = check.account.as_ref().map(|(of, name)| {
        assert!(of == namespace || of == "kube-system", "{of}");
        format!("system:serviceaccount:{of}:{name}")
    });
    authorizer(account.as_deref(), &check.name)
}

impl Policies {
    pub(crate) fn new(compiled: &Compiled) -> Self {
        let validating = compiled.get("ValidatingAdmissionPolicy", NAME).expect("it is compiled");
        Self {
            mutating: compiled.get("MutatingAdmissionPolicy", NAME).map(Program::new),
            validating: Program::new(validating),
            connecting: compiled.get("ValidatingAdmissionPolicy", CONNECT).map(Program::new),
            workloads: compiled.get("ValidatingAdmissionPolicy", WORKLOADS).map(Program::new),
        }
    }

    /// The object after all mutations.
    pub(crate) fn mutate(
        &self,
        request: &Request<'_>,
        authorizer: &Authorizer<'_>,
    ) -> Result<(Value, Vec<Usage>), String> {
        let namespace = request.namespace["metadata"]["name"].as_str().unwrap();
        let ask = |check: &Check| authorize(check, authorizer, namespace);
        let mut request = request.clone();
        let mut usage = Vec::new();
        let Some(mutating) = &self.mutating else { return Ok((request.object, usage)) };
        if !mutating.matches(&request)? {
            return Ok((request.object, usage));
        }
        for mutation in &mutating.mutations {
            let scope = Scope::new(roots(&request), &mutating.variables, &ask);
            let operations = scope.run(mutation)?.json();
            usage.push(Usage { spent: scope.spent(), checks: scope.checks.get() });
            let patch: json_patch::Patch =
                serde_json::from_value(operations).map_err(|error| error.to_string())?;
            json_patch::patch(&mut request.object, &patch).map_err(|error| error.to_string())?;
        }
        Ok((request.object, usage))
    }

    /// The refusal of the validating policy, if it refuses.
    pub(crate) fn validate(
        &self,
        request: &Request<'_>,
        authorizer: &Authorizer<'_>,
    ) -> (Option<String>, Usage) {
        self.validating.validate(request, authorizer)
    }

    /// The refusal of a request to connect, whose pod is the parameter.
    pub(crate) fn connect(
        &self,
        request: &Request<'_>,
        authorizer: &Authorizer<'_>,
    ) -> (Option<String>, Usage) {
        self.connecting.as_ref().expect("exec is compiled").validate(request, authorizer)
    }

    /// The warning to the author of a workload.
    pub(crate) fn warn(&self, request: &Request<'_>, authorizer: &Authorizer<'_>) -> (Option<String>, Usage) {
        self.workloads.as_ref().expect("workloads are compiled").validate(request, authorizer)
    }

    pub(crate) fn admit(&self, request: &Request<'_>, authorizer: &Authorizer<'_>) -> Outcome {
        self.admit_and_audit(request, authorizer).0
    }

    /// The outcome, and the audit annotations of the validating policy that are not empty.
    pub(crate) fn admit_and_audit(
        &self,
        request: &Request<'_>,
        authorizer: &Authorizer<'_>,
    ) -> (Outcome, BTreeMap<String, String>) {
        let object = match self.mutate(request, authorizer) {
            Ok((object, _)) => object,
            Err(error) => return (Outcome::Refused(error), BTreeMap::new()),
        };
        let mut request = Request { object: object.clone(), ..request.clone() };
        // The strategies of subresources keep all but their own part of the pod, before it is validated.
        if request.request["subResource"].as_str().is_some_and(|name| !name.is_empty()) {
            request.object["metadata"] = request.old_object["metadata"].clone();
        }
        let outcome = match self.validate(&request, authorizer).0 {
            None => Outcome::Allowed(object),
            Some(message) => Outcome::Refused(message),
        };
        (outcome, self.validating.audit(&request))
    }
}

impl Program {
    /// The refusal, if it refuses.
    fn validate(&self, request: &Request<'_>, authorizer: &Authorizer<'_>) -> (Option<String>, Usage) {
        let namespace = request.namespace["metadata"]["name"].as_str().unwrap();
        let ask = |check: &Check| authorize(check, authorizer, namespace);
        match self.matches(request) {
            Ok(true) => {}
            Ok(false) => return (None, Usage::default()),
            Err(error) => return (Some(error), Usage::default()),
        }
        let scope = Scope::new(roots(request), &self.variables, &ask);
        let usage = || Usage { spent: scope.spent(), checks: scope.checks.get() };
        for (expression, message, message_expression) in &self.validations {
            match scope.run(expression).and_then(|value| value.as_bool()) {
                Ok(true) => {}
                Err(error) => return (Some(error), usage()),
                Ok(false) => {
                    let said = message_expression.as_ref().map(|expression| self.say(request, expression));
                    return (Some(said.or(message.clone()).unwrap_or_default()), usage());
                }
            }
        }
        (None, usage())
    }

    /// The audit annotations that are not empty. Their expressions cannot ask the authorizer either, and an error in one
    /// denies the request.
    fn audit(&self, request: &Request<'_>) -> BTreeMap<String, String> {
        assert!(self.audited.len() <= 20, "the API server takes no more");
        if self.matches(request) != Ok(true) {
            return BTreeMap::new();
        }
        let nobody = |_: &Check| panic!("an audit annotation asks the authorizer");
        let scope = Scope::new(roots(request), &self.variables, &nobody);
        let value = |(key, expression): &(String, Rc<IdedExpr>)| {
            let value = scope.run(expression).unwrap_or_else(|error| panic!("{key} fails: {error}"));
            (key.clone(), value.as_text().expect("an audit annotation is a text").to_owned())
        };
        self.audited.iter().map(value).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// A message: it cannot ask the authorizer, and is at most 5 KiB.
    fn say(&self, request: &Request<'_>, expression: &IdedExpr) -> String {
        let nobody = |_: &Check| panic!("a message asks the authorizer");
        let scope = Scope::new(roots(request), &self.variables, &nobody);
        let message = scope.run(expression).unwrap_or_else(|error| panic!("a message fails: {error}"));
        let message = message.as_text().expect("a message is a text").to_owned();
        assert!(!message.is_empty() && message.len() <= 5 * 1024 && !message.contains('\n'), "{message:?}");
        message
    }
}

/// The pod as the API server hands it to admission: without nulls, with both names of the service account, a security
/// context, and a source for each volume.
pub(crate) fn canonical(pod: &Value) -> Value {
    let mut pod = without_nulls(pod);
    if !pod.is_object() {
        return pod;
    }
    let metadata = pod.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
    assert!(metadata.is_object());
    let spec = pod.as_object_mut().unwrap().entry("spec").or_insert_with(|| json!({}));
    let spec = spec.as_object_mut().unwrap();
    spec.entry("containers").or_insert_with(|| json!([]));
    spec.entry("securityContext").or_insert_with(|| json!({}));
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.get(field) == Some(&Value::Bool(false)) {
            spec.shift_remove(field);
        }
    }
    let given = |spec: &Map<String, Value>, name: &str| spec.get(name).filter(|name| **name != "").cloned();
    match given(spec, "serviceAccountName").or_else(|| given(spec, "serviceAccount")) {
        Some(account) => ["serviceAccountName", "serviceAccount"]
            .iter()
            .for_each(|field| drop(spec.insert((*field).to_owned(), account.clone()))),
        None => {
            ["serviceAccountName", "serviceAccount"].iter().for_each(|field| drop(spec.shift_remove(*field)))
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        let volume = volume.as_object_mut().unwrap();
        if volume.len() == usize::from(volume.contains_key("name")) {
            volume.insert("emptyDir".to_owned(), json!({}));
        }
    }
    pod
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
