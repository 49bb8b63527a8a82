//! Absolute URLs and absolute paths, represented by their texts and parsed as Go's `net/url` does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::objects::{Key, Map};
use cel::{Context, ExecutionError, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{Outcome, fails};

pub(super) fn add(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isURL", |text: Arc<String>| Url::parse(&text).is_some());
    let _ = context.add_function("url", |text: Arc<String>| -> Outcome {
        url("url", &text)?;
        Ok(Value::String(text))
    });
    type Part = for<'u> fn(&Url<'u>) -> Value;
    let parts: [(&str, Part); 6] = [
        ("getScheme", |url| url.scheme.to_ascii_lowercase().into()),
        ("getHost", |url| url.host.to_owned().into()),
        ("getHostname", |url| url.split_host().0.trim_matches(['[', ']']).to_owned().into()),
        ("getPort", |url| url.split_host().1.to_owned().into()),
        ("getEscapedPath", |url| escaped(url.path).into()),
        ("getQuery", |url| query(url.query)),
    ];
    for (name, take) in parts {
        let part = move |This(this): This<Arc<String>>| -> Outcome { Ok(take(&url(name, &this)?)) };
        let _ = context.add_function(name, part);
    }
}

fn url<'t>(function: &str, text: &'t str) -> Result<Url<'t>, ExecutionError> {
    let why = || format!("URL parse error during conversion from string: {text:?}");
    Url::parse(text).ok_or_else(|| fails(function, why()))
}

/// The parts of a URL as they are written, without user and fragment.
#[derive(Default)]
struct Url<'t> {
    scheme: &'t str,
    host: &'t str,
    path: &'t str,
    query: &'t str,
}

impl<'t> Url<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        if text.contains(|letter: char| letter.is_ascii_control()) {
            return None;
        }
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            // Such as `mailto:name`, which has no parts.
            return (!scheme.is_empty()).then_some(Self { scheme, query, ..Self::default() });
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let url = Self { scheme, host, path, query };
        (url.has_valid_host() && unescaped(path, false).is_some()).then_some(url)
    }

    /// The host without and with brackets, and the port.
    fn split_host(&self) -> (&'t str, &'t str) {
        match self.host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (self.host, ""),
        }
    }

    fn has_valid_host(&self) -> bool {
        let (host, port) = self.split_host();
        let is_bracketed = !self.host.starts_with('[') || host.ends_with(']');
        let is_odd = |letter: char| letter.is_ascii() && " \"#%/<>?@\\^`{|}".contains(letter);
        is_bracketed && port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(is_odd)
    }
}

/// The scheme, empty for an absolute path; `None` if a text is neither.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('/') {
        return Some(("", text));
    }
    let (scheme, rest) = text.split_once(':')?;
    let is_valid = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_valid.then_some((scheme, rest))
}

/// The bytes of a text without its escapes; `None` if one is invalid.
fn unescaped(text: &str, is_query: bool) -> Option<Vec<u8>> {
    let has_digits = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let is_valid = text.split('%').skip(1).all(has_digits);
    let spaced = if is_query { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    is_valid.then(|| percent_decode_str(&spaced).collect())
}

/// The characters that are escaped in a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// A path as it is sent: unchanged if it can be, else escaped anew.
fn escaped(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte);
    match path.bytes().all(is_plain) {
        true => path.to_owned(),
        false => percent_encode(&unescaped(path, false).unwrap_or_default(), ESCAPED).to_string(),
    }
}

/// The values of each key, in their order; a pair that cannot be read is left out.
fn query(text: &str) -> Value {
    let mut all: HashMap<String, Vec<Value>> = HashMap::new();
    let text_of =
        |part: &str| unescaped(part, true).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    for pair in text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (text_of(key), text_of(value)) {
            all.entry(key).or_default().push(value.into());
        }
    }
    let entries = all.into_iter().map(|(key, values)| (Key::from(key), Value::List(Arc::new(values))));
    Value::Map(Map { map: Arc::new(entries.collect()) })
}
