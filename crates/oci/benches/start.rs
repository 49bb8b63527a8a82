//! The cost of a container's start: `create` and `start` by crun, runc and the handler, in one run, in turns.
//! As root: `cargo bench -p palisade-oci --bench start`.

#[cfg(target_os = "linux")]
fn main() {
    bench::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on has failed"
)]
mod bench {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    const ROUNDS: usize = 60;

    /// A way to start a container.
    struct Way {
        name: &'static str,
        runtime: PathBuf,
        bundle: PathBuf,
        /// Whether the handler's cache is emptied before each start.
        forgets: bool,
        times: Vec<Duration>,
    }

    pub(super) fn main() {
        // crun refuses this machine's cgroups where they are hybrid; all have the same view of them.
        if palisade_sys::namespace::has_hybrid_cgroups() {
            palisade_sys::namespace::hide_unified_cgroups().unwrap();
        }
        // Engines keep bundles in memory too.
        let folder = tempfile::tempdir_in("/run").unwrap();
        let mut ways = ways(folder.path());
        for round in 0..ROUNDS {
            for way in &mut ways {
                let time = start(way, folder.path(), round);
                way.times.push(time);
            }
        }
        let first = ways.first().map(|way| way.times.clone()).unwrap_or_default();
        println!("{:<52} {:>8} {:>8} {:>8}", "create and start, ms", "least", "median", "more");
        for way in &ways {
            let times: Vec<f64> = way.times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
            // Against the first way in the same round, so that what else the machine does counts for both.
            let more = times.iter().zip(&first).map(|(time, first)| time - first.as_secs_f64() * 1000.0);
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            println!(
                "{:<52} {least:>8.2} {:>8.2} {:>+8.2}",
                way.name,
                median(times.clone()),
                median(more.collect())
            );
        }
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn ways(folder: &Path) -> Vec<Way> {
        let handler = folder.join("palisade-oci");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_palisade-oci"), &handler).unwrap();
        let settings = json!({"runtime": "/usr/bin/crun", "state": folder.join("state")});
        std::fs::write(folder.join("palisade-oci.json"), settings.to_string()).unwrap();
        let profile = profile();
        let crun = PathBuf::from("/usr/bin/crun");
        let runc = PathBuf::from("/usr/sbin/runc");
        let program = {
            let bundle = bundle(folder, "once", &profile, None);
            let words = ["create", "--bundle", bundle.to_str().unwrap(), "bench-once"];
            run(&handler, folder, &words);
            run(&handler, folder, &["delete", "--force", "bench-once"]);
            let text = std::fs::read_to_string(bundle.join("config.json")).unwrap();
            let config: Value = serde_json::from_str(&text).unwrap();
            config.get("annotations").unwrap().clone()
        };
        let way = |name, runtime: &PathBuf, bundle, forgets| Way {
            name,
            runtime: runtime.clone(),
            bundle,
            forgets,
            times: Vec::new(),
        };
        let none = Value::Null;
        vec![
            way("crun, no filter", &crun, bundle(folder, "a", &none, None), false),
            way("crun, our filter", &crun, bundle(folder, "b", &profile, Some(&program)), false),
            way("crun, libseccomp's filter", &crun, bundle(folder, "c", &profile, None), false),
            way("runc, no filter", &runc, bundle(folder, "d", &none, None), false),
            way("runc, libseccomp's filter", &runc, bundle(folder, "e", &profile, None), false),
            way("palisade-oci over crun, no filter", &handler, bundle(folder, "f", &none, None), false),
            way("palisade-oci over crun", &handler, bundle(folder, "g", &profile, None), false),
            way(
                "palisade-oci over crun, compiled and proved anew",
                &handler,
                bundle(folder, "h", &profile, None),
                true,
            ),
        ]
    }

    /// Our default, resolved as an engine gives it to its runtime.
    fn profile() -> Value {
        use palisade_k8s::capability;
        use palisade_seccomp::{Arch, Context, builtin, profile, resolve, table};
        let (profile, _) = profile::read(builtin::DEFAULT);
        let profile = profile.unwrap();
        let caps = capability::CONTAINER_DEFAULT.map(str::to_owned).into();
        let context = Context { arch: Arch::native(), caps, kernel: table::NEWEST };
        profile::write_oci(&resolve(&profile, &context).rules, &profile, Arch::native())
    }

    fn bundle(folder: &Path, name: &str, seccomp: &Value, annotations: Option<&Value>) -> PathBuf {
        let bundle = folder.join(name);
        let bin = folder.join("rootfs/bin");
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["proc", "dev"] {
            std::fs::create_dir_all(folder.join("rootfs").join(name)).unwrap();
        }
        std::fs::copy("/usr/bin/busybox", bin.join("true")).unwrap();
        let caps: Value = palisade_k8s::capability::CONTAINER_DEFAULT.to_vec().into();
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"],
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            },
            "root": {"path": folder.join("rootfs")},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}]},
        });
        if !seccomp.is_null() {
            config["linux"]["seccomp"] = seccomp.clone();
        }
        if let Some(annotations) = annotations {
            config["annotations"] = annotations.clone();
        }
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    fn start(way: &Way, folder: &Path, round: usize) -> Duration {
        let config = way.bundle.join("config.json");
        let before = std::fs::read(&config).unwrap();
        if way.forgets {
            let _ = std::fs::remove_dir_all(folder.join("state/filters"));
        }
        let id = format!("bench-{}-{round}", way.bundle.file_name().unwrap().to_str().unwrap());
        let pid = way.bundle.join("pid");
        let begin = Instant::now();
        let words =
            ["create", "--bundle", way.bundle.to_str().unwrap(), "--pid-file", pid.to_str().unwrap(), &id];
        run(&way.runtime, folder, &words);
        run(&way.runtime, folder, &["start", &id]);
        let time = begin.elapsed();
        run(&way.runtime, folder, &["delete", "--force", &id]);
        std::fs::write(config, before).unwrap();
        time
    }

    fn run(runtime: &Path, folder: &Path, words: &[&str]) {
        let mut command = Command::new(runtime);
        let root = folder.join(runtime.file_name().unwrap()).with_extension("root");
        command.arg("--root").arg(root).args(words).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{} {words:?}", runtime.display());
    }
}
