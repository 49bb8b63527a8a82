//! `-o jsonpath` prints the same as the real kubectl, errors included.
#![cfg(all(feature = "cluster", feature = "serve"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod server;

use server::Server;

const PODS: &str = "\
{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app.kubernetes.io/name: web, tier: '1'}}, spec: {containers: [
  {name: one, image: img-x, ports: [{containerPort: 80}, {containerPort: 81, name: admin}]}, {name: two, image: img-y}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: only}, annotations: {text: \"line\\nbreak\"}}, spec: {priority: 0, containers: [
  {name: one, image: img-z, args: ['-v', 'true'], securityContext: {readOnlyRootFilesystem: true}}]}}
";

const TEMPLATES: &str = r#"
text
{}
{.kind}
{$.kind}
{@.kind}
{.items[*].metadata.name}
{.items[*]['metadata.name']}
{.items[*]['metadata.name','kind']}
{.items[0].metadata.labels.app\.kubernetes\.io/name}
{.items[0].metadata.labels['app\.kubernetes\.io/name']}
{.items[0].metadata.labels}
{.items[0].spec.containers[*].ports[*].containerPort}
{.items[0].spec.containers[0].ports[1:].name}
{.items[-1].metadata.name}
{.items[0:1].metadata.name}
{.items[:1].metadata.name}
{.items[::2].metadata.name}
{.items[0,1].metadata.name}
{.items[1,0].metadata.name}
{.items[-1:].metadata.name}
{.items[0:-1].metadata.name}
{.items[1:1].metadata.name}
{.items[5].metadata.name}
{.items[0:9].metadata.name}
{.items[1:0].metadata.name}
{.items[-3].metadata.name}
{.items[x].metadata.name}
{.kind[0]}
{.metadata[*]}
{.missing}
{.missing[0].more}
{..image}
{..containerPort}
{range .items[*]}{.metadata.name}{"\t"}{.spec.containers[*].image}{"\n"}{end}
{range .items[*]}{range .spec.containers[*]}{.name}-{end};{end}
{range .items[*]}{.metadata.annotations.text}|{end}
{range .missing[*]}x{end}y
{end}
{.items[?(@.metadata.name=="a")].spec.containers[0].image}
{.items[?(@.metadata.name!="a")].metadata.name}
{.items[?(@.metadata.name=='b')].spec.containers[0].args}
{.items[?(@.spec.priority==0)].metadata.name}
{.items[?(@.spec.priority>=0)].metadata.name}
{.items[?(@.spec.containers[0].securityContext.readOnlyRootFilesystem==true)].metadata.name}
{.items[?(@.metadata.annotations)].metadata.name}
{.items[*].spec.containers[?(@.ports)].name}
{.items[*].spec.containers[?(@.name>"one")].image}
{.items[0].spec.containers[0].ports[?(@.containerPort<81)].containerPort}
{.items[?(@.metadata.name==1)].metadata.name}
{.items[?(@.metadata.name=="a"].kind}
{'quoted'} {"dou\tble"}
{true}
{.kind
{.kind[}
{items}
{.a....b}
{.items[1].metadata.labels.*}
{.items[0].spec.containers[0].ports.*}
a{.kind}b{.apiVersion}c
"#;

#[test]
fn templates_are_filled_in_as_by_kubectl() {
    let server = Server::start("4");
    if !server.shell("command -v kubectl").status.success() {
        eprintln!("skipped: there is no kubectl; install the package kubernetes-client");
        return;
    }
    server.run("oc login -u system:admin && oc new-project shop");
    server.write("pods.yaml", PODS);
    server.run("oc create -f pods.yaml");
    let mut differ = Vec::new();
    for template in TEMPLATES.lines().filter(|line| !line.is_empty()) {
        server.write("template", template);
        let line = |program: &str| format!("{program} get pods a b -n shop -o jsonpath=\"$(cat template)\"");
        let [theirs, ours] = ["kubectl", "oc"].map(|program| server.shell(&line(program)));
        let is_same = if theirs.status.success() {
            ours.status.success() && ours.stdout == theirs.stdout
        } else {
            !ours.status.success()
        };
        if !is_same {
            let text = |output: &std::process::Output| {
                String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
            };
            differ.push(format!("{template}\n  kubectl: {}\n  oc:      {}", text(&theirs), text(&ours)));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
