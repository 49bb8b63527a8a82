//! One webhook of a configuration: the requests that it matches, its address, and the result without its answer.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_api::cel::Expression;
use serde_json::Value;

use palisade_api::kind::{self, Resource, text};
use palisade_api::selector::Labels;

use crate::operation::Operation;

/// A webhook.
#[derive(Debug)]
pub struct Hook {
    pub(crate) configuration: String,
    pub(crate) name: String,
    /// A name that no other webhook has.
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) bundle: Arc<str>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) namespaces: Selector,
    pub(crate) objects: Selector,
    pub(crate) conditions: Vec<(String, Result<Expression, String>)>,
    /// Whether a request for another form of the same resource counts too.
    pub(crate) matches_equivalent: bool,
    pub(crate) timeout: Duration,
    /// Whether a request continues if the webhook fails (`failurePolicy: Ignore`).
    pub(crate) ignores_failure: bool,
    pub(crate) takes_dry_runs: bool,
    pub(crate) reinvoked: bool,
    pub(crate) versions: Vec<String>,
}

/// The address of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Url(String),
    Service { namespace: String, name: String, path: String, port: u16 },
}

/// A selector, and whether it selects everything.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    labels: Labels,
    pub(crate) is_empty: bool,
}

impl Selector {
    fn of(selector: Option<&Value>) -> Self {
        let has = |field: &str| {
            let value = selector.and_then(|selector| selector.get(field));
            value.is_some_and(|value| {
                value.as_array().is_some_and(|list| !list.is_empty())
                    || value.as_object().is_some_and(|map| !map.is_empty())
            })
        };
        Self {
            labels: selector.map(Labels::of_object).unwrap_or_default(),
            is_empty: !has("matchLabels") && !has("matchExpressions"),
        }
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.is_empty || self.labels.matches(object)
    }
}

/// The requests that a webhook is for.
#[derive(Debug)]
pub(crate) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
}

fn list(object: &Value, field: &str) -> Vec<String> {
    let items = object.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Rule {
    fn of(rule: &Value) -> Self {
        Self {
            operations: list(rule, "operations"),
            groups: list(rule, "apiGroups"),
            versions: list(rule, "apiVersions"),
            resources: list(rule, "resources"),
            scope: text(rule, "/scope").to_owned(),
        }
    }

    /// Whether it is for a request; `part` is the subresource, `in_namespace` whether the object is in one.
    pub(crate) fn matches(
        &self,
        operation: Operation,
        resource: &Resource,
        part: &str,
        in_namespace: bool,
    ) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let scope = match self.scope.as_str() {
            // A namespace is in itself, but not namespaced.
            "Namespaced" => {
                in_namespace && !(resource.group().is_empty() && resource.plural() == "namespaces")
            }
            "Cluster" => !in_namespace || (resource.group().is_empty() && resource.plural() == "namespaces"),
            _ => true,
        };
        scope
            && has(&self.operations, operation.name())
            && has(&self.groups, resource.group())
            && has(&self.versions, resource.version())
            && self.resources.iter().any(|pattern| {
                let (plural, wanted) = pattern.split_once('/').unwrap_or((pattern, ""));
                (plural == "*" || plural == resource.plural()) && (wanted == part || wanted == "*")
            })
    }
}

/// The webhooks of a configuration.
pub(crate) fn parse(configuration: &str, object: &Value) -> Arc<[Hook]> {
    let hooks = object.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    hooks.enumerate().map(|(at, hook)| Hook::of(configuration, at, hook)).collect()
}

impl Hook {
    /// The webhook of a conversion, which answers within some seconds.
    pub(crate) fn of_conversion(webhook: &Value, seconds: u64) -> Self {
        let mut hook = Self::of("", 0, webhook);
        hook.timeout = Duration::from_secs(seconds);
        hook
    }

    fn of(configuration: &str, at: usize, hook: &Value) -> Self {
        let said = |field: &str| text(hook, field);
        let bundle = STANDARD.decode(said("/clientConfig/caBundle")).unwrap_or_default();
        let conditions = hook.get("matchConditions").and_then(Value::as_array).into_iter().flatten();
        let rules = hook.get("rules").and_then(Value::as_array).into_iter().flatten();
        Self {
            configuration: configuration.to_owned(),
            name: said("/name").to_owned(),
            id: format!("{configuration}/{}/{at}", said("/name")),
            place: Place::of(hook),
            bundle: String::from_utf8_lossy(&bundle).as_ref().into(),
            rules: rules.map(Rule::of).collect(),
            namespaces: Selector::of(hook.get("namespaceSelector")),
            objects: Selector::of(hook.get("objectSelector")),
            conditions: conditions
                .map(|condition| {
                    let expression =
                        Expression::compile(text(condition, "/expression"), &kind::WEBHOOK_VARIABLES);
                    (text(condition, "/name").to_owned(), expression)
                })
                .collect(),
            matches_equivalent: said("/matchPolicy") != "Exact",
            timeout: Duration::from_secs(
                hook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(10).clamp(1, 30),
            ),
            ignores_failure: said("/failurePolicy") == "Ignore",
            takes_dry_runs: matches!(said("/sideEffects"), "None" | "NoneOnDryRun"),
            reinvoked: said("/reinvocationPolicy") == "IfNeeded",
            versions: list(hook, "admissionReviewVersions"),
        }
    }
}

impl Place {
    fn of(hook: &Value) -> Self {
        match hook.pointer("/clientConfig/service") {
            Some(service) if service.is_object() => Self::Service {
                namespace: text(service, "/namespace").to_owned(),
                name: text(service, "/name").to_owned(),
                path: text(service, "/path").to_owned(),
                port: service
                    .get("port")
                    .and_then(Value::as_u64)
                    .and_then(|port| u16::try_from(port).ok())
                    .unwrap_or(443),
            },
            _ => Self::Url(text(hook, "/clientConfig/url").to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_match_as_kubernetes_has_it() {
        let rule = |groups: &[&str], resources: &[&str], scope: &str| {
            Rule::of(
                &json!({"operations": ["CREATE"], "apiGroups": groups, "apiVersions": ["v1"], "resources": resources, "scope": scope}),
            )
        };
        let pods = &kind::PODS;
        let namespaces = &kind::NAMESPACES;
        let cases = [
            (rule(&[""], &["pods"], "*"), pods, "", true, true),
            (rule(&["*"], &["*"], "*"), pods, "", true, true),
            (rule(&[""], &["*"], "*"), pods, "exec", true, false),
            (rule(&[""], &["*/*"], "*"), pods, "exec", true, true),
            (rule(&[""], &["pods/*"], "*"), pods, "", true, true),
            (rule(&[""], &["pods/exec"], "*"), pods, "exec", true, true),
            (rule(&[""], &["pods/exec"], "*"), pods, "", true, false),
            (rule(&[""], &["*/status"], "*"), pods, "status", true, true),
            (rule(&["apps"], &["pods"], "*"), pods, "", true, false),
            (rule(&[""], &["pods"], "Cluster"), pods, "", true, false),
            (rule(&[""], &["pods"], "Namespaced"), pods, "", true, true),
            (rule(&[""], &["namespaces"], "Namespaced"), namespaces, "", true, false),
            (rule(&[""], &["namespaces"], "Cluster"), namespaces, "", true, true),
        ];
        for (rule, resource, part, in_namespace, wanted) in cases {
            assert_eq!(
                rule.matches(Operation::Create, resource, part, in_namespace),
                wanted,
                "{rule:?} {part}"
            );
            assert!(!rule.matches(Operation::Delete, resource, part, in_namespace));
        }
    }
}
