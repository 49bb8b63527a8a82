//! `palisade scc lint`.

use std::io::Write;

use palisade_admission::MALFORMED;
use palisade_scc::{Finding, Severity};
use serde_json::Value;

use crate::args::LintArgs;
use crate::exit::Exit;
use crate::files::Document;
use crate::policy::ended;
use crate::understood::{is_understood, kinds, misunderstood};
use crate::{files, paint};

pub(crate) fn run(args: &LintArgs) -> crate::Outcome {
    let (documents, left_out) = files::read_rest(&args.files)?;
    let mut documents = crate::wrapped::opened(documents, palisade_review::ASSUMED_NAMESPACE);
    documents.extend(files::embedded(&documents));
    // The names in a template are not yet those that count.
    let object = |document: &Document| match is_understood(document) || misunderstood(document).is_none() {
        true => document.node.to_json(),
        false => Value::Null,
    };
    let objects: Vec<Value> = documents.iter().map(object).collect();
    let mut found = palisade_admission::lint_all(&objects);
    let mut skipped = Vec::new();
    for (place, document) in documents.iter().enumerate() {
        if !is_understood(document) {
            match misunderstood(document) {
                Some(finding) => found.push((place, finding)),
                None => skipped.push(document),
            }
        }
    }
    found.sort_by_key(|(place, _)| *place);
    let mut out = palisade_console::terminal::out();
    for (place, finding) in &found {
        let Some(document) = documents.get(*place) else { continue };
        print(&mut out, document, finding)?;
    }
    if !skipped.is_empty() {
        writeln!(out, "not looked at: {}", kinds(skipped.iter().copied()))?;
    }
    print_absent(&mut out, &documents, &objects)?;
    writeln!(out, "{} objects, {} findings", documents.len(), found.len())?;
    let nothing = skipped.len() == documents.len();
    if nothing {
        writeln!(
            out,
            "nothing here is an SCC, a role, a binding, a namespace or a workload, so that nothing was judged"
        )?;
    }
    // An object of another API group is none of SCC's, and no mistake.
    let is_of_others = |document: &&Document| document.text("apiVersion").contains('/');
    let others = !skipped.is_empty() && skipped.iter().all(is_of_others);
    // What cannot be read as an SCC is wrong input here too, as it is to every other command.
    let is_wrong = found.iter().any(|(_, finding)| finding.rule == MALFORMED);
    let exit = match (nothing && !others) || !found.is_empty() {
        _ if is_wrong => Exit::Wrong,
        true => Exit::Findings,
        false => Exit::Fine,
    };
    Ok(ended(exit, left_out))
}

/// The first SCC that older clients refuse, and how many more they do. It is printed as a remark: the API server accepts them.
fn print_absent(out: &mut impl Write, documents: &[Document], objects: &[Value]) -> std::io::Result<()> {
    let is_scc = |object: &Value| object.get("kind").is_some_and(|kind| kind == palisade_k8s::scc::KIND);
    let missing = |object: &Value| palisade_scc::absent(object).next().is_some();
    let all = documents.iter().zip(objects);
    let mut refused = all.filter(|(_, object)| is_scc(object) && missing(object));
    let Some((document, object)) = refused.next() else { return Ok(()) };
    let place = document.place(&palisade_k8s::FieldPath::root());
    let fields: Vec<_> =
        palisade_scc::absent(object).map(|(field, value)| format!("{field}: {value}")).collect();
    let fields = fields.join(", ");
    let more = match refused.count() {
        0 => String::new(),
        more => format!("; {more} more SCCs lack such fields"),
    };
    let note = paint::warning("note:");
    writeln!(
        out,
        "{place}: {note} kubectl and oc before 1.25, Helm before 3.10, and all of them at a server before 1.25 (OpenShift 4.12) \
         refuse it with \"missing required field\"; for them write {fields} (null counts as missing){more}"
    )
}

fn print(out: &mut impl Write, document: &Document, finding: &Finding) -> std::io::Result<()> {
    let severity = match finding.severity {
        Severity::Error => paint::error(finding.severity),
        Severity::Warning => paint::warning(finding.severity),
    };
    let place = document.place(&finding.path);
    let (path, message, rule, help) = (&finding.path, &finding.message, finding.rule, &finding.help);
    let path = path.to_string();
    let separator = if path.is_empty() { "" } else { ": " };
    writeln!(out, "{place}: {severity}: {path}{separator}{message} [{rule}]")?;
    writeln!(out, "    help: {help}")
}
