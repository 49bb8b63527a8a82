//! Files of one volume whose paths conflict.

use std::collections::BTreeMap;

use super::Warnings;
use crate::kind::at::At;

/// Longer paths are not valid on Linux.
const PATH_MAX: usize = 4096;

/// A file of a volume, and its source.
#[derive(Clone, Debug)]
struct File<'v> {
    path: &'v str,
    source: String,
}

impl<'v> File<'v> {
    fn words(&self) -> String {
        match self.source.as_str() {
            "" => format!("{:?}", self.path),
            source => format!("{:?} ({source})", self.path),
        }
    }

    fn items(list: &At<'v>, source: &str) -> Vec<Self> {
        list.items().map(|item| Self { path: item.field("path").text(), source: source.to_owned() }).collect()
    }
}

pub(super) fn check(spec: &At<'_>, warnings: &mut Warnings) {
    for volume in spec.field("volumes").items() {
        let name = volume.field("name").text();
        for (kind, named, label) in [
            ("configMap", "name", "ConfigMap"),
            ("secret", "secretName", "Secret"),
            ("downwardAPI", "", "DownwardAPI"),
        ] {
            let source = volume.field(kind);
            let what = described(label, source.field(named).text());
            overlaps(&File::items(&source.field("items"), ""), name, &what, warnings);
        }
        let projected = volume.field("projected");
        if projected.is_set() {
            overlaps(&projections(&projected, name, warnings), name, "Projected", warnings);
        }
    }
}

fn described(label: &str, name: &str) -> String {
    if label == "DownwardAPI" { label.to_owned() } else { format!("{label} {name:?}") }
}

/// The files of a projected volume's sources.
fn projections<'v>(projected: &At<'v>, name: &str, warnings: &mut Warnings) -> Vec<File<'v>> {
    const KINDS: [&str; 6] =
        ["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
    let mut files = Vec::new();
    for source in projected.field("sources").items() {
        let Some(kind) = source.set(&KINDS).next() else {
            warnings.say(format!("volume {name:?} (Projected) has no sources provided"));
            continue;
        };
        let field = |name: &'static str| kind.field(name).text();
        let one = |path: &'v str, source: String| File { path, source };
        let is = |name: &'static str| source.field(name).is_set();
        if is("configMap") || is("secret") || is("downwardAPI") {
            let label = match (is("configMap"), is("secret")) {
                (true, _) => described("ConfigMap", field("name")),
                (_, true) => described("Secret", field("name")),
                _ => String::new(),
            };
            files.extend(File::items(&kind.field("items"), &label));
        } else if is("serviceAccountToken") {
            files.push(one(field("path"), "ServiceAccountToken".to_owned()));
        } else if is("clusterTrustBundle") {
            let name = if kind.field("name").is_set() { field("name") } else { field("signerName") };
            files.push(one(field("path"), format!("ClusterTrustBundle {name:?}")));
        } else {
            files.extend([
                one(field("certificateChainPath"), "PodCertificate chain".to_owned()),
                one(field("keyPath"), "PodCertificate key".to_owned()),
                one(field("credentialBundlePath"), "PodCertificate credential bundle".to_owned()),
            ]);
        }
    }
    files
}

/// Warns of files that are the same as, above or below an earlier one.
fn overlaps(files: &[File<'_>], volume: &str, what: &str, warnings: &mut Warnings) {
    // By path with a slash at its end, so that all paths below one follow it.
    let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, file) in files.iter().enumerate() {
        let path = file.path.trim_end_matches('/');
        if warnings.is_full() {
            return;
        }
        if path.is_empty() || path.len() > PATH_MAX {
            continue;
        }
        let key = format!("{path}/");
        let below = seen.range(key.clone()..).take_while(|(other, _)| other.starts_with(&key));
        let above = path.match_indices('/').filter_map(|(end, _)| seen.get_key_value(path.get(..=end)?));
        let rivals = below.chain(above).flat_map(|(_, rivals)| rivals).copied().take(super::ENOUGH);
        let mut rivals: Vec<usize> = rivals.collect();
        rivals.sort_unstable();
        for rival in rivals.into_iter().filter_map(|rival| files.get(rival)) {
            let [own, other] = [file, rival].map(|file| {
                File { path: file.path.trim_end_matches('/'), source: file.source.clone() }.words()
            });
            warnings.say(format!("volume {volume:?} ({what}): overlapping paths: {own} with {other}"));
        }
        seen.entry(key).or_default().push(at);
    }
}
