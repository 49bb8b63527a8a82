//! Requests and sets of SCCs of an attacker, or an unlucky administrator.

use palisade_admission::PolicyBuilder;
use palisade_policies::{CompileError, Settings, compile};
use palisade_scc::{BuiltinSet, SccSet};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::assert_none;
use crate::interpreter::{BUDGET, Outcome, Request};
use crate::pair::{Pair, canonical_review, review};

pub(crate) fn pair(objects: &[Value]) -> Pair {
    let mut builder = PolicyBuilder::default();
    for object in objects {
        assert!(builder.add(object).expect("usable"));
    }
    let namespaces = objects.iter().filter(|object| object["kind"] == "Namespace").cloned().collect();
    Pair::new(builder.build(), namespaces)
}

pub(crate) fn set_4(grants: &[(&str, &str)]) -> Pair {
    let documents = palisade_k8s::manifest::read(BuiltinSet::V4.manifest()).unwrap();
    let mut objects: Vec<Value> = documents.iter().map(palisade_k8s::manifest::Node::to_json).collect();
    objects.push(palisade_testing::random::namespace());
    for object in objects.iter_mut().filter(|object| object["kind"] == "SecurityContextConstraints") {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let users: Vec<&str> = grants.iter().filter(|(scc, _)| *scc == name).map(|(_, user)| *user).collect();
        if !users.is_empty() {
            object["users"] = json!(users);
        }
    }
    pair(&objects)
}

pub(crate) fn pod(annotations: Value, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": [{"name": "c"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

pub(crate) fn create(pod: Value) -> Value {
    review("CREATE", "", pod, Value::Null)
}

fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(message) => message,
        Outcome::Allowed(pod) => panic!("{pod} is let in"),
    }
}

/// An SCC that every pod fits, and that gives nothing.
pub(crate) fn open_scc(name: &str, groups: &[&str]) -> Value {
    let any = json!({"type": "RunAsAny"});
    json!({"apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints", "metadata": {"name": name},
        "allowPrivilegedContainer": true, "allowHostNetwork": true, "allowHostPorts": true, "allowHostPID": true, "allowHostIPC": true,
        "allowHostDirVolumePlugin": true, "volumes": ["*"], "allowedCapabilities": ["*"], "seccompProfiles": ["*"],
        "allowedUnsafeSysctls": ["*"], "runAsUser": any, "seLinuxContext": any, "fsGroup": any, "supplementalGroups": any,
        "groups": groups})
}

#[test]
fn what_a_pod_says_of_itself_does_not_count() {
    let pair = set_4(&[("anyuid", "alice")]);
    let scc = "openshift.io/scc";
    let forged =
        json!({scc: "privileged", "security.openshift.io/validated-scc-subject-type": "serviceaccount"});
    let admitted = pair.admitted(&create(pod(forged.clone(), json!({})))).unwrap();
    assert_eq!(admitted["metadata"]["annotations"][scc], "anyuid");
    assert_eq!(
        admitted["metadata"]["annotations"]["security.openshift.io/validated-scc-subject-type"],
        "user"
    );
    let privileged = pod(forged, json!({"hostPID": true}));
    let message =
        refusal(pair.decide(&canonical_review(&create(privileged)), |request, may| {
            pair.policies.admit(request, may)
        }));
    assert!(
        message.contains("hostaccess, privileged fit, but the user may not use any of them"),
        "{message}"
    );

    // The required SCC must be the annotated one, however the annotation was written.
    let both =
        pod(json!({scc: "anyuid", "openshift.io/required-scc": "restricted-v2"}), json!({"hostUsers": true}));
    let unfit =
        pair.decide(&canonical_review(&create(both)), |request, may| pair.policies.validate(request, may).0);
    assert!(unfit.is_some_and(|message| message.contains("unable to validate")));
}

/// A refusal names the nearest SCC and the field in violation.
#[test]
fn the_message_names_the_nearest_scc_and_the_field() {
    let pair = set_4(&[("restricted-v2", "alice")]);
    let path = json!([{"name": "v", "hostPath": {"path": "/"}}]);
    for (spec, finding) in [
        (json!({"hostPID": true}), "hostPID is not allowed"),
        (
            json!({"securityContext": {"runAsUser": 5}}),
            "runAsUser must be in the namespace's openshift.io/sa.scc.uid-range",
        ),
        (
            json!({"volumes": path}),
            "volumes may only be configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected, secret",
        ),
    ] {
        let pod = pod(json!({"openshift.io/required-scc": "restricted-v2"}), spec);
        let message = refusal(
            pair.decide(&canonical_review(&create(pod)), |request, may| pair.policies.admit(request, may)),
        );
        let expected = format!(
            "unable to validate against any security context constraint: restricted-v2 comes nearest, but {finding}"
        );
        assert_eq!(message, expected);
    }
}

/// The most checks that a request can cause: all SCCs fit, and none, or the last only, may be used.
#[test]
fn any_number_of_sccs_that_fit_is_within_the_budget() {
    for count in [1, 13, 14, 15, 27, 28, 29, 100, 300] {
        for granted in [false, true] {
            let name = |index: usize| format!("s{index:03}");
            let groups = |index: usize| {
                if granted && index + 1 == count { &["system:authenticated"][..] } else { &["nobody"] }
            };
            let mut objects: Vec<Value> =
                (0..count).map(|index| open_scc(&name(index), groups(index))).collect();
            objects.push(palisade_testing::random::namespace());
            let pair = pair(&objects);
            let review = canonical_review(&create(pod(json!({}), json!({"serviceAccountName": "sa"}))));
            assert_eq!(pair.difference(&review), None, "{count} SCCs");
            pair.decide(&review, |request, may| {
                let (object, usage) = pair.policies.mutate(request, may).unwrap();
                assert_eq!(usage.len(), usize::div_ceil(count, 13));
                for usage in usage {
                    assert!(usage.checks <= 26 && usage.spent <= BUDGET, "{count} SCCs: {usage:?}");
                }
                let expected = if granted { json!(name(count - 1)) } else { Value::Null };
                assert_eq!(object["metadata"]["annotations"]["openshift.io/scc"], expected);
                let (message, usage) = pair.policies.validate(&Request { object, ..request.clone() }, may);
                assert!(
                    usage.checks <= 28 && message.is_none() == granted,
                    "{count} SCCs: {message:?} {usage:?}"
                );
                assert!(message.is_none_or(|message| message.starts_with("unable to validate")));
            });
        }
    }
}

#[test]
fn a_set_that_the_api_server_would_not_take_is_refused_with_the_sccs_that_are_too_many() {
    let set = |count: usize| {
        let scc = |index| Deserialize::deserialize(open_scc(&format!("s{index:04}"), &[])).unwrap();
        SccSet::new((0..count).map(scc))
    };
    assert_eq!(compile(&set(300), &Settings::default()).map(|compiled| compiled.unusable), Ok(Vec::new()));
    let Err(CompileError::TooLarge { breach, fitting, excess }) = compile(&set(3_000), &Settings::default())
    else {
        panic!("3,000 SCCs fit into an object")
    };
    assert_eq!((breach.unit, fitting + excess.len()), ("bytes", 3_000));
    assert!(fitting >= 300 && compile(&set(fitting), &Settings::default()).is_ok());
    assert!(compile(&set(fitting + 1), &Settings::default()).is_err());
    assert_eq!(compile(&SccSet::default(), &Settings::default()), Err(CompileError::NoScc));
}

#[test]
fn fifteen_hundred_containers_are_decided_within_the_budget_and_more_are_refused() {
    let containers = |security: Value| -> Value {
        (0..1_500).map(|index| json!({"name": format!("c{index}"), "securityContext": security})).collect()
    };
    for (pair, security) in [
        (set_4(&[]), json!({})),
        (set_4(&[("privileged", "alice")]), json!({"privileged": true})),
        (
            set_4(&[]),
            json!({"privileged": true, "capabilities": {"add": ["NET_BIND_SERVICE"]}, "runAsUser": 5}),
        ),
    ] {
        let review = canonical_review(&create(pod(
            json!({}),
            json!({"containers": containers(security), "serviceAccountName": "sa"}),
        )));
        assert_eq!(pair.difference(&review), None);
        pair.decide(&review, |request, may| {
            let (_, usage) = pair.policies.mutate(request, may).unwrap();
            assert!(usage.iter().all(|usage| usage.spent < BUDGET / 2), "{usage:?}");
        });
    }
    let pair = set_4(&[]);
    let annotations: serde_json::Map<String, Value> =
        (0..501).map(|index| (format!("k{index}"), json!("v"))).collect();
    let small = json!({"containers": [{"name": "c"}]});
    let many: Vec<Value> = (0..1_501).map(|index| json!({"name": format!("c{index}")})).collect();
    let large = [
        pod(json!(annotations), small.clone()),
        pod(json!({}), json!({"containers": many})),
        pod(json!({}), json!({"containers": [{"name": "c"}], "initContainers": many[1..]})),
    ];
    for large in large {
        let refused = |object: &Value, old: &Value| {
            let mut review = canonical_review(&create(object.clone()));
            if !old.is_null() {
                review["request"]["operation"] = json!("UPDATE");
                review["request"]["oldObject"] = crate::interpreter::canonical(old);
            }
            pair.decide(&review, |request, may| {
                let (object, _) = pair.policies.mutate(request, may).unwrap();
                pair.policies.validate(&Request { object, ..request.clone() }, may).0
            })
        };
        let message = refused(&large, &Value::Null).unwrap_or_default();
        assert!(message.starts_with("a pod may have at most 500 annotations"), "{message}");
        assert_eq!(refused(&large, &pod(json!({}), small.clone())), Some(message.clone()));
        // A pod that was so large before can be changed.
        let mut changed = large.clone();
        changed["metadata"]["labels"] = json!({"a": "b"});
        assert_ne!(refused(&changed, &large), Some(message));
    }
}

/// The API server drops the annotations that a mutation sets on an ephemeral container or a resize.
#[test]
fn subresources_are_decided_by_any_scc_however_many_there_are() {
    for (count, others) in [(13, 0), (14, 0), (30, 0), (30, 9)] {
        let narrow = (0..count - 1).map(|index| {
            let mut scc = open_scc(&format!("s{index:04}"), &["nobody"]);
            scc["allowPrivilegedContainer"] = json!(false);
            scc["priority"] = json!(1);
            scc
        });
        let mut objects: Vec<Value> = narrow.collect();
        // More that fit, and that may not be used.
        objects.extend((0..others).map(|index| {
            let mut scc = open_scc(&format!("t{index:04}"), &["nobody"]);
            scc["priority"] = json!(1);
            scc
        }));
        objects[0]["groups"] = json!(["system:authenticated"]);
        let mut wide = open_scc("wide", &[]);
        wide["users"] = json!(["alice"]);
        objects.push(wide);
        objects.push(palisade_testing::random::namespace());
        let pair = pair(&objects);
        for (annotated, user, is_admitted) in
            [("s0000", "alice", true), ("s0000", "bob", false), ("", "alice", true), ("", "bob", false)]
        {
            let annotations =
                if annotated.is_empty() { json!({}) } else { json!({"openshift.io/scc": annotated}) };
            let old = pod(annotations, json!({"containers": [{"name": "c"}]}));
            let mut new = old.clone();
            new["spec"]["ephemeralContainers"] =
                json!([{"name": "e", "securityContext": {"privileged": true}}]);
            let mut review = create(new);
            review["request"]["operation"] = json!("UPDATE");
            review["request"]["oldObject"] = old;
            review["request"]["subResource"] = json!("ephemeralcontainers");
            review["request"]["userInfo"]["username"] = json!(user);
            let review = canonical_review(&review);
            let outcome = pair.decide(&review, |request, may| pair.policies.admit(request, may));
            pair.decide(&review, |request, may| {
                let (_, usage) = pair.policies.validate(request, may);
                assert!(usage.checks <= 26 && usage.spent <= BUDGET, "{count} SCCs: {usage:?}");
            });
            assert_eq!(
                matches!(outcome, crate::interpreter::Outcome::Allowed(_)),
                is_admitted,
                "{count} SCCs, {annotated:?}, {user}: {outcome:?}"
            );
        }
    }
}

/// Injected sidecars, before the mutation or after it.
#[test]
fn an_injected_sidecar_is_given_its_defaults_or_refused() {
    let pair = set_4(&[("restricted-v2", "alice")]);
    let review = canonical_review(&create(pod(json!({}), json!({}))));
    pair.decide(&review, |request, may| {
        let (mut object, _) = pair.policies.mutate(request, may).unwrap();
        object["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar"}));
        let injected = Request { object, ..request.clone() };
        let (message, _) = pair.policies.validate(&injected, may);
        assert!(
            message
                .is_some_and(|message| message.contains("was changed after restricted-v2 had been chosen"))
        );
        let (object, _) = pair.policies.mutate(&injected, may).unwrap();
        assert_eq!(object["spec"]["containers"][1]["securityContext"]["runAsUser"], 1_000_000_000);
        assert_eq!(pair.policies.validate(&Request { object, ..request.clone() }, may).0, None);
    });
}

#[test]
fn without_the_mutation_a_pod_that_needs_defaults_is_refused_with_the_reason() {
    let pair = set_4(&[("restricted-v2", "alice")]);
    let bare = canonical_review(&create(pod(json!({}), json!({}))));
    let message = pair.decide(&bare, |request, may| pair.policies.validate(request, may).0).unwrap();
    assert!(message.contains("no MutatingAdmissionPolicy has set its defaults"), "{message}");
}

/// Blocks of IDs as `NamespaceRanges` of palisade-scc distinguishes them.
#[test]
fn malformed_ranges_spoil_what_they_spoil_for_the_engine() {
    let blocks = [
        "1000/10",
        "1000-1009",
        " 1000/ 10",
        "\t1000/\t10",
        "\u{a0}1000/10",
        "\n1000/10",
        "1000/\n10",
        "1000 /10",
        "1000/10 x",
        "1000/10\nx",
        "1000-1009/",
        "1-5/7",
        "1000",
        "",
        "/",
        "1000/",
        "-5/3",
        "+5/3",
        "5/+3",
        "4294967295/1",
        "4294967295/2",
        "4294967296/1",
        "1/4294967296",
        "00000000000000001000/010",
        "0/0",
        "1000/0",
        "9-3",
        "99999999999999999999/1",
        "1000/10,2000/5",
        "1000/10,",
        ",1000/10",
        "1000/10,x",
        "\u{3000}1000/10",
        "1000:10",
        "0x10/5",
        "1000-1009-5",
        "1000/10/3",
        "1e3/10",
    ];
    let namespace = |name: String, uids: &str, groups: Option<&str>, level: &str| {
        let mut annotations =
            json!({"openshift.io/sa.scc.uid-range": uids, "openshift.io/sa.scc.mcs": level});
        if let Some(groups) = groups {
            annotations["openshift.io/sa.scc.supplemental-groups"] = groups.into();
        }
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}})
    };
    let mut objects = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        objects.push(namespace(format!("u{index}"), block, None, "s0:c1,c0"));
        objects.push(namespace(format!("g{index}"), "1000/10", Some(block), "s0:c1,c0"));
        objects.push(namespace(format!("b{index}"), block, Some("1000/10"), "s0"));
    }
    for (index, level) in
        ["", "s0", "s0:", "s0:c1,c0", "s0:c0,c1", "s0:c1,c0,c0", "s1:c0,c1", ":", "s0:c0:c1"]
            .iter()
            .enumerate()
    {
        objects.push(namespace(format!("l{index}"), "1000/10", None, level));
    }
    let names: Vec<String> =
        objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    let must = json!({"type": "MustRunAs"});
    let mut parts = Vec::new();
    for (name, field, value) in [
        ("a-user", "runAsUser", json!({"type": "MustRunAsRange"})),
        ("b-fs", "fsGroup", must.clone()),
        ("c-groups", "supplementalGroups", must.clone()),
        ("d-level", "seLinuxContext", must),
    ] {
        let mut scc = open_scc(name, &["system:authenticated"]);
        scc[field] = value;
        parts.push(pair(&[objects.clone(), vec![scc]].concat()));
    }
    let mut differences = Vec::new();
    let mut count = 0;
    for security in [
        json!({}),
        json!({"runAsUser": 1005, "fsGroup": 1000, "supplementalGroups": [1000, 1009], "seLinuxOptions": {"level": "s0:c0,c1"}}),
        json!({"runAsUser": 0, "fsGroup": 0, "supplementalGroups": [4294967295_i64], "seLinuxOptions": {"level": "s0"}}),
    ] {
        for name in &names {
            for pair in &parts {
                let mut review = create(pod(json!({}), json!({"securityContext": security})));
                review["request"]["namespace"] = json!(name);
                count += 1;
                differences.extend(
                    pair.difference(&review).map(|difference| format!("{name} {security} {difference}")),
                );
            }
        }
    }
    assert_none(&differences, count);
}
