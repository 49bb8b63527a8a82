//! The cost of making, loading and running a filter, beside libseccomp and seccompiler in the same run.
#![expect(clippy::expect_used, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use palisade_k8s::capability::CONTAINER_DEFAULT;
use palisade_seccomp::{
    Action, Arch, Condition, Context, Filter, Operator, Program, Rules, Unknown, Weights, builtin, compile,
    profile, resolve, stats, table,
};
use palisade_sys::probe::load_time;
use palisade_sys::seccomp::Loading;
use palisade_testing::oracle::{Layout, Oracle, knows};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// The rules of a shipped profile for a container with the default capabilities.
fn rules(text: &str, archs: Option<&[Arch]>) -> Rules {
    let profile = profile::read(text).0.expect("a profile");
    let caps = CONTAINER_DEFAULT.iter().map(|cap| (*cap).to_owned()).collect();
    let context = Context { arch: Arch::X86_64, caps, kernel: table::NEWEST };
    let mut rules = resolve(&profile, &context).rules;
    if let Some(archs) = archs {
        rules.archs = archs.to_vec();
    }
    // As libseccomp does it, with only the syscalls that it knows.
    rules.unknown = Unknown::Default;
    let archs = rules.archs.clone();
    rules.rules.retain(|rule| knows(rule.syscall, &archs));
    rules
}

fn ours(rules: &Rules) -> Program {
    let filter = Filter::new(rules).expect("a filter");
    compile(&filter, Weights::shipped()).expect("it compiles").swap_remove(0)
}

/// seccompiler knows one architecture and one action for what matches.
fn theirs(rules: &Rules) -> BpfProgram {
    let mut by_number: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules.rules.iter().filter(|rule| rule.action == Action::Allow) {
        let Some(number) = rule.syscall.number(Arch::X86_64) else { continue };
        let entry = by_number.entry(i64::from(number)).or_default();
        if !rule.conditions.is_empty() {
            let conditions = rule.conditions.iter().map(condition).collect();
            entry.push(SeccompRule::new(conditions).expect("a rule"));
        }
    }
    let filter =
        SeccompFilter::new(by_number, SeccompAction::Errno(1), SeccompAction::Allow, TargetArch::x86_64);
    filter.expect("a filter").try_into().expect("it compiles")
}

fn condition(condition: &Condition) -> SeccompCondition {
    let operator = match condition.operator() {
        Operator::NotEqual => SeccompCmpOp::Ne,
        Operator::Less => SeccompCmpOp::Lt,
        Operator::LessOrEqual => SeccompCmpOp::Le,
        Operator::Equal => SeccompCmpOp::Eq,
        Operator::GreaterOrEqual => SeccompCmpOp::Ge,
        Operator::Greater => SeccompCmpOp::Gt,
        Operator::MaskedEqual { mask } => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(condition.arg(), SeccompCmpArgLen::Qword, operator, condition.value())
        .expect("a condition")
}

/// The profiles of the folder at hand, beyond those that are shipped.
fn at_hand() -> impl Iterator<Item = (String, String)> {
    let shipped = builtin::ALL.map(|(name, _)| name);
    palisade_testing::profile::all().into_iter().filter(move |(name, _)| !shipped.contains(&name.as_str()))
}

fn make(criterion: &mut Criterion) {
    let text = builtin::DEFAULT;
    criterion.bench_function("parse", |bench| bench.iter(|| profile::read(black_box(text))));
    let kinds: [(&str, Option<&[Arch]>); 2] = [("three ABIs", None), ("x86_64", Some(&[Arch::X86_64]))];
    let own = kinds.map(|(kind, archs)| (kind.to_owned(), text.to_owned(), archs));
    let at_hand = at_hand().map(|(name, text)| (format!("{name}, three ABIs"), text, None));
    for (name, text, archs) in own.into_iter().chain(at_hand) {
        let rules = rules(&text, archs);
        let mut group = criterion.benchmark_group(format!("rules to BPF, {name}"));
        group.bench_function("palisade", |bench| bench.iter(|| ours(black_box(&rules))));
        for layout in [Layout::Linear, Layout::Tree] {
            let name = format!("libseccomp, {layout:?}");
            group.bench_function(name, |bench| {
                bench.iter(|| Oracle::of(black_box(&rules), layout).export(false))
            });
        }
        if archs.is_some() {
            group.bench_function("seccompiler", |bench| bench.iter(|| theirs(black_box(&rules))));
        }
    }
}

fn load(criterion: &mut Criterion) {
    load_of(criterion, "load, three ABIs", builtin::DEFAULT);
    for (name, text) in at_hand() {
        load_of(criterion, &format!("load, {name}, three ABIs"), &text);
    }
}

fn load_of(criterion: &mut Criterion, what: &str, text: &str) {
    let rules = rules(text, None);
    let programs = [
        ("palisade", ours(&rules)),
        ("libseccomp, Linear", Oracle::of(&rules, Layout::Linear).export(false)),
        ("libseccomp, Tree", Oracle::of(&rules, Layout::Tree).export(false)),
    ];
    let mut group = criterion.benchmark_group(what);
    for (name, program) in programs {
        let loading = Loading { programs: vec![program.to_bytes()], log: false, spec_allow: true };
        group.bench_function(name, |bench| {
            bench.iter_custom(|count| {
                (0..count).map(|_| load_time(&loading).expect("the kernel takes it")).sum::<Duration>()
            });
        });
    }
}

/// Sizes and paths: nothing to time, so the table is printed.
fn shape(_: &mut Criterion) {
    println!(
        "{:<26}{:<12}{:<20}{:>6}{:>8}{:>8}{:>10}",
        "profile", "ABIs", "", "insns", "worst", "mean", "weighted"
    );
    for (profile, text) in palisade_testing::profile::all() {
        let kinds: [(&str, Option<&[Arch]>); 2] = [("three", None), ("x86_64", Some(&[Arch::X86_64]))];
        for (kind, archs) in kinds {
            let rules = rules(&text, archs);
            for (name, program) in [
                ("palisade", ours(&rules)),
                ("libseccomp, Linear", Oracle::of(&rules, Layout::Linear).export(false)),
                ("libseccomp, Tree", Oracle::of(&rules, Layout::Tree).export(false)),
            ] {
                let count = program.instructions().len();
                let stats = stats(&[program], &rules.archs, Weights::shipped());
                let abis = f64::from(u32::try_from(stats.len()).expect("few"));
                let mean = stats.iter().map(|arch| arch.mean).sum::<f64>() / abis;
                let worst = stats.iter().map(|arch| arch.worst).max().unwrap_or_default();
                let native = stats.first().map_or(0.0, |arch| arch.weighted);
                println!("{profile:<26}{kind:<12}{name:<20}{count:>6}{worst:>8}{mean:>8.1}{native:>10.1}");
            }
        }
    }
}

criterion_group!(filter, shape, make, load);
criterion_main!(filter);
