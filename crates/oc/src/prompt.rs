//! Names and passwords from the terminal.

use std::io::{BufRead, IsTerminal, Write};

use palisade_console::terminal;

use crate::error::{Error, Result};

/// Prompts for a user name.
pub(crate) fn username() -> Result<String> {
    let name = line("Username: ")?;
    match name.trim() {
        "" => Err(Error::NoUserName),
        name => Ok(name.to_owned()),
    }
}

/// Reads a password: from the terminal without echo, else a line of stdin.
pub(crate) fn password(name: &str) -> Result<String> {
    let is_terminal = std::io::stdin().is_terminal();
    let hidden = palisade_sys::terminal::hide_input();
    let password = line(&if is_terminal { format!("Password for {name}: ") } else { String::new() })?;
    drop(hidden);
    if is_terminal {
        terminal::note("");
    }
    if password.is_empty() { Err(Error::NoPassword) } else { Ok(password) }
}

fn line(prompt: &str) -> Result<String> {
    let mut err = terminal::err();
    let _unread = write!(err, "{prompt}").and_then(|()| err.flush());
    drop(err);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(Error::Stdin)?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(line)
}
