//! Starts of `palisade serve` on folders that are there already.
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

#[test]
fn a_folder_keeps_its_set_of_sccs() {
    let mut server = Server::start("3");
    for _ in 0..2 {
        let sccs = server.run("KUBECONFIG=data/admin.kubeconfig palisade get scc -o name");
        assert_eq!(sccs.lines().count(), 7, "{sccs}");
        server.stop();
        server.restart();
    }
}

#[test]
fn a_node_whose_network_or_runtime_cannot_be_is_refused_at_once() {
    let server = Server::start("4");
    server.run("touch plain");
    for (options, expected) in [
        ("--pod-cidr 10.85.0/24", "expected an IPv4 address and a prefix length, as 10.85.0.0/24"),
        ("--pod-cidr 10.85.0.7/24", "the range begins with 10.85.0.0: give 10.85.0.0/24"),
        ("--runtime ./plain", "it is not an executable file"),
        ("--runtime no-such-runtime", "there is no such program in PATH"),
    ] {
        for command in ["up", "node --kubeconfig none"] {
            let (code, said) = server.fail(&format!("palisade {command} --node-dir node {options}"));
            assert!(code == 2 && said.contains(expected), "{command} {options}: {said}");
            assert!(!server.home.path().join("node").exists(), "{command} {options}");
        }
    }
}

#[test]
fn the_kubeconfig_is_named_for_a_terminal_in_any_folder() {
    let server = Server::start("4");
    let said = server.run(
        "KUBECONFIG=none palisade serve --listen 127.0.0.1:0 --data-dir other > said &
        until grep -q export said; do sleep 0.1; done; kill $!; wait $!; cat said",
    );
    let path = server.home.path().join("other/admin.kubeconfig").display().to_string();
    assert!(said.contains(&format!("export KUBECONFIG={path}\n")), "{said}");
}

#[test]
fn a_backup_is_not_restored_by_a_start_that_finds_its_address_taken() {
    let server = Server::start("4");
    server.run("palisade backup all.backup");
    let address = server.run("sed -n 's|.*server: https://||p' .kube/config");
    let (_, said) = server
        .fail(&format!("palisade serve --data-dir new --from-backup all.backup --listen {}", address.trim()));
    assert!(said.contains("cannot listen on 127.0.0.1:"), "{said}");
    assert!(!server.home.path().join("new").exists());
}
