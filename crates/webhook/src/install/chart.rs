//! The same objects as a Helm chart and as a kustomize base.
//!
//! A chart's template is the object with a marker in place of each value of the chart; the marker becomes a Helm
//! expression in the text. So the chart cannot drift from the output of `palisade install`.

use serde_json::{Value, json};

use super::{Part, Reach, Settings, objects};

/// A file to write: its path within the folder, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path, with `/`.
    pub path: String,
    /// The content.
    pub text: String,
}

/// The values of the chart: name, path within `values.yaml`, and default.
fn values(settings: &Settings) -> [(&'static str, Value); 6] {
    [
        ("image", settings.image.clone().into()),
        ("replicas", settings.replicas.clone()),
        ("hostNetwork", settings.host_network.clone()),
        ("port", settings.port.clone()),
        ("nodeProfiles", settings.node_profiles.into()),
        ("kubeletDir", settings.kubelet_dir.clone().into()),
    ]
}

/// What depends on the network of the replicas: name, value on the nodes' network, value on that of pods.
pub(super) const ROLLOUT: [(&str, u8, u8); 2] = [("maxUnavailable", 1, 0), ("maxSurge", 0, 1)];

/// A Helm expression without its outer braces.
fn by_network(host: u8, pods: u8) -> String {
    format!("if .Values.hostNetwork }}}}{host}{{{{ else }}}}{pods}{{{{ end")
}

/// Stops Helm where the replicas would need the kubelet's port.
const CHECKS: &str = r#"{{- if and .Values.hostNetwork (eq (int .Values.port) 10250) }}
{{- fail "hostNetwork: port 10250 is the kubelet's; set another port, such as 10270" }}
{{- end }}
"#;

/// A unique marker, so that it can be found again in the file.
pub(super) fn marker(name: &str) -> String {
    format!("PALISADE_VALUE_{name}_")
}

fn marked(settings: &Settings) -> Settings {
    Settings {
        namespace: marker("namespace"),
        image: marker("image"),
        replicas: marker("replicas").into(),
        host_network: marker("hostNetwork").into(),
        port: marker("port").into(),
        kubelet_dir: marker("kubeletDir"),
        reach: Reach::Service,
        ..settings.clone()
    }
}

/// Replaces markers by Helm expressions, including quotes that the YAML writer has put around a single marker.
fn templated(text: &str) -> String {
    let mut text = text.replace("{{", "{{ \"{{\" }}");
    let plain = [
        ("namespace", ".Release.Namespace"),
        ("image", ".Values.image"),
        ("replicas", ".Values.replicas"),
        ("hostNetwork", ".Values.hostNetwork"),
        ("port", ".Values.port"),
        ("kubeletDir", ".Values.kubeletDir"),
    ];
    let plain = plain.map(|(name, expression)| (name, expression.to_owned()));
    let rollout = ROLLOUT.map(|(name, host, pods)| (name, by_network(host, pods)));
    for (name, expression) in plain.into_iter().chain(rollout) {
        text = text.replace(&marker(name), &format!("{{{{ {expression} }}}}"));
    }
    text
}

/// A part that a value of the chart turns on.
fn conditional(text: &str) -> String {
    format!("{{{{- if .Values.nodeProfiles }}}}\n{text}{{{{- end }}}}\n")
}

fn documents(objects: &[Value], write: fn(&Value) -> String) -> String {
    objects.iter().map(|object| format!("---\n{}", write(object))).collect()
}

/// The Helm chart; `write` writes an object as YAML.
///
/// Definitions are in `crds/`, which Helm installs first and never removes. Webhook configurations are created last of
/// all kinds and deleted first, and webhooks are never called for the namespace of the release, so that its pods start.
#[must_use]
pub fn chart(settings: &Settings, write: fn(&Value) -> String) -> Vec<File> {
    let chart = json!({
        "apiVersion": "v2", "name": super::NAME, "type": "application", "version": env!("CARGO_PKG_VERSION"),
        "appVersion": env!("CARGO_PKG_VERSION"), "kubeVersion": ">=1.30.0-0",
        "description": "Security Context Constraints for any Kubernetes",
    });
    let values: Value = values(settings).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut files = vec![
        File { path: "Chart.yaml".to_owned(), text: write(&chart) },
        File { path: "values.yaml".to_owned(), text: write(&values) },
        File { path: "templates/checks.yaml".to_owned(), text: CHECKS.to_owned() },
    ];
    let marked = marked(settings);
    for part in Part::ALL {
        let folder = if part == Part::Definitions { "crds" } else { "templates" };
        let mut objects = objects(part, &marked);
        // Helm creates the namespace of a release, or is given one.
        objects.retain(|object| part == Part::Profiles || object["kind"] != "Namespace");
        let path = format!("{folder}/{}.yaml", part.name());
        let text = templated(&documents(&objects, write));
        files.push(File { path, text: if part == Part::Profiles { conditional(&text) } else { text } });
    }
    files
}

/// The kustomize base: one file for each part, and the list of them.
#[must_use]
pub fn kustomization(settings: &Settings, write: fn(&Value) -> String) -> Vec<File> {
    let name = |part: Part| format!("{}.yaml", part.name());
    let parts = Part::chosen(settings);
    let list = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": parts.iter().copied().map(name).collect::<Vec<_>>(),
    });
    let mut files = vec![File { path: "kustomization.yaml".to_owned(), text: write(&list) }];
    let file = |part: Part| File { path: name(part), text: documents(&objects(part, settings), write) };
    files.extend(parts.into_iter().map(file));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &Value) -> String {
        value.to_string() + "\n"
    }

    /// The chart as Helm renders it with other values than its defaults.
    fn rendered(file: &File, settings: &Settings) -> String {
        let unconditional = file.text.strip_prefix("{{- if .Values.nodeProfiles }}\n");
        let unconditional = unconditional.and_then(|text| text.strip_suffix("{{- end }}\n"));
        let text = unconditional.unwrap_or(&file.text);
        let mut text = text.replace(".Release.Namespace", ".Values.namespace");
        text = text.replace("{{ .Values.namespace }}", &settings.namespace);
        for (_, host, pods) in ROLLOUT {
            let value = if settings.host_network == true { host } else { pods };
            let expression = format!("\"{{{{ {} }}}}\"", by_network(host, pods));
            text = text.replace(&expression, &value.to_string());
        }
        for (name, value) in values(settings) {
            let expression = format!("{{{{ .Values.{name} }}}}");
            // YAML writes a lone expression without quotes; JSON cannot.
            text = text.replace(&format!("\"{expression}\""), &value.to_string());
            text =
                text.replace(&expression, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        text
    }

    #[test]
    fn chart_and_base_hold_what_install_prints() {
        [false, true].into_iter().for_each(chart_and_base_agree);
    }

    fn chart_and_base_agree(host_network: bool) {
        let settings = Settings {
            host_network: host_network.into(),
            namespace: "elsewhere".to_owned(),
            image: "example/palisade:x".to_owned(),
            node_profiles: true,
            kubelet_dir: "/data/kubelet".to_owned(),
            ..Settings::default()
        };
        let chart = chart(&settings, write);
        let base = kustomization(&settings, write);
        for part in Part::ALL {
            let name = format!("{}.yaml", part.name());
            let expected = base.iter().find(|file| file.path == name).unwrap();
            let file = chart.iter().find(|file| file.path.ends_with(&format!("/{name}"))).unwrap();
            let objects = objects(part, &settings);
            let kept: Vec<Value> = objects
                .iter()
                .filter(|object| part == Part::Profiles || object["kind"] != "Namespace")
                .cloned()
                .collect();
            assert_eq!(expected.text, documents(&objects, write));
            assert_eq!(rendered(file, &settings), documents(&kept, write));
        }
    }
}
