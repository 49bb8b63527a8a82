//! `palisade scc order`.

use std::io::Write;

use palisade_scc::pod_security::guaranteed_level;

use crate::args::OrderArgs;
use crate::exit::Exit;
use crate::policy;

pub(crate) fn run(args: &OrderArgs) -> crate::Outcome {
    let mut builder = policy::load(&args.policy)?;
    policy::add_layer(&mut builder, &policy::objects(&args.files, None)?)?;
    let policy = builder.build();
    let mut entries = policy.sccs().entries().peekable();
    let widest = policy.sccs().entries().map(|entry| entry.name().len()).max().unwrap_or(0);
    // The length of a name in Kubernetes; a file may hold longer ones.
    let width = widest.clamp("NAME".len(), 253);
    let mut out = palisade_console::terminal::out();
    writeln!(out, "{:<width$}   PRIORITY   SCORE     GUARANTEES   BEFORE THE NEXT BECAUSE", "NAME")?;
    while let Some(entry) = entries.next() {
        let (rank, level) = (entry.rank(), guaranteed_level(entry.scc()));
        let priority =
            entry.scc().priority.map_or_else(|| "<none>".to_owned(), |priority| priority.to_string());
        let why = match (entry.plan(), entries.peek()) {
            (Err(unusable), _) => format!("passed over: {unusable}"),
            (Ok(_), Some(next)) => {
                rank.preference(&next.rank()).map(|why| why.to_string()).unwrap_or_default()
            }
            (Ok(_), None) => String::new(),
        };
        let line = format!(
            "{:<width$}   {priority:<8}   {:<7}   {:<10}   {why}",
            rank.name,
            rank.score,
            level.as_str()
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(Exit::Fine)
}
