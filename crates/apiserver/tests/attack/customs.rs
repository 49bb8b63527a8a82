//! Custom resources: schemas and rules that cost more than they seem to, names of others, and memory that definitions
//! would leave behind.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::world::Who::{Admin, Mallory};
use super::world::{RBAC, Reply, World};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn definition(plural: &str, spec: &Value) -> Value {
    let kind = format!("Evil{plural}");
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.evil.example.com")},
        "spec": {"group": "evil.example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "properties": {"spec": spec}}}}]}})
}

/// Defines a resource whose objects mallory may write; gives a path of theirs.
async fn defined(world: &World, plural: &str, spec: Value) -> String {
    world.must(Admin, &format!("POST {DEFINITIONS}"), definition(plural, &spec)).await;
    let name = format!("writes-{plural}");
    let rules = json!([{"verbs": ["*"], "apiGroups": ["evil.example.com"], "resources": [plural]}]);
    world
        .must(
            Admin,
            &format!("POST {RBAC}/namespaces/lair/roles"),
            json!({"metadata": {"name": name}, "rules": rules}),
        )
        .await;
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]});
    world.must(Admin, &format!("POST {RBAC}/namespaces/lair/rolebindings"), binding).await;
    format!("/apis/evil.example.com/v1/namespaces/lair/{plural}")
}

async fn sent(world: &World, path: &str, spec: Value) -> Reply {
    world.send(Mallory, &format!("POST {path}"), &json!({"metadata": {"name": "x"}, "spec": spec})).await
}

/// The right to write a status is none to write labels, by which others select objects.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_written_without_metadata() {
    let world = World::new().await;
    let mut definition = definition("stated", &json!({"type": "object"}));
    let state = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = &mut definition["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["status"] = state;
    version["subresources"] = json!({"status": {}});
    world.must(Admin, &format!("POST {DEFINITIONS}"), definition).await;
    let path = "/apis/evil.example.com/v1/namespaces/lair/stated";
    let kind = json!({"apiVersion": "evil.example.com/v1", "kind": "Evilstated"});
    let mut object = kind.clone();
    object["metadata"] = json!({"name": "x", "labels": {"tier": "low"}});
    let created = world.must(Admin, &format!("POST {path}"), object.clone()).await;
    object["metadata"] = json!({"name": "x", "resourceVersion": created["metadata"]["resourceVersion"],
        "labels": {"tier": "high"}, "annotations": {"a": "b"}});
    object["status"] = json!({"phase": "Done"});
    let written = world.must(Admin, &format!("PUT {path}/x/status"), object).await;
    assert_eq!(written["status"]["phase"], "Done", "{written}");
    assert_eq!(written["metadata"]["labels"]["tier"], "low", "{written}");
    assert_eq!(written["metadata"].get("annotations"), None, "{written}");
}

/// Objects that are nested too deeply are refused: recursion over them would overflow the stack, and JSON so deep could not
/// be parsed again.
#[tokio::test(flavor = "multi_thread")]
async fn depth_is_bounded() {
    let world = World::new().await;
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let path = defined(&world, "free", free).await;
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    for levels in (100..=130).chain([1000]) {
        let name = format!("deep-{levels}");
        let object = json!({"metadata": {"name": name}, "spec": deep(levels)});
        let reply = world.send(Mallory, &format!("POST {path}"), &object).await;
        assert!(reply.code == 400 || levels < 120 && reply.code == 201, "{levels}: {}", reply.code);
        if reply.code == 201 {
            world.must(Mallory, &format!("GET {path}/{name}"), Value::Null).await;
        }
    }
    world.must(Mallory, &format!("GET {path}"), Value::Null).await;
    // Copied into its own leaf, a value doubles its depth.
    let copies = (0..20).map(
        |n| json!({"op": "copy", "from": "/spec/a", "path": format!("/spec{}", "/a".repeat((1 << n) + 1))}),
    );
    let start = json!({"op": "add", "path": "/spec", "value": {"a": {}}});
    let patch: Value = std::iter::once(start).chain(copies).collect();
    let kind = ("content-type", "application/json-patch+json");
    let line = format!("PATCH {path}/deep-100");
    let reply = world.send_as(Mallory, &line, &[kind], patch.to_string().as_bytes()).await;
    assert_eq!(reply.code, 400, "{}", reply.text());
}

/// Operators in a row nest to the left: brackets are not the only depth of an expression.
#[tokio::test(flavor = "multi_thread")]
async fn expressions_of_a_definition_leave_the_server_alive() {
    let world = World::new().await;
    for (at, (first, part, rest)) in [
        ("self.a", "+1", " > 0"),
        ("1", "-1", " < 0"),
        ("true", " == true", ""),
        ("[1]", ".map(a,a)", " == [1]"),
        ("'a'", ".trim()", " == 'a'"),
    ]
    .into_iter()
    .enumerate()
    {
        for count in [150, 400, 700, 1000, 1900] {
            let mut spec = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
            let rule = format!("{first}{}{rest}", part.repeat(count));
            spec["x-kubernetes-validations"] = json!([{ "rule": rule }]);
            let plural = format!("rows{at}x{count}");
            let reply = world.send(Admin, &format!("POST {DEFINITIONS}"), &definition(&plural, &spec)).await;
            assert!(reply.code == 422 || count == 150 && reply.code == 201, "{part} {count}");
        }
    }
    world.must(Admin, &format!("GET {DEFINITIONS}"), Value::Null).await;
}

/// Each expression takes its parser some tenths of a millisecond, however short it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_expressions_of_a_definition_are_bounded_in_all() {
    let world = World::new().await;
    let rules = |count: usize, rule: &dyn Fn(usize) -> String| {
        let rules: Vec<Value> = (0..count).map(|n| json!({"rule": rule(n)})).collect();
        json!({"type": "integer", "x-kubernetes-validations": rules})
    };
    let long = |n: usize| format!("self > {n} && '{}' != ''", "x".repeat(1000));
    for (plural, spec, status, why) in [
        ("many", rules(4000, &|n| format!("self > {n}")), 422, "in all"),
        ("long", rules(140, &long), 422, "in all"),
        ("large", rules(2000, &long), 413, "large"),
        ("same", rules(4000, &|_| "self > 0".to_owned()), 201, ""),
        ("some", rules(400, &|n| format!("self > {n}")), 201, ""),
    ] {
        let reply = world.send(Admin, &format!("POST {DEFINITIONS}"), &definition(plural, &spec)).await;
        assert!(
            reply.code == status && reply.text().contains(why),
            "{plural}: {} {}",
            reply.code,
            reply.text()
        );
    }
    // The versions of a definition share the bound.
    let mut versions = definition("versions", &rules(1000, &|n| format!("self > {n}")));
    let mut second = versions["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    let rules = rules(1000, &|n| format!("self < {n}"));
    second["schema"]["openAPIV3Schema"]["properties"]["spec"] = rules;
    versions["spec"]["versions"].as_array_mut().unwrap().push(second);
    let reply = world.send(Admin, &format!("POST {DEFINITIONS}"), &versions).await;
    assert!(reply.code == 422 && reply.text().contains("in all"), "{}", reply.text());
}

/// Many small patterns, each of which compiles to hundreds of times its length.
#[tokio::test(flavor = "multi_thread")]
async fn the_patterns_of_a_definition_share_their_memory() {
    let world = World::new().await;
    let patterns = |count: usize, text: &str| {
        let all = (0..count).map(|n| {
            (format!("p{n}"), json!({"type": "string", "pattern": text.replace("N", &n.to_string())}))
        });
        json!({"type": "object", "properties": all.collect::<serde_json::Map<_, _>>()})
    };
    for (plural, spec, status) in [
        ("many", patterns(1000, "\\p{L}{5,10}N"), 422),
        ("large", patterns(1000, "\\p{L}{3000}N"), 422),
        ("small", patterns(1000, "^[a-z]+N$"), 201),
        ("same", patterns(1000, "\\p{L}{5,10}"), 201),
    ] {
        let reply = world.send(Admin, &format!("POST {DEFINITIONS}"), &definition(plural, &spec)).await;
        assert_eq!(reply.code, status, "{plural}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_cost_no_more_than_a_bound() {
    let world = World::new().await;
    let text = json!({"type": "string"});
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let numbers: Vec<usize> = (0..20_000).collect();
    let empty: Vec<Value> = (0..20_000).map(|_| json!({})).collect();

    // Loops in loops over a list.
    let mut looped = json!({"type": "object", "properties": {"list": list}});
    looped["x-kubernetes-validations"] =
        json!([{"rule": "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))"}]);
    let path = defined(&world, "loops", looped).await;
    let reply = sent(&world, &path, json!({"list": numbers})).await;
    assert!(reply.code == 422 && reply.text().contains("too many steps"), "{}", reply.text());
    assert_eq!(sent(&world, &path, json!({"list": [1, 2, 3]})).await.code, 201);

    // Many rules, each of little cost, over many elements.
    let rules: Vec<Value> =
        (0..200).map(|n| json!({"rule": format!("self.a != {n} || self.b.all(c, c > 0)")})).collect();
    let element = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": list}, "x-kubernetes-validations": rules});
    let path = defined(&world, "manyrules", json!({"type": "array", "items": element})).await;
    let elements: Vec<Value> = (0..5000).map(|_| json!({"a": 500, "b": [1, 2, 3, 4, 5]})).collect();
    let reply = sent(&world, &path, json!(elements)).await;
    assert!(reply.code == 422 && reply.text().contains("too many steps"), "{}", reply.text());

    // Branches, each of which looks at each element.
    let branches: Vec<Value> = (0..4000).map(|n| json!({"enum": [format!("x{n}")]})).collect();
    let path =
        defined(&world, "branches", json!({"type": "array", "items": {"type": "string", "anyOf": branches}}))
            .await;
    let texts: Vec<String> = numbers.iter().map(|_| "none".to_owned()).collect();
    let reply = sent(&world, &path, json!(texts)).await;
    assert_eq!(reply.code, 422, "{}", reply.text());

    // Defaults of a large size in each of many elements.
    let large =
        json!({"type": "object", "properties": {"a": {"type": "string", "default": "x".repeat(100_000)}}});
    let path = defined(&world, "defaults", json!({"type": "array", "items": large})).await;
    let reply = sent(&world, &path, json!(empty)).await;
    assert_eq!(reply.code, 413, "{}", reply.text());

    // A pattern that backtracks elsewhere is linear here.
    let mut slow = text.clone();
    slow["pattern"] = "^(a+)+$".into();
    let path = defined(&world, "patterns", slow).await;
    assert_eq!(sent(&world, &path, json!("a".repeat(500_000) + "b")).await.code, 422);

    // Rules that make long texts of short ones, and long lists.
    let grown = ".map(x, x+x+x+x+x+x+x+x)".repeat(9);
    let replaced = ".replace('a', 'aaaaaaaaaaaaaaaa')".repeat(3);
    for (at, rule) in
        [format!("self{replaced}.size() > 0"), format!("[self.substring(0, 1)]{grown}.size() > 0")]
            .into_iter()
            .enumerate()
    {
        let mut grows = text.clone();
        grows["x-kubernetes-validations"] = json!([{ "rule": rule }]);
        let path = defined(&world, &format!("grows{at}"), grows).await;
        let reply = sent(&world, &path, json!("a".repeat(60_000))).await;
        assert!(reply.code == 422 && reply.text().contains("cost limit exceeded"), "{}", reply.text());
    }

    // An object as deep as one may be in a field of which nothing is specified.
    let path =
        defined(&world, "depths", json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}))
            .await;
    let mut deep = json!({});
    for _ in 0..110 {
        deep = json!({ "a": deep });
    }
    assert_eq!(sent(&world, &path, deep).await.code, 201);
    let reply = world
        .send_as(
            Mallory,
            &format!("POST {path}"),
            &[("content-type", "application/json")],
            format!(
                "{{\"metadata\":{{\"name\":\"y\"}},\"spec\":{}{}}}",
                "{\"a\":".repeat(5000),
                "}".repeat(5000)
            )
            .as_bytes(),
        )
        .await;
    assert_eq!(reply.code, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_are_for_those_who_may_and_take_nobodys_place() {
    let world = World::new().await;
    let object = definition("things", &json!({"type": "string"}));
    for line in [
        format!("POST {DEFINITIONS}"),
        format!("PUT {DEFINITIONS}/things.evil.example.com"),
        format!("GET {DEFINITIONS}"),
    ] {
        assert_eq!(world.send(Mallory, &line, &object).await.code, 403, "{line}");
    }
    let cases = [
        ("", "pods"),
        ("apps", "deployments"),
        ("rbac.authorization.k8s.io", "roles"),
        ("security.openshift.io", "securitycontextconstraints"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("../../api/v1", "pods"),
        ("evil.example.com/v1", "pods"),
        ("evil.example.com", "../secrets"),
        ("evil.example.com", "a/b"),
        ("evil.example.com", ""),
        ("palisade", "tokens"),
    ];
    for (group, plural) in cases {
        let mut object = definition("things", &json!({"type": "string"}));
        object["metadata"]["name"] = format!("{plural}.{group}").into();
        object["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "https://example.com"});
        object["spec"]["group"] = group.into();
        object["spec"]["names"]["plural"] = plural.into();
        let reply = world.send(Admin, &format!("POST {DEFINITIONS}"), &object).await;
        assert_eq!(reply.code, 422, "{group} {plural}: {}", reply.text());
    }
    // A definition whose status claims that its names are accepted is checked all the same.
    let path = defined(&world, "firsts", json!({"type": "string"})).await;
    let mut second = definition("seconds", &json!({"type": "string"}));
    second["spec"]["names"]["kind"] = "Evilfirsts".into();
    second["spec"]["names"]["singular"] = "second".into();
    second["status"] = json!({"conditions": [{"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}],
        "acceptedNames": {"plural": "seconds", "kind": "Evilfirsts"}});
    let made = world.must(Admin, &format!("POST {DEFINITIONS}"), second).await;
    assert_eq!(made["status"]["conditions"][0]["reason"], "KindConflict", "{made}");
    assert_eq!(world.send(Admin, "GET /apis/evil.example.com/v1/seconds", &json!({})).await.code, 404);
    // The right to write one custom resource gives none on another, nor in another namespace.
    let elsewhere = path.replace("lair", "default");
    assert_eq!(world.send(Mallory, &format!("GET {elsewhere}"), &json!({})).await.code, 403);
    defined(&world, "others", json!({"type": "string"})).await;
    world.must(Admin, &format!("DELETE {RBAC}/namespaces/lair/roles/writes-others"), json!({})).await;
    let others = path.replace("firsts", "others");
    assert_eq!(sent(&world, &others, json!("x")).await.code, 403);
}

/// Discovery repeats a definition's names for each of its versions, to every client.
#[tokio::test(flavor = "multi_thread")]
async fn the_names_of_a_definition_are_bounded_in_discovery() {
    let world = World::new().await;
    for (count, code) in [(1, 201), (5, 422)] {
        let mut object = definition("things", &json!({"type": "string"}));
        let names: Vec<String> = (0..100).map(|at| format!("{at}{}", "x".repeat(50))).collect();
        object["spec"]["names"]["shortNames"] = names.into();
        let version = object["spec"]["versions"][0].take();
        let versions = (1..=count).map(|at| {
            let mut version = version.clone();
            version["name"] = format!("v{at}").into();
            version["storage"] = (at == 1).into();
            version
        });
        object["spec"]["versions"] = versions.collect();
        let reply = world.send(Admin, &format!("POST {DEFINITIONS}?dryRun=All"), &object).await;
        assert_eq!(reply.code, code, "{count} versions: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_come_and_go_leave_nothing() {
    let world = World::apart().await;
    let round = async |from: usize| {
        for number in from..from + 60 {
            let name = format!("t{number}{}", "x".repeat(40));
            let mut spec = json!({"type": "object", "properties": {}});
            for property in 0..200 {
                spec["properties"][format!("p{property}-{number}")] = json!({"type": "string", "description": "d".repeat(50), "pattern": format!("^{number}$")});
            }
            world.must(Admin, &format!("POST {DEFINITIONS}"), definition(&name, &spec)).await;
            let path = format!("/apis/evil.example.com/v1/namespaces/default/{name}");
            world.must(Admin, &format!("POST {path}"), json!({"metadata": {"name": "a"}, "spec": {}})).await;
            let one = format!("{DEFINITIONS}/{name}.evil.example.com");
            world.must(Admin, &format!("DELETE {one}"), json!({})).await;
            for _ in 0..600 {
                if world.send(Admin, &format!("GET {one}"), &json!({})).await.code == 404 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    round(0).await;
    let (before, _) = world.memory();
    round(60).await;
    let (after, _) = world.memory();
    let grown = after.saturating_sub(before);
    assert!(grown < 24, "60 definitions left {grown} MB behind");
}

/// Memory is reserved for the defaults of a definition, and for the values that a patch copies, before they are made.
#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_that_grow_are_counted_as_what_they_become() {
    let world = World::apart().await;
    let item =
        json!({"type": "object", "properties": {"t": {"type": "string", "default": "x".repeat(100_000)}}});
    let spec = json!({"type": "object", "properties": {"l": {"type": "array", "items": item}}});
    world.must(Admin, &format!("POST {DEFINITIONS}"), definition("heavies", &spec)).await;
    let role = json!({"metadata": {"name": "heavies", "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}},
        "rules": [{"verbs": ["*"], "apiGroups": ["evil.example.com"], "resources": ["heavies"]}]});
    world.must(Admin, &format!("POST {RBAC}/clusterroles"), role).await;
    let heavy = json!({"apiVersion": "evil.example.com/v1", "kind": "Evilheavies", "metadata": {"name": "h"},
        "spec": {"l": vec![json!({}); 300]}});
    let start = json!({"op": "add", "path": "/data/l", "value": vec![json!({}); 60]});
    let copies = (0..14).map(|_| json!({"op": "copy", "from": "/data/l", "path": "/data/l/0"}));
    let patch: Value = std::iter::once(start).chain(copies).collect();
    let cases = [
        ("POST /apis/evil.example.com/v1/namespaces/lair/heavies?dryRun=All", "application/json", heavy),
        ("PATCH /api/v1/namespaces/lair/configmaps/kube-root-ca.crt", "application/json-patch+json", patch),
    ];
    for (line, kind, body) in cases {
        let body = body.to_string();
        let headers = [("content-type", kind)];
        let sent = (0..16).map(|_| world.send_as(Mallory, line, &headers, body.as_bytes()));
        let codes: Vec<u16> = join_all(sent).await.iter().map(|reply| reply.code).collect();
        assert!(codes.iter().all(|code| matches!(code, 400 | 413 | 422 | 429)), "{line}: {codes:?}");
        assert!(codes.iter().any(|code| *code != 429), "{line}: one is worked on");
        let (_, most) = world.memory();
        println!("{line}: {most} MB, {codes:?}");
        assert!(most < 256, "{line}: {most} MB");
    }
}
