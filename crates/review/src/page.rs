//! Templates: pages for browsers, in light and dark.

use std::fmt::Write;

use minijinja::{Environment, Output, context};
use palisade_console::terminal;
use serde::Serialize;
use serde_json::{Value, json};

/// The style of all pages.
pub const STYLE: &str = include_str!("../templates/style.css");
/// The script of the pages that a server keeps up to date.
pub const SCRIPT: &str = include_str!("../templates/live.js");

const TEMPLATES: [(&str, &str); 8] = [
    ("form.html", include_str!("../templates/form.html")),
    ("page.html", include_str!("../templates/page.html")),
    ("review.html", include_str!("../templates/review.html")),
    ("changes.html", include_str!("../templates/changes.html")),
    ("syscalls.html", include_str!("../templates/syscalls.html")),
    ("console.html", include_str!("../templates/console.html")),
    ("login.html", include_str!("../templates/login.html")),
    ("message.html", include_str!("../templates/message.html")),
];

/// A page that cannot be written: a template is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the page cannot be written")]
pub struct PageError(#[from] minijinja::Error);

/// A page: a template, and its data.
#[derive(Debug)]
pub struct Page {
    template: &'static str,
    title: String,
    content: Value,
}

/// The layout around a page of a server.
#[derive(Debug, Default, Serialize)]
pub struct Frame {
    /// The folder of the style, the script and the links of every page.
    pub root: &'static str,
    /// The user who has logged in by a form, and so can log out.
    pub session: Option<String>,
    /// The URL of change events.
    pub live: Option<String>,
    /// The pages that lead to all others: address and text.
    pub links: Vec<(String, String)>,
}

impl Page {
    pub(crate) fn new(template: &'static str, title: impl Into<String>, content: Value) -> Self {
        Self { template, title: title.into(), content }
    }

    /// The page with notes before its content.
    #[must_use]
    pub fn noting(mut self, remarks: impl IntoIterator<Item = String>) -> Self {
        palisade_k8s::put(&mut self.content, &["remarks"], remarks.into_iter().collect());
        self
    }

    /// A standalone file: no script, nothing loaded.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn file(self) -> Result<String, PageError> {
        self.fill(None)
    }

    /// A page of a server.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn framed(self, frame: &Frame) -> Result<String, PageError> {
        self.fill(Some(frame))
    }

    /// Fills the template. Every text is escaped: for HTML, and so that no control character and no change of the
    /// writing direction gets to the page.
    fn fill(self, frame: Option<&Frame>) -> Result<String, PageError> {
        let mut environment = Environment::new();
        environment.set_formatter(|out, _, value| match value.as_str() {
            Some(text) if !value.is_safe() => Ok(escape(out, text)?),
            _ => Ok(write!(out, "{value}")?),
        });
        for (name, text) in TEMPLATES {
            environment.add_template(name, text)?;
        }
        let content = minijinja::Value::from_serialize(visible(self.content));
        let fixed = context! {
            title => terminal::escape(&self.title), style => STYLE, version => env!("CARGO_PKG_VERSION"), frame,
        };
        Ok(environment.get_template(self.template)?.render(context! { ..content, ..fixed })?)
    }
}

/// Writes a text so that it is safe between tags and within quoted attributes.
fn escape(out: &mut Output<'_>, text: &str) -> std::fmt::Result {
    for letter in text.chars() {
        match letter {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            letter => out.write_char(letter)?,
        }
    }
    Ok(())
}

/// The value with control characters in its texts escaped.
fn visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(terminal::escape(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(visible).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, visible(value))).collect(),
        other => other,
    }
}

/// A page of changes: a heading for each, with the old and the new value.
#[must_use]
pub fn changes(title: &str, summary: &str, columns: [&str; 3], rows: Vec<[String; 3]>) -> Page {
    Page::new("changes.html", title, json!({"summary": summary, "columns": columns, "rows": rows}))
}

/// The form for a name and a password, with the error of the last try.
#[must_use]
pub fn login(wrong: &str) -> Page {
    Page::new("login.html", "Log in to palisade", json!({ "wrong": wrong }))
}

/// The form for an SCC for an impact analysis, with the error of the last one.
#[must_use]
pub fn form(namespace: &str, text: &str, wrong: &str) -> Page {
    let content = json!({"namespace": namespace, "text": text, "wrong": wrong});
    Page::new("form.html", "Impact of an SCC", content)
}

/// A page with one message.
#[must_use]
pub fn message(title: &str, text: &str) -> Page {
    Page::new("message.html", title, json!({ "text": text }))
}

/// The first page of a server: lists of links, each with a heading and a text for an empty list.
#[must_use]
pub fn index(lists: &[LinkList]) -> Page {
    Page::new("console.html", "palisade", json!({ "lists": lists }))
}

/// A heading with links below it.
#[derive(Debug, Serialize)]
pub struct LinkList {
    /// The heading.
    pub heading: &'static str,
    /// The text if there are no links.
    pub empty: &'static str,
    /// Address and text of each.
    pub links: Vec<(String, String)>,
    /// The number of further ones.
    pub more: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The custom properties of the first rule after `start`.
    fn colours(start: &str) -> Vec<(String, [f64; 3])> {
        let rule = STYLE.split_once(start).unwrap().1.split_once('}').unwrap().0;
        let pairs = rule.split(';').filter_map(|pair| pair.trim().strip_prefix("--")?.split_once(":#"));
        let channel = |hex: &str, at: usize| {
            f64::from(u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0
        };
        pairs.map(|(name, hex)| (name.to_owned(), [0, 2, 4].map(|at| channel(hex, at)))).collect()
    }

    /// WCAG 2's relative luminance.
    fn luminance(colour: [f64; 3]) -> f64 {
        let [r, g, b] =
            colour.map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// At least 4.5 to 1, WCAG 2's level AA for text.
    #[test]
    fn text_stands_out_in_light_and_dark() {
        for theme in [":root{", "dark){:root{"] {
            let colours = colours(theme);
            let get = |name: &str| luminance(colours.iter().find(|(other, _)| other == name).unwrap().1);
            for (text, back) in [
                ("text", "page"),
                ("soft", "page"),
                ("link", "page"),
                ("text", "head"),
                ("yes", "yes-back"),
                ("no", "no-back"),
                ("some", "some-back"),
                ("yes", "page"),
                ("no", "page"),
            ] {
                let (a, b) = (get(text), get(back));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= 4.5, "{text} on {back} in {theme}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let row = ["<script>alert(1)</script>", "\"><img src=x>", "\u{202e}\u{1b}[31m"].map(str::to_owned);
        let page = changes("</title><b>", "&", ["a", "b", "c"], vec![row]).file().unwrap();
        for forbidden in ["<script", "<img", "</title><b>", "\u{202e}", "\u{1b}"] {
            assert!(!page.contains(forbidden), "{forbidden:?} in {page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.starts_with("<!doctype html>"));
        for named in ["http://", "https://", "url(", "@import", "src="] {
            assert!(!page.replace("&quot;&gt;&lt;img src=x&gt;", "").contains(named), "{named}");
        }
    }
}
