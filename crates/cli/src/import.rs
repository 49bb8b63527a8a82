//! `palisade import`: conversion of policies of other kinds to SCCs.

use std::io::Write;

use palisade_console::terminal;

use crate::args::ImportCommand;
use crate::exit::Exit;
use crate::files;

pub(crate) fn run(command: &ImportCommand) -> crate::Outcome {
    let ImportCommand::Psp { files: paths } = command;
    let documents = files::read(paths)?;
    let mut out = terminal::out();
    let mut exit = Exit::Fine;
    let mut names: Vec<String> = Vec::new();
    for document in documents.iter().filter(|document| document.text("kind") == "PodSecurityPolicy") {
        let object = document.node.to_json();
        let object = object.as_object().ok_or_else(|| {
            format!("{}: an object is expected here", document.place(&palisade_k8s::FieldPath::root()))
        })?;
        let converted = palisade_scc::from_psp(object)
            .map_err(|misfit| format!("{}: {misfit}", document.place(&misfit.path)))?;
        names.push(document.metadata("name").to_owned());
        writeln!(out, "---")?;
        for lost in &converted.lost {
            writeln!(out, "# {lost}")?;
            terminal::warn(format_args!("{}: {lost}", document.place(&lost.path)));
            exit = Exit::Findings;
        }
        let scc = crate::review::scc_object(&converted.scc);
        write!(out, "{}", palisade_k8s::yaml::write(&scc))?;
    }
    if names.is_empty() {
        return Err("no PodSecurityPolicy among the input".into());
    }
    let is_whole = roles(&mut out, &documents, &names)?;
    Ok(if is_whole { exit } else { Exit::Findings })
}

/// The roles that let their holders use the policies, as roles that let them use the SCCs: of the same name, so that bindings stay
/// as they are. Whether they grant all that they granted.
fn roles(out: &mut impl Write, documents: &[files::Document], names: &[String]) -> std::io::Result<bool> {
    let (mut is_whole, mut written) = (true, Vec::new());
    let is_role = |document: &&files::Document| ["Role", "ClusterRole"].contains(&document.text("kind"));
    for document in documents.iter().filter(is_role) {
        let Some(converted) = palisade_scc::from_psp_role(&document.node.to_json(), names) else { continue };
        // The same role may stand in several files.
        if written.contains(&converted.role) {
            continue;
        }
        let place = document.place(&palisade_k8s::FieldPath::root());
        writeln!(out, "---")?;
        writeln!(
            out,
            "# in place of {place}, with `use` of the SCC instead of the policy; its bindings stay as they are"
        )?;
        for lost in &converted.lost {
            writeln!(out, "# {lost}")?;
            terminal::warn(format_args!("{}: {lost}", document.place(&lost.path)));
            is_whole = false;
        }
        write!(out, "{}", palisade_k8s::yaml::write(&converted.role))?;
        written.push(converted.role);
    }
    Ok(is_whole)
}
