//! Pages for browsers: one file each, without scripts, in light and dark.

use std::fmt::Write;

use minijinja::{Environment, Output, context};
use palisade_console::terminal;
use serde_json::Value;

const STYLE: &str = include_str!("../templates/style.css");
const TEMPLATES: [(&str, &str); 4] = [
    ("page.html", include_str!("../templates/page.html")),
    ("review.html", include_str!("../templates/review.html")),
    ("changes.html", include_str!("../templates/changes.html")),
    ("syscalls.html", include_str!("../templates/syscalls.html")),
];

/// Fills a template with content, of which every text is escaped: for HTML, and so that no control character and no change
/// of the writing direction gets to the page.
pub(crate) fn page(template: &str, title: &str, content: Value) -> Result<String, crate::Failure> {
    let mut environment = Environment::new();
    environment.set_formatter(|out, _, value| match value.as_str() {
        Some(text) if !value.is_safe() => Ok(escape(out, text)?),
        _ => Ok(write!(out, "{value}")?),
    });
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    let content = minijinja::Value::from_serialize(visible(content));
    let fixed =
        context! { title => terminal::escape(title), style => STYLE, version => env!("CARGO_PKG_VERSION") };
    Ok(environment.get_template(template)?.render(context! { ..content, ..fixed })?)
}

/// Writes a text so that it is one between tags and within quoted attributes.
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

/// The value with its texts' control characters spelled out.
fn visible(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(terminal::escape(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(visible).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, visible(value))).collect(),
        other => other,
    }
}

/// A page of changes: a heading each, with what was and what is.
pub(crate) fn changes(
    title: &str,
    summary: &str,
    columns: [&str; 3],
    rows: Vec<[String; 3]>,
) -> Result<String, crate::Failure> {
    page("changes.html", title, serde_json::json!({"summary": summary, "columns": columns, "rows": rows}))
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
        let page = changes("</title><b>", "&", ["a", "b", "c"], vec![row]).unwrap();
        for forbidden in ["<script", "<img", "</title><b>", "\u{202e}", "\u{1b}"] {
            assert!(!page.contains(forbidden), "{forbidden:?} in {page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.starts_with("<!doctype html>"));
        for named in ["http://", "https://", "url(", "@import", "src="] {
            assert!(!page.replace("&quot;&gt;&lt;img src=x&gt;", "").contains(named), "{named}");
        }
    }
}
