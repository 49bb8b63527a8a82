//! The text about the confinement of a started container, as the kernel reports it.

use std::path::Path;

use palisade_oci::container::Containers;
use palisade_sys::process::Confinement;

/// The confinement of the container with an ID of the engine's; `None` if its handler or the kernel does not have it
/// any longer.
pub(crate) fn words(state: &Path, id: &str) -> Option<String> {
    let container = Containers::of(state).ok()?.find(id)?;
    let kernel = Confinement::read(container.pid()?).ok()?;
    let filter = match &container.filter {
        None => "no seccomp profile".to_owned(),
        Some(filter) => format!(
            "seccomp profile {}, filter sha256:{}, {} instructions",
            filter.profile, filter.digest, filter.instructions
        ),
    };
    Some(format!("Container runs with {filter}; {}", by_kernel(&kernel)))
}

fn by_kernel(kernel: &Confinement) -> String {
    let groups: Vec<String> = kernel.groups.iter().map(ToString::to_string).collect();
    format!(
        "Seccomp {}, NoNewPrivs {}, CapEff {:016x}, CapBnd {:016x}, user {}:{}, groups [{}]",
        kernel.seccomp,
        u8::from(kernel.no_new_privileges),
        kernel.effective,
        kernel.bounding,
        kernel.uid,
        kernel.gid,
        groups.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::by_kernel;
    use palisade_sys::process::Confinement;

    #[test]
    fn a_status_is_one_line() {
        let text = "Uid:\t7\t1000\t7\t7\nGid:\t7\t8\t7\t7\nGroups:\t8 9 \nNoNewPrivs:\t1\nSeccomp:\t2\nCapEff:\t0000000000000400\n";
        let said = by_kernel(&Confinement::parse(text));
        let expected = "Seccomp 2, NoNewPrivs 1, CapEff 0000000000000400, CapBnd 0000000000000000, user 1000:8, groups [8 9]";
        assert_eq!(said, expected);
    }
}
