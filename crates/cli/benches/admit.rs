//! `palisade admit` as a whole process, beside Python's `json` reading and writing the same lines.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};
use palisade_testing::corpus;

const PYTHON: &str = "import json, sys
for line in sys.stdin: sys.stdout.write(json.dumps(json.loads(line)) + '\\n')";

/// Runs a command on a file's lines to its end.
fn run(command: &mut Command, lines: &Path) {
    let input = File::open(lines).expect("the lines were written");
    let status = command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it runs");
    assert!(status.success());
}

fn admit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let (lines, policy) = (folder.path().join("reviews.ndjson"), folder.path().join("policy.yaml"));
    let reviews: Vec<_> = corpus::cases().iter().map(|case| case.review.to_string() + "\n").collect();
    std::fs::write(&lines, reviews.concat()).expect("it is written");
    std::fs::write(&policy, corpus::policy_text("p00.yaml")).expect("it is written");
    let mut group = criterion.benchmark_group("the conformance cases, as a process");
    group.sample_size(20);
    group.bench_function("palisade admit", |bench| {
        let palisade = env!("CARGO_BIN_EXE_palisade");
        bench.iter(|| run(Command::new(palisade).arg("admit").arg("--policy").arg(&policy), &lines));
    });
    if Command::new("python3").arg("--version").output().is_ok() {
        group.bench_function("Python's json", |bench| {
            bench.iter(|| run(Command::new("python3").args(["-c", PYTHON]), &lines));
        });
    } else {
        println!("Python's json: skipped, since there is no python3 here");
    }
    group.finish();
}

criterion_group!(process, admit);
criterion_main!(process);
