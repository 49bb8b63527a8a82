use super::*;

fn deployment(change: impl FnOnce(&mut Value)) -> (Value, Vec<String>) {
    let mut object = json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    change(&mut object);
    DEPLOYMENTS.prepare(&mut object, None);
    let errors = DEPLOYMENTS.validate(&object, None).iter().map(|error| error.path.to_string()).collect();
    (object, errors)
}

#[test]
fn deployments_are_completed_and_checked() {
    let (made, errors) = deployment(|_| {});
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(made["spec"]["replicas"], 1);
    assert_eq!(
        made["spec"]["strategy"]["rollingUpdate"],
        json!({"maxUnavailable": "25%", "maxSurge": "25%"})
    );
    assert_eq!(made["spec"]["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert!(made["spec"]["template"].get("status").is_none());
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 8] = [
        ("spec.selector", |object| object["spec"]["selector"] = json!({})),
        ("spec.template.metadata.labels", |object| object["spec"]["template"]["metadata"] = json!({})),
        ("spec.template.spec.containers", |object| object["spec"]["template"]["spec"] = json!({})),
        ("spec.template.spec.restartPolicy", |object| {
            object["spec"]["template"]["spec"]["restartPolicy"] = "Never".into()
        }),
        ("spec.replicas", |object| object["spec"]["replicas"] = json!(-1)),
        ("spec.strategy.rollingUpdate.maxSurge", |object| {
            object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": "-1%"}});
        }),
        ("spec.strategy.rollingUpdate.maxUnavailable", |object| {
            let most = "9223372036854775807%";
            object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": most, "maxUnavailable": most}});
        }),
        ("spec.strategy.rollingUpdate.maxUnavailable", |object| {
            object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": "00%", "maxUnavailable": 0}});
        }),
    ];
    for (field, change) in cases {
        assert_eq!(deployment(change).1, [field]);
    }
}

#[test]
fn stateful_sets_mount_their_claims() {
    let volume = |name: &str| json!({"name": name, "emptyDir": {}});
    let mount = |name: &str| json!({"name": name, "mountPath": "/data"});
    let at = |rest: &str| vec![format!("spec.template.spec.{rest}")];
    let device = json!([{"name": "data", "devicePath": "/dev/data"}]);
    let cases = [
        (vec!["data"], json!({"volumeMounts": [mount("data")]}), json!(null), vec![]),
        (vec!["data"], json!({"volumeDevices": device}), json!([volume("data")]), vec![]),
        (vec!["data"], json!({"volumeMounts": [mount("data")]}), json!([volume("data")]), vec![]),
        (vec!["data"], json!({"volumeMounts": [mount("own")]}), json!([volume("own")]), vec![]),
        (
            vec!["data"],
            json!({"volumeMounts": [mount("log")]}),
            json!(null),
            at("containers[0].volumeMounts[0].name"),
        ),
        (
            vec![],
            json!({"volumeMounts": [mount("data")]}),
            json!(null),
            at("containers[0].volumeMounts[0].name"),
        ),
        (vec!["Data"], json!({}), json!([volume("own")]), vec![]),
    ];
    for (claims, container, volumes, wanted) in cases {
        let (mut object, _) = deployment(|_| {});
        object["kind"] = "StatefulSet".into();
        let spec = &mut object["spec"];
        spec["volumeClaimTemplates"] = claims
            .iter()
            .map(|name| {
                json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}}})
            })
            .collect();
        let pod = &mut spec["template"]["spec"];
        pod["volumes"] = volumes;
        for (field, value) in container.as_object().unwrap() {
            pod["containers"][0][field] = value.clone();
        }
        STATEFUL_SETS.prepare(&mut object, None);
        let before = object.clone();
        let found = STATEFUL_SETS.validate(&object, None);
        let found: Vec<String> = found.iter().map(|error| error.path.to_string()).collect();
        assert_eq!(found, wanted, "{claims:?} {container}");
        assert_eq!(object, before, "the stored template has no volume of a claim");
    }
}

#[test]
fn sets_replace_their_pods_in_portions() {
    let all = [&DAEMON_SETS, &STATEFUL_SETS];
    let cases = [
        (json!({}), ["", ""]),
        (json!({"maxUnavailable": "101%"}), ["maxUnavailable", "maxUnavailable"]),
        (json!({"maxUnavailable": "99999999999999999999%"}), ["maxUnavailable", "maxUnavailable"]),
        (json!({"maxUnavailable": "0%"}), ["maxUnavailable", "maxUnavailable"]),
        (json!({"maxUnavailable": 0, "maxSurge": 1}), ["", "maxUnavailable"]),
        (json!({"maxSurge": 1}), ["maxSurge", ""]),
        (json!({"partition": -1}), ["", "partition"]),
    ];
    for (rolling, wanted) in cases {
        for (kind, wanted) in all.iter().zip(wanted) {
            let (mut object, _) = deployment(|_| {});
            object["spec"]["updateStrategy"] = json!({ "rollingUpdate": rolling });
            kind.prepare(&mut object, None);
            let found = kind.validate(&object, None);
            let found: Vec<String> = found.iter().map(|error| error.path.to_string()).collect();
            let wanted = Some(wanted).filter(|wanted| !wanted.is_empty());
            let wanted = wanted.map(|field| format!("spec.updateStrategy.rollingUpdate.{field}"));
            assert_eq!(found, Vec::from_iter(wanted), "{rolling}");
        }
    }
}
