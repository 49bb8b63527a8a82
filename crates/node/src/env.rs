//! A container's environment, command and arguments.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};
use palisade_k8s::quantity;

/// The objects from which a pod's containers take values, by name; `None` for a missing one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: BTreeMap<String, Option<ConfigMap>>,
    pub(crate) secrets: BTreeMap<String, Option<Secret>>,
    /// The service of the API server; those of the pod's namespace, unless it disables service links.
    pub(crate) services: Vec<Service>,
}

/// Facts about a pod that are known only on its node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) node: String,
    pub(crate) host_ip: String,
    pub(crate) pod_ip: String,
    pub(crate) memory: i64,
    pub(crate) processors: i64,
}

/// The names of the ConfigMaps and Secrets that an environment needs.
pub(crate) fn needs(container: &Container) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for from in container.env_from.iter().flatten() {
        maps.extend(from.config_map_ref.iter().map(|source| source.name.clone()));
        secrets.extend(from.secret_ref.iter().map(|source| source.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|env| env.value_from.as_ref()) {
        maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
    }
    (maps, secrets)
}

impl Sources {
    fn map(&self, name: &str, is_optional: bool) -> Result<BTreeMap<String, Vec<u8>>, String> {
        match self.config_maps.get(name) {
            Some(Some(map)) => Ok(of_map(map)),
            _ if is_optional => Ok(BTreeMap::new()),
            _ => Err(format!("configmap {name:?} not found")),
        }
    }

    fn secret(&self, name: &str, is_optional: bool) -> Result<BTreeMap<String, Vec<u8>>, String> {
        match self.secrets.get(name) {
            Some(Some(secret)) => Ok(of_secret(secret)),
            _ if is_optional => Ok(BTreeMap::new()),
            _ => Err(format!("secret {name:?} not found")),
        }
    }
}

/// The variables of a service with an address, including those of Docker's links (`pkg/kubelet/envvars/envvars.go`).
fn of_service(service: &Service) -> Vec<(String, String)> {
    let variable = |text: &str| text.to_ascii_uppercase().replace('-', "_");
    let (Some(name), Some(spec)) = (&service.metadata.name, &service.spec) else { return Vec::new() };
    let ip = spec.cluster_ip.as_deref().filter(|ip| !matches!(*ip, "" | "None"));
    let ports: Vec<_> = spec.ports.iter().flatten().collect();
    let (Some(ip), Some(first)) = (ip, ports.first()) else { return Vec::new() };
    let name = variable(name);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let mut all = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_owned()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    let named = ports.iter().filter_map(|port| Some((port.name.as_ref()?, port.port)));
    all.extend(named.map(|(of, port)| (format!("{name}_SERVICE_PORT_{}", variable(of)), port.to_string())));
    for (place, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_ascii_lowercase(), port.port);
        if place == 0 {
            all.push((format!("{name}_PORT"), url.clone()));
        }
        let link = format!("{name}_PORT_{}_{protocol}", port.port);
        all.push((link.clone(), url));
        all.push((format!("{link}_PROTO"), protocol.to_ascii_lowercase()));
        all.push((format!("{link}_PORT"), port.port.to_string()));
        all.push((format!("{link}_ADDR"), ip.to_owned()));
    }
    all
}

/// All entries of a ConfigMap.
pub(crate) fn of_map(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let texts = map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
    let bytes = map.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone()));
    texts.chain(bytes).collect()
}

/// All entries of a Secret.
pub(crate) fn of_secret(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect()
}

/// Expands `$(NAME)`; `$$` stands for `$`, and unknown names stay as they are.
pub(crate) fn expand(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match named {
            Some((name, after)) => {
                match values.get(name) {
                    Some(value) => out.push_str(value),
                    None => out.push_str(&format!("$({name})")),
                }
                rest = after;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

/// The value of a field of the downward API.
pub(crate) fn field(pod: &Pod, path: &str, facts: &Facts) -> Result<String, String> {
    let metadata = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(format!("field {path:?} is not known")),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let lines = |map: &Option<BTreeMap<String, String>>| {
        let lines = map.iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    Ok(match path {
        "metadata.name" => text(&metadata.name),
        "metadata.namespace" => text(&metadata.namespace),
        "metadata.uid" => text(&metadata.uid),
        "metadata.labels" => lines(&metadata.labels),
        "metadata.annotations" => lines(&metadata.annotations),
        "spec.nodeName" => facts.node.clone(),
        "spec.serviceAccountName" => text(&pod.spec.clone().unwrap_or_default().service_account_name),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        _ => return Err(format!("field {path:?} is not known")),
    })
}

/// A container's request or limit of a resource, in units of `divisor`, rounded up.
pub(crate) fn resource(
    container: &Container,
    name: &str,
    divisor: Option<&str>,
    facts: &Facts,
) -> Result<String, String> {
    let (list, resource) = name.split_once('.').ok_or_else(|| format!("resource {name:?} is not known"))?;
    let own = container.resources.as_ref();
    let lists = match list {
        "limits" => own.and_then(|own| own.limits.as_ref()),
        "requests" => own.and_then(|own| own.requests.as_ref()),
        _ => return Err(format!("resource {name:?} is not known")),
    };
    let asked = lists.and_then(|list| list.get(resource)).and_then(|amount| quantity::billionths(&amount.0));
    const ONE: i128 = 1_000_000_000;
    let amount = match (asked, list, resource) {
        (Some(amount), ..) => amount,
        // A missing limit is the node's capacity.
        (None, "limits", "memory") => i128::from(facts.memory) * ONE,
        (None, "limits", "cpu") => i128::from(facts.processors) * ONE,
        _ => 0,
    };
    let divisor = divisor.filter(|text| !text.is_empty() && *text != "0").unwrap_or("1");
    let divisor = quantity::billionths(divisor).filter(|divisor| *divisor > 0);
    let divisor = divisor.ok_or_else(|| format!("the divisor of {name} is not a quantity"))?;
    Ok((amount + divisor - 1).div_euclid(divisor).to_string())
}

/// The environment of a container, in order.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    facts: &Facts,
) -> Result<Vec<(String, String)>, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let set = |values: &mut BTreeMap<String, String>, order: &mut Vec<String>, name: &str, value: String| {
        if values.insert(name.to_owned(), value).is_none() {
            order.push(name.to_owned());
        }
    };
    for (name, value) in sources.services.iter().flat_map(of_service) {
        set(&mut values, &mut order, &name, value);
    }
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        let mut entries = BTreeMap::new();
        if let Some(source) = &from.config_map_ref {
            entries = sources.map(&source.name, source.optional == Some(true))?;
        }
        if let Some(source) = &from.secret_ref {
            entries = sources.secret(&source.name, source.optional == Some(true))?;
        }
        for (key, value) in entries {
            set(
                &mut values,
                &mut order,
                &format!("{prefix}{key}"),
                String::from_utf8_lossy(&value).into_owned(),
            );
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (_, Some(source)) => match value_from(pod, container, source, sources, facts)? {
                Some(value) => value,
                None => continue,
            },
            (value, None) => expand(value.as_deref().unwrap_or_default(), &values),
        };
        set(&mut values, &mut order, &variable.name, value);
    }
    Ok(order.into_iter().filter_map(|name| values.remove_entry(&name)).collect())
}

/// A value from another object; `None` if it is optional and missing.
fn value_from(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, String> {
    if let Some(source) = &source.field_ref {
        return field(pod, &source.field_path, facts).map(Some);
    }
    if let Some(source) = &source.resource_field_ref {
        let divisor = source.divisor.as_ref().map(|divisor| divisor.0.as_str());
        return resource(container, &source.resource, divisor, facts).map(Some);
    }
    let (entries, key, is_optional, what) = if let Some(source) = &source.config_map_key_ref {
        let is_optional = source.optional == Some(true);
        (
            sources.map(&source.name, is_optional)?,
            &source.key,
            is_optional,
            format!("configmap {}", source.name),
        )
    } else if let Some(source) = &source.secret_key_ref {
        let is_optional = source.optional == Some(true);
        (
            sources.secret(&source.name, is_optional)?,
            &source.key,
            is_optional,
            format!("secret {}", source.name),
        )
    } else {
        return Err("a variable takes its value from something that this node does not know".to_owned());
    };
    match entries.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if is_optional => Ok(None),
        None => Err(format!("couldn't find key {key} in {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_others_stay() {
        let values = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$(A", "$(A"),
            ("$A", "$A"),
            ("$", "$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &values), expected, "{text}");
        }
    }

    #[test]
    fn services_are_told_by_variables() {
        let service = serde_json::json!({"metadata": {"name": "web-1"}, "spec": {"clusterIP": "10.0.0.9",
            "ports": [{"port": 80, "name": "http-x"}, {"port": 53, "protocol": "UDP"}]}});
        let got = of_service(&serde_json::from_value(service).unwrap());
        let got: Vec<String> = got.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let expected = [
            "WEB_1_SERVICE_HOST=10.0.0.9",
            "WEB_1_SERVICE_PORT=80",
            "WEB_1_SERVICE_PORT_HTTP_X=80",
            "WEB_1_PORT=tcp://10.0.0.9:80",
            "WEB_1_PORT_80_TCP=tcp://10.0.0.9:80",
            "WEB_1_PORT_80_TCP_PROTO=tcp",
            "WEB_1_PORT_80_TCP_PORT=80",
            "WEB_1_PORT_80_TCP_ADDR=10.0.0.9",
            "WEB_1_PORT_53_UDP=udp://10.0.0.9:53",
            "WEB_1_PORT_53_UDP_PROTO=udp",
            "WEB_1_PORT_53_UDP_PORT=53",
            "WEB_1_PORT_53_UDP_ADDR=10.0.0.9",
        ];
        assert_eq!(got, expected);
        for spec in [serde_json::json!({"clusterIP": "None", "ports": [{"port": 80}]}), serde_json::json!({})]
        {
            let service = serde_json::json!({"metadata": {"name": "web"}, "spec": spec});
            assert!(of_service(&serde_json::from_value(service).unwrap()).is_empty());
        }
    }

    #[test]
    fn an_environment_is_what_its_sources_say() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c",
                "resources": {"limits": {"memory": "64Mi", "cpu": "1500m"}},
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "gone", "optional": true}}],
                "env": [
                    {"name": "A", "value": "a"}, {"name": "B", "value": "$(A)-$(P_key)"},
                    {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                    {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "S", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "none", "optional": true}}},
                    {"name": "A", "value": "again"},
                ]}]}
        })).unwrap();
        let map = serde_json::from_value(serde_json::json!({"data": {"key": "v"}})).unwrap();
        let sources = Sources { config_maps: [("m".to_owned(), Some(map))].into(), ..Default::default() };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let got = environment(&pod, container, &sources, &Facts::default()).unwrap();
        let got: Vec<String> = got.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(got, ["P_key=v", "A=again", "B=a-v", "N=p", "L=x", "M=64", "C=2"]);
        let error = environment(&pod, container, &Sources::default(), &Facts::default()).unwrap_err();
        assert_eq!(error, "configmap \"m\" not found");
    }
}
