//! A handler of its own for each test, and bundles of Debian's static busybox.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A folder with a handler, its settings, its state and a root file system.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// The packages that these tests need; prints how to install missing ones.
pub(crate) fn needs(programs: &[(&str, &str)]) {
    for (program, package) in programs {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        assert!(found.status.success(), "{program} is missing: apt-get install {package}");
    }
}

impl Place {
    /// With settings beside those that keep everything in this place.
    pub(crate) fn new(settings: Value) -> Self {
        let uid = Command::new("id").arg("-u").output().unwrap();
        assert_eq!(uid.stdout, b"0\n", "containers are made by root: run this test as root");
        needs(&[("crun", "crun"), ("busybox", "busybox-static")]);
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let bin = place.path("bin");
        std::fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_palisade-oci"), bin.join("palisade-oci")).unwrap();
        place.settings(settings);
        let rootfs = place.path("rootfs");
        for folder in ["bin", "usr", "lib", "lib64", "proc", "tmp", "dev", "sys", "etc", "data"] {
            std::fs::create_dir_all(rootfs.join(folder)).unwrap();
        }
        std::fs::write(rootfs.join("data/a"), "").unwrap();
        std::fs::copy("/usr/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for applet in ["sh", "chmod", "mv", "ping", "cat", "sleep", "grep", "true", "mkdir", "touch", "echo"]
        {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        place
    }

    pub(crate) fn settings(&self, mut settings: Value) {
        let defaults = json!({"state": self.path("state"), "profileRoot": self.path("profiles")});
        for (key, value) in defaults.as_object().unwrap() {
            if settings.get(key).is_none() {
                settings[key] = value.clone();
            }
        }
        std::fs::create_dir_all(self.path("profiles")).unwrap();
        std::fs::write(self.path("bin/palisade-oci.json"), settings.to_string()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn handler(&self) -> PathBuf {
        self.path("bin/palisade-oci")
    }

    /// A bundle whose container runs a shell script under a profile; Docker's capabilities are its own.
    pub(crate) fn bundle(&self, name: &str, script: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let bundle = self.path(name);
        std::fs::create_dir_all(&bundle).unwrap();
        let caps: Vec<_> = palisade_k8s::capability::CONTAINER_DEFAULT.to_vec();
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", script],
                "env": ["PATH=/bin"], "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            },
            "root": {"path": self.path("rootfs")},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]},
        });
        change(&mut config);
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    /// Runs the handler with its own `--root`.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        // A runtime whose filter denies what it needs may wait for ever.
        let mut command = Command::new("timeout");
        command.arg("120").arg(self.handler()).arg("--root").arg(self.path("crun")).args(words);
        command.output().unwrap()
    }

    /// Runs the handler, whose container keeps stdout and stderr open, as engines do: nobody waits for their end.
    pub(crate) fn quietly(&self, words: &[&str]) {
        let output = self.path("output");
        let file = || std::fs::File::create(&output).unwrap();
        let mut command = Command::new(self.handler());
        command.arg("--root").arg(self.path("crun")).args(words).stdout(file()).stderr(file());
        assert!(command.status().unwrap().success(), "{}", std::fs::read_to_string(&output).unwrap());
    }

    /// Starts a container that goes on.
    pub(crate) fn detached(&self, bundle: &Path, id: &str) {
        self.quietly(&["create", "--bundle", str(bundle), id]);
        self.quietly(&["start", id]);
    }

    /// Makes a runtime of a script, to which `$REAL` is crun where it works on this machine.
    pub(crate) fn runtime(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// The profile of the workshop page's explorer pod, as a runtime gets it from an engine.
pub(crate) fn explorer() -> Value {
    serde_json::from_str(palisade_seccomp::builtin::EXPLORER).unwrap()
}

/// Permitted and denied operations of the explorer, tried from inside.
pub(crate) const EXPLORE: &str = "cd /data; chmod 600 a && echo chmod; mv a b && mv b a && echo rename; \
     ping -c1 -W1 127.0.0.1; grep Seccomp /proc/self/status; exit 7";

/// A profile that refuses raw sockets alone: runc does more than the explorer may after it has loaded a filter.
pub(crate) fn no_raw_sockets() -> Value {
    let raw = json!([{"index": 1, "value": 15, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}]);
    let entry = json!({"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": raw});
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [entry]})
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Checks that the explorer's permitted operations succeeded, and the others failed.
pub(crate) fn assert_explored(output: &Output) {
    let text = text(output);
    for line in ["chmod", "rename", "Seccomp:\t2", "Seccomp_filters:\t1"] {
        assert!(text.lines().any(|other| other == line), "{line} in {text}");
    }
    assert!(text.contains("permission denied (are you root?)"), "{text}");
}

pub(crate) fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}
