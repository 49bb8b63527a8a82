//! The policies of the built-in sets, to be read.

use palisade_k8s::{SecurityContextConstraints, manifest, yaml};
use palisade_policies::{CONNECT, Compiled, GUARD, Mode, NAME, Settings, compile};
use palisade_scc::{BuiltinSet, SccSet};
use serde::Deserialize;
use serde_json::{Value, json};

fn compiled(set: BuiltinSet, settings: &Settings) -> Compiled {
    let documents = manifest::read(set.manifest()).unwrap();
    let objects = documents.iter().map(manifest::Node::to_json);
    let sccs = objects.filter(|object| object["kind"] == "SecurityContextConstraints");
    let sccs = sccs.map(|object| SecurityContextConstraints::deserialize(object).unwrap());
    compile(&SccSet::new(sccs), settings).unwrap()
}

/// `UPDATE_GOLDEN=1 cargo test -p palisade-policies golden` writes the files anew.
#[test]
fn the_built_in_sets_compile_to_what_the_files_say() {
    for set in [BuiltinSet::V3, BuiltinSet::V4] {
        let everybody = Some(vec!["restricted-v2".to_owned(), "restricted-v3".to_owned()]);
        let compiled = compiled(set, &Settings { connect: true, everybody, ..Settings::default() });
        let text: String =
            compiled.objects.iter().map(|object| format!("---\n{}", yaml::write(object))).collect();
        let path = format!("{}/golden/set-{}.yaml", env!("CARGO_MANIFEST_DIR"), set.name());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = golden.lines().zip(text.lines()).position(|(a, b)| a != b);
        assert!(
            golden == text,
            "{path} differs from line {:?} on; see UPDATE_GOLDEN",
            differs.map(|line| line + 1)
        );
    }
}

/// If nothing is enforced, there is no mutation and nothing is denied.
#[test]
fn a_trial_changes_and_refuses_nothing() {
    let (mut policies, mut variables) = (Vec::new(), Vec::new());
    for (mode, actions) in [(Mode::Warn, vec!["Warn", "Audit"]), (Mode::Audit, vec!["Audit"])] {
        let compiled = compiled(BuiltinSet::V4, &Settings { mode, ..Settings::default() });
        let kinds: Vec<&str> =
            compiled.objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        let policy = &compiled.objects[0]["spec"];
        assert_eq!(policy["auditAnnotations"], json!([]));
        policies.push(policy["validations"].clone());
        variables.push(policy["variables"].clone());
        // The audit mode does not warn.
        let pairs = if mode == Mode::Warn { 2 } else { 1 };
        assert_eq!(kinds, ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"].repeat(pairs));
        assert_eq!(compiled.objects[1]["spec"]["validationActions"], json!(actions));
    }
    // The policy that warns is run in each comparison with the engine; that which only audits is the same.
    assert_eq!((&policies[0], &variables[0]), (&policies[1], &variables[1]));
}

/// An object whose parameter is missing is denied: a half of the installation must not admit.
#[test]
fn every_binding_with_a_parameter_denies_without_it() {
    let compiled = compiled(BuiltinSet::V4, &Settings { connect: true, ..Settings::default() });
    let with_parameter = |kind: &str, field: &str| -> Vec<&Value> {
        let is_one = |object: &Value| {
            object["kind"].as_str().unwrap().ends_with(kind) && object["spec"].get(field).is_some()
        };
        compiled.objects.iter().filter(|object| is_one(object)).collect()
    };
    let bindings = with_parameter("Binding", "paramRef");
    for binding in &bindings {
        assert_eq!(binding["spec"]["paramRef"]["parameterNotFoundAction"], "Deny", "{binding}");
    }
    let policies = with_parameter("Policy", "paramKind");
    let names = |objects: &[&Value]| -> Vec<Value> {
        objects.iter().map(|object| object["metadata"]["name"].clone()).collect()
    };
    assert_eq!(names(&policies), names(&bindings));
    assert_eq!(names(&policies), [NAME, GUARD, CONNECT]);
}
