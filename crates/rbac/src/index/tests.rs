use super::*;
use palisade_k8s::manifest;

fn rbac(yaml: &str) -> Rbac {
    let documents = manifest::read(yaml).unwrap();
    documents
        .iter()
        .map(|document| {
            let json = document.to_json();
            let role = || serde_json::from_value(json.clone()).unwrap();
            let binding = || serde_json::from_value(json.clone()).unwrap();
            match RbacKind::parse(document.get("kind").unwrap().as_str().unwrap()).unwrap() {
                RbacKind::ClusterRole => RbacObject::cluster_role(role()),
                RbacKind::Role => RbacObject::role(role()),
                RbacKind::ClusterRoleBinding => RbacObject::cluster_role_binding(binding()),
                RbacKind::RoleBinding => RbacObject::role_binding(binding()),
            }
        })
        .collect()
}

fn may(rbac: &Rbac, user: &str, groups: &[&str], name: &str, namespace: &str) -> bool {
    let action = Action { verb: "use", group: "g", resource: "things", name, namespace };
    rbac.authorize(&User { name: user, groups }, &action).is_some()
}

const RULE: &str = "verbs: [use], apiGroups: [g], resources: [things]";

fn scopes() -> Rbac {
    rbac(&format!(
        "{{kind: ClusterRole, metadata: {{name: all}}, rules: [{{{RULE}}}]}}\n---\n\
         {{kind: Role, metadata: {{name: one, namespace: a}}, rules: [{{{RULE}, resourceNames: [x]}}]}}\n---\n\
         {{kind: ClusterRoleBinding, metadata: {{name: b1}}, roleRef: {{kind: ClusterRole, name: all}},\n\
          subjects: [{{kind: Group, name: admins}}, {{kind: ServiceAccount, name: lost}}]}}\n---\n\
         {{kind: RoleBinding, metadata: {{name: b2, namespace: a}}, roleRef: {{kind: Role, name: one}},\n\
          subjects: [{{kind: ServiceAccount, name: sa}}, {{kind: User, name: joe}}]}}\n---\n\
         {{kind: RoleBinding, metadata: {{name: b3, namespace: b}}, roleRef: {{kind: Role, name: one}},\n\
          subjects: [{{kind: User, name: joe}}]}}"
    ))
}

#[test]
fn scopes_and_subjects() {
    let rbac = scopes();
    for (user, groups, name, namespace, allowed) in [
        ("any", &["admins"][..], "y", "", true),
        ("system:serviceaccount:a:sa", &[], "x", "a", true),
        ("system:serviceaccount:a:sa", &[], "y", "a", false),
        ("system:serviceaccount:b:sa", &[], "x", "a", false),
        ("joe", &[], "x", "a", true),
        // The role is in another namespace.
        ("joe", &[], "x", "b", false),
        ("system:serviceaccount::lost", &[], "x", "", false),
    ] {
        assert_eq!(
            may(&rbac, user, groups, name, namespace),
            allowed,
            "{user} {groups:?} {name} {namespace}"
        );
    }
}

#[test]
fn each_object_comes_and_goes_alone() {
    let mut rbac = scopes();
    rbac.remove(RbacKind::Role, "a", "one");
    assert!(!may(&rbac, "joe", &[], "x", "a"), "a binding of a role that is not there grants nothing");
    rbac.apply(RbacObject::role(
        serde_json::from_str(
            r#"{"metadata": {"name": "one", "namespace": "a"}, "rules": [
                {"verbs": ["use"], "apiGroups": ["g"], "resources": ["things"]}]}"#,
        )
        .unwrap(),
    ));
    assert!(may(&rbac, "joe", &[], "z", "a"), "the role is back, with more in it");
    rbac.apply(RbacObject::role_binding(
        serde_json::from_str(
            r#"{"metadata": {"name": "b2", "namespace": "a"}, "roleRef": {"kind": "Role", "name": "one"},
                "subjects": [{"kind": "User", "name": "ann"}]}"#,
        )
        .unwrap(),
    ));
    assert!(!may(&rbac, "joe", &[], "x", "a") && may(&rbac, "ann", &[], "x", "a"));
    rbac.remove(RbacKind::RoleBinding, "a", "b2");
    rbac.remove(RbacKind::ClusterRoleBinding, "", "b1");
    rbac.remove(RbacKind::RoleBinding, "b", "b3");
    rbac.remove(RbacKind::RoleBinding, "b", "never was");
    assert!(rbac.users.is_empty() && rbac.groups.is_empty() && rbac.bindings.is_empty(), "{rbac:?}");
}

#[test]
fn the_first_binding_by_name_is_reported() {
    let rbac = rbac(&format!(
        "{{kind: ClusterRole, metadata: {{name: all}}, rules: [{{{RULE}}}]}}\n---\n\
         {{kind: ClusterRoleBinding, metadata: {{name: b}}, roleRef: {{kind: ClusterRole, name: all}},\n\
          subjects: [{{kind: User, name: joe}}]}}\n---\n\
         {{kind: ClusterRoleBinding, metadata: {{name: a}}, roleRef: {{kind: ClusterRole, name: all}},\n\
          subjects: [{{kind: Group, name: g2}}, {{kind: Group, name: g1}}]}}\n---\n\
         {{kind: RoleBinding, metadata: {{name: a, namespace: here}}, roleRef: {{kind: ClusterRole, name: all}},\n\
          subjects: [{{kind: User, name: joe}}]}}"
    ));
    let action = Action { verb: "use", group: "g", resource: "things", name: "x", namespace: "here" };
    for (groups, expected) in [
        (&["g1", "g2"][..], "ClusterRoleBinding a to Group g2, of ClusterRole all"),
        (&[], "ClusterRoleBinding b to User joe, of ClusterRole all"),
    ] {
        let grant = rbac.authorize(&User { name: "joe", groups }, &action).unwrap();
        assert_eq!(grant.to_string(), expected);
    }
    assert_eq!(rbac.rules(&User { name: "joe", groups: &["g1", "g2"] }, "here").count(), 1);
}

#[test]
fn aggregation_follows_labels_through_cycles() {
    let rbac = rbac(&format!(
        "{{kind: ClusterRole, metadata: {{name: leaf, labels: {{to: mid}}}}, rules: [{{{RULE}}}]}}\n---\n\
         {{kind: ClusterRole, metadata: {{name: mid, labels: {{to: top}}}},\n\
          aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{to: mid}}}}, {{matchLabels: {{to: top}}}}]}}}}\n---\n\
         {{kind: ClusterRole, metadata: {{name: top}}, rules: [{{verbs: ['*'], apiGroups: ['*'], resources: ['*']}}],\n\
          aggregationRule: {{clusterRoleSelectors: [{{matchExpressions: [{{key: to, operator: In, values: [top]}}]}}]}}}}\n---\n\
         {{kind: ClusterRoleBinding, metadata: {{name: b}}, roleRef: {{kind: ClusterRole, name: top}},\n\
          subjects: [{{kind: User, name: joe}}]}}"
    ));
    assert!(may(&rbac, "joe", &[], "x", "a"));
    let other = Action { verb: "get", group: "g", resource: "things", name: "x", namespace: "a" };
    let joe = User { name: "joe", groups: &[] };
    assert!(rbac.authorize(&joe, &other).is_none(), "own rules of an aggregated role do not count");
    assert_eq!(rbac.role_rules(RbacKind::ClusterRole, "", "top").unwrap().len(), 1);
    assert!(rbac.role_rules(RbacKind::ClusterRole, "", "none").is_none());
}

/// A role counts once, however often and by however many subjects of a user it is bound.
#[test]
fn a_role_that_is_bound_again_counts_once() {
    let mut text = format!(
        "{{kind: ClusterRole, metadata: {{name: part, labels: {{in: both}}}}, rules: [{{{RULE}, resourceNames: [second]}}]}}\n---\n\
         {{kind: Role, metadata: {{name: one, namespace: a}}, rules: [{{{RULE}, resourceNames: [first]}}]}}"
    );
    for name in ["left", "right"] {
        text += &format!(
            "\n---\n{{kind: ClusterRole, metadata: {{name: {name}}}, rules: [], \
             aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{in: both}}}}]}}}}"
        );
    }
    for (at, (kind, role)) in
        [("Role", "one"), ("ClusterRole", "left"), ("Role", "one"), ("ClusterRole", "right")]
            .iter()
            .enumerate()
    {
        text += &format!(
            "\n---\n{{kind: RoleBinding, metadata: {{name: b{at}, namespace: a}}, roleRef: {{kind: {kind}, name: {role}}}, \
             subjects: [{{kind: User, name: joe}}, {{kind: Group, name: g{}}}, {{kind: Group, name: all}}]}}",
            at % 2
        );
    }
    let rbac = rbac(&text);
    for groups in [&[][..], &["g0"], &["all", "g1", "g0"]] {
        let user = User { name: "joe", groups };
        let names: Vec<&str> =
            rbac.rules(&user, "a").flat_map(|rule| &rule.resource_names).map(String::as_str).collect();
        assert_eq!(names, ["first", "second"], "{groups:?}");
        assert!(may(&rbac, "joe", groups, "second", "a") && !may(&rbac, "joe", groups, "third", "a"));
    }
}
