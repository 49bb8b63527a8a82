//! The table of `--explain`: field, value, and the pod that needs it.

use std::io::{self, Write};

use super::group::Group;
use crate::paint;

pub(super) fn print(out: &mut impl Write, groups: &[Group<'_>]) -> io::Result<()> {
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        print_group(out, group)?;
    }
    Ok(())
}

fn print_group(out: &mut impl Write, group: &Group<'_>) -> io::Result<()> {
    let Some(name) = group.scc_name() else { return Ok(()) };
    let count = group.admitted().count();
    let what = if group.built_in.is_some() { ", built in" } else { "" };
    let account = group.account.map_or_else(String::new, |account| format!(" of account {account}"));
    let pods = if count == 1 { "1 workload".to_owned() } else { format!("{count} workloads") };
    writeln!(out, "{}{what}: {pods}{account} in {}", paint::strong(name), group.namespace)?;
    let needs = &group.least.needs;
    let width = |title: &str, of: fn(&palisade_scc::least::Need) -> usize| {
        needs.iter().map(of).max().unwrap_or(0).max(title.len()).min(60)
    };
    let (field, value) = (width("FIELD", |need| need.field.len()), width("VALUE", |need| need.value.len()));
    writeln!(out, "{:<field$}   {:<value$}   NEEDED BY", "FIELD", "VALUE")?;
    for need in needs {
        let more = match need.count {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let title = group.title(need.first);
        writeln!(out, "{:<field$}   {:<value$}   {title}{more}", need.field, need.value)?;
        writeln!(out, "{:<field$}   {:<value$}     without it: {}", "", "", need.refusal)?;
    }
    if needs.is_empty() {
        writeln!(out, "{:<field$}   {:<value$}   no field could be tighter", "-", "-")?;
    }
    Ok(())
}
