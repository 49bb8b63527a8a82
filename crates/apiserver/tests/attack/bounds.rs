//! Bounds of namespaces: quotas that races would overrun, ranges and schedules that cost more than they say, and priority
//! that nobody has given.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::world::Who::{Admin, Alice, Mallory};
use super::world::World;

const QUOTAS: &str = "POST /api/v1/namespaces/lair/resourcequotas";
const RANGES: &str = "POST /api/v1/namespaces/lair/limitranges";
const PODS: &str = "/api/v1/namespaces/lair/pods";

fn quota(name: &str, hard: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"hard": hard}})
}

fn pod(name: &str, more: Value, resources: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "a", "resources": resources}]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

async fn used(world: &World, quota: &str, name: &str) -> String {
    let path = format!("GET /api/v1/namespaces/lair/resourcequotas/{quota}");
    let found = world.must(Admin, &path, Value::Null).await;
    found["status"]["used"][name].as_str().unwrap_or_default().to_owned()
}

async fn until_used(world: &World, quota: &str, name: &str, expected: &str) {
    for _ in 0..300 {
        if used(world, quota, name).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} of {quota} is {}, not {expected}", used(world, quota, name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_race_overruns_a_quota() {
    let world = Arc::new(World::new().await);
    world
        .must(
            Admin,
            QUOTAS,
            quota("most", json!({"pods": "5", "requests.cpu": "1", "count/configmaps": "7"})),
        )
        .await;
    until_used(&world, "most", "count/configmaps", "1").await;
    let mut tries = Vec::new();
    for n in 0..24 {
        let world = Arc::clone(&world);
        tries.push(tokio::spawn(async move {
            let request = pod(&format!("p{n}"), json!({}), json!({"requests": {"cpu": "300m"}}));
            let made = world.send(Mallory, &format!("POST {PODS}"), &request).await;
            let config = json!({"metadata": {"name": format!("c{n}")}});
            let kept = world.send(Mallory, "POST /api/v1/namespaces/lair/configmaps", &config).await;
            (made, kept)
        }));
    }
    let (mut pods, mut configs) = (0, 0);
    for one in tries {
        let (made, kept) = one.await.unwrap();
        pods += usize::from(made.code == 201);
        configs += usize::from(kept.code == 201);
        assert!(matches!(made.code, 201 | 403), "{}", made.text());
        if made.code == 403 {
            assert!(
                made.text().contains("exceeded quota: most, requested: requests.cpu=300m"),
                "{}",
                made.text()
            );
        }
    }
    // Three of 300m fit into one processor; one of seven is the server's own.
    assert_eq!((pods, configs), (3, 6));
    until_used(&world, "most", "requests.cpu", "900m").await;
    assert_eq!(used(&world, "most", "count/configmaps").await, "7");
    // Requests that omit counted fields, and dry runs.
    let silent =
        world.send(Mallory, &format!("POST {PODS}?dryRun=All"), &pod("s", json!({}), json!({}))).await;
    assert!(
        silent.text().contains("failed quota: most: must specify requests.cpu for: c"),
        "{}",
        silent.text()
    );
    // By an update, where a creation would be refused.
    world.must(Admin, QUOTAS, quota("ports", json!({"services.nodeports": "1"}))).await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
    world.must(Mallory, "POST /api/v1/namespaces/lair/services", service).await;
    let change = json!({"spec": {"type": "NodePort"}});
    let raised = world.send(Mallory, "PATCH /api/v1/namespaces/lair/services/s", &change).await;
    assert!(raised.code == 403 && raised.text().contains("exceeded quota: ports"), "{}", raised.text());
    // Deleted objects and ended pods release their usage.
    let list = world.must(Admin, &format!("GET {PODS}"), Value::Null).await;
    let first = list["items"][0]["metadata"]["name"].as_str().unwrap();
    world.must(Mallory, &format!("DELETE {PODS}/{first}?gracePeriodSeconds=0"), Value::Null).await;
    let second = list["items"][1]["metadata"]["name"].as_str().unwrap();
    world
        .must(Admin, &format!("PATCH {PODS}/{second}/status"), json!({"status": {"phase": "Succeeded"}}))
        .await;
    until_used(&world, "most", "requests.cpu", "300m").await;
    assert_eq!(used(&world, "most", "pods").await, "1");
    // Users that a quota bounds may not write it.
    let path = "PATCH /api/v1/namespaces/lair/resourcequotas/most";
    let wider = json!({"spec": {"hard": {"pods": "500"}}});
    assert_eq!(world.send(Mallory, path, &wider).await.code, 403);
    let freed = json!({"status": {"used": {"pods": "0"}}});
    let path = "PATCH /api/v1/namespaces/lair/resourcequotas/most/status";
    assert_eq!(world.send(Mallory, path, &freed).await.code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_limits_bound_what_pods_ask_for_and_what_they_cost() {
    let world = World::new().await;
    let item = |kind: &str, fields: Value| {
        let mut item = fields;
        item["type"] = kind.into();
        item
    };
    let range =
        |name: &str, items: Vec<Value>| json!({"metadata": {"name": name}, "spec": {"limits": items}});
    let of_containers =
        item("Container", json!({"max": {"cpu": "1"}, "min": {"cpu": "100m"}, "default": {"cpu": "500m"}}));
    let of_claims = item("PersistentVolumeClaim", json!({"max": {"storage": "1Gi"}}));
    world.must(Admin, RANGES, range("r", vec![of_containers, of_claims])).await;
    let made = world.must(Mallory, &format!("POST {PODS}"), pod("given", json!({}), json!({}))).await;
    let given = &made["spec"]["containers"][0]["resources"];
    assert_eq!(*given, json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}));
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let refused = [
        (json!({"limits": {"cpu": "2"}}), "maximum cpu usage per Container is 1, but limit is 2"),
        (json!({"requests": {"cpu": "1m"}}), "minimum cpu usage per Container is 100m, but request is 1m"),
    ];
    for (resources, why) in refused {
        let reply = world.send(Mallory, &format!("POST {PODS}"), &pod("p", json!({}), resources)).await;
        assert!(reply.code == 403 && reply.text().contains(why), "{}", reply.text());
    }
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}}}});
    let reply = world.send(Mallory, "POST /api/v1/namespaces/lair/persistentvolumeclaims", &claim).await;
    assert!(reply.code == 403 && reply.text().contains("maximum storage usage"), "{}", reply.text());
    // Types that occur twice, and many thousands of them.
    let twice = range("t", vec![item("Pod", json!({})), item("Pod", json!({}))]);
    assert_eq!(world.send(Admin, RANGES, &twice).await.code, 422);
    let kinds = (0..10_000).map(|n| item(&format!("example.com/k{n}"), json!({}))).collect();
    world.must(Admin, RANGES, range("kinds", kinds)).await;
    let names: Map<String, Value> = (0..10_000).map(|n| (format!("example.com/r{n}"), "1".into())).collect();
    world.must(Admin, RANGES, range("names", vec![item("Container", json!({"default": names}))])).await;
    let containers: Value =
        (0..2000).map(|n| json!({"name": format!("c{n}"), "image": "a"})).collect::<Vec<_>>().into();
    let before = world.processors();
    let huge = json!({"metadata": {"name": "huge"}, "spec": {"containers": containers}});
    let reply = world.send(Mallory, &format!("POST {PODS}"), &huge).await;
    assert_eq!(reply.code, 413, "{}", reply.text());
    let took = world.processors() - before;
    assert!(took < Duration::from_secs(20), "ten thousand defaults of two thousand containers: {took:?}");
    // Bounded users may not write their bounds.
    let path = "DELETE /api/v1/namespaces/lair/limitranges/r";
    assert_eq!(world.send(Mallory, path, &Value::Null).await.code, 403);
}

/// Each write in a namespace reads its quotas, and each pod its ranges.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_has_a_bounded_number_of_quotas_and_ranges() {
    let world = World::new().await;
    let named = |name: &str, spec: &Value| json!({"metadata": {"name": name}, "spec": spec});
    let names: Map<String, Value> =
        (0..10_000).map(|n| (format!("requests.example.com/r{n}"), "1".into())).collect();
    let reply = world.send(Admin, QUOTAS, &named("large", &json!({"hard": names}))).await;
    assert!(reply.code == 403 && reply.text().contains("256 KiB at most"), "{} {}", reply.code, reply.text());
    let small = [
        (QUOTAS, json!({"hard": {"secrets": "9"}})),
        (RANGES, json!({"limits": [{"type": "Container", "max": {"cpu": "9"}}]})),
    ];
    for (line, spec) in small {
        for at in 0..100 {
            world.must(Admin, line, named(&format!("b{at}"), &spec)).await;
        }
        let reply = world.send(Admin, line, &named("one-more", &spec)).await;
        assert!(reply.code == 403 && reply.text().contains("are 100"), "{} {}", reply.code, reply.text());
        // What there is may still be changed.
        let line = format!("{}/b7", line.replace("POST", "PATCH"));
        world.must(Admin, &line, json!({"spec": spec})).await;
    }
    world.must(Mallory, "POST /api/v1/namespaces/lair/secrets", json!({"metadata": {"name": "s"}})).await;
    let one = pod("p", json!({}), json!({"limits": {"cpu": "1"}}));
    world.must(Mallory, &format!("POST {PODS}?dryRun=All"), one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn priority_and_overhead_are_those_of_classes() {
    let world = World::new().await;
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let send = async |more: Value| {
        world.send(Mallory, &format!("POST {PODS}?dryRun=All"), &pod("p", more, json!({}))).await
    };
    let plain = send(json!({})).await.json();
    assert_eq!(plain["spec"]["priority"], 0);
    assert_eq!(plain["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "Never"});
    world.must(Admin, &format!("POST {classes}"), class("high", 1000)).await;
    let high = send(json!({"priorityClassName": "high"})).await.json();
    assert_eq!(
        (&high["spec"]["priority"], &high["spec"]["preemptionPolicy"]),
        (&json!(1000), &json!("Never"))
    );
    let critical = send(json!({"priorityClassName": "system-cluster-critical"})).await.json();
    assert_eq!(critical["spec"]["priority"], 2_000_000_000);
    world
        .must(Admin, "POST /apis/node.k8s.io/v1/runtimeclasses", json!({"metadata": {"name": "vm"}, "handler": "vm",
            "overhead": {"podFixed": {"cpu": "250m"}},
            "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}}))
        .await;
    let in_vm = send(json!({"runtimeClassName": "vm"})).await.json();
    assert_eq!(in_vm["spec"]["overhead"]["cpu"], "250m");
    assert_eq!(
        (&in_vm["spec"]["nodeSelector"]["vm"], &in_vm["spec"]["tolerations"][0]["key"]),
        (&json!("yes"), &json!("vm"))
    );
    let refused = [
        (json!({"priority": 7}), "the integer value of priority (7) must not be provided"),
        (
            json!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}),
            "the string value of PreemptionPolicy",
        ),
        (json!({"priorityClassName": "gone"}), "no PriorityClass with name gone was found"),
        (json!({"runtimeClassName": "gone"}), "pod rejected: RuntimeClass \\\"gone\\\" not found"),
        (json!({"overhead": {"cpu": "1"}}), "Pod Overhead set without corresponding RuntimeClass"),
        (json!({"overhead": {"cpu": "1"}, "runtimeClassName": "vm"}), "doesn't match RuntimeClass"),
        (
            json!({"nodeSelector": {"vm": "no"}, "runtimeClassName": "vm"}),
            "conflict: runtimeClass.scheduling.nodeSelector[vm]",
        ),
    ];
    for (more, why) in refused {
        let reply = send(more).await;
        assert!(reply.code == 403 && reply.text().contains(why), "{}", reply.text());
    }
    // Classes above all others, of the system's names, and a second default.
    let mut default = class("usual", 5);
    default["globalDefault"] = true.into();
    world.must(Admin, &format!("POST {classes}"), default.clone()).await;
    default["metadata"]["name"] = "second".into();
    let refused = [
        (class("above", 1_000_000_001), 422, "maximum allowed value"),
        (class("system-mine", 5), 422, "reserved for system use only"),
        (default, 403, "usual is already marked as default"),
    ];
    for (class, code, why) in refused {
        let reply = world.send(Admin, &format!("POST {classes}"), &class).await;
        assert!(reply.code == code && reply.text().contains(why), "{}", reply.text());
    }
    assert_eq!(world.send(Mallory, &format!("POST {classes}"), &class("mine", 5)).await.code, 403);
    // A namespace keeps its pods out of the system's priority classes by a quota of zero.
    let scope = json!([{"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical", "system-node-critical"]}]);
    world
        .must(
            Admin,
            QUOTAS,
            json!({"metadata": {"name": "none"},
            "spec": {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": scope}}}),
        )
        .await;
    let reply = send(json!({"priorityClassName": "system-node-critical"})).await;
    assert!(reply.code == 403 && reply.text().contains("exceeded quota: none"), "{}", reply.text());
    assert_eq!(send(json!({})).await.json()["spec"]["priority"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn evictions_at_once_do_not_pass_a_budget() {
    let world = Arc::new(World::new().await);
    for n in 0..5 {
        let mut one = pod(&format!("p{n}"), json!({}), json!({}));
        one["metadata"]["labels"] = json!({"app": "db"});
        world.must(Mallory, &format!("POST {PODS}"), one).await;
        let ready =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        world.must(Admin, &format!("PATCH {PODS}/p{n}/status"), ready).await;
    }
    let budgets = "/apis/policy/v1/namespaces/lair/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "db"}}}});
    world.must(Admin, &format!("POST {budgets}"), budget).await;
    let until_allowed = async |expected: i64| {
        for _ in 0..300 {
            let found = world.must(Admin, &format!("GET {budgets}/b"), Value::Null).await;
            if found["status"]["disruptionsAllowed"] == expected
                && found["status"]["expectedPods"] == 4 + expected
            {
                assert_eq!(found["status"]["conditions"][0]["reason"] == "SufficientPods", expected > 0);
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not {expected} are allowed");
    };
    until_allowed(1).await;
    let mut tries = Vec::new();
    for n in 0..5 {
        let world = Arc::clone(&world);
        tries.push(tokio::spawn(async move {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": format!("p{n}")},
                "deleteOptions": {"gracePeriodSeconds": 0}});
            world.send(Mallory, &format!("POST {PODS}/p{n}/eviction"), &eviction).await.code
        }));
    }
    let mut codes = Vec::new();
    for one in tries {
        codes.push(one.await.unwrap());
    }
    codes.sort_unstable();
    assert_eq!(codes, [201, 429, 429, 429, 429]);
    until_allowed(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_of_many_do_not_hold_up_others() {
    let world = World::new().await;
    let all = "/apis/batch/v1/namespaces/lair/cronjobs";
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a"}]}});
    // Every minute, and schedules that are searched through for years.
    let schedules = ["* * * * *", "0 0 30 2 *", "59 23 29 2 1", ", * * * *", "@every 1ns"];
    for n in 0..150 {
        let cron = json!({"metadata": {"name": format!("c{n}")}, "spec": {"schedule": schedules[n % schedules.len()],
            "timeZone": "America/New_York", "jobTemplate": {"spec": {"template": template}}}});
        world.must(Mallory, &format!("POST {all}"), cron).await;
        let old = json!({"status": {"lastScheduleTime": "0001-01-01T00:00:00Z"}});
        world.must(Admin, &format!("PATCH {all}/c{n}/status"), old).await;
    }
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}}});
    world.must(Alice, "POST /apis/apps/v1/namespaces/shop/deployments", deployment).await;
    for _ in 0..600 {
        let pods = world.must(Alice, "GET /api/v1/namespaces/shop/pods?labelSelector=a=b", Value::Null).await;
        if pods["items"].as_array().unwrap().len() == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the deployment has no pods");
}

/// Large claims are not all held in memory when one of them is bound to a volume.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_claims_cost_one_volume_little() {
    const CLAIMS: &str = "/api/v1/namespaces/lair/persistentvolumeclaims";
    let world = World::apart().await;
    let claim = |name: String, class: &str, text: usize| {
        json!({"metadata": {"name": name, "annotations": {"a": "x".repeat(text)}}, "spec": {"storageClassName": class,
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    };
    for number in 0..300 {
        world.must(Mallory, &format!("POST {CLAIMS}"), claim(format!("c{number}"), "none", 250_000)).await;
    }
    let (now, most) = world.memory();
    let volume = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"storageClassName": "some", "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}, "persistentVolumeReclaimPolicy": "Retain"}})
    };
    let until = async |path: String, phase: &str| {
        for _ in 0..600 {
            if world.must(Admin, &format!("GET {path}"), Value::Null).await["status"]["phase"] == phase {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} does not become {phase}");
    };
    // A claim that finds a volume, a volume that finds a claim, and one that is left.
    world.must(Admin, "POST /api/v1/persistentvolumes", volume("v1")).await;
    for name in ["own1", "own2"] {
        world.must(Mallory, &format!("POST {CLAIMS}"), claim(name.to_owned(), "some", 1)).await;
    }
    until(format!("{CLAIMS}/own1"), "Bound").await;
    world.must(Admin, "POST /api/v1/persistentvolumes", volume("v2")).await;
    until(format!("{CLAIMS}/own2"), "Bound").await;
    world.must(Mallory, &format!("DELETE {CLAIMS}/own1"), Value::Null).await;
    until("/api/v1/persistentvolumes/v1".to_owned(), "Released").await;
    let (_, later) = world.memory();
    assert!(later < most.max(now + 50), "{later} MB at most, where it was {now} MB and {most} MB at most");
}

/// A pod on a node that refers to so many secrets with names of 200 letters.
fn referring(name: &str, count: usize) -> Value {
    let tail = "x".repeat(194);
    let from: Vec<Value> =
        (0..count).map(|at| json!({"secretRef": {"name": format!("s{at:05}{tail}")}})).collect();
    let mut pod = pod(name, json!({"nodeName": "n1"}), json!({}));
    pod["spec"]["containers"][0]["envFrom"] = json!(from);
    pod
}

/// References of pods on nodes are kept in memory, where the node authorizer looks them up.
#[tokio::test(flavor = "multi_thread")]
async fn pods_refer_to_a_bounded_number_of_secrets() {
    let world = World::new().await;
    let line = format!("POST {PODS}");
    let reply = world.send(Mallory, &line, &referring("many", 1001)).await;
    assert!(reply.code == 403 && reply.text().contains("are the most"), "{} {}", reply.code, reply.text());
    let mut made = 0;
    let refusal = loop {
        let reply = world.send(Mallory, &line, &referring(&format!("p{made}"), 900)).await;
        if reply.code != 201 {
            break reply;
        }
        made += 1;
        assert!(made < 100, "no end");
    };
    let why = "may take 8 MiB of the server's memory: delete some pods";
    assert!(refusal.code == 403 && refusal.text().contains(why), "{} {}", refusal.code, refusal.text());
    // 900 names of 200 letters, and what each takes beside its name.
    assert_eq!(made, (8 << 20) / (900 * 300));
    // A further project of hers has no more; others have their own.
    let request = json!({"metadata": {"name": "den"}});
    world.must(Mallory, "POST /apis/project.openshift.io/v1/projectrequests", request).await;
    let others = [(Mallory, "den", 403), (Alice, "shop", 201)];
    for (who, namespace, code) in others {
        let line = format!("POST /api/v1/namespaces/{namespace}/pods");
        let reply = world.send(who, &line, &referring("p", 900)).await;
        assert_eq!(reply.code, code, "{namespace}: {}", reply.text());
    }
    let few = pod("few", json!({"nodeName": "n1"}), json!({}));
    world.must(Mallory, &line, few).await;
    world.must(Mallory, &format!("DELETE {PODS}/p0?gracePeriodSeconds=0"), Value::Null).await;
    world.must(Mallory, &line, referring("last", 900)).await;
}
