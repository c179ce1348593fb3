//! What the tests of this crate share.

use serde_json::Value;

/// One section of the specification's vectors.
pub(crate) fn vectors(section: &str) -> Value {
    let all: Value =
        serde_json::from_str(include_str!("testdata/spec_vectors.json")).expect("the test data is JSON");
    all.get(section).cloned().expect("the test data has this section")
}

/// Property tests that write no files beside the sources when they fail; the failing input is printed.
pub(crate) fn quiet() -> proptest::test_runner::Config {
    proptest::test_runner::Config { failure_persistence: None, ..Default::default() }
}
