//! Configurations of admission webhooks.
//!
//! Defaults and rules are those of `k8s.io/kubernetes/pkg/apis/admissionregistration`, `v1/defaults.go` and
//! `validation/validation.go`.

use std::collections::HashSet;
use std::net::Ipv6Addr;

use palisade_k8s::{FieldError, metadata};
use serde_json::{Value, json};

use super::at::At;
use super::selecting::check_selector;
use super::{AGE, BASE, Column, Resource, Row, age, count, default};
use crate::cel::Batch;
use crate::structural::not_a_condition;

const WEBHOOKS: Column = Column { name: "Webhooks", kind: "integer", priority: 0 };
/// Maximum number of conditions of one webhook.
const CONDITIONS: usize = 64;
/// Variables that conditions may use.
pub const VARIABLES: [&str; 4] = ["object", "oldObject", "request", "authorizer"];

/// Configurations of webhooks that change objects.
pub static MUTATING: Resource = Resource::Row(&CONFIGURATIONS);

const CONFIGURATIONS: Row = Row {
    group: "admissionregistration.k8s.io",
    plural: "mutatingwebhookconfigurations",
    singular: "mutatingwebhookconfiguration",
    kind: "MutatingWebhookConfiguration",
    schema: "MutatingWebhookConfiguration",
    namespaced: false,
    categories: &["api-extensions"],
    storage: "admissionregistration.k8s.io/mutatingwebhookconfigurations",
    counts_generations: true,
    needs_version: true,
    spec: "webhooks",
    columns: &[WEBHOOKS, AGE],
    cells: |object, now| vec![count(object, "webhooks").into(), age(object, now)],
    prepare: |object, _| prepare(object, true),
    validate: |object, _| validate(object),
    ..BASE
};

/// Configurations of webhooks that only admit or refuse.
pub static VALIDATING: Resource = Resource::Row(&Row {
    plural: "validatingwebhookconfigurations",
    singular: "validatingwebhookconfiguration",
    kind: "ValidatingWebhookConfiguration",
    schema: "ValidatingWebhookConfiguration",
    storage: "admissionregistration.k8s.io/validatingwebhookconfigurations",
    prepare: |object, _| prepare(object, false),
    ..CONFIGURATIONS
});

fn prepare(object: &mut Value, is_mutating: bool) {
    let webhooks = object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten();
    for webhook in webhooks.filter(|webhook| webhook.is_object()) {
        default(webhook, "failurePolicy", "Fail");
        default(webhook, "matchPolicy", "Equivalent");
        default(webhook, "namespaceSelector", json!({}));
        default(webhook, "objectSelector", json!({}));
        default(webhook, "timeoutSeconds", 10);
        if is_mutating {
            default(webhook, "reinvocationPolicy", "Never");
        }
        for rule in webhook.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            default(rule, "scope", "*");
        }
        if let Some(service) = webhook.pointer_mut("/clientConfig/service") {
            default(service, "port", 443);
        }
    }
}

fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mut names, mut batch) = (HashSet::new(), Batch::new(&VARIABLES));
    for webhook in At::root(object, "webhooks").items() {
        let name = webhook.field("name");
        check_name(&name, &mut errors);
        if !name.text().is_empty() && !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        webhook.field("rules").items().for_each(|rule| check_rule(&rule, &mut errors));
        errors.extend(webhook.field("failurePolicy").none_of(&["Fail", "Ignore"]));
        errors.extend(webhook.field("matchPolicy").none_of(&["Equivalent", "Exact"]));
        errors.extend(webhook.field("reinvocationPolicy").none_of(&["IfNeeded", "Never"]));
        let effects = webhook.field("sideEffects");
        match effects.is_set() {
            true => errors.extend(effects.none_of(&["None", "NoneOnDryRun"])),
            false => errors.push(effects.required("must specify one of None, NoneOnDryRun")),
        }
        let timeout = webhook.field("timeoutSeconds");
        if timeout.number().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
            errors.push(timeout.invalid("the timeout value must be between 1 and 30 seconds"));
        }
        for selector in ["namespaceSelector", "objectSelector"] {
            check_selector(&webhook.field(selector), &mut errors);
        }
        check_versions(&webhook.field("admissionReviewVersions"), &mut errors);
        check_client(&webhook.field("clientConfig"), &mut errors);
        check_conditions(&webhook.field("matchConditions"), &mut batch, &mut errors);
    }
    errors
}

fn check_name(name: &At<'_>, errors: &mut Vec<FieldError>) {
    let text = name.text();
    if text.is_empty() {
        errors.push(name.required(""));
    } else if !metadata::is_subdomain(text) {
        errors.push(name.invalid("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"));
    } else if text.split('.').count() < 3 {
        errors.push(name.invalid("should be a domain with at least three segments separated by dots"));
    }
}

fn check_rule(rule: &At<'_>, errors: &mut Vec<FieldError>) {
    const OPERATIONS: [&str; 5] = ["*", "CREATE", "UPDATE", "DELETE", "CONNECT"];
    let lists = [
        ("operations", "if '*' is present, must not specify other operations"),
        ("apiGroups", "if '*' is present, must not specify other API groups"),
        ("apiVersions", "if '*' is present, must not specify other API versions"),
        ("resources", "if '*' is present, must not specify other resources without subresources"),
    ];
    for (field, alone) in lists {
        let list = rule.field(field);
        let items: Vec<At<'_>> = list.items().collect();
        if items.is_empty() {
            errors.push(list.required(""));
        }
        let has_all = items.iter().any(|item| item.text() == "*");
        let others = items.iter().filter(|item| field != "resources" || !item.text().contains('/'));
        if has_all && others.count() > 1 {
            errors.push(list.invalid(alone));
        }
        for item in &items {
            match field {
                "operations" => errors.extend(item.none_of(&OPERATIONS)),
                "apiGroups" => {}
                _ if item.text().is_empty() => errors.push(item.required("")),
                _ => {}
            }
        }
    }
    check_covered(&rule.field("resources"), errors);
    errors.extend(rule.field("scope").none_of(&["*", "Cluster", "Namespaced"]));
}

/// Patterns of resources may not overlap.
fn check_covered(list: &At<'_>, errors: &mut Vec<FieldError>) {
    let all: HashSet<&str> = list.items().map(|item| item.text()).collect();
    if all.contains("*/*") && all.len() > 1 {
        errors.push(list.invalid("if '*/*' is present, must not specify other resources"));
        return;
    }
    for item in list.items() {
        let Some((resource, part)) = item.text().split_once('/') else { continue };
        if part != "*" && all.contains(format!("{resource}/*").as_str()) {
            errors.push(item.invalid("is covered by another resource of this rule that ends in /*"));
        } else if resource != "*" && all.contains(format!("*/{part}").as_str()) {
            errors.push(item.invalid("is covered by another resource of this rule that begins with */"));
        }
    }
}

fn check_versions(versions: &At<'_>, errors: &mut Vec<FieldError>) {
    let all: Vec<&str> = versions.items().map(|item| item.text()).collect();
    if all.is_empty() {
        errors.push(versions.required("must specify one of v1, v1beta1"));
    } else if !all.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        errors.push(versions.invalid("must include at least one of v1, v1beta1"));
    }
    let mut seen = HashSet::new();
    errors.extend(versions.items().filter(|item| !seen.insert(item.text())).map(|item| item.duplicate()));
}

/// A client is a service or a URL; the URL must be HTTPS, without user, query or fragment.
pub(crate) fn check_client(client: &At<'_>, errors: &mut Vec<FieldError>) {
    let (url, service) = (client.field("url"), client.field("service"));
    if url.is_set() == service.is_set() {
        errors.push(client.required("exactly one of url or service is required"));
    }
    if url.is_set() {
        errors.extend(wrong_url(url.text()).map(|why| url.invalid(why)));
    }
    if service.is_set() {
        for (field, why) in
            [("name", "service name is required"), ("namespace", "service namespace is required")]
        {
            let field = service.field(field);
            if field.text().is_empty() {
                errors.push(field.required(why));
            }
        }
        let port = service.field("port");
        if port.number().is_some_and(|port| !(1..=65_535).contains(&port)) {
            errors.push(port.invalid("port is not valid: must be between 1 and 65535, inclusive"));
        }
        let path = service.field("path");
        let text = path.text();
        if !text.is_empty()
            && (!text.starts_with('/') || text.contains("//") || text.contains(['?', '#', '%', ' ']))
        {
            errors.push(path.invalid("must start with a '/' and hold segments of names only"));
        }
    }
}

fn wrong_url(url: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("url must be a valid URL; desired format: https://host[/path]");
    };
    if scheme != "https" {
        return Some("'https' is the only allowed URL scheme; desired format: https://host[/path]");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        return Some("host must be specified; desired format: https://host[/path]");
    }
    if authority.contains('@') {
        return Some("user information is not permitted in the URL");
    }
    if rest.contains('#') {
        return Some("fragments are not permitted in the URL");
    }
    if rest.contains('?') {
        return Some("query parameters are not permitted in the URL");
    }
    let is_odd = |letter: char| letter.is_whitespace() || letter.is_control() || !letter.is_ascii();
    let is_valid = !url.contains(is_odd) && is_authority(authority);
    (!is_valid).then_some("url must be a valid URL; desired format: https://host[/path]")
}

/// A host, a bracketed IPv6 address, and a valid port.
fn is_authority(text: &str) -> bool {
    let (is_host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!host.contains(|letter| "[]<>\"\\^`{|}%".contains(letter)), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let is_port = match port {
        "" | ":" => true,
        _ => port.starts_with(':') && is_number && digits.parse::<u16>().is_ok_and(|port| port > 0),
    };
    is_host && is_port
}

/// Conditions in CEL, beside others of the same configuration.
fn check_conditions(conditions: &At<'_>, batch: &mut Batch, errors: &mut Vec<FieldError>) {
    if conditions.items().count() > CONDITIONS {
        errors.push(conditions.invalid_whole("must have at most 64 items"));
        return;
    }
    let mut names = HashSet::new();
    for condition in conditions.items() {
        let (name, expression) = (condition.field("name"), condition.field("expression"));
        if name.text().is_empty() {
            errors.push(name.required(""));
        } else if let Some(why) = metadata::qualified_name(name.text()).into_iter().next() {
            errors.push(name.invalid(why));
        } else if !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        if expression.text().trim().is_empty() {
            errors.push(expression.required(""));
            continue;
        }
        let wrong = batch.tree(expression.text()).map_or_else(Some, not_a_condition);
        errors.extend(wrong.map(|why| FieldError::invalid(expression.path(), expression.text(), why)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut hook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://a.example/x"},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        });
        change(&mut hook);
        let mut object = json!({ "webhooks": [hook] });
        prepare(&mut object, true);
        validate(&object).iter().map(|error| error.path.to_string()).collect()
    }

    #[test]
    fn invalid_webhooks_are_refused_by_field() {
        assert_eq!(webhook(|_| {}), Vec::<String>::new());
        for url in
            ["https://[::1]/", "https://[::1]:8443/x", "https://a-b.example:443", "https://10.0.0.1:65535/"]
        {
            assert_eq!(
                webhook(|hook| hook["clientConfig"]["url"] = url.into()),
                Vec::<String>::new(),
                "{url}"
            );
        }
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 28] = [
            ("name", |hook| hook["name"] = "short".into()),
            ("name", |hook| hook["name"] = "a.b".into()),
            ("sideEffects", |hook| hook["sideEffects"] = "Some".into()),
            ("sideEffects", |hook| drop(hook["sideEffects"].take())),
            ("timeoutSeconds", |hook| hook["timeoutSeconds"] = 31.into()),
            ("timeoutSeconds", |hook| hook["timeoutSeconds"] = 0.into()),
            ("failurePolicy", |hook| hook["failurePolicy"] = "Maybe".into()),
            ("matchPolicy", |hook| hook["matchPolicy"] = "Maybe".into()),
            ("reinvocationPolicy", |hook| hook["reinvocationPolicy"] = "Maybe".into()),
            ("admissionReviewVersions", |hook| hook["admissionReviewVersions"] = json!([])),
            ("admissionReviewVersions", |hook| hook["admissionReviewVersions"] = json!(["v2"])),
            ("clientConfig", |hook| hook["clientConfig"] = json!({})),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "http://a.example".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://u@a.example".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://a.example/?x=1".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https:///x".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://[::1/".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://[a]/".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://[::1]8/".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://a.example:99999/".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://a.example:0/".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://a.example:+1/".into()),
            ("clientConfig.url", |hook| hook["clientConfig"]["url"] = "https://a:1:2/".into()),
            ("rules[0].operations", |hook| hook["rules"][0]["operations"] = json!([])),
            ("rules[0].operations", |hook| hook["rules"][0]["operations"] = json!(["*", "CREATE"])),
            ("rules[0].resources[1]", |hook| hook["rules"][0]["resources"] = json!(["pods/*", "pods/exec"])),
            ("matchConditions[0].expression", |hook| {
                hook["matchConditions"] = json!([{"name": "a", "expression": "other == 1"}]);
            }),
            ("objectSelector.matchExpressions[0].values", |hook| {
                hook["objectSelector"] = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
            }),
        ];
        for (field, change) in cases {
            assert_eq!(webhook(change), [format!("webhooks[0].{field}")], "{field}");
        }
    }
}
