//! `palisade serve` with the verbs of oc, as the workshop's page has them, and with kubectl.
#![cfg(all(feature = "cluster", feature = "serve"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "cluster/rollout.rs"]
mod rollout;
mod server;

use server::Server;

/// The page's description of an SCC, line by line, without its layout.
fn fields(text: &str) -> Vec<String> {
    let squeezed = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    squeezed.filter(|line| !line.is_empty()).collect()
}

const RESTRICTED: &str = "\
Name:                                      restricted
Priority:                                  <none>
Access:
  Users:                                   <none>
  Groups:                                  system:authenticated
Settings:
  Allow Privileged:                        false
  Default Add Capabilities:                <none>
  Required Drop Capabilities:              KILL,MKNOD,SYS_CHROOT,SETUID,SETGID
  Allowed Capabilities:                    <none>
  Allowed Volume Types:                    configMap,downwardAPI,emptyDir,persistentVolumeClaim,secret
  Allow Host Network:                      false
  Allow Host Ports:                        false
  Allow Host PID:                          false
  Allow Host IPC:                          false
  Read Only Root Filesystem:               false
  Run As User Strategy:  MustRunAsRange
    UID:                                   <none>
    UID Range Min:                         <none>
    UID Range Max:                         <none>
  SELinux Context Strategy: MustRunAs
    User:                                  <none>
    Role:                                  <none>
    Type:                                  <none>
    Level:                                 <none>
  FSGroup Strategy: MustRunAs
    Ranges:                                <none>
  Supplemental Groups Strategy: RunAsAny
    Ranges:                                <none>
";

const DROP_CAPABILITIES: &str = "\
---
kind: SecurityContextConstraints
apiVersion: v1
metadata:
  name: drop-capabilities
allowPrivilegedContainer: false
runAsUser:
  type: RunAsAny
seLinuxContext:
  type: RunAsAny
fsGroup:
  type: RunAsAny
supplementalGroups:
  type: RunAsAny
users:
- drop-user
groups:
- drop-group
requiredDropCapabilities:
- KILL
- MKNOD
- SYS_CHROOT
- SETPCAP
- NET_BIND_SERVICE
- NET_RAW
- SYS_CHROOT
- MKNOD
- AUDIT_WRITE
- SETFCAP
";

/// The page's objects after step 4. Its users and groups are those of the file here (the page's output is of another
/// file than it prints), and its volumes are a part: today there are more kinds.
const DESCRIBED: &str = "\
Name:                                     drop-capabilities
Priority:                                 <none>
Access:
  Users:                                  drop-user,system:serviceaccount:sso:section9
  Groups:                                 drop-group
Settings:
  Allow Privileged:                       false
  Default Add Capabilities:               <none>
  Required Drop Capabilities:             KILL,MKNOD,SYS_CHROOT,SETPCAP,NET_BIND_SERVICE,NET_RAW,SYS_CHROOT,MKNOD,AUDIT_WRITE,SETFCAP
  Allowed Capabilities:                   <none>
  Allow Host Network:                     false
  Allow Host Ports:                       false
  Allow Host PID:                         false
  Allow Host IPC:                         false
  Read Only Root Filesystem:              false
  Run As User Strategy: RunAsAny
    UID:                                  <none>
    UID Range Min:                        <none>
    UID Range Max:                        <none>
  SELinux Context Strategy: RunAsAny
    User:                                 <none>
    Role:                                 <none>
    Type:                                 <none>
    Level:                                <none>
  FSGroup Strategy: RunAsAny
    Ranges:                               <none>
  Supplemental Groups Strategy: RunAsAny
    Ranges:                               <none>
";

const VOLUMES: &str = "awsElasticBlockStore,azureDisk,azureFile,cephFS,cinder,configMap,downwardAPI,emptyDir,fc,flexVolume,flocker,gcePersistentDisk,gitRepo,glusterfs,iscsi,nfs,persistentVolumeClaim,photonPersistentDisk,quobyte,rbd,secret,vsphere";

#[test]
fn the_page_works_as_it_is_pasted() {
    let mut server = Server::start("3");
    // Step 1 and 2.
    assert!(
        server.run("oc login -u system:admin").contains("as \"system:admin\" using existing credentials.")
    );
    let sccs = server.run("oc get scc");
    let names: Vec<&str> = sccs.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let seven =
        ["anyuid", "hostaccess", "hostmount-anyuid", "hostnetwork", "nonroot", "privileged", "restricted"];
    assert_eq!(names, seven);
    assert_eq!(fields(&server.run("oc describe scc restricted")), fields(RESTRICTED));
    // Step 3.
    server.write("drop-capabilities.yml", DROP_CAPABILITIES);
    let created = server.run("oc create -f drop-capabilities.yml");
    assert_eq!(created, "securitycontextconstraints/drop-capabilities created\n");
    // Step 4.
    assert_eq!(server.run("oc create serviceaccount section9"), "serviceaccount/section9 created\n");
    let described = server.run("oc describe serviceaccount section9");
    assert!(
        described.starts_with("Name:                section9\nNamespace:           default\n"),
        "{described}"
    );
    let added =
        server.run("oc adm policy add-scc-to-user drop-capabilities system:serviceaccount:sso:section9");
    let name = "clusterrole.rbac.authorization.k8s.io/system:openshift:scc:drop-capabilities";
    assert_eq!(added, format!("{name} added: \"section9\"\n"));
    let described = fields(&server.run("oc describe scc drop-capabilities"));
    let is_apart =
        |line: &&String| line.starts_with("Allowed Volume Types:") || line.starts_with("Granted By:");
    let (apart, same): (Vec<&String>, Vec<&String>) = described.iter().partition(is_apart);
    assert_eq!(same, fields(DESCRIBED).iter().collect::<Vec<_>>());
    let volumes: Vec<&str> = apart[1].trim_start_matches("Allowed Volume Types: ").split(',').collect();
    assert!(VOLUMES.split(',').all(|volume| volumes.contains(&volume)), "{volumes:?}");
    assert!(apart[0].contains("ClusterRoleBinding system:openshift:scc:drop-capabilities"), "{apart:?}");
    // SIGTERM ends it cleanly.
    assert!(server.stop().success());
}

const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: explorer
  annotations:
    container.seccomp.security.alpha.kubernetes.io/explorer: localhost/example-explorer-profile
spec:
  containers:
    - name: explorer
      image: gcr.io/google_containers/explorer:1.0
      args: [\"-port=8080\"]
      ports:
        - containerPort: 8080
          protocol: TCP
      volumeMounts:
        - mountPath: /mount/test-volume
          name: test-volume
  volumes:
    - name: test-volume
      emptyDir: {}
";

#[test]
fn everyday_verbs_answer_as_oc_does() {
    let server = Server::start("4");
    server.write("pod.yaml", PODS);
    server.run("oc login -u system:admin");
    assert_eq!(server.run("oc whoami"), "system:admin\n");
    assert!(server.run("oc new-project sso").starts_with("Now using project \"sso\" on server"));
    assert!(server.run("oc projects").contains("  * sso\n"));
    server.run("oc create sa section9");
    // The account may not use the profile until it may use an SCC that allows it.
    let (code, _) = server.fail("oc adm policy scc-subject-review -z section9 -f pod.yaml");
    assert_eq!(code, 1);
    server.run("oc adm policy add-scc-to-user privileged -z section9");
    let reviewed = server.run("oc adm policy scc-subject-review -z section9 -f pod.yaml");
    assert!(reviewed.contains("Pod/explorer   privileged"), "{reviewed}");
    let reviewed = server.run("oc adm policy scc-review -z section9 -f pod.yaml");
    assert!(reviewed.contains("Pod/explorer   section9          privileged"), "{reviewed}");
    assert!(
        server.run("oc adm policy who-can use scc privileged").contains("system:serviceaccount:sso:section9")
    );
    // Missing subjects are granted the SCC, and reported as missing.
    let said = |line: &str| {
        let output = server.shell(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let warned = said("oc adm policy add-scc-to-user anyudi -z nosuch");
    assert!(
        warned.contains("SecurityContextConstraints 'anyudi' not found; did you mean anyuid?"),
        "{warned}"
    );
    assert!(warned.contains("ServiceAccount 'nosuch' not found in namespace 'sso'"), "{warned}");
    let warned = said("oc adm policy add-scc-to-user anyuid system:serviceaccount:default:section9");
    assert!(warned.contains("there is one of that name in namespace 'sso'"), "{warned}");
    assert_eq!(said("oc adm policy add-scc-to-group anyuid system:serviceaccounts:sso"), "");
    assert!(server.run("oc get clusterrolebinding -o name").contains("system:openshift:scc:anyudi"));
    assert_eq!(said("oc adm policy remove-scc-from-group anyuid system:serviceaccounts:sso"), "");
    assert_eq!(said("oc adm policy remove-scc-from-user anyudi -z nosuch"), "");
    assert_eq!(said("oc adm policy remove-scc-from-user anyuid system:serviceaccount:default:section9"), "");
    server.run("oc adm policy remove-scc-from-user privileged -z section9");
    assert_eq!(server.fail("oc adm policy remove-scc-from-user privileged -z section9").0, 1);

    assert_eq!(server.run("oc create -f pod.yaml"), "pod/explorer created\n");
    let scc = server.run(r"oc get pod explorer -o jsonpath='{.metadata.annotations.openshift\.io/scc}'");
    assert_eq!(scc, "privileged");
    // Nothing runs it; the server's own words come through.
    let (code, said) = server.fail("echo x | oc -n sso exec -i pod/explorer -- cat");
    assert!(code != 0 && said.contains("pod explorer does not have a host assigned"), "{code} {said}");
    server.run("oc create rolebinding edit --clusterrole=edit --user=bob");
    let (_, said) = server.fail("oc exec explorer --as bob -- ls");
    assert!(said.contains("Forbidden") && said.contains("exceeds your permissions"), "{said}");
    assert_eq!(server.run("oc apply -f pod.yaml"), "pod/explorer configured\n");
    assert_eq!(server.run("oc apply -f pod.yaml"), "pod/explorer unchanged\n");
    assert_eq!(server.run("oc label pod explorer tier=web"), "pod/explorer labeled\n");
    assert_eq!(server.run("oc get pods -l tier=web -o name"), "pod/explorer\n");
    assert!(server.run("oc get pods -o wide").contains("explorer   0/1     Pending   0"));
    let (code, said) = server.fail("oc create -f pod.yaml");
    assert_eq!(code, 1);
    assert!(
        said.contains("pod.yaml:1:1: Error from server (AlreadyExists): pods \"explorer\" already exists"),
        "{said}"
    );
    let patch = r#"oc patch pod explorer --type merge -p '{"metadata": {"labels": {"tier": null}}}'"#;
    assert_eq!(server.run(patch), "pod/explorer patched\n");
    assert_eq!(server.run("oc delete pod explorer"), "pod \"explorer\" deleted\n");
    let (code, said) = server.fail("oc get pod explorer");
    assert_eq!((code, said.as_str()), (1, "Error from server (NotFound): pods \"explorer\" not found\n"));

    assert_eq!(
        server.run("oc create role reader --verb=get,list --resource=pods"),
        "role.rbac.authorization.k8s.io/reader created\n"
    );
    server.run("oc create rolebinding readers --role=reader --user=ann");
    assert_eq!(server.run("oc auth can-i list pods --as ann"), "yes\n");
    assert_eq!(server.shell("oc auth can-i delete pods --as ann").stdout, b"no\n");
    let token = server.run("oc create token section9");
    assert_eq!(
        server.run(&format!("oc whoami --token {}", token.trim())),
        "system:serviceaccount:sso:section9\n"
    );
    server.run("oc delete namespace sso");
    assert!(!server.run("oc get namespaces -o name").contains("sso"));
}

#[test]
fn users_log_in_with_passwords() {
    let server = Server::start("4");
    server.run("echo correct-horse | oc user add ann");
    let (code, said) = server.fail("oc login -u ann -p wrong-horse");
    assert_eq!(code, 1);
    assert!(said.contains("verify you have provided the correct name and password"), "{said}");
    assert!(server.run("oc login -u ann -p correct-horse").contains("Login successful."));
    assert_eq!(server.run("oc whoami"), "ann\n");
    assert!(server.run("oc whoami -t").starts_with("sha256~"));
    // Requests of OpenShift's older clients and libraries.
    let own = "/apis/user.openshift.io/v1/users/~";
    let own: String = server.run(&format!("oc get --raw {own}"));
    assert!(own.contains("\"name\":\"ann\"") && own.contains("system:authenticated:oauth"), "{own}");
    assert_eq!(server.fail("oc get user ann").0, 1);
    assert_eq!(server.fail("oc get nodes").0, 1);
    // Everybody may ask for a project, and is its administrator.
    server.run("oc new-project anns");
    assert_eq!(server.run("oc auth can-i create pods -n anns"), "yes\n");
    assert_eq!(server.shell("oc auth can-i create pods -n default").stdout, b"no\n");
    let (_, said) = server.fail("oc create clusterrolebinding me --clusterrole=cluster-admin --user=ann");
    assert!(said.contains("cannot create resource \"clusterrolebindings\""), "{said}");
    let (_, said) = server.fail("oc create rolebinding me --clusterrole=cluster-admin --user=ann");
    assert!(said.contains("attempting to grant RBAC permissions not currently held"), "{said}");
    assert_eq!(server.run("oc get projects -o name"), "project.project.openshift.io/anns\n");
}

fn owned(name: &str, owner: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {owner}}}]}}}}\n"
    )
}

#[test]
fn initial_objects_are_restored_and_dependents_deleted() {
    let server = Server::start("4");
    server.run("oc new-project shop");
    // Objects that every cluster and every namespace has are restored.
    for (kind, name) in [("scc", "restricted-v2"), ("clusterrole", "view"), ("sa", "default")] {
        let uid = server.run(&format!("oc get {kind} {name} -o jsonpath='{{.metadata.uid}}'"));
        server.run(&format!("oc delete {kind} {name}"));
        server.soon(&format!("oc get {kind} {name} -o name"));
        assert_ne!(server.run(&format!("oc get {kind} {name} -o jsonpath='{{.metadata.uid}}'")), uid);
    }
    server.write("owner.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: owner}}\n");
    for (cascade, is_gone) in [("background", true), ("foreground", true), ("orphan", false)] {
        server.run("oc create -f owner.yaml");
        let uid = server.run("oc get cm owner -o jsonpath='{.metadata.uid}'");
        server.write("owned.yaml", &owned(cascade, &uid));
        server.run("oc create -f owned.yaml");
        server.run(&format!("oc delete cm owner --cascade={cascade}"));
        if is_gone {
            server.soon(&format!("! oc get cm {cascade}"));
        } else {
            server.soon(&format!(
                "test -z \"$(oc get cm {cascade} -o jsonpath='{{.metadata.ownerReferences[0].uid}}')\""
            ));
        }
    }
    // A finalizer holds an object until its owner removes it.
    server.write(
        "held.yaml",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/x]}}\n",
    );
    server.run("oc create -f held.yaml && oc delete cm held --wait=false");
    assert!(!server.run("oc get cm held -o jsonpath='{.metadata.deletionTimestamp}'").is_empty());
    server.run(r#"oc patch cm held --type merge -p '{"metadata": {"finalizers": null}}'"#);
    assert_eq!(server.fail("oc get cm held").0, 1);
    // The content of a namespace is deleted with it.
    server.run("oc delete namespace shop");
    assert_eq!(server.fail("oc get cm orphan").0, 1);
}

#[test]
fn a_second_server_is_refused_the_data() {
    let server = Server::start("4");
    let data = server.home.path().join("data");
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another process"), "{said}");
}

/// With the real kubectl, of whatever version there is: Debian's is the package kubernetes-client.
#[test]
fn kubectl_does_what_it_does_elsewhere() {
    let server = Server::start("4");
    if !server.shell("command -v kubectl").status.success() {
        eprintln!("skipped: there is no kubectl; install the package kubernetes-client");
        return;
    }
    server.write("pod.yaml", PODS);
    server.write("scc.yml", DROP_CAPABILITIES);
    assert!(server.kubeconfig().exists());
    assert_eq!(
        server.run("kubectl create -f scc.yml"),
        "securitycontextconstraints/drop-capabilities created\n"
    );
    assert!(server.run("kubectl get scc drop-capabilities").contains("RunAsAny"));
    assert_eq!(server.run("kubectl create namespace sso"), "namespace/sso created\n");
    assert_eq!(
        server.run("kubectl create serviceaccount section9 -n sso"),
        "serviceaccount/section9 created\n"
    );
    assert_eq!(server.run("kubectl create -f pod.yaml -n sso"), "pod/explorer created\n");
    assert!(server.run("kubectl get pods -n sso").contains("explorer   0/1     Pending"));
    assert!(server.run("kubectl describe pod explorer -n sso").contains("openshift.io/scc: privileged"));
    assert_eq!(server.run("kubectl annotate pod explorer a=b -n sso"), "pod/explorer annotated\n");
    assert_eq!(
        server.run("kubectl apply --server-side -f pod.yaml -n sso"),
        "pod/explorer serverside-applied\n"
    );
    let (_, said) =
        server.fail("sed s/explorer:1.0/explorer:2.0/ pod.yaml | kubectl apply --server-side -n sso -f -");
    assert!(said.contains("conflict"), "{said}");
    assert!(server.run("kubectl explain pod.spec.securityContext").contains("runAsUser"));
    let said = server.run("kubectl explain scc.runAsUser.type");
    assert!(said.contains("MustRunAs, MustRunAsRange, MustRunAsNonRoot or RunAsAny"), "{said}");
    assert!(server.run("kubectl auth can-i use scc/privileged").contains("yes"));
    server.run("kubectl create configmap c --from-literal=a=b -n sso");
    server.run("kubectl create clusterrole r --verb=get --resource=pods");
    server.run("kubectl create rolebinding rb --clusterrole=r --user=ann -n sso");
    assert_eq!(server.run("kubectl auth can-i get pods -n sso --as ann"), "yes\n");
    prints_the_same_yaml(&server);
    assert!(server.run("timeout 20 kubectl delete namespace sso").contains("deleted"));
    let (_, said) = server.fail("kubectl get pods --as nobody");
    assert!(said.contains("User \"nobody\" cannot list resource \"pods\" in API group \"\""), "{said}");
}

/// Whatever texts an object holds, kubectl and this program print the same YAML.
fn prints_the_same_yaml(server: &Server) {
    const PIECES: [&str; 40] = [
        "a",
        "word",
        " ",
        " ",
        "  ",
        "\n",
        "\n\n",
        ": ",
        ":",
        " #",
        "#",
        "- ",
        "-",
        "?",
        "'",
        "\"",
        "\\",
        "\t",
        ",",
        "[",
        "}",
        "0",
        "7",
        "12",
        "0x",
        "1e",
        ".",
        "_",
        "+",
        "true",
        "no",
        "~",
        "null",
        "---",
        "2026-11-24",
        "T10:20:30Z",
        "12:30",
        "\u{e9}",
        "\u{1f600}",
        "long enough to be folded somewhere",
    ];
    // The same texts in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut data = serde_json::Map::new();
    for at in 0..600 {
        let length = random(if at % 4 == 0 { 30 } else { 5 });
        let text: String = (0..length).map(|_| PIECES[random(PIECES.len())]).collect();
        data.insert(format!("t{}", random(100_000)), text.into());
    }
    for key in [
        "true",
        "1",
        "1.5",
        "0x1f",
        "2001-12-14",
        "on",
        "k2",
        "k10",
        "k02",
        "K1",
        "a-1",
        "a.1",
        "a1",
        "0",
        "00",
        "k20",
        "k200",
    ] {
        data.insert(key.to_owned(), key.into());
    }
    let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": data});
    server.write("texts.json", &object.to_string());
    server.run("oc create -n sso -f texts.json");
    for object in ["cm/texts", "pod/explorer", "clusterrole/admin", "scc/restricted-v2"] {
        // Fields that older kubectls print and newer ones do not.
        server.run(&format!(
            r#"oc patch {object} -n sso --type merge -p '{{"metadata": {{"managedFields": [{{}}]}}}}'"#
        ));
        let [theirs, ours] =
            ["kubectl", "oc"].map(|program| server.run(&format!("{program} get {object} -n sso -o yaml")));
        let differ = theirs.lines().zip(ours.lines()).find(|(theirs, ours)| theirs != ours);
        assert!(theirs == ours, "{object}: {differ:?}");
    }
}

/// The advice of `review` is followed with kubectl, by users with limited rights, and then the server admits the pod:
/// an SCC of one's own, the grant, and the edits, each by itself.
#[test]
fn advice_works_on_a_server_with_kubectl() {
    let server = Server::start("4");
    if !server.shell("command -v kubectl").status.success() {
        eprintln!("skipped: there is no kubectl; install the package kubernetes-client");
        return;
    }
    server.run("oc login -u system:admin && oc new-project shop && oc create sa web");
    server.run("oc create rolebinding ann --clusterrole=edit --user=ann");
    let pod = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  serviceAccountName: web
  containers:
  - name: web
    image: web:1
    securityContext:
      capabilities:
        add: [NET_ADMIN] # for the tunnel
";
    server.write("pod.yaml", pod);
    let apply = "kubectl --as ann --as-group system:authenticated apply -f pod.yaml";
    let (_, refused) = server.fail(apply);
    assert!(refused.contains("unable to validate against any security context constraint"), "{refused}");
    let review = server.shell("palisade review -f pod.yaml --scc-set 4 -o json").stdout;
    let review: serde_json::Value = serde_json::from_slice(&review).unwrap();
    let advice = &review["items"][0]["refusal"];
    let scc = r"kubectl -n shop get pod web -o jsonpath='{.metadata.annotations.openshift\.io/scc}'";
    let gone = "kubectl -n shop delete pod web --now";

    // An SCC of one's own.
    server.write("own.json", &advice["own"].to_string());
    server.run("kubectl apply -f own.json");
    server.soon(apply);
    assert_eq!(server.run(scc), advice["own"]["items"][0]["metadata"]["name"].as_str().unwrap());
    server.run(gone);
    server.run("kubectl delete -f own.json");
    server.fail(apply);

    // The grant.
    let grant = advice["grant"].as_str().unwrap();
    server.run(grant);
    server.soon(apply);
    assert!(grant.contains(&format!("add-scc-to-user {} ", server.run(scc))), "{grant}");
    server.run(gone);
    server.run(&grant.replace("add-scc-to-user", "remove-scc-from-user"));
    server.fail(apply);

    // The edits, on the lines that they name.
    let mut lines: Vec<&str> = pod.lines().collect();
    let mut places: Vec<u64> = advice["editPlaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| place["line"].as_u64().unwrap())
        .collect();
    places.sort_unstable();
    assert_eq!((advice["edits"].as_array().unwrap().len(), places.len()), (1, 1), "{advice}");
    for line in places.into_iter().rev() {
        assert!(lines.remove(line as usize - 1).contains("NET_ADMIN"));
    }
    server.write("pod.yaml", &(lines.join("\n") + "\n"));
    server.run(apply);
    assert_eq!(server.run(scc), advice["editsFor"].as_str().unwrap());
}
