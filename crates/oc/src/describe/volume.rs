//! The volumes of a pod, and the sources of persistent volumes.

use serde_json::Value;

use super::sheet::{Sheet, entries, items, word};
use crate::value::text;

pub(super) fn describe(volumes: &[Value], sheet: &mut Sheet) {
    if volumes.is_empty() {
        sheet.pair(0, "Volumes", "<none>");
        return;
    }
    sheet.line(0, "Volumes:");
    for volume in volumes {
        sheet.line(1, format!("{}:", text(volume, "/name")));
        source(volume, sheet);
    }
}

/// The source of a volume: its first field besides the name.
pub(super) fn source(volume: &Value, sheet: &mut Sheet) {
    let fields = volume.as_object().into_iter().flatten();
    let Some((kind, source)) = fields.into_iter().find(|(name, value)| *name != "name" && value.is_object())
    else {
        sheet.pair(2, "Type", "<unknown>");
        return;
    };
    sheet.pair(2, "Type", said(kind));
    match kind.as_str() {
        "emptyDir" => {
            sheet.pair(2, "Medium", text(source, "/medium"));
            let limit = source.get("sizeLimit").map_or_else(|| "<unset>".to_owned(), word);
            sheet.pair(2, "SizeLimit", limit);
        }
        "hostPath" => {
            sheet.pair(2, "Path", text(source, "/path"));
            let kind = source.get("type").map_or_else(|| "<none>".to_owned(), word);
            sheet.pair(2, "HostPathType", kind);
        }
        "secret" => reference("SecretName", text(source, "/secretName"), source, sheet),
        "configMap" => reference("Name", text(source, "/name"), source, sheet),
        "persistentVolumeClaim" => {
            sheet.pair(2, "ClaimName", text(source, "/claimName"));
            sheet.pair(2, "ReadOnly", is_set(source, "readOnly"));
        }
        "nfs" => {
            sheet.pair(2, "Server", text(source, "/server"));
            sheet.pair(2, "Path", text(source, "/path"));
            sheet.pair(2, "ReadOnly", is_set(source, "readOnly"));
        }
        "csi" => csi(source, sheet),
        "downwardAPI" => downward(source, sheet),
        "projected" => items(source, "/sources").iter().for_each(|part| projection(part, sheet)),
        _ => others(source, sheet),
    }
}

fn said(kind: &str) -> String {
    let about = match kind {
        "emptyDir" => ("EmptyDir", "a temporary directory that shares a pod's lifetime"),
        "hostPath" => ("HostPath", "bare host directory volume"),
        "secret" => ("Secret", "a volume populated by a Secret"),
        "configMap" => ("ConfigMap", "a volume populated by a ConfigMap"),
        "persistentVolumeClaim" => {
            ("PersistentVolumeClaim", "a reference to a PersistentVolumeClaim in the same namespace")
        }
        "nfs" => ("NFS", "an NFS mount that lasts the lifetime of a pod"),
        "csi" => ("CSI", "a Container Storage Interface (CSI) volume source"),
        "downwardAPI" => ("DownwardAPI", "a volume populated by information about the pod"),
        "projected" => ("Projected", "a volume that contains injected data from multiple sources"),
        other => return super::object::title(other),
    };
    format!("{} ({})", about.0, about.1)
}

fn is_set(source: &Value, field: &str) -> String {
    (source.get(field) == Some(&Value::Bool(true))).to_string()
}

fn reference(name: &str, value: &str, source: &Value, sheet: &mut Sheet) {
    sheet.pair(2, name, value);
    sheet.pair(2, "Optional", is_set(source, "optional"));
}

fn csi(source: &Value, sheet: &mut Sheet) {
    sheet.pair(2, "Driver", text(source, "/driver"));
    sheet.pair(2, "FSType", text(source, "/fsType"));
    sheet.pair(2, "ReadOnly", is_set(source, "readOnly"));
    let attributes = entries(source.get("volumeAttributes"));
    let mut attributes = attributes.into_iter().map(|(key, value)| format!("    {key}={value}"));
    sheet.pair(2, "VolumeAttributes", attributes.next().unwrap_or_else(|| "<none>".to_owned()));
    attributes.for_each(|attribute| sheet.line(2, format!("\t{attribute}")));
}

fn downward(source: &Value, sheet: &mut Sheet) {
    sheet.line(2, "Items:");
    for item in items(source, "/items") {
        let from = match text(item, "/fieldRef/fieldPath") {
            "" => text(item, "/resourceFieldRef/resource"),
            field => field,
        };
        sheet.line(3, format!("{from} -> {}", text(item, "/path")));
    }
}

fn projection(part: &Value, sheet: &mut Sheet) {
    let optional = |source: &Value| source.get("optional").map_or_else(|| "<nil>".to_owned(), word);
    if let Some(secret) = part.get("secret") {
        sheet.pair(2, "SecretName", text(secret, "/name"));
        sheet.pair(2, "SecretOptionalName", optional(secret));
    } else if part.get("downwardAPI").is_some() {
        sheet.pair(2, "DownwardAPI", "true");
    } else if let Some(map) = part.get("configMap") {
        sheet.pair(2, "ConfigMapName", text(map, "/name"));
        sheet.pair(2, "ConfigMapOptional", optional(map));
    } else if let Some(token) = part.get("serviceAccountToken") {
        let seconds = token.get("expirationSeconds").map(word).unwrap_or_default();
        sheet.pair(2, "TokenExpirationSeconds", seconds);
    }
}

/// The scalar fields of a source that has no layout of its own.
fn others(source: &Value, sheet: &mut Sheet) {
    let fields = source.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(_, value)| !value.is_object() && !value.is_array()) {
        sheet.pair(2, &super::object::title(name), word(value));
    }
}
