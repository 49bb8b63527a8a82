//! Custom resources: definitions, their names, schemas, rules, subresources, versions, and their end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::time::Duration;

use http::Request;
use kube::{Client, Error};
use palisade_apiserver::Config;
use serde_json::{Value, json};

struct World(Client);

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRONTABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

impl World {
    async fn start() -> Self {
        Self(start::start(Config::default()).await)
    }

    async fn text(&self, method: &str, path: &str, kind: &str, body: Value) -> Result<String, Error> {
        let accept = if kind.contains("as=") { kind } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("accept", accept);
        let request =
            request.header("content-type", if kind.contains("as=") { "application/json" } else { kind });
        self.0.request_text(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: Value) -> Result<Value, Error> {
        self.text(method, path, kind, body).await.map(|text| serde_json::from_str(&text).unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, "application/json", body).await.unwrap()
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        self.send("PUT", path, "application/json", body).await.unwrap()
    }

    async fn merge(&self, path: &str, body: Value) -> Value {
        self.send("PATCH", path, "application/merge-patch+json", body).await.unwrap()
    }

    async fn apply(&self, path: &str, manager: &str, body: Value) -> Result<Value, Error> {
        let path = format!("{path}?fieldManager={manager}");
        self.send("PATCH", &path, "application/apply-patch+yaml", body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, "application/json", json!({})).await.unwrap()
    }

    /// The message of a refusal, and its code.
    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        match self.send(method, path, kind, body).await.unwrap_err() {
            Error::Api(status) => (status.code, status.message),
            error => panic!("{error}"),
        }
    }

    async fn until_gone(&self, path: &str) {
        for _ in 0..300 {
            if self.send("GET", path, "application/json", json!({})).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} is still there");
    }
}

fn schema() -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["cronSpec"],
            "x-kubernetes-validations": [
                {"rule": "self.replicas <= self.most", "message": "replicas must not be more than most"},
                {"rule": "!has(oldSelf.image) || self.image == oldSelf.image", "message": "image is immutable", "fieldPath": ".image"}],
            "properties": {
                "cronSpec": {"type": "string", "description": "When it runs.", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
                "image": {"type": "string", "maxLength": 20},
                "replicas": {"type": "integer", "minimum": 0, "maximum": 10, "default": 1},
                "most": {"type": "integer", "default": 10},
                "mode": {"type": "string", "enum": ["Fast", "Slow"]},
                "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "note": {"type": "string", "nullable": true, "default": "none"},
                "ratio": {"type": "number"},
                "since": {"type": "string", "format": "date-time"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "hosts": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "steps": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"}, "run": {"type": "string", "default": "true"}, "shell": {"type": "string"}}}},
            }},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "selector": {"type": "string"}}}}})
}

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema()},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                "selectableFields": [{"jsonPath": ".spec.mode"}],
                "additionalPrinterColumns": [
                    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}]}})
}

fn crontab(name: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5"}});
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_serves_a_resource_at_once() {
    let world = World::start().await;
    let made = world.post(DEFINITIONS, definition()).await;
    let kinds: Vec<&str> = made["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["NamesAccepted", "Established"]);
    assert_eq!(made["status"]["acceptedNames"]["singular"], "crontab");
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));

    let made = world
        .post(
            CRONTABS,
            crontab(
                "a",
                json!({"unknown": 1, "free": {"x": [1]}, "labels": {"k": "v"}, "port": "http",
            "note": null, "image": null, "mode": "Fast", "steps": [{"name": "one", "other": true}],
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"a": 1}}}),
            ),
        )
        .await;
    assert_eq!(
        made["spec"],
        json!({"cronSpec": "* * * * */5", "free": {"x": [1]}, "labels": {"k": "v"}, "port": "http", "note": null,
            "mode": "Fast", "steps": [{"name": "one", "run": "true"}],
            "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"a": 1}},
            "replicas": 1, "most": 10})
    );
    assert_eq!(made["metadata"]["generation"], 1);
    // In strict mode, an unspecified field is an error.
    let strict = format!("{CRONTABS}?fieldValidation=Strict");
    let (code, why) = world.refused("POST", &strict, crontab("b", json!({"unknown": 1}))).await;
    assert!(code == 400 && why.contains("unknown field \"spec.unknown\""), "{why}");

    // Discovery, in both forms, and the table.
    let group = world.get("/apis/stable.example.com").await;
    assert_eq!(group["preferredVersion"]["groupVersion"], "stable.example.com/v1");
    let list = world.get("/apis/stable.example.com/v1").await;
    let names: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["crontabs", "crontabs/status", "crontabs/scale"]);
    assert_eq!(list["resources"][0]["shortNames"], json!(["ct"]));
    let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let all = world.send("GET", "/apis", kind, json!({})).await.unwrap();
    let own = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|g| g["metadata"]["name"] == "stable.example.com")
        .unwrap();
    assert_eq!(own["versions"][0]["resources"][0]["responseKind"]["kind"], "CronTab");
    let table =
        world.send("GET", CRONTABS, "application/json;as=Table;v=v1;g=meta.k8s.io", json!({})).await.unwrap();
    let heads: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(heads, ["Name", "Spec", "Replicas", "Age"]);
    assert_eq!(
        table["rows"][0]["cells"].as_array().unwrap()[..3],
        [json!("a"), json!("* * * * */5"), json!(1)]
    );
    let list = world.get(CRONTABS).await;
    assert_eq!((list["kind"].as_str(), list["items"].as_array().unwrap().len()), (Some("CronTabList"), 1));

    // OpenAPI, as kubectl explain reads it.
    let index = world.get("/openapi/v3").await;
    let url = index["paths"]["apis/stable.example.com/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = world.get(url).await;
    let kind = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(kind["properties"]["spec"]["properties"]["cronSpec"]["description"], "When it runs.");
    assert_eq!(kind["x-kubernetes-group-version-kind"][0]["kind"], "CronTab");
    let two = world.get("/openapi/v2").await;
    assert!(two["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"].is_object());
    assert!(two["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}"].is_object());

    // A field that can be selected, and one that cannot.
    let fast = world.get(&format!("{CRONTABS}?fieldSelector=spec.mode%3DFast")).await;
    assert_eq!(fast["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        world.refused("GET", &format!("{CRONTABS}?fieldSelector=spec.port%3D1"), json!({})).await.0,
        400
    );
    assert_eq!(world.refused("GET", "/apis/stable.example.com/v2/crontabs", json!({})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_as_their_schema_says() {
    let world = World::start().await;
    world.post(DEFINITIONS, definition()).await;
    let cases = [
        (json!({"cronSpec": 1}), "spec.cronSpec in body must be of type string: \"integer\""),
        (json!({"cronSpec": "often"}), "spec.cronSpec in body should match '"),
        (json!({"cronSpec": null}), "spec.cronSpec: Required value"),
        (json!({"replicas": 11}), "spec.replicas in body should be less than or equal to 10"),
        (json!({"replicas": 1.5}), "spec.replicas in body must be of type integer: \"number\""),
        (json!({"image": "i".repeat(21)}), "spec.image: Too long: may not be more than 20 bytes"),
        (
            json!({"mode": "Medium"}),
            "spec.mode: Unsupported value: \"Medium\": supported values: \"Fast\", \"Slow\"",
        ),
        (json!({"port": true}), "spec.port in body must be of type integer,string: \"boolean\""),
        (json!({"labels": {"a": 1}}), "spec.labels[a] in body must be of type string"),
        (json!({"hosts": ["a", "b", "a"]}), "spec.hosts[2]: Duplicate value: \"a\""),
        (
            json!({"steps": [{"name": "a"}, {"name": "a"}]}),
            "spec.steps[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (json!({"steps": [{"run": "a"}]}), "spec.steps[0].name: Required value"),
        (
            json!({"steps": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}),
            "spec.steps: Too many: 4: must have at most 3 items",
        ),
        (json!({"since": "yesterday"}), "spec.since in body must be of type date-time: \"yesterday\""),
        (json!({"template": {"spec": {}}}), "spec.template.apiVersion: Required value: must not be empty"),
        (json!({"most": 0}), "spec: Invalid value: \"object\": replicas must not be more than most"),
    ];
    for (spec, wanted) in cases {
        let (code, why) = world.refused("POST", CRONTABS, crontab("x", spec.clone())).await;
        assert!(code == 422 && why.contains(wanted), "{spec}: {why}");
    }
    world.post(CRONTABS, crontab("a", json!({"image": "one"}))).await;
    let one = format!("{CRONTABS}/a");
    let (code, why) = world.refused("PATCH", &one, json!({"spec": {"image": "two"}})).await;
    assert!(
        code == 422 && why.contains("spec.image: Invalid value: \"object\": image is immutable"),
        "{why}"
    );
    // A strategic merge patch is not supported for custom resources.
    let patch = json!({"spec": {"replicas": 2}});
    let strategic = world.send("PATCH", &one, "application/strategic-merge-patch+json", patch).await;
    assert!(matches!(strategic.unwrap_err(), Error::Api(status) if status.code == 415));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_scale_and_apply() {
    let world = World::start().await;
    world.post(DEFINITIONS, definition()).await;
    let mut object = crontab("a", json!({}));
    object["status"] = json!({"replicas": 7});
    let made = world.post(CRONTABS, object).await;
    assert!(made.get("status").is_none(), "{made}");
    let one = format!("{CRONTABS}/a");
    let told = world
        .merge(
            &format!("{one}/status"),
            json!({"spec": {"replicas": 9}, "status": {"replicas": 1, "selector": "a=b"}}),
        )
        .await;
    assert_eq!((&told["status"]["replicas"], &told["spec"]["replicas"]), (&json!(1), &json!(1)));
    assert_eq!(told["metadata"]["generation"], 1);
    let mut scale = world.get(&format!("{one}/scale")).await;
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "a=b"}));
    scale["spec"]["replicas"] = 4.into();
    world.put(&format!("{one}/scale"), scale).await;
    let now = world.get(&one).await;
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(4), &json!(2)));
    let (code, _) = world.refused("PATCH", &format!("{one}/scale"), json!({"spec": {"replicas": 40}})).await;
    assert_eq!(code, 422);

    // Elements of a list that is a map are each its owner's.
    let steps = |steps: Value| crontab("b", json!({ "steps": steps }));
    let other = format!("{CRONTABS}/b");
    world.apply(&other, "anne", steps(json!([{"name": "one", "shell": "sh"}]))).await.unwrap();
    let both = world.apply(&other, "bert", steps(json!([{"name": "two", "run": "x"}]))).await.unwrap();
    assert_eq!(
        both["spec"]["steps"],
        json!([{"name": "one", "shell": "sh", "run": "true"}, {"name": "two", "run": "x"}])
    );
    let clash =
        world.apply(&other, "bert", steps(json!([{"name": "one", "shell": "bash"}]))).await.unwrap_err();
    assert!(matches!(clash, Error::Api(status) if status.code == 409 && status.message.contains("\"anne\"")));
    let left = world.apply(&other, "anne", steps(json!([]))).await.unwrap();
    assert_eq!(left["spec"]["steps"], json!([{"name": "two", "run": "x"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_names_and_the_end() {
    let world = World::start().await;
    let mut two = definition();
    let mut old = two["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    old["deprecated"] = true.into();
    two["spec"]["versions"].as_array_mut().unwrap().push(old);
    world.post(DEFINITIONS, two).await;
    let beta = CRONTABS.replace("/v1/", "/v1beta1/");
    let mut object = crontab("a", json!({}));
    object["apiVersion"] = "stable.example.com/v1beta1".into();
    world.post(&beta, object).await;
    assert_eq!(world.get(&format!("{CRONTABS}/a")).await["apiVersion"], "stable.example.com/v1");
    assert_eq!(world.get(&format!("{beta}/a")).await["apiVersion"], "stable.example.com/v1beta1");
    let group = world.get("/apis/stable.example.com").await;
    assert_eq!(group["versions"].as_array().unwrap().len(), 2);

    // Names are unique; a second definition gets its names when the first is deleted.
    let mut rival = definition();
    rival["metadata"]["name"] = "cronjobs2.stable.example.com".into();
    rival["spec"]["names"] = json!({"plural": "cronjobs2", "kind": "CronTab"});
    let rival = world.post(DEFINITIONS, rival).await;
    assert_eq!(rival["status"]["conditions"][0]["status"], "False");
    let rivals = "/apis/stable.example.com/v1/namespaces/default/cronjobs2";
    assert_eq!(world.refused("GET", rivals, json!({})).await.0, 404);

    // An object with a finalizer holds its definition, which takes no new ones.
    world.merge(&format!("{CRONTABS}/a"), json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    let first = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let ending = world.send("DELETE", &first, "application/json", json!({})).await.unwrap();
    assert!(ending["metadata"].get("deletionTimestamp").is_some(), "{ending}");
    assert_eq!(world.refused("POST", CRONTABS, crontab("late", json!({}))).await.0, 405);
    world.merge(&format!("{CRONTABS}/a"), json!({"metadata": {"finalizers": null}})).await;
    world.until_gone(&first).await;
    assert_eq!(world.refused("GET", CRONTABS, json!({})).await.0, 404);
    for attempt in 0.. {
        if world.send("GET", rivals, "application/json", json!({})).await.is_ok() {
            break;
        }
        assert!(attempt < 300, "the second definition never had its turn");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A definition that comes back finds no old objects.
    world
        .send("DELETE", &format!("{DEFINITIONS}/cronjobs2.stable.example.com"), "application/json", json!({}))
        .await
        .unwrap();
    world.until_gone(&format!("{DEFINITIONS}/cronjobs2.stable.example.com")).await;
    world.post(DEFINITIONS, definition()).await;
    assert_eq!(world.get(CRONTABS).await["items"], json!([]));
    // Deleting a namespace deletes its custom objects, deleting an owner its dependents.
    world.post("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
    let shop = CRONTABS.replace("default", "shop");
    world.post(&shop, crontab("a", json!({}))).await;
    let owner =
        world.post("/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "owner"}})).await;
    let mut owned = crontab("owned", json!({}));
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    world.post(CRONTABS, owned).await;
    world.send("DELETE", "/api/v1/namespaces/shop", "application/json", json!({})).await.unwrap();
    world
        .send("DELETE", "/api/v1/namespaces/default/configmaps/owner", "application/json", json!({}))
        .await
        .unwrap();
    world.until_gone("/api/v1/namespaces/shop").await;
    world.until_gone(&format!("{CRONTABS}/owned")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_cannot_be_are_refused() {
    let world = World::start().await;
    type Change = fn(&mut Value);
    let deep = |object: &mut Value| {
        let mut schema = json!({"type": "string"});
        for _ in 0..70 {
            schema = json!({"type": "array", "items": schema});
        }
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["deep"] =
            schema;
    };
    fn property(object: &mut Value, schema: Value) {
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] =
            schema;
    }
    let cases: [(Change, &str); 22] = [
        (|o| o["metadata"]["name"] = "other.stable.example.com".into(), "must be spec.names.plural"),
        (|o| o["spec"]["scope"] = "Everywhere".into(), "spec.scope: Unsupported value"),
        (
            |o| o["spec"]["versions"][0]["storage"] = false.into(),
            "exactly one version marked as storage version",
        ),
        (|o| o["spec"]["versions"][0]["schema"] = Value::Null, "schemas are required"),
        (
            |o| o["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = "array".into(),
            "must be object at the root",
        ),
        (|o| property(o, json!({})), "type: Required value: must not be empty for specified object fields"),
        (|o| property(o, json!({"type": "text"})), "Unsupported value: \"text\""),
        (|o| property(o, json!({"type": "array"})), "items: Required value"),
        (|o| property(o, json!({"$ref": "#/definitions/x"})), "$ref: Forbidden"),
        (
            |o| property(o, json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}})),
            "quadratic",
        ),
        (|o| property(o, json!({"type": "string", "pattern": "("})), "must be a valid regular expression"),
        (
            |o| property(o, json!({"type": "string", "pattern": "(a{1000}){1000}"})),
            "must be a valid regular expression",
        ),
        (|o| property(o, json!({"type": "integer", "default": "one"})), "must be of type integer"),
        (
            |o| property(o, json!({"type": "object", "default": {"a": 1}})),
            "must not have fields that are not specified",
        ),
        (
            |o| property(o, json!({"type": "string", "x-kubernetes-validations": [{"rule": "self =="}]})),
            "compilation failed",
        ),
        (
            |o| property(o, json!({"type": "string", "x-kubernetes-validations": [{"rule": "other == 1"}]})),
            "undeclared reference",
        ),
        (
            |o| property(o, json!({"type": "string", "anyOf": [{"type": "string"}]})),
            "must be undefined to be structural",
        ),
        (
            |o| {
                property(
                    o,
                    json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}),
                )
            },
            "mutual exclusive",
        ),
        (
            |o| {
                property(
                    o,
                    json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
                )
            },
            "x-kubernetes-list-map-keys must not be empty",
        ),
        (
            |o| o["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = "spec".into(),
            "must begin with a dot",
        ),
        (
            |o| o["spec"]["versions"][0]["selectableFields"][0]["jsonPath"] = ".spec.none".into(),
            "must point to a field",
        ),
        (deep, "nested 64 deep"),
    ];
    for (change, wanted) in cases {
        let mut object = definition();
        change(&mut object);
        let (code, why) = world.refused("POST", DEFINITIONS, object).await;
        assert!(code == 422 && why.contains(wanted), "{wanted}: {code} {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_in_the_place_of_others_are_refused() {
    let world = World::start().await;
    let named = |group: &str, plural: &str, kind: &str| {
        let mut object = definition();
        object["metadata"]["name"] = format!("{plural}.{group}").into();
        object["spec"]["group"] = group.into();
        object["spec"]["names"] = json!({"plural": plural, "kind": kind});
        object
    };
    for (group, plural, kind, wanted) in [
        ("single", "things", "Thing", "should be a domain with at least one dot"),
        (
            "security.openshift.io",
            "securitycontextconstraints",
            "SecurityContextConstraints",
            "served by this server itself",
        ),
        ("rbac.authorization.k8s.io", "things", "ClusterRole", "served by this server itself"),
        ("things.k8s.io", "things", "Thing", "protected groups must have approval annotation"),
    ] {
        let (code, why) = world.refused("POST", DEFINITIONS, named(group, plural, kind)).await;
        assert!(code == 422 && why.contains(wanted), "{group}: {why}");
    }
    let mut approved = named("things.k8s.io", "things", "Thing");
    approved["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a test"});
    world.post(DEFINITIONS, approved).await;
    // The scope of a definition cannot be changed.
    world.post(DEFINITIONS, definition()).await;
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let (code, why) = world.refused("PATCH", &path, json!({"spec": {"scope": "Cluster"}})).await;
    assert!(code == 422 && why.contains("field is immutable"), "{why}");
}
