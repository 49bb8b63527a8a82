//! An administrator's operations: backups, allocation of ranges to namespaces, starts with existing data.
#![cfg(all(feature = "cluster", feature = "serve"))]
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod server;

use server::Server;

#[test]
fn a_server_is_backed_up_and_taken_back_while_it_serves() {
    let server = Server::start("4");
    server.run("oc login -u system:admin && oc new-project shop && oc create serviceaccount kept -n shop");
    server.run("oc adm policy add-scc-to-user anyuid system:serviceaccount:shop:kept");
    let can = "oc auth can-i use scc/anyuid --as system:serviceaccount:shop:kept";
    assert_eq!(server.run(can), "yes\n");
    let saved = server.run("oc backup all.backup");
    assert!(saved.starts_with("all.backup: "), "{saved}");
    let (code, said) = server.fail("oc backup all.backup");
    assert!(code == 2 && said.contains("all.backup: already exists"), "{code} {said}");

    // Later: one is deleted, another new, a right removed, the namespace created anew.
    server.run("oc adm policy remove-scc-from-user anyuid system:serviceaccount:shop:kept");
    server.run("oc delete project shop && oc new-project later");
    assert_eq!(server.fail(can).0, 1);
    let said = server.run("oc restore all.backup");
    assert!(said.starts_with("all.backup: restored as of revision "), "{said}");
    server.run("oc get serviceaccount kept -n shop");
    assert_eq!(server.run(can), "yes\n", "rights are those of the backup at once");
    assert!(server.fail("oc get namespace later").1.contains("NotFound"));
    // A later namespace does not get the ranges of the backup's namespaces.
    server.run("oc new-project after");
    server.run("oc adm ranges");

    server.write("junk", "junk");
    let (code, said) = server.fail("oc restore junk");
    assert!(code == 1 && said.contains("is not a backup of a Palisade store"), "{code} {said}");
    server.run("oc get serviceaccount kept -n shop");
    // Only who may do everything may.
    for (line, refused) in
        [("oc backup b --as ann", "Forbidden"), ("oc restore all.backup --as ann", "you may not restore")]
    {
        let (_, said) = server.fail(line);
        assert!(said.contains(refused), "{line}: {said}");
    }
    assert!(!server.home.path().join("b").exists() && !server.home.path().join("b.partial").exists());

    // A new server begins with it, on a folder that holds nothing.
    let begin =
        "palisade serve --listen 127.0.0.1:0 --from-backup all.backup --write-kubeconfig new.kubeconfig";
    server.run(&format!(
        "{begin} --data-dir new > new.log & pid=$!; \
         for i in $(seq 100); do grep -q Next new.log && break; sleep 0.1; done; \
         oc --kubeconfig new.kubeconfig get serviceaccount kept -n shop; code=$?; kill $pid; wait $pid; exit $code"
    ));
    let (code, said) = server.fail(&format!("{begin} --data-dir new"));
    assert!(code == 2 && said.contains("already exists"), "{code} {said}");
}

#[test]
fn ranges_are_repaired_and_what_is_shared_is_told() {
    let mut server = Server::start("4");
    server.run("oc login -u system:admin && oc new-project a && oc new-project b");
    assert!(server.run("oc adm ranges").contains("NAMESPACE"));
    let range = "{.metadata.annotations.openshift\\.io/sa\\.scc\\.uid-range}";
    let uids =
        |server: &Server, name: &str| server.run(&format!("oc get namespace {name} -o jsonpath='{range}'"));
    let a = uids(&server, "a");

    // Removed ranges are restored; written ranges stay, and shared ones are reported.
    server.run("oc annotate namespace b openshift.io/sa.scc.uid-range-");
    server.soon(&format!("test -n \"$(oc get namespace b -o jsonpath='{range}')\""));
    assert_ne!(uids(&server, "b"), a);
    server.run(&format!("oc annotate namespace b --overwrite openshift.io/sa.scc.uid-range={a}"));
    let output = server.shell("oc adm ranges");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("b: its user IDs from ") && said.contains("a's too"), "{said}");

    // A block that somebody writes is reserved from then on: the next ones, which are free, are not allocated.
    let start: u64 = a.split('/').next().unwrap().parse().unwrap();
    let next: Vec<String> = (0..10).map(|at| format!("{}/10000", start + at * 10_000)).collect();
    let taken = String::from_utf8_lossy(&server.shell("oc adm ranges").stdout).into_owned();
    assert!(taken.contains(&a), "{taken}");
    let free = next.iter().find(|range| !taken.contains(range.as_str())).unwrap();
    server.run(&format!("oc annotate namespace b --overwrite openshift.io/sa.scc.uid-range={free}"));
    server.run("oc new-project e");
    assert_ne!(&uids(&server, "e"), free);
    server.run(&format!("oc annotate namespace b --overwrite openshift.io/sa.scc.uid-range={a}"));
    // The block stays taken when one of the two goes, and after a restart.
    server.run("oc delete project a && oc new-project c");
    assert_ne!(uids(&server, "c"), a);
    server.stop();
    server.restart();
    // It listens elsewhere now.
    server.run("cp data/admin.kubeconfig .kube/config && oc new-project d");
    assert_ne!(uids(&server, "d"), a);
}

const VOLUMES: &str = r#"
{apiVersion: v1, kind: PersistentVolume, metadata: {name: small}, spec: {capacity: {storage: 2Gi},
  accessModes: [ReadWriteOnce, ReadOnlyMany], hostPath: {path: /data/small}, persistentVolumeReclaimPolicy: Delete}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: labelled, labels: {disk: ssd}}, spec: {capacity: {storage: 9Gi},
  accessModes: [ReadWriteOnce], hostPath: {path: /data/labelled}}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: other-class}, spec: {capacity: {storage: 2Gi},
  accessModes: [ReadWriteOnce], hostPath: {path: /data/class}, storageClassName: fast}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: spare-20}, spec: {capacity: {storage: 20Gi},
  accessModes: [ReadWriteOnce], hostPath: {path: /data/20}}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: spare-5}, spec: {capacity: {storage: 5Gi},
  accessModes: [ReadWriteOnce], hostPath: {path: /data/5}}}
"#;

#[test]
fn claims_get_the_smallest_volume_that_fits() {
    let server = Server::start("4");
    server.run("oc login -u system:admin && oc new-project shop");
    server.write("volumes.yaml", VOLUMES);
    let claim = |name: &str, size: &str, more: &str| {
        format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{accessModes: \
             [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}{more}}}}}\n---\n"
        )
    };
    // Claims first, so that the volumes come to claims that wait.
    let claims = [
        claim("one", "1Gi", ""),
        claim("two", "1Gi", ", selector: {matchExpressions: [{key: disk, operator: In, values: [ssd]}]}"),
        claim("fast", "2147483648", ", storageClassName: fast"),
        claim("huge", "1Ti", ""),
        claim("endless", "1e99", ""),
    ];
    server.write("claims.yaml", &claims.concat());
    server.run("oc create -f claims.yaml && oc create -f volumes.yaml");
    let volume = |name: &str| server.run(&format!("oc get pvc {name} -o jsonpath='{{.spec.volumeName}}'"));
    for (name, wanted) in [("one", "small"), ("two", "labelled"), ("fast", "other-class")] {
        server.soon(&format!("test \"$(oc get pvc {name} -o jsonpath='{{.status.phase}}')\" = Bound"));
        assert_eq!(volume(name), wanted, "{name}");
    }
    for name in ["huge", "endless"] {
        assert_eq!(volume(name), "", "{name}");
    }
    // Of the free volumes, the smallest.
    server.write("claim.yaml", &claim("three", "1Gi", ""));
    server.run("oc create -f claim.yaml");
    server.soon("test \"$(oc get pvc three -o jsonpath='{.spec.volumeName}')\" = spare-5");
    let shown = server.run("oc get pv,pvc");
    assert!(shown.contains("shop/one") && shown.contains("RWO,ROX"), "{shown}");
    // The volume itself specifies what becomes of it when its claim is deleted.
    server.run("oc delete pvc one two");
    server.soon("! oc get pv small");
    server.soon("test \"$(oc get pv labelled -o jsonpath='{.status.phase}')\" = Released");
}

#[test]
fn the_server_counts_what_it_does() {
    let server = Server::start("4");
    server.run("oc login -u system:admin && oc get pods && oc get pods");
    server.fail("oc get pod nothing");
    let counted = server.run("oc get --raw /metrics");
    let pods = "group=\"\",resource=\"pods\",subresource=\"\"";
    for line in [
        format!("apiserver_request_total{{verb=\"LIST\",{pods},code=\"200\"}} 2"),
        format!("apiserver_request_total{{verb=\"GET\",{pods},code=\"404\"}} 1"),
        format!("apiserver_request_duration_seconds_count{{verb=\"LIST\",{pods}}} 2"),
        "apiserver_current_inflight_requests 1".to_owned(),
    ] {
        assert!(counted.lines().any(|found| found == line), "{line} in\n{counted}");
    }
    // A user without rights learns nothing.
    assert!(server.fail("oc get --raw /metrics --as nobody").1.contains("Forbidden"));
}

#[test]
fn a_clock_that_jumps_ends_what_is_bound_to_time_and_nothing_else() {
    let Some(server) = Server::with_clock() else {
        eprintln!("skipped: there is no libfaketime; install the package libfaketime");
        return;
    };
    server.run("oc create sa a && oc create token a --duration 1h > token");
    let who = "oc whoami --token $(cat token)";
    let mut made = 0;
    // Tokens are good from their making to their end; certificates, and writes, at every hour between.
    for (clock, is_good) in
        [("+0", true), ("+3h", false), ("-3h", false), ("-2d", false), ("+400d", false), ("+0", true)]
    {
        server.clock(clock);
        assert_eq!(server.shell(who).status.success(), is_good, "{clock}");
        made += 1;
        server.run(&format!("oc create role r{made} --verb get --resource pods"));
        let count = server.run("oc get roles -o name").lines().count();
        assert_eq!(count, made, "{clock}");
    }
    // Versions count writes, not time: what comes later is later.
    let versions = server
        .run("for i in 1 2 3 4 5 6; do oc get role r$i -o jsonpath='{.metadata.resourceVersion} '; done");
    let versions: Vec<u64> = versions.split_whitespace().map(|version| version.parse().unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    // After the end of the certificates nobody is authenticated, until the clock is right again.
    let wait =
        |file: &str| format!("for i in $(seq 400); do test -s {file} && exit; sleep 0.1; done; exit 1");
    server.run(&format!(
        "(oc get roles --watch > watched 2>&1; echo yes > ended) >/dev/null 2>&1 & {}",
        wait("watched")
    ));
    assert!(!server.home.path().join("ended").exists());
    server.clock("+9000d");
    // Neither a watch nor a connection outlives its certificate.
    server.run(&wait("ended"));
    let (code, said) = server.fail("oc get roles");
    assert!(code == 2 && said.contains("CertificateExpired"), "{code} {said}");
    server.clock("+0");
    assert_eq!(server.run("oc get roles -o name").lines().count(), made);
}

/// A separate file system for a server's data; `None` if this process may not mount.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(server: &Server) -> Option<Self> {
        let folder = server.home.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mount = server.shell("mount -t tmpfs -o size=12m none disk");
        mount.status.success().then_some(Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_or_read_only_refuses_writes_until_it_is_not() {
    let server = Server::start("4");
    let Some(_disk) = Disk::new(&server) else {
        eprintln!("skipped: this process may not mount a file system of its own");
        return;
    };
    let second = server.second("disk/data");
    let oc = "oc --kubeconfig disk/data/admin.kubeconfig";
    server.run(&format!("{oc} create sa kept"));
    // Full disk: reported to writers; reads are answered.
    server.shell("dd if=/dev/zero of=disk/junk bs=64k 2>/dev/null");
    let large = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: large}}, data: {{a: {}}}}}",
        "x".repeat(900_000)
    );
    server.write("large.yaml", &large);
    let (_, said) = server.fail(&format!("{oc} create -f large.yaml"));
    assert!(said.contains("the server's disk is full"), "{said}");
    server.run(&format!("{oc} get sa kept"));
    assert!(server.fail(&format!("{oc} get cm large")).1.contains("NotFound"));
    server.run(&format!("rm disk/junk && {oc} create -f large.yaml && {oc} get cm large"));
    // Read-only: the same. SQLite keeps its files open for writing, so a remount must be forced.
    if server.shell("mount -o remount,ro disk").status.success() {
        server.fail(&format!("{oc} create sa not-kept"));
        server.run(&format!("{oc} get sa kept"));
        server.run(&format!("mount -o remount,rw disk && {oc} create sa kept-too"));
    } else {
        eprintln!("not tried: this kernel makes no file system read-only that is written to");
    }
    // A server does not start if it cannot write, and reports that.
    drop(second);
    server.run("mount -o remount,ro disk");
    let (code, said) = server.fail("palisade serve --listen 127.0.0.1:0 --data-dir disk/data");
    assert!(code == 2 && said.contains("disk/data"), "{code} {said}");
    server.run("mount -o remount,rw disk");
    let _second = server.second("disk/data");
    assert!(server.run(&format!("{oc} get sa -o name")).contains("serviceaccount/kept\n"));
}

#[test]
fn a_change_of_sccs_is_tried_on_what_runs() {
    let server = Server::start("4");
    server.run("oc login -u system:admin && oc new-project shop && oc create serviceaccount root");
    server.run("oc adm policy add-scc-to-user anyuid -z root");
    server.write(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  serviceAccountName: root\n  securityContext: {runAsUser: 0}\n  containers: [{name: app, image: x}]\n",
    );
    server.run("oc create -f pod.yaml --as system:serviceaccount:shop:root --as-group system:masters");
    server.run("oc get scc anyuid -o yaml > same.yaml");
    server.run("sed '/^runAsUser:/,/type:/ s/RunAsAny/MustRunAsNonRoot/' same.yaml > tight.yaml && ! cmp -s same.yaml tight.yaml");
    let said = server.run("palisade scc impact --cluster --with same.yaml");
    assert!(said.starts_with("0 of "), "{said}");
    let said = server.run("palisade scc impact --cluster --with tight.yaml -n shop; test $? = 1");
    assert!(
        said.contains("pod/web in shop: anyuid -> refused") && said.contains("1 of 1 workloads"),
        "{said}"
    );
}

#[test]
fn a_cluster_is_named_by_kubeconfig_and_context_and_missed_by_its_address() {
    let server = Server::start("4");
    server.run("oc login -u system:admin && mv .kube/config here.kubeconfig");
    for line in [
        "palisade status --kubeconfig here.kubeconfig",
        "palisade review --cluster --kubeconfig here.kubeconfig",
    ] {
        server.run(line);
    }
    let nowhere = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                   contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n";
    server.write("nowhere.kubeconfig", nowhere);
    for command in
        ["status", "uninstall", "install --apply", "review --cluster", "policies status", "policies remove"]
    {
        let (code, said) = server.fail(&format!("palisade {command} --kubeconfig nowhere.kubeconfig"));
        let why = "error: the API server at https://127.0.0.1:1 cannot be reached: Connection refused";
        assert!(code == 2 && said.contains(why), "{command}: {code} {said}");
    }
    for (options, why) in [
        ("--kubeconfig none.kubeconfig", "none.kubeconfig"),
        ("--kubeconfig nowhere.kubeconfig --context b", "the connection cannot be set up"),
    ] {
        let (code, said) = server.fail(&format!("palisade status {options}"));
        assert!(code == 2 && said.contains(why), "{options}: {code} {said}");
    }
}
