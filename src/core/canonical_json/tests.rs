use proptest::prelude::*;

use super::*;
use crate::spec_vectors::vectors;

fn pairs(section: &str) -> Vec<(String, String)> {
    vectors("canonical_json")[section]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (case["in"].as_str().unwrap().to_owned(), case["out"].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn the_specifications_examples_have_their_canonical_form() {
    for (input, expected) in pairs("published").into_iter().chain(pairs("derived")) {
        // `1e10` is a fraction to the servers that enforce canonical JSON; see the next test.
        if !input.contains("1e10") {
            assert_eq!(to_string(&parse_object(&input).unwrap()).unwrap(), expected);
            assert_eq!(canonicalise(&input, Allow::NOTHING).unwrap(), expected);
        }
    }
}

#[test]
fn minus_zero_is_zero_and_an_exponent_is_a_fraction() {
    assert_eq!(canonicalise(r#"{"a":-0}"#, Allow::NOTHING).unwrap(), r#"{"a":0}"#);
    assert_eq!(parse(r#"{"b":1e10}"#), Err(JsonError::Fraction));
}

#[test]
fn numbers_that_not_everyone_can_hold_are_refused() {
    for json in vectors("canonical_json")["reject_v6_and_later"].as_array().unwrap() {
        assert!(parse_object(json.as_str().unwrap()).is_err(), "{json}");
    }
    assert_eq!(parse("9007199254740992"), Err(JsonError::OutOfRange));
    assert_eq!(parse("-9007199254740992"), Err(JsonError::OutOfRange));
    assert_eq!(parse("18446744073709551615"), Err(JsonError::OutOfRange));
    assert_eq!(parse("123456789012345678901234567890"), Err(JsonError::OutOfRange));
    assert_eq!(parse("1.0"), Err(JsonError::Fraction));
    assert!(matches!(parse("1e400"), Err(JsonError::Syntax(_))));
}

#[test]
fn old_rooms_keep_the_numbers_they_always_had() {
    let allow = Allow { any_number: true, nul: false };
    let json = r#"{"b": 1.50, "a": 9007199254740993, "c": 18446744073709551615}"#;
    assert_eq!(
        canonicalise(json, allow).unwrap(),
        r#"{"a":9007199254740993,"b":1.5,"c":18446744073709551615}"#
    );
    assert!(matches!(canonicalise(r#"{"a":NaN}"#, allow), Err(JsonError::Syntax(_))));
    assert!(matches!(canonicalise(r#"{"a":1e999}"#, allow), Err(JsonError::Syntax(_))));
}

#[test]
fn what_is_not_json_is_told_from_json_of_the_wrong_shape() {
    let syntax: [&[u8]; 9] = [
        b"",
        b"{",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\udc00\\ud800\"}",
        b"{\"a\":\"\xff\"}",
        b"{} {}",
        b"{\"a\":01}",
    ];
    for json in syntax {
        let error = parse_object(json).unwrap_err();
        assert!(error.is_syntax(), "{error}");
    }
    assert_eq!(parse_object("null"), Err(JsonError::NotAnObject));
    assert_eq!(parse_object(r#"{"a":"\u0000"}"#), Err(JsonError::Nul));
    assert_eq!(parse_object(r#"{"\u0000":1}"#), Err(JsonError::Nul));
}

#[test]
fn of_equal_keys_the_last_counts() {
    assert_eq!(canonicalise(r#"{"a":1,"a":{"b":2}}"#, Allow::NOTHING).unwrap(), r#"{"a":{"b":2}}"#);
}

#[test]
fn depth_is_bounded_before_the_parser_gives_up() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(MAX_DEPTH)).is_ok());
    assert_eq!(parse(nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
    assert_eq!(parse(nested(1_000_000)), Err(JsonError::TooDeep));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Into::into),
        "[^\0]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[^\0]{0,4}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(crate::spec_vectors::quiet())]

    #[test]
    fn canonical_text_reads_back_as_the_same_value_and_stays(value in any_json()) {
        let object = serde_json::json!({ "v": value });
        let text = canonicalise(object.to_string(), Allow::NOTHING).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), object);
        prop_assert_eq!(canonicalise(&text, Allow::NOTHING).unwrap(), text.clone());
        prop_assert_eq!(to_string(&parse_object(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = canonicalise(&bytes, Allow { any_number: true, nul: true });
    }
}
