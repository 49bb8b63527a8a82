use super::*;
use serde_json::json;

fn holds(text: &str, object: &Value) -> Result<bool, String> {
    Expression::compile(text, &["object"])?.holds(&Scope::default().with("object", object))
}

#[test]
fn conditions_are_evaluated_as_kubernetes_does() {
    let object = json!({"metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "a/b": "1"}},
        "spec": {"replicas": 3, "ratio": 0.5, "ports": [{"port": 80}, {"port": 443}], "memory": "1Gi"}});
    let cases = [
        ("object.metadata.name.startsWith('web')", Ok(true)),
        ("object.metadata.namespace == 'shop'", Ok(true)),
        ("'app' in object.metadata.labels", Ok(true)),
        ("object.metadata.labels['a/b'] == '1'", Ok(true)),
        ("has(object.spec.replicas) && object.spec.replicas > 2", Ok(true)),
        ("!has(object.spec.none)", Ok(true)),
        ("object.spec.ports.all(p, p.port < 1024)", Ok(true)),
        ("object.spec.ports.exists(p, p.port == 443)", Ok(true)),
        ("object.spec.ports.map(p, p.port) == [80, 443]", Ok(true)),
        ("size(object.spec.ports) == 2", Ok(true)),
        ("object.spec.replicas + 1 == 4", Ok(true)),
        ("object.spec.ratio < 1.0", Ok(true)),
        ("object.metadata.name.matches('^[a-z]+-[0-9]$')", Ok(true)),
        ("object.metadata.name.split('-')[1] == '1'", Ok(true)),
        ("object.metadata.name.find('[0-9]+') == '1'", Ok(true)),
        ("object.spec.ports.map(p, p.port).isSorted()", Ok(true)),
        ("object.spec.ports.map(p, p.port).sum() == 523", Ok(true)),
        ("quantity(object.spec.memory).isGreaterThan(quantity('500Mi'))", Ok(true)),
        ("isQuantity('x')", Ok(false)),
        ("url('https://a.example:8443/x').getHostname() == 'a.example'", Ok(true)),
        ("isIP('10.0.0.1') && !isIP('10.0.0')", Ok(true)),
        ("object.?spec.?none.orValue(7) == 7", Ok(true)),
        ("duration('1h') > duration('30m')", Ok(true)),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')", Ok(true)),
        ("object.spec.none == 1", Err("no such key: none")),
        ("object.spec.replicas", Err("must evaluate to bool")),
    ];
    for (text, wanted) in cases {
        assert_eq!(holds(text, &object), wanted.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn invalid_expressions_do_not_compile() {
    let deep = format!("{}true{}", "(".repeat(5000), ")".repeat(5000));
    let chain = format!("object{}", ".a".repeat(5000));
    let negated = "!".repeat(10_000) + "true";
    let long = "true || ".repeat(5000) + "true";
    for text in
        ["", "1 +", "other == 1", "nothing(object)", &deep, &chain, &negated, &long, "object.size(", "\u{0}"]
    {
        assert!(Expression::compile(text, &["object"]).is_err(), "{}", text.get(..20).unwrap_or(text));
    }
}

#[test]
fn trees_are_bounded_in_depth_and_evaluated_up_to_the_bound() {
    let row = |first: &str, part: &str, count: usize| format!("{first}{}", part.repeat(count));
    for (first, part) in [
        ("true", " == true"),
        ("1", "+1"),
        ("1", "-1"),
        ("1", "*1"),
        ("[1]", ".map(a,a)"),
        ("[true]", ".filter(a,a)"),
        ("object", ".a"),
        ("'a'", ".trim()"),
        ("[[1]]", "[0]"),
        ("true", " in [true]"),
        ("1 > 0", " ? true : 1 > 0"),
        ("true", " && true"),
        ("true", " || true"),
        ("object", ".?a"),
    ] {
        let (mut evaluated, mut refused) = (0, 0);
        for count in (10..=200).step_by(10).chain([500, 1000, 1900]) {
            match Expression::compile(&row(first, part, count), &["object"]) {
                Ok(expression) => {
                    let _value = expression.evaluate(&Scope::default().with("object", &json!({})));
                    evaluated += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(evaluated >= 5 && (refused > 0 || part.contains(['&', '|'])), "{part} {evaluated} {refused}");
    }
}

#[test]
fn work_is_bounded_before_it_is_done() {
    let items: Vec<u64> = (0..2000).collect();
    let object = json!({ "items": items });
    let squared = "object.items.all(a, object.items.all(b, a + b >= 0))";
    let cubed = "object.items.all(a, object.items.all(b, object.items.all(c, a + b + c >= 0)))";
    assert_eq!(holds("object.items.all(a, a >= 0)", &object), Ok(true));
    for text in [squared, cubed] {
        assert_eq!(holds(text, &object), Err("operation cancelled: actual cost limit exceeded".to_owned()));
    }
    let few = json!({"items": [1, 2, 3]});
    assert_eq!(holds(cubed, &few), Ok(true));
}

#[test]
fn metered_expressions_give_what_the_library_gives() {
    let object = json!({"s": "a-b--c-é", "l": ["x", "y", "z"], "n": 3, "m": {"k": [1, 2], "j": "t"}});
    let texts = [
        "object.s.replace('-', '++')",
        "object.s.replace('-', '+', 2)",
        "object.s.replace('-', '+', 0)",
        "object.s.replace('-', '+', -1)",
        "object.s.replace('', '.')",
        "object.s.split('-')",
        "object.s.split('-', 2)",
        "object.s.split('-', 0)",
        "object.s.split('')",
        "object.s.split('', 3)",
        "object.s.split('', 0)",
        "object.s.split('', -1)",
        "''.split('')",
        "''.split('-')",
        "object.l.join()",
        "object.l.join(', ')",
        "[].join(',')",
        "[1].join(',')",
        "object.s + '!' + object.l[0] + string(object.n)",
        "object.l + ['w'] + object.l.map(x, x + x)",
        "1 + 2 + object.n + (4 + 5)",
        "1.5 + 2.5",
        "1 + 'a'",
        "object.n + object.s + 1",
        "9223372036854775807 + 1",
        "duration('1h') + duration('2h')",
        "timestamp('2026-01-01T00:00:00Z') + duration('2h')",
        "b'ab' + b'cd'",
        "object.l.filter(x, x != 'y')",
        "object.l.map(x, x != 'y', {'of': x, 'all': [x, 'lit']})",
        "object.l.exists_one(x, x == 'y')",
        "object.l.map(a, object.l.map(b, a + b))",
        "object.m.map(k, k).size()",
        "'%s has %d of %s'.format([object.s, object.n, object.l])",
        "strings.quote(object.s + '\"')",
        "object.s.upperAscii().lowerAscii().trim().reverse()",
        "object.s.indexOf('b') + object.s.lastIndexOf('-')",
        "['', 'a', '-', '--', 'é', 'c-é', 'no', 'a-b--c-é', 'a-b--c-é+'].map(x, [object.s.indexOf(x), object.s.lastIndexOf(x)])",
        "['', 'a', '-', 'é', 'no'].map(x, [0, 1, 3, 7].map(n, [object.s.indexOf(x, n), object.s.lastIndexOf(x, n)]))",
        "['', 'a'].map(x, ''.indexOf(x))",
        "object.s.indexOf('', 99) + object.s.lastIndexOf('', 99)",
        "object.s.indexOf('a', 8)",
        "object.s.indexOf('a', -1)",
        "object.s.lastIndexOf('', -1)",
        "object.s.lastIndexOf('a', 8)",
        "[object.s.matches('^a.*é$'), matches(object.s, 'z'), object.s.matches('')]",
        "object.s.matches('(')",
        "object.?m.?k.orValue([]).map(x, x + 1)",
        "object.?m.?none.hasValue() || object.m.?j.orValue('') == 't'",
        "[?object.?none, ?object.m.?j]",
        "object.l.exists(x, object.?none.orValue('y') == x)",
        "'x' in object.l && 'k' in object.m && !('q' in object.l)",
        "object.l == ['x', 'y', 'z'] && object.l != [object.s]",
        "size(object.s) + size(object.l) + object.m.size()",
        "math.greatest(1, object.n) > 2 ? object.l : []",
        "object.none + 'a'",
    ];
    for text in texts {
        let (value, longest) = convert(&object, Escapes::None);
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value("object", value.clone());
        functions::add(&mut context);
        let plain = ENV.compile(text).unwrap().execute(&context);
        let scope = Scope::default().with_value("object", value, longest);
        let metered = Expression::compile(text, &["object"]).unwrap().evaluate(&scope);
        match plain {
            Ok(plain) => assert_eq!(metered, Ok(plain), "{text}"),
            Err(error) => assert!(metered.is_err(), "{text}: {error} and {metered:?}"),
        }
    }
}

#[test]
fn work_and_results_of_expressions_are_bounded() {
    let text = "a".repeat(60_000);
    let items: Vec<&str> = vec!["word"; 2000];
    let numbers: Vec<usize> = (1000..2000).collect();
    let object = json!({"s": text, "l": items, "n": numbers});
    let times = |part: &str, times: usize| vec![part; times].join(", ");
    let cases = [
        format!("object.s{}.size() > 0", ".replace('a', 'aaaaaaaaaaaaaaaa')".repeat(3)),
        "object.s.replace('', object.s).size() > 0".to_owned(),
        format!("['a']{}.all(x, x != 'b')", ".map(x, x+x+x+x+x+x+x+x)".repeat(9)),
        format!("['a']{}.all(x, x != [])", ".map(x, [x, x, x, x, x, x, x, x])".repeat(9)),
        format!("['a']{}.all(x, x != {{}})", ".map(x, {1: x, 2: x, 3: x, 4: x, 5: x, 6: x})".repeat(9)),
        format!("[[1]]{}.all(x, x != [])", ".map(x, x+x+x+x+x+x+x+x)".repeat(9)),
        format!("[b'a']{}.all(x, x != b'')", ".map(x, x+x+x+x+x+x+x+x)".repeat(9)),
        format!("size([{}]) > 0", times("object.s", 400)),
        format!("size('{}'.format([{}])) > 0", "%s".repeat(400), times("object.s", 400)),
        "object.l.join(object.s).size() > 0".to_owned(),
        "object.l.map(x, object.s).size() > 0".to_owned(),
        "object.l.map(x, object.s.split('')).size() > 0".to_owned(),
        "object.l.map(x, object.s.findAll('a')).size() > 0".to_owned(),
        "object.l.all(x, !object.s.contains(x))".to_owned(),
        "object.l.all(x, !(x in object.l.filter(y, y != 'word')))".to_owned(),
        "object.l.all(x, !object.s.matches('^b'))".to_owned(),
        "object.l.all(x, object.s.size() > 1)".to_owned(),
        "object.l.all(x, object.s == object.s)".to_owned(),
        "object.l.all(x, object.?s.hasValue())".to_owned(),
        "object.s.replace('', object.s).size() > 0 || true".to_owned(),
        "[object.s].all(sets, sets.replace('', sets).size() > 0)".to_owned(),
        "object.l.all(x, [object.s].all(ip, !ip.matches('^b')))".to_owned(),
        "object.l.all(x, [object.s].all(math, math.size() > 1))".to_owned(),
        "object.l.map(x, x).all(x, !object.l[0].matches(string(object.l.size()) + x + object.s))".to_owned(),
        "object.n.all(n, !'a'.matches(string(n)))".to_owned(),
        // Compiled once, and long.
        "object.l.all(x, !x.matches(object.s))".to_owned(),
        "object.l.all(x, object.s.indexOf(object.s + 'b') < 0)".to_owned(),
    ];
    for text in cases {
        let shown = text.get(..80).unwrap_or(&text);
        assert_eq!(holds(&text, &object), Err(meter::EXCEEDED.to_owned()), "{shown}");
    }
    for text in [
        "object.s.replace('a', 'aaaa').size() == 240000",
        "object.s.split('').size() == 60000",
        "object.l.join(',').split(',') == object.l",
        "object.n.all(n, string(n).matches('^[0-9]+$') && string(n).find('[0-9]+') == string(n))",
        "object.s.indexOf(object.s.substring(1) + 'b') == -1 && object.s.lastIndexOf('b' + object.s.substring(1)) == -1",
        "object.l.all(x, x.matches('^[a-z]+$') && x.size() < 10 && (x + x).startsWith(x))",
        "object.l.map(x, {'name': x, 'text': x + '-' + x}).size() == 2000",
    ] {
        assert_eq!(holds(text, &object), Ok(true), "{text}");
    }
}

#[test]
fn scopes_may_share_an_allowance() {
    let allowance = Meter::new(150_000);
    let object = json!({"s": "a".repeat(60_000)});
    let scope = Scope::default().with("object", &object).within(&allowance);
    let expression = Expression::compile("object.s.upperAscii() != ''", &["object"]).unwrap();
    let held: Vec<bool> = (0..3).map(|_| expression.holds(&scope).is_ok()).collect();
    assert_eq!(held, [true, true, false]);
}

#[test]
fn the_authorizer_is_asked() {
    let asked = Authorizer::new(|check: &Check| Decision {
        allowed: check.resource == "pods" && check.verb == "delete" && check.namespace == "shop",
        reason: "because".to_owned(),
    });
    let scope = Scope::default().with_authorizer(asked);
    let cases = [
        ("authorizer.group('').resource('pods').namespace('shop').check('delete').allowed()", true),
        (
            "authorizer.group('').resource('pods').namespace('other').name('x').check('delete').allowed()",
            false,
        ),
        ("authorizer.group('apps').resource('x').check('get').reason() == 'because'", true),
    ];
    for (text, wanted) in cases {
        let expression = Expression::compile(text, &["authorizer"]).unwrap();
        assert_eq!(expression.holds(&scope), Ok(wanted), "{text}");
    }
}
