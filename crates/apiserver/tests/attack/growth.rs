//! Complexity of requests: twice the input takes hardly more than twice as long.
//!
//! The CPU time of the server is compared, not the wall-clock time, so that other load on the machine changes nothing.

#![allow(clippy::too_many_lines, reason = "tables of cases are read from top to bottom")]

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::world::Who::{self, Admin, Alice};
use super::world::World;

/// A request: `METHOD PATH`, a media type, and a body or a query with a number of parts.
struct Case {
    what: &'static str,
    identity: Who,
    line: &'static str,
    kind: &'static str,
    accept: &'static str,
    query: Box<dyn Fn(usize) -> String>,
    body: Box<dyn Fn(usize) -> Value>,
    parts: usize,
}

const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const JSON: &str = "application/json";
const PODS: &str = "POST /api/v1/namespaces/shop/pods?dryRun=All&fieldValidation=Warn";
/// Number of parts in most cases; the larger of both requests has twice as many.
const PARTS: usize = 3000;

fn case(
    what: &'static str,
    identity: Who,
    line: &'static str,
    body: impl Fn(usize) -> Value + 'static,
) -> Case {
    let query = Box::new(|_| String::new());
    Case { what, identity, line, kind: JSON, accept: JSON, query, body: Box::new(body), parts: PARTS }
}

/// A request with as many parts in its query.
fn query(what: &'static str, line: &'static str, query: impl Fn(usize) -> String + 'static) -> Case {
    Case { query: Box::new(query), ..case(what, Alice, line, |_| Value::Null) }
}

impl Case {
    fn of(self, parts: usize) -> Self {
        Self { parts, ..self }
    }

    fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// Answered as a table.
    fn table(self) -> Self {
        Self { accept: TABLE, ..self }
    }

    /// The bytes that are sent.
    fn bytes(&self, count: usize) -> Vec<u8> {
        let body = (self.body)(count);
        match self.kind {
            _ if body.is_null() => Vec::new(),
            YAML if body.is_string() => body.as_str().unwrap().to_owned().into_bytes(),
            YAML => palisade_k8s::yaml::write(&body).into_bytes(),
            PROTOBUF => {
                let message = palisade_api::schema::message(body["kind"].as_str().unwrap()).unwrap();
                palisade_api::protobuf::encode(&body, message)
            }
            _ => body.to_string().into_bytes(),
        }
    }
}

fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
    (0..count).map(item).collect()
}

fn map(count: usize, entry: impl Fn(usize) -> (String, Value)) -> Value {
    Value::Object((0..count).map(entry).collect())
}

/// A list of texts.
fn texts(count: usize, prefix: &str) -> Value {
    list(count, |n| format!("{prefix}{n}").into())
}

fn pod(spec: Value, metadata: Value) -> Value {
    let mut whole = json!({"containers": [{"name": "a", "image": "a"}]});
    merge(&mut whole, spec);
    let mut named = json!({"name": "p"});
    merge(&mut named, metadata);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": whole})
}

fn merge(into: &mut Value, from: Value) {
    let Value::Object(from) = from else { return };
    into.as_object_mut().unwrap().extend(from);
}

/// A pod whose first container has further fields.
fn container(with: Value) -> Value {
    let mut first = json!({"name": "a", "image": "a"});
    merge(&mut first, with);
    pod(json!({"containers": [first]}), json!({}))
}

/// A field of a pod's spec that is a list.
fn in_spec(what: &'static str, field: &'static str, item: impl Fn(usize) -> Value + 'static) -> Case {
    case(what, Alice, PODS, move |count| pod(json!({field: list(count, &item)}), json!({})))
}

/// A field of a container that is a list.
fn in_container(what: &'static str, field: &'static str, item: impl Fn(usize) -> Value + 'static) -> Case {
    case(what, Alice, PODS, move |count| container(json!({field: list(count, &item)})))
}

/// Lists of a pod and of its containers.
fn pods() -> Vec<Case> {
    containers().into_iter().chain(volumes()).chain(specs()).chain(metadata()).collect()
}

fn containers() -> Vec<Case> {
    let secured = |field: &'static str, value: fn(usize) -> Value| {
        case(field, Alice, PODS, move |count| {
            container(json!({"securityContext": {"capabilities": {field: list(count, value)}}}))
        })
    };
    vec![
        in_container("env", "env", |n| json!({"name": format!("E{n}"), "value": format!("$(E{})", n / 2)})),
        in_container("envFrom", "envFrom", |n| json!({"configMapRef": {"name": format!("m{n}")}})),
        in_container(
            "ports",
            "ports",
            |n| json!({"containerPort": n + 1, "name": format!("p{n}"), "hostPort": n + 1}),
        ),
        in_container("args", "args", |n| format!("$(A{n})").into()),
        in_container(
            "volumeDevices",
            "volumeDevices",
            |n| json!({"name": format!("v{n}"), "devicePath": format!("/d{n}")}),
        ),
        secured("add", |n| format!("CAP{n}").into()),
        secured("drop", |n| format!("CAP{n}").into()),
    ]
}

fn volumes() -> Vec<Case> {
    vec![
        case("volumes and mounts", Alice, PODS, |count| {
            let mounts = list(count, |n| json!({"name": format!("v{n}"), "mountPath": format!("/m/{n}")}));
            pod(
                json!({"volumes": list(count, |n| json!({"name": format!("v{n}"), "emptyDir": {}})),
                       "containers": [{"name": "a", "image": "a", "volumeMounts": mounts}]}),
                json!({}),
            )
        })
        .of(1000),
        case("volumes of one name", Alice, PODS, |count| {
            pod(
                json!({"volumes": list(count, |_| json!({"name": "v", "hostPath": {"path": "/"}}))}),
                json!({}),
            )
        }),
        case("projected sources", Alice, PODS, |count| {
            let sources = list(count, |n| {
                json!({"configMap": {"name": "m", "items": [
                {"key": format!("k{n}"), "path": format!("p/{n}")}]}})
            });
            pod(json!({"volumes": [{"name": "v", "projected": {"sources": sources}}]}), json!({}))
        })
        .of(1500),
        case("items of a volume", Alice, PODS, |count| {
            let items = list(count, |n| json!({"key": format!("k{n}"), "path": format!("p{n}")}));
            pod(json!({"volumes": [{"name": "v", "configMap": {"name": "m", "items": items}}]}), json!({}))
        }),
    ]
}

fn specs() -> Vec<Case> {
    vec![
        in_spec("containers", "containers", |n| json!({"name": format!("c{n}"), "image": "a"})).of(400),
        in_spec("init containers", "initContainers", |n| json!({"name": format!("i{n}"), "image": "a"}))
            .of(500),
        in_spec("nothing but containers", "containers", |_| json!({})).of(1000),
        in_spec("tolerations", "tolerations", |n| json!({"key": format!("k{n}"), "operator": "Exists"})),
        in_spec(
            "hostAliases",
            "hostAliases",
            |n| json!({"ip": format!("10.0.{}.{}", n / 256, n % 256), "hostnames": ["a"]}),
        ),
        in_spec("imagePullSecrets", "imagePullSecrets", |n| json!({"name": format!("s{n}")})),
        in_spec("schedulingGates", "schedulingGates", |n| json!({"name": format!("g.io/{n}")})),
        in_spec("readinessGates", "readinessGates", |n| json!({"conditionType": format!("g.io/{n}")})),
        in_spec(
            "topologySpreadConstraints",
            "topologySpreadConstraints",
            |n| json!({"maxSkew": 1, "topologyKey": format!("k{n}"), "whenUnsatisfiable": "DoNotSchedule"}),
        )
        .of(1500),
        in_spec(
            "resourceClaims",
            "resourceClaims",
            |n| json!({"name": format!("c{n}"), "resourceClaimName": "c"}),
        ),
        case("sysctls", Alice, PODS, |count| {
            let sysctls = list(count, |n| json!({"name": format!("kernel.shm{n}"), "value": "1"}));
            pod(json!({"securityContext": {"sysctls": sysctls}}), json!({}))
        }),
        case("supplemental groups", Alice, PODS, |count| {
            pod(json!({"securityContext": {"supplementalGroups": list(count, |n| n.into())}}), json!({}))
        }),
    ]
}

/// Maps of a pod, its metadata, and fields that it does not have.
fn metadata() -> Vec<Case> {
    vec![
        case("node selector", Alice, PODS, |count| {
            pod(json!({"nodeSelector": map(count, |n| (format!("k{n}"), "v".into()))}), json!({}))
        }),
        case("affinity", Alice, PODS, |count| {
            let terms = list(count, |n| {
                json!({"topologyKey": format!("k{n}"),
                "labelSelector": {"matchLabels": {"a": "b"}}})
            });
            pod(
                json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}),
                json!({}),
            )
        }).of(1500),
        case("resources", Alice, PODS, |count| {
            let all = map(count, |n| (format!("r.io/r{n}"), "1".into()));
            container(json!({"resources": {"requests": all, "limits": all}}))
        }),
        case("labels", Alice, PODS, |count| {
            pod(json!({}), json!({"labels": map(count, |n| (format!("l{n}"), "v".into()))}))
        }),
        case("annotations", Alice, PODS, |count| {
            pod(
                json!({}),
                json!({"annotations": map(count, |n| {
                    (format!("container.apparmor.security.beta.kubernetes.io/c{n}"), "v".into())
                })}),
            )
        })
        .of(1500),
        case("finalizers", Alice, PODS, |count| {
            pod(json!({}), json!({"finalizers": texts(count, "f.io/f")}))
        }),
        case("owners", Alice, PODS, |count| {
            let owners = list(
                count,
                |n| json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": format!("u{n}")}),
            );
            pod(json!({}), json!({"ownerReferences": owners}))
        }),
        case("unknown fields", Alice, PODS, |count| {
            pod(json!({}), map(count, |n| (format!("x{n}"), n.into())))
        }),
        in_container("unknown fields of items", "env", |n| json!({"name": format!("E{n}"), "x": 1})),
    ]
}

const POLICY: &str = "POST /apis/security.openshift.io/v1/securitycontextconstraints?dryRun=All";

/// A list of an SCC.
fn scc(field: &'static str, item: fn(usize) -> Value) -> Case {
    case(field, Admin, POLICY, move |count| {
        let mut scc = json!({"apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints",
            "metadata": {"name": "s"}, "allowPrivilegedContainer": false, "runAsUser": {"type": "RunAsAny"},
            "seLinuxContext": {"type": "RunAsAny"}, "fsGroup": {"type": "RunAsAny"},
            "supplementalGroups": {"type": "RunAsAny"}});
        merge(&mut scc, json!({field: list(count, item)}));
        scc
    })
    .of(8000)
}

fn role(rules: Value) -> Value {
    json!({"metadata": {"name": "r"}, "rules": rules})
}

/// Objects that decide: SCCs, roles, webhooks and reviews.
fn policies() -> Vec<Case> {
    sccs().into_iter().chain(roles()).chain(webhooks()).chain(reviews()).collect()
}

fn sccs() -> Vec<Case> {
    let names = |n: usize| format!("u{n}").into();
    vec![
        scc("users", names),
        scc("groups", names),
        scc("allowedCapabilities", |n| format!("CAP{n}").into()),
        scc("defaultAddCapabilities", |n| format!("CAP{n}").into()),
        scc("requiredDropCapabilities", |n| format!("CAP{n}").into()),
        scc("volumes", |n| format!("v{n}").into()),
        scc("seccompProfiles", |n| format!("localhost/p{n}").into()),
        scc("allowedUnsafeSysctls", |n| format!("kernel.s{n}").into()),
        scc("forbiddenSysctls", |n| format!("kernel.s{n}").into()),
        scc("allowedFlexVolumes", |n| json!({"driver": format!("d{n}")})),
        case("capabilities in all lists", Admin, POLICY, |count| {
            json!({"metadata": {"name": "s"}, "allowPrivilegedContainer": false, "runAsUser": {"type": "RunAsAny"},
                "seLinuxContext": {"type": "RunAsAny"}, "fsGroup": {"type": "RunAsAny"},
                "supplementalGroups": {"type": "RunAsAny"}, "requiredDropCapabilities": texts(count, "DROP"),
                "defaultAddCapabilities": texts(count, "ADDED"), "allowedCapabilities": texts(count, "MORE")})
        })
        .of(6000),
        case("sysctls in both lists", Admin, POLICY, |count| {
            json!({"metadata": {"name": "s"}, "allowPrivilegedContainer": false, "runAsUser": {"type": "RunAsAny"},
                "seLinuxContext": {"type": "RunAsAny"}, "fsGroup": {"type": "RunAsAny"},
                "supplementalGroups": {"type": "RunAsAny"}, "forbiddenSysctls": texts(count, "kernel.a"),
                "allowedUnsafeSysctls": texts(count, "kernel.b")})
        })
        .of(6000),
        case("ranges", Admin, POLICY, |count| {
            let ranges = list(count, |n| json!({"min": n, "max": n + 10}));
            json!({"metadata": {"name": "s"}, "allowPrivilegedContainer": false,
                "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"},
                "fsGroup": {"type": "MustRunAs", "ranges": ranges},
                "supplementalGroups": {"type": "MustRunAs", "ranges": ranges}})
        })
        .of(2000),
    ]
}

fn roles() -> Vec<Case> {
    const ROLES: &str = "POST /apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles?dryRun=All";
    const BINDINGS: &str = "POST /apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings?dryRun=All";
    vec![
        case("rules", Alice, ROLES, |count| {
            role(list(count, |n| json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"],
                "resourceNames": [format!("p{n}")]})))
        })
        .of(2000),
        case("rules beyond one's own", Alice, ROLES, |count| {
            role(list(count, |n| json!({"verbs": ["get"], "apiGroups": [format!("g{n}")], "resources": ["x"]})))
        })
        .of(2000),
        case("names of a rule", Alice, ROLES, |count| {
            role(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": texts(count, "p")}]))
        }),
        case("verbs of a rule", Alice, ROLES, |count| {
            role(json!([{"verbs": texts(count, "v"), "apiGroups": [""], "resources": ["pods"]}]))
        }),
        case("verbs, groups and resources of a rule", Alice, ROLES, |count| {
            role(json!([{"verbs": texts(count / 3, "v"), "apiGroups": texts(count / 3, "g"), "resources": texts(count / 3, "r")}]))
        })
        .of(120),
        case("subjects", Alice, BINDINGS, |count| {
            let subjects = list(count, |n| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": format!("u{n}")}));
            json!({"metadata": {"name": "b"}, "subjects": subjects,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}})
        }),
        case("selectors of an aggregated role", Admin, "POST /apis/rbac.authorization.k8s.io/v1/clusterroles?dryRun=All", |count| {
            json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors":
                list(count, |n| json!({"matchLabels": {format!("l{n}"): "true"}}))}})
        }),
    ]
}

fn webhooks() -> Vec<Case> {
    const HOOKS: &str =
        "POST /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations?dryRun=All";
    let hooks = |with: fn(usize) -> Value| {
        move |count: usize| {
            let hook = |n: usize| {
                let mut hook = json!({"name": format!("h{n}.example.io"), "sideEffects": "None",
                    "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:9/"}});
                merge(&mut hook, with(n));
                hook
            };
            json!({"metadata": {"name": "h"}, "webhooks": list(count, hook)})
        }
    };
    vec![
        case("webhooks", Admin, HOOKS, hooks(|_| json!({}))).of(1000),
        case("rules of webhooks", Admin, HOOKS, |count| {
            let rules = list(count, |n| json!({"operations": ["CREATE"], "apiGroups": [format!("g{n}")],
                "apiVersions": ["v1"], "resources": ["pods"]}));
            json!({"metadata": {"name": "h"}, "webhooks": [{"name": "h.example.io", "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:9/"}, "rules": rules}]})
        })
        .of(1500),
        case("conditions of webhooks", Admin, HOOKS, hooks(|n| {
            json!({"matchConditions": [{"name": format!("c{n}"), "expression": "object.metadata.name == 'a'"}]})
        }))
        .of(200),
    ]
}

fn reviews() -> Vec<Case> {
    vec![
        case(
            "groups of a review",
            Admin,
            "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
            |count| json!({"spec": {"user": "u", "groups": texts(count, "g"), "resourceAttributes": {"verb": "get", "resource": "pods"}}}),
        ),
        case(
            "audiences of a review",
            Admin,
            "POST /apis/authentication.k8s.io/v1/tokenreviews",
            |count| json!({"spec": {"token": "x", "audiences": texts(count, "a")}}),
        ),
        case(
            "a review of a pod",
            Alice,
            "POST /apis/security.openshift.io/v1/namespaces/shop/podsecuritypolicyselfsubjectreviews",
            |count| {
                let containers = list(
                    count,
                    |n| json!({"name": format!("c{n}"), "image": "a", "securityContext": {"runAsUser": n}}),
                );
                json!({"spec": {"template": {"spec": {"containers": containers}}}})
            },
        )
        .of(400),
        case(
            "members of a group",
            Admin,
            "POST /apis/user.openshift.io/v1/groups?dryRun=All",
            |count| json!({"metadata": {"name": "g"}, "users": texts(count, "u")}),
        )
        .of(8000),
    ]
}

fn template(spec: Value) -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": spec})
}

/// Other kinds.
fn others() -> Vec<Case> {
    let many_env = |count| {
        json!({"containers": [{"name": "a", "image": "a",
        "env": list(count, |n| json!({"name": format!("E{n}"), "value": "v"}))}]})
    };
    vec![
        case("data", Alice, "POST /api/v1/namespaces/shop/configmaps?dryRun=All", |count| {
            json!({"metadata": {"name": "c"}, "data": map(count, |n| (format!("k{n}"), "v".into()))})
        })
        .of(8000),
        case("secret data", Alice, "POST /api/v1/namespaces/shop/secrets?dryRun=All", |count| {
            json!({"metadata": {"name": "c"}, "stringData": map(count, |n| (format!("k{n}"), "v".into()))})
        }),
        case("ports of a service", Alice, "POST /api/v1/namespaces/shop/services?dryRun=All", |count| {
            json!({"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"},
                "ports": list(count, |n| json!({"name": format!("p{n}"), "port": n + 1}))}})
        })
        .of(2000),
        case("ports of nodes", Alice, "POST /api/v1/namespaces/shop/services?dryRun=All", |count| {
            json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "selector": {"a": "b"},
                "ports": list(count, |n| json!({"name": format!("p{n}"), "port": n + 1}))}})
        })
        .of(1300),
        case("a template", Alice, "POST /apis/apps/v1/namespaces/shop/deployments?dryRun=All", move |count| {
            json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template(many_env(count))}})
        }),
        case("claims of a set", Alice, "POST /apis/apps/v1/namespaces/shop/statefulsets?dryRun=All", |count| {
            let claims = list(count, |n| json!({"metadata": {"name": format!("c{n}")},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}));
            json!({"metadata": {"name": "s"}, "spec": {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}},
                "volumeClaimTemplates": claims, "template": template(json!({"containers": [{"name": "a", "image": "a"}]}))}})
        })
        .of(1000),
        case("rules of a network policy", Alice, "POST /apis/networking.k8s.io/v1/namespaces/shop/networkpolicies?dryRun=All", |count| {
            json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress":
                list(count, |n| json!({"ports": [{"port": n % 60000 + 1}], "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}))}})
        })
        .of(2000),
        case("paths of an ingress", Alice, "POST /apis/networking.k8s.io/v1/namespaces/shop/ingresses?dryRun=All", |count| {
            json!({"metadata": {"name": "i"}, "spec": {"rules": list(count, |n| json!({"host": format!("h{n}.io"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}))}})
        })
        .of(1000),
        case("options of a deletion", Alice, "DELETE /api/v1/namespaces/shop/configmaps/none", |count| {
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": list(count, |_| "All".into())})
        }),
        case("a project", Alice, "POST /apis/project.openshift.io/v1/projectrequests?dryRun=All", |count| {
            json!({"metadata": {"name": "other", "annotations": map(count, |n| (format!("a{n}"), "v".into()))}})
        }),
    ]
}

/// Makes an object of a size.
type Make = Box<dyn Fn(usize) -> Value>;

const MAPS: &str = "POST /api/v1/namespaces/shop/configmaps?dryRun=All";

fn data(count: usize) -> Value {
    let data = map(count, |n| (format!("k{n}"), "v".into()));
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn with_containers(count: usize) -> Value {
    pod(json!({"containers": list(count, |n| json!({"name": format!("c{n}"), "image": "a"}))}), json!({}))
}

fn labelled(count: usize) -> Value {
    pod(json!({}), json!({"labels": map(count, |n| (format!("l{n}"), "v".into()))}))
}

/// The forms in which bodies come and answers go, and what selects objects.
fn forms() -> Vec<Case> {
    let environment = |count| container(json!({"env": env(count, "v")}));
    let yaml = |what, line, text: fn(usize) -> String| {
        case(what, Alice, line, move |count| text(count).into()).kind(YAML)
    };
    let mut cases = vec![
        case("YAML of a map", Alice, MAPS, data).kind(YAML),
        case("YAML of lists", Alice, PODS, environment).kind(YAML),
        yaml("YAML in flow style", MAPS, |count| {
            let data: Vec<String> = (0..count).map(|n| format!("k{n}: 'v'")).collect();
            format!("{{metadata: {{name: c}}, data: {{{}}}}}", data.join(", "))
        }),
        yaml("YAML of many lines in one text", MAPS, |count| {
            format!("metadata: {{name: c}}\ndata:\n  k: |\n{}", "    a line: {of [it\n".repeat(count * 8))
        }),
        yaml("YAML of a folded text", MAPS, |count| {
            format!("metadata: {{name: c}}\ndata:\n  k: \"{}\"\n", "word\n    \\t".repeat(count * 8))
        }),
        yaml("YAML with comments", MAPS, |count| {
            format!("metadata: {{name: c}}\n{}data: {{k: v}}\n", "# nothing: [\n".repeat(count * 8))
        }),
        yaml("YAML with anchors and aliases", MAPS, |count| {
            let data: Vec<String> = (0..count).map(|n| format!("  k{n}: &a{n} v\n  l{n}: *a{n}\n")).collect();
            format!("metadata: {{name: c}}\ndata:\n{}", data.concat())
        })
        .of(1000),
        yaml("YAML with one key many times", MAPS, |count| {
            format!("metadata: {{name: c}}\ndata:\n{}", "  k: v\n".repeat(count))
        }),
        case("protobuf of a map", Alice, MAPS, data).kind(PROTOBUF),
        case("protobuf of lists", Alice, PODS, environment).kind(PROTOBUF),
        case("protobuf of containers", Alice, PODS, with_containers).kind(PROTOBUF).of(400),
        case("protobuf of labels", Alice, PODS, labelled).kind(PROTOBUF),
        query(
            "requirements of a label selector",
            "GET /api/v1/namespaces/shop/pods?labelSelector=",
            |count| (0..count).map(|n| format!("!l{n}")).collect::<Vec<_>>().join(","),
        ),
        query("values of a label selector", "GET /api/v1/namespaces/shop/pods?labelSelector=", |count| {
            let values: Vec<String> = (0..count).map(|n| format!("v{n}")).collect();
            format!("l%20notin%20({})", values.join(","))
        }),
        query("conditions of a field selector", "GET /api/v1/namespaces/shop/pods?fieldSelector=", |count| {
            (0..count).map(|n| format!("metadata.name!=p{n}")).collect::<Vec<_>>().join(",")
        })
        .of(1000),
        query("parameters that there are not", "GET /api/v1/namespaces/shop/pods?", |count| {
            (0..count).map(|n| format!("p{n}=v")).collect::<Vec<_>>().join("&")
        }),
    ];
    cases.extend(tables());
    cases
}

/// Answers as tables.
fn tables() -> Vec<Case> {
    let tables: [(&'static str, &'static str, Make); 7] = [
        ("a table of a pod with many containers", PODS, Box::new(with_containers)),
        ("a table of a pod with many labels", PODS, Box::new(labelled)),
        ("a table of a map", MAPS, Box::new(data)),
        (
            "a table of a service",
            "POST /api/v1/namespaces/shop/services?dryRun=All",
            Box::new(|count| {
                json!({"metadata": {"name": "s"}, "spec": {"selector": map(count, |n| (format!("k{n}"), "v".into())),
                "ports": list(count, |n| json!({"name": format!("p{n}"), "port": n + 1}))}})
            }),
        ),
        (
            "a table of a deployment",
            "POST /apis/apps/v1/namespaces/shop/deployments?dryRun=All",
            Box::new(|count| {
                let labels = map(count, |n| (format!("l{n}"), "v".into()));
                let containers = list(count / 4, |n| json!({"name": format!("c{n}"), "image": "a"}));
                json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}}})
            }),
        ),
        (
            "a table of an ingress",
            "POST /apis/networking.k8s.io/v1/namespaces/shop/ingresses?dryRun=All",
            Box::new(|count| {
                json!({"metadata": {"name": "i"}, "spec": {"rules": list(count, |n| json!({"host": format!("h{n}.io"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}))}})
            }),
        ),
        (
            "a table of a binding",
            "POST /apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings?dryRun=All",
            Box::new(|count| {
                let subjects = list(
                    count,
                    |n| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": format!("u{n}")}),
                );
                json!({"metadata": {"name": "b"}, "subjects": subjects,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}})
            }),
        ),
    ];
    let cases = tables.into_iter().map(|(what, line, body)| {
        let parts = if what.contains("containers") { 400 } else { 1000 };
        case(what, Alice, line, body).table().of(parts)
    });
    cases.collect()
}

/// Requests that are logged with their bodies.
fn logged() -> Vec<Case> {
    vec![
        case(
            "an audited map",
            Alice,
            "POST /api/v1/namespaces/shop/configmaps?dryRun=All",
            |count| json!({"metadata": {"name": "c"}, "data": map(count, |n| (format!("k{n}"), "v".into()))}),
        )
        .of(8000),
        case("an audited pod", Alice, PODS, |count| container(json!({"env": env(count, "v")}))),
        case("an audited pod in YAML", Alice, PODS, |count| container(json!({"env": env(count, "v")})))
            .kind(YAML),
        case("audited fields that there are not", Alice, PODS, |count| {
            pod(json!({}), map(count, |n| (format!("x{n}"), n.into())))
        }),
        case("audited managed fields", Alice, PODS, |count| {
            let fields = map(count, |n| (format!("f:k{n}"), json!({})));
            pod(
                json!({}),
                json!({"managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": fields}}}]}),
            )
        })
        .of(1000),
        query("segments of a path", "GET /api/v1/namespaces/shop/pods/a", |count| "/b".repeat(count)),
        query("an audited path", "GET /api/v1/namespaces/shop/pods?x=", |count| "y".repeat(count * 8)),
    ]
}

/// Changes of an object with as many parts as the change has.
struct Change {
    what: &'static str,
    kind: &'static str,
    /// The field manager, if it is an apply.
    manager: &'static str,
    body: fn(usize) -> Value,
}

fn env(count: usize, value: &str) -> Value {
    list(count, |n| json!({"name": format!("E{n}"), "value": value}))
}

/// A kind with a template that no controller works on.
fn whole(count: usize, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PodTemplate",
        "metadata": {"name": format!("d{count}"), "finalizers": texts(count, "f.io/f"),
            "annotations": map(count / 4, |n| (format!("a{n}"), value.into()))},
        "template": template(json!({"containers": [{"name": "a", "image": "a", "env": env(count, value)}]}))})
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn of_container(with: Value) -> Value {
    let mut first = json!({"name": "a"});
    merge(&mut first, with);
    json!({"template": {"spec": {"containers": [first]}}})
}

fn changes() -> Vec<Change> {
    let change = |what, kind, body| Change { what, kind, manager: "", body };
    const ENV: &str = "/template/spec/containers/0/env";
    vec![
        change("an update", "", |count| whole(count, "new")),
        change("a merge patch", MERGE, |count| whole(count, "newer")),
        change(
            "a merge patch that removes",
            MERGE,
            |count| json!({"metadata": {"annotations": map(count / 4, |n| (format!("a{n}"), Value::Null))}}),
        ),
        change("a strategic patch", STRATEGIC, |count| of_container(json!({"env": env(count, "strategic")}))),
        change("a strategic patch that removes", STRATEGIC, |count| {
            of_container(
                json!({"env": list(count / 2, |n| json!({"$patch": "delete", "name": format!("E{n}")}))}),
            )
        }),
        change("a strategic patch that orders", STRATEGIC, |count| {
            of_container(
                json!({"$setElementOrder/env": list(count, |n| json!({"name": format!("E{}", count - n)}))}),
            )
        }),
        change("a strategic patch of texts", STRATEGIC, |count| {
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": texts(count / 2, "f.io/f"),
                "finalizers": texts(count, "f.io/g")}})
        }),
        change("a strategic patch with a directive for each text", STRATEGIC, |count| {
            let directive = |n| (format!("$deleteFromPrimitiveList/{n}/finalizers"), json!([]));
            json!({"metadata": map(4 * count, directive)})
        }),
        change("a JSON patch that replaces", JSON_PATCH, |count| {
            list(
                count.min(9000),
                |n| json!({"op": "replace", "path": format!("{ENV}/{}", n / 4), "value": {"name": format!("F{n}"), "value": "w"}}),
            )
        }),
        change("a JSON patch that adds", JSON_PATCH, |count| {
            list(
                count.min(9000),
                |n| json!({"op": "add", "path": format!("/metadata/labels/l{n}"), "value": "v"}),
            )
        }),
        Change { what: "an apply", kind: APPLY, manager: "one", body: |count| whole(count, "applied") },
        Change {
            what: "an apply of somebody else",
            kind: APPLY,
            manager: "other",
            body: |count| whole(count, "forced"),
        },
        Change {
            what: "an apply that leaves all out",
            kind: APPLY,
            manager: "other",
            body: |count| {
                let mut none = whole(0, "forced");
                none["metadata"]["name"] = format!("d{count}").into();
                none
            },
        },
    ]
}

/// The server's processor time for a request and its consequences.
async fn cost(
    world: &World,
    identity: Who,
    line: &str,
    kinds: [&str; 2],
    body: &[u8],
) -> (u16, Duration, String) {
    let before = settled(world).await;
    let headers = [("content-type", kinds[0]), ("accept", kinds[1])];
    let reply = world.send_as(identity, line, &headers, body).await;
    (reply.code, settled(world).await.saturating_sub(before), reply.text().chars().take(300).collect())
}

/// The server's time once it has nothing to do.
pub(super) async fn settled(world: &World) -> Duration {
    let mut last = world.processors();
    loop {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let now = world.processors();
        if now == last {
            return now;
        }
        last = now;
    }
}

/// A clock of the kernel counts in hundredths, for the system and for the program.
const GRAIN: Duration = Duration::from_millis(20);
/// Time from which a grain hides no growth, and the repetitions that are made at most to reach it.
const LONG: (Duration, u32) = (Duration::from_millis(60), 8);

/// A ratio above this for twice the input grows faster than n log n.
fn is_worse(once: Duration, twice: Duration) -> bool {
    twice > once * 3 + GRAIN
}

/// Compares one and two times of something, each as often as it takes to see a difference.
async fn compare(what: &str, mut cost: impl AsyncFnMut(bool) -> Duration, wrong: &mut Vec<String>) {
    let first = cost(false).await.max(GRAIN / 4);
    let times = LONG.0.div_duration_f64(first).ceil() as u32;
    let times = times.clamp(1, LONG.1);
    let mut sum = async |is_twice: bool| {
        let mut sum = Duration::ZERO;
        for _ in 0..times {
            sum += cost(is_twice).await;
        }
        sum
    };
    let (mut once, mut twice) = (sum(false).await, sum(true).await);
    // Concurrent work can only increase it.
    for _ in 0..2 {
        if is_worse(once, twice) {
            (once, twice) = (once.min(sum(false).await), twice.min(sum(true).await));
        }
    }
    println!("{what}, {times} times: {once:?}, {twice:?}");
    if is_worse(once, twice) {
        wrong.push(format!("{what}: {once:?}, and for twice as much {twice:?}"));
    }
}

#[test]
fn growth_is_told_from_noise() {
    let millis = Duration::from_millis;
    for (once, twice, wanted) in
        [(60, 120, false), (60, 135, false), (60, 240, true), (70, 280, true), (0, 20, false), (5, 80, true)]
    {
        assert_eq!(is_worse(millis(once), millis(twice)), wanted, "{once} and {twice}");
    }
}

fn check(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn compare_all(cases: Vec<Case>) {
    compare_in(&World::apart().await, cases).await;
}

async fn compare_in(world: &World, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let mut seen = Vec::new();
        let mut run = async |is_twice: bool| {
            let count = case.parts << usize::from(is_twice);
            let (body, line) = (case.bytes(count), format!("{}{}", case.line, (case.query)(count)));
            let (code, cost, text) = cost(world, case.identity, &line, [case.kind, case.accept], &body).await;
            seen.push((code, body.len(), text));
            cost
        };
        compare(case.what, &mut run, &mut wrong).await;
        // A refusal for its content has read all of it; one for its size has not.
        let other = seen.iter().find(|(code, ..)| !matches!(code, 200..=299 | 400 | 403 | 404 | 422));
        wrong.extend(other.map(|other| format!("{}: {other:?}", case.what)));
    }
    check(&wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_take_no_more_than_they_hold() {
    compare_all(pods()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_take_no_more_than_they_hold() {
    compare_all(policies()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_kinds_take_no_more_than_they_hold() {
    compare_all(others()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_take_no_more_than_they_hold() {
    let world = World::apart().await;
    let path = "/api/v1/namespaces/shop/podtemplates";
    let counts = [1000, 2000];
    let mut wrong = Vec::new();
    for change in changes() {
        let mut codes = Vec::new();
        let mut run = async |is_twice: bool| {
            let count = counts[usize::from(is_twice)];
            // Each change starts from the initial object.
            world
                .send(Admin, &format!("PATCH {path}/d{count}"), &json!({"metadata": {"finalizers": null}}))
                .await;
            world.send(Admin, &format!("DELETE {path}/d{count}"), &Value::Null).await;
            let mut made = whole(count, "old");
            merge(&mut made["metadata"], json!({"labels": Map::new()}));
            made["metadata"]["labels"] = json!({"first": "v"});
            world.must(Admin, &format!("POST {path}"), made).await;
            let (method, kind) = if change.kind.is_empty() { ("PUT", JSON) } else { ("PATCH", change.kind) };
            let query = match change.manager {
                "" => String::new(),
                manager => format!("?force=true&fieldManager={manager}"),
            };
            let line = format!("{method} {path}/d{count}{query}");
            let body = (change.body)(count).to_string();
            let (code, cost, text) = cost(&world, Admin, &line, [kind, JSON], body.as_bytes()).await;
            codes.push((code, text));
            cost
        };
        compare(change.what, &mut run, &mut wrong).await;
        let other = codes.iter().find(|(code, _)| *code != 200);
        wrong.extend(other.map(|other| format!("{}: {other:?}", change.what)));
    }
    check(&wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_selectors_take_no_more_than_they_hold() {
    compare_all(forms()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_whole_takes_no_more_than_it_holds() {
    let rules: Vec<Value> = (0..300).map(|n| json!({"level": "None", "users": [format!("u{n}")]})).collect();
    let rules = [rules, vec![json!({"level": "RequestResponse"})]].concat();
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules});
    compare_in(&World::apart_with(&policy.to_string()).await, logged()).await;
}
