//! Functions that Kubernetes adds to CEL: lists, regular expressions, quantities, versions, URLs, addresses, sets, named formats.
//!
//! Named and defined as in `k8s.io/apiserver/pkg/cel/library`.

mod address;
mod amount;
pub(super) mod format;
mod url;
mod version;

use std::cmp::Ordering;

use cel::extractors::This;
use cel::{Context, ExecutionError, Value};

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
    "semver",
    "isSemver",
    "major",
    "minor",
    "patch",
    "named",
    "validate",
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
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "isCanonical",
    "containsIP",
    "containsCIDR",
    "prefixLength",
    "masked",
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
    KNOWN.contains(&last)
        || format::NAMES.contains(&last)
        || !name.starts_with(|letter: char| letter.is_ascii_alphabetic())
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
    amount::add(context);
    url::add(context);
    address::add(context);
    format::add(context);
    version::add(context);
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

#[cfg(test)]
mod tests {
    use super::super::{Authorizer, Check, Decision, Expression, Scope};
    use super::KNOWN;

    /// A condition that holds for each name, and cases of the libraries' documentation.
    const CASES: &[(&str, &str)] = &[
        ("contains", "'abc'.contains('b') && sets.contains([1, 2], [1])"),
        ("size", "size('abc') == 3"),
        ("max", "[1, 3, 2].max() == 3"),
        ("min", "[1, 3, 2].min() == 1"),
        ("startsWith", "'abc'.startsWith('a')"),
        ("endsWith", "'abc'.endsWith('c')"),
        ("string", "string(1) == '1'"),
        ("bytes", "bytes('a') == b'a'"),
        ("double", "double(1) == 1.0"),
        ("int", "int('1') == 1"),
        ("uint", "uint(1) == 1u"),
        ("bool", "bool('true')"),
        ("dyn", "dyn(1) == 1"),
        ("type", "type(1) == int"),
        ("matches", "'abc'.matches('^a')"),
        ("duration", "duration('60s') == duration('1m')"),
        ("timestamp", "timestamp('2026-02-03T04:05:06.007Z') > timestamp('2026-01-01T00:00:00Z')"),
        ("getFullYear", "timestamp('2026-02-03T04:05:06.007Z').getFullYear() == 2026"),
        ("getMonth", "timestamp('2026-02-03T04:05:06.007Z').getMonth() == 1"),
        ("getDayOfYear", "timestamp('2026-02-03T04:05:06.007Z').getDayOfYear() == 33"),
        ("getDayOfMonth", "timestamp('2026-02-03T04:05:06.007Z').getDayOfMonth() == 2"),
        ("getDate", "timestamp('2026-02-03T04:05:06.007Z').getDate() == 3"),
        ("getDayOfWeek", "timestamp('2026-02-03T04:05:06.007Z').getDayOfWeek() == 2"),
        ("getHours", "timestamp('2026-02-03T04:05:06.007Z').getHours() == 4"),
        ("getMinutes", "timestamp('2026-02-03T04:05:06.007Z').getMinutes() == 5"),
        ("getSeconds", "timestamp('2026-02-03T04:05:06.007Z').getSeconds() == 6"),
        ("getMilliseconds", "timestamp('2026-02-03T04:05:06.007Z').getMilliseconds() == 7"),
        ("charAt", "'abc'.charAt(1) == 'b'"),
        ("indexOf", "'abc'.indexOf('b') == 1"),
        ("lastIndexOf", "'aba'.lastIndexOf('a') == 2"),
        ("join", "['a', 'b'].join('-') == 'a-b'"),
        ("lowerAscii", "'AB'.lowerAscii() == 'ab'"),
        ("upperAscii", "'ab'.upperAscii() == 'AB'"),
        ("trim", "' a '.trim() == 'a'"),
        ("replace", "'aba'.replace('a', 'c') == 'cbc'"),
        ("split", "'a,b'.split(',') == ['a', 'b']"),
        ("substring", "'abc'.substring(1, 2) == 'b'"),
        ("format", "'%s-%d'.format(['a', 1]) == 'a-1'"),
        ("quote", "strings.quote('a') == '\"a\"'"),
        ("reverse", "'abc'.reverse() == 'cba'"),
        ("of", "optional.of(1).hasValue()"),
        ("none", "!optional.none().hasValue()"),
        ("ofNonZeroValue", "!optional.ofNonZeroValue(0).hasValue()"),
        ("hasValue", "optional.of(1).hasValue()"),
        ("value", "optional.of(1).value() == 1"),
        ("or", "optional.none().or(optional.of(1)).value() == 1"),
        ("orValue", "optional.none().orValue(1) == 1"),
        ("optMap", "optional.of(1).optMap(x, x + 1).value() == 2"),
        ("optFlatMap", "optional.of(1).optFlatMap(x, optional.of(x + 1)).value() == 2"),
        ("has", "has({'a': 1}.a)"),
        ("all", "[1, 2].all(x, x > 0)"),
        ("exists", "[1, 2].exists(x, x == 2)"),
        ("exists_one", "[1, 2].exists_one(x, x == 2)"),
        ("map", "[1, 2].map(x, x + 1) == [2, 3]"),
        ("filter", "[1, 2].filter(x, x > 1) == [2]"),
        ("find", "'a1'.find('[0-9]') == '1'"),
        ("findAll", "'a1b2'.findAll('[0-9]') == ['1', '2']"),
        ("isSorted", "[1, 2].isSorted()"),
        ("sum", "[1, 2].sum() == 3"),
        ("quantity", "quantity('1000m') == quantity('1')"),
        ("isQuantity", "isQuantity('1.3Gi') && !isQuantity('1,3G') && !isQuantity('200K')"),
        ("sign", "quantity('-50k').sign() == -1 && quantity('0').sign() == 0 && math.sign(-2) == -1"),
        (
            "isInteger",
            "quantity('50000000G').isInteger() && !quantity('50E').isInteger() && !quantity('1m').isInteger()",
        ),
        ("asInteger", "quantity('50k').asInteger() == 50000"),
        ("asApproximateFloat", "quantity('50k').sub(20000).asApproximateFloat() == 30000.0"),
        (
            "add",
            "quantity('50k').add(quantity('20k')) == quantity('70k') && quantity('50k').add(20) == quantity('50020')",
        ),
        (
            "sub",
            "quantity('50k').sub(quantity('20k')) == quantity('30k') && quantity('50k').sub(20000) == quantity('30k')",
        ),
        ("sub", "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')"),
        ("isLessThan", "quantity('50M').isLessThan(quantity('100M'))"),
        ("isGreaterThan", "quantity('150Mi').isGreaterThan(quantity('100Mi'))"),
        (
            "compareTo",
            "quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('50Mi').compareTo(quantity('50M')) == 1",
        ),
        (
            "semver",
            "semver('v1.0', true) == semver('1.0.0+build') && semver('1.2.3-rc.1').isLessThan(semver('1.2.3'))",
        ),
        (
            "semver",
            "semver('1.10.0').isGreaterThan(semver('1.9.0')) && semver('1.2.3').compareTo(semver('2.0.0')) == -1",
        ),
        (
            "isSemver",
            "isSemver('1.0.0') && !isSemver('v1.0') && isSemver('v1.0', true) && !isSemver('Three')",
        ),
        ("major", "semver('1.2.3').major() == 1"),
        ("minor", "semver('1.2.3').minor() == 2"),
        ("patch", "semver('1.2.3').patch() == 3"),
        ("named", "format.named('uuid').hasValue() && !format.named('email').hasValue()"),
        (
            "named",
            "format.named('dns1123Label').value().validate('a.b').value() == ['must not contain dots']",
        ),
        (
            "validate",
            "!format.dns1123Label().validate('my-name').hasValue() && format.uri().validate('x').hasValue()",
        ),
        (
            "url",
            "url('https://user:pass@example.com:80/path?query=val#fragment').getHost() == 'example.com:80'",
        ),
        (
            "isURL",
            "isURL('/absolute-path') && !isURL('https://a:b:c/') && !isURL('../relative-path') && !isURL('')",
        ),
        (
            "isURL",
            "isURL('mailto:name') && !isURL('https://a b/') && !isURL('https://a/%zz') && !isURL(':a')",
        ),
        ("getScheme", "url('HTTPS://example.com/').getScheme() == 'https' && url('/path').getScheme() == ''"),
        (
            "getHost",
            "url('https://[::1]:80/').getHost() == '[::1]:80' && url('https://[::1]/').getHost() == '[::1]'",
        ),
        ("getHost", "url('/path').getHost() == '' && url('https://example.com/').getHost() == 'example.com'"),
        (
            "getHostname",
            "url('https://[::1]:80/').getHostname() == '::1' && url('https://127.0.0.1:80/').getHostname() == '127.0.0.1'",
        ),
        (
            "getPort",
            "url('https://example.com:80/').getPort() == '80' && url('https://[::1]/').getPort() == ''",
        ),
        (
            "getEscapedPath",
            "url('https://example.com/path with spaces/').getEscapedPath() == '/path%20with%20spaces/'",
        ),
        (
            "getEscapedPath",
            "url('https://example.com').getEscapedPath() == '' && url('/a%2Fb').getEscapedPath() == '/a%2Fb'",
        ),
        (
            "getQuery",
            "url('https://example.com/path?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}",
        ),
        (
            "getQuery",
            "url('/path?key with spaces=value+with%20spaces&&a;b&%zz=1#k=v').getQuery() == {'key with spaces': ['value with spaces']}",
        ),
        (
            "getQuery",
            "url('https://example.com/path?').getQuery() == {} && url('https://example.com/path').getQuery() == {}",
        ),
        (
            "ip",
            "ip('127.0.0.1') == ip('127.0.0.1') && ip('::1') == ip('0:0::1') && cidr('192.168.0.1/24').ip() == ip('192.168.0.1')",
        ),
        (
            "isIP",
            "isIP('127.0.0.1') && isIP('::1') && !isIP('127.0.0.256') && !isIP(':::1') && !isIP('127.0.0.01')",
        ),
        ("isIP", "!isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0') && !isIP('10.0.0.0/8')"),
        ("cidr", "cidr('192.168.0.0/16') == cidr('192.168.0.0/16') && cidr('::1/128').ip().family() == 6"),
        (
            "isCIDR",
            "isCIDR('192.168.0.0/16') && isCIDR('::1/128') && !isCIDR('192.168.0.0/33') && !isCIDR('::1/129')",
        ),
        (
            "isCIDR",
            "!isCIDR('10.0.0.0/08') && !isCIDR('10.0.0.0/+8') && !isCIDR('10.0.0.0/') && !isCIDR('10.0.0.0')",
        ),
        ("family", "ip('127.0.0.1').family() == 4 && ip('::1').family() == 6"),
        (
            "isLoopback",
            "ip('127.0.0.1').isLoopback() && ip('::1').isLoopback() && !ip('192.168.0.1').isLoopback()",
        ),
        (
            "isUnspecified",
            "ip('0.0.0.0').isUnspecified() && ip('::').isUnspecified() && !ip('::1').isUnspecified()",
        ),
        (
            "isLinkLocalMulticast",
            "ip('224.0.0.1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast()",
        ),
        (
            "isLinkLocalMulticast",
            "ip('ff02::1').isLinkLocalMulticast() && !ip('fd00::1').isLinkLocalMulticast()",
        ),
        (
            "isLinkLocalUnicast",
            "ip('169.254.169.254').isLinkLocalUnicast() && !ip('192.168.0.1').isLinkLocalUnicast()",
        ),
        ("isLinkLocalUnicast", "ip('fe80::1').isLinkLocalUnicast() && !ip('fd80::1').isLinkLocalUnicast()"),
        (
            "isGlobalUnicast",
            "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
        ),
        ("isGlobalUnicast", "ip('2001:db8::abcd').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast()"),
        ("isCanonical", "ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd')"),
        ("isCanonical", "!ip.isCanonical('2001:DB8::ABCD') && !ip.isCanonical('2001:db8::0:0:0:abcd')"),
        (
            "containsIP",
            "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && !cidr('192.168.0.0/24').containsIP('192.168.1.1')",
        ),
        ("containsIP", "cidr('0.0.0.0/0').containsIP('1.2.3.4') && !cidr('0.0.0.0/0').containsIP('::1')"),
        (
            "containsCIDR",
            "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24') && !cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24')",
        ),
        ("containsCIDR", "!cidr('192.168.10.0/24').containsCIDR(cidr('192.168.0.0/16'))"),
        (
            "prefixLength",
            "cidr('192.168.0.0/16').prefixLength() == 16 && cidr('::1/128').prefixLength() == 128",
        ),
        (
            "masked",
            "cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') && cidr('192.168.0.1/24') != cidr('192.168.0.1/24').masked()",
        ),
        ("intersects", "sets.intersects([1, 2], [2, 3])"),
        ("equivalent", "sets.equivalent([1, 2], [2, 1])"),
        ("group", "authorizer.group('apps').resource('x').check('get').allowed()"),
        ("resource", "authorizer.group('').resource('x').check('get').allowed()"),
        ("subresource", "authorizer.group('').resource('x').subresource('y').check('get').allowed()"),
        ("namespace", "authorizer.group('').resource('x').namespace('y').check('get').allowed()"),
        ("name", "authorizer.group('').resource('x').name('y').check('get').allowed()"),
        ("path", "authorizer.path('/healthz').check('get').allowed()"),
        ("serviceAccount", "authorizer.serviceAccount('shop', 'web').path('/').check('get').allowed()"),
        ("check", "authorizer.path('/').check('get').allowed()"),
        ("allowed", "authorizer.path('/').check('get').allowed()"),
        ("reason", "authorizer.path('/').check('get').reason() == 'because'"),
        ("errored", "!authorizer.path('/').check('get').errored()"),
        ("error", "authorizer.path('/').check('get').error() == ''"),
        ("greatest", "math.greatest(1, 2) == 2"),
        ("least", "math.least(1, 2) == 1"),
        ("@max", "math.greatest([1, 2]) == 2"),
        ("@min", "math.least([1, 2]) == 1"),
        ("abs", "math.abs(-1) == 1"),
        ("ceil", "math.ceil(1.2) == 2.0"),
        ("floor", "math.floor(1.2) == 1.0"),
        ("round", "math.round(1.5) == 2.0"),
        ("trunc", "math.trunc(1.5) == 1.0"),
        ("isNaN", "!math.isNaN(1.0)"),
        ("isInf", "!math.isInf(1.0)"),
        ("isFinite", "math.isFinite(1.0)"),
        ("bitAnd", "math.bitAnd(3, 2) == 2"),
        ("bitOr", "math.bitOr(1, 2) == 3"),
        ("bitXor", "math.bitXor(1, 3) == 2"),
        ("bitNot", "math.bitNot(0) == -1"),
        ("bitShiftLeft", "math.bitShiftLeft(1, 2) == 4"),
        ("bitShiftRight", "math.bitShiftRight(4, 2) == 1"),
        ("sqrt", "math.sqrt(4.0) == 2.0"),
    ];

    #[test]
    fn every_known_name_is_a_function() {
        for name in KNOWN {
            assert!(CASES.iter().any(|(case, _)| case == name), "no case evaluates {name}");
        }
        let always = Authorizer::new(|_: &Check| Decision { allowed: true, reason: "because".to_owned() });
        let scope = Scope::default().with_authorizer(always);
        for (name, text) in CASES {
            let is_named = text.contains(&format!("{name}(")) || name.starts_with('@');
            assert!(KNOWN.contains(name) && is_named, "{name}: {text}");
            let held = Expression::compile(text, &["authorizer"]).and_then(|all| all.holds(&scope));
            assert_eq!(held, Ok(true), "{name}: {text}");
        }
    }

    #[test]
    fn values_of_another_kind_fail() {
        for text in [
            "ip('10.0.0.0/8') == ''",
            "ip('::ffff:1.2.3.4') == ''",
            "cidr('10.0.0.1') == ''",
            "cidr('10.0.0.0/8').containsIP('10.0.0.0/8')",
            "cidr('10.0.0.0/8').containsCIDR('10.0.0.1')",
            "'x'.isLoopback()",
            "quantity('1').add('x') == ''",
            "quantity('1').add(1.5) == ''",
            "quantity('100000000000E').add(quantity('100000000000E')) == ''",
            "quantity('9999999999999999999999999999999999999G').asInteger() == 1",
            "url('../x').getQuery() == {}",
            "ip.isCanonical('x')",
            "semver('v1.0.0') == ''",
            "semver('1', 2) == ''",
            "'1'.major() == 1",
            "semver('1.0.0').isLessThan('1')",
            "'email'.validate('x').hasValue()",
        ] {
            let compiled = Expression::compile(text, &[]).unwrap();
            assert!(compiled.holds(&Scope::default()).is_err(), "{text}");
        }
    }
}
