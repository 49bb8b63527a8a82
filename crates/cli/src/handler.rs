//! The containers of a node, as its runtime handler keeps them.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// The location of a runtime handler's state.
#[derive(Debug, ClapArgs)]
pub(crate) struct HandlerArgs {
    /// The `state` folder of the handler's settings. Default: that of the node of `palisade up` if there is one, else
    /// /run/palisade/oci
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The folder of the node, if it is not /var/lib/palisade
    #[cfg(feature = "serve")]
    #[arg(long, value_name = "DIR", conflicts_with = "state")]
    node_dir: Option<PathBuf>,
}

#[cfg(target_os = "linux")]
impl HandlerArgs {
    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        #[cfg(feature = "serve")]
        let of_node = || crate::node::state_of(self.node_dir.as_deref());
        #[cfg(not(feature = "serve"))]
        let of_node = || None;
        let given = self.state.clone().or_else(of_node);
        given.unwrap_or_else(|| PathBuf::from("/run/palisade/oci"))
    }
}
