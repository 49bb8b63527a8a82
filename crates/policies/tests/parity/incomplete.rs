//! Two policies that do not belong together, and other admission that runs between them.

use palisade_policies::{Mode, Settings, compile};
use palisade_scc::SccSet;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adversarial::{create, open_scc, pair, pod, set_4};
use crate::assert_none;
use crate::interpreter::Request;
use crate::pair::{Pair, canonical_review};
use crate::random::{self, Dice};

/// The pod that the mutating policy of a set of SCCs makes.
fn mutated(pair: &Pair, review: &Value) -> Value {
    let review = canonical_review(review);
    pair.decide(&review, |request, may| pair.policies.mutate(request, may).unwrap().0)
}

/// The refusal of the validating policy of a set of SCCs, if it refuses.
fn refusal(pair: &Pair, pod: &Value) -> Option<String> {
    pair.decide(&canonical_review(&create(pod.clone())), |request, may| {
        pair.policies.validate(request, may).0
    })
}

/// A set of two SCCs, of which `edit` changes the one with the higher priority.
fn set(edit: impl FnOnce(&mut Value)) -> Pair {
    let mut first = open_scc("first", &["system:authenticated"]);
    first["priority"] = json!(10);
    first["runAsUser"] = json!({"type": "MustRunAsRange"});
    edit(&mut first);
    let mut second = open_scc("second", &["system:authenticated"]);
    second["runAsUser"] = json!({"type": "MustRunAs", "uid": 5});
    pair(&[first, second, palisade_testing::random::namespace()])
}

/// For about a second after `apply`, one of the policies is of the old set.
#[test]
fn a_mutation_of_another_set_of_sccs_gets_nothing_past_the_validation() {
    type Case = (&'static str, fn(&mut Value), bool);
    let review = create(pod(json!({}), json!({})));
    let old = set(|_| {});
    let mutated = mutated(&old, &review);
    assert_eq!(mutated["metadata"]["annotations"]["openshift.io/scc"], "first");
    let cases: [Case; 7] = [
        ("nothing is changed", |_| {}, true),
        ("a narrower strategy", |scc| scc["runAsUser"] = json!({"type": "MustRunAs", "uid": 7}), false),
        ("a wider strategy", |scc| scc["runAsUser"] = json!({"type": "RunAsAny"}), true),
        ("a new default", |scc| scc["readOnlyRootFilesystem"] = json!(true), false),
        ("a demand that the pod meets", |scc| scc["allowHostPID"] = json!(false), true),
        ("a grant is withdrawn", |scc| scc["groups"] = json!(["nobody"]), false),
        ("a grant is moved", |scc| (scc["groups"], scc["users"]) = (json!([]), json!(["alice"])), true),
    ];
    for (what, edit, is_admitted) in cases {
        let new = set(edit);
        let message = refusal(&new, &mutated);
        assert_eq!(message.is_none(), is_admitted, "{what}: {message:?}");
        assert_eq!(new.difference_of_validation(&create(mutated.clone())), None, "{what}");
    }
}

/// A random set of SCCs, and the same after an edit of one field of one SCC and other grants.
fn edited(dice: &mut Dice) -> Option<(Pair, Pair)> {
    const FIELDS: [&str; 7] =
        ["runAsUser", "fsGroup", "supplementalGroups", "seLinuxContext", "volumes", "allowHostPID", "groups"];
    let objects = dice.throw(palisade_testing::random::policy());
    let mut new = objects.clone();
    let other = dice.throw(palisade_testing::random::scc("s0".to_owned()));
    let field = FIELDS[dice.number(FIELDS.len())];
    let at = dice.number(new.len() - 1);
    let edited = new[at].as_object_mut().unwrap();
    match other.get(field) {
        Some(value) => drop(edited.insert(field.to_owned(), value.clone())),
        None => drop(edited.shift_remove(field)),
    }
    Some((random::granted(dice, objects)?, random::granted(dice, new)?))
}

/// The pod that one set of SCCs has changed is refused by the next, or is one that the engine admits by that.
#[test]
fn mutations_and_validations_of_random_sets_are_decided_by_the_validation() {
    let mut dice = Dice::new();
    let (mut differences, mut admitted, mut count) = (Vec::new(), 0, 0);
    for _ in 0..20 {
        let (old, new) = std::iter::from_fn(|| Some(edited(&mut dice))).flatten().next().unwrap();
        for _ in 0..25 {
            let review = create(dice.throw(palisade_testing::random::pod()));
            let mutated = mutated(&old, &review);
            count += 1;
            admitted += usize::from(refusal(&new, &mutated).is_none());
            differences.extend(new.difference_of_validation(&create(mutated)));
        }
    }
    assert!((10..count - 10).contains(&admitted), "{admitted} of {count} are admitted");
    assert_none(&differences, count);
}

/// The API server runs the mutation again after another one that changed the pod (IfNeeded): the order does not count.
#[test]
fn a_sidecar_injected_before_the_mutation_or_after_it_gives_the_same_pod() {
    let pair = set_4(&[("restricted-v2", "alice")]);
    let plain = canonical_review(&create(pod(json!({}), json!({}))));
    for (list, sidecar) in [
        ("containers", json!({"name": "sidecar"})),
        ("containers", json!({"name": "sidecar", "securityContext": {"runAsUser": 1_000_000_005}})),
        ("containers", json!({"name": "sidecar", "securityContext": {"capabilities": {"drop": ["KILL"]}}})),
        (
            "containers",
            json!({"name": "sidecar", "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
        ),
        ("initContainers", json!({"name": "sidecar", "restartPolicy": "Always"})),
    ] {
        let inject = |pod: &Value| {
            let mut pod = pod.clone();
            let containers = &mut pod["spec"][list];
            match containers.as_array_mut() {
                Some(containers) => containers.push(sidecar.clone()),
                None => *containers = json!([sidecar]),
            }
            pod
        };
        pair.decide(&plain, |request, may| {
            let mutate = |object: Value| {
                let request = Request { object, ..request.clone() };
                let (object, _) = pair.policies.mutate(&request, may).unwrap();
                object
            };
            let before = mutate(inject(&request.object));
            let after = mutate(inject(&mutate(request.object.clone())));
            assert_eq!(crate::pair::sorted(&before), crate::pair::sorted(&after), "{sidecar}");
            assert_eq!(before["metadata"]["annotations"]["openshift.io/scc"], "restricted-v2");
            let request = Request { object: before, ..request.clone() };
            assert_eq!(pair.policies.validate(&request, may).0, None, "{sidecar}");
        });
    }
}

/// Each SCC may take two checks of the authorizer, of which a validating policy's budget pays for 28.
#[test]
fn the_modes_that_enforce_nothing_take_fourteen_sccs() {
    let compiled = |count: usize, mode: Mode| {
        let scc = |index| Deserialize::deserialize(open_scc(&format!("s{index:02}"), &[])).unwrap();
        compile(&SccSet::new((0..count).map(scc)), &Settings { mode, ..Settings::default() })
    };
    for mode in [Mode::Warn, Mode::Audit] {
        assert!(compiled(14, mode).is_ok());
        let error = compiled(15, mode).unwrap_err().to_string();
        assert!(error.contains("it would take the first 14, without s14"), "{error}");
    }
}
