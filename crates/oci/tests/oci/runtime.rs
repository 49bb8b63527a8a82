//! The handler over crun and runc, without an engine.

use crate::common::{EXPLORE, Place, assert_explored, explorer, needs, no_raw_sockets, str, text};
use serde_json::{Value, json};

const ALLOW_ALL: &str = "BgAAAAAA/38=";

#[test]
fn the_explorer_is_held_by_crun() {
    let place = Place::new(json!({}));
    let bundle = place.bundle("b", EXPLORE, |config| config["linux"]["seccomp"] = explorer());
    let output = place.run(&["run", "--bundle", str(&bundle), "held"]);
    assert_explored(&output);
    assert_eq!(output.status.code(), Some(7), "the container's own exit code");
    // Unconfined, the same container may.
    let bundle = place.bundle("u", EXPLORE, |_| {});
    let output = place.run(&["run", "--bundle", str(&bundle), "free"]);
    assert!(
        text(&output).contains("Seccomp:\t0") && !text(&output).contains("are you root?"),
        "{}",
        text(&output)
    );
}

/// crun 1.8 gives the streams of `exec` to the user of the container, also the node's /dev/null.
#[test]
fn a_process_in_a_container_does_not_come_to_own_the_null_device() {
    use std::os::unix::fs::MetadataExt;
    use std::process::Stdio;
    let place = Place::new(json!({}));
    let owner = || {
        let null = std::fs::metadata("/dev/null").unwrap();
        (null.uid(), null.gid())
    };
    let before = owner();
    let bundle = place.bundle("b", "sleep 60", |_| {});
    let id = format!("null-{}", std::process::id());
    place.detached(&bundle, &id);
    let exec = || {
        let mut exec = std::process::Command::new(place.handler());
        let words = ["exec", "-u", "23456:23457", &id, "/bin/sh", "-c", "cat; id -u; echo > /proc/self/fd/1"];
        exec.arg("--root").arg(place.path("crun")).args(words).stdin(Stdio::null());
        exec
    };
    let output = exec().output().unwrap();
    let of_input = owner();
    let ended = exec().stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let of_all = owner();
    place.quietly(&["delete", "--force", &id]);
    assert_eq!(text(&output).trim(), "23456");
    assert!(ended.success());
    assert_eq!([of_input, of_all], [before; 2]);
    let left = std::fs::read_dir("/dev").unwrap().flatten();
    let of_ours = left.filter(|file| file.file_name().to_string_lossy().starts_with(".palisade-null-"));
    assert_eq!(of_ours.count(), 0);
}

/// As after a crash: an engine that is told so forgets the container, and one that is told of a file tries again for ever.
#[test]
fn a_container_whose_state_is_lost_does_not_exist() {
    use palisade_sys::process::Process;
    let place = Place::new(json!({}));
    let (bundle, file) = (place.bundle("b", "sleep 60", |_| {}), place.path("pid"));
    let id = format!("lost-{}", std::process::id());
    place.quietly(&["create", "--bundle", str(&bundle), "--pid-file", str(&file), &id]);
    place.quietly(&["start", &id]);
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let process = Process::open(pid).unwrap();
    let (state, aside) = (place.path("crun").join(&id), place.path("aside"));
    std::fs::rename(&state, &aside).unwrap();
    let is_lost = |words: &[&str]| {
        let output = place.run(words);
        assert!(!output.status.success(), "{words:?}");
        text(&output).contains("does not exist")
    };
    assert!(!is_lost(&["kill", &id, "KILL"]), "its process runs");
    process.kill().unwrap();
    while process.is_alive().unwrap() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(is_lost(&["kill", &id, "KILL"]));
    assert!(is_lost(&["delete", &id]));
    std::fs::rename(&aside, &state).unwrap();
    place.quietly(&["delete", "--force", &id]);
    assert!(!state.exists());
}

#[test]
fn a_container_names_no_filter_for_itself() {
    let place = Place::new(json!({}));
    for (at, key) in ["run.oci.seccomp_bpf_data", "run.oci.seccomp_bpf_data\0", "io.palisade/seccomp-profile"]
        .into_iter()
        .enumerate()
    {
        let bundle = place.bundle(&format!("b{at}"), EXPLORE, |config| {
            config["annotations"] = json!({(key): ALLOW_ALL});
            config["linux"]["seccomp"] = explorer();
        });
        let output = place.run(&["run", "--bundle", str(&bundle), &format!("evil{at}")]);
        match key.contains('\0') {
            true => assert!(text(&output).contains("zero byte in its name"), "{}", text(&output)),
            false => assert_explored(&output),
        }
    }
}

#[test]
fn a_runtime_that_ignores_the_annotation_holds_it_too() {
    needs(&[("runc", "runc")]);
    let place = Place::new(json!({"runtime": "/usr/sbin/runc"}));
    let bundle = place.bundle("b", EXPLORE, |config| config["linux"]["seccomp"] = no_raw_sockets());
    assert_explored(&place.run(&["run", "--bundle", str(&bundle), "flattened"]));
}

/// A runtime that takes the filter out of the bundle before crun sees it.
fn forgetful(place: &Place) -> std::path::PathBuf {
    place.runtime(
        "forgetful",
        r#"case " $* " in *" create "*|*" run "*)
             bundle=$(echo "$*" | sed 's/.*--bundle \([^ ]*\).*/\1/')
             python3 - "$bundle/config.json" <<'END'
import json, sys
config = json.load(open(sys.argv[1]))
del config["linux"]["seccomp"], config["annotations"]["run.oci.seccomp_bpf_data"]
json.dump(config, open(sys.argv[1], "w"))
END
           esac
           exec crun "$@""#,
    )
}

#[test]
fn a_container_that_is_not_held_is_killed() {
    let place = Place::new(json!({}));
    place.settings(json!({"runtime": forgetful(&place)}));
    let bundle = place.bundle("b", "sleep 60", |config| config["linux"]["seccomp"] = explorer());
    let log = place.path("log.json");
    let id = format!("forgotten-{}", std::process::id());
    let pid = place.path("pid");
    place.quietly(&["create", "--bundle", str(&bundle), "--pid-file", str(&pid), &id]);
    let start = place.run(&["--log", str(&log), "--log-format", "json", "start", &id]);
    assert_eq!(start.status.code(), Some(1));
    assert!(text(&start).contains("was killed: the kernel says Seccomp: 0"), "{}", text(&start));
    let logged: Value = serde_json::from_str(std::fs::read_to_string(&log).unwrap().trim()).unwrap();
    assert_eq!(logged["level"], "error");
    assert!(logged["msg"].as_str().unwrap().contains("was killed"), "{logged}");
    let pid = std::fs::read_to_string(&pid).unwrap();
    let ended = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
        status.is_err() || status.unwrap().contains("State:\tZ")
    });
    assert!(ended, "process {pid} goes on");
    assert!(place.run(&["delete", "--force", &id]).status.success());
    // In the foreground it ends by the signal.
    let bundle = place.bundle("r", "sleep 60", |config| config["linux"]["seccomp"] = explorer());
    let run = place.run(&["run", "--bundle", str(&bundle), "forgotten-in-front"]);
    assert_eq!(run.status.code(), Some(137), "{}", text(&run));
    assert!(text(&run).contains("was killed: the kernel says Seccomp: 0"), "{}", text(&run));
}

#[test]
fn processes_that_join_a_container_are_held() {
    let place = Place::new(json!({}));
    let bundle = place.bundle("b", "sleep 60", |config| config["linux"]["seccomp"] = explorer());
    let id = format!("joined-{}", std::process::id());
    place.detached(&bundle, &id);
    assert_explored(&place.run(&["exec", &id, "sh", "-c", EXPLORE]));
    assert!(place.run(&["kill", &id, "KILL"]).status.success());
    let state = place.run(&["state", &id]);
    assert!(text(&state).contains("\"bundle\""), "{}", text(&state));
    assert!(place.run(&["delete", "--force", &id]).status.success());
}

#[test]
fn a_bad_config_starts_nothing() {
    let place = Place::new(json!({}));
    for (at, (seccomp, problem)) in [
        (json!({}), "linux.seccomp: 1:1: defaultAction: is missing"),
        (json!({"defaultAction": "SCMP_ACT_ALLOWED"}), "did you mean"),
        (json!(["x"]), "a profile is an object"),
    ]
    .into_iter()
    .enumerate()
    {
        let bundle =
            place.bundle(&format!("b{at}"), "echo ran", |config| config["linux"]["seccomp"] = seccomp);
        let output = place.run(&["run", "--bundle", str(&bundle), &format!("bad{at}")]);
        assert_eq!(output.status.code(), Some(1));
        let text = text(&output);
        assert!(text.contains(problem) && text.lines().count() == 1, "{text}");
    }
    let output = place.run(&["create", "--bundle", str(&place.path("missing")), "x"]);
    assert!(text(&output).contains("missing/config.json: No such file"), "{}", text(&output));
    let output = place.run(&["start", "stranger"]);
    assert!(text(&output).contains("\"stranger\" is not known"), "{}", text(&output));
}

#[test]
fn a_trusted_agent_names_the_profile_in_its_original_form() {
    let place = Place::new(json!({"trustAnnotations": true}));
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    ]});
    std::fs::write(place.path("profiles/read-only.json"), profile.to_string()).unwrap();
    let script = "mkdir /tmp/a || grep Seccomp: /proc/self/status";
    for (caps, problem) in [(json!(["CAP_CHOWN"]), true), (json!(["CAP_CHOWN", "CAP_SYS_ADMIN"]), false)] {
        let id = format!("named-{problem}");
        let bundle = place.bundle(&id, script, |config| {
            config["annotations"] = json!({"io.palisade/seccomp-profile": "localhost/read-only.json"});
            config["process"]["capabilities"] = json!({"bounding": caps});
        });
        let output = place.run(&["run", "--bundle", str(&bundle), &id]);
        assert_eq!(text(&output).contains("Read-only file system"), problem, "{}", text(&output));
        assert!(output.status.success());
    }
}

/// The syscalls that `lint` asks for, until it asks for none.
fn least_by_lint() -> Value {
    use palisade_seccomp::{Context, lint, profile, resolve, table};
    let caps = palisade_k8s::capability::CONTAINER_DEFAULT.into_iter().map(str::to_owned).collect();
    let arch = palisade_seccomp::Arch::native();
    let context = Context { arch, caps, kernel: table::NEWEST };
    let mut names = vec!["execve".to_owned()];
    for _ in 0..20 {
        let entry = json!({"names": names, "action": "SCMP_ACT_ALLOW"});
        let json = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [entry]});
        let profile = profile::read_json(&json.to_string()).0.unwrap();
        let findings = lint(&profile, &resolve(&profile, &context).rules, arch);
        let asked = findings
            .iter()
            .filter_map(|finding| finding.message.split_once(", denied here")?.0.rsplit_once(" needs "));
        let more = asked.flat_map(|(_, list)| list.split(", ").flat_map(|word| word.split(" and ")));
        let more: Vec<_> = more.map(str::to_owned).collect();
        if more.is_empty() {
            return json;
        }
        names.extend(more);
    }
    panic!("lint goes on asking: {names:?}");
}

/// Puts a dynamically linked program and its libraries into the root file system, under the name `dynamic`.
fn dynamic(place: &Place) {
    let root = place.path("rootfs");
    std::fs::copy("/bin/true", root.join("bin/dynamic")).unwrap();
    let listed = std::process::Command::new("ldd").arg("/bin/true").output().unwrap();
    for library in text(&listed).split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(library, target).unwrap();
    }
}

#[test]
fn the_least_that_lint_asks_for_starts_a_container() {
    needs(&[("runc", "runc")]);
    let least = least_by_lint();
    for settings in [json!({"runtime": "/usr/sbin/runc"}), json!({})] {
        let place = Place::new(settings.clone());
        dynamic(&place);
        for no_new_privileges in [true, false] {
            let id = format!("least-{}-{no_new_privileges}", std::process::id());
            let bundle = place.bundle(&id, "", |config| {
                config["process"]["args"] = json!(["/bin/dynamic"]);
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["linux"]["seccomp"] = least.clone();
            });
            // Go's runtime may want a thread of its own at a bad moment; what is missing always would be missing each time.
            let start = |attempt| place.run(&["run", "--bundle", str(&bundle), &format!("{id}-{attempt}")]);
            let mut said = String::new();
            let started = (0..5).any(|attempt| {
                let output = start(attempt);
                said.push_str(&text(&output));
                output.status.success()
            });
            assert!(started, "{settings} {no_new_privileges} {least}: {said}");
        }
    }
}
