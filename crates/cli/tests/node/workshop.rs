//! The second half of the workshop's page.

use crate::up::{Up, is_skipped};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/workshop");

#[test]
fn the_page_runs() {
    if is_skipped() {
        return;
    }
    let up = Up::start("10.85.11.0/24");
    up.must(&["apply", "-f", &format!("{EXAMPLES}/namespace.yaml")]);
    // In the page's SCC of set 3 nobody may choose a profile: the workshop's administrator is privileged.
    for pod in ["trustworthy-pod.yaml", "explorer.yaml"] {
        up.must(&["apply", "-f", &format!("{EXAMPLES}/{pod}")]);
    }
    up.must(&["run", "plain", "-n", "sso", "--image=sotrustworthy:latest"]);
    for pod in ["trustworthy-pod", "explorer", "plain"] {
        up.until(pod, |up| {
            up.ask(&["get", "pod", pod, "-n", "sso", "-o", "jsonpath={.status.phase}"]) == "Running"
        });
    }
    let inside = |pod: &str, script: &str| up.ask(&["exec", "-n", "sso", pod, "--", "sh", "-c", script]);
    // The explorer changes permissions and moves files, and opens no raw socket.
    let work = "cd /srv && chmod 640 note && mv note moved && ls -l moved && cat moved";
    let said = inside("explorer", work);
    assert!(said.starts_with("-rw-r-----") && said.ends_with("hello"), "{said}");
    assert!(inside("explorer", "ping -c 1 127.0.0.1 2>&1").contains("permission denied"));
    assert!(inside("explorer", "mkdir /mount/test-volume/d 2>&1").contains("Operation not permitted"));
    assert!(inside("explorer", "grep Seccomp: /proc/self/status").ends_with('2'));
    // It serves its files.
    let address = up.must(&["get", "pod", "explorer", "-n", "sso", "-o", "jsonpath={.status.podIP}"]);
    let said = inside("trustworthy-pod", &format!("wget -qO- http://{address}:8080/moved"));
    assert_eq!(said, "hello");
    // The trustworthy pod is unconfined; so is, in the page's time, every pod that requests no profile.
    for pod in ["trustworthy-pod", "plain"] {
        assert!(inside(pod, "grep Seccomp: /proc/self/status").ends_with('0'), "{pod}");
    }
    let described = up.must(&["describe", "pod", "explorer", "-n", "sso"]);
    for word in ["Scheduled", "Pulled", "Created", "Started"] {
        assert!(described.contains(word), "{word}: {described}");
    }
    up.must(&["delete", "pod", "--all", "-n", "sso", "--grace-period=1"]);
}
