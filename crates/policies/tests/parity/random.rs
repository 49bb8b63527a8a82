//! Random policies and requests, decided by both.

use palisade_admission::PolicyBuilder;
use palisade_testing::random;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::assert_none;
use crate::pair::{Pair, review};

const POLICIES: usize = 50;
const REQUESTS: usize = 200;

/// Values of a run that can be repeated: the seed is `PALISADE_SEED`, else the same in every run.
pub(crate) struct Dice {
    runner: TestRunner,
    seed: u64,
}

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = random::seed();
        Self { runner: random::runner(seed), seed }
    }

    pub(crate) fn throw<T>(&mut self, strategy: impl Strategy<Value = T>) -> T
    where
        T: std::fmt::Debug,
    {
        strategy.new_tree(&mut self.runner).expect("a value").current()
    }

    pub(crate) fn number(&mut self, below: usize) -> usize {
        self.throw(0..below)
    }
}

/// A random policy with random grants.
pub(crate) fn pair(dice: &mut Dice) -> Option<Pair> {
    let objects = dice.throw(random::policy());
    granted(dice, objects)
}

/// The same with more SCCs than one mutation takes.
fn large_pair(dice: &mut Dice) -> Option<Pair> {
    let count = 14 + dice.number(17);
    let sccs = (0..count).map(|index| dice.throw(random::scc(format!("s{index}"))));
    let objects = sccs.chain([random::namespace()]).collect();
    granted(dice, objects)
}

/// Both forms of a policy, with random grants of its SCCs.
pub(crate) fn granted(dice: &mut Dice, mut objects: Vec<Value>) -> Option<Pair> {
    let sccs = objects.len().max(6) - 1;
    let subjects = [
        json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "alice"}),
        json!({"kind": "ServiceAccount", "name": "sa", "namespace": "dev"}),
        json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts:dev"}),
        json!({"kind": "ServiceAccount", "name": "daemon-set-controller", "namespace": "kube-system"}),
        json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts:kube-system"}),
    ];
    for (index, subject) in subjects.iter().enumerate() {
        // Without a name a role would grant all.
        let granted = (0..dice.number(3)).map(|_| format!("s{}", dice.number(sccs)));
        let names: Vec<String> = granted.chain(["none".to_owned()]).collect();
        let name = format!("r{index}");
        objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"verbs": ["use"], "apiGroups": ["security.openshift.io"],
                "resources": ["securitycontextconstraints"], "resourceNames": names}]}));
        objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": "dev"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}, "subjects": [subject]}));
    }
    let mut builder = PolicyBuilder::default();
    for object in &objects {
        assert!(builder.add(object).expect("usable"));
    }
    Pair::try_new(builder.build(), vec![random::namespace()]).ok()
}

/// A change of a running pod, and the subresource that it is made by.
fn change(dice: &mut Dice, old: &Value) -> (Value, &'static str) {
    let mut new = old.clone();
    match dice.number(9) {
        0 => new["metadata"]["labels"] = json!({"a": "b"}),
        1 => new["metadata"]["finalizers"] = json!(["a/b"]),
        2 => new["spec"]["schedulingGates"] = json!([{"name": "g"}]),
        3 => new["metadata"]["annotations"]["k8s.ovn.org/pod-networks"] = json!("{}"),
        4 => new["metadata"]["annotations"]["openshift.io/required-scc"] = json!("s1"),
        5 => new["metadata"]["annotations"]["openshift.io/scc"] = json!("s0"),
        6 => new["spec"]["containers"][0]["image"] = json!("other"),
        7 => {
            new["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
            return (new, "resize");
        }
        _ => {
            let other = dice.throw(random::pod());
            new["spec"]["ephemeralContainers"] = other["spec"]["containers"].clone();
            return (new, "ephemeralcontainers");
        }
    }
    (new, "")
}

/// Creates, updates, and validations of pods that others have changed, some with forged or required SCCs.
#[test]
fn ten_thousand_random_requests_are_decided_alike() {
    let mut dice = Dice::new();
    let mut differences = Vec::new();
    let mut admitted = 0;
    for index in 0..POLICIES {
        let is_large = index % 10 == 9;
        let next = if is_large { large_pair } else { pair };
        let pair = std::iter::from_fn(|| Some(next(&mut dice))).flatten().next().unwrap();
        for _ in 0..REQUESTS {
            let mut pod = dice.throw(random::pod());
            for key in ["openshift.io/required-scc", "openshift.io/scc"] {
                if dice.number(10) == 0 {
                    pod["metadata"]["annotations"][key] = json!(format!("s{}", dice.number(6)));
                }
            }
            if dice.number(10) == 0 {
                let key =
                    ["seccomp-profile.kubernetes.cri-o.io/POD", "seccomp-profile.crio.io"][dice.number(2)];
                let profiles =
                    ["", "runtime/default", "docker/default", "unconfined", "localhost/p", "quay.io/p:1"];
                pod["metadata"]["annotations"][key] = json!(profiles[dice.number(6)]);
            }
            if dice.number(10) == 0 {
                let of =
                    if dice.number(2) == 0 { &mut pod["spec"] } else { &mut pod["spec"]["containers"][0] };
                of["securityContext"]["seccompProfile"] = json!({"type": "OCI"});
            }
            let is_mirrored = dice.number(20) == 0;
            if is_mirrored {
                pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("x");
            }
            let mut create = review("CREATE", "", pod.clone(), Value::Null);
            // Of others the annotation means nothing.
            if is_mirrored && dice.number(4) > 0 {
                create["request"]["userInfo"]["groups"] = json!(["system:nodes", "system:authenticated"]);
            }
            let (case, difference) = match dice.number(4) {
                0 => {
                    let old = pair.admitted(&create).unwrap_or(pod);
                    let (new, sub_resource) = change(&mut dice, &old);
                    let update = review("UPDATE", sub_resource, new, old);
                    let difference = pair.difference(&update);
                    (update, difference)
                }
                // With many SCCs only the annotated one counts there, as docs/policies.md says.
                1 if !is_large => {
                    let difference = pair.difference_of_validation(&create);
                    (create, difference)
                }
                _ => {
                    let difference = pair.difference(&create);
                    (create, difference)
                }
            };
            admitted += usize::from(pair.is_admitted(&case));
            let seed = dice.seed;
            differences
                .extend(difference.map(|difference| format!("PALISADE_SEED={seed} {case}\n{difference}")));
        }
    }
    let requests = POLICIES * REQUESTS;
    assert!((requests / 20..requests / 20 * 19).contains(&admitted), "{admitted} of {requests} are admitted");
    assert_none(&differences, requests);
}
