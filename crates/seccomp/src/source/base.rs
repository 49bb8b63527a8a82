//! Bases: profiles of the security-profiles-operator whose entries are added to others, by `baseProfileName`.

use std::collections::{BTreeMap, BTreeSet};

use palisade_k8s::manifest::Position;

use super::{Content, Source};
use crate::finding::{Finding, Severity};
use crate::profile::Entry;

/// Maximum number of syscall names that are copied from bases in a file, which bounds the cost of a hostile one.
const MAX_COPIED: usize = 200_000;

/// Maximum depth of bases, as in the operator (internal/pkg/daemon/seccompprofile/seccompprofile.go,
/// `resolveSyscallsForProfile`).
const MAX_LEVELS: usize = 15;

/// Adds to each profile the entries of its bases in the same file, with a finding for each base that is not there.
pub(super) fn join(sources: &mut [Source]) {
    let by_name: BTreeMap<String, usize> =
        sources.iter().enumerate().map(|(at, source)| (source.name.clone(), at)).collect();
    let mut copied = 0;
    let joined: Vec<_> = (0..sources.len()).map(|at| of(sources, &by_name, at, &mut copied)).collect();
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

fn of(sources: &[Source], by_name: &BTreeMap<String, usize>, first: usize, copied: &mut usize) -> Chain {
    let mut chain = Chain::default();
    let mut seen = BTreeSet::from([first]);
    let mut next = base(sources, first);
    while let Some((name, _)) = next {
        let found = by_name.get(name).filter(|at| sources.get(**at).is_some_and(|s| s.profile().is_some()));
        let (Some(&at), true) = (found, seen.len() <= MAX_LEVELS) else {
            let why =
                "is not in this file, so that its syscalls are not known here; put its object into the file";
            chain.missing = Some((name.clone(), why));
            return chain;
        };
        if !seen.insert(at) {
            chain.missing = Some((name.clone(), "is its own base, which the operator refuses"));
            return chain;
        }
        let entries = sources.get(at).and_then(Source::profile).map(|profile| &profile.entries);
        for entry in entries.into_iter().flatten() {
            *copied += 1 + entry.names.len();
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

fn base(sources: &[Source], at: usize) -> Option<&(String, Position)> {
    sources.get(at)?.profile()?.base.as_ref()
}
