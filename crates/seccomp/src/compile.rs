//! Compilation of a decision to the smallest and shallowest program for it.
//!
//! The passes, in the order in which they run; each keeps what the filter decides, and [`verify`](crate::verify) shows
//! that they did:
//!
//! | pass | what it does to the filter | what it saves |
//! |---|---|---|
//! | `Graph::test` | equal decisions are one node; a test whose outcome makes no difference is none | nodes, while the filter is made |
//! | `Graph::simplify` | tests that earlier tests on their path make certain go | instructions where rules for one syscall overlap |
//! | `filter::push` | neighbouring numbers with one decision are one range | tests: hundreds of numbers are some 60 to 130 ranges |
//! | [`open_holes`], if asked for | numbers without a syscall join what is allowed beside them | up to 8 ranges an ABI |
//! | `search_tree` | a binary search over the ranges, weighted by how often syscalls occur | tests on the way to frequent syscalls |
//! | `Best::of`, within it | the best search over up to 12 ranges, not just a good one | about a test on the way to them |
//! | `needs_load` | a word that is loaded already is not loaded again | a load for nearly every test of the number |
//! | `lay_out` | parts that paths share are emitted once, and near enough for every jump | instructions |
//! | `split`, if too long | one filter for several, each under 4,096 instructions | the filter: it would not load |
//!
//! The path of a syscall that is always allowed loads nothing but the number and the architecture, so that the kernel
//! caches the answer.

use crate::bpf::{MAX_INSTRUCTIONS, Program};
use crate::filter::Filter;
use crate::weight::Weights;

mod emit;
mod holes;
mod split;
mod tree;

pub(crate) use emit::lay_out;
pub use holes::open_holes;

/// The reason why a filter does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The rules of one syscall alone are too many.
    #[error("{}", too_long(heavy))]
    TooLong {
        /// The heaviest syscalls: name and number of instructions.
        heavy: Vec<(String, usize)>,
    },
    /// It would need more than one filter, and more than one of them would notify a supervisor.
    #[error(
        "the filter needs {0} instructions, over {MAX_INSTRUCTIONS}, and the kernel lets only one of several filters notify"
    )]
    Notify(usize),
    /// The ABIs do not run on one machine.
    #[error("big-endian and little-endian architectures cannot share a filter")]
    Endianness,
}

fn too_long(heavy: &[(String, usize)]) -> String {
    let syscalls: Vec<_> = heavy.iter().map(|(name, count)| format!("{name} ({count})")).collect();
    format!(
        "no filter may have more than {MAX_INSTRUCTIONS} instructions; the heaviest syscalls are {}",
        syscalls.join(", ")
    )
}

/// Compiles a filter to one program, or to several that decide the same when all are loaded: the kernel takes the
/// strictest result, and each part allows what it leaves to the others.
pub fn compile(filter: &Filter, weights: &Weights) -> Result<Vec<Program>, CompileError> {
    let big_endian = filter.archs().first().is_some_and(|arch| arch.is_big_endian());
    if filter.archs().iter().any(|arch| arch.is_big_endian() != big_endian) {
        return Err(CompileError::Endianness);
    }
    let mut graph = filter.graph.clone();
    let root = tree::search_tree(filter, &mut graph, weights);
    match lay_out(&graph, root, big_endian) {
        Ok(program) => Ok(vec![program]),
        Err(length) => split::split(filter, weights, big_endian, length),
    }
}
