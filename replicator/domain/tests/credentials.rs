//! References to secrets, tokens and mechanisms: any text gives a value or a named error, and no error shows a secret.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use understudy_domain::{
    AccessToken, AccessTokenError, CertificateEnd, Mechanism, SecretArn, SecretFieldError,
    SecretRef, SecretRefError, msk_region,
};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_mirror-AbCdEf";

fn arn(key: Option<&str>) -> SecretArn {
    SecretArn {
        arn: ARN.to_owned(),
        region: "eu-west-1".to_owned(),
        key: key.map(str::to_owned),
    }
}

#[test]
fn a_reference_names_its_provider_and_a_secret_its_region() {
    let parse = SecretRef::parse;
    assert_eq!(parse("${env:A}"), Ok(Some(SecretRef::Env("A".to_owned()))));
    assert_eq!(
        parse("${file:/run/secrets/p:1}"),
        Ok(Some(SecretRef::File("/run/secrets/p:1".to_owned())))
    );
    assert_eq!(
        parse(&format!("${{secretsmanager:{ARN}:password}}")),
        Ok(Some(SecretRef::SecretsManager(arn(Some("password")))))
    );
    assert_eq!(
        parse(&format!("${{secretsmanager:{ARN}}}")),
        Ok(Some(SecretRef::SecretsManager(arn(None))))
    );
    for plain in ["", "secret", "$env:A", "${A}", "${env:A", "a${env:A}"] {
        assert_eq!(parse(plain), Ok(None), "{plain}");
    }
}

#[test]
fn a_reference_that_leads_nowhere_is_named() {
    for (value, error) in [
        (
            "${vault:a}".to_owned(),
            SecretRefError::UnknownProvider("vault".to_owned()),
        ),
        (
            "${file:}".to_owned(),
            SecretRefError::Empty("file".to_owned()),
        ),
        (
            "${secretsmanager:mirror}".to_owned(),
            SecretRefError::NotAnArn("mirror".to_owned()),
        ),
        (
            format!("${{secretsmanager:{ARN}:}}"),
            SecretRefError::NotAnArn(format!("{ARN}:")),
        ),
        (
            "${secretsmanager:arn:aws:ssm:eu-west-1:1:parameter:x}".to_owned(),
            SecretRefError::NotAnArn("arn:aws:ssm:eu-west-1:1:parameter:x".to_owned()),
        ),
    ] {
        assert_eq!(SecretRef::parse(&value), Err(error), "{value}");
    }
}

#[test]
fn a_field_of_a_secret_is_taken_without_showing_the_rest() {
    let secret = r#"{"username":"mirror","password":"hush","port":9096,"list":[1]}"#;
    let pick = |key| arn(key).pick(secret);
    assert_eq!(pick(None).as_deref(), Ok(secret));
    assert_eq!(pick(Some("password")).as_deref(), Ok("hush"));
    assert_eq!(pick(Some("port")).as_deref(), Ok("9096"));
    assert_eq!(
        pick(Some("Password")),
        Err(SecretFieldError::NoKey("Password".to_owned()))
    );
    assert_eq!(
        pick(Some("list")),
        Err(SecretFieldError::NotText("list".to_owned()))
    );
    assert_eq!(
        arn(Some("password")).pick("hush"),
        Err(SecretFieldError::NotAnObject("password".to_owned()))
    );
}

fn token(claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims))
}

#[test]
fn a_token_tells_its_end_and_its_principal() {
    let read = AccessToken::read(&token(r#"{"sub":"mirror","exp":1750000000.5,"aud":["x"]}"#));
    let read = read.map(|token| (token.principal, token.expires_ms));
    assert_eq!(read, Ok(("mirror".to_owned(), 1_750_000_000_500)));
    for (claims, error) in [
        (r#"{"sub":"mirror"}"#, AccessTokenError::NoExpiry),
        (r#"{"exp":"soon"}"#, AccessTokenError::NoExpiry),
        (r#"{"exp":1e300}"#, AccessTokenError::NoExpiry),
        (r#"[1]"#, AccessTokenError::NotAToken),
    ] {
        assert_eq!(AccessToken::read(&token(claims)), Err(error), "{claims}");
    }
    for text in ["", "opaque", "a.b", "a.b.c.d"] {
        assert_eq!(AccessToken::read(text), Err(AccessTokenError::NotAToken));
    }
}

#[test]
fn a_region_is_read_from_the_names_that_msk_gives_its_brokers() {
    for (servers, region) in [
        (
            "b-1.orders.a1b2c3.c2.kafka.us-east-1.amazonaws.com:9098,b-2.orders.a1b2c3.c2.kafka.us-east-1.amazonaws.com:9098",
            Some("us-east-1"),
        ),
        (
            "boot-x1.c1.kafka-serverless.eu-west-1.amazonaws.com:9098",
            Some("eu-west-1"),
        ),
        (
            "b-1.o.a.c2.kafka.cn-north-1.amazonaws.com.cn:9098",
            Some("cn-north-1"),
        ),
        (
            "b-1.o.a.c2.kafka.us-east-1.amazonaws.com:9098,b-1.o.a.c2.kafka.us-west-2.amazonaws.com:9098",
            None,
        ),
        ("kafka.example.com:9098", None),
        ("", None),
    ] {
        assert_eq!(msk_region(servers), region, "{servers}");
    }
}

#[test]
fn a_mechanism_is_known_by_its_exact_name() {
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::named(mechanism.name()), Some(mechanism));
    }
    assert_eq!(Mechanism::named("scram-sha-512"), None);
    assert_eq!(Mechanism::AwsMskIam.on_the_wire(), "OAUTHBEARER");
}

/// Made by OpenSSL: until 2028-02-29 23:59:01 (UTCTime), and until 2051-03-01 (GeneralizedTime).
const CERTIFICATES: [(&str, i64, &str); 2] = [
    (
        "\
-----BEGIN CERTIFICATE-----
MIIBAjCBqgIBATAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJjYTAeFw0yNjAxMDEw
MDAwMDBaFw0yODAyMjkyMzU5MDFaMA8xDTALBgNVBAMMBGxlYWYwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAASlJMZAfDiq1cOf7gUSe/zi7a4wPGaJ1PHkus/N7t8I
SLzJJPX/dfh2ODi8An3YwyCywMUmL2E08V0d3vEVKQt/MAoGCCqGSM49BAMCA0cA
MEQCIFoSAtXoeGs2vcKKHxpgeWDmBb2nS5Wq0LvnNN0Ir0jhAiBcsh5U/CvT+vdO
w+zbM9LDRLRKzNkREJou5Y+NUdGTbg==
-----END CERTIFICATE-----",
        1_835_481_541_000,
        "2028-02-29 23:59 UTC",
    ),
    (
        "\
-----BEGIN CERTIFICATE-----
MIIBBjCBrQIBAjAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJjYTAgFw0yNjAxMDEw
MDAwMDBaGA8yMDUxMDMwMTAwMDAwMFowEDEOMAwGA1UEAwwFbGVhZjIwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAASlJMZAfDiq1cOf7gUSe/zi7a4wPGaJ1PHkus/N
7t8ISLzJJPX/dfh2ODi8An3YwyCywMUmL2E08V0d3vEVKQt/MAoGCCqGSM49BAMC
A0gAMEUCIFSZeC5RrW05Zu32Op1RAodslrQtVjNwyAlxnjL98MnuAiEA3h4CmAHU
Ef6kObhs1zEFqqDjzQhpeCWVYcFrK0cUJJk=
-----END CERTIFICATE-----",
        2_561_241_600_000,
        "2051-03-01 00:00 UTC",
    ),
];

#[test]
fn a_certificate_tells_its_end() {
    for (pem, ms, text) in CERTIFICATES {
        let end = CertificateEnd::of_pem(&format!("some words before it\n{pem}\n"));
        assert_eq!(end.map(|end| end.ms()), Some(ms));
        assert_eq!(end.map(|end| end.to_string()).as_deref(), Some(text));
    }
    assert_eq!(CertificateEnd::of_pem("-----BEGIN PRIVATE KEY-----"), None);
}

proptest! {
    #[test]
    fn a_damaged_certificate_has_an_end_or_none(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..260) {
        for (pem, ..) in CERTIFICATES {
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let mut der = BASE64_STANDARD.decode(body).unwrap_or_default();
            if let Some(place) = der.get_mut(at) {
                *place = byte;
            }
            der.truncate(cut.max(at));
            let pem = BASE64_STANDARD.encode(&der);
            let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
            let _ = CertificateEnd::of_pem(&pem).map(|end| (end.ms(), end.to_string()));
        }
    }

    #[test]
    fn any_text_gives_a_value_or_a_named_error(text in ".{0,80}", key in "[a-z]{0,8}") {
        let _ = SecretRef::parse(&text).map_err(|error| error.to_string());
        let _ = SecretRef::parse(&format!("${{secretsmanager:{text}}}"));
        let _ = AccessToken::read(&text);
        let _ = AccessToken::read(&format!("a.{}.c", BASE64_URL_SAFE_NO_PAD.encode(&text)));
        let _ = msk_region(&text);
        let _ = arn(Some(&key)).pick(&text);
    }

    #[test]
    fn every_secret_s_reference_is_read_back(
        region in "[a-z]{2}-[a-z]{4,9}-[0-9]",
        name in "[A-Za-z0-9/_+=.@-]{1,40}",
        key in proptest::option::of("[A-Za-z0-9_.:-]{1,20}"),
    ) {
        let arn = format!("arn:aws:secretsmanager:{region}:123456789012:secret:{name}");
        let tail = key.as_ref().map_or(String::new(), |key| format!(":{key}"));
        let read = SecretRef::parse(&format!("${{secretsmanager:{arn}{tail}}}"));
        prop_assert_eq!(read, Ok(Some(SecretRef::SecretsManager(SecretArn { arn, region, key }))));
    }
}
