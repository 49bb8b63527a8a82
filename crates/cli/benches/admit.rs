//! `palisade admit` as a whole process, beside Python's `json` reading and writing the same lines.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};
use palisade_testing::corpus;

/// Under which of the corpus' policies all reviews are decided.
const POLICY: &str = "p00.yaml";
const PYTHON: &str = "import json, sys
for line in sys.stdin: sys.stdout.write(json.dumps(json.loads(line)) + '\\n')";

/// Runs a command on a file's lines to its end.
fn run(command: &mut Command, lines: &Path) {
    let input = File::open(lines).expect("the lines were written");
    let status = command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it runs");
    assert!(status.success());
}

fn admit(criterion: &mut Criterion) {
    let reviews: Vec<String> = corpus::cases().iter().map(|case| case.review.to_string() + "\n").collect();
    measure(criterion, "the conformance cases, as a process", &reviews);
    measure(criterion, "the same, half of them refused", &half_refused(&reviews));
}

/// As many refused reviews as admitted ones, alternating, as many as the corpus has in all.
fn half_refused(reviews: &[String]) -> Vec<String> {
    let policy = palisade_testing::policy(&corpus::policy_text(POLICY));
    let is_allowed =
        |review: &&String| palisade_admission::respond(&policy, review).is_ok_and(|answer| answer.allowed);
    let (allowed, refused): (Vec<&String>, Vec<&String>) = reviews.iter().partition(is_allowed);
    let pairs = allowed.iter().cycle().zip(refused.iter().cycle()).take(reviews.len() / 2);
    pairs.flat_map(|(allowed, refused)| [(*allowed).clone(), (*refused).clone()]).collect()
}

fn measure(criterion: &mut Criterion, name: &str, reviews: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (lines, policy) = (folder.path().join("reviews.ndjson"), folder.path().join("policy.yaml"));
    std::fs::write(&lines, reviews.concat()).expect("it is written");
    std::fs::write(&policy, corpus::policy_text(POLICY)).expect("it is written");
    let mut group = criterion.benchmark_group(name);
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
