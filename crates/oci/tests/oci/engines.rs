//! Debian's engines with the handler as their runtime, as `palisade oci install` configures them.

use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use crate::common::{EXPLORE, Place, assert_explored, explorer, needs, str, text};
use palisade_oci::install::{Engine, Installation, below};
use serde_json::json;

const ALLOW_ALL: &str = "run.oci.seccomp_bpf_data=BgAAAAAA/38=";

/// Installs for an engine in the place; the state stays there too.
fn install(place: &Place, engine: Engine) -> Installation {
    let (root, program) = (place.path("install"), env!("CARGO_BIN_EXE_palisade-oci"));
    let mut installation = Installation::new(engine);
    installation.write(&root, program.as_ref()).unwrap();
    for path in [&mut installation.link, &mut installation.settings.path, &mut installation.engine.path] {
        *path = below(&root, path);
    }
    // The image is not this machine's own file system: the engine has to look into it.
    let text = std::fs::read_to_string(&installation.engine.path).unwrap();
    let text = text.replace("/usr/local/lib", str(&root.join("usr/local/lib")));
    std::fs::write(&installation.engine.path, text).unwrap();
    std::fs::remove_file(&installation.link).unwrap();
    std::os::unix::fs::symlink(program, &installation.link).unwrap();
    let settings = json!({"state": place.path("state"), "profileRoot": place.path("profiles")});
    std::fs::write(&installation.settings.path, settings.to_string()).unwrap();
    std::fs::write(place.path("explorer.json"), explorer().to_string()).unwrap();
    installation
}

#[test]
fn podman_s_containers_are_held() {
    needs(&[("podman", "podman")]);
    let place = Place::new(json!({}));
    let installation = install(&place, Engine::Podman);
    let security = format!("seccomp={}", place.path("explorer.json").display());
    let rootfs = place.path("rootfs");
    let podman = |words: &[&str]| -> Output {
        let mut command = Command::new("podman");
        for (option, name) in [("--root", "p"), ("--runroot", "r"), ("--tmpdir", "t")] {
            command.arg(option).arg(place.path(name));
        }
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        // This machine's own files count beside the installed one.
        command.env("CONTAINERS_CONF", &installation.engine.path);
        command.args(words).output().unwrap()
    };
    let run = |profile: &[&str]| {
        let mut words = vec![
            "--runtime",
            "palisade",
            "run",
            "--rm",
            "--network",
            "none",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ];
        words.extend(profile);
        words.extend([
            "--annotation",
            ALLOW_ALL,
            "--annotation",
            "io.palisade/seccomp-profile=localhost/lax",
        ]);
        words.extend(["--rootfs", str(&rootfs), "/bin/sh", "-c", EXPLORE]);
        podman(&words)
    };
    let held = run(&["--security-opt", &security]);
    assert_explored(&held);
    assert_eq!(held.status.code(), Some(7));
    // Its own default lets raw sockets through.
    let default = run(&[]);
    assert!(text(&default).contains("Seccomp:\t2"), "{}", text(&default));
    assert!(!text(&default).contains("are you root?"), "{}", text(&default));
    let free = run(&["--security-opt", "seccomp=unconfined"]);
    assert!(text(&free).contains("Seccomp:\t0"), "{}", text(&free));
}

/// containerd with everything of its own in the place; it ends with the test.
struct Containerd {
    process: Child,
    socket: PathBuf,
}

impl Containerd {
    fn start(place: &Place) -> Self {
        let socket = place.path("containerd.sock");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = {:?}\n",
            place.path("containerd-root"),
            place.path("containerd-state"),
            socket
        );
        std::fs::write(place.path("config.toml"), config).unwrap();
        let log = std::fs::File::create(place.path("containerd.log")).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(place.path("config.toml")).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        let started = Self { process, socket };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !started.ctr(&["version"]).status.success() {
            assert!(
                Instant::now() < deadline,
                "{}",
                std::fs::read_to_string(place.path("containerd.log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    fn ctr(&self, words: &[&str]) -> Output {
        Command::new("ctr").arg("--address").arg(&self.socket).args(words).output().unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn containerd_s_containers_are_held() {
    needs(&[("containerd", "containerd"), ("ctr", "containerd")]);
    let place = Place::new(json!({}));
    let installation = install(&place, Engine::Containerd);
    let containerd = Containerd::start(&place);
    let id = format!("explorer-{}", std::process::id());
    let (handler, rootfs, profile) = (installation.link, place.path("rootfs"), place.path("explorer.json"));
    let output = containerd.ctr(&[
        "run",
        "--rm",
        "--runc-binary",
        str(&handler),
        "--seccomp",
        "--seccomp-profile",
        str(&profile),
        "--annotation",
        ALLOW_ALL,
        "--rootfs",
        str(&rootfs),
        &id,
        "/bin/sh",
        "-c",
        EXPLORE,
    ]);
    assert_explored(&output);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn containerd_takes_the_installed_configuration() {
    needs(&[("containerd", "containerd")]);
    let place = Place::new(json!({}));
    let installation = install(&place, Engine::Containerd);
    let dump = Command::new("containerd")
        .arg("--config")
        .arg(&installation.engine.path)
        .args(["config", "dump"])
        .output()
        .unwrap();
    let text = text(&dump);
    assert!(
        dump.status.success() && text.contains(&format!("BinaryName = {:?}", installation.link)),
        "{text}"
    );
    assert!(text.contains("container_annotations = [\"io.palisade/*\"]"), "{text}");
}
