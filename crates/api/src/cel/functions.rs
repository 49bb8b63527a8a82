//! Functions that Kubernetes adds to CEL: lists, regular expressions, quantities, URLs, addresses, sets.
//!
//! Named and defined as in `k8s.io/apiserver/pkg/cel/library`.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, ExecutionError, Value};
use palisade_k8s::quantity;

type Outcome = Result<Value, ExecutionError>;

/// Functions of the standard library, its extensions and macros, and of Kubernetes.
const KNOWN: &[&str] = &[
    "contains",
    "size",
    "max",
    "min",
    "startsWith",
    "endsWith",
    "string",
    "bytes",
    "double",
    "int",
    "uint",
    "bool",
    "dyn",
    "type",
    "matches",
    "duration",
    "timestamp",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "join",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "split",
    "substring",
    "format",
    "quote",
    "reverse",
    "optional",
    "of",
    "none",
    "ofNonZeroValue",
    "hasValue",
    "value",
    "or",
    "orValue",
    "optMap",
    "optFlatMap",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "find",
    "findAll",
    "isSorted",
    "sum",
    "quantity",
    "isQuantity",
    "sign",
    "isInteger",
    "asInteger",
    "asApproximateFloat",
    "add",
    "sub",
    "isLessThan",
    "isGreaterThan",
    "compareTo",
    "url",
    "isURL",
    "getScheme",
    "getHost",
    "getHostname",
    "getPort",
    "getEscapedPath",
    "getQuery",
    "ip",
    "isIP",
    "cidr",
    "isCIDR",
    "family",
    "isLoopback",
    "isUnspecified",
    "containsIP",
    "ip.isCanonical",
    "intersects",
    "equivalent",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "path",
    "serviceAccount",
    "check",
    "allowed",
    "reason",
    "errored",
    "error",
    "math",
    "greatest",
    "least",
    "abs",
    "ceil",
    "floor",
    "round",
    "trunc",
    "isNaN",
    "isInf",
    "isFinite",
    "bitAnd",
    "bitOr",
    "bitXor",
    "bitNot",
    "bitShiftLeft",
    "bitShiftRight",
    "sqrt",
    // Expansions of the macros `math.greatest` and `math.least`.
    "@max",
    "@min",
];

/// Whether a name is that of a function or an operator.
pub(super) fn is_known(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    KNOWN.contains(&last) || !name.starts_with(|letter: char| letter.is_ascii_alphabetic())
}

fn fails(function: &str, why: impl std::fmt::Display) -> ExecutionError {
    ExecutionError::function_error(function, why)
}

/// Adds the functions to a context.
pub(super) fn add(context: &mut Context<'_, '_>) {
    // A function of the environment takes precedence over one of the same name here.
    let _ = context.add_function("isSorted", is_sorted);
    let _ = context.add_function("sum", sum);
    let _ = context.add_function("min", |This(this): This<Value>| extreme("min", &this, Ordering::Less));
    let _ = context.add_function("max", |This(this): This<Value>| extreme("max", &this, Ordering::Greater));
    quantities(context);
    addresses(context);
    sets(context);
}

fn items<'v>(function: &str, this: &'v Value) -> Result<&'v [Value], ExecutionError> {
    match this {
        Value::List(items) => Ok(items.as_slice()),
        _ => Err(fails(function, "no such overload")),
    }
}

fn compare(function: &str, one: &Value, other: &Value) -> Result<Ordering, ExecutionError> {
    one.partial_cmp(other).ok_or_else(|| fails(function, "values cannot be compared"))
}

fn is_sorted(This(this): This<Value>) -> Outcome {
    let items = items("isSorted", &this)?;
    for pair in items.windows(2) {
        if let [one, other] = pair
            && compare("isSorted", one, other)? == Ordering::Greater
        {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum(This(this): This<Value>) -> Outcome {
    let mut total = Value::Int(0);
    for (at, item) in items("sum", &this)?.iter().enumerate() {
        total = match (total, item) {
            (_, item) if at == 0 => item.clone(),
            (Value::Int(one), Value::Int(other)) => {
                Value::Int(one.checked_add(*other).ok_or_else(|| fails("sum", "integer overflow"))?)
            }
            (Value::Float(one), Value::Float(other)) => Value::Float(one + other),
            _ => return Err(fails("sum", "no such overload")),
        };
    }
    Ok(total)
}

fn extreme(function: &'static str, this: &Value, wanted: Ordering) -> Outcome {
    let mut items = items(function, this)?.iter();
    let mut found =
        items.next().ok_or_else(|| fails(function, format!("{function} called on empty list")))?;
    for item in items {
        if compare(function, item, found)? == wanted {
            found = item;
        }
    }
    Ok(found.clone())
}

/// A quantity is represented by its text.
fn amount(function: &str, text: &str) -> Result<f64, ExecutionError> {
    number(text).ok_or_else(|| fails(function, format!("quantity {text:?} cannot be read")))
}

fn number(text: &str) -> Option<f64> {
    if !quantity::is_valid(text) {
        return None;
    }
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
    ];
    const LARGE: [(&str, f64); 2] = [("P", 1e15), ("E", 1e18)];
    let unit = UNITS.iter().chain(&LARGE).find_map(|(unit, times)| Some((text.strip_suffix(unit)?, times)));
    match unit {
        Some((digits, times)) => digits.parse::<f64>().ok().map(|number| number * times),
        None => text.parse().ok(),
    }
}

fn quantities(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isQuantity", |text: Arc<String>| number(&text).is_some());
    let _ = context.add_function("quantity", |text: Arc<String>| -> Outcome {
        amount("quantity", &text)?;
        Ok(Value::String(text))
    });
    let order = |function: &'static str, wanted: Ordering| {
        move |This(this): This<Arc<String>>, other: Arc<String>| -> Outcome {
            let (one, other) = (amount(function, &this)?, amount(function, &other)?);
            Ok(Value::Bool(one.partial_cmp(&other) == Some(wanted)))
        }
    };
    let _ = context.add_function("isLessThan", order("isLessThan", Ordering::Less));
    let _ = context.add_function("isGreaterThan", order("isGreaterThan", Ordering::Greater));
    let compare = |This(this): This<Arc<String>>, other: Arc<String>| -> Outcome {
        let (one, other) = (amount("compareTo", &this)?, amount("compareTo", &other)?);
        Ok(Value::Int(one.partial_cmp(&other).map_or(0, |order| order as i64)))
    };
    let _ = context.add_function("compareTo", compare);
    let _ = context.add_function("asApproximateFloat", |This(this): This<Arc<String>>| -> Outcome {
        amount("asApproximateFloat", &this).map(Value::Float)
    });
    let _ = context.add_function("isInteger", |This(this): This<Arc<String>>| -> Outcome {
        amount("isInteger", &this).map(|number| Value::Bool(number.fract() == 0.0))
    });
    let _ = context.add_function("asInteger", |This(this): This<Arc<String>>| -> Outcome {
        let number = amount("asInteger", &this)?;
        if number.fract() != 0.0 || number.abs() >= 9.2e18 {
            return Err(fails("asInteger", "cannot convert value to integer"));
        }
        Ok(Value::Int(number as i64))
    });
    let _ = context.add_function("sign", |This(this): This<Arc<String>>| -> Outcome {
        let number = amount("sign", &this)?;
        Ok(Value::Int(if number > 0.0 { 1 } else { -i64::from(number < 0.0) }))
    });
}

fn url(function: &'static str, text: &str) -> Result<parts::Url, ExecutionError> {
    parts::parse(text)
        .ok_or_else(|| fails(function, format!("URL parse error during conversion from string: {text:?}")))
}

/// The parts of an absolute URL.
mod parts {
    /// A parsed URL.
    pub(super) struct Url {
        pub(super) scheme: String,
        pub(super) host: String,
        pub(super) port: String,
        pub(super) path: String,
    }

    pub(super) fn parse(text: &str) -> Option<Url> {
        if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return None;
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text.starts_with('/') => ("", text),
            None => return None,
        };
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let (authority, path) = match rest.find('/') {
            Some(_) if scheme.is_empty() => ("", rest),
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (authority, ""),
        };
        Some(Url {
            scheme: scheme.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.to_owned(),
            path: path.get(..end)?.to_owned(),
        })
    }
}

fn addresses(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isURL", |text: Arc<String>| parts::parse(&text).is_some());
    let _ = context.add_function("url", |text: Arc<String>| -> Outcome {
        url("url", &text)?;
        Ok(Value::String(text))
    });
    let part = |function: &'static str, take: fn(parts::Url) -> String| {
        move |This(this): This<Arc<String>>| -> Outcome { Ok(Value::from(take(url(function, &this)?))) }
    };
    let _ = context.add_function("getScheme", part("getScheme", |url| url.scheme));
    let _ = context.add_function("getHostname", part("getHostname", |url| url.host));
    let _ = context.add_function("getPort", part("getPort", |url| url.port));
    let _ = context.add_function("getEscapedPath", part("getEscapedPath", |url| url.path));
    let host = |url: parts::Url| match url.port.as_str() {
        "" => url.host,
        port => format!("{}:{port}", url.host),
    };
    let _ = context.add_function("getHost", part("getHost", host));
    let _ = context.add_function("isIP", |text: Arc<String>| text.parse::<IpAddr>().is_ok());
    let _ = context.add_function("ip", |text: Arc<String>| -> Outcome {
        address("ip", &text)?;
        Ok(Value::String(text))
    });
    let _ = context.add_function("family", |This(this): This<Arc<String>>| -> Outcome {
        address("family", &this).map(|address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
    });
    let _ = context.add_function("isCIDR", |text: Arc<String>| network(&text).is_some());
    let _ = context.add_function("cidr", |text: Arc<String>| -> Outcome {
        network(&text).ok_or_else(|| fails("cidr", format!("network {text:?} cannot be read")))?;
        Ok(Value::String(text))
    });
    let holds = |This(this): This<Arc<String>>, inner: Arc<String>| -> Outcome {
        let (network, bits) = network(&this).ok_or_else(|| fails("containsIP", "no such overload"))?;
        Ok(Value::Bool(is_within(address("containsIP", &inner)?, network, bits)))
    };
    let _ = context.add_function("containsIP", holds);
}

fn address(function: &str, text: &str) -> Result<IpAddr, ExecutionError> {
    text.parse().map_err(|_| {
        fails(function, format!("IP Address {text:?} parse error during conversion from string"))
    })
}

fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse().ok().filter(|bits| *bits <= most).map(|bits| (address, bits))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        _ => false,
    }
}

/// Maximum length of a list in the functions of `sets`. They compare every element with every other, which the cost of
/// loops does not count.
const SET: usize = 1000;

fn sets(context: &mut Context<'_, '_>) {
    let has = |all: &[Value], some: &[Value]| some.iter().all(|item| all.contains(item));
    let bounded =
        |function: &str, one: &Value, other: &Value| -> Result<(Vec<Value>, Vec<Value>), ExecutionError> {
            let (one, other) = (items(function, one)?, items(function, other)?);
            if one.len() > SET || other.len() > SET {
                return Err(fails(function, format!("sets of at most {SET} are compared")));
            }
            Ok((one.to_vec(), other.to_vec()))
        };
    let _ = context.add_function("sets.contains", move |one: Value, other: Value| -> Outcome {
        let (one, other) = bounded("sets.contains", &one, &other)?;
        Ok(Value::Bool(has(&one, &other)))
    });
    let _ = context.add_function("sets.equivalent", move |one: Value, other: Value| -> Outcome {
        let (one, other) = bounded("sets.equivalent", &one, &other)?;
        Ok(Value::Bool(has(&one, &other) && has(&other, &one)))
    });
    let _ = context.add_function("sets.intersects", move |one: Value, other: Value| -> Outcome {
        let (one, other) = bounded("sets.intersects", &one, &other)?;
        Ok(Value::Bool(other.iter().any(|item| one.contains(item))))
    });
}
