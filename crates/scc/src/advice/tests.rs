//! Edits, grants and SCCs of one's own for single fields; that they work is a property of `palisade-testing`.

use palisade_k8s::KernelVersion;
use serde_json::{Value, json};

use super::Refused;
use crate::fixture::{built_ins, ranges};
use crate::{Context, Entry, diff};

/// The advice to a pod whose account may use `usable`: the edits in words, the SCC to be granted, and what an SCC of
/// its own permits beyond the one that it is made from.
fn advised(usable: &[&str], pod: &Value) -> (Vec<String>, Option<String>, Vec<&'static str>) {
    let (set, ranges) = (built_ins(), ranges());
    let entries: Vec<&Entry> = set.entries().collect();
    let usable: Vec<usize> =
        (0..entries.len()).filter(|place| usable.contains(&entries[*place].name())).collect();
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    let refused =
        Refused { entries: &entries, usable: &usable, familiarity: &[], context, pod, then: &|_, _, _| true };
    assert!(!refused.is_admitted());
    let edits = refused.edits().map(|(_, edits)| edits).unwrap_or_default();
    let edits = edits.iter().map(|edit| edit.words(&edit.path)).collect();
    let grant = refused.grant().map(|place| entries[place].name().to_owned());
    let own = refused.own("own").expect("an SCC of its own");
    let base = entries[refused.base().expect("a base")].scc();
    let wider = diff(&own, base).into_iter().filter(|field| field.only_a.is_some());
    (edits, grant, wider.map(|field| field.field).collect())
}

fn pod(security: Value, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i", "securityContext": security}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

#[test]
fn a_field_in_the_way_is_taken_away_or_permitted() {
    let at = "spec.containers[0].securityContext";
    let rows = [
        (
            pod(json!({"privileged": true}), json!({})),
            vec![format!("set {at}.privileged: false")],
            "privileged",
            vec!["allowPrivilegedContainer"],
        ),
        (
            pod(json!({"runAsUser": 7}), json!({})),
            vec![format!("remove {at}.runAsUser")],
            "nonroot-v2",
            vec!["runAsUser"],
        ),
        (
            pod(json!({"runAsUser": 0}), json!({})),
            vec![format!("remove {at}.runAsUser")],
            "anyuid",
            vec!["runAsUser"],
        ),
        (
            pod(json!({"capabilities": {"add": ["SYS_TIME"]}}), json!({})),
            vec![format!("remove \"SYS_TIME\" from {at}.capabilities.add")],
            "privileged",
            vec!["allowedCapabilities"],
        ),
        (
            pod(json!({}), json!({"hostNetwork": true})),
            vec!["remove spec.hostNetwork".to_owned()],
            "hostnetwork-v2",
            vec!["allowHostNetwork"],
        ),
        (
            pod(json!({}), json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            vec!["set spec.volumes[0]: {\"name\":\"v\",\"emptyDir\":{}}".to_owned()],
            "hostmount-anyuid",
            vec!["volumes"],
        ),
        (
            pod(json!({}), json!({"securityContext": {"fsGroup": 7}})),
            vec!["remove spec.securityContext.fsGroup".to_owned()],
            "nonroot-v2",
            vec!["fsGroup"],
        ),
    ];
    for (pod, edits, grant, wider) in rows {
        let (found, granted, own) = advised(&["restricted-v2"], &pod);
        assert_eq!((found, granted.as_deref(), own), (edits, Some(grant), wider), "{pod}");
    }
}

#[test]
fn a_sysctl_goes_as_a_whole() {
    let asked = json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}});
    let (edits, _, own) = advised(&["restricted-v2"], &pod(json!({}), asked));
    assert_eq!(edits, [r#"remove {"name":"kernel.msgmax","value":"1"} from spec.securityContext.sysctls"#]);
    assert_eq!(own, ["allowedUnsafeSysctls"]);
}

#[test]
fn who_may_use_nothing_is_given_a_grant_alone() {
    let (edits, grant, _) = advised(&[], &pod(json!({}), json!({})));
    assert_eq!((edits, grant.as_deref()), (Vec::new(), Some("restricted-v2")));
}

/// The SCC of its own for a pod that may use `restricted-v2` alone.
fn own(pod: &Value) -> Option<palisade_k8s::SecurityContextConstraints> {
    let (set, ranges) = (built_ins(), ranges());
    let entries: Vec<&Entry> = set.entries().collect();
    let usable: Vec<usize> =
        (0..entries.len()).filter(|place| entries[*place].name() == "restricted-v2").collect();
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    Refused { entries: &entries, usable: &usable, familiarity: &[], context, pod, then: &|_, _, _| true }
        .own("own")
}

#[test]
fn an_scc_of_its_own_permits_what_is_needed_alone() {
    let sysctls = json!({"securityContext": {"sysctls": [
        {"name": "kernel.msgmax", "value": "1"}, {"name": "kernel.shm_rmid_forced", "value": "1"}]}});
    let scc = own(&pod(json!({}), sysctls)).unwrap();
    assert_eq!(scc.allowed_unsafe_sysctls.unwrap(), ["kernel.msgmax"], "the other is safe");
    let scc = own(&pod(json!({"allowPrivilegeEscalation": true}), json!({}))).unwrap();
    let escalation = (scc.allow_privilege_escalation, scc.default_allow_privilege_escalation);
    assert_eq!(escalation, (Some(true), Some(false)), "pods without the setting get none, as before");
    let both = json!({"volumes": [{"name": "a", "nfs": {}}, {"name": "b", "secret": {}}]});
    let mut two = pod(json!({"runAsUser": 7}), both);
    two["spec"]["initContainers"] = json!([{"name": "i"}]);
    let scc = own(&two).unwrap();
    assert_eq!(scc.run_as_user.type_, "MustRunAsNonRoot");
    let any = json!({"capabilities": {"add": ["*"]}});
    assert_eq!(own(&pod(any, json!({}))), None, "`*` would permit all capabilities");
}
