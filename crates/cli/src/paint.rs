//! Colours, which `anstream` leaves out where they do not belong (no terminal, `NO_COLOR`).

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

/// A text in a style.
pub(crate) struct Painted<T>(Style, T);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.0.render(), self.1, self.0.render_reset())
    }
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

pub(crate) fn error<T: Display>(text: T) -> Painted<T> {
    Painted(colour(AnsiColor::Red).bold(), text)
}

pub(crate) fn good<T: Display>(text: T) -> Painted<T> {
    Painted(colour(AnsiColor::Green).bold(), text)
}

pub(crate) fn warning<T: Display>(text: T) -> Painted<T> {
    Painted(colour(AnsiColor::Yellow).bold(), text)
}

pub(crate) fn strong<T: Display>(text: T) -> Painted<T> {
    Painted(Style::new().bold(), text)
}

pub(crate) fn faint<T: Display>(text: T) -> Painted<T> {
    Painted(Style::new().dimmed(), text)
}
