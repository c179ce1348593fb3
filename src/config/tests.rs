//! Loading, as a whole.

use std::fs;

use super::keys::KEYS;
use super::value::Secret;
use super::*;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hearth.yaml");
    fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = load_from(Some(&path), Path::new("/nonexistent"), variables);
    loaded.map_err(|error| error.to_string().replace(&*path.to_string_lossy(), "hearth.yaml"))
}

#[test]
fn without_a_file_and_environment_the_defaults_hold() {
    let loaded = load_text("", &[]).unwrap();
    let defaults: Vec<_> = KEYS.iter().map(|key| (key.path, key.default.to_owned())).collect();
    let shown: Vec<_> = loaded.config.show().into_iter().map(|(key, value)| (key.path, value)).collect();
    let short: Vec<_> =
        defaults.into_iter().map(|(path, value)| (path, value.replace("60s", "1m"))).collect();
    assert_eq!(shown, short);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
}

#[test]
fn the_example_names_every_key_and_changes_nothing() {
    let example = example();
    let loaded = load_text(&example, &[]).unwrap();
    assert_eq!(loaded.config.changes(&load_text("", &[]).unwrap().config), []);
    for key in KEYS {
        assert!(example.contains(&key.variable()), "{}", key.path);
    }
    // With its values no longer commented out it is still a configuration, of the same values.
    let set = example.lines().map(|line| match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => line.replacen('#', "", 1),
        _ => line.to_owned(),
    });
    let loaded = load_text(&set.collect::<Vec<_>>().join("\n"), &[]).unwrap();
    assert_eq!(loaded.config.changes(&load_text("", &[]).unwrap().config), []);
}

#[test]
fn the_example_in_the_repository_is_the_one_that_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.yaml");
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(stored == example(), "run: cargo run -- config example > config.example.yaml");
}

#[test]
fn the_environment_has_the_last_word() {
    let file = "server_name: file.example\nlog:\n  level: debug\n";
    let variables = [("HEARTH_SERVER_NAME", "env.example"), ("HEARTH_PASSWORD__ARGON2_MEMORY_KIB", "64")];
    let Loaded { config, values, .. } = load_text(file, &variables).unwrap();
    let read = (config.server_name.as_str(), &*config.log_level, config.password_argon2_memory_kib);
    assert_eq!(read, ("env.example", "debug", 64));
    assert_eq!(values.origin("server_name"), Origin::Environment("HEARTH_SERVER_NAME".into()));
}

#[test]
fn what_is_wrong_is_told_with_its_line_its_key_and_the_nearest_known_one() {
    let text = "server_nam: a\nlog:\n  format: xml\nlimits:\n  enabled: 1\nregistration: open\nshutdown: {drain: 5}\n";
    let error = load_text(text, &[]).unwrap_err();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "hearth.yaml:1: server_nam: there is no such key; did you mean `server_name`?",
            "hearth.yaml:6: registration: expected keys such as `registration.mode` inside it, not a value",
            "hearth.yaml:5: limits.enabled: expected true or false, not a whole number",
            "hearth.yaml:7: shutdown.drain: expected a duration with its unit, such as 500ms, 10s, 5m, 12h or 7d, \
             not a whole number",
            "hearth.yaml:3: log.format: expected text or json, not “xml”",
        ]
    );
}

#[test]
fn impossible_combinations_are_refused() {
    let cases = [
        ("listen: []", "listen: expected at least one address"),
        ("metrics: {listen: '127.0.0.1:8008'}", "metrics.listen: is also in `listen`"),
        ("registration: {terms: {version: '1'}}", "hearth.yaml:1: registration.terms.version: needs"),
        ("password: {argon2_memory_kib: 1}", "password.argon2_memory_kib: expected at least 8"),
        ("database: {url: 'postgres:///a', programs: /usr/bin}", "database.programs: is for a private"),
        ("public_url: 'https://example.org/?a'", "public_url: must not have a query"),
    ];
    for (text, expected) in cases {
        let error = load_text(text, &[]).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_secret_can_be_kept_in_a_file_of_its_own_but_not_in_two_places() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "let me in\n").unwrap();
    let file = path.to_str().unwrap();
    let variables = [("HEARTH_REGISTRATION__TOKEN_FILE", file)];
    let loaded = load_text("", &variables).unwrap();
    assert_eq!(loaded.config.registration_token, Some(Secret("let me in".into())));
    assert!(!format!("{loaded:?}").contains("let me in"));
    assert!(shown(&loaded).contains("registration.token = (set)"));
    let twice = [variables[0], ("HEARTH_REGISTRATION__TOKEN", "x")];
    assert!(load_text("", &twice).unwrap_err().contains("only one of them can hold"));
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let variables = [("HEARTH_SERVER_NAM", "a.example"), ("HEARTH_SERVER_NAME", "b.example")];
    let loaded = load_text("", &variables).unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "the environment variable HEARTH_SERVER_NAM means nothing to this server; did you mean HEARTH_SERVER_NAME?"
        ]
    );
}

#[test]
fn a_change_is_told_apart_by_what_it_takes() {
    let before = load_text("", &[]).unwrap().config;
    let after = load_text("log: {level: debug}\nlisten: '127.0.0.1:1'\n", &[]).unwrap().config;
    assert_eq!(before.changes(&after), [("listen", false), ("log.level", true)]);
    assert_eq!(before.with_reloaded(after.clone()).changes(&after), [("listen", false)]);
    let reloading = KEYS.iter().filter(|key| key.reloads).map(|key| key.path).collect::<Vec<_>>();
    let every = "registration: {mode: open, token: t, terms: {name: Rules, version: '1', url: 'https://a.example'}}\n\
                 limits: {enabled: false, rates: {";
    let rates = KEYS.iter().filter_map(|key| key.path.strip_prefix("limits.rates."));
    let rates: Vec<_> = rates.map(|name| format!("{name}: unlimited")).collect();
    let every = format!("{every}{}}}}}\nlog: {{level: warn}}\n", rates.join(", "));
    let changed = load_text(&every, &[]).unwrap().config;
    assert_eq!(before.changes(&changed).into_iter().map(|(path, _)| path).collect::<Vec<_>>(), reloading);
    assert_eq!(before.with_reloaded(changed.clone()).changes(&changed), []);
}
