//! Forged tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::world::Who::Mallory;
use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_is_taken() {
    let world = World::new().await;
    let mint = "POST /api/v1/namespaces/lair/serviceaccounts/default/token";
    let good = world.must(Mallory, mint, json!({"spec": {}})).await;
    let good = good["status"]["token"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = good.split('.').collect();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let own = std::fs::read(world.data().join("pki/sa.key")).unwrap();
    let own_text = String::from_utf8(own.clone()).unwrap();
    let public = rcgen::KeyPair::from_pem(&own_text).unwrap().public_key_pem();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let key = |pem: &str| EncodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    let signed = |claims: &Value, key: &EncodingKey| {
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, key).unwrap()
    };
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = |name: &str| format!("{}.{}.", encoded(&json!({"alg": name, "typ": "JWT"})), parts[1]);
    let hmac = |secret: &[u8]| {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
            .unwrap()
    };
    let mut other_account = claims.clone();
    other_account["sub"] = "system:serviceaccount:kube-system:default".into();
    other_account["kubernetes.io"]["namespace"] = "kube-system".into();
    let mut other_uid = claims.clone();
    other_uid["kubernetes.io"]["serviceaccount"]["uid"] = "7a6cf1d7-6f0c-4f0e-9f55-0d9cf4d4e3a1".into();
    let mut bound = claims.clone();
    bound["kubernetes.io"]["pod"] = json!({"name": "gone", "uid": "7a6cf1d7-6f0c-4f0e-9f55-0d9cf4d4e3a1"});
    let mut embedded = Header::new(Algorithm::ES256);
    embedded.kid = Some("../../dev/null".to_owned());
    let now = jiff::Timestamp::now().as_second();
    let cases: Vec<(&str, String)> = vec![
        ("none", none("none")),
        ("None", none("None")),
        ("nOnE", none("nOnE")),
        ("an algorithm of secrets, with the public key", hmac(public.as_bytes())),
        ("an algorithm of secrets, with nothing", hmac(b"")),
        ("another's key", signed(&claims, &key(&other))),
        ("another's key by a path", jsonwebtoken::encode(&embedded, &claims, &key(&other)).unwrap()),
        ("expired", signed(&with("exp", (now - 1).into()), &key(&own_text))),
        ("not yet good", signed(&with("nbf", (now + 3600).into()), &key(&own_text))),
        ("another audience", signed(&with("aud", json!(["vault"])), &key(&own_text))),
        ("no audience", signed(&with("aud", json!([])), &key(&own_text))),
        ("another issuer", signed(&with("iss", "https://example.com".into()), &key(&own_text))),
        ("another account of that UID", signed(&other_account, &key(&own_text))),
        ("an account of another UID", signed(&other_uid, &key(&own_text))),
        ("a pod that is gone", signed(&bound, &key(&own_text))),
        ("no end", {
            let mut c = claims.clone();
            c.as_object_mut().unwrap().shift_remove("exp");
            signed(&c, &key(&own_text))
        }),
        ("another's claims", format!("{}.{}.{}", parts[0], encoded(&other_account), parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("half a signature", format!("{}.{}.{}", parts[0], parts[1], parts[2].get(..20).unwrap())),
        ("a signature of zeros", format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0_u8; 64]))),
        ("a token of a user that nobody has", format!("sha256~{}", URL_SAFE_NO_PAD.encode([7_u8; 48]))),
        ("a short token of a user", "sha256~".to_owned()),
        ("a token of a user that is no base64", "sha256~../../../etc/passwd".to_owned()),
        ("nonsense", "nonsense".to_owned()),
        ("dots", "..".to_owned()),
        ("a long token", "a".repeat(50_000)),
    ];
    let path = "GET /api/v1/namespaces/lair/configmaps";
    for (what, token) in &cases {
        let reply = world.with_token(token, path, &Value::Null).await;
        assert_eq!(reply.code, 401, "{what}: {}", reply.text());
        // Also where anonymous would be admitted.
        assert_eq!(world.with_token(token, "GET /version", &Value::Null).await.code, 401, "{what}");
    }
    assert_eq!(world.with_token(&good, path, &Value::Null).await.code, 403, "the token itself is good");
    assert_eq!(world.with_token(&good, "GET /version", &Value::Null).await.code, 200);
}
