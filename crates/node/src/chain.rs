//! The chains of iptables that CNI's plugins make for a container, and the containers that may have some.
//!
//! A plugin that is killed, or that finds the container's interface gone, leaves its chains without rules: nothing in them
//! names the container. Their names are a hash of network and container, so the agent notes its containers.

use crate::iptables::Rule;
use crate::layout::Layout;

/// Length of a chain's name.
const LENGTH: usize = 28;

/// The names of a container's chains: for its source addresses, and for its ports of the machine.
pub(crate) fn names(network: &str, id: &str) -> [String; 2] {
    use sha2::{Digest, Sha512};
    let digest = Sha512::digest(format!("{network}{id}"));
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    ["CNI-", "CNI-DN-"].map(|prefix| format!("{prefix}{hash}").chars().take(LENGTH).collect())
}

/// The chains of a container that there are.
pub(crate) fn existing(rules: &[Rule], network: &str, id: &str) -> Vec<String> {
    let is_there = |name: &String| {
        rules.iter().any(|rule| matches!(rule.0.as_slice(), [made, of] if made == "-N" && of == name))
    };
    names(network, id).into_iter().filter(is_there).collect()
}

/// Notes that a container may have chains.
pub(crate) fn note(layout: &Layout, id: &str) -> std::io::Result<()> {
    let folder = layout.noted();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(id), "")
}

/// The containers that may have chains.
pub(crate) fn noted(layout: &Layout) -> Vec<String> {
    let files = std::fs::read_dir(layout.noted()).into_iter().flatten().flatten();
    files.filter_map(|file| file.file_name().into_string().ok()).collect()
}

/// Forgets a container without chains.
pub(crate) fn forget(layout: &Layout, id: &str) {
    let _ = std::fs::remove_file(layout.noted().join(id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_have_the_names_that_plugins_give_them() {
        // As seen of CNI's bridge and portmap, version 1.1.1.
        assert_eq!(names("net", "abc"), ["CNI-3ce8a0924fdef86d56ad1df1", "CNI-DN-3ce8a0924fdef86d56ad1"]);
        let rules: Vec<Rule> = [
            "-P PREROUTING ACCEPT",
            "-N CNI-3ce8a0924fdef86d56ad1df1",
            "-N CNI-0123456789abcdef01234567",
            "-A CNI-DN-3ce8a0924fdef86d56ad1 -j ACCEPT",
        ]
        .map(Rule::parse)
        .into();
        assert_eq!(existing(&rules, "net", "abc"), ["CNI-3ce8a0924fdef86d56ad1df1"]);
        assert_eq!(existing(&rules, "other", "abc"), [""; 0]);
    }
}
