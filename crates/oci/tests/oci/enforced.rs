//! The default profile as the kernel enforces it in a container: for every syscall that can be probed, the answer is
//! the one that the simulator gives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use palisade_k8s::KernelVersion;
use palisade_k8s::capability;
use palisade_oci::denials::{Denials, Event};
use palisade_seccomp::{
    Action, Arch, Context, Data, Filter, Weights, X32_BIT, builtin, compile, profile, resolve, simulate_stack,
};
use serde_json::json;

use crate::common::{Place, needs, str, text};

/// Syscalls that would end or stop the probing program, or write all disks, if they were allowed.
const LEFT_OUT: [&str; 8] =
    ["exit", "exit_group", "fork", "vfork", "pause", "rt_sigreturn", "sync", "vhangup"];

/// uretprobe and uprobe: the kernel asks no filter about them, and ends a program that makes them by itself.
const UNFILTERED: std::ops::RangeInclusive<u32> = 335..=336;

/// Numbers beyond the newest syscall are probed as well.
const LAST: u32 = 480;

/// Makes each syscall with arguments that are nothing valid, so that what is let through fails in the kernel.
const PROBE: &str = "
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
results = {}
bad = [ctypes.c_long(-1)] * 6
for number in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *bad)
    results[number] = -ctypes.get_errno() if result == -1 else 0
print(json.dumps(results), flush=True)
";

fn kernel() -> KernelVersion {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim().parse().unwrap()
}

/// The result of the simulator.
fn simulated(numbers: &[u32]) -> BTreeMap<u32, Action> {
    let caps = capability::CONTAINER_DEFAULT.map(str::to_owned).into();
    let context = Context { arch: Arch::native(), caps, kernel: kernel() };
    let (profile, _) = profile::read(builtin::DEFAULT);
    let rules = resolve(&profile.unwrap(), &context).rules;
    let programs = compile(&Filter::new(&rules).unwrap(), Weights::shipped()).unwrap();
    let data = |number| Data { number, arch: Arch::native().audit(), args: [u64::MAX; 6] };
    numbers.iter().map(|number| (*number, simulate_stack(&programs, &data(*number)))).collect()
}

/// The mount of the machine's own Python in the container, read-only.
fn with_python(config: &mut serde_json::Value) {
    let mounts = config["mounts"].as_array_mut().unwrap();
    for folder in ["usr", "lib", "lib64"] {
        let options = ["rbind", "ro"];
        let target = std::fs::canonicalize(format!("/{folder}")).unwrap();
        mounts.push(json!({"destination": format!("/{folder}"), "type": "bind", "source": target, "options": options}));
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_kernel_answers_as_the_simulator() {
    needs(&[("python3", "python3")]);
    let place = Place::new(json!({"trustAnnotations": true, "log": true, "loginIds": true}));
    let left_out = |number: &u32| {
        let call = palisade_seccomp::table::Syscall::numbered(Arch::X86_64, *number & !X32_BIT);
        UNFILTERED.contains(&(number & !X32_BIT)) || call.is_some_and(|call| LEFT_OUT.contains(&call.name()))
    };
    let all = (0..LAST).chain(X32_BIT..X32_BIT + LAST);
    let numbers: Vec<u32> = all.filter(|number| !left_out(number)).collect();
    let expected = simulated(&numbers);
    let mut denials = Denials::watch(&place.path("state")).unwrap();
    let bundle = place.bundle("b", "", |config| {
        config["process"]["args"] = json!(["/usr/bin/python3", "-ISc", PROBE, json!(numbers).to_string()]);
        config["annotations"] = json!({"io.palisade/seccomp-profile": "runtime/default"});
        with_python(config);
    });
    let output = place.run(&["run", "--bundle", str(&bundle), "probed"]);
    assert!(output.status.success(), "{:?} {}", output.status, text(&output));
    let results: BTreeMap<u32, i64> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results.len(), numbers.len());
    // The kernel's own word on what the filter denied, so that a failure of the syscall is not taken for a denial.
    let mut denied = BTreeSet::new();
    loop {
        match denials.next(Some(Duration::from_secs(2))).unwrap() {
            Event::Denial(denial) if denial.container.as_ref().is_some_and(|own| own.id == "probed") => {
                denied.insert(denial.number);
            }
            Event::Denial(_) => {}
            Event::Lost => panic!("records were lost"),
            Event::Quiet => break,
        }
    }
    for (number, action) in &expected {
        let (result, was_denied) = (results[number], denied.contains(number));
        match action {
            Action::Errno(errno) => {
                assert_eq!((result, was_denied), (-i64::from(*errno), true), "number {number:#x}: {action}");
            }
            action => {
                assert!(action.lets_through(), "number {number:#x}: {action}");
                assert!(!was_denied, "number {number:#x}: {action}, but denied");
            }
        }
    }
    let count = |what: fn(&Action) -> bool| expected.values().filter(|action| what(action)).count();
    let (allowed, refused) = (count(|action| action.lets_through()), count(|action| !action.lets_through()));
    println!("{allowed} let through, {refused} denied, as simulated");
    assert!(allowed > 200 && refused > 60, "{allowed} {refused}");
}
