//! Colours of the program's own words. They are left out where output is not a terminal or `NO_COLOR` is set.

use std::cell::Cell;
use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

thread_local! {
    /// Whether this thread is writing the escape sequence of a style, which [`crate::terminal`] must let through.
    static WRITES_STYLE: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is being written is a style's escape sequence.
pub(crate) fn writes_style() -> bool {
    WRITES_STYLE.get()
}

/// A text in a style.
#[derive(Debug)]
pub struct Painted<T>(Style, T);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_style(f, self.0.render())?;
        write!(f, "{}", self.1)?;
        write_style(f, self.0.render_reset())
    }
}

fn write_style(f: &mut fmt::Formatter<'_>, codes: impl Display) -> fmt::Result {
    WRITES_STYLE.set(true);
    let written = write!(f, "{codes}");
    WRITES_STYLE.set(false);
    written
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

/// Bold red: errors and refusals.
pub fn error<T: Display>(text: T) -> Painted<T> {
    Painted(colour(AnsiColor::Red).bold(), text)
}

/// Bold green: what is admitted.
pub fn good<T: Display>(text: T) -> Painted<T> {
    Painted(colour(AnsiColor::Green).bold(), text)
}

/// Bold yellow: warnings.
pub fn warning<T: Display>(text: T) -> Painted<T> {
    Painted(colour(AnsiColor::Yellow).bold(), text)
}

/// Bold: headings.
pub fn strong<T: Display>(text: T) -> Painted<T> {
    Painted(Style::new().bold(), text)
}

/// Dimmed: context.
pub fn faint<T: Display>(text: T) -> Painted<T> {
    Painted(Style::new().dimmed(), text)
}
