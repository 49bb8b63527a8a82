//! The policies of the built-in sets, to be read.

use palisade_k8s::{SecurityContextConstraints, manifest, yaml};
use palisade_policies::{Compiled, Mode, Settings, compile};
use palisade_scc::{BuiltinSet, SccSet};
use serde::Deserialize;

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
    for (mode, actions) in [(Mode::Warn, vec!["Warn", "Audit"]), (Mode::Audit, vec!["Audit"])] {
        let compiled = compiled(BuiltinSet::V4, &Settings { mode, ..Settings::default() });
        let kinds: Vec<&str> =
            compiled.objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        // The audit mode does not warn.
        let pairs = if mode == Mode::Warn { 2 } else { 1 };
        assert_eq!(kinds, ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"].repeat(pairs));
        assert_eq!(compiled.objects[1]["spec"]["validationActions"], serde_json::json!(actions));
    }
}
