//! CustomResourceDefinitions.

use std::collections::HashSet;

use palisade_k8s::{FieldError, FieldPath, metadata, put};
use serde_json::{Value, json};

use super::at::At;
use super::subresource::STATUS;
use super::webhook::check_client;
use super::{Admission, BASE, Column, Deletion, RESOURCES, Resource, Row, default, keep_status, text};
use crate::cel::Batch;
use crate::jsonpath::Path;
use crate::structural::{Structural, VARIABLES};

/// Maximum number of versions of one definition.
const VERSIONS: usize = 50;
/// Maximum number of columns, short names, categories and selectable fields of one version.
const NAMES: usize = 100;
/// Maximum size of short names and categories in discovery, which repeats them for each version, in bytes.
const DISCOVERED: usize = 8192;
/// Maximum number of selectable fields of one version, as in Kubernetes.
const SELECTABLE: usize = 8;
/// The annotation of definitions in the groups of Kubernetes itself.
const APPROVED: &str = "api-approved.kubernetes.io";

/// CustomResourceDefinitions.
pub static DEFINITIONS: Resource = Resource::Row(&Row {
    needs_version: true,
    group: "apiextensions.k8s.io",
    plural: "customresourcedefinitions",
    singular: "customresourcedefinition",
    kind: "CustomResourceDefinition",
    schema: "CustomResourceDefinition",
    namespaced: false,
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    subresources: &[STATUS],
    storage: "apiextensions.k8s.io/customresourcedefinitions",
    counts_generations: true,
    deletion: Deletion::Instances,
    admission: Admission::Definition,
    columns: &[Column { name: "Created At", kind: "date", priority: 0 }],
    cells: |object, _| vec![text(object, "/metadata/creationTimestamp").into()],
    prepare,
    validate,
    ..BASE
});

fn prepare(object: &mut Value, old: Option<&Value>) {
    keep_status(object, old, json!({}));
    let kind = text(object, "/spec/names/kind").to_owned();
    if let Some(names) = object.pointer_mut("/spec/names") {
        default(names, "singular", kind.to_lowercase());
        default(names, "listKind", format!("{kind}List"));
    }
    if object.pointer("/spec/conversion").is_none() {
        put(object, &["spec", "conversion"], json!({"strategy": "None"}));
    }
    if let Some(service) = object.pointer_mut("/spec/conversion/webhook/clientConfig/service") {
        default(service, "port", 443);
    }
}

fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = At::root(new, "spec");
    let mut errors = validate_names(new, &spec);
    errors.extend(validate_group(new, &spec));
    let is_same = old.is_some_and(|old| old.get("spec") == new.get("spec"));
    // Parts that were validated when they were written are not validated again with each change of the status.
    if !is_same {
        errors.extend(validate_versions(&spec));
    }
    if let Some(old) = old {
        errors.extend(validate_change(new, old, &spec));
    }
    errors
}

fn label(at: &At<'_>) -> Option<FieldError> {
    let is_label = metadata::is_label(&at.text().to_lowercase());
    (!is_label).then(|| at.invalid("must be letters, digits and '-', at most 63"))
}

fn lowercase(name: &At<'_>) -> Option<FieldError> {
    let is_mixed = name.text().chars().any(|letter| letter.is_ascii_uppercase());
    is_mixed.then(|| name.invalid("must be lowercase"))
}

fn validate_names(new: &Value, spec: &At<'_>) -> Vec<FieldError> {
    let names = spec.field("names");
    let (plural, group) = (names.field("plural"), spec.field("group"));
    let mut errors = Vec::new();
    let wanted = format!("{}.{}", plural.text(), group.text());
    if text(new, "/metadata/name") != wanted {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(FieldPath::of("metadata.name"), text(new, "/metadata/name"), why));
    }
    for field in ["plural", "singular", "kind", "listKind"] {
        errors.extend(names.field(field).missing().or_else(|| label(&names.field(field))));
    }
    for field in ["plural", "singular"] {
        errors.extend(lowercase(&names.field(field)));
    }
    if names.field("kind").text() == names.field("listKind").text() {
        errors.push(names.field("listKind").invalid("kind and listKind may not be the same"));
    }
    for field in ["shortNames", "categories"] {
        let list = names.field(field);
        for name in list.items() {
            errors.extend(label(&name).or_else(|| lowercase(&name)));
        }
        if list.items().count() > NAMES {
            errors.push(list.invalid_whole("must be at most 100"));
        }
    }
    let count = spec.field("versions").items().count();
    if of_names(&names).saturating_mul(count) > DISCOVERED {
        errors.push(names.invalid_whole(
            "short names and categories, repeated for each version, must have at most 8192 bytes",
        ));
    }
    errors.extend(spec.field("scope").missing());
    errors.extend(spec.field("scope").none_of(&["Cluster", "Namespaced"]));
    errors
}

/// The size of short names and categories, in bytes.
fn of_names(names: &At<'_>) -> usize {
    let lists = ["shortNames", "categories"].map(|field| names.field(field));
    lists.iter().flat_map(|list| list.items()).map(|name| name.text().len()).sum()
}

fn validate_group(new: &Value, spec: &At<'_>) -> Vec<FieldError> {
    let group = spec.field("group");
    let mut errors = Vec::new();
    let name = group.text();
    if let Some(missing) = group.missing() {
        return vec![missing];
    }
    if !metadata::is_subdomain(name) {
        errors.push(group.invalid("must be a lowercase RFC 1123 subdomain"));
    } else if !name.contains('.') {
        errors.push(group.invalid("should be a domain with at least one dot"));
    }
    let (plural, kind) = (text(new, "/spec/names/plural"), text(new, "/spec/names/kind"));
    let is_own = |resource: &&&Resource| {
        resource.group() == name && (resource.plural() == plural || resource.kind() == kind)
    };
    if let Some(own) = RESOURCES.iter().find(is_own) {
        let why = format!("{} are served by this server itself and cannot be defined anew", own.qualified());
        errors.push(FieldError::forbidden(group.path(), why));
    }
    let is_protected =
        ["k8s.io", "kubernetes.io"].iter().any(|own| name == *own || name.ends_with(&format!(".{own}")));
    if is_protected {
        errors.extend(validate_approval(new));
    }
    errors
}

/// Groups of Kubernetes itself are for APIs that its developers have approved.
fn validate_approval(new: &Value) -> Option<FieldError> {
    let annotations = new.pointer("/metadata/annotations");
    let approved = annotations.and_then(|all| all.get(APPROVED)).and_then(Value::as_str).unwrap_or_default();
    let path = FieldPath::of("metadata.annotations").key(APPROVED);
    if approved.is_empty() {
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        return Some(FieldError::required(path, why));
    }
    let is_url = approved.starts_with("https://") || approved.starts_with("http://");
    let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\"";
    (!is_url && !approved.starts_with("unapproved")).then(|| FieldError::invalid(path, approved, why))
}

fn validate_versions(spec: &At<'_>) -> Vec<FieldError> {
    let versions = spec.field("versions");
    let mut errors = Vec::new();
    let (mut names, mut stored, mut batch) = (HashSet::new(), 0, Batch::new(&VARIABLES));
    let all: Vec<At<'_>> = versions.items().collect();
    if all.is_empty() || all.len() > VERSIONS {
        errors.push(versions.invalid_whole("must be 1 to 50 versions"));
        return errors;
    }
    for version in &all {
        let name = version.field("name");
        if !metadata::is_label(name.text()) {
            errors.push(name.invalid("must be a lowercase RFC 1123 label"));
        }
        if !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        stored += usize::from(version.field("storage").is(true));
        errors.extend(validate_version(version, &mut batch));
    }
    if stored != 1 {
        errors.push(versions.invalid_whole("must have exactly one version marked as storage version"));
    }
    if spec.field("preserveUnknownFields").is(true) {
        let field = spec.field("preserveUnknownFields");
        errors.push(field.invalid("must be false: set x-kubernetes-preserve-unknown-fields in the schema"));
    }
    errors.extend(validate_conversion(&spec.field("conversion")));
    errors
}

/// Versions of ConversionReview that this server supports.
pub const CONVERSION_REVIEWS: [&str; 2] = ["v1", "v1beta1"];

fn validate_conversion(conversion: &At<'_>) -> Vec<FieldError> {
    let (strategy, webhook) = (conversion.field("strategy"), conversion.field("webhook"));
    let mut errors: Vec<FieldError> = strategy.none_of(&["None", "Webhook"]).into_iter().collect();
    if strategy.text() != "Webhook" {
        if webhook.is_set() {
            errors.push(webhook.forbidden("should not be set when strategy is not set to Webhook"));
        }
        return errors;
    }
    let client = webhook.field("clientConfig");
    if client.is_set() {
        check_client(&client, &mut errors);
    } else {
        errors.push(client.required("required when strategy is set to Webhook"));
    }
    let versions = webhook.field("conversionReviewVersions");
    if versions.items().next().is_none() {
        errors.push(versions.required(""));
    } else if !versions.items().any(|version| CONVERSION_REVIEWS.contains(&version.text())) {
        errors.push(versions.invalid_whole("must include at least one of v1, v1beta1"));
    }
    errors
}

fn validate_version(version: &At<'_>, batch: &mut Batch) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let warning = version.field("deprecationWarning");
    if warning.is_set() && !version.field("deprecated").is(true) {
        errors.push(warning.invalid("can only be set for deprecated versions"));
    }
    let schema = version.field("schema").field("openAPIV3Schema");
    let Some(written) = schema.value() else {
        return vec![schema.required("schemas are required")];
    };
    errors.extend(Structural::check(written, &schema.path(), batch));
    let structural = Structural::read(written);
    let columns = version.field("additionalPrinterColumns");
    for column in columns.items() {
        errors.extend(column.field("name").missing());
        let kind = column.field("type");
        errors.extend(kind.missing());
        errors.extend(kind.none_of(&["boolean", "date", "integer", "number", "string"]));
        errors.extend(broken_path(&column.field("jsonPath")));
    }
    if columns.items().count() > NAMES {
        errors.push(columns.invalid_whole("must be at most 100"));
    }
    let selectable = version.field("selectableFields");
    let mut seen = HashSet::new();
    for field in selectable.items() {
        let path = field.field("jsonPath");
        if !seen.insert(path.text()) {
            errors.push(path.duplicate());
        }
        let is_known = structural.at(path.text()).is_some_and(Structural::is_scalar);
        if !is_known {
            errors
                .push(path.invalid("must point to a field of the schema of type boolean, integer or string"));
        }
    }
    if selectable.items().count() > SELECTABLE {
        errors.push(selectable.invalid_whole("must be at most 8"));
    }
    let scale = version.field("subresources").field("scale");
    if scale.is_set() {
        errors.extend(replicas(&scale.field("specReplicasPath"), ".spec."));
        errors.extend(replicas(&scale.field("statusReplicasPath"), ".status."));
        let selector = scale.field("labelSelectorPath");
        let is_below = [".spec.", ".status."].iter().any(|holder| selector.text().starts_with(holder));
        if selector.is_set() && (!is_below || names(&selector).is_none()) {
            errors.push(selector.invalid("should be a json path under either .spec or .status"));
        }
    }
    errors
}

fn names(path: &At<'_>) -> Option<usize> {
    Some(Path::parse(path.text()).ok()?.names()?.len())
}

fn replicas(path: &At<'_>, holder: &'static str) -> Option<FieldError> {
    let is_right = path.text().starts_with(holder) && names(path).is_some();
    (!is_right).then(|| {
        path.invalid(match holder {
            ".spec." => "should be a json path under .spec",
            _ => "should be a json path under .status",
        })
    })
}

fn broken_path(at: &At<'_>) -> Option<FieldError> {
    let why = Path::parse(at.text()).err()?;
    Some(FieldError::invalid(at.path(), at.text(), why))
}

fn validate_change(new: &Value, old: &Value, spec: &At<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, pointer) in [("scope", "/spec/scope"), ("names.kind", "/spec/names/kind")] {
        if text(new, pointer) != text(old, pointer) {
            errors.push(spec.field(field).invalid_whole("field is immutable"));
        }
    }
    let versions: HashSet<&str> = spec
        .field("versions")
        .items()
        .filter_map(|version| version.value().map(|version| text(version, "/name")))
        .collect();
    let stored = At::root(new, "status").field("storedVersions");
    for version in stored.items().filter(|version| !versions.contains(version.text())) {
        errors.push(version.invalid("must appear in spec.versions"));
    }
    errors
}
