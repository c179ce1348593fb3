//! The types that a key can have, how each is read, and how it is shown.

mod rate;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};
use ipnet::IpNet;
use ruma::{OwnedServerName, OwnedUserId};

/// A value as it was written, before anybody knows what it should be, or whether it is secret.
#[derive(Clone, PartialEq)]
pub(crate) enum Raw {
    /// From an environment variable, a file or a default: its type is what the key makes of it.
    Loose(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Self>),
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.is_a())
    }
}

impl Raw {
    fn is_a(&self) -> &'static str {
        match self {
            Self::Loose(_) | Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
        }
    }
}

/// What a key's value can be.
pub(crate) trait Setting: Sized {
    /// What is expected, as it completes "expected …".
    const EXPECTED: &'static str;

    /// Reads it; the error says what is wrong.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// What it is set to, for people.
    fn show(&self) -> String;
}

fn unexpected<T: Setting>(raw: &Raw) -> String {
    match raw {
        Raw::Loose(text) | Raw::Text(text) => format!("expected {}, not “{text}”", T::EXPECTED),
        raw => format!("expected {}, not {}", T::EXPECTED, raw.is_a()),
    }
}

fn text<T: Setting>(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Loose(text) | Raw::Text(text) => Ok(text),
        Raw::Integer(_) | Raw::Float(_) | Raw::Boolean(_) => {
            Err(format!("{}; put it in quotes if it is meant as a text", unexpected::<T>(raw)))
        }
        Raw::List(_) => Err(unexpected::<T>(raw)),
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a text";

    fn read(raw: &Raw) -> Result<Self, String> {
        text::<Self>(raw).map(ToOwned::to_owned)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// A text that is in no log.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a text";

    fn read(raw: &Raw) -> Result<Self, String> {
        // What is wrong with it must not show it.
        let text =
            text::<Self>(raw).map_err(|_| format!("expected {}, in quotes if need be", Self::EXPECTED))?;
        if text.is_empty() {
            return Err("is empty; leave it out instead".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Loose(text) if text == "true" => Ok(true),
            Raw::Loose(text) if text == "false" => Ok(false),
            _ => Err(unexpected::<Self>(raw)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = "a whole number from 1 to 4294967295";

    fn read(raw: &Raw) -> Result<Self, String> {
        let number = match raw {
            Raw::Integer(value) => Self::try_from(*value).ok(),
            Raw::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| *number > 0).ok_or_else(|| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Loose(text) if text.is_empty() => Ok(None),
            raw => T::read(raw).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::List(items) => items.iter().map(T::read).collect(),
            Raw::Loose(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| T::read(&Raw::Loose(item.to_owned()))).collect()
            }
            Raw::Text(_) => Ok(vec![T::read(raw)?]),
            _ => Err(unexpected::<Self>(raw)),
        }
    }

    fn show(&self) -> String {
        self.iter().map(T::show).collect::<Vec<_>>().join(", ")
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(raw: &Raw) -> Result<Self, String> {
        let path = text::<Self>(raw)?;
        if path.is_empty() { Err(unexpected::<Self>(raw)) } else { Ok(Self::from(path)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for OwnedServerName {
    const EXPECTED: &'static str = "a server name such as example.org or example.org:8448";

    fn read(raw: &Raw) -> Result<Self, String> {
        text::<Self>(raw)?.try_into().map_err(|_| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for OwnedUserId {
    const EXPECTED: &'static str = "a user id such as @admin:example.org";

    fn read(raw: &Raw) -> Result<Self, String> {
        text::<Self>(raw)?.try_into().map_err(|_| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration with its unit, such as 500ms, 10s, 5m, 12h or 7d";

    fn read(raw: &Raw) -> Result<Self, String> {
        let duration = match raw {
            Raw::Loose(text) | Raw::Text(text) => duration(text.trim()),
            _ => None,
        };
        duration.ok_or_else(|| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        let milliseconds = self.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        if self.is_zero() {
            return "0s".to_owned();
        }
        let unit = units.into_iter().find(|(_, size)| milliseconds.is_multiple_of(*size));
        unit.map_or_else(
            || format!("{milliseconds}ms"),
            |(unit, size)| format!("{}{unit}", milliseconds / size),
        )
    }
}

/// A duration as it is written.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text.trim()).ok_or_else(|| format!("expected {}", <Duration as Setting>::EXPECTED))
}

/// At most ten years: longer ones are slips, and overflow what they are added to.
const LONGEST: Duration = Duration::from_hours(24 * 3653);

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(milliseconds)?);
    (duration <= LONGEST).then_some(duration)
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Setting for Size {
    const EXPECTED: &'static str = "a size in bytes, such as 1000000, 500K, 100M or 5G";

    fn read(raw: &Raw) -> Result<Self, String> {
        let bytes = match raw {
            Raw::Integer(value) => u64::try_from(*value).ok(),
            Raw::Loose(text) | Raw::Text(text) => size(text.trim()),
            _ => None,
        };
        // What a database counts with.
        let bytes = bytes.filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok());
        bytes.map(Self).ok_or_else(|| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        let units = [("G", 30), ("M", 20), ("K", 10)];
        let unit = units.into_iter().find(|(_, bits)| self.0.is_multiple_of(1 << bits));
        unit.map_or_else(|| self.0.to_string(), |(unit, bits)| format!("{}{unit}", self.0 >> bits))
    }
}

fn size(text: &str) -> Option<u64> {
    let text = text.strip_suffix("iB").or_else(|| text.strip_suffix('B')).unwrap_or(text).trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bits = match unit.trim() {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << bits)
}

/// A day, by the clock of Greenwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day(pub(crate) NaiveDate);

impl Day {
    /// When it begins, milliseconds since the epoch.
    pub(crate) fn begins(self) -> i64 {
        self.0.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
    }
}

impl Setting for Day {
    const EXPECTED: &'static str = "a day such as 2026-12-01";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text::<Self>(raw)?;
        text.trim().parse().map(Self).map_err(|_| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Setting for Listen {
    const EXPECTED: &'static str =
        "an address such as 127.0.0.1:8008, [::]:8008 or unix:/run/hearth/http.sock";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text::<Self>(raw)?;
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let localhost = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = localhost.as_deref().unwrap_or(text).parse();
        address.map(Self::Tcp).map_err(|_| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for IpNet {
    const EXPECTED: &'static str = "an address or network such as 127.0.0.1, 10.0.0.0/8 or fd00::/8";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text::<Self>(raw)?;
        let network = text.parse::<Self>().ok();
        network.or_else(|| text.parse::<IpAddr>().ok().map(Self::from)).ok_or_else(|| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// An address on the web, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebAddress(pub(crate) String);

impl Setting for WebAddress {
    const EXPECTED: &'static str = "an address such as https://matrix.example.org";

    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text::<Self>(raw)?;
        let uri = text.parse::<axum::http::Uri>().ok();
        let good = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        if good { Ok(Self(text.trim_end_matches('/').to_owned())) } else { Err(unexpected::<Self>(raw)) }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A type whose value is one of a few words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ } $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant),+ }

        impl Setting for $name {
            const EXPECTED: &'static str = $expected;

            fn read(raw: &Raw) -> Result<Self, String> {
                match raw {
                    $(Raw::Loose(text) | Raw::Text(text) if text == $word => Ok(Self::$variant),)+
                    _ => Err(unexpected::<Self>(raw)),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $word,)+ }.to_owned()
            }
        }
    };
}

choice! {
    /// Who may register.
    Mode {
        /// Nobody.
        Closed = "closed",
        /// Who knows a registration token.
        Token = "token",
        /// Anybody.
        Open = "open"
    }
    "closed, token or open"
}

choice! {
    /// What a line of the log looks like.
    LogFormat {
        /// For people.
        Text = "text",
        /// For programs: a JSON object.
        Json = "json"
    }
    "text or json"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose<T: Setting>(text: &str) -> Result<T, String> {
        T::read(&Raw::Loose(text.to_owned()))
    }

    #[test]
    fn durations_need_a_unit_and_are_shown_in_the_largest_that_fits() {
        for (text, milliseconds) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("36h", 129_600_000)] {
            let duration = loose::<Duration>(text).unwrap();
            assert_eq!((duration.as_millis(), duration.show()), (milliseconds, text.to_owned()));
        }
        for text in ["10", "", "s", "1.5s", "-1s", "10 parsecs", "99999999999999999999s", "9999999d"] {
            assert!(loose::<Duration>(text).is_err(), "{text}");
        }
        assert!(Duration::read(&Raw::Integer(10)).unwrap_err().contains("with its unit"));
    }

    #[test]
    fn a_server_listens_on_addresses_of_both_kinds_and_on_sockets() {
        let addresses =
            loose::<Vec<Listen>>("127.0.0.1:8008, [::]:80,unix:/run/hearth.sock,localhost:1").unwrap();
        assert_eq!(addresses.show(), "127.0.0.1:8008, [::]:80, unix:/run/hearth.sock, 127.0.0.1:1");
        assert!(loose::<Listen>("8008").is_err() && loose::<Listen>("unix:").is_err());
    }

    #[test]
    fn a_number_is_not_a_text() {
        let error = String::read(&Raw::Integer(5)).unwrap_err();
        assert_eq!(error, "expected a text, not a whole number; put it in quotes if it is meant as a text");
    }

    #[test]
    fn a_single_address_is_a_network_of_one() {
        assert_eq!(loose::<IpNet>("10.1.2.3").unwrap().show(), "10.1.2.3/32");
        assert!(loose::<IpNet>("10.1.2.3/64").is_err());
    }

    #[test]
    fn the_slash_at_the_end_of_an_address_is_left_out() {
        assert_eq!(loose("https://example.org/"), Ok(WebAddress("https://example.org".into())));
        assert!(
            loose::<WebAddress>("example.org").is_err() && loose::<WebAddress>("ftp://example.org").is_err()
        );
    }
}
