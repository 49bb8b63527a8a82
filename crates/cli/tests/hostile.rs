//! Other people's input does not control the terminal, and secrets stay secret.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod fake;

use std::os::unix::fs::PermissionsExt;

use fake::{Answer, Fake};
use serde_json::json;

/// OSC 52 (the clipboard), CSI (the cursor), C1 forms of both, and a carriage return.
const EVIL: &str = "\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{1b}[1A\u{9b}2J\u{9d}52;c;eA==\u{9c}\rok";
const SHOWN: &str = "\\x1b]52;c;ZXZpbA==\\x07\\x1b[2J\\x1b[1A\\u009b2J\\u009d52;c;eA==\\u009c\\rok";

fn is_clean(text: &str) -> bool {
    !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t'))
}

/// A text as a string of YAML and JSON, in ASCII.
fn quoted(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter {
        ' '..='~' => letter.to_string(),
        other => format!("\\u{:04x}", u32::from(other)),
    });
    format!("\"{}\"", letters.collect::<String>())
}

/// A server whose strings are all hostile.
fn hostile() -> Fake {
    Fake::start(|request| {
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "uid": "u", "labels": {"a": EVIL}, "annotations": {"note": EVIL}},
            "spec": {"nodeName": EVIL, "containers": [{"name": "c", "image": EVIL}]},
            "status": {"phase": EVIL, "message": EVIL, "userInfo": {"username": EVIL}}});
        let mut answer = match request.path.as_str() {
            path if path.contains("/events") => Answer::ok(json!({"kind": "EventList", "items": [
                {"type": "Normal", "reason": EVIL, "message": EVIL, "source": {"component": EVIL}}]})),
            path if path.contains("refused") => Answer::refused(403, "Forbidden", EVIL),
            path if path.contains("invalid") => {
                let mut answer = Answer::refused(422, "Invalid", EVIL);
                answer.body["details"] =
                    json!({"kind": EVIL, "name": EVIL, "causes": [{"field": EVIL, "message": EVIL}]});
                answer
            }
            path if path.ends_with("/projects") => {
                Answer::ok(json!({"items": [{"metadata": {"name": EVIL}}, {"metadata": {"name": "b"}}]}))
            }
            path if path.ends_with("/pods?limit=500") && request.accept.contains("Table") => {
                Answer::ok(json!({
                "kind": "Table", "columnDefinitions": [{"name": EVIL}],
                "rows": [{"cells": [EVIL], "object": {"metadata": {"labels": {"a": EVIL}}}}]}))
            }
            _ => Answer::ok(object),
        };
        answer.warning =
            Some("299 - \"careful \u{1b}]52;c;eA==\u{7}\"".replace('\u{7}', "").replace('\u{1b}', "\u{9b}"));
        answer
    })
}

#[test]
fn control_characters_are_shown_wherever_text_of_others_is_printed() {
    let fake = hostile();
    fake.write("pod.yaml", &format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {0}, namespace: {0}}}\nspec:\n  hostNetwork: true\n  containers:\n  - {{name: {0}, image: a}}\n",
        quoted(EVIL)
    ));
    for line in [
        "palisade get pods --show-labels -s $S",
        "palisade get pod web -o custom-columns=A:.spec.nodeName -s $S",
        "palisade describe pod web -s $S",
        "palisade get pod refused -s $S",
        "palisade get pod invalid -s $S",
        "palisade delete pod invalid -s $S",
        "palisade whoami -s $S",
        "palisade projects -s $S",
        "palisade login $S --token t",
        "palisade review -f pod.yaml",
        "palisade review -f pod.yaml -o wide",
        "palisade scc order pod.yaml",
        "palisade create -f $'\\x1b[2J.yaml' -s $S",
    ] {
        let (_, text) = fake.run(line);
        assert!(is_clean(&text), "{line}: {text:?}");
        assert!(
            text.contains("\\x1b[2J") || text.contains("\\u{1b}[2J") || line.contains("order"),
            "{line}: {text:?}"
        );
    }
    let (_, warned) = fake.run("palisade get pod web -o name -s $S");
    assert!(warned.contains("Warning: careful") && is_clean(&warned), "{warned:?}");
    // Forms that quote texts themselves, and data for a program, are exact.
    let (code, json) = fake.run("palisade get pod web -o json -s $S 2> /dev/null");
    assert_eq!(
        (code, serde_json::from_str::<serde_json::Value>(&json).unwrap()["status"]["phase"].as_str()),
        (0, Some(EVIL))
    );
    assert_eq!(fake.run("palisade get pod web -o jsonpath={.status.phase} -s $S 2> /dev/null").1, EVIL);
}

#[test]
fn data_is_escaped_on_a_terminal() {
    let fake = hostile();
    for line in ["get pod web -o jsonpath={.status.phase} -s $S", "get --raw /text -s $S"] {
        let on_terminal = format!("script -qec \"palisade {line} 2> /dev/null\" /dev/null");
        let (code, text) = fake.run(&on_terminal);
        assert_eq!(code, 0, "{text}");
        assert!(is_clean(&text.replace("\r\n", "\n")), "{line}: {text:?}");
        assert!(line.contains("raw") || text.contains(SHOWN), "{line}: {text:?}");
    }
}

#[test]
fn logins_at_once_are_all_kept() {
    let fake = Fake::start(|request| match request.path.as_str() {
        path if path.contains("selfsubjectreviews") => {
            Answer::ok(json!({"status": {"userInfo": {"username": request.token}}}))
        }
        _ => Answer::ok(json!({"items": []})),
    });
    // The kubeconfig is a link, beside a file that earlier versions wrote over.
    fake.run("mkdir -p .kube real; ln -s ../real/config .kube/config; echo mine > real/config.new");
    let (code, text) =
        fake.run("for i in 1 2 3 4 5 6; do palisade login $S --token u$i & done; wait; palisade whoami");
    assert_eq!(code, 0, "{text}");
    let (_, users) = fake.run("grep -c 'name: u[1-6]/' real/config; grep -c token real/config; ls -A real .kube; cat real/config.new");
    assert_eq!(users, "6\n6\n.kube:\nconfig\n\nreal:\nconfig\nconfig.new\nmine\n");
    assert!(fake.home.path().join(".kube/config").is_symlink());
    let mode = std::fs::metadata(fake.home.path().join("real/config")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A lock that stays is named.
    let (code, text) = fake.run("touch .kube/config.lock; palisade project x; palisade login $S --token u7");
    assert!(code == 2 && text.contains(".kube/config.lock"), "{text}");
}

#[test]
fn edits_leave_no_copy_behind() {
    let fake = Fake::start(|request| match request.method.as_str() {
        "PUT" => Answer::refused(409, "Conflict", "changed"),
        _ => Answer::ok(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}}),
        ),
    });
    // The editor notes who may read the file, leaves a backup beside it, and ends in different ways.
    fake.write(
        "editor",
        "#!/bin/sh\nstat -c %a \"$1\" \"$(dirname \"$1\")\" | xargs > seen\ncp \"$1\" \"$1~\"\n$DO\n",
    );
    fake.run("chmod +x editor; mkdir t");
    let edit = "TMPDIR=$PWD/t EDITOR=./editor palisade edit secret s -s $S";
    for (action, code, part) in [
        ("true", 0, "Edit cancelled, no changes made."),
        ("false", 2, "the editor \"./editor\" failed"),
        ("sed -i s/c2VjcmV0/bmV3/ $1", 1, "Error from server (Conflict): changed"),
        ("printf 'a: [' > $1", 2, "the edited text"),
        ("rm $1", 2, "No such file"),
    ] {
        fake.write("editor", &format!("#!/bin/sh\nstat -c %a \"$1\" \"$(dirname \"$1\")\" | xargs > seen\ncp \"$1\" \"$1~\"\n{action}\n"));
        let (found, text) = fake.run(edit);
        assert!(found == code && text.contains(part), "{action}: {found} {text}");
        assert_eq!(fake.run("cat seen; ls -A t").1, "600 700\n", "{action}");
    }
    // Also when it is ended from outside while the editor is open.
    for signal in ["TERM", "HUP"] {
        fake.write("editor", "#!/bin/sh\ntouch open\nexec sleep 20\n");
        let (_, text) = fake.run(&format!(
            "rm -f open; export TMPDIR=$PWD/t EDITOR=./editor; palisade edit secret s -s $S & pid=$!; \
             for i in $(seq 200); do [ -e open ] && break; sleep 0.05; done; kill -{signal} $pid; wait $pid; ls -A t"
        ));
        assert!(text.contains("interrupted") && !text.contains("palisade-edit-"), "{signal}: {text}");
    }
}
