//! Bases: profiles of the security-profiles-operator whose entries are added to others, by `baseProfileName`.

use std::collections::{BTreeMap, BTreeSet};

use palisade_k8s::manifest::Position;

use super::{Content, Source};
use crate::finding::{Finding, Severity};
use crate::profile::Entry;

/// Maximum number of bytes that are copied from bases in a file, which bounds the cost of a hostile one.
const MAX_COPIED: usize = 16 << 20;

/// Maximum depth of bases, as in the operator (internal/pkg/daemon/seccompprofile/seccompprofile.go,
/// `resolveSyscallsForProfile`).
const MAX_LEVELS: usize = 15;

/// Adds to each profile the entries of its bases in the same file, with a finding for each base that is not there.
pub(super) fn join(sources: &mut [Source]) {
    let mut copied = 0;
    let joined: Vec<_> = {
        let objects = sources.iter().enumerate();
        let by_name = objects.map(|(at, source)| ((&*source.namespace, &*source.name), at)).collect();
        (0..sources.len()).map(|at| of(sources, &by_name, at, &mut copied)).collect()
    };
    for (source, chain) in sources.iter_mut().zip(joined) {
        let Content::Profile(profile) = &mut source.content else { continue };
        let Some((_, at)) = profile.base.take() else { continue };
        profile.entries.extend(chain.entries);
        if let Some((name, why)) = chain.missing {
            source.findings.push(Finding {
                severity: Severity::Warning,
                at,
                field: "spec.baseProfileName".to_owned(),
                message: format!("{name} {why}"),
            });
            profile.base = Some((name, at));
        }
    }
}

/// The chain of bases of a profile.
#[derive(Default)]
struct Chain {
    entries: Vec<Entry>,
    /// The base that is not added, and the reason.
    missing: Option<(String, &'static str)>,
}

/// The place of each profile by its namespace and name.
type ByName<'s> = BTreeMap<(&'s str, &'s str), usize>;

fn of(sources: &[Source], by_name: &ByName<'_>, first: usize, copied: &mut usize) -> Chain {
    let namespace = sources.get(first).map_or("", |source| &source.namespace);
    let mut chain = Chain::default();
    let mut seen = BTreeSet::from([first]);
    let mut next = base(sources, first);
    while let Some((name, _)) = next {
        let found = by_name.get(&(namespace, name.as_str()));
        let Some(&at) = found.filter(|at| sources.get(**at).is_some_and(|s| s.profile().is_some())) else {
            let why = match namespace {
                "" => {
                    "is not in this file, so that its syscalls are not known here; put its object into the file"
                }
                _ => {
                    "is not in this file with the same namespace, so that its syscalls are not known here; put its object into the file"
                }
            };
            chain.missing = Some((name.clone(), why));
            return chain;
        };
        if !seen.insert(at) {
            chain.missing = Some((name.clone(), "is its own base, which the operator refuses"));
            return chain;
        }
        if seen.len() > MAX_LEVELS + 1 {
            chain.missing = Some((name.clone(), "is not read: the operator follows 15 bases at most"));
            return chain;
        }
        let entries = sources.get(at).and_then(Source::profile).map(|profile| &profile.entries);
        for entry in entries.into_iter().flatten() {
            // Nothing is counted any more once there is too much.
            if *copied <= MAX_COPIED {
                *copied += size(entry);
            }
            if *copied > MAX_COPIED {
                chain.missing =
                    Some((name.clone(), "is not read: the bases in this file are too large together"));
                return chain;
            }
            chain.entries.push(entry.clone());
        }
        next = base(sources, at);
    }
    chain
}

/// The approximate number of bytes of a copy of an entry.
fn size(entry: &Entry) -> usize {
    let gates = [&entry.includes, &entry.excludes];
    let words = gates.into_iter().flat_map(|gate| gate.caps.iter().chain(&gate.arches));
    let names = entry.names.iter().map(|(name, _)| name.len() + size_of::<(String, Position)>());
    size_of::<Entry>()
        + entry.comment.len()
        + size_of_val(entry.args.as_slice())
        + names.sum::<usize>()
        + words.map(|word| word.len() + size_of::<String>()).sum::<usize>()
}

fn base(sources: &[Source], at: usize) -> Option<&(String, Position)> {
    sources.get(at)?.profile()?.base.as_ref()
}

#[cfg(test)]
mod tests {
    use super::super::{Source, Syntax, read};

    /// An object with one entry, whose comment has `comment` letters.
    fn object(namespace: &str, name: &str, base: &str, syscall: &str, comment: usize) -> String {
        let comment = "x".repeat(comment);
        format!(
            "---\nkind: SeccompProfile\nmetadata: {{name: '{name}', namespace: '{namespace}'}}\nspec:\n  \
             defaultAction: SCMP_ACT_ERRNO\n  baseProfileName: '{base}'\n  syscalls:\n  - {{names: [{syscall}], \
             action: SCMP_ACT_ALLOW, comment: '{comment}'}}\n"
        )
    }

    /// The syscalls of the last profile of a file, and its last finding.
    fn last(text: &str) -> (String, String) {
        let sources = read(text, Syntax::Yaml);
        let source = sources.last().unwrap();
        let entries = &source.profile().unwrap().entries;
        let names: Vec<_> = entries.iter().flat_map(|entry| &entry.names).map(|(name, _)| &**name).collect();
        let told = source.findings.last().map(|finding| finding.message.clone());
        (names.join(" "), told.unwrap_or_default())
    }

    #[test]
    fn a_base_is_of_the_same_namespace() {
        let base = |namespace: &str, syscall: &str| object(namespace, "base", "", syscall, 0);
        let app = |namespace: &str| object(namespace, "app", "base", "write", 0);
        for (bases, namespace, syscalls, told) in [
            (base("a", "read") + &base("b", "mount"), "a", "write read", ""),
            (base("b", "mount") + &base("a", "read"), "a", "write read", ""),
            (base("b", "mount"), "a", "write", "base is not in this file with the same namespace"),
            (base("", "read"), "", "write read", ""),
        ] {
            let (names, found) = last(&(bases + &app(namespace)));
            assert_eq!(names, syscalls, "{namespace}");
            assert!(found.starts_with(told) && found.is_empty() == told.is_empty(), "{found}");
        }
    }

    #[test]
    fn chains_end_where_the_operator_ends_them() {
        let chain = |depth: usize| -> String {
            (0..=depth)
                .map(|level| {
                    let base = if level == 0 { String::new() } else { format!("p{}", level - 1) };
                    object("", &format!("p{level}"), &base, "read", 0)
                })
                .collect()
        };
        assert_eq!(last(&chain(15)), (["read"; 16].join(" "), String::new()));
        let (names, told) = last(&chain(16));
        assert_eq!(names, ["read"; 16].join(" "));
        assert!(told.starts_with("p0 is not read: the operator follows 15 bases"), "{told}");
    }

    #[test]
    fn copies_are_bounded_by_their_size() {
        let many = |apps: usize| {
            let apps = (0..apps).map(|app| object("", &format!("app{app}"), "base", "write", 0));
            object("", "base", "", "read", 100_000) + &apps.collect::<String>()
        };
        assert_eq!(last(&many(100)), ("write read".to_owned(), String::new()));
        let (names, told) = last(&many(200));
        assert!(names == "write" && told.ends_with("are too large together"), "{names}: {told}");
        let copied = |source: &Source| source.profile().map_or(0, |profile| profile.entries.len());
        assert!(read(&many(200), Syntax::Yaml).iter().map(copied).sum::<usize>() < 201 + 200);
    }
}
