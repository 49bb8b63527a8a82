//! The end of a command that failed.

use std::error::Error;
use std::io::ErrorKind;

pub(crate) use palisade_console::Exit;
use palisade_console::{paint, terminal};
#[cfg(not(feature = "serve"))]
use palisade_k8s::error_chain as error_text;
#[cfg(feature = "serve")]
use palisade_webhook::error_text;

/// Prints an error with its causes. A reader that closed its end of the pipe is not an error.
pub(crate) fn report(error: &(dyn Error + 'static)) -> Exit {
    if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        return Exit::Fine;
    }
    terminal::note(format_args!("{}: {}", paint::error("error"), error_text(error)));
    Exit::Wrong
}
